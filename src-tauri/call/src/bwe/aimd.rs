//! Rate control: additive increase near the known capacity, multiplicative otherwise, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02 §5.5), with a fast start and a drain of the queue after a decrease.

use std::time::{Duration, Instant};

use super::capacity::LinkCapacity;
use super::overuse::Usage;
use super::queue::QueueSample;

/// The fast start multiplies the rate by this in a second.
const RAMP_PER_SECOND: f64 = 2.5;
/// Multiplicative increase per second, just after the last congestion and at most.
const INCREASE_PER_SECOND: f64 = 0.08;
const MAX_INCREASE_PER_SECOND: f64 = 0.40;
/// The rate never rises above what was acknowledged by more than this.
const ACKED_HEADROOM: f64 = 1.5;
const ACKED_HEADROOM_BPS: f64 = 10_000.0;
/// Decrease to this share of the capacity.
const BETA: f64 = 0.88;
/// An extra share is given up to drain the queue: one for each of this many ms of it, at most [`MAX_DRAIN`].
const DRAIN_MS: f64 = 700.0;
const MAX_DRAIN: f64 = 0.40;
/// A queue below this is drained.
const DRAINED_MS: f64 = 12.0;
/// A queue above this is not added to.
const FULL_MS: f64 = 35.0;
/// A queue that stands above this is congestion even without a trend.
const STANDING_MS: f64 = 60.0;
/// Draining ends after this, whatever the queue does.
const MAX_DRAINING: Duration = Duration::from_millis(1500);
/// Less than this share of the target on the wire: the source, not the path, limits the rate.
const APPLICATION_LIMITED: f64 = 0.6;
/// Size assumed for the additive step, bits.
const PACKET_BITS: f64 = 1200.0 * 8.0;

/// What one batch of feedback says.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// The detector's verdict.
    pub usage: Usage,
    /// The queue; `None` if nothing arrived.
    pub queue: Option<QueueSample>,
    /// Acknowledged over half a second, bits per second.
    pub acked: Option<f64>,
    /// Acknowledged over the last 150 ms: during congestion, the path's capacity right now.
    pub acked_now: Option<f64>,
    /// Round trip time.
    pub rtt: Duration,
    /// Whether loss permits an increase.
    pub may_increase: bool,
}

/// How the rate may rise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Exponentially, until the first congestion or the given rate.
    Ramp { until: f64 },
    /// Not at all: the queue drains, then the rate returns to the given one.
    Drain { since: Instant, then: f64 },
    /// Additively near the known capacity, multiplicatively away from it.
    Steady,
}

/// The rate controller.
#[derive(Debug)]
pub struct RateControl {
    target: f64,
    min: f64,
    max: f64,
    phase: Phase,
    capacity: LinkCapacity,
    updated: Option<Instant>,
    congested: Option<Instant>,
    fruitless: u32,
}

impl RateControl {
    /// Starts at `start` bits per second in the fast start.
    pub fn new(start: f64, min: f64, max: f64) -> Self {
        let phase = Phase::Ramp {
            until: f64::INFINITY,
        };

        let capacity = LinkCapacity::default();
        Self {
            target: start,
            min,
            max,
            phase,
            capacity,
            updated: None,
            congested: None,
            fruitless: 0,
        }
    }

    /// The rate, bits per second.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Whether the first congestion is still to come.
    pub fn ramping(&self) -> bool {
        matches!(self.phase, Phase::Ramp { .. })
    }

    /// Lowers the rate to `limit` if it is above.
    pub fn limit(&mut self, now: Instant, limit: f64) {
        if limit < self.target {
            self.set(limit);
            self.congested = Some(now);
            self.phase = Phase::Steady;
        }
    }

    /// Halves the rate: no word from the partner.
    pub fn back_off(&mut self) {
        self.set(self.target / 2.0);
    }

    /// Goes on at half of `before`, the rate before an outage, and rises fast towards it.
    pub fn resume(&mut self, now: Instant, before: f64) {
        self.set(self.target.max(before / 2.0));
        self.phase = Phase::Ramp { until: before };
        self.updated = Some(now);
    }

