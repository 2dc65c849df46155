//! How fast the page may ask: a broken or hostile page must not keep the app from working.

use std::time::{Duration, Instant};

/// A token bucket: `burst` at once, one more each `interval`.
#[derive(Debug)]
pub(super) struct RateLimit {
    burst: u32,
    interval: Duration,
    left: u32,
    refilled: Instant,
}

impl RateLimit {
    /// A full bucket.
    #[must_use]
    pub(super) fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self {
            burst,
            interval,
            left: burst,
            refilled: now,
        }
    }

    /// Whether one more is allowed now.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled);
        let more =
            u32::try_from(elapsed.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(u32::MAX);

        if more >= self.burst - self.left {
            self.left = self.burst;
            self.refilled = now;
        } else {
            self.left += more;
            self.refilled += self.interval * more;
        }

        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, Duration::from_millis(100), start);
        let allowed = (0..1_000)
            .filter(|ms| limit.allow(start + Duration::from_millis(*ms)))
            .count();

        assert_eq!(allowed, 10 + 9, "ten at once, then one each 100 ms");
        assert!(
            limit.allow(start + Duration::from_secs(60)),
            "and all is well again afterwards"
        );
    }

    #[test]
    fn time_that_stands_still_or_jumps_is_no_trouble() {
        let start = Instant::now();
        let mut limit = RateLimit::new(3, Duration::from_millis(100), start);
        let later = start + Duration::from_secs(1_000_000);

        assert!(limit.allow(later), "a long pause fills the bucket, no more");
        assert_eq!(
            (0..10).filter(|_| limit.allow(start)).count(),
            2,
            "a clock that goes back gives nothing"
        );
    }
}
