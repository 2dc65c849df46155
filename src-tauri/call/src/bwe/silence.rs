//! Detects that the partner has stopped reporting although packets are being sent.
//!
//! Not part of the draft, which does not describe what happens without feedback.

use std::time::{Duration, Instant};

use crate::link::Bitrate;

/// Without feedback for this long (and for three round trips) the path counts as broken.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often to check for a broken path, and to lower the rate while it is broken.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Fewer unanswered packets than this prove nothing: the source may just be quiet.
const MIN_UNANSWERED: u64 = 10;

/// Feedback that takes more than this many usual intervals is late: some before it was lost.
const LATE_INTERVALS: f64 = 1.6;
/// The usual interval is learned from intervals within these bounds, s.
const LEARNABLE_INTERVALS: std::ops::Range<f64> = 0.02..0.3;
/// How fast the usual interval follows a shorter and a longer one. Lost feedback doubles an
/// interval, so shorter ones count for more.
const SHORTER_WEIGHT: f64 = 0.3;
const LONGER_WEIGHT: f64 = 0.03;

/// Watches the feedback of one call.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The last feedback: when it arrived, and how many packets had been sent by then.
    last_feedback: Option<(Instant, u64)>,
    next_check: Option<Instant>,
    /// The rate before the present silence.
    rate_before: Option<Bitrate>,
    /// The usual time between feedback, s.
    interval: Option<f64>,
    late: bool,
}

impl Silence {
    /// Feedback arrived after `sent` packets. If this ends a silence, returns the rate from before
    /// it.
    pub(super) fn on_feedback(&mut self, now: Instant, sent: u64) -> Option<Bitrate> {
        if let Some((then, _)) = self.last_feedback {
            self.learn(now.saturating_duration_since(then).as_secs_f64());
        }

        self.last_feedback = Some((now, sent));
        self.next_check = Some(now + FEEDBACK_TIMEOUT);
        self.rate_before.take()
    }

    fn learn(&mut self, elapsed: f64) {
        self.late = self
            .interval
            .is_some_and(|interval| elapsed > LATE_INTERVALS * interval);

        if LEARNABLE_INTERVALS.contains(&elapsed) {
            let interval = self.interval.get_or_insert(elapsed);
            let weight = if elapsed < *interval {
                SHORTER_WEIGHT
            } else {
                LONGER_WEIGHT
            };

            *interval += weight * (elapsed - *interval);
        }
    }

    /// Whether the newest feedback came so late that some before it must have been lost. The
    /// packets that the lost feedback covered are then reported as not arrived, although nothing is
    /// known about them.
    pub(super) fn feedback_was_lost(&self) -> bool {
        self.late
    }

    /// Time passed. Returns `true` if the rate, now `target`, should be lowered.
    pub(super) fn on_timeout(
        &mut self,
        now: Instant,
        sent: u64,
        rtt: Duration,
        target: Bitrate,
    ) -> bool {
        if self.next_check.is_none_or(|check| now < check) {
            return false;
        }

        self.next_check = Some(now + CHECK_INTERVAL);
        let Some((last, sent_then)) = self.last_feedback else {
            return false;
        };

        let timeout = FEEDBACK_TIMEOUT.max(rtt * 3);
        if now.saturating_duration_since(last) < timeout
            || sent.saturating_sub(sent_then) < MIN_UNANSWERED
        {
            return false;
        }

        self.rate_before.get_or_insert(target);
        true
    }

    /// When to call [`on_timeout`](Self::on_timeout) next.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RATE: Bitrate = Bitrate::from_bps(1e6);

    #[test]
    fn a_broken_path_lowers_the_rate_and_feedback_brings_the_old_rate_back() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.on_feedback(start, 100);

        let lowered = (0..5000)
            .filter(|&t| silence.on_timeout(start + MS * t, 100 + u64::from(t), MS * 50, RATE))
            .count();
        assert_eq!(lowered, 8, "at 1 s and every half second after that");

        assert_eq!(
            silence.on_feedback(start + MS * 5000, 5000),
            Some(RATE),
            "the rate before the silence"
        );
        assert_eq!(
            silence.on_feedback(start + MS * 5050, 5050),
            None,
            "the silence ended only once"
        );
    }

    #[test]
    fn a_quiet_source_is_not_a_broken_path() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.on_feedback(start, 100);

        let lowered = (0..60_000).any(|t| silence.on_timeout(start + MS * t, 105, MS * 50, RATE));
        assert!(
            !lowered,
            "almost nothing was sent, so no feedback was expected"
        );
    }
}
