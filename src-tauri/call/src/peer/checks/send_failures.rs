//! When to warn that packets cannot be sent. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

/// Packets fail by the hundred a second. One warning in this time says it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts the packets of a connection that its sockets refused.
#[derive(Debug, Default)]
pub(in crate::peer) struct SendFailures {
    warned_at: Option<Instant>,
    /// Since the last warning.
    packets: u64,
}

impl SendFailures {
    /// A packet could not be sent. Returns how many since the last warning, this one included, if it
    /// is time for another.
    pub(super) fn on_failure(&mut self, now: Instant) -> Option<u64> {
        self.packets += 1;
        let is_due = self
            .warned_at
            .is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL);

        is_due.then(|| {
            self.warned_at = Some(now);
            std::mem::take(&mut self.packets)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

    use super::*;

    #[test]
    fn an_outage_gives_one_warning_in_ten_seconds() {
        let (mut failures, begin) = (SendFailures::default(), Instant::now());
        let at = |ms: u64| begin + Duration::from_millis(ms);

        assert_eq!(failures.on_failure(begin), Some(1), "at once");
        for ms in 1..10_000 {
            assert_eq!(failures.on_failure(at(ms)), None, "after {ms} ms");
        }
        assert_eq!(
            failures.on_failure(at(10_000)),
            Some(10_000),
            "those in between and this one"
        );
        assert_eq!(
            failures.on_failure(at(60_000)),
            Some(1),
            "another outage is said at once"
        );
    }
}
