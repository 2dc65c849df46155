//! Counts loss and repair: what was asked for again, what came after all, what never came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::Passage;
use crate::link::LinkState;

/// How far behind the newest packet a gap still counts as open.
const WINDOW: u64 = 2048;

type RtcpPackets = [Box<dyn rtc::rtcp::Packet>];

/// Keyframe requests among `packets`.
pub(crate) fn keyframe_requests(packets: &RtcpPackets) -> u64 {
    let payloads = packets.iter().map(|packet| packet.as_any());
    payloads
        .filter(|payload| payload.is::<PictureLossIndication>() || payload.is::<FullIntraRequest>())
        .count() as u64
}

/// Sequence numbers asked for by the NACKs among `packets`, with their stream.
fn nacked(packets: &RtcpPackets) -> impl Iterator<Item = (u32, u16)> {
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

/// Turns 16-bit sequence numbers into ever-growing ones (RFC 3550 A.1: the newest within half the space wins).
#[derive(Debug, Clone, Copy)]
pub(super) struct SequenceUnwrapper {
    newest: u64,
}

impl SequenceUnwrapper {
    /// Starts one cycle up, so that packets older than the first have a place.
    pub(super) fn new(first: u16) -> Self {
        Self {
            newest: (1 << 16) + u64::from(first),
        }
    }

    /// The place of `seq` nearest to the newest seen; remembers it if it is newer.
    pub(super) fn unwrap(&mut self, seq: u16) -> u64 {
        let place = self.peek(seq);
        self.newest = self.newest.max(place);
        place
    }

    /// The place of `seq` nearest to the newest seen.
    pub(super) fn peek(&self, seq: u16) -> u64 {
        let ahead = seq.wrapping_sub(self.newest as u16) as i16;
        self.newest.saturating_add_signed(i64::from(ahead))
    }

    /// The newest place seen.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }
}

/// The gaps of one inbound stream.
#[derive(Debug)]
struct Arrivals {
    sequence: SequenceUnwrapper,
    missing: BTreeSet<u64>,
    requested: BTreeSet<u64>,
}

/// What one arrival changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    newly_lost: u64,
    filled: bool,
    recovered: bool,
}

impl Arrivals {
    fn new(first: u16) -> Self {
        Self {
            sequence: SequenceUnwrapper::new(first),
            missing: BTreeSet::new(),
            requested: BTreeSet::new(),
        }
    }

    fn arrive(&mut self, seq: u16) -> Change {
        let before = self.sequence.newest();
        let place = self.sequence.unwrap(seq);

        if place > before {
            // A jump of more than the window is a restart of the stream, not a loss of thousands.
            let gap = place - before - 1;
            let newly_lost = if gap <= WINDOW { gap } else { 0 };
            self.missing.extend(place - newly_lost..place);
            let horizon = place.saturating_sub(WINDOW);
            self.missing = self.missing.split_off(&horizon);
            self.requested = self.requested.split_off(&horizon);
            return Change {
                newly_lost,
                ..Change::default()
            };
        }

        let filled = self.missing.remove(&place);
        let recovered = self.requested.remove(&place) && filled;
        Change {
            newly_lost: 0,
            filled,
            recovered,
        }
    }

    fn request(&mut self, seq: u16) {
        let place = self.sequence.peek(seq);
        if self.missing.contains(&place) {
            self.requested.insert(place);
        }
    }
}

/// Watches RTP in, NACK and PLI both ways, and keeps the counters of [`LinkState::repair`].
pub struct RepairTap {
    link: Arc<LinkState>,
    streams: HashMap<u32, Option<Arrivals>>,
    passage: Passage,
}

impl RepairTap {
    /// A tap that counts in `link`.
    pub fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            streams: HashMap::new(),
            passage: Passage::default(),
        }
    }

    fn on_arrival(&mut self, ssrc: u32, seq: u16) {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return;
        };

        let Some(arrivals) = stream else {
            *stream = Some(Arrivals::new(seq));
            return;
        };

        let change = arrivals.arrive(seq);
        self.link.lost.fetch_add(change.newly_lost, Relaxed);

        if change.filled {
            self.link.lost.fetch_sub(1, Relaxed);
        }

        if change.recovered {
            self.link.recovered.fetch_add(1, Relaxed);
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RepairTap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        match &msg.message.packet {
            Packet::Rtp(rtp) => self.on_arrival(rtp.header.ssrc, rtp.header.sequence_number),
            Packet::Rtcp(packets) => {
                self.link
                    .nacks_received
                    .fetch_add(nacked(packets).count() as u64, Relaxed);
            }
            _ => {}
        }

        self.passage.inbound.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.passage.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            self.link
                .plis_sent
                .fetch_add(keyframe_requests(packets), Relaxed);
            for (ssrc, seq) in nacked(packets) {
                self.link.nacks_sent.fetch_add(1, Relaxed);
                if let Some(Some(arrivals)) = self.streams.get_mut(&ssrc) {
                    arrivals.request(seq);
                }
            }
        }

        self.passage.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.passage.outbound.pop_front()
    }
}

impl Interceptor for RepairTap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.entry(info.ssrc).or_insert(None);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_as_lost_until_it_is_filled() {
        let mut arrivals = Arrivals::new(65_534);
        assert_eq!(arrivals.arrive(65_535), Change::default(), "no gap");
        assert_eq!(
            arrivals.arrive(2).newly_lost,
            2,
            "0 and 1 are missing across the wrap"
        );

        arrivals.request(0);
        let change = arrivals.arrive(0);
        assert!(
            change.filled && change.recovered,
            "0 was asked for and came"
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
    fn a_restarted_stream_is_not_a_loss_of_thousands() {
        let mut arrivals = Arrivals::new(0);
        assert_eq!(arrivals.arrive(20_000).newly_lost, 0, "beyond the window");
        assert_eq!(
            arrivals.arrive(20_002).newly_lost,
            1,
            "counting goes on from there"
        );
    }
}
