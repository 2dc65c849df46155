//! What the fuzz target `handshake` and the test of its kept inputs run.

use crate::{
    Carrier, Code, Fingerprint, Handshake, Input, MAX_MESSAGE_BYTES, Message, Method, Outcome,
    Party, Role, Session, Word,
};

const LOCAL: Fingerprint = Fingerprint::from_digest([1; 32]);
const REMOTE: Fingerprint = Fingerprint::from_digest([2; 32]);

/// What a hostile partner sends, a line each, to four sides: of both roles, by both methods. The
/// first character says what carries the rest: `o`, `O`, `a`, `A` for a description (the capital
/// ones with another certificate), `c` for a candidate, `s` for a session description. A partner that has
/// no code is never verified.
///
/// # Panics
/// When something is wrong with this crate.
pub fn partner(lines: &str) {
    let code = Code::new(7, [Word::from_bits(1), Word::from_bits(2)]);
    let mut sides = Vec::new();
    for method in [Method::Code(code, Party::Guest), Method::Words] {
        for role in [Role::Offerer, Role::Answerer] {
            let session = Session {
                id: "x",
                role,
                local: LOCAL,
            };
            let side = Handshake::start(method, &session, [7; 32]).expect("it starts");
            sides.push(side.0);
        }
    }

    // More than any handshake takes.
    for line in lines.lines().take(12) {
        let Some(kind) = line.chars().next() else {
            continue;
        };
        let text = &line[kind.len_utf8()..];
        parse(text);
        for side in &mut sides {
            step(side, kind, text);
        }
    }
}

fn parse(text: &str) {
    if let Ok(message) = Message::parse(text) {
        let json = message.to_json();
        assert!(json.len() <= MAX_MESSAGE_BYTES);
        assert_eq!(Message::parse(&json), Ok(message));
    }

    if let Ok(fingerprint) = Fingerprint::in_description(text) {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
}

fn step(side: &mut Handshake, kind: char, text: &str) {
    let pake = (!text.is_empty()).then_some(text);
    let other = Some(Fingerprint::from_digest([3; 32]));
    let input = match kind {
        'o' => Input::Offer {
            pake,
            remote: Some(REMOTE),
        },
        'O' => Input::Offer {
            pake,
            remote: other,
        },
        'a' => Input::Answer {
            pake,
            remote: Some(REMOTE),
        },
        'A' => Input::Answer {
            pake,
            remote: other,
        },
        'c' => Input::Candidate { pake: text },
        's' => Input::Offer {
            pake: None,
            remote: Fingerprint::in_description(text).ok(),
        },
        _ => Input::TimedOut,
    };

    let before = side.outcome();
    let step = side.handle(&input);
    let after = side.outcome();
    assert!(
        !matches!(after, Some(Outcome::Verified(_))),
        "verified without a code"
    );

    if let Some(Outcome::Mismatch(_)) = before {
        assert_eq!((step.send, after), (None, before), "a mismatch is final");
    }

    if let Some(send) = step.send {
        let is_answer = matches!(input, Input::Offer { .. });
        assert!(send.carrier == Carrier::Candidate || is_answer, "{send:?}");
    }
}
