//! What one side of a handshake costs: everything that it computes, with its JSON.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tandem_trust::{
    Carrier, Code, Fingerprint, Handshake, Input, Method, Move, Outcome, Party, Role, Session, Word,
};

const ALICE: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
const BOB: Fingerprint = Fingerprint::from_digest([0xB2; 32]);

fn start(method: Method, role: Role, local: Fingerprint) -> (Handshake, Option<Move>) {
    let session = Session {
        id: "9d2f6c1a-6f8e-4c55-9b6b-3a1f0d7e8c43",
        role,
        local,
    };
    let method = match (method, role) {
        (Method::Code(code, party), Role::Answerer) => Method::Code(code, party.other()),
        (method, _) => method,
    };
    let random = match role {
        Role::Offerer => [3; 32],
        Role::Answerer => [4; 32],
    };
    Handshake::start(method, &session, random).unwrap()
}

/// Hands over a move and returns the next one.
fn hand(to: &mut Handshake, message: Move, from: Fingerprint) -> Option<Move> {
    let json = message.message.to_json();
    let (pake, remote) = (Some(json.as_str()), Some(from));
    let step = to.handle(&match message.carrier {
        Carrier::Offer => Input::Offer { pake, remote },
        Carrier::Answer => Input::Answer { pake, remote },
        Carrier::Candidate => Input::Candidate { pake: &json },
    });
    step.send
}

fn bench(criterion: &mut Criterion) {
    let words: [Word; 2] = [Word::from_bits(5), Word::from_bits(6)];
    for (name, method) in [
        ("code", Method::Code(Code::new(7, words), Party::Inviter)),
        ("safety words", Method::Words),
    ] {
        let (_, offer) = start(method, Role::Offerer, ALICE);
        let (mut answerer, _) = start(method, Role::Answerer, BOB);
        let answer = hand(&mut answerer, offer.unwrap(), ALICE).unwrap();
        criterion.bench_function(&format!("{name}: the offerer's whole work"), |bencher| {
            bencher.iter(|| {
                let (mut offerer, _) = start(black_box(method), Role::Offerer, ALICE);
                let third = hand(&mut offerer, answer, BOB);
                assert!(matches!(
                    offerer.outcome(),
                    Some(Outcome::Verified(_) | Outcome::Words(..))
                ));
                third
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
