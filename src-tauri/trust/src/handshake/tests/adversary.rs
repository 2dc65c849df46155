//! A server that swaps certificates, and drops, repeats, delays, reflects, mixes and damages moves,
//! in any order, between two honest sides; it also takes part itself, with codes that it guesses.

use proptest::prelude::*;

use super::*;

/// One thing that the server does.
#[derive(Debug, Clone)]
enum Act {
    /// Passes on the newest move of an honest side, as a network would, with any certificate.
    Forward { certificate: Certificate },
    /// Hands one of the moves that it has seen to a side, as anyone's, in any carrier.
    Deliver {
        to_alice: bool,
        message: prop::sample::Index,
        carrier: Option<Carrier>,
        certificate: Certificate,
        damage: Option<(prop::sample::Index, u8)>,
    },
    /// Hands a side a description without a move.
    Strip {
        to_alice: bool,
        is_offer: bool,
        certificate: Certificate,
    },
    /// Hands a side a share that is no element, or the identity.
    Invalid { to_alice: bool, share: [u8; 32] },
    /// Hands a move to one of its own two handshakes, whose moves it sees, too.
    Own {
        answers_alice: bool,
        message: prop::sample::Index,
    },
    /// A side stops waiting.
    TimeOut { alice: bool },
}

#[derive(Debug, Clone, Copy)]
enum Certificate {
    Partners,
    Servers,
    Receivers,
    None,
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop_oneof![
        6 => Just(Certificate::Partners),
        3 => Just(Certificate::Servers),
        1 => Just(Certificate::Receivers),
        1 => Just(Certificate::None),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let carrier = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Carrier::Offer)),
        1 => Just(Some(Carrier::Answer)),
        1 => Just(Some(Carrier::Candidate)),
    ];
    let damage = prop::option::weighted(0.1, (any::<prop::sample::Index>(), 0x20..0x7f_u8));
    prop_oneof![
        16 => certificate().prop_map(|certificate| Act::Forward { certificate }),
        6 => (any::<bool>(), any::<prop::sample::Index>(), carrier, certificate(), damage).prop_map(
            |(to_alice, message, carrier, certificate, damage)| Act::Deliver {
                to_alice, message, carrier, certificate, damage
            }
        ),
        1 => (any::<bool>(), any::<bool>(), certificate()).prop_map(
            |(to_alice, is_offer, certificate)| Act::Strip { to_alice, is_offer, certificate }
        ),
        1 => (any::<bool>(), prop_oneof![Just([0; 32]), any::<[u8; 32]>()])
            .prop_map(|(to_alice, share)| Act::Invalid { to_alice, share }),
        4 => (any::<bool>(), any::<prop::sample::Index>())
            .prop_map(|(answers_alice, message)| Act::Own { answers_alice, message }),
        1 => any::<bool>().prop_map(|alice| Act::TimeOut { alice }),
    ]
}

/// Everything that there is in a run.
struct World {
    alice: Handshake,
    bob: Handshake,
    /// The server's own handshakes: one answers Alice, the other has made Bob an offer.
    own: [Handshake; 2],
    seen: Vec<Move>,
    /// The newest move of an honest side, and whether it is for Alice.
    newest: Option<(bool, Move)>,
    /// The certificates in the descriptions that Alice and Bob have applied.
    applied: [Vec<Option<Fingerprint>>; 2],
}

impl World {
    fn new(methods: [Method; 2], guess: Method, earlier: &[Move], seed: [u8; 32]) -> Self {
        let start = |method, role, local, salt: u8| {
            let session = Session {
                id: ID,
                role,
                local,
            };
            let random = seed.map(|byte| byte ^ salt);
            Handshake::start(method, &session, random).expect("the seed is not constant")
        };
        let (alice, first) = start(methods[0], Role::Offerer, ALICE, 1);
        let (bob, _) = start(methods[1], Role::Answerer, BOB, 2);
        let (answers, _) = start(guess, Role::Answerer, MALLORY, 3);
        let (offers, own_first) = start(guess, Role::Offerer, MALLORY, 4);

        let mut seen = earlier.to_vec();
        seen.extend(first);
        seen.extend(own_first);
        Self {
            alice,
            bob,
            own: [answers, offers],
            seen,
            newest: first.map(|first| (false, first)),
            applied: [Vec::new(), Vec::new()],
        }
    }

