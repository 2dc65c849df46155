//! A server that says who makes the offer and in which session, swaps certificates, and drops, repeats,
//! delays, reflects, mixes and damages moves, in any order, between four honest sides in two sessions;
//! it also takes part itself, with codes that it guesses.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SESSIONS: [&str; 2] = [ID, "0b7a2c19-27a3-4d8e-8d0d-3f6c5e1a9b44"];
/// The honest sides' certificates.
const CERTIFICATES: [Fingerprint; 4] = [
    ALICE,
    BOB,
    Fingerprint::from_digest([0xD4; 32]),
    Fingerprint::from_digest([0xE5; 32]),
];

/// One thing that the server does. `to` is an honest side.
#[derive(Debug, Clone)]
enum Act {
    /// Passes on the newest move of an honest side, with any certificate: to its partner, or to
    /// another side.
    Forward {
        to: Option<Index>,
        certificate: Certificate,
    },
    /// Hands one of the moves that it has seen to a side, as anyone's, in any carrier.
    Deliver {
        to: Index,
        message: Index,
        carrier: Option<Carrier>,
        certificate: Certificate,
        damage: Option<(Index, u8)>,
    },
    /// Hands a side a description without a move.
    Strip {
        to: Index,
        is_offer: bool,
        certificate: Certificate,
    },
    /// Hands a side a share that is no element, or the identity.
    Invalid { to: Index, share: [u8; 32] },
    /// Hands a move to one of its own two handshakes, whose moves it sees, too.
    Own {
        answers: bool,
        message: Index,
        partner: Index,
    },
    /// A side stops waiting.
    TimeOut { to: Index },
}

#[derive(Debug, Clone, Copy)]
enum Certificate {
    /// That of the side that sent the move, or the server's if it was no honest one.
    Senders,
    Servers,
    Receivers,
    None,
}

/// What the server decides about an honest side, and what only the side knows.
#[derive(Debug, Clone, Copy)]
struct Given {
    role: Role,
    session: usize,
    method: Method,
}

struct Honest {
    given: Given,
    local: Fingerprint,
    handshake: Handshake,
    /// The certificates in the descriptions that it has applied.
    applied: Vec<Option<Fingerprint>>,
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop_oneof![
        6 => Just(Certificate::Senders),
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
    let damage = prop::option::weighted(0.1, (any::<Index>(), 0x20..0x7f_u8));
    let to = any::<Index>;
    prop_oneof![
        16 => (prop::option::weighted(0.3, to()), certificate())
            .prop_map(|(to, certificate)| Act::Forward { to, certificate }),
        6 => (to(), any::<Index>(), carrier, certificate(), damage).prop_map(
            |(to, message, carrier, certificate, damage)| Act::Deliver {
                to, message, carrier, certificate, damage
            }
        ),
        1 => (to(), any::<bool>(), certificate()).prop_map(
            |(to, is_offer, certificate)| Act::Strip { to, is_offer, certificate }
        ),
        1 => (to(), prop_oneof![Just([0; 32]), any::<[u8; 32]>()])
            .prop_map(|(to, share)| Act::Invalid { to, share }),
        4 => (any::<bool>(), any::<Index>(), to())
            .prop_map(|(answers, message, partner)| Act::Own { answers, message, partner }),
        1 => to().prop_map(|to| Act::TimeOut { to }),
    ]
}

/// Sides in any role, session and party, of which the first two are partners.
fn sides(method: fn(Party) -> Method) -> impl Strategy<Value = Vec<Given>> {
    let one = move |role, session, party| Given {
        role,
        session,
        method: method(party),
    };
    let any_one =
        (any::<bool>(), 0..2_usize, any::<bool>()).prop_map(move |(offers, session, invites)| {
            let role = if offers {
                Role::Offerer
            } else {
                Role::Answerer
            };
            let party = if invites {
                Party::Inviter
            } else {
                Party::Guest
            };
            one(role, session, party)
        });
    (any::<bool>(), prop::collection::vec(any_one, 2)).prop_map(move |(invites, others)| {
        let party = if invites {
            Party::Inviter
        } else {
            Party::Guest
        };
        let mut all = vec![
            one(Role::Offerer, 0, party),
            one(Role::Answerer, 0, party.other()),
        ];
        all.extend(others);
        all
    })
}

/// Everything that there is in a run.
struct World {
    honest: Vec<Honest>,
    /// The server's own handshakes: one answers, the other has made an offer.
    own: [Handshake; 2],
    /// The moves that the server has, and whose they are.
    seen: Vec<(Option<Fingerprint>, Move)>,
    /// The newest move of an honest side, and the side.
    newest: Option<(usize, Move)>,
}

impl World {
    fn new(sides: &[Given], guess: Method, earlier: &[Move], seed: [u8; 32]) -> Self {
        let start = |given: Given, local, salt: u8| {
            let session = Session {
                id: SESSIONS[given.session],
                role: given.role,
                local,
            };
            let random = seed.map(|byte| byte ^ salt);
            Handshake::start(given.method, &session, random).expect("the seed is not constant")
        };
        let own = |role, salt| {
            let given = Given {
                role,
                session: 0,
                method: guess,
            };
            start(given, MALLORY, salt)
        };

        let (answers, _) = own(Role::Answerer, 101);
        let (offers, own_first) = own(Role::Offerer, 102);
        let mut seen: Vec<_> = earlier.iter().map(|message| (None, *message)).collect();
        seen.extend(own_first.map(|first| (None, first)));

        let mut honest = Vec::new();
        let mut newest = None;
        for (at, (given, local)) in sides.iter().zip(CERTIFICATES).enumerate() {
            let (handshake, first) = start(*given, local, at as u8 + 1);
            seen.extend(first.map(|first| (Some(local), first)));
            newest = newest.or(first.map(|first| (at, first)));
            honest.push(Honest {
                given: *given,
                local,
                handshake,
                applied: Vec::new(),
            });
        }

        Self {
            honest,
            own: [answers, offers],
            seen,
            newest,
        }
    }

