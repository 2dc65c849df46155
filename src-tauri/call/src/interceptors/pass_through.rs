//! What all interceptors that let every packet pass have in common.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

/// Observes packets on their way through the interceptor chain. It may mark them, add RTCP of its
/// own and take RTCP messages out, but it neither holds RTP back nor drops it. Every method does nothing by default.
pub(crate) trait Tap: Send + Sync {
    /// A packet passes from the network to the application.
    fn on_read(&mut self, _packet: &mut TaggedPacket) {}

    /// A packet passes from the application to the network.
    fn on_write(&mut self, _packet: &TaggedPacket) {}

    /// Time passed. Returns RTCP packets to send.
    fn on_timeout(&mut self, _now: Instant) -> Vec<Box<dyn rtc::rtcp::Packet>> {
        Vec::new()
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// A stream of this side begins.
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    /// A stream of this side ends.
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    /// A stream of the partner begins.
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    /// A stream of the partner ends.
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// The interceptor around a [`Tap`]: two queues through which all packets pass.
pub(crate) struct PassThrough<T> {
    tap: T,
    /// Network to application.
    inbound: VecDeque<TaggedPacket>,
    /// Application to network.
    outbound: VecDeque<TaggedPacket>,
}

impl<T: Tap> PassThrough<T> {
    /// An interceptor for `tap`.
    pub(crate) fn new(tap: T) -> Self {
        Self {
            tap,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        }
    }
}

impl<T: Tap> Protocol<TaggedPacket, TaggedPacket, ()> for PassThrough<T> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        self.tap.on_read(&mut packet);
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.tap.on_write(&packet);
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for packet in self.tap.on_timeout(now) {
            self.outbound.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![packet])),
            });
        }

        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.tap.next_timeout()
    }
}

impl<T: Tap> Interceptor for PassThrough<T> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.tap.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.tap.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.tap.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.tap.unbind_remote_stream(info);
    }
}
