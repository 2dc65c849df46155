//! Requests missing packets from the partner (generic NACK, RFC 4585 §6.2.1).
//!
//! Replaces rtc's own `NackGenerator`, which repeats every request at a fixed interval whatever the
//! round-trip time (see `peer/workarounds/mod.rs`).
//!
//! A retry waits for half a round trip: request and packet get lost as easily as the first time,
//! and a frame that is late by three frame intervals is a freeze. So most missing packets arrive
//! twice; at 5 % loss that is 5 % more traffic. The number of retries is capped, and a packet that
//! no decoder can wait for any longer is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};

use super::streams::Streams;
use super::{Declared, Retransmissions, Tap};
use crate::link::LinkState;
use crate::rtp::SequenceUnwrapper;

/// How long to wait for a packet that was merely overtaken. Also collects the holes of a burst in
/// one NACK.
const REORDER_WAIT: Duration = Duration::from_millis(5);
/// Retries are never closer together than this.
const MIN_RETRY: Duration = Duration::from_millis(20);
/// Time between retries to a browser. It sends a packet at most once per round trip, by its own
/// estimate, and ignores requests in between (libwebrtc, `RtpPacketHistory::VerifyRtt`). So what
/// counts is that the next request is there when that time is over.
const BROWSER_RETRY: Duration = Duration::from_millis(15);
/// Assumed until a round-trip time has been measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// A packet is requested at most this often.
const MAX_REQUESTS: u32 = 10;
/// The same for a browser, which ignores most requests.
const MAX_BROWSER_REQUESTS: u32 = 40;
/// A packet that has been missing for this long is of no use: a keyframe is quicker.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A larger gap is a break of the stream: a keyframe is quicker, and that many retransmissions
/// would clog the path.
const MAX_GAP: i64 = 128;
/// After a longer silence, what was sent meanwhile is out of date.
const MAX_SILENCE: Duration = Duration::from_millis(400);

/// A packet that has not arrived.
#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    due: Instant,
    requests: u32,
}

/// The missing packets of one stream, and when to request them.
#[derive(Debug, Default)]
struct NackLog {
    sequence: SequenceUnwrapper,
    missing: BTreeMap<i64, Missing>,
    last_arrival: Option<Instant>,
    /// Whether the partner sends retransmissions on a stream of their own. Browsers do, Tandem does
    /// not.
    is_browser: bool,
}

impl NackLog {
    /// A packet of the stream arrived.
    fn on_arrival(&mut self, now: Instant, seq: u16) {
        let silence = self
            .last_arrival
            .replace(now)
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));

        let before = self.sequence.newest();
        let number = self.sequence.unwrap(seq);
        let Some(before) = before else {
            return;
        };

        if number <= before {
            self.missing.remove(&number);
        } else if number - before - 1 > MAX_GAP || silence > MAX_SILENCE {
            self.missing.clear();
        } else {
            let entry = Missing {
                since: now,
                due: now + REORDER_WAIT,
                requests: 0,
            };

            self.missing
                .extend((before + 1..number).map(|number| (number, entry)));
            self.missing = self.missing.split_off(&(number - MAX_GAP));
        }
    }

    /// A packet arrived on the stream of retransmissions.
    fn on_retransmission(&mut self, seq: u16) {
        if let Some(number) = self.sequence.peek(seq) {
            self.missing.remove(&number);
        }
    }

    /// The sequence numbers to request now, oldest first. Each becomes due again after the retry
    /// time until its packet arrives.
    fn take_due(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        let (retry, max_requests) = if self.is_browser {
            (BROWSER_RETRY, MAX_BROWSER_REQUESTS)
        } else {
            let retry = rtt.unwrap_or(DEFAULT_RTT) / 2 + REORDER_WAIT;
            (retry.max(MIN_RETRY), MAX_REQUESTS)
        };

        self.missing.retain(|_, m| {
            m.requests < max_requests && now.saturating_duration_since(m.since) < MAX_AGE
        });

        let mut due = Vec::new();
        for (number, missing) in &mut self.missing {
            if missing.due <= now + REORDER_WAIT / 2 {
                missing.due = now + retry;
                missing.requests += 1;
                due.push(*number as u16);
            }
        }

        due
    }

    /// When the next packet is to be requested; `None` if none is missing.
    fn next_due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.due).min()
    }
}

/// Sends NACKs for the inbound streams that negotiated `nack`.
pub(crate) struct NackGenerator {
    link: Arc<LinkState>,
    sender_ssrc: u32,
    streams: Streams<NackLog>,
    retransmissions: Retransmissions,
}

impl NackGenerator {
    /// A generator that takes the round-trip time from `link`.
    pub(crate) fn new(link: Arc<LinkState>, declared: Declared) -> Self {
        Self {
            link,
            sender_ssrc: rand::random(),
            streams: Streams::default(),
            retransmissions: Retransmissions::new(declared),
        }
    }
}

impl Tap for NackGenerator {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        let Packet::Rtp(rtp) = &packet.message.packet else {
            return;
        };

