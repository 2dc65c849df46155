//! The number of a peer connection in what the two sides send each other: the additive field
//! `connection` (docs/protocol.md, "A fresh connection").

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The field, and nothing else.
#[derive(Deserialize)]
struct Numbered {
    #[serde(default)]
    connection: Option<serde_json::Value>,
}

/// The number in a payload. `None`: it has none, or something else in its place.
pub(super) fn read(payload: &str) -> Option<u32> {
    let numbered: Numbered = serde_json::from_str(payload).ok()?;
    numbered.connection?.as_u64()?.try_into().ok()
}

/// This side's description, as one of the connection with this number. That it has one at all says that
/// this side can take a fresh connection.
pub(super) fn on_description(description: &str, number: u32) -> String {
    with_number(description, number)
}

/// This side's candidate for the connection with this number. Those of the first one need none.
pub(super) fn on_candidate(candidate: &str, number: u32) -> String {
    if number == 0 {
        candidate.to_owned()
    } else {
        with_number(candidate, number)
    }
}

/// A JSON object with the number in it. The end of candidates, which is none, stays as it is.
fn with_number(json: &str, number: u32) -> String {
    let Ok(mut fields) = serde_json::from_str::<HashMap<String, &RawValue>>(json) else {
        return json.to_owned();
    };

    let value = serde_json::value::to_raw_value(&number).expect("a number is JSON");
    fields.insert("connection".into(), &value);
    serde_json::to_string(&fields).expect("texts and JSON are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_added_and_read_and_the_rest_stays() {
        let offer = r#"{"type":"offer","sdp":"v=0\r\n","pake":{"method":"words"}}"#;
        let numbered = on_description(offer, 0);
        assert_eq!(read(&numbered), Some(0));
        let mut value: serde_json::Value = serde_json::from_str(&numbered).expect("JSON");
        let fields = value.as_object_mut().expect("an object");
        fields.remove("connection");
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(offer).expect("JSON")
        );

        let candidate = r#"{"candidate":"candidate:1","sdpMLineIndex":0}"#;
        assert_eq!(on_candidate(candidate, 0), candidate);
        assert_eq!(read(&on_candidate(candidate, 7)), Some(7));
        assert_eq!(on_candidate("null", 7), "null");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for value in ["null", "-1", "1.5", "\"1\"", "4294967296", "[]", "{}"] {
            let offer = format!(r#"{{"type":"offer","sdp":"","connection":{value}}}"#);
            assert_eq!(read(&offer), None, "{value}");
        }

        for payload in ["", "null", "7", "[]", "{}", "{"] {
            assert_eq!(read(payload), None, "{payload}");
        }

        assert_eq!(read(r#"{"connection":4294967295}"#), Some(u32::MAX));
    }
}
