//! The messages of the state channel: `{"type":"state","muted":false,"camera":true}`, and
//! `{"type":"meet_again","share":"…"}` with 32 hexadecimal digits.

use serde::{Deserialize, Serialize};

use super::{PartnerState, Share};

/// The label of the data channel that carries the messages.
pub(crate) const CHANNEL: &str = "tandem";

/// Longer messages are rejected unread. Ours take about 50 bytes; the rest is room for fields of
/// later versions.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024;

/// A message of the state channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateMessage {
    /// What the sender sends at the moment.
    State(PartnerState),
    /// The sender's share of a room to meet again. Old versions neither send nor read it.
    MeetAgain(Share),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Outgoing {
    State { muted: bool, camera: bool },
    MeetAgain { share: String },
}

/// Unknown types and unknown fields are ignored: a later version may add both.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Incoming {
    State {
        muted: bool,
        camera: bool,
    },
    MeetAgain {
        share: String,
    },
    #[serde(other)]
    Unknown,
}

/// What is wrong with the partner's message. The text never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateMessageError {
    /// It is longer than 1,024 bytes.
    #[error("the message is {0} bytes long, more than {max}", max = MAX_MESSAGE_BYTES)]
    TooLong(usize),
    /// Not a JSON object with a `type`, or a known message without its fields.
    #[error("not a message of the state channel")]
    Malformed,
}

/// The message as it is sent.
#[must_use]
pub fn to_json(message: StateMessage) -> String {
    let message = match message {
        StateMessage::State(state) => Outgoing::State {
            muted: state.muted,
            camera: state.camera_on,
        },
        StateMessage::MeetAgain(share) => Outgoing::MeetAgain {
            share: share.to_string(),
        },
    };

    serde_json::to_string(&message).expect("booleans and digits are always JSON")
}

/// Reads one of the partner's messages. `Ok(None)`: a type that this version does not know.
///
/// # Errors
/// If it is not a message of this channel, or too long. The channel stays usable.
pub fn parse(message: &[u8]) -> Result<Option<StateMessage>, StateMessageError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(StateMessageError::TooLong(message.len()));
    }

    match serde_json::from_slice(message) {
        Ok(Incoming::State { muted, camera }) => Ok(Some(StateMessage::State(PartnerState {
            muted,
            camera_on: camera,
        }))),
        Ok(Incoming::MeetAgain { share }) => share
            .parse()
            .map(|share| Some(StateMessage::MeetAgain(share)))
            .map_err(|_| StateMessageError::Malformed),
        Ok(Incoming::Unknown) => Ok(None),
        Err(_) => Err(StateMessageError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_messages_match_the_documented_examples() {
        let json = to_json(StateMessage::State(PartnerState {
            muted: true,
            camera_on: false,
        }));

        assert_eq!(json, r#"{"type":"state","muted":true,"camera":false}"#);

        let json = to_json(StateMessage::MeetAgain(Share::new([0xa7; 16])));
        let share = "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7";
        assert_eq!(
            json,
            format!(r#"{{"type":"meet_again","share":"{share}"}}"#)
        );
    }

    #[test]
    fn fields_and_types_of_later_versions_are_ignored() {
        let state = parse(br#"{"camera":true,"hand":"raised","muted":true,"type":"state"}"#);
        assert_eq!(
            state,
            Ok(Some(StateMessage::State(PartnerState {
                muted: true,
                camera_on: true
            }))),
            "unknown fields are ignored"
        );

        assert_eq!(
            parse(br#"{"type":"reaction","muted":7}"#),
            Ok(None),
            "unknown types are ignored"
        );
    }

    #[test]
    fn garbage_is_an_error() {
        let long = format!(
            r#"{{"type":"state","muted":true,"camera":true,"x":"{}"}}"#,
            "y".repeat(MAX_MESSAGE_BYTES)
        );

        assert!(
            matches!(parse(long.as_bytes()), Err(StateMessageError::TooLong(_))),
            "a message that is too long is rejected even if it is well formed"
        );

        let deep = "[".repeat(MAX_MESSAGE_BYTES);
        for garbage in [
            "",
            "null",
            "[]",
            "{}",
            r#""state""#,
            r#"{"type":7}"#,
            r#"{"type":"state"}"#,
            r#"{"type":"state","muted":1,"camera":true}"#,
            r#"{"type":"state","muted":true,"camera":null}"#,
            r#"{"type":"state","muted":true,"muted":false,"camera":true}"#,
            r#"{"type":"state","muted":true,"camera":true}{}"#,
            r#"{"type":"meet_again"}"#,
            r#"{"type":"meet_again","share":7}"#,
            r#"{"type":"meet_again","share":"a7"}"#,
            deep.as_str(),
        ] {
            assert_eq!(
                parse(garbage.as_bytes()),
                Err(StateMessageError::Malformed),
                "{garbage}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_message_survives_the_round_trip(muted: bool, camera_on: bool, random: [u8; 16]) {
            for message in [
                StateMessage::State(PartnerState { muted, camera_on }),
                StateMessage::MeetAgain(Share::new(random)),
            ] {
                prop_assert_eq!(parse(to_json(message).as_bytes()), Ok(Some(message)));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let long = bytes.len() > MAX_MESSAGE_BYTES;
            prop_assert_eq!(matches!(parse(&bytes), Err(StateMessageError::TooLong(_))), long);
        }

        #[test]
        fn a_message_with_one_wrong_byte_never_turns_the_camera_off(muted: bool, at in 0..40_usize, byte: u8) {
            let mut message = to_json(StateMessage::State(PartnerState { muted, camera_on: true })).into_bytes();
            message[at] = byte;

            if let Ok(Some(StateMessage::State(state))) = parse(&message) {
                prop_assert_eq!(state.camera_on, true, "one byte cannot turn `true` into `false`");
            }
        }
    }
}
