//! How much may come in a span of time: the generic cell rate algorithm, which needs one time stamp for each meter.
//!
//! Sans-IO: the time is an argument.

use std::time::{Duration, Instant};

/// So much in a second, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// What one unit costs; zero: no limit.
    unit: Duration,
    /// How much cost may be ahead of time.
    burst: Duration,
}

impl Rate {
    /// `units` in each `span`, of which `burst` may come at once. Zero units: no limit.
    pub(crate) fn new(units: u32, span: Duration, burst: u32) -> Self {
        if units == 0 {
            return Self {
                unit: Duration::ZERO,
                burst: Duration::ZERO,
            };
        }

        // Rounded up to whole nanoseconds: never more than was allowed. Above one unit a nanosecond nothing is limited.
        let unit = Duration::from_nanos(
            u64::try_from(span.as_nanos())
                .unwrap_or(u64::MAX)
                .div_ceil(u64::from(units)),
        );

        Self {
            unit,
            burst: unit.saturating_mul(burst.max(1)),
        }
    }

    /// Nothing is ever refused.
    pub(crate) fn is_unlimited(self) -> bool {
        self.unit.is_zero()
    }
}

/// What has been taken of a [`Rate`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    /// When all that was taken is paid for.
    paid: Option<Instant>,
}

impl Meter {
    /// Takes `units`, or says after what time they could be had. A refusal takes nothing.
    ///
    /// # Errors
    /// The time to wait. More units than the burst can never be had; the time is then that of the whole burst.
    pub(crate) fn take(&mut self, rate: Rate, units: u32, now: Instant) -> Result<(), Duration> {
        if rate.is_unlimited() {
            return Ok(());
        }

        let cost = rate.unit.saturating_mul(units);
        let ahead = self
            .paid
            .map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        let after = ahead.saturating_add(cost);

        if after > rate.burst {
            return Err((after - rate.burst).min(rate.burst));
        }

        self.paid = Some(now + after);
        Ok(())
    }

    /// Takes `units` whatever was taken before: they have come already. Gives how long nothing more should come, at
    /// most `limit`, beyond which the debt is forgiven.
    pub(crate) fn charge(
        &mut self,
        rate: Rate,
        units: u32,
        now: Instant,
        limit: Duration,
    ) -> Option<Duration> {
        if rate.is_unlimited() {
            return None;
        }

        let cost = rate.unit.saturating_mul(units);
        let ahead = self
            .paid
            .map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        let after = ahead
            .saturating_add(cost)
            .min(rate.burst.saturating_add(limit));
        self.paid = Some(now + after);

        after.checked_sub(rate.burst).filter(|wait| !wait.is_zero())
    }

    /// All that was taken is paid for: the meter is as good as new.
    pub(crate) fn is_idle(self, now: Instant) -> bool {
        self.paid.is_none_or(|paid| paid <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_burst_and_then_the_rate() {
        let rate = Rate::new(10, SECOND, 20);
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at_once = (0..100)
            .filter(|_| meter.take(rate, 1, start).is_ok())
            .count();

        assert_eq!(at_once, 20, "the burst");
        assert_eq!(
            meter.take(rate, 1, start),
            Err(SECOND / 10),
            "the time until one more"
        );

        let later = (0..100)
            .filter(|_| meter.take(rate, 1, start + SECOND).is_ok())
            .count();
        assert_eq!(later, 10, "a second later ten more");
    }

    #[test]
    fn zero_is_no_limit() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let rate = Rate::new(0, SECOND, 1);
        assert!((0..10_000).all(|_| meter.take(rate, u32::MAX, now).is_ok()));
        assert_eq!(meter.charge(rate, u32::MAX, now, SECOND), None);
    }

    #[test]
    fn what_came_already_is_waited_for_but_not_for_ever() {
        let rate = Rate::new(100, SECOND, 100);
        let (mut meter, now) = (Meter::default(), Instant::now());
        assert_eq!(
            meter.charge(rate, 100, now, 5 * SECOND),
            None,
            "the burst is free"
        );

        assert_eq!(
            meter.charge(rate, 50, now, 5 * SECOND),
            Some(SECOND / 2),
            "half a second's worth too much"
        );

        assert_eq!(
            meter.charge(rate, 1_000_000, now, 5 * SECOND),
            Some(5 * SECOND),
            "the limit"
        );

        assert!(
            !meter.is_idle(now + 5 * SECOND) && meter.is_idle(now + 6 * SECOND),
            "it is paid off in the end"
        );
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_burst_and_rate(
            units in 1u32..500, burst in 1u32..500, steps in prop::collection::vec((0u64..200, 1u32..20), 1..200),
        ) {
            let rate = Rate::new(units, SECOND, burst);
            let (mut meter, start) = (Meter::default(), Instant::now());
            let mut now = start;
            let mut passed: Vec<(Instant, u32)> = Vec::new();

            for (pause, cost) in steps {
                now += Duration::from_millis(pause);
                match meter.take(rate, cost, now) {
                    Ok(()) => passed.push((now, cost)),
                    Err(wait) if cost <= burst => {
                        let mut later = meter;
                        prop_assert!(later.take(rate, cost, now + wait).is_ok(), "the wait that was told is enough");
                    }
                    Err(_) => {}
                }
            }

            for (from, (begin, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (at, cost) in &passed[from..] {
                    sum += u64::from(*cost);
                    let window = at.duration_since(*begin).as_secs_f64();
                    prop_assert!(sum as f64 <= f64::from(burst) + f64::from(units) * window + 1e-6);
                }
            }
        }
    }
}