    fn play(&mut self, act: &Act) {
        match act {
            Act::Forward { to, certificate } => {
                if let Some((from, message)) = self.newest {
                    let json = message.message.to_json();
                    let to = to.map_or(from ^ 1, |to| to.index(4));
                    let from = Some(self.honest[from].local);
                    self.hand(to, from, message.carrier, Some(&json), *certificate);
                }
            }
            Act::Deliver {
                to,
                message,
                carrier,
                certificate,
                damage,
            } => {
                let (from, message) = self.seen[message.index(self.seen.len())];
                let mut json = message.message.to_json().into_bytes();
                if let Some((at, byte)) = damage {
                    let at = at.index(json.len());
                    json[at] = *byte;
                }

                let json = String::from_utf8(json).expect("ASCII");
                let carrier = carrier.unwrap_or(message.carrier);
                self.hand(to.index(4), from, carrier, Some(&json), *certificate);
            }
            Act::Strip {
                to,
                is_offer,
                certificate,
            } => {
                let carrier = if *is_offer {
                    Carrier::Offer
                } else {
                    Carrier::Answer
                };
                let from = self.newest.map(|(from, _)| self.honest[from].local);
                self.hand(to.index(4), from, carrier, None, *certificate);
            }
            Act::Invalid { to, share } => {
                let (carrier, message) = match self.honest[to.index(4)].given.role {
                    Role::Offerer => (
                        Carrier::Answer,
                        Message::ShareAndConfirmation(*share, [1; 64]),
                    ),
                    Role::Answerer => (Carrier::Offer, Message::Share(*share)),
                };
                self.hand(
                    to.index(4),
                    None,
                    carrier,
                    Some(&message.to_json()),
                    Certificate::Servers,
                );
            }
            Act::Own {
                answers,
                message,
                partner,
            } => {
                let (_, message) = self.seen[message.index(self.seen.len())];
                let own = &mut self.own[usize::from(!answers)];
                let step = deliver(own, &message, CERTIFICATES[partner.index(4)]);
                self.seen.extend(step.send.map(|send| (None, send)));
            }
            Act::TimeOut { to } => {
                let side = &mut self.honest[to.index(4)];
                let step = side.handshake.handle(&Input::TimedOut);
                self.seen
                    .extend(step.send.map(|send| (Some(side.local), send)));
            }
        }
    }

