//! What the moves of a handshake look like on the wire: the JSON object `pake` in an offer, an
//! answer or a candidate. `docs/protocol.md` describes it for other clients.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cpace::{Confirmation, Share};
use crate::safety_words::{Commitment, Nonce};

/// The longest `pake` that a sender makes, in bytes of JSON. The parser does not count them: how many
/// there are depends on who has written the same JSON last.
pub const MAX_MESSAGE_BYTES: usize = 512;

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The code, first move.
    Share(Share),
    /// The code, second move.
    ShareAndConfirmation(Share, Confirmation),
    /// The code, third move; and a refusal, in an answer or a candidate.
    Confirmation(Confirmation),
    /// Safety words, first move.
    Commitment(Commitment),
    /// Safety words, second move.
    Nonce(Nonce),
    /// Safety words, third move: the nonce that was committed to; and a refusal, in an answer or a
    /// candidate.
    Opening(Nonce),
}

/// What carries a move, under `pake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// The payload of `webrtc_offer`, beside the description.
    Offer,
    /// The payload of `webrtc_answer`, beside the description.
    Answer,
    /// The payload of an `ice_candidate`, with nothing else in it.
    Candidate,
}

/// Why a text is no move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON, or a field is of the wrong type or length.
    #[error("not a move of a handshake")]
    Malformed,
    /// A method that this version does not know.
    #[error("an unknown method")]
    UnknownMethod,
}

/// The methods' names on the wire.
const CODE: &str = "code";
const WORDS: &str = "words";

/// All fields of all moves.
#[derive(Default, Serialize)]
struct Fields {
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<String>,
}

impl Message {
    /// Reads a move.
    ///
    /// # Errors
    /// When it is none; the error says why, for the log.
    pub fn parse(json: &str) -> Result<Self, MessageError> {
        Fields::read(json)?.message()
    }

    /// The move as JSON, at most [`MAX_MESSAGE_BYTES`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let method = match self {
            Self::Share(_) | Self::ShareAndConfirmation(..) | Self::Confirmation(_) => CODE,
            Self::Commitment(_) | Self::Nonce(_) | Self::Opening(_) => WORDS,
        };
        let mut fields = Fields {
            method: method.into(),
            ..Fields::default()
        };

        match self {
            Self::Share(share) => fields.share = text(share),
            Self::ShareAndConfirmation(share, confirmation) => {
                fields.share = text(share);
                fields.confirm = text(confirmation);
            }
            Self::Confirmation(confirmation) => fields.confirm = text(confirmation),
            Self::Commitment(commitment) => fields.commit = text(commitment),
            Self::Nonce(nonce) => fields.nonce = text(nonce),
            Self::Opening(nonce) => fields.open = text(nonce),
        }

        serde_json::to_string(&fields).expect("strings are JSON")
    }
}

impl Fields {
    /// As everywhere in the protocol: unknown fields are ignored, however deep they are, a `null` is
    /// a missing field, and if a field comes twice, the last one counts.
    fn read(json: &str) -> Result<Self, MessageError> {
        let malformed = |_| MessageError::Malformed;
        let given: HashMap<String, &RawValue> = serde_json::from_str(json).map_err(malformed)?;
        let text = |name: &str| -> Result<Option<String>, MessageError> {
            match given.get(name) {
                Some(value) => serde_json::from_str(value.get()).map_err(malformed),
                None => Ok(None),
            }
        };

        let method = text("method")?.ok_or(MessageError::Malformed)?;
        if method != CODE && method != WORDS {
            return Err(MessageError::UnknownMethod);
        }

        Ok(Self {
            method,
            share: text("share")?,
            confirm: text("confirm")?,
            commit: text("commit")?,
            nonce: text("nonce")?,
            open: text("open")?,
        })
    }

