//! The handshake that verifies a partner, between its two implementations: Rust, for Tandem, and
//! TypeScript, for the guest page.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::part::source;
use tandem_tests::process::Process;
use tandem_tests::{Part, require};
use tandem_trust::{
    Carrier, Code, Fingerprint, Handshake, Input, Method, Outcome, Party, Role, Session, Word,
};

const ALICE: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
const BOB: Fingerprint = Fingerprint::from_digest([0xB2; 32]);
const MALLORY: Fingerprint = Fingerprint::from_digest([0xC3; 32]);
const ID: &str = "9d2f6c1a-6f8e-4c55-9b6b-3a1f0d7e8c43";

/// How each side is verified, as both implementations have it.
#[derive(Clone, Copy)]
enum By {
    Code(u32, [&'static str; 2]),
    Words,
}

const RIGHT: By = By::Code(7, ["garden", "lantern"]);

impl By {
    fn rust(self, party: Party) -> Method {
        match self {
            Self::Code(room, words) => {
                let words: [Word; 2] = words.map(|word| word.parse().expect("a listed word"));
                Method::Code(Code::new(room, words), party)
            }
            Self::Words => Method::Words,
        }
    }

    fn typescript(self, party: Party) -> Value {
        match self {
            Self::Code(room, words) => {
                let party = match party {
                    Party::Inviter => "inviter",
                    Party::Guest => "guest",
                };
                json!({ "kind": "code", "room": room.to_string(), "words": words.join("-"), "party": party })
            }
            Self::Words => json!({ "kind": "words" }),
        }
    }
}

/// One side, in either language.
trait Side {
    /// Starts; the offerer gets the first move.
    fn start(&mut self, by: By, party: Party, role: Role, random: [u8; 32]) -> Option<Value>;
    /// Takes a move, from a partner with this certificate, and returns the next one.
    fn take(&mut self, carrier: &str, pake: &Value, remote: Fingerprint) -> Option<Move>;
    /// The outcome's name, and the words or the verified certificate.
    fn outcome(&self) -> (String, Option<String>);
}

/// What carries a move, and the move.
type Move = (String, Value);

fn certificate(role: Role) -> Fingerprint {
    match role {
        Role::Offerer => ALICE,
        Role::Answerer => BOB,
    }
}

#[derive(Default)]
struct Rust(Option<Handshake>);

impl Side for Rust {
    fn start(&mut self, by: By, party: Party, role: Role, random: [u8; 32]) -> Option<Value> {
        let session = Session {
            id: ID,
            role,
            local: certificate(role),
        };
        let (handshake, first) =
            Handshake::start(by.rust(party), &session, random).expect("it starts");
        self.0 = Some(handshake);
        first.map(|first| serde_json::from_str(&first.message.to_json()).expect("JSON"))
    }

    fn take(&mut self, carrier: &str, pake: &Value, remote: Fingerprint) -> Option<Move> {
        let json = pake.to_string();
        let (pake, remote) = (Some(json.as_str()), Some(remote));
        let input = match carrier {
            "offer" => Input::Offer { pake, remote },
            "answer" => Input::Answer { pake, remote },
            _ => Input::Candidate { pake: &json },
        };
        let send = self
            .0
            .as_mut()
            .expect("it has started")
            .handle(&input)
            .send?;
        let carrier = match send.carrier {
            Carrier::Offer => "offer",
            Carrier::Answer => "answer",
            Carrier::Candidate => "candidate",
        };
        let pake = serde_json::from_str(&send.message.to_json()).expect("JSON");
        Some((carrier.to_owned(), pake))
    }

    fn outcome(&self) -> (String, Option<String>) {
        let outcome = self.0.as_ref().and_then(Handshake::outcome);
        match outcome.expect("an outcome") {
            Outcome::Verified(both) => ("verified".into(), Some(both.remote.to_string())),
            Outcome::Words(words, _) => ("words".into(), Some(words.to_string())),
            Outcome::Unavailable => ("unavailable".into(), None),
            Outcome::Mismatch(_) => ("mismatch".into(), None),
        }
    }
}

struct TypeScript {
    process: Process,
    lines: usize,
    outcome: Value,
}

impl TypeScript {
    fn new() -> Self {
        let mut command = Command::new("node");
        command.arg(source("../ui/tests/trust-side.mjs"));
        let process = Process::start_with_input(command).expect("node starts");
        process
            .wait_for_line(Duration::from_secs(60), |line| {
                line.contains("ready").then_some(())
            })
            .expect("it loads the guest page's code");
        Self {
            process,
            lines: 1,
            outcome: Value::Null,
        }
    }

    /// The line that answers this one.
    fn ask(&mut self, request: &Value) -> Value {
        self.process
            .write_line(&request.to_string())
            .expect("it reads");
        let seen = std::cell::Cell::new(0);
        let expected = self.lines + 1;
        self.lines = expected;
        self.process
            .wait_for_line(Duration::from_secs(60), |line| {
                seen.set(seen.get() + 1);
                (seen.get() == expected).then(|| serde_json::from_str(line).expect("JSON"))
            })
            .expect("it answers")
    }
}

impl Side for TypeScript {
    fn start(&mut self, by: By, party: Party, role: Role, random: [u8; 32]) -> Option<Value> {
        let name = match role {
            Role::Offerer => "offerer",
            Role::Answerer => "answerer",
        };
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let session = json!({ "id": ID, "role": name, "local": certificate(role).to_string() });
        let start = json!({ "method": by.typescript(party), "session": session, "random": random });
        self.outcome = Value::Null;
        let started = self.ask(&json!({ "start": start }));
        (!started["offer"].is_null()).then(|| started["offer"].clone())
    }

    fn take(&mut self, carrier: &str, pake: &Value, remote: Fingerprint) -> Option<Move> {
        let input = json!({ "kind": carrier, "pake": pake, "remote": remote.to_string() });
        let step = self.ask(&json!({ "input": input }));
        if !step["outcome"].is_null() {
            self.outcome = step["outcome"].clone();
        }

        let carrier = step["send"]["carrier"].as_str()?.to_owned();
        Some((carrier, step["send"]["pake"].clone()))
    }

    fn outcome(&self) -> (String, Option<String>) {
        let text = |name: &str| self.outcome[name].as_str().map(str::to_owned);
        let kind = text("kind").expect("an outcome");
        let detail = match kind.as_str() {
            "verified" => text("remote"),
            "words" => text("words"),
            _ => None,
        };
        (kind, detail)
    }
}

/// What happens between the two sides.
#[derive(Clone, Copy)]
struct Way {
    /// The certificates that the offerer and the answerer see.
    seen: [Fingerprint; 2],
    /// The move, counted from 0, of which one character of one field is replaced.
    damaged: Option<usize>,
    /// Which end of the invite the two sides are.
    parties: [Party; 2],
}

const HONEST: Way = Way {
    seen: [BOB, ALICE],
    damaged: None,
    parties: [Party::Inviter, Party::Guest],
};

/// Both outcomes after a handshake.
fn run(
    [alice, bob]: [&mut dyn Side; 2],
    by: [By; 2],
    round: u8,
    way: Way,
) -> [(String, Option<String>); 2] {
    let random = |salt: u8| std::array::from_fn(|at| round.wrapping_mul(31) ^ salt ^ at as u8);
    let offer = alice
        .start(by[0], way.parties[0], Role::Offerer, random(0x40))
        .expect("the first move");
    bob.start(by[1], way.parties[1], Role::Answerer, random(0x80));

    let mut next = Some(("offer".to_owned(), offer));
    let mut number = 0;
    while let Some((carrier, mut pake)) = next {
        if way.damaged == Some(number) {
            damage(&mut pake, round);
        }

        next = if number % 2 == 0 {
            bob.take(&carrier, &pake, way.seen[1])
        } else {
            alice.take(&carrier, &pake, way.seen[0])
        };
        number += 1;
    }

    [alice.outcome(), bob.outcome()]
}

/// Replaces one character of one of a move's fields: the one of this number, over all fields.
fn damage(pake: &mut Value, round: u8) {
    let fields = pake.as_object_mut().expect("an object");
    let mut fields: Vec<_> = fields
        .iter_mut()
        .filter(|(name, _)| *name != "method")
        .map(|(_, field)| field)
        .collect();
    let round = usize::from(round);
    let chosen = round % fields.len();
    let field = &mut *fields[chosen];
    let mut text = field.as_str().expect("a text").to_owned();
    // A step that meets every character, the last one included.
    let at = (text.len() - 1 + 37 * (round / 3)) % text.len();
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    text.replace_range(at..=at, other);
    *field = text.into();
}

/// Runs a test with Rust as the offerer, then with TypeScript.
fn in_both_roles(
    mut test: impl FnMut(&mut dyn FnMut([By; 2], u8, Way) -> [(String, Option<String>); 2]),
) {
    let (mut rust, mut page) = (Rust::default(), TypeScript::new());
    test(&mut |by, round, way| run([&mut rust, &mut page], by, round, way));
    test(&mut |by, round, way| run([&mut page, &mut rust], by, round, way));
}

#[test]
fn the_app_and_the_guest_page_verify_each_other() {
    require!(Part::UiPackages);

    in_both_roles(|run| {
        for round in 0..20 {
            // The server decides which of the two makes the offer.
            let mut parties = [Party::Inviter, Party::Guest];
            parties.rotate_left(usize::from(round % 2));
            let [alice, bob] = run([RIGHT; 2], round, Way { parties, ..HONEST });
            assert_eq!(
                alice,
                ("verified".into(), Some(BOB.to_string())),
                "round {round}"
            );
            assert_eq!(
                bob,
                ("verified".into(), Some(ALICE.to_string())),
                "round {round}"
            );

            let [alice, bob] = run([By::Words; 2], round, HONEST);
            assert_eq!(alice.0, "words", "round {round}");
            assert_eq!(alice, bob, "the same words on both screens, round {round}");
        }
    });
}

#[test]
fn the_app_and_the_guest_page_notice_a_wrong_code_and_a_server_in_between() {
    require!(Part::UiPackages);

    in_both_roles(|run| {
        let mut all_mismatch = |by, round, way| {
            let outcomes = run(by, round, way);
            let is_mismatch = outcomes.iter().all(|(kind, _)| kind == "mismatch");
            assert!(
                is_mismatch,
                "both sides end in a mismatch: {outcomes:?}, round {round}"
            );
        };

        let others = [
            By::Code(7, ["garden", "kayak"]),
            By::Code(8, ["garden", "lantern"]),
            By::Words,
        ];
        for (round, other) in others.into_iter().enumerate() {
            all_mismatch([RIGHT, other], round as u8, HONEST);
            all_mismatch([other, RIGHT], round as u8, HONEST);
        }

        for seen in [[MALLORY, MALLORY], [MALLORY, ALICE], [BOB, MALLORY]] {
            all_mismatch([RIGHT; 2], 1, Way { seen, ..HONEST });
        }

        for parties in [[Party::Inviter; 2], [Party::Guest; 2]] {
            all_mismatch([RIGHT; 2], 2, Way { parties, ..HONEST });
        }

        for round in 0..90 {
            let damaged = Some(usize::from(round % 3));
            all_mismatch([RIGHT; 2], round, Way { damaged, ..HONEST });
        }
    });

    in_both_roles(|run| {
        for seen in [[MALLORY, ALICE], [BOB, MALLORY]] {
            let [alice, bob] = run([By::Words; 2], 1, Way { seen, ..HONEST });
            let can_agree = alice.0 == "words" && alice == bob;
            assert!(!can_agree, "the words give it away: {alice:?} {bob:?}");
        }
    });
}
