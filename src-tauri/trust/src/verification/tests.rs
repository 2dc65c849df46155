use proptest::prelude::*;

use super::*;
use crate::Mismatch;
use crate::safety_words::Side;

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
    assert_eq!(call.words(), Some(words(1)));

    call.compared(words(1), true);
    assert_eq!(call.badge(), Badge::VerifiedByUser);

    let mut without = Verification::new(Requirement::Nothing);
    without.decided(Outcome::Unavailable);
    without.connected(certificates(1, BOB));
    assert_eq!(
        (without.badge(), without.admits_media()),
        (Badge::NotVerified, true)
    );
    assert_eq!(without.words(), None);
}

#[test]
fn words_that_differ_end_the_call() {
    let mut call = by_words();
    call.compared(words(1), false);
    assert!(call.is_mismatch() && !call.admits_media());
    assert_eq!(call.words(), None);
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
fn a_reconnected_call_stays_verified_only_with_the_same_certificates() {
    let verified = [by_code(), {
        let mut call = by_words();
        call.compared(words(1), true);
        call
    }];

    for call in verified {
        let badge = call.badge();
        assert_ne!(badge, Badge::NotVerified);

        let mut same = call.clone();
        same.reconnecting(BOB);
        same.connected(certificates(1, BOB));
        assert_eq!((same.badge(), same.admits_media()), (badge, true));

        // By code there is no media, and what the user has verified needs the user.
        let lost = match badge {
            Badge::VerifiedByUser => Badge::NoLongerVerified,
            _ => Badge::NotVerified,
        };
        let mut other_partner = call.clone();
        other_partner.reconnecting(MALLORY);
        assert_eq!(other_partner.badge(), lost);
        other_partner.connected(certificates(1, MALLORY));
        assert_eq!(
            (other_partner.badge(), other_partner.admits_media()),
            (lost, false)
        );

        let mut unannounced = call.clone();
        unannounced.connected(certificates(1, MALLORY));
        assert_eq!(
            (unannounced.badge(), unannounced.admits_media()),
            (lost, false)
        );

        let mut other_local = call.clone();
        other_local.reconnecting(BOB);
        other_local.connected(certificates(9, BOB));
        assert_eq!(
            (other_local.badge(), other_local.admits_media()),
            (lost, false)
        );
    }
}

#[test]
fn a_call_that_is_connected_again_can_be_verified_again_in_either_order() {
    for local in [1, 9] {
        let (again, proof) = (
            certificates(local, BOB),
            Outcome::Verified(certificates(local, BOB)),
        );
        let mut proved_first = by_code();
        proved_first.reconnecting(BOB);
        proved_first.decided(proof);
        proved_first.connected(again);
        let mut connected_first = by_code();
        connected_first.reconnecting(BOB);
        connected_first.connected(again);
        connected_first.decided(proof);
        for call in [proved_first, connected_first] {
            assert_eq!(
                (call.badge(), call.admits_media()),
                (Badge::VerifiedByCode, true),
                "{call:?}"
            );
        }
    }
}

#[test]
fn the_user_decides_whether_to_go_on_with_another_certificate() {
    let mut call = by_words();
    call.compared(words(1), true);
    call.reconnecting(MALLORY);
    call.connected(certificates(1, MALLORY));
    call.decided(Outcome::Words(words(2), certificates(1, MALLORY)));
    assert_eq!(
        (call.badge(), call.admits_media()),
        (Badge::NoLongerVerified, false)
    );

    let mut compared = call.clone();
    compared.compared(words(2), true);
    assert_eq!(
        (compared.badge(), compared.admits_media()),
        (Badge::VerifiedByUser, true)
    );

    call.accepted_unverified();
    assert_eq!(
        (call.badge(), call.admits_media()),
        (Badge::NotVerified, true)
    );
}

#[test]
fn new_words_for_the_same_certificates_need_no_second_comparison() {
    let mut call = by_words();
    call.compared(words(1), true);
    call.decided(Outcome::Words(words(2), certificates(1, BOB)));
    assert_eq!(
        (call.badge(), call.words()),
        (Badge::VerifiedByUser, Some(words(2)))
    );

    call.decided(Outcome::Words(words(3), certificates(1, MALLORY)));
    assert_ne!(call.badge(), Badge::VerifiedByUser);
    assert!(!call.admits_media());
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Decided(Outcome),
    Connected(Certificates),
    Reconnecting(Fingerprint),
    Compared(u8, bool),
    Accepted,
}

fn event() -> impl Strategy<Value = Event> {
    let remote = || prop_oneof![3 => Just(BOB), 1 => Just(MALLORY)];
    let both = || (1..3_u8, remote()).prop_map(|(local, remote)| certificates(local, remote));
    prop_oneof![
        both().prop_map(|both| Event::Decided(Outcome::Verified(both))),
        (0..3_u8, both()).prop_map(|(n, both)| Event::Decided(Outcome::Words(words(n), both))),
        Just(Event::Decided(Outcome::Unavailable)),
        both().prop_map(Event::Connected),
        Just(Event::Accepted),
        remote().prop_map(Event::Reconnecting),
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
        let (mut connected, mut proved, mut was_mismatch) = (None, Vec::new(), false);
        // The certificates that the user has verified or agreed to go on with.
        let mut agreed: Option<Certificates> = None;
        for event in events {
            let before = call.clone();
            match event {
                Event::Decided(outcome) => {
                    call.decided(outcome);
                    if let Outcome::Verified(both) | Outcome::Words(_, both) = outcome {
                        proved.push(both);
                    }
                }
                Event::Connected(both) => {
                    call.connected(both);
                    connected = Some(both);
                }
                Event::Reconnecting(remote) => call.reconnecting(remote),
                Event::Compared(number, equal) => call.compared(words(number), equal),
                Event::Accepted => {
                    call.accepted_unverified();
                    agreed = None;
                }
            }

            if call.badge() == Badge::VerifiedByUser {
                agreed = connected;
            }
            if let (false, Some(agreed)) = (is_code, agreed) {
                prop_assert!(!call.admits_media() || connected == Some(agreed),
                    "media with {connected:?}, the user has verified {agreed:?}: {before:?} {event:?}");
            }
            if let Badge::VerifiedByCode | Badge::VerifiedByUser = call.badge() {
                let used = connected.expect("no badge without a connection");
                prop_assert!(proved.last() == Some(&used), "verified: {:?}", used);
                prop_assert_eq!(is_code, call.badge() == Badge::VerifiedByCode);
            }
            prop_assert!(!call.admits_media() || connected.is_some());
            prop_assert!(!is_code || !call.admits_media() || call.badge() == Badge::VerifiedByCode);
            prop_assert!(call.is_mismatch() || !was_mismatch, "a mismatch is final");
            was_mismatch = call.is_mismatch();
        }
    }
}