    fn hand(
        &mut self,
        at: usize,
        from: Option<Fingerprint>,
        carrier: Carrier,
        pake: Option<&str>,
        certificate: Certificate,
    ) {
        let side = &mut self.honest[at];
        let remote = match certificate {
            Certificate::Senders => Some(from.unwrap_or(MALLORY)),
            Certificate::Servers => Some(MALLORY),
            Certificate::Receivers => Some(side.local),
            Certificate::None => None,
        };
        let step = side.handshake.handle(&match (carrier, pake) {
            (Carrier::Offer, _) => Input::Offer { pake, remote },
            (Carrier::Answer, _) => Input::Answer { pake, remote },
            (Carrier::Candidate, Some(pake)) => Input::Candidate { pake },
            (Carrier::Candidate, None) => return,
        });

        if carrier != Carrier::Candidate {
            side.applied.push(remote);
        }
        if let Some(message) = step.send {
            self.newest = Some((at, message));
            self.seen.push((Some(side.local), message));
        }
    }

    /// What a side has found out holds for all descriptions that it has applied.
    fn check_applied(&self) -> Result<(), TestCaseError> {
        for side in &self.honest {
            let outcome = side.handshake.outcome();
            if let Some(Outcome::Verified(proved) | Outcome::Words(_, proved)) = outcome {
                let all_same = side.applied.iter().all(|one| *one == Some(proved.remote));
                prop_assert!(all_same, "{outcome:?} {:?}", side.applied);
                prop_assert_eq!(proved.local, side.local);
            }
        }
        Ok(())
    }

