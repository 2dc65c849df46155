//! Limits what a partner's packets may cost: RTCP that asks for too much work is dropped, and a
//! flood is noticed.

use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::transport_feedbacks::cc_feedback_report::CcFeedbackReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::shared::marshal::MarshalSize;

use super::Tap;
use crate::bucket::{Bucket, Rate};
use crate::link::LinkState;

/// What RTCP may ask for: statuses of packets, packets to send again, and a unit for each message. A
/// partner that gets 10 Mbit/s reports about 1,000 packets a second, and requests some of them
/// again a few times.
const WORK: Rate = Rate::with_burst(10_000.0, Duration::from_secs(2));
/// RTCP packets. Feedback comes 20 times a second, requests at most every 20 ms for each stream.
const RTCP_PACKETS: Rate = Rate::with_burst(1_000.0, Duration::from_secs(5));
/// RTP packets, audio of 2.5 ms and 30 Mbit/s of video included.
const RTP_PACKETS: Rate = Rate::with_burst(5_000.0, Duration::from_secs(5));
/// Bits of RTP: twelve times what Tandem and browsers send unless they are told otherwise.
const RTP_BITS: Rate = Rate::with_burst(30e6, Duration::from_secs(5));

/// The first to see what arrives. A flood is published in [`LinkState::is_flooded`].
pub(crate) struct FloodGuard {
    link: Arc<LinkState>,
    work: Bucket,
    rtcp_packets: Bucket,
    rtp_packets: Bucket,
    rtp_bits: Bucket,
}

impl FloodGuard {
    /// A guard that publishes in `link`.
    pub(crate) fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            work: Bucket::new(WORK),
            rtcp_packets: Bucket::new(RTCP_PACKETS),
            rtp_packets: Bucket::new(RTP_PACKETS),
            rtp_bits: Bucket::new(RTP_BITS),
        }
    }
}

impl Tap for FloodGuard {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        let now = packet.now;
        match &mut packet.message.packet {
            Packet::Rtp(rtp) => {
                let bits = rtp.marshal_size() as f64 * 8.0;
                let is_usual = self.rtp_packets.take(now, 1.0) && self.rtp_bits.take(now, bits);
                if !is_usual {
                    self.link.publish_flood();
                }
            }
            Packet::Rtcp(packets) => {
                if !self.rtcp_packets.take(now, 1.0) {
                    self.link.publish_flood();
                }

                packets.retain(|packet| self.work.take(now, work(&**packet)));
            }
            _ => {}
        }
    }
}

/// How much work an RTCP packet asks for.
fn work(packet: &dyn rtc::rtcp::Packet) -> f64 {
    let any = packet.as_any();
    let elements = if let Some(feedback) = any.downcast_ref::<TransportLayerCc>() {
        usize::from(feedback.packet_status_count)
    } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
        let requested = |nacks: u16| 1 + nacks.count_ones() as usize;
        nack.nacks
            .iter()
            .map(|pair| requested(pair.lost_packets))
            .sum()
    } else if let Some(feedback) = any.downcast_ref::<CcFeedbackReport>() {
        let blocks = feedback.report_blocks.iter();
        blocks.map(|block| block.metric_blocks.len()).sum()
    } else {
        packet.destination_ssrc().len()
    };

    1.0 + elements as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use std::time::Instant;

    use bytes::Bytes;
    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
    use rtc::rtp::header::Header;
    use rtc::shared::TransportContext;

    use super::*;
    use crate::link::Bitrate;

    fn guard() -> (FloodGuard, Arc<LinkState>) {
        let link = Arc::new(LinkState::new(Bitrate::from_bps(1e6)));
        (FloodGuard::new(Arc::clone(&link)), link)
    }

    fn read(guard: &mut FloodGuard, now: Instant, packet: Packet) -> Packet {
        let mut tagged = TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        };
        guard.on_read(&mut tagged);
        tagged.message.packet
    }

    fn rtp(bytes: usize) -> Packet {
        Packet::Rtp(rtc::rtp::packet::Packet {
            header: Header::default(),
            payload: Bytes::from(vec![0; bytes]),
        })
    }

    /// Requests 17 packets with each of `pairs`.
    fn nack(pairs: usize) -> Packet {
        let pair = NackPair {
            packet_id: 0,
            lost_packets: u16::MAX,
        };
        Packet::Rtcp(vec![Box::new(TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: 2,
            nacks: vec![pair; pairs],
        })])
    }

    /// Plays a packet every `micros` for `seconds`. Returns how many RTCP messages passed.
    fn play(
        guard: &mut FloodGuard,
        micros: u64,
        seconds: u64,
        packet: impl Fn() -> Packet,
    ) -> usize {
        let start = Instant::now();
        let times =
            (0..seconds * 1_000_000 / micros).map(|n| start + Duration::from_micros(n * micros));
        times
            .map(|now| match read(guard, now, packet()) {
                Packet::Rtcp(packets) => packets.len(),
                _ => 0,
            })
            .sum()
    }

    #[test]
    fn what_honest_partners_send_passes() {
        let (mut guard, link) = guard();
        // 10 Mbit/s, and feedback and requests as often as they come at 20 % loss.
        play(&mut guard, 960, 60, || rtp(1_200));
        let passed = play(&mut guard, 20_000, 60, || nack(12));

        assert_eq!(passed, 3_000, "every request");
        assert!(!link.is_flooded());
    }

    #[test]
    fn floods_are_noticed() {
        let pli = || -> Packet {
            Packet::Rtcp(vec![Box::new(PictureLossIndication {
                sender_ssrc: 1,
                media_ssrc: 2,
            })])
        };
        let floods: [(&str, u64, &dyn Fn() -> Packet); 3] = [
            ("50 Mbit/s", 192, &|| rtp(1_200)),
            ("10,000 tiny packets a second", 100, &|| rtp(1)),
            ("3,000 keyframe requests a second", 333, &pli),
        ];

        for (name, micros, packet) in floods {
            let (mut guard, link) = guard();
            play(&mut guard, micros, 2, packet);
            assert!(!link.is_flooded(), "{name}: a burst may be the path's");
            play(&mut guard, micros, 30, packet);
            assert!(link.is_flooded(), "{name}");
        }
    }

    #[test]
    fn requests_for_more_than_anyone_sends_are_dropped() {
        let (mut guard, _) = guard();
        let passed = play(&mut guard, 10_000, 10, || nack(300));
        let requested = passed * 300 * 17;
        assert!(
            (20_000..=121_000).contains(&requested),
            "{requested} of 5,100,000 requested packets in ten seconds"
        );

        let statuses = Packet::Rtcp(vec![Box::new(TransportLayerCc {
            packet_status_count: u16::MAX,
            ..TransportLayerCc::default()
        })]);
        let Packet::Rtcp(left) = read(&mut guard, Instant::now(), statuses) else {
            panic!("it stays RTCP");
        };
        assert!(
            left.is_empty(),
            "nobody has sent 65,535 packets since the last report"
        );
    }
}
