//! Restricting clients that several people report, without waiting for the operator. Sans-IO.
//!
//! Every node counts the reports that it was sent itself.

use std::collections::HashMap;
use std::time::Duration;

use super::key::PeerHash;
use crate::server::shrink::ShrinkIfSparse;

/// The most clients to count reports of. Beyond that, those that were reported longest ago are
/// forgotten: they are not restricted, but the operator has their reports.
const MAX_REPORTED: usize = 10_000;

/// When to restrict a client, and for how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RestrictRule {
    /// How many different clients must have reported it; zero: never.
    pub(crate) after: u32,
    /// Within which time.
    pub(crate) within: Duration,
    /// How long it is banned.
    pub(crate) lasts: Duration,
}

/// Who has been reported by whom.
#[derive(Debug, Default)]
pub(crate) struct RepeatedReports {
    /// By the one reported: who has reported it, and when last, as Unix time in milliseconds.
    reporters: HashMap<PeerHash, HashMap<PeerHash, u64>>,
}

impl RepeatedReports {
    /// Counts a report. True if it makes enough of them; counting starts anew then.
    pub(crate) fn count(
        &mut self,
        rule: RestrictRule,
        reporter: PeerHash,
        reported: PeerHash,
        now_ms: u64,
    ) -> bool {
        if rule.after == 0 {
            return false;
        }

        let within = u64::try_from(rule.within.as_millis()).unwrap_or(u64::MAX);
        let is_recent = |at: &u64| at.saturating_add(within) > now_ms;
        if self.reporters.len() >= MAX_REPORTED && !self.reporters.contains_key(&reported) {
            self.forget(is_recent);
        }

        // One person counts once, however often it reports.
        let reporters = self.reporters.entry(reported).or_default();
        reporters.retain(|_, at| is_recent(at));
        reporters.insert(reporter, now_ms);

        let is_enough = reporters.len() >= rule.after as usize;
        if is_enough {
            self.reporters.remove(&reported);
        }

        is_enough
    }

    /// Makes room: forgets what no longer counts or, if everything does, the oldest.
    fn forget(&mut self, is_recent: impl Fn(&u64) -> bool) {
        let last = |by: &HashMap<PeerHash, u64>| by.values().max().copied().unwrap_or_default();
        self.reporters.retain(|_, by| is_recent(&last(by)));

        if self.reporters.len() >= MAX_REPORTED {
            let oldest = self.reporters.iter().min_by_key(|(_, by)| last(by));
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.reporters.remove(&oldest);
            }
        }

        self.reporters.shrink_if_sparse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RestrictRule = RestrictRule {
        after: 3,
        within: Duration::from_secs(60),
        lasts: Duration::from_secs(600),
    };

    fn hash(n: u32) -> PeerHash {
        PeerHash::of_bytes(u128::from(n).to_be_bytes())
    }

    #[test]
    fn three_people_restrict_and_one_person_does_not() {
        let mut reports = RepeatedReports::default();
        let mut count = |by, now| reports.count(RULE, hash(by), hash(99), now);

        assert!((0..20).all(|now| !count(1, now)), "one person, 20 times");
        assert!(!count(2, 1_000) && count(3, 2_000));
        assert!(!count(4, 3_000), "counting starts anew");
    }

    #[test]
    fn only_reports_within_the_time_count() {
        let mut reports = RepeatedReports::default();
        let mut count = |by, now| reports.count(RULE, hash(by), hash(99), now);

        assert!(!count(1, 0) && !count(2, 59_000));
        assert!(!count(3, 60_000), "the first is a minute old");
        assert!(count(4, 61_000));
    }

    #[test]
    fn without_a_rule_nothing_is_remembered() {
        let mut reports = RepeatedReports::default();
        let none = RestrictRule::default();
        assert!((0..99).all(|by| !reports.count(none, hash(by), hash(99), 0)));
        assert!(reports.reporters.is_empty());
    }

    #[test]
    fn a_crowd_of_reported_clients_takes_bounded_memory() {
        let mut reports = RepeatedReports::default();
        for n in 0..MAX_REPORTED as u32 + 500 {
            reports.count(RULE, hash(1), hash(n), u64::from(n));
        }

        assert_eq!(reports.reporters.len(), MAX_REPORTED);
    }
}
