#![allow(clippy::disallowed_methods, reason = "tests start at the real time")]

use std::time::Duration;

use proptest::prelude::*;
use tandem_trust::{MAX_GUESSES, Word};

use super::*;

const ALICE: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
const BOB: Fingerprint = Fingerprint::from_digest([0xB2; 32]);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);
const DEADLINE: Duration = Duration::from_secs(15);

fn code(party: Party, second: &str) -> Option<CallCode> {
    let words: [Word; 2] = ["garden", second].map(|word| word.parse().expect("a listed word"));
    Some(CallCode::new(Code::new(7, words), party))
}

fn verifier(code: Option<CallCode>, initiator: bool, now: Instant) -> Verifier {
    let (local, random) = if initiator { (ALICE, 1) } else { (BOB, 2) };
    Verifier::new(code, "s1", initiator, local, now + DEADLINE, [random; 32]).expect("it starts")
}

fn description(kind: &str, certificate: Fingerprint) -> String {
    let sdp = format!("v=0\r\na=fingerprint:{certificate}\r\nm=audio 9 X\r\n");
    serde_json::json!({ "type": kind, "sdp": sdp }).to_string()
}

/// An offer and its answer, between two sides that see these certificates, and the moves after them.
fn exchange(alice: &mut Verifier, bob: &mut Verifier, to_alice: Fingerprint, to_bob: Fingerprint) {
    let offer = alice.first_offer(description("offer", to_bob));
    let reaction = bob.offer(&offer);
    let mut answer = description("answer", to_alice);
    if let Some(message) = &reaction.answer {
        answer = with_move(&answer, message);
    }

    let mut next = alice.answer(&answer).candidate;
    let mut to_bob = true;
    while let Some(pake) = next {
        let side = if to_bob { &mut *bob } else { &mut *alice };
        next = side.candidate(&pake).candidate;
        to_bob = !to_bob;
    }
}

fn both(local: Fingerprint, remote: Fingerprint) -> Certificates {
    Certificates { local, remote }
}

#[test]
fn a_code_admits_media_once_it_is_proved_and_the_connection_is_up() {
    let now = Instant::now();
    let mut alice = verifier(code(Party::Inviter, "lantern"), true, now);
    let mut bob = verifier(code(Party::Guest, "lantern"), false, now);
    for side in [&mut alice, &mut bob] {
        assert!(side.must_verify() && !side.admits_media());
    }

    exchange(&mut alice, &mut bob, BOB, ALICE);
    for (side, certificates) in [(alice, both(ALICE, BOB)), (bob, both(BOB, ALICE))] {
        let mut side = side;
        assert!(!side.admits_media(), "no connection yet");
        assert!(!side.connected(certificates));
        assert!(side.admits_media());
        let state = side.new_state().expect("news");
        assert_eq!(
            (state.badge, state.words),
            (Badge::VerifiedByCode, WordsState::ByCode)
        );
        assert_eq!(side.new_state(), None, "said once");
        assert_eq!(side.poll_timeout(), None, "nothing is awaited");
        assert_eq!(side.code.expect("a code").guesses.spent(), 0);
    }
}

#[test]
fn a_connection_uses_the_certificates_that_the_two_sides_have_described() {
    let now = Instant::now();
    for (certificates, is_mismatch) in [
        (both(ALICE, BOB), false),
        (both(ALICE, MALLORY), true),
        (both(MALLORY, BOB), true),
    ] {
        let mut alice = verifier(None, true, now);
        // Without a move: the partner has no safety words.
        alice.answer(&description("answer", BOB));
        assert_eq!(alice.connected(certificates), is_mismatch);
    }
}

#[test]
fn a_connection_with_another_certificate_than_the_proved_one_is_a_mismatch() {
    let now = Instant::now();
    let mut alice = verifier(code(Party::Inviter, "lantern"), true, now);
    let mut bob = verifier(code(Party::Guest, "lantern"), false, now);
    exchange(&mut alice, &mut bob, BOB, ALICE);
    assert!(alice.connected(both(ALICE, MALLORY)));
    assert!(!alice.admits_media());
}

