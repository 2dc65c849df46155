use proptest::prelude::*;

use super::*;
use crate::safety_words::Side;
use crate::{Fingerprint, Mismatch};

const BOB: Fingerprint = Fingerprint::from_digest([2; 32]);
const MALLORY: Fingerprint = Fingerprint::from_digest([3; 32]);

fn certificates(local: u8, remote: Fingerprint) -> Certificates {
    Certificates {
        local: Fingerprint::from_digest([local; 32]),
        remote,
    }
}

fn words(number: u8) -> SafetyWords {
    let nonce = [number; 32];
    let side = Side {
        fingerprint: &BOB,
        nonce: &nonce,
    };
    SafetyWords::new(b"s", side, side)
}

/// A call by invite that is verified and connected.
fn by_code() -> Verification {
    let mut call = Verification::new(Requirement::Code);
    call.decided(Outcome::Verified(certificates(1, BOB)));
    call.connected(certificates(1, BOB));
    call
}

/// Any other call, connected, with words.
fn by_words() -> Verification {
    let mut call = Verification::new(Requirement::Nothing);
    call.decided(Outcome::Words(words(1), certificates(1, BOB)));
    call.connected(certificates(1, BOB));
    call
}

#[test]
fn a_call_by_invite_has_no_media_before_the_code_has_verified_the_partner() {
    let mut call = Verification::new(Requirement::Code);
    assert!(!call.admits_media());
    call.connected(certificates(1, BOB));
    assert_eq!(
        (call.badge(), call.admits_media()),
        (Badge::NotVerified, false)
    );

    call.decided(Outcome::Verified(certificates(1, BOB)));
    assert_eq!(
        (call.badge(), call.admits_media()),
        (Badge::VerifiedByCode, true)
    );

    let mut other_order = Verification::new(Requirement::Code);
    other_order.decided(Outcome::Verified(certificates(1, BOB)));
    assert_eq!(
        (other_order.badge(), other_order.admits_media()),
        (Badge::NotVerified, false)
    );
    other_order.connected(certificates(1, BOB));
    assert_eq!(
        (other_order.badge(), other_order.admits_media()),
        (Badge::VerifiedByCode, true)
    );
}

#[test]
fn any_other_call_has_media_at_once_and_is_verified_by_the_user() {
    let mut call = by_words();
    assert_eq!(
        (call.badge(), call.admits_media()),
        (Badge::NotVerified, true)
    );
    assert_eq!(call.words(), WordsState::Ready(words(1)));

    call.compared(words(1), true);
    assert_eq!(call.badge(), Badge::VerifiedByUser);

    let mut without = Verification::new(Requirement::Nothing);
    without.decided(Outcome::Unavailable);
    without.connected(certificates(1, BOB));
    assert_eq!(
        (without.badge(), without.admits_media()),
        (Badge::NotVerified, true)
    );
    assert_eq!(without.words(), WordsState::Unavailable);
}

#[test]
fn words_that_are_on_their_way_are_told_apart_from_none() {
    let mut call = Verification::new(Requirement::Nothing);
    assert_eq!(call.words(), WordsState::Awaited);
    call.decided(Outcome::Words(words(1), certificates(1, BOB)));
    assert_eq!(
        call.words(),
        WordsState::Awaited,
        "the connection may turn out to be another"
    );
    call.connected(certificates(1, BOB));
    assert_eq!(call.words(), WordsState::Ready(words(1)));

    let mut late = Verification::new(Requirement::Nothing);
    late.connected(certificates(1, BOB));
    assert_eq!(late.words(), WordsState::Awaited);
    late.decided(Outcome::Unavailable);
    assert_eq!(late.words(), WordsState::Unavailable);
    late.decided(Outcome::Words(words(1), certificates(1, BOB)));
    assert_eq!(late.words(), WordsState::Ready(words(1)));

    let unproved = Verification::new(Requirement::Code);
    for call in [unproved, by_code()] {
        assert_eq!(call.words(), WordsState::ByCode);
    }
}

#[test]
fn words_that_differ_end_the_call() {
    let mut call = by_words();
    call.compared(words(1), false);
    assert!(call.is_mismatch() && !call.admits_media());
    assert_eq!(call.words().ready(), None);
}

#[test]
fn an_answer_about_words_that_are_not_shown_any_more_counts_for_nothing() {
    let mut call = by_words();
    call.decided(Outcome::Words(words(2), certificates(1, BOB)));
    for are_equal in [true, false] {
        call.compared(words(1), are_equal);
        assert_eq!(
            (call.badge(), call.is_mismatch()),
            (Badge::NotVerified, false)
        );
    }
}

#[test]
fn another_certificate_than_the_proved_one_is_a_mismatch() {
    let mut call = Verification::new(Requirement::Code);
    call.decided(Outcome::Verified(certificates(1, BOB)));
    call.connected(certificates(1, MALLORY));
    assert!(call.is_mismatch() && !call.admits_media());

    let mut other_order = Verification::new(Requirement::Code);
    other_order.connected(certificates(1, MALLORY));
    other_order.decided(Outcome::Verified(certificates(1, BOB)));
    assert!(other_order.is_mismatch() && !other_order.admits_media());
}

