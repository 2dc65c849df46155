//! Notices that the partner has stopped reporting although packets are sent.

use std::time::{Duration, Instant};

/// Without feedback for this long (and three round trips) the path counts as broken.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at, and the rate lowered while it lasts.
const INTERVAL: Duration = Duration::from_millis(500);
/// Fewer unanswered packets prove nothing: the source may simply be quiet.
const UNANSWERED: u64 = 10;

/// Feedback that comes later than this many usual intervals: some was lost on the way.
const LATE: f64 = 1.6;
/// The usual interval is learned from what lies within these bounds, s.
const INTERVALS: std::ops::Range<f64> = 0.02..0.3;

/// Watches over the feedback.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The last feedback: when, and how many packets had been sent by then.
    heard: Option<(Instant, u64)>,
    next_check: Option<Instant>,
    /// The rate before the silence, while it lasts.
    before: Option<f64>,
    /// The usual time between feedback, s.
    interval: Option<f64>,
    late: bool,
}

impl Silence {
    /// Feedback came. Returns the rate from before the silence if this ends one.
    pub(super) fn on_feedback(&mut self, now: Instant, sent: u64) -> Option<f64> {
        if let Some((then, _)) = self.heard {
            let elapsed = now.saturating_duration_since(then).as_secs_f64();
            self.late = self
                .interval
                .is_some_and(|interval| elapsed > LATE * interval);

            if INTERVALS.contains(&elapsed) {
                let interval = self.interval.get_or_insert(elapsed);
                // Lost feedback doubles an interval, so the shorter ones count for more.
                *interval += if elapsed < *interval { 0.3 } else { 0.03 } * (elapsed - *interval);
            }
        }

        self.heard = Some((now, sent));
        self.next_check = Some(now + PATIENCE);
        self.before.take()
    }

    /// Whether the newest feedback came so late that some before it was lost. The packets that it would have told of are
    /// then reported as not arrived, which is not known of them.
    pub(super) fn feedback_was_lost(&self) -> bool {
        self.late
    }

    /// Time passed. Returns `true` if the rate, now `target`, should be lowered.
    pub(super) fn on_timeout(
        &mut self,
        now: Instant,
        sent: u64,
        rtt: Duration,
        target: f64,
    ) -> bool {
        if self.next_check.is_none_or(|check| now < check) {
            return false;
        }

        self.next_check = Some(now + INTERVAL);
        let Some((heard, sent_then)) = self.heard else {
            return false;
        };

        let patience = PATIENCE.max(rtt * 3);
        if now.saturating_duration_since(heard) < patience
            || sent.saturating_sub(sent_then) < UNANSWERED
        {
            return false;
        }

        self.before.get_or_insert(target);
        true
    }

    /// When [`on_timeout`](Self::on_timeout) next has something to look at.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_broken_path_lowers_the_rate_and_its_return_says_where_it_was() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.on_feedback(start, 100);
        let lowered = (0..5000)
            .filter(|&t| silence.on_timeout(start + MS * t, 100 + u64::from(t), MS * 50, 1e6))
            .count();

        assert_eq!(lowered, 8, "at 1 s and every half second after");
        assert_eq!(
            silence.on_feedback(start + MS * 5000, 5000),
            Some(1e6),
            "the rate before the silence"
        );

        assert_eq!(
            silence.on_feedback(start + MS * 5050, 5050),
            None,
            "it ended once"
        );
    }

    #[test]
    fn a_quiet_source_is_not_a_broken_path() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.on_feedback(start, 100);
        let lowered = (0..60_000).any(|t| silence.on_timeout(start + MS * t, 105, MS * 50, 1e6));

        assert!(!lowered, "nothing was sent, so nothing was to be reported");
    }
}
