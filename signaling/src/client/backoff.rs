//! How long to wait before the next attempt: exponential backoff with full jitter.

use std::time::Duration;

/// Delays between attempts. A ceiling doubles with each attempt up to a cap, and each delay is a
/// random part of it ("full jitter"), so that clients that lost the same server do not all return
/// at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// No delay is longer than a day, whatever `cap` says.
    const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// The first delay is at most `initial`. The ceiling doubles with each attempt, up to `cap`.
    #[must_use]
    pub fn new(initial: Duration, cap: Duration) -> Self {
        let cap = cap.min(Self::MAX_DELAY);
        let initial = initial.min(cap);
        Self {
            initial,
            cap,
            ceiling: initial,
        }
    }

    /// The next delay: `random`, from 0 to 1, times the ceiling.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        let random = if random.is_nan() {
            1.0
        } else {
            random.clamp(0.0, 1.0)
        };
        let delay = self.ceiling.mul_f64(random);

        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        delay
    }

    /// Starts over with the first ceiling, after an attempt that succeeded.
    pub fn reset(&mut self) {
        self.ceiling = self.initial;
    }
}

impl Default for Backoff {
    /// 300 ms, doubled up to 7 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(300), Duration::from_secs(7))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u128> = (0..8)
            .map(|_| backoff.next_delay(1.0).as_millis())
            .collect();
        assert_eq!(
            ceilings,
            [300, 600, 1200, 2400, 4800, 7000, 7000, 7000],
            "300 ms doubled, at most 7 s"
        );
    }

    #[test]
    fn jitter_takes_any_part_of_the_ceiling() {
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.next_delay(0.0),
            Duration::ZERO,
            "full jitter reaches down to zero"
        );

        assert_eq!(
            backoff.next_delay(0.5),
            Duration::from_millis(300),
            "half of the second ceiling"
        );

        assert_eq!(
            backoff.next_delay(f64::NAN),
            Duration::from_millis(1200),
            "a broken random source makes the delay as long as it can be"
        );
    }

    #[test]
    fn reset_starts_over_and_nothing_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(u64::MAX / 2), Duration::MAX);
        for _ in 0..100 {
            assert_eq!(
                backoff.next_delay(1.0),
                Backoff::MAX_DELAY,
                "a huge delay is cut to a day"
            );
        }

        let mut backoff = Backoff::default();
        backoff.next_delay(1.0);
        backoff.reset();

        assert_eq!(
            backoff.next_delay(1.0),
            Duration::from_millis(300),
            "the first ceiling again"
        );
    }
}