#[test]
fn a_mismatch_is_final() {
    let mut call = by_code();
    call.decided(Outcome::Mismatch(Mismatch::FingerprintChanged));
    call.decided(Outcome::Verified(certificates(1, BOB)));
    call.connected(certificates(1, BOB));
    assert!(call.is_mismatch() && !call.admits_media());
    assert_eq!(call.badge(), Badge::NotVerified);
}

#[test]
fn a_handshake_of_the_other_method_verifies_nothing() {
    let mut call = Verification::new(Requirement::Code);
    call.decided(Outcome::Words(words(1), certificates(1, BOB)));
    assert!(call.is_mismatch());
    let mut call = Verification::new(Requirement::Code);
    call.decided(Outcome::Unavailable);
    assert!(call.is_mismatch(), "by code, the handshake is mandatory");
    let mut call = Verification::new(Requirement::Nothing);
    call.decided(Outcome::Verified(certificates(1, BOB)));
    assert!(call.is_mismatch());
}

#[test]
fn a_call_has_one_pair_of_certificates() {
    let by_user = || {
        let mut call = by_words();
        call.compared(words(1), true);
        call
    };
    for verified in [by_code(), by_user(), by_words()] {
        let mut again = verified.clone();
        again.connected(certificates(1, BOB));
        assert_eq!(
            (again.badge(), again.admits_media()),
            (verified.badge(), true),
            "another route to the same partner"
        );

        for others in [certificates(1, MALLORY), certificates(9, BOB)] {
            let mut call = verified.clone();
            call.connected(others);
            assert!(call.is_mismatch() && !call.admits_media());
            assert_eq!(call.badge(), Badge::NotVerified);
        }
    }

    let mut unproved = Verification::new(Requirement::Nothing);
    unproved.connected(certificates(1, BOB));
    unproved.connected(certificates(1, MALLORY));
    assert!(unproved.is_mismatch());
}

#[test]
fn new_words_for_the_same_certificates_need_no_second_comparison() {
    let mut call = by_words();
    call.compared(words(1), true);
    call.decided(Outcome::Words(words(2), certificates(1, BOB)));
    assert_eq!(
        (call.badge(), call.words()),
        (Badge::VerifiedByUser, WordsState::Ready(words(2)))
    );

    call.decided(Outcome::Words(words(3), certificates(1, MALLORY)));
    assert!(call.is_mismatch() && !call.admits_media());
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Decided(Outcome),
    Connected(Certificates),
    Compared(u8, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let remote = || prop_oneof![3 => Just(BOB), 1 => Just(MALLORY)];
    let both = || (1..3_u8, remote()).prop_map(|(local, remote)| certificates(local, remote));
    prop_oneof![
        both().prop_map(|both| Event::Decided(Outcome::Verified(both))),
        (0..3_u8, both()).prop_map(|(n, both)| Event::Decided(Outcome::Words(words(n), both))),
        Just(Event::Decided(Outcome::Unavailable)),
        both().prop_map(Event::Connected),
        (0..3_u8, prop::bool::weighted(0.9)).prop_map(|(n, equal)| Event::Compared(n, equal)),
    ]
}

proptest! {
    #[test]
    fn only_what_the_connection_uses_is_verified(
        is_code: bool,
        events in prop::collection::vec(event(), 1..20),
    ) {
        let requirement = if is_code { Requirement::Code } else { Requirement::Nothing };
        let mut call = Verification::new(requirement);
        let (mut connected, mut proved, mut was_mismatch) = (Vec::new(), Vec::new(), false);
        for event in events {
            match event {
                Event::Decided(outcome) => {
                    call.decided(outcome);
                    if let Outcome::Verified(both) | Outcome::Words(_, both) = outcome {
                        proved.push(both);
                    }
                }
                Event::Connected(both) => {
                    call.connected(both);
                    connected.push(both);
                }
                Event::Compared(number, equal) => call.compared(words(number), equal),
            }

            if let Badge::VerifiedByCode | Badge::VerifiedByUser = call.badge() {
                prop_assert!(!connected.is_empty(), "no badge without a connection");
                prop_assert!(!proved.is_empty(), "and none without a proof");
                prop_assert_eq!(is_code, call.badge() == Badge::VerifiedByCode);
            }
            if !call.is_mismatch() {
                let all: Vec<_> = connected.iter().chain(&proved).collect();
                prop_assert!(all.windows(2).all(|two| two[0] == two[1]), "one pair: {all:?}");
            }
            prop_assert_eq!(is_code, call.words() == WordsState::ByCode);
            prop_assert!(!call.admits_media() || !connected.is_empty());
            prop_assert!(!call.admits_media() || !call.is_mismatch());
            prop_assert!(!is_code || !call.admits_media() || call.badge() == Badge::VerifiedByCode);
            prop_assert!(call.is_mismatch() || !was_mismatch, "a mismatch is final");
            was_mismatch = call.is_mismatch();
        }
    }
}