    /// Takes in a batch of feedback. Returns `true` if the delay base should be taken anew: sending less did not help, so
    /// what looks like our queue is not ours.
    pub fn update(&mut self, now: Instant, seen: Observation) -> bool {
        let elapsed = self.updated.map_or(0.05, |then| {
            now.saturating_duration_since(then).as_secs_f64().min(1.0)
        });

        self.updated = Some(now);
        let standing = seen.queue.map_or(0.0, |queue| queue.standing_ms);
        // A queue that stands is expected while it drains; one that grows is not.
        let draining = matches!(self.phase, Phase::Drain { since, .. } if now.saturating_duration_since(since) < MAX_DRAINING);
        let congestion = seen.usage == Usage::Over || (standing > STANDING_MS && !draining);

        if congestion && self.may_decrease(now, seen.rtt) {
            return self.decrease(now, seen, standing);
        }

        match self.phase {
            Phase::Drain { since, then } => {
                let drained = standing < DRAINED_MS;
                if drained || now.saturating_duration_since(since) > MAX_DRAINING {
                    self.fruitless = if drained { 0 } else { self.fruitless };
                    self.set(self.target.max(then));
                    self.phase = Phase::Steady;
                }
            }
            _ if seen.usage == Usage::Normal && standing < FULL_MS && seen.may_increase => {
                self.increase(now, seen, elapsed);
            }
            _ => {}
        }

        false
    }

    /// A decrease shows in the feedback a round trip and a feedback interval later.
    fn may_decrease(&self, now: Instant, rtt: Duration) -> bool {
        let wait = rtt.clamp(Duration::from_millis(50), Duration::from_millis(500))
            + Duration::from_millis(150);
        self.congested
            .is_none_or(|then| now.saturating_duration_since(then) >= wait)
    }

    fn decrease(&mut self, now: Instant, seen: Observation, standing: f64) -> bool {
        let Some(acked) = seen.acked else {
            return false;
        };

        self.congested = Some(now);
        if acked < APPLICATION_LIMITED * self.target && standing < STANDING_MS {
            // The rate on the wire says nothing about the capacity; the delay says: careful.
            self.set(self.target * 0.9);
            self.phase = Phase::Steady;
            return false;
        }

        // With a queue the path is busy all the time, and what arrived lately is what it carries now.
        let carried = if standing > DRAINED_MS {
            seen.acked_now.unwrap_or(acked).min(acked)
        } else {
            acked
        };

        self.capacity.observe(carried);
        let drain = (standing / DRAIN_MS).clamp(0.0, MAX_DRAIN);
        let ceiling = if let Phase::Drain { then, .. } = self.phase {
            then
        } else {
            self.target
        };

        let then = (BETA * carried).min(ceiling);
        self.set((carried * (BETA - drain)).min(self.target));
        self.fruitless = if standing > STANDING_MS {
            self.fruitless + 1
        } else {
            0
        };

        self.phase = if drain > 0.0 {
            Phase::Drain { since: now, then }
        } else {
            Phase::Steady
        };

        if self.fruitless > 5 {
            self.fruitless = 0;
            self.phase = Phase::Steady;
            return true;
        }

        false
    }

    fn increase(&mut self, now: Instant, seen: Observation, elapsed: f64) {
        self.fruitless = 0;
        if let Phase::Ramp { until } = self.phase
            && self.target >= until
        {
            self.phase = Phase::Steady;
        }

        let Some(acked) = seen.acked else { return };
        if self
            .capacity
            .upper_bound()
            .is_some_and(|bound| acked > bound)
        {
            self.capacity = LinkCapacity::default();
        }

        let raised = match self.phase {
            Phase::Ramp { until } => (self.target * RAMP_PER_SECOND.powf(elapsed)).min(until),
            _ if self.capacity.is_known() => {
                let response = (seen.rtt + Duration::from_millis(100)).as_secs_f64() * 2.0;
                self.target + (PACKET_BITS / response).max(4_000.0) * elapsed
            }
            _ => {
                let calm = self.congested.map_or(5.0, |then| {
                    now.saturating_duration_since(then).as_secs_f64()
                });

                let growth = (INCREASE_PER_SECOND * (1.0 + calm)).min(MAX_INCREASE_PER_SECOND);
                self.target * (1.0 + growth).powf(elapsed)
            }
        };

        let cap = ACKED_HEADROOM * acked + ACKED_HEADROOM_BPS;
        self.set(raised.min(cap.max(self.target)));
    }

