//! Two honest sides with a server between them that does what it likes.

mod adversary;
mod late;

use super::*;
use crate::{Party, Word};

const ALICE: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
const BOB: Fingerprint = Fingerprint::from_digest([0xB2; 32]);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);
const ID: &str = "9d2f6c1a-6f8e-4c55-9b6b-3a1f0d7e8c43";

fn code(text: &str) -> Method {
    let words: Vec<Word> = text
        .split('-')
        .map(|word| word.parse().expect("a word"))
        .collect();
    Method::Code(
        Code::new(7, words.try_into().expect("two words")),
        Party::Inviter,
    )
}

/// The method of the partner of a side with this one.
fn partners(method: Method) -> Method {
    match method {
        Method::Code(code, party) => Method::Code(code, party.other()),
        Method::Words => Method::Words,
    }
}

/// The outcome of a side by code that is verified.
fn verified(local: Fingerprint, remote: Fingerprint) -> Outcome {
    Outcome::Verified(Certificates { local, remote })
}

fn offerer(method: Method) -> (Handshake, Move) {
    let session = Session {
        id: ID,
        role: Role::Offerer,
        local: ALICE,
    };
    let (handshake, offer) = Handshake::start(method, &session, [3; 32]).expect("it starts");
    (handshake, offer.expect("the first move"))
}

/// The partner of a side with this method.
fn answerer(method: Method) -> Handshake {
    let session = Session {
        id: ID,
        role: Role::Answerer,
        local: BOB,
    };
    Handshake::start(partners(method), &session, [4; 32])
        .expect("it starts")
        .0
}

/// Hands a move of the side with this certificate to the other side.
fn deliver(to: &mut Handshake, message: &Move, from: Fingerprint) -> Step {
    let json = message.message.to_json();
    let (pake, remote) = (Some(json.as_str()), Some(from));
    to.handle(&match message.carrier {
        Carrier::Offer => Input::Offer { pake, remote },
        Carrier::Answer => Input::Answer { pake, remote },
        Carrier::Candidate => Input::Candidate { pake: &json },
    })
}

/// Both outcomes, when a server that sees certificate `to_alice` to Alice and `to_bob` to Bob passes
/// on the moves of these methods.
fn outcomes(methods: [Method; 2], to_alice: Fingerprint, to_bob: Fingerprint) -> [Outcome; 2] {
    let ((mut alice, offer), mut bob) = (offerer(methods[0]), answerer(methods[1]));
    let mut to = deliver(&mut bob, &offer, to_bob)
        .send
        .map(|message| (true, message));
    while let Some((for_alice, message)) = to {
        let step = if for_alice {
            deliver(&mut alice, &message, to_alice)
        } else {
            deliver(&mut bob, &message, to_bob)
        };
        to = step.send.map(|message| (!for_alice, message));
    }

    [alice, bob].map(|side| side.outcome().expect("an outcome"))
}

fn mismatch(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Mismatch(_))
}

/// This step ends in that mismatch.
#[track_caller]
fn refused(step: &Step, why: Mismatch) {
    assert_eq!(step.outcome, Some(Outcome::Mismatch(why)));
}

#[test]
fn the_same_code_verifies_both_sides() {
    let methods = [code("garden-lantern"); 2];
    let outcomes = outcomes(methods, BOB, ALICE);
    assert_eq!(outcomes, [verified(ALICE, BOB), verified(BOB, ALICE)]);
}

#[test]
fn another_code_is_a_mismatch_on_both_sides() {
    for other in ["garden-kayak", "kayak-lantern", "lantern-garden"] {
        let methods = [code("garden-lantern"), code(other)];
        assert_eq!(
            outcomes(methods, BOB, ALICE),
            [Outcome::Mismatch(Mismatch::WrongConfirmation); 2]
        );
    }

    let words = ["garden", "lantern"].map(|word| word.parse().expect("a word"));
    let other_room = Method::Code(Code::new(8, words), Party::Inviter);
    let methods = [code("garden-lantern"), other_room];
    assert!(
        outcomes(methods, BOB, ALICE).into_iter().all(mismatch),
        "the room counts"
    );
}

