//! Rate control: how the detectors' verdicts become a rate.
//!
//! draft-ietf-rmcat-gcc-02 §5.5 and libwebrtc's `AimdRateControl`: additive increase near the known
//! capacity, multiplicative increase away from it, multiplicative decrease. Ours are the fast start
//! and the way a queue is drained after a decrease before the rate returns.

use std::time::{Duration, Instant};

use super::capacity::LinkCapacity;
use super::overuse::Usage;
use crate::link::{Bitrate, BitrateBounds};

/// The fast start multiplies the rate by this per second.
const RAMP_PER_SECOND: f64 = 2.5;
/// Multiplicative increase per second, right after the last congestion and at most.
const INCREASE_PER_SECOND: f64 = 0.08;
const MAX_INCREASE_PER_SECOND: f64 = 0.40;
/// Additive increase: at least this many bits per second, per second.
const MIN_ADDITIVE_BPS: f64 = 4_000.0;
/// The rate never rises above this multiple of what was acknowledged, plus a little.
const ACKED_HEADROOM: f64 = 1.5;
const ACKED_HEADROOM_EXTRA: Bitrate = Bitrate::from_bps(10_000.0);
/// A decrease goes to this share of the capacity.
const BETA: f64 = 0.88;
/// To drain the queue, a further share is given up: the queue in ms divided by this, at most
/// [`MAX_DRAIN`].
const DRAIN_MS: f64 = 700.0;
const MAX_DRAIN: f64 = 0.40;
/// A queue below this is drained.
const DRAINED_MS: f64 = 12.0;
/// The rate does not rise while the queue is above this.
const FULL_MS: f64 = 35.0;
/// A queue that stands above this is congestion even without a trend.
const STANDING_MS: f64 = 60.0;
/// Draining ends after this, whatever the queue does.
const MAX_DRAINING: Duration = Duration::from_millis(1500);
/// With less than this share of the target on the wire, the source limits the rate, not the path.
const APPLICATION_LIMITED: f64 = 0.6;
/// Decrease when the source limits the rate.
const CAUTIOUS: f64 = 0.9;
/// After more decreases in a row than this that did not shrink the queue, the queue is not ours.
const MAX_FRUITLESS: u32 = 5;
/// Packet size assumed for the additive step, bits.
const PACKET_BITS: f64 = 1200.0 * 8.0;
/// Time assumed before the first update, s: one feedback interval.
const FIRST_ELAPSED: f64 = 0.05;
/// Time assumed since the last congestion if there was none, s.
const NEVER_CONGESTED: f64 = 5.0;

/// What one batch of feedback says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// The overuse detector's verdict.
    pub(super) usage: Usage,
    /// The standing queue, ms; `None` if nothing arrived.
    pub(super) standing_ms: Option<f64>,
    /// Acknowledged over half a second.
    pub(super) acked: Option<Bitrate>,
    /// Acknowledged over the last 150 ms: during congestion, what the path carries right now.
    pub(super) acked_now: Option<Bitrate>,
    /// Round-trip time.
    pub(super) rtt: Duration,
    /// Whether loss permits an increase.
    pub(super) may_increase: bool,
}

/// How the rate may rise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Exponentially, until the first congestion or until the given rate.
    Ramp { until: Bitrate },
    /// Not at all: the queue drains, then the rate returns to `then`.
    Drain { since: Instant, then: Bitrate },
    /// Additively near the known capacity, multiplicatively away from it.
    Steady,
}

/// The rate controller.
#[derive(Debug)]
pub(super) struct RateControl {
    target: Bitrate,
    min: Bitrate,
    max: Bitrate,
    phase: Phase,
    capacity: LinkCapacity,
    updated: Option<Instant>,
    /// When congestion last lowered the rate.
    congested: Option<Instant>,
    /// Decreases in a row that did not shrink the queue.
    fruitless: u32,
}

impl RateControl {
    /// A controller in its fast start, within `bounds`.
    pub(super) fn new(bounds: BitrateBounds) -> Self {
        Self {
            target: bounds.start(),
            min: bounds.min(),
            max: bounds.max(),
            phase: Phase::Ramp {
                until: Bitrate::INFINITY,
            },
            capacity: LinkCapacity::default(),
            updated: None,
            congested: None,
            fruitless: 0,
        }
    }

    /// The rate to send at.
    pub(super) fn target(&self) -> Bitrate {
        self.target
    }

    /// Whether the rate still rises exponentially.
    pub(super) fn ramping(&self) -> bool {
        matches!(self.phase, Phase::Ramp { .. })
    }

    /// Lowers the rate to `limit` if it is above.
    pub(super) fn limit(&mut self, now: Instant, limit: Bitrate) {
        if limit < self.target {
            self.set(limit);
            self.congested = Some(now);
            self.phase = Phase::Steady;
        }
    }

    /// Halves the rate: the partner sends no feedback.
    pub(super) fn back_off(&mut self) {
        self.set(self.target / 2.0);
    }

    /// Resumes at half of `before`, the rate before an outage, and rises fast towards it.
    pub(super) fn resume(&mut self, now: Instant, before: Bitrate) {
        self.set(self.target.max(before / 2.0));
        self.phase = Phase::Ramp { until: before };
        self.updated = Some(now);
    }

