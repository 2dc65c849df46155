//! Lets the partner's keyframe requests through to the application.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rtc::interceptor::{Attribute, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;

use super::Tap;
use crate::link::LinkState;

/// Counts the keyframe requests among `packets`: PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1).
pub(crate) fn keyframe_requests(packets: &[Box<dyn rtc::rtcp::Packet>]) -> u64 {
    packets
        .iter()
        .map(|packet| packet.as_any())
        .filter(|packet| packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>())
        .count() as u64
}

/// Which of `streams` a packet requests a keyframe of.
fn requested(packet: &dyn rtc::rtcp::Packet, streams: &HashSet<u32>) -> Option<u32> {
    let any = packet.as_any();
    if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
        return streams.get(&pli.media_ssrc).copied();
    }

    let fir = any.downcast_ref::<FullIntraRequest>()?;
    let mut entries = fir.fir.iter();
    entries.find_map(|entry| streams.get(&entry.ssrc).copied())
}

/// Passes keyframe requests for streams of this side to the application; the end of the chain stops
/// all other RTCP. What else came in the same packet is taken out: the library asks only the first
/// message which track the packet is for, and a receiver report without blocks names none.
pub(crate) struct KeyframeTap {
    link: Arc<LinkState>,
    /// The SSRCs of what this side sends.
    local: HashSet<u32>,
}

impl KeyframeTap {
    /// A tap that counts requests in `link`.
    pub(crate) fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            local: HashSet::new(),
        }
    }
}

impl Tap for KeyframeTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        let Packet::Rtcp(packets) = &mut packet.message.packet else {
            return;
        };

        let local = &self.local;
        packets.retain(|packet| requested(&**packet, local).is_some());
        let Some(media_ssrc) = packets
            .first()
            .and_then(|packet| requested(&**packet, local))
        else {
            return;
        };

        self.link
            .plis_received
            .fetch_add(packets.len() as u64, Relaxed);
        // A FIR may name other streams first.
        *packets = vec![Box::new(PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc,
        })];
        packet.message.add(Attribute::DeliverToApplication);
    }

    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.local.insert(info.ssrc);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.local.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "any moment will do")]

    use std::time::Instant;

    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtcp::receiver_report::ReceiverReport;
    use rtc::shared::TransportContext;

    use super::*;
    use crate::link::Bitrate;

    const LOCAL: u32 = 7;

    fn pli(media_ssrc: u32) -> Box<dyn rtc::rtcp::Packet> {
        Box::new(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc,
        })
    }

    fn fir(ssrcs: &[u32]) -> Box<dyn rtc::rtcp::Packet> {
        let entry = |&ssrc| FirEntry {
            ssrc,
            sequence_number: 1,
        };
        Box::new(FullIntraRequest {
            sender_ssrc: 1,
            media_ssrc: 0,
            fir: ssrcs.iter().map(entry).collect(),
        })
    }

    /// What the application gets of these messages in one packet, and how many requests are counted.
    fn delivered(packets: Vec<Box<dyn rtc::rtcp::Packet>>) -> (Option<Vec<u32>>, u64) {
        let link = Arc::new(LinkState::new(Bitrate::from_bps(1e6)));
        let mut tap = KeyframeTap::new(Arc::clone(&link));
        tap.bind_local_stream(&StreamInfo {
            ssrc: LOCAL,
            ..StreamInfo::default()
        });
        let mut tagged = TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(packets)),
        };
        tap.on_read(&mut tagged);

        let is_delivered = tagged.message.has(&Attribute::DeliverToApplication);
        let Packet::Rtcp(left) = &tagged.message.packet else {
            panic!("it stays RTCP");
        };
        let first = left.first().map(|packet| packet.destination_ssrc());
        (first.filter(|_| is_delivered), link.repair().plis_received)
    }

    #[test]
    fn a_request_is_found_wherever_it_is_in_its_packet() {
        let empty_report = || -> Box<dyn rtc::rtcp::Packet> { Box::new(ReceiverReport::default()) };
        let ours = Some(vec![LOCAL]);

        assert_eq!(delivered(vec![pli(LOCAL)]), (ours.clone(), 1));
        assert_eq!(
            delivered(vec![empty_report(), pli(LOCAL)]),
            (ours.clone(), 1),
            "RFC 3550 §6.1 has a report first"
        );
        assert_eq!(
            delivered(vec![pli(9), pli(LOCAL), pli(LOCAL)]),
            (ours.clone(), 2)
        );
        assert_eq!(delivered(vec![fir(&[9, LOCAL])]), (ours, 1));
    }

    #[test]
    fn requests_for_other_streams_do_not_count() {
        assert_eq!(delivered(vec![pli(9), fir(&[8, 9])]), (None, 0));
        assert_eq!(delivered(Vec::new()), (None, 0));
    }
}
