//! Lets the partner's keyframe requests through to the application.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rtc::interceptor::{Attribute, Packet, TaggedPacket};
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

/// Marks inbound keyframe requests for delivery to the application; the end of the chain stops all
/// other RTCP.
pub(crate) struct KeyframeTap {
    link: Arc<LinkState>,
}

impl KeyframeTap {
    /// A tap that counts requests in `link`.
    pub(crate) fn new(link: Arc<LinkState>) -> Self {
        Self { link }
    }
}

impl Tap for KeyframeTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        let Packet::Rtcp(packets) = &packet.message.packet else {
            return;
        };

        let requests = keyframe_requests(packets);
        if requests > 0 {
            self.link.plis_received.fetch_add(requests, Relaxed);
            packet.message.add(Attribute::DeliverToApplication);
        }
    }
}
