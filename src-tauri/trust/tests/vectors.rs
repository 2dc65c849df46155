//! Handshakes with fixed randomness, byte for byte: the guest page's twin makes the same ones.
//! `TANDEM_WRITE_VECTORS=1` writes them anew.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use serde_json::{Value, json};
use tandem_trust::{
    Code, Fingerprint, Handshake, Input, Method, Move, Outcome, Party, Role, Session, Word,
};

/// What one run depends on.
struct Given {
    /// The offerer's method. The answerer is the other party.
    method: Method,
    /// As the guest page has it.
    name: Value,
    session: &'static str,
    offerer: ([u8; 32], [u8; 32]),
    answerer: ([u8; 32], [u8; 32]),
}

fn code(room: u32, words: [&str; 2], party: Party) -> (Method, Value) {
    let name = json!({
        "kind": "code", "room": room.to_string(), "words": words.join("-"), "party": party_name(party),
    });
    let words: [Word; 2] = words.map(|word| word.parse().unwrap());
    (Method::Code(Code::new(room, words), party), name)
}

fn party_name(party: Party) -> &'static str {
    match party {
        Party::Inviter => "inviter",
        Party::Guest => "guest",
    }
}

/// 32 different bytes.
fn bytes(first: u8, step: u8) -> [u8; 32] {
    std::array::from_fn(|at| first.wrapping_add(step.wrapping_mul(at as u8)))
}

fn all() -> Vec<Given> {
    let words = || (Method::Words, json!({ "kind": "words" }));
    let id = "9d2f6c1a-6f8e-4c55-9b6b-3a1f0d7e8c43";
    let rows = [
        (code(7, ["garden", "lantern"], Party::Inviter), id, 1),
        (
            code(999_999_999, ["lantern", "garden"], Party::Guest),
            "x",
            11,
        ),
        (code(1, ["kayak", "kayak"], Party::Inviter), "ä", 101),
        (words(), id, 21),
        (words(), "x", 201),
    ];
    rows.map(|((method, name), session, seed)| Given {
        method,
        name,
        session,
        offerer: (bytes(seed, 3), bytes(seed, 5)),
        answerer: (bytes(seed, 7), bytes(seed, 11)),
    })
    .into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(given: &Given, role: Role) -> (Handshake, Option<Move>, Fingerprint) {
    let (digest, random) = match role {
        Role::Offerer => given.offerer,
        Role::Answerer => given.answerer,
    };
    let local = Fingerprint::from_digest(digest);
    let session = Session {
        id: given.session,
        role,
        local,
    };
    let method = match (given.method, role) {
        (Method::Code(code, party), Role::Answerer) => Method::Code(code, party.other()),
        (method, _) => method,
    };
    let (handshake, first) = Handshake::start(method, &session, random).unwrap();
    (handshake, first, local)
}

fn run(given: &Given) -> Value {
    let (mut alice, first, alices) = start(given, Role::Offerer);
    let (mut bob, _, bobs) = start(given, Role::Answerer);

    let first = first.unwrap().message.to_json();
    let second = bob.handle(&Input::Offer {
        pake: Some(&first),
        remote: Some(alices),
    });
    let second = second.send.unwrap().message.to_json();
    let third = alice.handle(&Input::Answer {
        pake: Some(&second),
        remote: Some(bobs),
    });
    let third = third.send.unwrap().message.to_json();
    bob.handle(&Input::Candidate { pake: &third });

    let words = match [alice, bob].map(|side| side.outcome().unwrap()) {
        [Outcome::Verified(_), Outcome::Verified(_)] => Value::Null,
        [Outcome::Words(one, _), Outcome::Words(other, _)] if one == other => {
            one.to_string().into()
        }
        other => panic!("{other:?}"),
    };
    let moves = [first, second, third].map(|json| serde_json::from_str::<Value>(&json).unwrap());
    let side = |fingerprint: Fingerprint, random: [u8; 32]| json!({ "fingerprint": fingerprint.to_string(), "random": hex(&random) });
    json!({
        "method": given.name,
        "session": given.session,
        "offerer": side(alices, given.offerer.1),
        "answerer": side(bobs, given.answerer.1),
        "moves": moves,
        "words": words,
    })
}

#[test]
fn the_kept_handshakes_are_made_byte_for_byte() {
    let made: Vec<Value> = all().iter().map(run).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/handshakes.json");
    if std::env::var_os("TANDEM_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }

    let kept: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        made, kept,
        "a handshake has changed: partners of an earlier version differ"
    );
}

#[test]
fn the_protocol_page_shows_the_first_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("\n## Verifying the partner\n").nth(1).unwrap();
    let shown: Vec<Value> = section
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("\n```").next().unwrap()).unwrap())
        .collect();

    let carried = ["offer", "answer", "candidate"];
    let moves: Vec<_> = shown
        .iter()
        .zip(carried)
        .map(|(message, payload)| message[payload]["pake"].clone())
        .collect();
    assert_eq!(Value::from(moves), run(&all()[0])["moves"]);
}
