//! Calls and users that are over.

use super::*;

const ANN: &str = "192.0.2.1:5000";
const BOB: &str = "198.51.100.1:6000";
const CAT: &str = "192.0.2.3:5000";

impl Rig {
    fn revoke(&mut self, revocations: &[Revocation]) {
        self.server.revoke(revocations, self.now, &mut self.ports);
    }

    /// The code of the answer to a request for an allocation.
    fn allocation_code(&mut self, from: &str, user: &str) -> Option<u16> {
        self.request(address(from), user, Method::Allocate, &[TRANSPORT_UDP])
            .code()
    }
}

#[test]
fn the_end_of_a_call_ends_both_its_allocations_and_no_other() {
    let mut rig = Rig::new();
    let ann = rig.allocate(address(ANN), "ann:call");
    let bob = rig.allocate(address(BOB), "bob:call");
    rig.allocate(address(CAT), "cat:other");
    assert_eq!(rig.bind(address(ANN), "ann:call", 0x4000, bob), None);
    assert_eq!(rig.bind(address(BOB), "bob:call", 0x4000, ann), None);
    assert!(rig.send(address(ANN), 0x4000, b"hello").is_some());

    rig.revoke(&[Revocation::Session("call".into())]);
    assert!(
        rig.send(address(ANN), 0x4000, b"bye").is_some(),
        "a last word"
    );
    for (from, user) in [(ANN, "ann:call"), (BOB, "bob:call")] {
        let lifetime = (attribute::LIFETIME, &600u32.to_be_bytes()[..]);
        let refreshed = rig.request(address(from), user, Method::Refresh, &[lifetime]);
        assert_eq!(refreshed.code(), Some(401), "{user}");
        assert_eq!(rig.allocation_code(from, user), Some(401), "{user}");
        let later = format!("9|{user}");
        assert_eq!(rig.allocation_code(from, &later), Some(401), "{later}");
    }

    rig.wait(1);
    assert!(rig.send(address(ANN), 0x4000, b"hello").is_none());
    assert!(rig.peer_sends(bob, ann, b"hello").is_none());
    rig.tick();
    assert_eq!(rig.ports.open.len(), 1, "two ports are closed");
    // Said again, by another side or another server.
    rig.revoke(&[Revocation::Session("call".into())]);

    assert_eq!(rig.allocation_code(ANN, "ann:next"), None, "the next call");
    assert_eq!(rig.allocation_code(BOB, "bob"), None, "outside of a call");
    let stats = rig.server.stats();
    assert_eq!((stats.ended, stats.revoked), (2, 6));
    assert_eq!(stats.unauthorized, 0, "they count once");
}

#[test]
fn a_banned_user_has_nothing_more_in_any_call_or_outside_of_one() {
    let mut rig = Rig::new();
    rig.allocate(address(ANN), "ann");
    rig.allocate(address(BOB), "ann:call");
    rig.allocate(address(CAT), "cat:call");

    rig.revoke(&[Revocation::User("ann".into())]);
    assert_eq!(rig.ports.open.len(), 1, "the partner's stays");
    for user in ["ann", "ann:call", "ann:next"] {
        assert_eq!(rig.allocation_code(ANN, user), Some(401), "{user}");
    }
    assert_eq!(rig.server.stats().ended, 2);
}

#[test]
fn an_allocation_that_a_user_has_taken_along_ends_with_the_call_that_has_it_now() {
    let mut rig = Rig::new();
    rig.allocate(address(ANN), "ann:first");
    let lifetime = (attribute::LIFETIME, &600u32.to_be_bytes()[..]);
    let renewed = rig.request(address(ANN), "ann:second", Method::Refresh, &[lifetime]);
    assert_eq!(renewed.code(), None, "the same user");

    for (session, left) in [("first", 1), ("second", 0)] {
        rig.revoke(&[Revocation::Session(session.into())]);
        rig.wait(1);
        rig.tick();
        assert_eq!(rig.ports.open.len(), left, "after the {session} call");
    }
}

#[test]
fn credentials_of_a_call_that_is_over_are_known_until_they_have_expired() {
    let mut rig = Rig::new();
    rig.revoke(&[Revocation::Session("call".into())]);
    rig.wait(3599);
    rig.tick();
    assert_eq!(rig.allocation_code(ANN, "ann:call"), Some(401));

    rig.unix += 3600;
    rig.wait(1);
    rig.tick();
    assert_eq!(rig.allocation_code(ANN, "ann:call"), Some(401), "expired");
    let stats = rig.server.stats();
    assert_eq!((stats.revoked, stats.unauthorized), (1, 1), "forgotten");
}
