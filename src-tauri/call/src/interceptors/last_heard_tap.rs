//! Remembers when the partner was last heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rtc::interceptor::TaggedPacket;

use super::Tap;

/// When the partner's newest packet arrived, RTP or RTCP. Readable from any thread.
#[derive(Debug)]
pub(crate) struct LastHeard {
    epoch: Instant,
    /// Microseconds since `epoch`; 0 means never.
    micros: AtomicU64,
}

impl LastHeard {
    /// Nothing heard yet. `now` must come before anything that will be heard.
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch: now,
            micros: AtomicU64::new(0),
        })
    }

    fn record(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.epoch).as_micros();
        self.micros
            .fetch_max(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// When the newest packet arrived.
    pub(crate) fn at(&self) -> Option<Instant> {
        match self.micros.load(Relaxed) {
            0 => None,
            micros => Some(self.epoch + Duration::from_micros(micros)),
        }
    }
}

/// Records in [`LastHeard`] when something arrives. It sits behind SRTP, so only the partner
/// counts.
pub(crate) struct LastHeardTap {
    heard: Arc<LastHeard>,
}

impl LastHeardTap {
    /// A tap that records in `heard`.
    pub(crate) fn new(heard: Arc<LastHeard>) -> Self {
        Self { heard }
    }
}

impl Tap for LastHeardTap {
    fn on_read(&mut self, packet: &mut TaggedPacket) {
        self.heard.record(packet.now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    #[test]
    fn the_newest_moment_counts() {
        let begin = Instant::now();
        let heard = LastHeard::new(begin);
        assert_eq!(heard.at(), None, "nothing heard yet");

        heard.record(begin + Duration::from_millis(20));
        heard.record(begin + Duration::from_millis(10));
        assert_eq!(
            heard.at(),
            Some(begin + Duration::from_millis(20)),
            "time does not go back"
        );
    }
}