    /// A side that is verified is an honest one with the other role and party in the same session, and
    /// has the same code.
    fn check_code(&self) -> Result<(), TestCaseError> {
        for side in &self.honest {
            let outcome = side.handshake.outcome();
            prop_assert!(!matches!(
                outcome,
                Some(Outcome::Words(..) | Outcome::Unavailable)
            ));
            let Some(Outcome::Verified(proved)) = outcome else {
                continue;
            };

            let partner = self.honest.iter().find(|one| one.local == proved.remote);
            let partner = partner.map(|partner| partner.given);
            prop_assert!(
                partner.is_some_and(|partner| {
                    partner.session == side.given.session
                        && partner.role != side.given.role
                        && partner.method == partners(side.given.method)
                }),
                "{:?} is verified for {:?}",
                partner,
                side.given
            );
            prop_assert!(
                !side.handshake.spent_a_guess(),
                "an honest partner costs no guess"
            );
        }
        Ok(())
    }
}

/// The moves of an earlier call between two, by the same code, which the server kept.
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

fn by_code(party: Party) -> Method {
    let Method::Code(code, _) = code("garden-lantern") else {
        unreachable!("it is by code");
    };
    Method::Code(code, party)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_server_makes_a_side_believe_in_another_certificate(
        acts in prop::collection::vec(act(), 1..32),
        mut sides in sides(by_code),
        same_code: bool,
        seed in seed(),
    ) {
        if !same_code {
            sides[1].method = match (sides[1].method, code("garden-otter")) {
                (Method::Code(_, party), Method::Code(other, _)) => Method::Code(other, party),
                _ => unreachable!("both are by code"),
            };
        }

        let earlier = earlier(by_code(Party::Inviter));
        let mut world = World::new(&sides, code("garden-kayak"), &earlier, seed);
        let mut ended = [false; 4];
        for act in &acts {
            world.play(act);
            world.check_code()?;
            world.check_applied()?;

            for (ended, side) in ended.iter_mut().zip(&world.honest) {
                let is_mismatch = side.handshake.outcome().is_some_and(mismatch);
                prop_assert!(is_mismatch || !*ended, "a mismatch is final");
                *ended = is_mismatch;
            }
        }
    }

    #[test]
    fn no_server_makes_the_words_agree_with_another_certificate(
        acts in prop::collection::vec(act(), 1..32),
        sides in sides(|_| Method::Words),
        seed in seed(),
    ) {
        let method = Method::Words;
        let mut world = World::new(&sides, method, &earlier(method), seed);
        for act in &acts {
            world.play(act);
            world.check_applied()?;
            let shown: Vec<_> = world.honest.iter().filter_map(|side| match side.handshake.outcome() {
                Some(Outcome::Words(words, proved)) => Some((words, proved)),
                _ => None,
            }).collect();
            for (at, (words, one)) in shown.iter().enumerate() {
                for (others, other) in &shown[at + 1..] {
                    let are_partners = one.local == other.remote && one.remote == other.local;
                    prop_assert!(words != others || are_partners, "equal words: {words} {one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn moves_that_arrive_unchanged_always_verify_both_sides(
        seed in seed(),
        repeats in prop::collection::vec(0..3_usize, 3),
        late in prop::collection::vec(any::<bool>(), 3),
        bits: u32,
        room in 1..1_000_000_000_u32,
        invites: bool,
    ) {
        let words = [Word::from_bits(bits), Word::from_bits(bits >> 11)];
        let party = if invites { Party::Inviter } else { Party::Guest };
        for method in [Method::Code(Code::new(room, words), party), Method::Words] {
            let sides = [(Role::Offerer, method), (Role::Answerer, partners(method))]
                .map(|(role, method)| Given { role, session: 0, method });
            let mut world = World::new(&sides, method, &[], seed);
            for (at, (repeats, late)) in repeats.iter().zip(&late).enumerate() {
                let (from, message) = world.newest.expect("a move");
                let to = &mut world.honest[1 - from];
                // Words may come after the deadline.
                if *late && method == Method::Words {
                    to.handshake.handle(&Input::TimedOut);
                }
                let mut next = None;
                for _ in 0..=*repeats {
                    next = next.or(deliver(&mut to.handshake, &message, CERTIFICATES[from]).send);
                }
                world.newest = next.map(|next| (1 - from, next));
                prop_assert_eq!(world.newest.is_none(), at == 2);
            }

            let [alice, bob] = [0, 1].map(|at| world.honest[at].handshake.outcome());
            match (alice, bob) {
                (Some(Outcome::Verified(alices)), Some(Outcome::Verified(bobs))) => {
                    prop_assert!(method != Method::Words);
                    prop_assert_eq!((alices.remote, bobs.remote), (BOB, ALICE));
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
    let (mut server, _) = Handshake::start(partners(right), &session, [9; 32]).expect("it starts");
    let answer = deliver(&mut server, &offer, ALICE).send.expect("an answer");
    let step = deliver(&mut alice, &answer, MALLORY);
    assert_eq!(step.outcome, Some(verified(ALICE, MALLORY)));
}

#[test]
fn a_thousand_wrong_guesses_are_a_thousand_mismatches_for_each_side() {
    let right = code("garden-lantern");
    for role in [Role::Offerer, Role::Answerer] {
        let mut spent = 0;
        for bits in 0..1_000 {
            let words = [Word::from_bits(bits * 3), Word::from_bits(bits * 7 + 1)];
            let guess = Method::Code(Code::new(7, words), Party::Guest);
            assert_ne!(guess, partners(right));

            let start = |method, role, local, random| {
                let session = Session {
                    id: ID,
                    role,
                    local,
                };
                Handshake::start(method, &session, random).expect("it starts")
            };
            let (mut side, first) = start(right, role, ALICE, [8; 32]);
            let other = match role {
                Role::Offerer => Role::Answerer,
                Role::Answerer => Role::Offerer,
            };
            let (mut server, servers_first) = start(guess, other, MALLORY, [9; 32]);

            let mut next = first.or(servers_first);
            let mut to_server = first.is_some();
            while let Some(message) = next {
                next = if to_server {
                    deliver(&mut server, &message, ALICE).send
                } else {
                    deliver(&mut side, &message, MALLORY).send
                };
                to_server = !to_server;
            }

            assert!(mismatch(side.outcome().expect("an outcome")), "{guess:?}");
            spent += usize::from(side.spent_a_guess());
        }

        assert_eq!(spent, 1_000, "the {role:?} counts all of them");
    }
}
