//! When the partner was last heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// The moment of the partner's newest packet, RTP or RTCP, readable from any thread.
#[derive(Debug)]
pub struct LastHeard {
    epoch: Instant,
    /// Microseconds since `epoch`; 0: never.
    micros: AtomicU64,
}

impl LastHeard {
    /// Nothing heard yet. `now` comes before anything that will be heard.
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch: now,
            micros: AtomicU64::new(0),
        })
    }

    fn hear(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.epoch).as_micros();
        self.micros
            .fetch_max(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// When the newest packet came in.
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        match self.micros.load(Relaxed) {
            0 => None,
            micros => Some(self.epoch + Duration::from_micros(micros)),
        }
    }
}

/// Lets everything pass and notes when something came in. It sits behind SRTP, so only the partner can be heard.
pub(super) struct Ear {
    heard: Arc<LastHeard>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Ear {
    pub(super) fn new(heard: Arc<LastHeard>) -> Self {
        Self {
            heard,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Ear {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.heard.hear(packet.now);
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Ear {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_moment_counts() {
        let begin = Instant::now();
        let heard = LastHeard::new(begin);
        assert_eq!(heard.at(), None, "silence so far");
        heard.hear(begin + Duration::from_millis(20));
        heard.hear(begin + Duration::from_millis(10));

        assert_eq!(
            heard.at(),
            Some(begin + Duration::from_millis(20)),
            "time does not go back"
        );
    }
}
