//! Decisions of the driver about time. Sans-IO: time is an argument.

use std::time::{Duration, Instant};

/// A task that waits for a tick of 0.1 s and did not wake for this long has not run at all: the program
/// was stopped. Timers that are due then would take that for silence.
const STOPPED: Duration = Duration::from_secs(1);

/// How often the signaling server is asked whether it is there.
const INTERVAL: Duration = Duration::from_secs(4);
/// The same when a TURN server begins to be silent: the sooner the signaling server answers, the sooner
/// the TURN server is known to be gone.
const DOUBT_INTERVAL: Duration = Duration::from_millis(500);

/// Notices that the program was stopped while the task slept. A task that waits for a library that hangs
/// does not sleep.
#[derive(Debug, Default)]
pub(super) struct Sleep {
    since: Option<Instant>,
}

impl Sleep {
    /// The task has nothing to do until the next tick.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// The task wakes. Whether the program was stopped.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        let since = self.since.take();
        since.is_some_and(|since| now.saturating_duration_since(since) >= STOPPED)
    }
}

/// Says when to ask the signaling server whether it is there.
#[derive(Debug, Default)]
pub(super) struct Probes {
    asked: Option<Instant>,
    /// The server was asked because of the present doubt about the TURN server.
    has_asked_in_doubt: bool,
}

impl Probes {
    /// Whether to ask now: a TURN server has not answered yet, or the partner is silent.
    pub(super) fn is_due(&mut self, now: Instant, doubts_turn: bool, is_silent: bool) -> bool {
        self.has_asked_in_doubt &= doubts_turn;
        if !doubts_turn && !is_silent {
            return false;
        }

        let is_new_doubt = doubts_turn && !self.has_asked_in_doubt;
        let interval = if is_new_doubt {
            DOUBT_INTERVAL
        } else {
            INTERVAL
        };
        let is_due = self
            .asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= interval);
        if is_due {
            self.asked = Some(now);
            self.has_asked_in_doubt = doubts_turn;
        }

        is_due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_a_task_that_slept_was_stopped() {
        let (mut sleep, start) = (Sleep::default(), Instant::now());
        sleep.begin(start);
        assert!(!sleep.end(start + 150 * MS), "a busy machine");

        // The library hung for two seconds.
        let later = start + 2_150 * MS;
        sleep.begin(later);
        assert!(!sleep.end(later + 100 * MS));

        sleep.begin(later);
        assert!(sleep.end(later + 10_000 * MS), "a closed lid");
    }

    #[test]
    fn each_doubt_about_a_turn_server_asks_soon() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        assert!(probes.is_due(start, true, false));
        assert!(!probes.is_due(start + 100 * MS, true, false));
        assert!(!probes.is_due(start + 200 * MS, false, false), "it answers");

        // Too soon for another question, which is not forgotten.
        let asked: Vec<u32> = (3..60)
            .filter(|tick| probes.is_due(start + 100 * MS * *tick, true, true))
            .collect();
        assert_eq!(asked, [5, 45]);
    }
}
