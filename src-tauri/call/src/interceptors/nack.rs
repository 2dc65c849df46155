//! Asks the partner for missing packets (generic NACK, RFC 4585 §6.2.1).
//!
//! A retry waits for half a round trip: request and packet are lost as easily as the first time, and a picture that is late
//! by three of its intervals is a freeze. Most packets that are missing so come twice; at 5 % loss that is 5 % more. The
//! number of retries is capped, and a packet that no decoder can wait for any more is given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::Passage;
use super::repair_tap::SequenceUnwrapper;
use crate::link::LinkState;

/// Waits for a packet that was merely overtaken, and gathers the holes of a burst into one NACK.
const REORDER_WAIT: Duration = Duration::from_millis(5);
/// Retries are never closer together.
const MIN_RETRY: Duration = Duration::from_millis(20);
/// Assumed until a round trip was measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// A packet is asked for at most this often.
const MAX_REQUESTS: u32 = 10;
/// A packet that has been missing for so long is of no use: a keyframe is quicker.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A larger gap is a break of the stream: a keyframe is quicker, and asking for so much again would clog the path.
const MAX_GAP: u64 = 128;
/// After a silence of this long, what was sent meanwhile is out of date.
const MAX_SILENCE: Duration = Duration::from_millis(400);

/// A packet that has not come.
#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    due: Instant,
    requests: u32,
}

/// The missing packets of one stream and when to ask for them.
#[derive(Debug, Default)]
pub struct NackLog {
    sequence: Option<SequenceUnwrapper>,
    missing: BTreeMap<u64, Missing>,
    heard: Option<Instant>,
}

impl NackLog {
    /// A packet of the stream arrived.
    pub fn on_arrival(&mut self, now: Instant, seq: u16) {
        let silence = self
            .heard
            .replace(now)
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));

        let Some(sequence) = &mut self.sequence else {
            self.sequence = Some(SequenceUnwrapper::new(seq));
            return;
        };

        let before = sequence.newest();
        let place = sequence.unwrap(seq);

        if place <= before {
            self.missing.remove(&place);
        } else if place - before - 1 > MAX_GAP || silence > MAX_SILENCE {
            self.missing.clear();
        } else {
            let entry = Missing {
                since: now,
                due: now + REORDER_WAIT,
                requests: 0,
            };

            self.missing
                .extend((before + 1..place).map(|place| (place, entry)));
            self.missing = self.missing.split_off(&place.saturating_sub(MAX_GAP));
        }
    }

    /// Sequence numbers to ask for now, oldest first; each comes back after a retry time until its packet arrives.
    pub fn take_due(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        let retry = (rtt.unwrap_or(DEFAULT_RTT) / 2 + REORDER_WAIT).max(MIN_RETRY);
        self.missing.retain(|_, m| {
            m.requests < MAX_REQUESTS && now.saturating_duration_since(m.since) < MAX_AGE
        });

        let mut due = Vec::new();
        for (place, missing) in &mut self.missing {
            if missing.due <= now + REORDER_WAIT / 2 {
                missing.due = now + retry;
                missing.requests += 1;
                due.push(*place as u16);
            }
        }

        due
    }

    /// When the next packet is to be asked for; `None` if none is missing.
    pub fn next_due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.due).min()
    }
}

/// Sends NACKs for the inbound streams that negotiated `nack`.
pub struct NackGenerator {
    link: Arc<LinkState>,
    sender_ssrc: u32,
    streams: HashMap<u32, NackLog>,
    passage: Passage,
}

impl NackGenerator {
    /// A generator that takes the round trip time from `link`.
    pub fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            sender_ssrc: rand::random(),
            streams: HashMap::new(),
            passage: Passage::default(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for NackGenerator {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &msg.message.packet
            && let Some(log) = self.streams.get_mut(&rtp.header.ssrc)
        {
            log.on_arrival(msg.now, rtp.header.sequence_number);
        }

        self.passage.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.passage.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.passage.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.passage.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        let rtt = self.link.rtt();
        for (&media_ssrc, log) in &mut self.streams {
            if log.next_due().is_some_and(|due| due <= now) {
                let due = log.take_due(now, rtt);
                if !due.is_empty() {
                    let nacks = nack_pairs_from_sequence_numbers(&due);
                    let nack = TransportLayerNack {
                        sender_ssrc: self.sender_ssrc,
                        media_ssrc,
                        nacks,
                    };

                    self.passage.send_rtcp(now, Box::new(nack));
                }
            }
        }

        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.streams.values().filter_map(NackLog::next_due).min()
    }
}

impl Interceptor for NackGenerator {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if info
            .rtcp_feedback
            .iter()
            .any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty())
        {
            self.streams.entry(info.ssrc).or_default();
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Asks every millisecond for `ms` and returns (time, sequence numbers) of each request.
    fn requests(log: &mut NackLog, start: Instant, ms: u32, rtt: Duration) -> Vec<(u32, Vec<u16>)> {
        let ask = |t| {
            let due = log.next_due().is_some_and(|due| due <= start + MS * t);
            let seqs = if due {
                log.take_due(start + MS * t, Some(rtt))
            } else {
                Vec::new()
            };

            (!seqs.is_empty()).then_some((t, seqs))
        };

        (0..ms).filter_map(ask).collect()
    }

    #[test]
    fn a_retry_waits_for_half_a_round_trip_and_the_count_is_capped() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        for seq in [65_533, 65_535, 1] {
            log.on_arrival(start, seq);
        }

        let asked = requests(&mut log, start, 3_000, MS * 50);
        assert_eq!(
            asked[0],
            (5, vec![65_534, 0]),
            "both holes in one request, after the reordering wait"
        );

        assert_eq!(
            asked.len() as u32,
            MAX_REQUESTS,
            "no more requests than the cap"
        );

        assert!(
            asked.windows(2).all(|w| w[1].0 - w[0].0 >= 27),
            "a retry waits for half the round trip: {asked:?}"
        );
        assert_eq!(log.next_due(), None, "given up: no wake-up is left");
    }

    #[test]
    fn a_packet_that_came_is_not_asked_for() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        for seq in [10, 12, 11] {
            log.on_arrival(start, seq);
        }

        assert!(
            requests(&mut log, start, 100, MS * 20).is_empty(),
            "11 was overtaken, not lost"
        );
    }

    #[test]
    fn a_break_of_the_stream_is_left_to_a_keyframe() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.on_arrival(start, 0);
        log.on_arrival(start, 2);
        log.on_arrival(start, 2_000);

        assert!(
            requests(&mut log, start, 100, MS * 20).is_empty(),
            "neither the old hole nor 1,997 new ones"
        );
    }

    #[test]
    fn what_was_lost_in_an_outage_is_not_asked_for() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.on_arrival(start, 0);
        let back = start + MS * 900;
        log.on_arrival(back, 60);

        assert!(
            requests(&mut log, back, 100, MS * 20).is_empty(),
            "nobody wants frames from a second ago"
        );
    }

    #[test]
    fn what_is_too_old_is_given_up() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.on_arrival(start, 0);
        log.on_arrival(start, 2);
        let asked = requests(&mut log, start, 5_000, MS * 400);

        assert_eq!(
            asked.len(),
            5,
            "one second holds five halves of 400 ms: {asked:?}"
        );
    }
}
