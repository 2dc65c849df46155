//! Numbers in what the two sides send each other, in additive fields of the payloads (docs/protocol.md,
//! "A fresh connection"): `connection` says which peer connection a description or candidate belongs to,
//! and `round` which offer an answer is for.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The fields, and nothing else.
#[derive(Deserialize)]
struct Numbered {
    #[serde(default)]
    connection: Option<serde_json::Value>,
    #[serde(default)]
    round: Option<serde_json::Value>,
}

/// The number of the connection in a payload. `None`: it has none, or something else in its place.
pub(super) fn connection(payload: &str) -> Option<u32> {
    number(serde_json::from_str::<Numbered>(payload).ok()?.connection)
}

/// The same for the number of an offer, in itself or in its answer.
pub(super) fn round(payload: &str) -> Option<u32> {
    number(serde_json::from_str::<Numbered>(payload).ok()?.round)
}

fn number(value: Option<serde_json::Value>) -> Option<u32> {
    value?.as_u64()?.try_into().ok()
}

/// This side's description, as one of the connection with this number. That it has one at all says that
/// this side can take a fresh connection.
pub(super) fn on_description(description: &str, connection: u32) -> String {
    with_number(description, "connection", connection)
}

/// This side's offer with its number, or its answer with that of the partner's offer.
pub(super) fn in_round(description: &str, round: u32) -> String {
    with_number(description, "round", round)
}

/// This side's candidate for the connection with this number. Those of the first one need none.
pub(super) fn on_candidate(candidate: &str, connection: u32) -> String {
    if connection == 0 {
        candidate.to_owned()
    } else {
        with_number(candidate, "connection", connection)
    }
}

/// A JSON object with the number in it. The end of candidates, which is none, stays as it is.
fn with_number(json: &str, name: &str, number: u32) -> String {
    let Ok(mut fields) = serde_json::from_str::<HashMap<String, &RawValue>>(json) else {
        return json.to_owned();
    };

    let value = serde_json::value::to_raw_value(&number).expect("a number is JSON");
    fields.insert(name.to_owned(), &value);
    serde_json::to_string(&fields).expect("texts and JSON are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_added_and_read_and_the_rest_stays() {
        let offer = r#"{"type":"offer","sdp":"v=0\r\n","pake":{"method":"words"}}"#;
        let numbered = in_round(&on_description(offer, 0), 3);
        assert_eq!(
            (connection(&numbered), round(&numbered)),
            (Some(0), Some(3))
        );
        let mut value: serde_json::Value = serde_json::from_str(&numbered).expect("JSON");
        let fields = value.as_object_mut().expect("an object");
        fields.remove("connection");
        fields.remove("round");
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(offer).expect("JSON")
        );

        let candidate = r#"{"candidate":"candidate:1","sdpMLineIndex":0}"#;
        assert_eq!(on_candidate(candidate, 0), candidate);
        assert_eq!(connection(&on_candidate(candidate, 7)), Some(7));
        assert_eq!(on_candidate("null", 7), "null");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for value in ["null", "-1", "1.5", "\"1\"", "4294967296", "[]", "{}"] {
            let fields = format!(r#""connection":{value},"round":{value}"#);
            let offer = format!(r#"{{"type":"offer","sdp":"",{fields}}}"#);
            assert_eq!((connection(&offer), round(&offer)), (None, None), "{value}");
        }

        for payload in ["", "null", "7", "[]", "{}", "{"] {
            assert_eq!(
                (connection(payload), round(payload)),
                (None, None),
                "{payload}"
            );
        }

        assert_eq!(connection(r#"{"connection":4294967295}"#), Some(u32::MAX));
        assert_eq!(round(r#"{"round":4294967295}"#), Some(u32::MAX));
    }
}