        if let Some((ssrc, seq)) = self.retransmissions.original(rtp) {
            if let Some(log) = self.streams.get_mut(ssrc) {
                log.on_retransmission(seq);
            }
        } else if let Some(log) = self.streams.get_mut(rtp.header.ssrc) {
            log.on_arrival(packet.now, rtp.header.sequence_number);
        }
    }

    fn on_timeout(&mut self, now: Instant) -> Vec<Box<dyn rtc::rtcp::Packet>> {
        let rtt = self.link.rtt();
        let mut requests: Vec<Box<dyn rtc::rtcp::Packet>> = Vec::new();

        for (media_ssrc, log) in self.streams.iter_mut() {
            if log.next_due().is_none_or(|due| due > now) {
                continue;
            }

            let due = log.take_due(now, rtt);
            if !due.is_empty() {
                requests.push(Box::new(TransportLayerNack {
                    sender_ssrc: self.sender_ssrc,
                    media_ssrc,
                    nacks: nack_pairs_from_sequence_numbers(&due),
                }));
            }
        }

        requests
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.streams.iter().filter_map(NackLog::next_due).min()
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let repair = self.retransmissions.bind(info);
        if self.retransmissions.carries(info.ssrc) {
            return;
        }

        if info
            .rtcp_feedback
            .iter()
            .any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty())
        {
            self.streams.begin(info.ssrc);
            if let Some(log) = self.streams.get_mut(info.ssrc) {
                log.is_browser = repair.is_some();
            }
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.retransmissions.unbind(info);
        self.streams.end(info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
    use rtc::shared::TransportContext;

    use super::super::retransmissions::testing::{packet, retransmission, streams};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Polls every millisecond for `ms` and returns the time and the sequence numbers of each
    /// request.
    fn requests(log: &mut NackLog, start: Instant, ms: u32, rtt: Duration) -> Vec<(u32, Vec<u16>)> {
        let request = |t| {
            let due = log.next_due().is_some_and(|due| due <= start + MS * t);
            let seqs = if due {
                log.take_due(start + MS * t, Some(rtt))
            } else {
                Vec::new()
            };

            (!seqs.is_empty()).then_some((t, seqs))
        };

        (0..ms).filter_map(request).collect()
    }

    #[test]
    fn retries_wait_for_half_a_round_trip_and_are_capped() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        for seq in [65_533, 65_535, 1] {
            log.on_arrival(start, seq);
        }

        let requested = requests(&mut log, start, 3_000, MS * 50);
        assert_eq!(
            requested[0],
            (5, vec![65_534, 0]),
            "both holes in one request, after the wait for reordered packets"
        );

        assert_eq!(
            requested.len() as u32,
            MAX_REQUESTS,
            "no more requests than the cap"
        );

        assert!(
            requested.windows(2).all(|w| w[1].0 - w[0].0 >= 27),
            "a retry waits for half the round trip: {requested:?}"
        );
        assert_eq!(
            log.next_due(),
            None,
            "given up: nothing is left to wake up for"
        );
    }

    #[test]
    fn a_packet_that_arrived_is_not_requested() {
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
    fn a_browser_is_asked_often_because_it_ignores_what_comes_within_a_round_trip() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.is_browser = true;
        log.on_arrival(start, 1);
        log.on_arrival(start, 3);

        // Answers to the first requests are lost. As libwebrtc does, the browser answers the first
        // request that is a round trip and 5 ms after its last answer.
        let (rtt, mut answers) = (MS * 50, Vec::new());
        for (at, _) in requests(&mut log, start, 1_200, rtt) {
            if answers.last().is_none_or(|last| at >= last + 55) {
                answers.push(at);
            }
        }

        assert!(
            answers[..5].windows(2).all(|pair| pair[1] - pair[0] <= 70),
            "no time is lost between two answers: {answers:?}"
        );
        let last = *answers.last().expect("it was asked");
        assert!(
            last >= 500,
            "a browser is asked for longer than the assembler waits: {last} ms"
        );
    }

    /// What the generator requests after these packets, per media stream.
    fn requested_after(packets: Vec<rtc::rtp::Packet>) -> Vec<(u32, Vec<u16>)> {
        let mut generator = NackGenerator::new(
            Arc::new(LinkState::new(crate::link::Bitrate::ZERO)),
            Declared::default(),
        );
        for info in streams(1, 2) {
            generator.bind_remote_stream(&info);
        }

        let start = Instant::now();
        for packet in packets {
            generator.on_read(&mut TaggedPacket {
                now: start,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtp(packet)),
            });
        }

        let nack = |packet: Box<dyn rtc::rtcp::Packet>| {
            let nack = packet
                .as_any()
                .downcast_ref::<TransportLayerNack>()
                .expect("it sends nothing else")
                .clone();
            let numbers = nack.nacks.iter().flat_map(NackPair::packet_list);
            (nack.media_ssrc, numbers.collect())
        };
        generator
            .on_timeout(start + REORDER_WAIT)
            .into_iter()
            .map(nack)
            .collect()
    }

    #[test]
    fn a_packet_that_was_retransmitted_on_another_stream_is_not_requested_again() {
        let lost = vec![packet(1, 10, &[1]), packet(1, 13, &[1])];
        assert_eq!(requested_after(lost.clone()), [(1, vec![11, 12])]);

        let repaired = [lost, vec![retransmission(2, 500, 11)]].concat();
        assert_eq!(requested_after(repaired), [(1, vec![12])]);
    }

    #[test]
    fn lost_retransmissions_and_lost_padding_are_not_requested() {
        let packets = vec![
            packet(1, 10, &[1]),
            retransmission(2, 500, 10),
            packet(2, 503, &[]),
            packet(2, 507, &[]),
        ];
        assert_eq!(requested_after(packets), []);
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
    fn packets_lost_in_an_outage_are_not_requested() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.on_arrival(start, 0);
        let back = start + MS * 900;
        log.on_arrival(back, 60);

        assert!(
            requests(&mut log, back, 100, MS * 20).is_empty(),
            "frames from a second ago are of no use"
        );
    }

    #[test]
    fn packets_that_are_too_old_are_given_up() {
        let (mut log, start) = (NackLog::default(), Instant::now());
        log.on_arrival(start, 0);
        log.on_arrival(start, 2);
        let requested = requests(&mut log, start, 5_000, MS * 400);

        assert_eq!(
            requested.len(),
            5,
            "half a round trip of 400 ms fits five times into a second: {requested:?}"
        );
    }
}