#[test]
fn swapped_fingerprints_are_a_mismatch_on_both_sides() {
    for (to_alice, to_bob) in [(MALLORY, MALLORY), (MALLORY, ALICE), (BOB, MALLORY)] {
        let outcomes = outcomes([code("garden-lantern"); 2], to_alice, to_bob);
        assert!(
            outcomes.into_iter().all(mismatch),
            "{to_alice} {to_bob} {outcomes:?}"
        );
    }
}

#[test]
fn another_session_is_a_mismatch_on_both_sides() {
    let (mut alice, offer) = offerer(code("garden-lantern"));
    let session = Session {
        id: "another",
        role: Role::Answerer,
        local: BOB,
    };
    let (mut bob, _) =
        Handshake::start(partners(code("garden-lantern")), &session, [4; 32]).expect("it starts");
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    let refusal = deliver(&mut alice, &answer, BOB).send.expect("a refusal");
    deliver(&mut bob, &refusal, ALICE);
    assert!(mismatch(alice.outcome().unwrap()) && mismatch(bob.outcome().unwrap()));
}

#[test]
fn safety_words_are_equal_on_both_sides_unless_fingerprints_are_swapped() {
    let words = |outcome| match outcome {
        Outcome::Words(words, _) => words,
        other => panic!("{other:?}"),
    };
    let methods = [Method::Words; 2];
    let [alice, bob] = outcomes(methods, BOB, ALICE).map(words);
    assert_eq!(alice, bob);

    // A server that answers for Bob with its own certificate, and passes everything else on.
    let [alice, bob] = [
        outcomes(methods, MALLORY, ALICE)[0],
        outcomes(methods, BOB, ALICE)[1],
    ]
    .map(words);
    assert_ne!(alice, bob);
    // Towards Bob the commitment names Alice's certificate.
    assert!(mismatch(outcomes(methods, BOB, MALLORY)[1]));
}

#[test]
fn a_partner_without_the_handshake_is_a_mismatch_by_code_and_has_no_words() {
    let without = |role| match role {
        Role::Offerer => Input::Answer {
            pake: None,
            remote: Some(BOB),
        },
        Role::Answerer => Input::Offer {
            pake: None,
            remote: Some(ALICE),
        },
    };

    let (mut alice, _) = offerer(code("garden-lantern"));
    let step = alice.handle(&without(Role::Offerer));
    refused(&step, Mismatch::Missing);
    assert_eq!(
        step.send.map(|refusal| refusal.carrier),
        Some(Carrier::Candidate)
    );

    let mut bob = answerer(code("garden-lantern"));
    let step = bob.handle(&without(Role::Answerer));
    refused(&step, Mismatch::Missing);
    assert_eq!(
        step.send.map(|refusal| refusal.carrier),
        Some(Carrier::Answer)
    );

    for (mut side, role) in [
        (offerer(Method::Words).0, Role::Offerer),
        (answerer(Method::Words), Role::Answerer),
    ] {
        let step = side.handle(&without(role));
        assert_eq!(
            step,
            Step {
                send: None,
                outcome: Some(Outcome::Unavailable)
            }
        );
    }
}

#[test]
fn two_methods_do_not_mix() {
    let methods = [code("garden-lantern"), Method::Words];
    assert!(outcomes(methods, BOB, ALICE).into_iter().all(mismatch));
    assert!(
        outcomes([methods[1], methods[0]], BOB, ALICE)
            .into_iter()
            .all(mismatch)
    );
}