    fn play(&mut self, act: &Act) {
        let step = match act {
            Act::Forward { certificate } => {
                let Some((to_alice, message)) = self.newest else {
                    return;
                };
                let json = message.message.to_json();
                self.hand(to_alice, message.carrier, Some(&json), *certificate)
            }
            Act::Deliver {
                to_alice,
                message,
                carrier,
                certificate,
                damage,
            } => {
                let message = self.seen[message.index(self.seen.len())];
                let mut json = message.message.to_json().into_bytes();
                if let Some((at, byte)) = damage {
                    let at = at.index(json.len());
                    json[at] = *byte;
                }

                let json = String::from_utf8(json).expect("ASCII");
                let carrier = carrier.unwrap_or(message.carrier);
                self.hand(*to_alice, carrier, Some(&json), *certificate)
            }
            Act::Strip {
                to_alice,
                is_offer,
                certificate,
            } => {
                let carrier = if *is_offer {
                    Carrier::Offer
                } else {
                    Carrier::Answer
                };
                self.hand(*to_alice, carrier, None, *certificate)
            }
            Act::Invalid {
                to_alice: true,
                share,
            } => {
                let json = Message::ShareAndConfirmation(*share, [1; 64]).to_json();
                self.hand(true, Carrier::Answer, Some(&json), Certificate::Partners)
            }
            Act::Invalid {
                to_alice: false,
                share,
            } => {
                let json = Message::Share(*share).to_json();
                self.hand(false, Carrier::Offer, Some(&json), Certificate::Partners)
            }
            Act::Own {
                answers_alice,
                message,
            } => {
                let message = self.seen[message.index(self.seen.len())];
                let (own, partner) = match answers_alice {
                    true => (&mut self.own[0], ALICE),
                    false => (&mut self.own[1], BOB),
                };
                deliver(own, &message, partner)
            }
            Act::TimeOut { alice } => {
                let side = if *alice {
                    &mut self.alice
                } else {
                    &mut self.bob
                };
                side.handle(&Input::TimedOut)
            }
        };
        self.seen.extend(step.send);
    }

    fn hand(
        &mut self,
        to_alice: bool,
        carrier: Carrier,
        pake: Option<&str>,
        certificate: Certificate,
    ) -> Step {
        let (side, local, partner) = match to_alice {
            true => (&mut self.alice, ALICE, BOB),
            false => (&mut self.bob, BOB, ALICE),
        };
        let remote = match certificate {
            Certificate::Partners => Some(partner),
            Certificate::Servers => Some(MALLORY),
            Certificate::Receivers => Some(local),
            Certificate::None => None,
        };
        let step = side.handle(&match (carrier, pake) {
            (Carrier::Offer, _) => Input::Offer { pake, remote },
            (Carrier::Answer, _) => Input::Answer { pake, remote },
            (Carrier::Candidate, Some(pake)) => Input::Candidate { pake },
            (Carrier::Candidate, None) => return Step::default(),
        });

        if carrier != Carrier::Candidate {
            self.applied[usize::from(!to_alice)].push(remote);
        }
        if let Some(message) = step.send {
            self.newest = Some((!to_alice, message));
        }
        step
    }

    /// Whatever a side has found out holds for all descriptions that it has applied.
    fn check_applied(&self) -> Result<(), TestCaseError> {
        for (side, applied) in [&self.alice, &self.bob].into_iter().zip(&self.applied) {
            if let Some(Outcome::Verified(remote) | Outcome::Words(_, remote)) = side.outcome() {
                let all_same = applied.iter().all(|one| *one == Some(remote));
                prop_assert!(all_same, "{:?} {:?}", side.outcome(), applied);
            }
        }
        Ok(())
    }

    fn check_code(&self, same_code: bool) -> Result<(), TestCaseError> {
        for (side, partner) in [(&self.alice, BOB), (&self.bob, ALICE)] {
            if let Some(Outcome::Verified(remote)) = side.outcome() {
                prop_assert!(same_code, "verified with another code");
                prop_assert_eq!(remote, partner, "verified with another certificate");
            }
            prop_assert!(!matches!(
                side.outcome(),
                Some(Outcome::Words(..) | Outcome::Unavailable)
            ));
        }
        Ok(())
    }
}

/// The moves of an earlier call between the same two, by the same code, which the server kept.
fn earlier(method: Method) -> Vec<Move> {
    let ((mut alice, offer), mut bob) = (offerer(method), answerer(method));
    let answer = deliver(&mut bob, &offer, ALICE).send.expect("an answer");
    let third = deliver(&mut alice, &answer, BOB)
        .send
        .expect("the third move");
    vec![offer, answer, third]
}

