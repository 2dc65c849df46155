//! Loss-based control (draft-ietf-rmcat-gcc-02 §6), with an allowance for loss that has nothing to do with the rate.
//!
//! The draft's rule halves the loss fraction off the rate for as long as more than a tenth is lost. On a path that loses
//! 20 % whatever is sent (radio, a bad cable) this ends at the floor. So when a lower rate did not lower the loss, that
//! loss is taken for the path's own and allowed for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Loss is measured over this much feedback.
const WINDOW: Duration = Duration::from_secs(1);
/// Fewer packets say nothing.
const MIN_PACKETS: usize = 20;
/// Above this fraction (beyond the allowance) the rate falls.
const HIGH: f64 = 0.10;
/// Below this fraction (beyond the allowance) the rate may rise.
const LOW: f64 = 0.02;
/// The rate is judged again when the window holds nothing from before the change.
const HOLD: Duration = Duration::from_millis(1200);
/// If this share of the loss is left after the rate fell, the rate was not its cause.
const UNCHANGED: f64 = 0.75;
/// The allowance never exceeds this: beyond it a call is not usable anyhow.
const MAX_ALLOWANCE: f64 = 0.30;
/// A cleared limit rises by this factor a second.
const RISE_PER_SECOND: f64 = 1.15;

/// What loss permits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossVerdict {
    /// Lost fraction over the last second of feedback.
    pub fraction: f64,
    /// Upper bound on the rate, bits per second, if loss imposes one.
    pub limit: Option<f64>,
    /// Whether the rate may rise.
    pub may_increase: bool,
}

/// The loss controller.
#[derive(Debug, Default)]
pub struct LossController {
    window: VecDeque<(Instant, bool)>,
    lost: usize,
    allowance: f64,
    limit: Option<f64>,
    /// The last decrease: when, and the loss that led to it.
    decreased: Option<(Instant, f64)>,
    updated: Option<Instant>,
}

impl LossController {
    /// The fate of one packet.
    pub fn on_packet(&mut self, now: Instant, lost: bool) {
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

    /// Judges `target`, given what was acknowledged (both bits per second).
    pub fn update(&mut self, now: Instant, target: f64, acked: f64) -> LossVerdict {
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
        let settled = self
            .decreased
            .is_none_or(|(then, _)| now.saturating_duration_since(then) >= HOLD);

        if excess > HIGH && settled {
            // What was delivered is proof of capacity: no reason to go far below it.
            let lower = (target * (1.0 - 0.5 * excess))
                .max(0.85 * acked)
                .min(target);
            self.limit = Some(lower);
            self.decreased = Some((now, fraction));
        } else if excess < LOW {
            self.limit = self
                .limit
                .map(|limit| limit.max(0.9 * target) * RISE_PER_SECOND.powf(elapsed));
            if self.limit.is_some_and(|limit| limit > 1.5 * target) {
                self.limit = None;
            }
        }

        LossVerdict {
            fraction,
            limit: self.limit,
            may_increase: excess < HIGH / 2.0,
        }
    }

    /// Forgets what was lost, for instance in an outage, but not what the path is known to lose.
    pub fn reset(&mut self) {
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
            // The path got better: the allowance follows within some seconds.
            self.allowance += (fraction - self.allowance) * (0.3 * elapsed).min(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs 30 s in which the path loses what `loss` says of the rate; returns the rate at the end.
    fn run(start: f64, loss: impl Fn(f64) -> f64) -> f64 {
        let (mut control, begin, mut target, mut debt) =
            (LossController::default(), Instant::now(), start, 0.0);
        for step in 0..600 {
            let now = begin + Duration::from_millis(50) * step;
            let fraction = loss(target);

            for _ in 0..10 {
                debt += fraction;
                let lost = debt >= 1.0;
                debt -= f64::from(u8::from(lost));
                control.on_packet(now, lost);
            }

            let verdict = control.update(now, target, target * (1.0 - fraction));
            target = verdict.limit.map_or(target, |limit| limit.min(target));
        }

        target
    }

    #[test]
    fn loss_that_the_rate_does_not_cause_is_allowed_for() {
        for fraction in [0.05, 0.12, 0.2] {
            let end = run(1e6, |_| fraction);
            assert!(
                end > 0.6e6,
                "{fraction} of loss whatever is sent must not starve the call, got {end}"
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
