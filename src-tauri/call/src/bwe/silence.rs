//! Notices that the partner has stopped reporting although packets are sent.

use std::time::{Duration, Instant};

/// Without feedback for this long (and three round trips) the path counts as broken.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at, and the rate lowered while it lasts.
const INTERVAL: Duration = Duration::from_millis(500);
/// Fewer unanswered packets prove nothing: the source may simply be quiet.
const UNANSWERED: u64 = 10;

/// Watches over the feedback.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// The last feedback: when, and how many packets had been sent by then.
    heard: Option<(Instant, u64)>,
    next_check: Option<Instant>,
    /// The rate before the silence, while it lasts.
    before: Option<f64>,
}

impl Silence {
    /// Feedback came. Returns the rate from before the silence if this ends one.
    pub(super) fn on_feedback(&mut self, now: Instant, sent: u64) -> Option<f64> {
        self.heard = Some((now, sent));
        self.next_check = Some(now + PATIENCE);
        self.before.take()
    }

    /// Time passed. Returns `true` if the rate, now `target`, should be lowered.
    pub(super) fn on_timeout(&mut self, now: Instant, sent: u64, rtt: Duration, target: f64) -> bool {
        if self.next_check.is_none_or(|check| now < check) {
            return false;
        }
        self.next_check = Some(now + INTERVAL);
        let Some((heard, sent_then)) = self.heard else { return false };
        let patience = PATIENCE.max(rtt * 3);
        if now.saturating_duration_since(heard) < patience || sent.saturating_sub(sent_then) < UNANSWERED {
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
        let lowered =
            (0..5000).filter(|&t| silence.on_timeout(start + MS * t, 100 + u64::from(t), MS * 50, 1e6)).count();
        assert_eq!(lowered, 8, "at 1 s and every half second after");
        assert_eq!(silence.on_feedback(start + MS * 5000, 5000), Some(1e6), "the rate before the silence");
        assert_eq!(silence.on_feedback(start + MS * 5050, 5050), None, "it ended once");
    }

    #[test]
    fn a_quiet_source_is_not_a_broken_path() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.on_feedback(start, 100);
        let lowered = (0..60_000).any(|t| silence.on_timeout(start + MS * t, 105, MS * 50, 1e6));
        assert!(!lowered, "nothing was sent, so nothing was to be reported");
    }
}