    /// Adjusts the rate after a batch of feedback. Returns `true` if the delay base should be
    /// measured again: sending less did not help, so what looks like our queue is not ours.
    pub(super) fn update(&mut self, now: Instant, seen: Observation) -> bool {
        let elapsed = self.updated.map_or(FIRST_ELAPSED, |then| {
            now.saturating_duration_since(then).as_secs_f64().min(1.0)
        });
        self.updated = Some(now);

        let standing = seen.standing_ms.unwrap_or(0.0);
        // While the queue drains it is expected to stand, but not to grow.
        let draining = matches!(
            self.phase,
            Phase::Drain { since, .. } if now.saturating_duration_since(since) < MAX_DRAINING
        );

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

    /// A decrease shows in the feedback only after a round trip and a feedback interval.
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
        if acked < self.target * APPLICATION_LIMITED && standing < STANDING_MS {
            // The rate on the wire says nothing about the capacity, but the delay asks for caution.
            self.set(self.target * CAUTIOUS);
            self.phase = Phase::Steady;
            return false;
        }

        // With a queue, the path is busy all the time, and what arrived lately is what it carries
        // now.
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

        let then = (carried * BETA).min(ceiling);
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

        if self.fruitless > MAX_FRUITLESS {
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
                let slope = (PACKET_BITS / response).max(MIN_ADDITIVE_BPS);
                self.target + Bitrate::from_bps(slope * elapsed)
            }
            _ => {
                let calm = self.congested.map_or(NEVER_CONGESTED, |then| {
                    now.saturating_duration_since(then).as_secs_f64()
                });
                let growth = (INCREASE_PER_SECOND * (1.0 + calm)).min(MAX_INCREASE_PER_SECOND);
                self.target * (1.0 + growth).powf(elapsed)
            }
        };

        let cap = acked * ACKED_HEADROOM + ACKED_HEADROOM_EXTRA;
        self.set(raised.min(cap.max(self.target)));
    }

    fn set(&mut self, target: Bitrate) {
        self.target = target.clamp(self.min, self.max);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    fn control(start_bps: u64, max_bps: u64) -> RateControl {
        RateControl::new(BitrateBounds {
            start_bps,
            min_bps: 50_000,
            max_bps,
        })
    }

    fn target(rate: &RateControl) -> f64 {
        rate.target().as_bps()
    }

    fn seen(usage: Usage, acked_bps: f64, standing_ms: f64) -> Observation {
        Observation {
            usage,
            standing_ms: Some(standing_ms),
            acked: Some(Bitrate::from_bps(acked_bps)),
            acked_now: Some(Bitrate::from_bps(acked_bps)),
            rtt: Duration::from_millis(50),
            may_increase: true,
        }
    }

    /// Feeds one observation every 50 ms for `seconds`. `carry` says how much of the target, in
    /// bits per second, the path acknowledges.
    fn run(
        rate: &mut RateControl,
        from: Instant,
        seconds: u32,
        usage: Usage,
        carry: impl Fn(f64) -> f64,
    ) -> Instant {
        let step = Duration::from_millis(50);
        for i in 0..seconds * 20 {
            let acked = carry(target(rate));
            rate.update(from + step * i, seen(usage, acked, 0.0));
        }

        from + step * (seconds * 20)
    }

    #[test]
    fn the_fast_start_reaches_two_megabits_in_under_three_seconds() {
        let mut rate = control(300_000, 3_000_000);
        run(&mut rate, Instant::now(), 3, Usage::Normal, |target| target);

        assert!(
            target(&rate) > 2e6,
            "0.3 → 2 Mbit/s in 3 s, got {}",
            target(&rate)
        );
    }

    #[test]
    fn a_source_that_sends_little_does_not_let_the_rate_run_away() {
        let mut rate = control(300_000, 10_000_000);
        run(&mut rate, Instant::now(), 60, Usage::Normal, |_| 200e3);

        assert!(
            target(&rate) < 400e3,
            "only 1.5 times what was acknowledged is proven, got {}",
            target(&rate)
        );
    }

    #[test]
    fn jitter_does_not_kill_the_rate_of_a_source_that_sends_little() {
        let mut rate = control(2_000_000, 3_000_000);
        rate.update(Instant::now(), seen(Usage::Over, 50e3, 0.0));

        assert!(
            target(&rate) > 1.5e6,
            "50 kbit/s of audio are not the capacity, got {}",
            target(&rate)
        );
    }

    #[test]
    fn the_rate_returns_once_the_queue_is_drained() {
        let mut rate = control(2_000_000, 3_000_000);
        let start = Instant::now();
        rate.update(start, seen(Usage::Over, 1e6, 150.0));
        let draining = target(&rate);
        assert!(
            draining < 0.7e6,
            "150 ms of queue need room to drain, got {draining}"
        );

        rate.update(
            start + Duration::from_millis(400),
            seen(Usage::Under, 1e6, 5.0),
        );
        assert!(
            (0.85e6..1e6).contains(&target(&rate)),
            "drained: back to the capacity, got {}",
            target(&rate)
        );
    }

    #[test]
    fn the_rate_rises_slowly_near_the_capacity_and_fast_beyond_it() {
        let mut rate = control(1_000_000, 10_000_000);
        let start = Instant::now();
        rate.update(start, seen(Usage::Over, 1e6, 0.0));
        let low = target(&rate);

        let later = run(
            &mut rate,
            start + Duration::from_millis(50),
            2,
            Usage::Normal,
            |target| target,
        );
        assert!(
            target(&rate) - low < 100e3,
            "additive near the capacity: {low} → {}",
            target(&rate)
        );

        run(&mut rate, later, 20, Usage::Normal, |target| target);
        assert!(
            target(&rate) > 3e6,
            "the path got wider, and 20 s are enough to find out: got {}",
            target(&rate)
        );
    }

    #[test]
    fn a_delay_that_does_not_fall_when_less_is_sent_becomes_the_base() {
        let mut rate = control(1_000_000, 3_000_000);
        let start = Instant::now();
        let rebased = (0..200).any(|i| {
            let acked = target(&rate);
            rate.update(
                start + Duration::from_millis(50) * i,
                seen(Usage::Normal, acked, 100.0),
            )
        });

        assert!(rebased, "a longer route must not starve the call forever");
    }
}
