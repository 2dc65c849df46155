//! Moves that come late, twice or from another version.

use super::*;

/// What a side of this role gets from its partner when everything goes well.
fn honest(method: Method) -> (Handshake, Handshake, [Move; 3]) {
    let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    let third = deliver(&mut alice, &answer, BOB)
        .send
        .expect("the third move");
    (alice, bob, [offer, answer, third])
}

#[test]
fn words_that_come_after_the_deadline_are_still_shown() {
    let (expected, _, [offer, answer, third]) = honest(Method::Words);

    let (mut alice, _) = offerer(Method::Words);
    let step = alice.handle(&Input::TimedOut);
    assert_eq!(step.outcome, Some(Outcome::Unavailable));
    assert_eq!(alice.handle(&Input::TimedOut), Step::default(), "said once");
    let step = deliver(&mut alice, &answer, BOB);
    assert_eq!(step.outcome, expected.outcome(), "the offerer's words");
    assert_eq!(step.send, Some(third));

    let mut bob = answerer(Method::Words);
    bob.handle(&Input::TimedOut);
    assert_eq!(deliver(&mut bob, &offer, ALICE).send, Some(answer));
    bob.handle(&Input::TimedOut);
    let step = deliver(&mut bob, &third, ALICE);
    assert!(
        matches!(step.outcome, Some(Outcome::Words(..))),
        "the answerer's words: {step:?}"
    );
}

#[test]
fn by_code_the_last_move_counts_before_the_deadline_only() {
    let (_, _, [offer, answer, third]) = honest(code("garden-lantern"));
    let timed_out = Some(Outcome::Mismatch(Mismatch::TimedOut));

    let (mut alice, _) = offerer(code("garden-lantern"));
    assert_eq!(alice.handle(&Input::TimedOut), Step::default());
    let step = deliver(&mut alice, &answer, BOB);
    assert!(
        matches!(step.outcome, Some(Outcome::Verified(_))),
        "who has sent nothing may be away, and come back: {step:?}"
    );

    let mut bob = answerer(code("garden-lantern"));
    assert_eq!(bob.handle(&Input::TimedOut), Step::default());
    deliver(&mut bob, &offer, ALICE);
    assert_eq!(bob.handle(&Input::TimedOut).outcome, timed_out);
    assert_eq!(deliver(&mut bob, &third, ALICE), Step::default());
    assert!(
        bob.spent_a_guess(),
        "a partner that leaves has had its guess"
    );
}

#[test]
fn an_offer_that_comes_again_gets_the_second_move_again() {
    for method in [code("garden-lantern"), Method::Words] {
        let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
        let lost = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
        let again = deliver(&mut bob, &offer, ALICE).send;
        assert_eq!(again, Some(lost), "{method:?}");

        let third = deliver(&mut alice, &lost, BOB).send.expect("a move");
        deliver(&mut bob, &third, ALICE);
        for side in [alice, bob] {
            let outcome = side.outcome().expect("an outcome");
            assert!(!mismatch(outcome), "{method:?}: {outcome:?}");
        }
    }
}

#[test]
fn another_versions_method_is_none_for_words_and_a_mismatch_by_code() {
    let message = r#"{"method":"words 2","commit":"x"}"#;
    let pake = Some(message);
    let offer = Input::Offer {
        pake,
        remote: Some(ALICE),
    };
    let answer = Input::Answer {
        pake,
        remote: Some(BOB),
    };
    let candidate = Input::Candidate { pake: message };

    for (mut side, description) in [
        (offerer(Method::Words).0, answer),
        (answerer(Method::Words), offer),
    ] {
        let step = side.handle(&description);
        assert_eq!(step.outcome, Some(Outcome::Unavailable));
        assert_eq!(step.send, None);
        assert_eq!(side.handle(&candidate), Step::default(), "the call goes on");
    }

    for (mut side, description) in [
        (offerer(code("garden-lantern")).0, answer),
        (answerer(code("garden-lantern")), offer),
    ] {
        let step = side.handle(&description);
        assert!(mismatch(step.outcome.expect("an outcome")));
    }
}

#[test]
fn a_partner_without_words_may_describe_itself_as_it_likes() {
    for first in [None, Some(ALICE), Some(MALLORY)] {
        let mut bob = answerer(Method::Words);
        let offer = |remote| Input::Offer { pake: None, remote };
        let step = bob.handle(&offer(first));
        assert_eq!(step.outcome, Some(Outcome::Unavailable));
        for later in [None, Some(ALICE), Some(BOB)] {
            assert_eq!(
                bob.handle(&offer(later)),
                Step::default(),
                "{first:?} {later:?}"
            );
        }
    }

    let mut bob = answerer(code("garden-lantern"));
    let offer = Input::Offer {
        pake: None,
        remote: None,
    };
    let step = bob.handle(&offer);
    refused(&step, Mismatch::NoFingerprint);
}