fn seed() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>().prop_filter("not constant", |seed| {
        seed.iter().any(|byte| *byte != seed[0])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_server_makes_a_side_believe_in_another_certificate(
        acts in prop::collection::vec(act(), 1..24),
        same_code: bool,
        seed in seed(),
    ) {
        let right = code("garden-lantern");
        let other = if same_code { right } else { code("garden-otter") };
        let mut world = World::new([right, other], code("garden-kayak"), &earlier(right), seed);
        let mut ended = [false; 2];
        for act in &acts {
            world.play(act);
            world.check_code(same_code)?;
            world.check_applied()?;

            for (ended, side) in ended.iter_mut().zip([&world.alice, &world.bob]) {
                let is_mismatch = side.outcome().is_some_and(mismatch);
                prop_assert!(is_mismatch || !*ended, "a mismatch is final");
                *ended = is_mismatch;
            }
        }
    }

    #[test]
    fn no_server_makes_the_words_agree_with_another_certificate(
        acts in prop::collection::vec(act(), 1..24),
        seed in seed(),
    ) {
        let method = Method::Words;
        let mut world = World::new([method; 2], method, &earlier(method), seed);
        for act in &acts {
            world.play(act);
            world.check_applied()?;
            if let (Some(Outcome::Words(alices, bob)), Some(Outcome::Words(bobs, alice))) =
                (world.alice.outcome(), world.bob.outcome())
                && alices == bobs
            {
                prop_assert_eq!((alice, bob), (ALICE, BOB), "equal words: {}", alices);
            }
        }
    }

    #[test]
    fn moves_that_arrive_unchanged_always_verify_both_sides(
        seed in seed(),
        repeats in prop::collection::vec(0..3_usize, 3),
        bits: u32,
        room in 1..1_000_000_000_u32,
    ) {
        let words = [Word::from_bits(bits), Word::from_bits(bits >> 11)];
        for method in [Method::Code(Code::new(room, words)), Method::Words] {
            let mut world = World::new([method; 2], method, &[], seed);
            let mut next = Some(world.seen[0]);
            let mut to_alice = false;
            for repeats in &repeats {
                let message = next.take().expect("a move");
                let json = message.message.to_json();
                for _ in 0..=*repeats {
                    let step = world.hand(to_alice, message.carrier, Some(&json), Certificate::Partners);
                    next = next.or(step.send);
                }
                to_alice = !to_alice;
            }

            match (world.alice.outcome(), world.bob.outcome()) {
                (Some(Outcome::Verified(bob)), Some(Outcome::Verified(alice))) => {
                    prop_assert!(method != Method::Words);
                    prop_assert_eq!((alice, bob), (ALICE, BOB));
                }
                (Some(Outcome::Words(alices, _)), Some(Outcome::Words(bobs, _))) => {
                    prop_assert_eq!(method, Method::Words);
                    prop_assert_eq!(alices, bobs);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

/// The attack that the property excludes exists: a server that knows the code is verified as the
/// partner that it then is. This shows that its own handshakes take part at all.
#[test]
fn a_server_that_knows_the_code_is_verified_as_what_it_is() {
    let right = code("garden-lantern");
    let (mut alice, offer) = offerer(right);
    let session = Session {
        id: ID,
        role: Role::Answerer,
        local: MALLORY,
    };
    let (mut server, _) = Handshake::start(right, &session, [9; 32]).expect("it starts");
    let answer = deliver(&mut server, &offer, ALICE).send.expect("an answer");
    let step = deliver(&mut alice, &answer, MALLORY);
    assert_eq!(step.outcome, Some(Outcome::Verified(MALLORY)));
}

#[test]
fn a_thousand_wrong_guesses_are_a_thousand_mismatches() {
    let right = code("garden-lantern");
    let mut spent = 0;
    for bits in 0..1_000 {
        let words = [Word::from_bits(bits * 3), Word::from_bits(bits * 7 + 1)];
        let guess = Method::Code(Code::new(7, words));
        assert_ne!(guess, right);

        let session = Session {
            id: ID,
            role: Role::Offerer,
            local: MALLORY,
        };
        let (mut server, offer) = Handshake::start(guess, &session, [9; 32]).expect("it starts");
        let mut inviter = answerer(right);
        let answer = deliver(&mut inviter, &offer.expect("an offer"), MALLORY).send;
        let third = deliver(&mut server, &answer.expect("an answer"), BOB).send;
        let step = deliver(&mut inviter, &third.expect("the third move"), MALLORY);
        assert!(mismatch(step.outcome.expect("an outcome")), "{guess:?}");
        spent += usize::from(inviter.spent_a_guess());
    }

    assert_eq!(spent, 1_000, "the inviter counts all of them");
}
