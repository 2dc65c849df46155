//! How long to wait before the next attempt: exponential backoff with full jitter.

use std::time::Duration;

/// A growing ceiling for the pause between attempts; each pause is a random part of it ("full jitter"), so that clients
/// that lost the same relay do not come back at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// No pause is longer than a day, whatever was asked for.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    /// The ceiling of the first pause is `initial`; it doubles with each attempt and never exceeds `cap`.
    #[must_use]
    pub fn new(initial: Duration, cap: Duration) -> Self {
        let cap = cap.min(Self::LONGEST);
        let initial = initial.min(cap);
        Self {
            initial,
            cap,
            ceiling: initial,
        }
    }

    /// The next pause, from zero to the ceiling, given a random number `unit` from 0 to 1.
    pub fn next_delay(&mut self, unit: f64) -> Duration {
        let delay = self.ceiling.mul_f64(if unit.is_nan() {
            1.0
        } else {
            unit.clamp(0.0, 1.0)
        });

        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        delay
    }

    /// Begins anew, after an attempt that was good.
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
    fn ceilings_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u128> = (0..8)
            .map(|_| backoff.next_delay(1.0).as_millis())
            .collect();
        assert_eq!(
            ceilings,
            [300, 600, 1200, 2400, 4800, 7000, 7000, 7000],
            "300 ms doubled, 7 s at most"
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
            "a broken random source only waits"
        );
    }

    #[test]
    fn reset_begins_anew_and_nothing_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(u64::MAX / 2), Duration::MAX);
        for _ in 0..100 {
            assert_eq!(
                backoff.next_delay(1.0),
                Backoff::LONGEST,
                "an absurd pause is cut to a day"
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
