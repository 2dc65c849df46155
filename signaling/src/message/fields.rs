//! A client's JSON object as raw fields, so that an error can name the field it is about.
//!
//! One pass over the text finds where each known field begins and ends. Nothing is copied until a
//! message asks for a field, and the payloads of a handshake keep every byte.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Fault;

/// Every field of any client message. Other fields are skipped and cost no memory.
const KNOWN: [&str; 25] = [
    "type",
    "id",
    "to",
    "offer",
    "answer",
    "candidate",
    "userName",
    "userAge",
    "userLocation",
    "userPicture",
    "room",
    "rooms",
    "claimToken",
    "mustExist",
    "interests",
    "sessionId",
    "reason",
    "category",
    "text",
    "snapshot",
    "partnerId",
    "knockId",
    "resumeToken",
    "lastSeq",
    "t",
];

/// The known fields of one JSON object. If a field comes twice, the last one counts, as in
/// JavaScript.
pub(super) struct Fields<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Splits `text` into its fields; fails if it is not exactly one JSON object.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json.deserialize_map(FieldsVisitor)?;
        json.end()?;

        Ok(fields)
    }

    /// The field's JSON text, byte for byte; `null` counts as a value.
    pub(super) fn raw(&self, name: &'static str) -> Option<&'a RawValue> {
        debug_assert!(
            KNOWN.contains(&name),
            "{name} is not in the list of known fields"
        );

        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The field's JSON text; `null` means the same as missing.
    pub(super) fn optional(&self, name: &'static str) -> Option<&'a RawValue> {
        self.raw(name).filter(|value| value.get() != "null")
    }

    /// The field's JSON text, or a fault if it is missing or `null`.
    pub(super) fn required(&self, name: &'static str) -> Result<&'a RawValue, Fault> {
        self.optional(name)
            .ok_or_else(|| Fault::field(name, "is missing or null"))
    }

    pub(super) fn optional_string(&self, name: &'static str) -> Result<Option<String>, Fault> {
        self.optional(name)
            .map(|value| string(name, value))
            .transpose()
    }

    pub(super) fn required_string(&self, name: &'static str) -> Result<String, Fault> {
        string(name, self.required(name)?)
    }

    /// False if it is missing.
    pub(super) fn optional_bool(&self, name: &'static str) -> Result<bool, Fault> {
        self.optional(name).map_or(Ok(false), |value| {
            serde_json::from_str(value.get())
                .map_err(|_| Fault::field(name, "must be true or false"))
        })
    }

    /// A whole number from `min` to `max`. `25.0` is a whole number: JSON has only one kind of
    /// number.
    pub(super) fn optional_whole(
        &self,
        name: &'static str,
        min: u64,
        max: u64,
    ) -> Result<Option<u64>, Fault> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };

        whole(value)
            .filter(|number| (min..=max).contains(number))
            .map(Some)
            .ok_or_else(|| {
                Fault::field(name, &format!("must be a whole number from {min} to {max}"))
            })
    }
}

fn whole(value: &RawValue) -> Option<u64> {
    if let Ok(number) = serde_json::from_str::<u64>(value.get()) {
        return Some(number);
    }

    /// 2^53 − 1: above it, not every whole number has an `f64` of its own.
    const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
    let number = serde_json::from_str::<f64>(value.get()).ok()?;
    // In this range the cast is exact.
    ((0.0..=MAX_EXACT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

fn string(name: &'static str, value: &RawValue) -> Result<String, Fault> {
    serde_json::from_str(value.get()).map_err(|_| Fault::field(name, "must be a string"))
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(&'static str, &'de RawValue)> = Vec::with_capacity(4);
        while let Some(key) = map.next_key_seed(KnownKey)? {
            let Some(name) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };

            let value = map.next_value()?;
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some(earlier) => earlier.1 = value,
                None => fields.push((name, value)),
            }
        }

        Ok(Fields(fields))
    }
}

/// Reads a key as one of [`KNOWN`], or as nothing.
struct KnownKey;

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(KNOWN.into_iter().find(|known| *known == key))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
        Err(E::custom("a field name must be text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_every_byte() {
        let fields =
            Fields::parse(r#"{"offer" : {"sdp":"\u0041\/ é",  "n":1.50e+2} ,"to":"x"}"#).unwrap();
        let offer = fields.raw("offer").map(RawValue::get);
        assert_eq!(
            offer,
            Some(r#"{"sdp":"\u0041\/ é",  "n":1.50e+2}"#),
            "spaces, escapes and digits as they were sent"
        );
    }

    #[test]
    fn a_key_may_be_escaped_and_the_last_of_two_equal_keys_counts() {
        let fields = Fields::parse(r#"{"to":"a","t\u006f":"b","zzz":[{}]}"#).unwrap();
        assert_eq!(
            fields.required_string("to").unwrap(),
            "b",
            "JSON.parse takes the last of two equal keys"
        );
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "\"x\"",
            "{",
            "{}{}",
            "{} x",
            "{\"to\"}",
            "{\"to\":}",
            "{'to':1}",
        ] {
            assert!(
                Fields::parse(text).is_err(),
                "{text} is not one JSON object"
            );
        }
    }

    #[test]
    fn a_whole_number_may_have_a_zero_fraction() {
        let of = |text: &str| whole(&RawValue::from_string(text.into()).unwrap());
        assert_eq!(of("25"), Some(25));
        assert_eq!(of("25.0"), Some(25), "25.0 is the same JSON number as 25");

        for text in ["25.5", "-1", "1e300", "\"25\"", "true", "[25]"] {
            assert_eq!(of(text), None, "{text} is not a whole number");
        }
    }
}
