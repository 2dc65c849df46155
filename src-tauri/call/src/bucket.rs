//! Limits on how often something may happen. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// For long.
    pub(crate) per_second: f64,
    /// At once.
    pub(crate) capacity: f64,
}

impl Rate {
    /// `per_second`, of which as much as comes in `burst` may come at once: a path that stalled delivers
    /// everything together.
    pub(crate) const fn with_burst(per_second: f64, burst: Duration) -> Self {
        Self {
            per_second,
            capacity: per_second * burst.as_secs() as f64,
        }
    }
}

/// A token bucket, full at first.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    left: f64,
    filled: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: rate.capacity,
            filled: None,
        }
    }

    /// Whether `amount` is left.
    pub(crate) fn has(&mut self, now: Instant, amount: f64) -> bool {
        let then = self.filled.map_or(now, |then| then.min(now));
        let passed = now.saturating_duration_since(then).as_secs_f64();
        self.left = (self.left + passed * self.rate.per_second).min(self.rate.capacity);
        self.filled = self.filled.max(Some(now));
        self.left >= amount
    }

    /// Takes `amount` out, if that much is left.
    pub(crate) fn take(&mut self, now: Instant, amount: f64) -> bool {
        let has = self.has(now, amount);
        if has {
            self.left -= amount;
        }

        has
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "any moment will do as the start")]

    use super::*;

    const RATE: Rate = Rate::with_burst(10.0, Duration::from_secs(2));

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (mut bucket, start) = (Bucket::new(RATE), Instant::now());
        assert!(bucket.take(start, 20.0));
        assert!(!bucket.take(start, 1.0));
        let mut passed = |from: u32, to: u32| {
            let mut moments = (from..to).map(|ms| start + Duration::from_millis(1) * ms);
            let mut count = 0;
            moments
                .by_ref()
                .for_each(|now| count += u32::from(bucket.take(now, 1.0)));
            count
        };
        assert_eq!(passed(1, 1_001), 10);
        assert_eq!(passed(60_000, 60_001), 1);
        assert_eq!(
            passed(60_001, 60_100),
            19,
            "no more than the capacity was saved"
        );
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let (mut bucket, start) = (Bucket::new(RATE), Instant::now());
        let later = start + Duration::from_secs(5);
        assert!(bucket.take(later, 20.0));
        assert!(!bucket.take(start, 1.0));
        assert!(
            !bucket.take(later, 1.0),
            "the time between is not counted twice"
        );
    }
}