#[test]
fn what_cannot_be_read_is_a_mismatch_and_refused() {
    for method in [code("garden-lantern"), Method::Words] {
        for pake in ["", "{}", r#"{"method":"code"}"#, &"x".repeat(100_000)] {
            let (mut alice, offer) = offerer(method);
            let mut bob = answerer(method);
            deliver(&mut bob, &offer, ALICE);

            let step = alice.handle(&Input::Answer {
                pake: Some(pake),
                remote: Some(BOB),
            });
            assert!(
                mismatch(step.outcome.expect("an outcome")),
                "{method:?} {pake}"
            );
            let step = deliver(&mut bob, &step.send.expect("a refusal"), ALICE);
            assert!(
                mismatch(step.outcome.expect("an outcome")),
                "{method:?} {pake}"
            );

            let (mut alice, _) = offerer(method);
            let mut bob = answerer(method);
            let step = bob.handle(&Input::Offer {
                pake: Some(pake),
                remote: Some(ALICE),
            });
            assert!(
                mismatch(step.outcome.expect("an outcome")),
                "{method:?} {pake}"
            );
            let step = deliver(&mut alice, &step.send.expect("a refusal"), BOB);
            assert!(
                mismatch(step.outcome.expect("an outcome")),
                "{method:?} {pake}"
            );
        }
    }
}

#[test]
fn invalid_and_reflected_shares_are_a_mismatch_on_both_sides() {
    let (_, offer) = offerer(code("garden-lantern"));
    let Message::Share(alices) = offer.message else {
        panic!("{offer:?}")
    };
    for share in [[0; 32], [0xff; 32], alices] {
        let (mut alice, offer) = offerer(code("garden-lantern"));
        let mut bob = answerer(code("garden-lantern"));
        let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
        let Message::ShareAndConfirmation(_, tag) = answer.message else {
            panic!("{answer:?}")
        };
        let forged = Move {
            message: Message::ShareAndConfirmation(share, tag),
            ..answer
        };
        let step = deliver(&mut alice, &forged, BOB);
        assert!(mismatch(step.outcome.expect("an outcome")), "{share:?}");
        let step = deliver(&mut bob, &step.send.expect("a refusal"), ALICE);
        assert!(mismatch(step.outcome.expect("an outcome")), "{share:?}");
    }

    for share in [[0; 32], [0xff; 32]] {
        let mut bob = answerer(code("garden-lantern"));
        let forged = Move {
            carrier: Carrier::Offer,
            message: Message::Share(share),
        };
        let step = deliver(&mut bob, &forged, ALICE);
        refused(&step, Mismatch::InvalidShare);
        assert!(!bob.spent_a_guess(), "a refusal answers no guess");
    }
}

#[test]
fn a_side_that_is_connected_to_itself_is_not_verified() {
    let (mut alice, offer) = offerer(code("garden-lantern"));
    let step = deliver(
        &mut alice,
        &Move {
            carrier: Carrier::Answer,
            ..offer
        },
        ALICE,
    );
    refused(&step, Mismatch::Reflected);
}

#[test]
fn a_later_description_must_name_the_same_certificate() {
    for method in [code("garden-lantern"), Method::Words] {
        let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
        let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
        let third = deliver(&mut alice, &answer, BOB)
            .send
            .expect("the third move");
        deliver(&mut bob, &third, ALICE);

        for side in [&mut alice, &mut bob] {
            let before = side.outcome();
            assert!(!mismatch(before.expect("an outcome")));
            let partner = side.remote.expect("a partner");

            // Restarted ICE, in either direction, and a repeated move.
            let restart = Input::Offer {
                pake: None,
                remote: Some(partner),
            };
            assert_eq!(side.handle(&restart), Step::default());
            let restart = Input::Answer {
                pake: None,
                remote: Some(partner),
            };
            assert_eq!(side.handle(&restart), Step::default());
            assert_eq!(side.handle(&Input::TimedOut), Step::default());
            assert_eq!(side.outcome(), before);

            let other = Input::Offer {
                pake: None,
                remote: Some(MALLORY),
            };
            let step = side.handle(&other);
            refused(&step, Mismatch::FingerprintChanged);
            assert_eq!(
                side.handle(&restart),
                Step::default(),
                "a mismatch is final"
            );
        }
    }
}

#[test]
fn the_partner_of_a_side_that_refuses_late_is_no_longer_verified() {
    let ((mut alice, offer), mut bob) = (
        offerer(code("garden-lantern")),
        answerer(code("garden-lantern")),
    );
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    deliver(&mut alice, &answer, BOB);
    assert_eq!(alice.outcome(), Some(verified(ALICE, BOB)));

    // The server changes the third move.
    let forged = Move {
        carrier: Carrier::Candidate,
        message: Message::Confirmation([7; 64]),
    };
    let refusal = deliver(&mut bob, &forged, ALICE).send.expect("a refusal");
    let step = deliver(&mut alice, &refusal, BOB);
    assert!(mismatch(step.outcome.expect("an outcome")));
}