#[test]
fn five_calls_with_a_wrong_code_void_it_and_an_honest_one_costs_nothing() {
    let now = Instant::now();
    let (inviter, guest) = (code(Party::Inviter, "lantern"), code(Party::Guest, "kayak"));
    let guesses = |code: &Option<CallCode>| code.as_ref().expect("a code").guesses.clone();
    for spent in 0..MAX_GUESSES {
        assert_eq!(guesses(&inviter).spent(), spent);
        assert!(!guesses(&inviter).is_void());
        // In either role.
        let offers = spent % 2 == 0;
        let mut inviters = verifier(inviter.clone(), offers, now);
        let mut guests = verifier(guest.clone(), !offers, now);
        if offers {
            exchange(&mut inviters, &mut guests, BOB, ALICE);
        } else {
            exchange(&mut guests, &mut inviters, BOB, ALICE);
        }
        assert!(inviters.verification.is_mismatch() && guests.verification.is_mismatch());
    }
    assert!(
        guesses(&inviter).is_void() && guesses(&guest).is_void(),
        "each side counts"
    );

    let honest = code(Party::Inviter, "lantern");
    let mut alice = verifier(honest.clone(), true, now);
    let mut bob = verifier(code(Party::Guest, "lantern"), false, now);
    exchange(&mut alice, &mut bob, BOB, ALICE);
    assert_eq!(guesses(&honest).spent(), 0);
}

#[test]
fn an_offerer_that_leaves_after_the_second_move_has_spent_a_guess() {
    let now = Instant::now();
    let inviter = code(Party::Inviter, "lantern");
    let alice = verifier(code(Party::Guest, "kayak"), true, now);
    let mut bob = verifier(inviter.clone(), false, now);
    bob.offer(&alice.first_offer(description("offer", ALICE)));
    drop(bob);
    assert_eq!(inviter.expect("a code").guesses.spent(), 1);
}

#[test]
fn both_sides_have_the_same_words_and_the_user_says_that_they_match() {
    let now = Instant::now();
    let (mut alice, mut bob) = (verifier(None, true, now), verifier(None, false, now));
    exchange(&mut alice, &mut bob, BOB, ALICE);
    alice.connected(both(ALICE, BOB));
    bob.connected(both(BOB, ALICE));
    let [alices, bobs] = [&mut alice, &mut bob].map(|side| {
        assert!(!side.must_verify() && side.admits_media());
        side.new_state().expect("news")
    });
    assert_eq!(alices, bobs);
    assert_eq!(alices.badge, Badge::NotVerified);

    let words = alices.words.ready().expect("words");
    let reaction = alice.compared(words, true);
    assert!(!reaction.is_mismatch && reaction.candidate.is_none());
    let state = alice.new_state().expect("news");
    assert_eq!(state.badge, Badge::VerifiedByUser);
}

#[test]
fn words_that_differ_are_a_mismatch_on_both_sides() {
    for offerer_says in [true, false] {
        let now = Instant::now();
        let (mut alice, mut bob) = (verifier(None, true, now), verifier(None, false, now));
        exchange(&mut alice, &mut bob, BOB, ALICE);
        alice.connected(both(ALICE, BOB));
        bob.connected(both(BOB, ALICE));
        let (says, hears) = match offerer_says {
            true => (&mut alice, &mut bob),
            false => (&mut bob, &mut alice),
        };
        let words = says.new_state().and_then(|state| state.words.ready());
        let reaction = says.compared(words.expect("words"), false);
        assert!(reaction.is_mismatch);
        let told = reaction.candidate.expect("the partner is told");
        assert!(hears.candidate(&told).is_mismatch);
        assert_eq!(hears.new_state().expect("news").words.ready(), None);
    }
}

#[test]
fn a_handshake_that_is_not_finished_in_time_ends_a_call_by_code_only() {
    let now = Instant::now();
    let guest = verifier(code(Party::Guest, "lantern"), true, now);
    let mut by_code = verifier(code(Party::Inviter, "lantern"), false, now);
    by_code.offer(&guest.first_offer(description("offer", ALICE)));
    let mut by_words = verifier(None, true, now);
    // Nothing has come from its partner, which may be away.
    let mut alone = verifier(code(Party::Inviter, "lantern"), true, now);
    for side in [&mut by_code, &mut by_words, &mut alone] {
        assert_eq!(side.poll_timeout(), Some(now + DEADLINE));
        let early = side.handle_timeout(now + DEADLINE - Duration::from_millis(1));
        assert!(!early.is_mismatch && early.candidate.is_none());
    }

    let late = now + DEADLINE;
    let reaction = by_code.handle_timeout(late);
    assert!(
        reaction.is_mismatch && reaction.candidate.is_some(),
        "and refuses"
    );
    for side in [&mut by_words, &mut alone] {
        let reaction = side.handle_timeout(late);
        assert!(!reaction.is_mismatch && reaction.candidate.is_none());
        assert!(!side.verification.is_mismatch());
    }
    for side in [&mut by_code, &mut by_words, &mut alone] {
        assert_eq!(side.poll_timeout(), None);
        assert!(!side.handle_timeout(late).is_mismatch, "once");
    }
}

