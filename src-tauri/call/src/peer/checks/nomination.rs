//! When this side may nominate a pair. Sans-IO: time is an argument.
//!
//! The side that answers an offer may control ICE, and its checks may arrive before its answer.
//! Firefox 153 answers each of them, but once it has the answer it goes on with the first check of
//! each pair only (nICEr keeps one for an address). A nomination among the later ones is lost, and
//! after a restart Firefox goes on sending to the pair from before. So a pair is nominated once the
//! partner checks, too: it needs this side's password for that, and so the description.

use std::time::{Duration, Instant};

/// How long this side waits for a partner that sends no checks.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the partner has this side's description, and since when this side waits for that.
#[derive(Debug, Default)]
pub(super) struct Nomination {
    /// The user name of this side's checks: "partner:this side".
    sent: Vec<u8>,
    /// The user name of the partner's newest check: "this side:partner". One that belongs to this
    /// generation is kept.
    heard: Vec<u8>,
    /// When this generation's first nomination wanted to leave.
    wanted: Option<Instant>,
    /// The partner says that it never checks (RFC 8445 §2.5).
    is_lite: bool,
}

impl Nomination {
    /// ICE has begun, or has restarted: this side's checks have another user name.
    pub(super) fn begin_generation(&mut self, username: &[u8]) {
        self.sent = username.to_vec();
        self.wanted = None;
    }

    /// A check has come. Anybody may have sent it, or it is a late one of the generation before.
    pub(super) fn on_check(&mut self, username: &[u8]) {
        if self.heard != username && !is_reverse(&self.sent, &self.heard) {
            self.heard = username.to_vec();
        }
    }

    /// The partner's description has come. `is_lite`: with "ICE lite".
    pub(super) fn on_description(&mut self, is_lite: bool) {
        self.is_lite = is_lite;
    }

    /// Whether a nomination may leave. The agent makes another one at its next tick, 20 ms later.
    pub(super) fn may_leave(&mut self, now: Instant) -> bool {
        let wanted = *self.wanted.get_or_insert(now);
        self.is_lite
            || is_reverse(&self.sent, &self.heard)
            || now.saturating_duration_since(wanted) >= TIMEOUT
    }
}

/// Whether two user names are those of one generation of ICE (RFC 8445 §7.2.2), seen from both sides.
fn is_reverse(one: &[u8], other: &[u8]) -> bool {
    match (halves(one), halves(other)) {
        (Some((first, second)), Some((third, fourth))) => first == fourth && second == third,
        _ => false,
    }
}

/// The user name's fragments.
fn halves(username: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = username.iter().position(|byte| *byte == b':')?;
    Some((&username[..colon], &username[colon + 1..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// In the generation of these checks.
    fn checking(username: &[u8]) -> Nomination {
        let mut nomination = Nomination::default();
        nomination.begin_generation(username);
        nomination
    }

    #[test]
    fn a_pair_is_nominated_once_the_partner_checks() {
        let (mut nomination, now) = (checking(b"them:us"), Instant::now());
        assert!(!nomination.may_leave(now));
        nomination.on_check(b"us:them");
        assert!(nomination.may_leave(now));
    }

    #[test]
    fn a_partner_that_never_checks_is_not_waited_for() {
        let (mut nomination, now) = (checking(b"them:us"), Instant::now());
        nomination.on_description(true);
        assert!(nomination.may_leave(now));
        nomination.on_description(false);
        assert!(!nomination.may_leave(now));
    }

    #[test]
    fn a_check_that_comes_first_counts() {
        let (mut nomination, now) = (Nomination::default(), Instant::now());
        nomination.on_check(b"us:them");
        nomination.begin_generation(b"them:us");
        assert!(nomination.may_leave(now));
    }

    #[test]
    fn after_a_restart_it_has_to_check_again() {
        let (mut nomination, now) = (checking(b"them:us"), Instant::now());
        nomination.on_check(b"us:them");
        assert!(nomination.may_leave(now));

        nomination.begin_generation(b"them2:us2");
        for old in [&b"us:them"[..], b"us:them2", b"us2:them", b"us2", b""] {
            nomination.on_check(old);
            assert!(!nomination.may_leave(now + TIMEOUT - MS), "{old:?}");
            nomination.wanted = None;
        }

        nomination.on_check(b"us2:them2");
        assert!(nomination.may_leave(now));
    }

    #[test]
    fn nobody_takes_back_that_the_partner_has_checked() {
        let (mut nomination, now) = (checking(b"them:us"), Instant::now());
        nomination.on_check(b"us:them");
        for other in [&b"us0:them0"[..], b"x", b"us:other"] {
            nomination.on_check(other);
            assert!(nomination.may_leave(now), "{other:?}");
        }
    }

    #[test]
    fn a_partner_that_does_not_check_is_not_waited_for_long() {
        let (mut nomination, now) = (checking(b"them:us"), Instant::now());
        assert!(!nomination.may_leave(now));
        assert!(!nomination.may_leave(now + TIMEOUT - MS));
        assert!(nomination.may_leave(now + TIMEOUT));
    }
}
