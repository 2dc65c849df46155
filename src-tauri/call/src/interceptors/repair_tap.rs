//! Counts loss and repair: what was requested again, what arrived after all, what never came.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

use super::streams::Streams;
use super::{Declared, Retransmissions, Tap, keyframe_requests};
use crate::link::LinkState;
use crate::rtp::SequenceUnwrapper;

/// A gap counts as open as long as it is at most this far behind the newest packet.
const WINDOW: i64 = 2048;

/// The sequence numbers that the NACKs among `packets` request, with their SSRC.
fn nacked(packets: &[Box<dyn rtc::rtcp::Packet>]) -> impl Iterator<Item = (u32, u16)> {
    packets
        .iter()
        .filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerNack>())
        .flat_map(|nack| {
            nack.nacks
                .iter()
                .flat_map(NackPair::packet_list)
                .map(|seq| (nack.media_ssrc, seq))
        })
}

/// The gaps of one inbound stream.
#[derive(Debug, Default)]
struct Arrivals {
    sequence: SequenceUnwrapper,
    missing: BTreeSet<i64>,
    requested: BTreeSet<i64>,
}

/// What one arrival changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    newly_lost: u64,
    filled: bool,
    recovered: bool,
}

impl Arrivals {
    fn arrive(&mut self, seq: u16) -> Change {
        let before = self.sequence.newest();
        let number = self.sequence.unwrap(seq);

        let Some(before) = before else {
            return Change::default();
        };

        if number > before {
            // A jump of more than the window is a restart of the stream, not the loss of thousands.
            let gap = number - before - 1;
            let newly_lost = if gap <= WINDOW { gap } else { 0 };
            self.missing.extend(number - newly_lost..number);

            let horizon = number - WINDOW;
            self.missing = self.missing.split_off(&horizon);
            self.requested = self.requested.split_off(&horizon);

            return Change {
                newly_lost: newly_lost as u64,
                ..Change::default()
            };
        }

        let filled = self.missing.remove(&number);
        let recovered = self.requested.remove(&number) && filled;
        Change {
            newly_lost: 0,
            filled,
            recovered,
        }
    }

    /// A packet of this number arrived on the stream of retransmissions.
    fn repair(&mut self, seq: u16) -> Change {
        let behind = self.sequence.peek(seq) <= self.sequence.newest();
        if behind {
            self.arrive(seq)
        } else {
            Change::default()
        }
    }

    fn request(&mut self, seq: u16) {
        if let Some(number) = self.sequence.peek(seq)
            && self.missing.contains(&number)
        {
            self.requested.insert(number);
        }
    }
}

/// Watches inbound RTP, and NACK and PLI both ways, and keeps the counters of
/// [`LinkState::repair`].
pub(crate) struct RepairTap {
    link: Arc<LinkState>,
    streams: Streams<Arrivals>,
    retransmissions: Retransmissions,
}

impl RepairTap {
    /// A tap that counts in `link`, for the streams of `declared`.
    pub(crate) fn new(link: Arc<LinkState>, declared: Declared) -> Self {
        Self {
            link,
            streams: Streams::default(),
            retransmissions: Retransmissions::new(declared),
        }
    }

    fn on_arrival(&mut self, rtp: &rtc::rtp::Packet) {
        let original = self.retransmissions.original(rtp);
        let (ssrc, seq) = original.unwrap_or((rtp.header.ssrc, rtp.header.sequence_number));
        let Some(arrivals) = self.streams.get_mut(ssrc) else {
            return;
        };

        let change = if original.is_some() {
            arrivals.repair(seq)
        } else {
            arrivals.arrive(seq)
        };
        self.link.lost.fetch_add(change.newly_lost, Relaxed);

        if change.filled {
            self.link.lost.fetch_sub(1, Relaxed);
        }

        if change.recovered {
            self.link.recovered.fetch_add(1, Relaxed);
        }
    }
}

impl Tap for RepairTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        match &packet.message.packet {
            Packet::Rtp(rtp) => self.on_arrival(rtp),
            Packet::Rtcp(packets) => {
                self.link
                    .nacks_received
                    .fetch_add(nacked(packets).count() as u64, Relaxed);
            }
            _ => {}
        }
    }

    fn on_write(&mut self, packet: &TaggedPacket) {
        let Packet::Rtcp(packets) = &packet.message.packet else {
            return;
        };

        self.link
            .plis_sent
            .fetch_add(keyframe_requests(packets), Relaxed);

        for (ssrc, seq) in nacked(packets) {
            self.link.nacks_sent.fetch_add(1, Relaxed);
            if let Some(arrivals) = self.streams.get_mut(ssrc) {
                arrivals.request(seq);
            }
        }
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.retransmissions.bind(info);
        if !self.retransmissions.carries(info.ssrc) {
            self.streams.begin(info.ssrc);
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.retransmissions.unbind(info);
        self.streams.end(info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::super::retransmissions::testing::{packet, retransmission, streams};
    use super::*;

    /// A stream whose first packet had the number `first`.
    fn arrivals(first: u16) -> Arrivals {
        let mut arrivals = Arrivals::default();
        assert_eq!(
            arrivals.arrive(first),
            Change::default(),
            "nothing is missing before the first packet"
        );

        arrivals
    }

    #[test]
    fn a_gap_counts_as_lost_until_it_is_filled() {
        let mut arrivals = arrivals(65_534);
        assert_eq!(arrivals.arrive(65_535), Change::default(), "no gap");
        assert_eq!(
            arrivals.arrive(2).newly_lost,
            2,
            "0 and 1 are missing across the wrap-around"
        );

        arrivals.request(0);
        let change = arrivals.arrive(0);
        assert!(
            change.filled && change.recovered,
            "0 was requested again and came"
        );

        let change = arrivals.arrive(1);
        assert!(change.filled && !change.recovered, "1 was merely late");
        assert_eq!(
            arrivals.arrive(1),
            Change::default(),
            "a duplicate changes nothing"
        );
    }

    #[test]
    fn a_restarted_stream_does_not_count_as_thousands_of_losses() {
        let mut arrivals = arrivals(0);
        assert_eq!(arrivals.arrive(20_000).newly_lost, 0, "beyond the window");
        assert_eq!(
            arrivals.arrive(20_002).newly_lost,
            1,
            "counting continues from there"
        );
    }

    #[test]
    fn a_retransmission_on_another_stream_fills_the_gap_and_counts_as_nothing_else() {
        let link = Arc::new(LinkState::new(crate::link::Bitrate::ZERO));
        let mut tap = RepairTap::new(Arc::clone(&link), Declared::default());
        for info in streams(1, 2) {
            tap.bind_remote_stream(&info);
        }

        tap.on_arrival(&packet(1, 10, &[1]));
        tap.on_arrival(&packet(1, 12, &[1]));
        tap.streams.get_mut(1).expect("bound").request(11);
        assert_eq!(link.repair().lost, 1);

        // The stream of retransmissions has losses of its own, which nobody misses.
        tap.on_arrival(&retransmission(2, 500, 11));
        tap.on_arrival(&retransmission(2, 520, 10));
        tap.on_arrival(&packet(2, 540, &[]));
        // A number ahead of the media says nothing about what is lost in between.
        tap.on_arrival(&retransmission(2, 541, 30));

        let repair = link.repair();
        assert_eq!((repair.lost, repair.recovered), (0, 1), "{repair:?}");
    }
}