    fn set(&mut self, target: f64) {
        self.target = target.clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(usage: Usage, acked: f64, standing_ms: f64) -> Observation {
        Observation {
            usage,
            queue: Some(QueueSample {
                standing_ms,
                mean_ms: standing_ms,
            }),
            acked: Some(acked),
            acked_now: Some(acked),
            rtt: Duration::from_millis(50),
            may_increase: true,
        }
    }

    /// Feeds one observation every 50 ms for `seconds`; the path acknowledges what `carry` makes of the target.
    fn run(
        rate: &mut RateControl,
        from: Instant,
        seconds: u32,
        usage: Usage,
        carry: impl Fn(f64) -> f64,
    ) -> Instant {
        let step = Duration::from_millis(50);
        for i in 0..seconds * 20 {
            let acked = carry(rate.target());
            rate.update(from + step * i, seen(usage, acked, 0.0));
        }

        from + step * (seconds * 20)
    }

    #[test]
    fn the_fast_start_reaches_two_megabits_in_under_three_seconds() {
        let mut rate = RateControl::new(300e3, 50e3, 3e6);
        run(&mut rate, Instant::now(), 3, Usage::Normal, |target| target);
        assert!(
            rate.target() > 2e6,
            "0.3 → 2 Mbit/s in 3 s, got {}",
            rate.target()
        );
    }

    #[test]
    fn a_source_that_sends_little_does_not_run_the_rate_away() {
        let mut rate = RateControl::new(300e3, 50e3, 10e6);
        run(&mut rate, Instant::now(), 60, Usage::Normal, |_| 200e3);
        assert!(
            rate.target() < 400e3,
            "1.5 times what was acknowledged is all that is proven, got {}",
            rate.target()
        );
    }

    #[test]
    fn jitter_under_a_source_that_sends_little_does_not_kill_the_rate() {
        let mut rate = RateControl::new(2e6, 50e3, 3e6);
        rate.update(Instant::now(), seen(Usage::Over, 50e3, 0.0));
        assert!(
            rate.target() > 1.5e6,
            "50 kbit/s of audio are not the capacity, got {}",
            rate.target()
        );
    }

    #[test]
    fn a_queue_is_drained_and_then_the_rate_returns() {
        let mut rate = RateControl::new(2e6, 50e3, 3e6);
        let start = Instant::now();
        rate.update(start, seen(Usage::Over, 1e6, 150.0));
        let draining = rate.target();

        assert!(
            draining < 0.7e6,
            "150 ms of queue need room to drain, got {draining}"
        );

        rate.update(
            start + Duration::from_millis(400),
            seen(Usage::Under, 1e6, 5.0),
        );

        assert!(
            (0.85e6..1e6).contains(&rate.target()),
            "drained: back to the capacity, got {}",
            rate.target()
        );
    }

    #[test]
    fn near_the_capacity_the_rate_rises_slowly_and_beyond_it_fast() {
        let mut rate = RateControl::new(1e6, 50e3, 10e6);
        let start = Instant::now();
        rate.update(start, seen(Usage::Over, 1e6, 0.0));
        let low = rate.target();
        let later = run(
            &mut rate,
            start + Duration::from_millis(50),
            2,
            Usage::Normal,
            |target| target,
        );

        assert!(
            rate.target() - low < 100e3,
            "additive near the capacity: {low} → {}",
            rate.target()
        );

        run(&mut rate, later, 20, Usage::Normal, |target| target);
        assert!(
            rate.target() > 3e6,
            "the path got wider: found in 20 s, got {}",
            rate.target()
        );
    }

    #[test]
    fn a_delay_that_less_sending_does_not_lower_becomes_the_base() {
        let mut rate = RateControl::new(1e6, 50e3, 3e6);
        let start = Instant::now();
        let rebased = (0..200).any(|i| {
            let acked = rate.target();
            rate.update(
                start + Duration::from_millis(50) * i,
                seen(Usage::Normal, acked, 100.0),
            )
        });

        assert!(rebased, "a longer route must not starve the call for ever");
    }
}