#[test]
fn a_move_is_found_only_where_the_protocol_has_it() {
    let pake = r#"{"method":"code","share":"x"}"#;
    assert_eq!(
        move_in(&format!(r#"{{"pake":{pake}}}"#)).as_deref(),
        Some(pake)
    );
    for payload in [
        "null",
        "7",
        "[]",
        "\"pake\"",
        "{}",
        r#"{"pake":null}"#,
        r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host"}"#,
        r#"{"candidate":"","x":{"pake":1}}"#,
    ] {
        assert_eq!(move_in(payload), None, "{payload}");
    }
}

#[test]
fn a_description_with_a_move_is_otherwise_as_it_was() {
    let offer = description("offer", ALICE);
    let message = Message::Share([7; 32]);
    let with = with_move(&offer, &message);
    let (pake, remote) = read(&with);
    assert_eq!(pake, Some(message.to_json()));
    assert_eq!(remote, Some(ALICE));

    let mut value: serde_json::Value = serde_json::from_str(&with).expect("JSON");
    value.as_object_mut().expect("an object").remove("pake");
    let before: serde_json::Value = serde_json::from_str(&offer).expect("JSON");
    assert_eq!(value, before);
}

/// What can happen to a side by code.
#[derive(Debug, Clone)]
enum Event {
    Offer(Fingerprint, bool),
    Answer(Fingerprint, bool),
    Third(bool),
    Connected(Fingerprint),
    TimedOut,
}

fn event() -> impl Strategy<Value = Event> {
    let certificate = || prop_oneof![4 => Just(BOB), 1 => Just(MALLORY)];
    prop_oneof![
        2 => (certificate(), any::<bool>()).prop_map(|(c, m)| Event::Offer(c, m)),
        2 => (certificate(), prop::bool::weighted(0.8)).prop_map(|(c, m)| Event::Answer(c, m)),
        1 => any::<bool>().prop_map(Event::Third),
        2 => certificate().prop_map(Event::Connected),
        1 => Just(Event::TimedOut),
    ]
}

proptest! {
    /// Alice invites, Bob is honest, and either of them makes the offer; the server reorders, repeats,
    /// strips and swaps.
    #[test]
    fn by_code_media_is_admitted_only_for_the_certificate_that_was_proved(
        alice_offers: bool,
        events in prop::collection::vec(event(), 1..12),
    ) {
        let now = Instant::now();
        let side = |party, local, initiator, random| {
            let code = code(party, "lantern");
            let deadline = now + DEADLINE;
            Verifier::new(code, "s1", initiator, local, deadline, [random; 32]).expect("it starts")
        };
        let mut alice = side(Party::Inviter, ALICE, alice_offers, 1);
        let mut bob = side(Party::Guest, BOB, !alice_offers, 2);
        // What Bob sends, in this order: the second move, or the first and the third.
        let mut bobs = Vec::new();
        let offerer = if alice_offers { &alice } else { &bob };
        let certificate = if alice_offers { ALICE } else { BOB };
        let offer = offerer.first_offer(description("offer", certificate));
        if alice_offers {
            bobs.extend(bob.offer(&offer).answer.map(|second| second.to_json()));
        } else {
            bobs.extend(read(&offer).0);
        }

        let (mut connected, mut ended) = (None, false);
        for event in events {
            let reaction = match event {
                Event::Offer(certificate, with) | Event::Answer(certificate, with) => {
                    let is_offer = matches!(event, Event::Offer(..));
                    let kind = if is_offer { "offer" } else { "answer" };
                    let mut text = description(kind, certificate);
                    if with {
                        let first: Message = Message::parse(&bobs[0]).expect("a move");
                        text = with_move(&text, &first);
                    }
                    if is_offer { alice.offer(&text) } else { alice.answer(&text) }
                }
                Event::Third(own) => {
                    let json = if own { bobs[bobs.len() - 1].clone() } else { "{}".to_owned() };
                    alice.candidate(&json)
                }
                Event::Connected(remote) => {
                    connected = Some(remote);
                    Reaction::ended(alice.connected(both(ALICE, remote)))
                }
                Event::TimedOut => alice.handle_timeout(now + DEADLINE),
            };
            // Bob gets Alice's answer, and makes the third move.
            if let Some(second) = &reaction.answer
                && bobs.len() == 1
            {
                let answer = with_move(&description("answer", ALICE), second);
                bobs.extend(bob.answer(&answer).candidate);
            }

            prop_assert!(!(ended && reaction.is_mismatch), "a mismatch is told once");
            prop_assert!(!ended || !alice.admits_media(), "and is final");
            ended |= reaction.is_mismatch;
            if alice.admits_media() {
                prop_assert_eq!(connected, Some(BOB));
                let state = alice.new_state();
                prop_assert!(state.is_none_or(|state| state.badge == Badge::VerifiedByCode));
            }
        }
    }
}
