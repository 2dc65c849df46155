//! Loss-based control, with an allowance for loss that the rate does not cause.
//!
//! draft-ietf-rmcat-gcc-02 §6 reduces the rate by half the loss fraction while more than a tenth
//! is lost. On a path that loses 20 % whatever is sent (radio, a bad cable) this ends at the
//! floor. So if a lower rate did not lower the loss, that loss counts as the path's own and is
//! allowed for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::link::Bitrate;

/// Loss is measured over this much feedback.
const WINDOW: Duration = Duration::from_secs(1);
/// Fewer packets than this say nothing.
const MIN_PACKETS: usize = 20;
/// Above this fraction (beyond the allowance) the rate falls: draft §6.
const HIGH: f64 = 0.10;
/// Below this fraction (beyond the allowance) the rate may rise: draft §6.
const LOW: f64 = 0.02;
/// How long to wait after a decrease, so that the window holds nothing from before it.
const HOLD: Duration = Duration::from_millis(1200);
/// If this share of the loss is left after the rate fell, the rate was not its cause.
const UNCHANGED: f64 = 0.75;
/// The allowance never exceeds this: a call is not usable beyond it anyway.
const MAX_ALLOWANCE: f64 = 0.30;
/// Share of the difference that the allowance gives up per second on a path that got better.
const ALLOWANCE_DECAY_PER_SECOND: f64 = 0.3;
/// A limit that loss no longer justifies rises by this factor per second.
const RISE_PER_SECOND: f64 = 1.15;
/// Loss alone never pushes the rate below this share of what was delivered.
const DELIVERED_FLOOR: f64 = 0.85;

/// What loss permits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LossVerdict {
    /// Lost fraction over the last second of feedback, 0 to 1.
    pub(super) fraction: f64,
    /// Upper bound of the rate, if loss imposes one.
    pub(super) limit: Option<Bitrate>,
    /// Whether the rate may rise.
    pub(super) may_increase: bool,
}

/// Bounds the rate by loss.
#[derive(Debug, Default)]
pub(super) struct LossController {
    /// When the fate of each packet became known, and whether it was lost.
    window: VecDeque<(Instant, bool)>,
    lost: usize,
    /// The fraction that the path loses whatever is sent.
    allowance: f64,
    limit: Option<Bitrate>,
    /// The last decrease: when, and the loss that led to it.
    decreased: Option<(Instant, f64)>,
    updated: Option<Instant>,
}

impl LossController {
    /// Records whether one packet was lost.
    pub(super) fn on_packet(&mut self, now: Instant, lost: bool) {
        self.window.push_back((now, lost));
        self.lost += usize::from(lost);

        while self
            .window
            .front()
            .is_some_and(|(then, _)| now.saturating_duration_since(*then) > WINDOW)
        {
            self.lost -= usize::from(self.window.pop_front().is_some_and(|(_, lost)| lost));
        }
    }

    /// Judges the rate `target`, given what was acknowledged.
    pub(super) fn update(&mut self, now: Instant, target: Bitrate, acked: Bitrate) -> LossVerdict {
        let elapsed = self.updated.map_or(0.0, |then| {
            now.saturating_duration_since(then).as_secs_f64().min(1.0)
        });
        self.updated = Some(now);

        let fraction = self.fraction();
        if self.window.len() < MIN_PACKETS {
            return LossVerdict {
                fraction,
                limit: self.limit,
                may_increase: true,
            };
        }

        self.learn(now, fraction, elapsed);
        let excess = fraction - self.allowance;
        let may_decrease = self
            .decreased
            .is_none_or(|(then, _)| now.saturating_duration_since(then) >= HOLD);

        if excess > HIGH && may_decrease {
            // What was delivered proves the capacity: there is no reason to go far below it.
            let lower = (target * (1.0 - 0.5 * excess))
                .max(acked * DELIVERED_FLOOR)
                .min(target);
            self.limit = Some(lower);
            self.decreased = Some((now, fraction));
        } else if excess < LOW {
            self.limit = self
                .limit
                .map(|limit| limit.max(target * 0.9) * RISE_PER_SECOND.powf(elapsed))
                .filter(|limit| *limit <= target * 1.5);
        }

        LossVerdict {
            fraction,
            limit: self.limit,
            may_increase: excess < HIGH / 2.0,
        }
    }

    /// Forgets what was lost, for instance in an outage, but not what the path is known to lose.
    pub(super) fn reset(&mut self) {
        self.window.clear();
        self.lost = 0;
        self.limit = None;
        self.decreased = None;
    }

    fn fraction(&self) -> f64 {
        if self.window.is_empty() {
            0.0
        } else {
            self.lost as f64 / self.window.len() as f64
        }
    }

    fn learn(&mut self, now: Instant, fraction: f64, elapsed: f64) {
        if let Some((then, before)) = self.decreased
            && now.saturating_duration_since(then) >= HOLD
        {
            if fraction > before * UNCHANGED {
                self.allowance = fraction.min(MAX_ALLOWANCE);
            }

            self.decreased = None;
        }

        if fraction < self.allowance {
            // The path got better: the allowance follows within a few seconds.
            let share = (ALLOWANCE_DECAY_PER_SECOND * elapsed).min(1.0);
            self.allowance += (fraction - self.allowance) * share;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    /// Runs 30 s in which the path loses the fraction that `loss` gives for a rate; returns the
    /// rate at the end. All rates in bits per second.
    fn run(start: f64, loss: impl Fn(f64) -> f64) -> f64 {
        let (mut control, begin) = (LossController::default(), Instant::now());
        let (mut target, mut debt) = (Bitrate::from_bps(start), 0.0);

        for step in 0..600 {
            let now = begin + Duration::from_millis(50) * step;
            let fraction = loss(target.as_bps());

            for _ in 0..10 {
                debt += fraction;
                let lost = debt >= 1.0;
                debt -= f64::from(u8::from(lost));
                control.on_packet(now, lost);
            }

            let verdict = control.update(now, target, target * (1.0 - fraction));
            target = verdict.limit.map_or(target, |limit| limit.min(target));
        }

        target.as_bps()
    }

    #[test]
    fn loss_that_the_rate_does_not_cause_is_allowed_for() {
        for fraction in [0.05, 0.12, 0.2] {
            let end = run(1e6, |_| fraction);
            assert!(
                end > 0.6e6,
                "a path that loses {fraction} whatever is sent must not starve the call, got {end}"
            );
        }
    }

    #[test]
    fn loss_that_the_rate_causes_brings_it_down() {
        let capacity = 1e6;
        let end = run(2e6, |rate| (1.0 - capacity / rate).max(0.0));
        assert!(end < 1.2e6, "a policer at 1 Mbit/s, sent {end}");
        assert!(end > 0.8e6, "but not far below it, sent {end}");
    }
}