    fn message(self) -> Result<Message, MessageError> {
        match (
            self.method.as_str(),
            self.share,
            self.confirm,
            self.commit,
            self.nonce,
            self.open,
        ) {
            (CODE, Some(share), None, None, None, None) => Ok(Message::Share(bytes(&share)?)),
            (CODE, Some(share), Some(confirm), None, None, None) => Ok(
                Message::ShareAndConfirmation(bytes(&share)?, bytes(&confirm)?),
            ),
            (CODE, None, Some(confirm), None, None, None) => {
                Ok(Message::Confirmation(bytes(&confirm)?))
            }
            (WORDS, None, None, Some(commit), None, None) => {
                Ok(Message::Commitment(bytes(&commit)?))
            }
            (WORDS, None, None, None, Some(nonce), None) => Ok(Message::Nonce(bytes(&nonce)?)),
            (WORDS, None, None, None, None, Some(open)) => Ok(Message::Opening(bytes(&open)?)),
            _ => Err(MessageError::Malformed),
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Bytes of exactly this number, in the one spelling that they have.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], MessageError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(MessageError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let long = || prop::collection::vec(any::<u8>(), 64).prop_map(|v| v.try_into().unwrap());
        prop_oneof![
            any::<[u8; 32]>().prop_map(Message::Share),
            (any::<[u8; 32]>(), long())
                .prop_map(|(share, confirm)| Message::ShareAndConfirmation(share, confirm)),
            long().prop_map(Message::Confirmation),
            any::<[u8; 32]>().prop_map(Message::Commitment),
            any::<[u8; 32]>().prop_map(Message::Nonce),
            any::<[u8; 32]>().prop_map(Message::Opening),
        ]
    }

    /// The spelling of a number of zero bytes.
    fn zeros(count: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0; count])
    }

    #[test]
    fn a_move_looks_as_the_protocol_says() {
        let (short, long) = (zeros(32), zeros(64));
        for (message, json) in [
            (
                Message::Share([0; 32]),
                format!(r#"{{"method":"code","share":"{short}"}}"#),
            ),
            (
                Message::ShareAndConfirmation([0; 32], [0; 64]),
                format!(r#"{{"method":"code","share":"{short}","confirm":"{long}"}}"#),
            ),
            (
                Message::Confirmation([0; 64]),
                format!(r#"{{"method":"code","confirm":"{long}"}}"#),
            ),
            (
                Message::Commitment([0; 32]),
                format!(r#"{{"method":"words","commit":"{short}"}}"#),
            ),
            (
                Message::Nonce([0; 32]),
                format!(r#"{{"method":"words","nonce":"{short}"}}"#),
            ),
            (
                Message::Opening([0; 32]),
                format!(r#"{{"method":"words","open":"{short}"}}"#),
            ),
        ] {
            assert_eq!(message.to_json(), json);
            assert_eq!(Message::parse(&json), Ok(message));
            assert!(json.len() * 2 <= MAX_MESSAGE_BYTES, "{} bytes", json.len());
        }
    }

    #[test]
    fn unknown_fields_and_nulls_are_ignored() {
        let json = format!(
            r#" {{"next":[1],"share":"{}","confirm":null,"method":"code"}} "#,
            zeros(32)
        );
        assert_eq!(Message::parse(&json), Ok(Message::Share([0; 32])));
    }

    #[test]
    fn both_languages_read_the_same_moves() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/moves.json"
        );
        let kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let texts = |name: &str| -> Vec<String> {
            serde_json::from_value(kept[name].clone()).expect("a list of texts")
        };

        for json in texts("read") {
            assert!(Message::parse(&json).is_ok(), "{json}");
        }
        for json in texts("unknownMethod") {
            assert_eq!(
                Message::parse(&json),
                Err(MessageError::UnknownMethod),
                "{json}"
            );
        }
        for json in texts("malformed") {
            assert_eq!(
                Message::parse(&json),
                Err(MessageError::Malformed),
                "{json}"
            );
        }

        // Too long for a file.
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        let json =
            |value: &str| format!(r#"{{"x":{value},"method":"code","share":"{}"}}"#, zeros(32));
        assert_eq!(
            Message::parse(&json(&deep)),
            Ok(Message::Share([0; 32])),
            "deep"
        );
        let long = format!("\"{}\"", "x".repeat(100_000));
        assert_eq!(
            Message::parse(&json(&long)),
            Ok(Message::Share([0; 32])),
            "long"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        use MessageError::{Malformed, UnknownMethod};

        let short = zeros(32);
        let field = |name: &str, value: &str| format!(r#"{{"method":"code","{name}":{value}}}"#);
        for (json, error) in [
            (String::new(), Malformed),
            ("null".into(), Malformed),
            ("[]".into(), Malformed),
            (r#""code""#.into(), Malformed),
            ("{}".into(), Malformed),
            (r#"{"method":"code"}"#.into(), Malformed),
            (r#"{"method":7}"#.into(), Malformed),
            (r#"{"method":"other"}"#.into(), UnknownMethod),
            (field("share", "7"), Malformed),
            (field("share", "[]"), Malformed),
            (field("share", r#""""#), Malformed),
            (field("share", &format!("\"{}\"", zeros(31))), Malformed),
            (field("share", &format!("\"{}\"", zeros(33))), Malformed),
            (field("share", &format!("\"{short}=\"")), Malformed),
            (field("share", &format!("\"{}B\"", &short[..42])), Malformed),
            (field("share", &format!("\"{}+\"", &short[..42])), Malformed),
            (field("commit", &format!("\"{short}\"")), Malformed),
            (
                field("share", &format!("\"{short}\",\"open\":\"{short}\"")),
                Malformed,
            ),
            (
                format!(r#"{{"method":"code","share":"{short}"}}x"#),
                Malformed,
            ),
        ] {
            assert_eq!(Message::parse(&json), Err(error), "{json}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(message in any_message()) {
            prop_assert_eq!(Message::parse(&message.to_json()), Ok(message));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Message::parse(&text);
        }

        #[test]
        fn a_damaged_move_is_refused_or_another(
            message in any_message(),
            at: prop::sample::Index,
            byte in 0x20..0x7f_u8,
        ) {
            let mut json = message.to_json().into_bytes();
            let at = at.index(json.len());
            json[at] = byte;
            let json = String::from_utf8(json).unwrap();
            if json != message.to_json() {
                prop_assert_ne!(Message::parse(&json), Ok(message));
            }
        }
    }
}
