//! Lets the partner's keyframe requests through to the application.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::Passage;
use super::repair_tap::keyframe_requests;
use crate::link::LinkState;

/// Marks inbound PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) as meant for the application; the chain's end stops all
/// other RTCP.
pub struct KeyframeTap {
    link: Arc<LinkState>,
    passage: Passage,
}

impl KeyframeTap {
    /// A tap that counts requests in `link`.
    pub fn new(link: Arc<LinkState>) -> Self {
        Self {
            link,
            passage: Passage::default(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeTap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            let requests = keyframe_requests(packets);
            if requests > 0 {
                self.link.plis_received.fetch_add(requests, Relaxed);
                msg.message.add(Attribute::DeliverToApplication);
            }
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
}

impl Interceptor for KeyframeTap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
