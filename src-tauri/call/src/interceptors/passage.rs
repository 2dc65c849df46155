//! The two queues every interceptor needs.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::shared::TransportContext;

/// Packets on their way through an interceptor: `handle_*` puts them in, `poll_*` takes them out.
#[derive(Default)]
pub(crate) struct Passage {
    /// Network to application.
    pub(crate) inbound: VecDeque<TaggedPacket>,
    /// Application to network.
    pub(crate) outbound: VecDeque<TaggedPacket>,
}

impl Passage {
    /// Queues RTCP of our own towards the network.
    pub(crate) fn send_rtcp(&mut self, now: Instant, packet: Box<dyn rtc::rtcp::Packet>) {
        self.outbound.push_back(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![packet])),
        });
    }
}
