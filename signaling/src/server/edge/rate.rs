//! Rate limits: the generic cell rate algorithm (ITU-T I.371), a token bucket that needs only one
//! timestamp.
//!
//! Each unit takes a fixed time, and a meter holds the moment at which all units taken so far have
//! passed at the allowed rate. That moment may lie ahead of the present by at most the time of the
//! burst.
//!
//! Sans-IO: the time is an argument.

use std::time::{Duration, Instant};

/// How many units are allowed in a span of time, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The time of one unit; zero: no limit.
    unit: Duration,
    /// How far ahead of the present a meter may be.
    burst: Duration,
}

impl Rate {
    /// `units` per `span`; up to `burst` may come at once. Zero units: no limit. A burst of 0
    /// counts as 1.
    pub(crate) fn new(units: u32, span: Duration, burst: u32) -> Self {
        if units == 0 {
            return Self {
                unit: Duration::ZERO,
                burst: Duration::ZERO,
            };
        }

        // Rounded up to whole nanoseconds, so that never more than `units` pass.
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

    /// Whether everything is allowed.
    pub(crate) fn is_unlimited(self) -> bool {
        self.unit.is_zero()
    }
}

/// How much of a [`Rate`] has been used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    /// When all units taken so far have passed at the allowed rate.
    busy_until: Option<Instant>,
}

impl Meter {
    /// Takes `units` if they are allowed now, else nothing.
    ///
    /// # Errors
    /// How long to wait before asking again, at most the time that a whole burst takes. More units
    /// than the burst are never allowed.
    pub(crate) fn take(&mut self, rate: Rate, units: u32, now: Instant) -> Result<(), Duration> {
        if rate.is_unlimited() {
            return Ok(());
        }

        let after = self.ahead_with(rate, units, now);
        if after > rate.burst {
            return Err((after - rate.burst).min(rate.burst));
        }

        self.busy_until = Some(now + after);
        Ok(())
    }

    /// Takes `units` that have already arrived, whether or not they are allowed. Returns how long
    /// to wait until they fit into the burst, at most `limit`; anything beyond that is forgotten.
    /// `None`: no wait.
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

        let after = self
            .ahead_with(rate, units, now)
            .min(rate.burst.saturating_add(limit));
        self.busy_until = Some(now + after);

        after.checked_sub(rate.burst).filter(|wait| !wait.is_zero())
    }

    /// Gives `units` back that were taken and not used.
    pub(crate) fn give_back(&mut self, rate: Rate, units: u32) {
        let time = rate.unit.saturating_mul(units);
        self.busy_until = self.busy_until.and_then(|until| until.checked_sub(time));
    }

    /// Whether all units taken have passed. The meter then allows as much as a new one.
    pub(crate) fn is_idle(self, now: Instant) -> bool {
        self.busy_until.is_none_or(|busy_until| busy_until <= now)
    }

    /// How far ahead of `now` the meter is once `units` more are taken.
    fn ahead_with(self, rate: Rate, units: u32, now: Instant) -> Duration {
        let ahead = self.busy_until.map_or(Duration::ZERO, |busy_until| {
            busy_until.saturating_duration_since(now)
        });
        ahead.saturating_add(rate.unit.saturating_mul(units))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_burst_passes_at_once_and_then_the_rate() {
        let rate = Rate::new(10, SECOND, 20);
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at_once = (0..100)
            .filter(|_| meter.take(rate, 1, start).is_ok())
            .count();

        assert_eq!(at_once, 20, "the burst");
        assert_eq!(
            meter.take(rate, 1, start),
            Err(SECOND / 10),
            "the wait for one more"
        );

        let later = (0..100)
            .filter(|_| meter.take(rate, 1, start + SECOND).is_ok())
            .count();
        assert_eq!(later, 10, "ten more a second later");
    }

    #[test]
    fn zero_units_are_no_limit() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let rate = Rate::new(0, SECOND, 1);
        assert!(
            (0..10_000).all(|_| meter.take(rate, u32::MAX, now).is_ok()),
            "zero units: no limit"
        );
        assert_eq!(
            meter.charge(rate, u32::MAX, now, SECOND),
            None,
            "zero units: no wait"
        );
    }

    #[test]
    fn excess_is_waited_for_up_to_a_limit() {
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
            "it is paid for in the end"
        );
    }

    proptest! {
        #[test]
        fn no_window_lets_more_pass_than_burst_and_rate(
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
                        prop_assert!(later.take(rate, cost, now + wait).is_ok(), "waiting as long as returned is enough");
                    }
                    Err(_) => {}
                }
            }

            for (from, (begin, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (at, cost) in &passed[from..] {
                    sum += u64::from(*cost);
                    let window = at.duration_since(*begin).as_secs_f64();
                    prop_assert!(
                        sum as f64 <= f64::from(burst) + f64::from(units) * window + 1e-6,
                        "no window exceeds burst and rate"
                    );
                }
            }
        }
    }
}