#[test]
fn null_is_no_move() {
    for null in ["null", " null\n"] {
        let offer = Input::Offer {
            pake: Some(null),
            remote: Some(ALICE),
        };
        let step = answerer(Method::Words).handle(&offer);
        assert_eq!(step.outcome, Some(Outcome::Unavailable));
        let step = answerer(code("garden-lantern")).handle(&offer);
        refused(&step, Mismatch::Missing);

        let mut alice = offerer(code("garden-lantern")).0;
        assert_eq!(
            alice.handle(&Input::Candidate { pake: null }),
            Step::default()
        );
    }
}

#[test]
fn only_an_inviter_and_a_guest_verify_each_other() {
    let Method::Code(code, _) = code("garden-lantern") else {
        panic!("by code");
    };
    for party in [Party::Inviter, Party::Guest] {
        let method = Method::Code(code, party);
        let (mut alice, offer) = offerer(method);
        let mut bob = answerer(partners(method));
        let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
        let refusal = deliver(&mut alice, &answer, BOB).send.expect("a refusal");
        deliver(&mut bob, &refusal, ALICE);
        for side in [alice, bob] {
            assert_eq!(
                side.outcome(),
                Some(Outcome::Mismatch(Mismatch::WrongConfirmation)),
                "two of the same: {party:?}"
            );
        }
    }
}

#[test]
fn a_guess_that_was_taken_back_is_not_counted_after_all() {
    let (mut alice, mut bob, [.., third]) = honest(code("garden-lantern"));
    assert!(bob.spent_a_guess(), "before the third move");
    deliver(&mut bob, &third, ALICE);
    for side in [&mut alice, &mut bob] {
        assert!(!side.spent_a_guess());
        let other = Input::Offer {
            pake: None,
            remote: Some(MALLORY),
        };
        let step = side.handle(&other);
        refused(&step, Mismatch::FingerprintChanged);
        assert!(!side.spent_a_guess(), "the partner knew the code");
    }
}

#[test]
fn the_secrets_are_gone_when_no_move_is_awaited() {
    for method in [code("garden-lantern"), Method::Words] {
        let (alice, mut bob, [.., third]) = honest(method);
        assert!(alice.secrets.is_none() && bob.secrets.is_some());
        deliver(&mut bob, &third, ALICE);
        assert!(bob.secrets.is_none());
    }
}

/// Replaces one character of one field of a move.
fn damaged(json: &str, field: &str, at: usize) -> Option<String> {
    let mut message: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let text = message[field].as_str().expect("a text");
    let other = match text.get(at..=at)? {
        "A" => "B",
        _ => "A",
    };
    let mut text = text.to_owned();
    text.replace_range(at..=at, other);
    message[field] = text.into();
    Some(message.to_string())
}

/// Both outcomes when one character of one move is replaced on its way.
fn outcomes_with_damage(method: Method, at: usize, change: &str) -> [Outcome; 2] {
    let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
    let mut next = Some(offer);
    let mut number = 0;
    while let Some(message) = next {
        let json = message.message.to_json();
        let json = if number == at { change } else { &json };
        let (to, from) = if number % 2 == 0 {
            (&mut bob, ALICE)
        } else {
            (&mut alice, BOB)
        };
        let (pake, remote) = (Some(json), Some(from));
        next = to
            .handle(&match message.carrier {
                Carrier::Offer => Input::Offer { pake, remote },
                Carrier::Answer => Input::Answer { pake, remote },
                Carrier::Candidate => Input::Candidate { pake: json },
            })
            .send;
        number += 1;
    }
    [alice, bob].map(|side| side.outcome().expect("an outcome"))
}

#[test]
fn no_character_of_any_field_can_be_changed() {
    let mut count = 0;
    for method in [code("garden-lantern"), Method::Words] {
        let (.., moves) = honest(method);
        for (number, message) in moves.iter().enumerate() {
            let json = message.message.to_json();
            let fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&json).expect("an object");
            for field in fields.keys().filter(|field| *field != "method") {
                for at in 0.. {
                    let Some(change) = damaged(&json, field, at) else {
                        break;
                    };
                    let what = format!("{method:?}, move {number}, {field}, {at}");
                    match outcomes_with_damage(method, number, &change) {
                        [Outcome::Words(alices, _), Outcome::Words(bobs, _)] => {
                            assert_ne!(alices, bobs, "{what}");
                        }
                        outcomes => {
                            assert!(outcomes.into_iter().all(mismatch), "{what}: {outcomes:?}");
                        }
                    }
                    count += 1;
                }
            }
        }
    }

    // share; share and confirm; confirm; commit; nonce; open
    assert_eq!(count, 43 + 43 + 86 + 86 + 43 + 43 + 43, "every character");
}
