//! The rate limit for commands: a broken or hostile page must not block the app.

use std::time::{Duration, Instant};

/// A token bucket: allows `burst` at once and one more per `interval`.
#[derive(Debug)]
pub(super) struct RateLimit {
    burst: u32,
    interval: Duration,
    /// Tokens in the bucket.
    left: u32,
    /// Up to when `left` counts refills.
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

    /// Takes a token. Whether there was one.
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
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_a_flood_is_limited() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, Duration::from_millis(100), start);
        let allowed = (0..1_000)
            .filter(|ms| limit.allow(start + Duration::from_millis(*ms)))
            .count();

        assert_eq!(allowed, 10 + 9, "ten at once, then one per 100 ms");
        assert!(
            limit.allow(start + Duration::from_secs(60)),
            "allowed again after a pause"
        );
    }

    #[test]
    fn clocks_that_stop_or_jump_are_harmless() {
        let start = Instant::now();
        let mut limit = RateLimit::new(3, Duration::from_millis(100), start);
        let later = start + Duration::from_secs(1_000_000);

        assert!(limit.allow(later), "a long pause fills the bucket");
        assert_eq!(
            (0..10).filter(|_| limit.allow(start)).count(),
            2,
            "a clock that goes back adds nothing"
        );
    }
}