#[test]
fn a_repeated_third_move_changes_nothing() {
    for method in [code("garden-lantern"), Method::Words] {
        let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
        let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
        let again = deliver(&mut bob, &offer, ALICE).send;
        assert_eq!(
            again,
            Some(answer),
            "the answer to a repeated offer has the move, too"
        );
        let third = deliver(&mut alice, &answer, BOB)
            .send
            .expect("the third move");
        assert_eq!(
            deliver(&mut alice, &answer, BOB),
            Step::default(),
            "a repeated answer"
        );
        assert!(!mismatch(
            deliver(&mut bob, &third, ALICE)
                .outcome
                .expect("an outcome")
        ));
        assert_eq!(deliver(&mut bob, &third, ALICE), Step::default());
    }
}

#[test]
fn a_handshake_that_is_not_finished_is_a_mismatch_by_code_and_gives_no_words() {
    for (method, expected) in [
        (
            code("garden-lantern"),
            Outcome::Mismatch(Mismatch::TimedOut),
        ),
        (Method::Words, Outcome::Unavailable),
    ] {
        let ((mut alice, offer), mut waiting) = (offerer(method), answerer(method));
        let mut answered = answerer(method);
        deliver(&mut answered, &offer, ALICE);
        assert_eq!(
            answered.handle(&Input::TimedOut).outcome,
            Some(expected),
            "{method:?}"
        );

        // Nothing has come from the partner, so no code was tried.
        let expected = (method == Method::Words).then_some(Outcome::Unavailable);
        for side in [&mut alice, &mut waiting] {
            assert_eq!(
                side.handle(&Input::TimedOut).outcome,
                expected,
                "{method:?}"
            );
            assert!(!side.spent_a_guess());
        }
    }
}

#[test]
fn a_guess_is_spent_as_soon_as_the_partner_could_try_it() {
    let ((mut alice, offer), mut bob) = (
        offerer(code("garden-lantern")),
        answerer(code("garden-kayak")),
    );
    assert!(!alice.spent_a_guess() && !bob.spent_a_guess());

    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    assert!(
        bob.spent_a_guess(),
        "the offerer can try the code on this answer"
    );
    deliver(&mut alice, &answer, BOB);
    assert!(alice.spent_a_guess());

    let ((mut alice, offer), mut bob) = (
        offerer(code("garden-lantern")),
        answerer(code("garden-lantern")),
    );
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    let third = deliver(&mut alice, &answer, BOB)
        .send
        .expect("the third move");
    deliver(&mut bob, &third, ALICE);
    assert!(!alice.spent_a_guess() && !bob.spent_a_guess(), "verified");
}

#[test]
fn a_refusal_looks_like_a_confirmation_and_is_none() {
    let ((mut alice, offer), mut bob) = (
        offerer(code("garden-lantern")),
        answerer(code("garden-kayak")),
    );
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    let refusal = deliver(&mut alice, &answer, BOB).send.expect("a refusal");
    assert!(
        matches!(refusal.message, Message::Confirmation(_)),
        "{refusal:?}"
    );
    assert_eq!(refusal.carrier, Carrier::Candidate);
}

#[test]
fn what_cannot_start_says_why() {
    let session = |id| Session {
        id,
        role: Role::Offerer,
        local: ALICE,
    };
    let long = "x".repeat(MAX_SESSION_ID_BYTES + 1);
    for method in [code("garden-lantern"), Method::Words] {
        for id in ["", &long] {
            let error = Handshake::start(method, &session(id), [3; 32]).err();
            assert_eq!(error, Some(StartError::SessionId));
        }

        let error = Handshake::start(method, &session(ID), [0; 32]).err();
        assert_eq!(error, Some(StartError::NotRandom));
        assert!(Handshake::start(method, &session(&long[1..]), [3; 32]).is_ok());
    }
}
