//! The ids and the JSON that the machine passes on unread, each as a type of its own: a session id
//! cannot end up where a candidate belongs.

use std::sync::Arc;

/// Text without a type yet: JSON as the peer connection produces or expects it.
pub(crate) type Text = Arc<str>;

/// The id of a session, as the signaling server assigned it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(Text);

/// The signaling server's name for the partner's connection: what a message carries in `to`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SocketId(Text);

/// The signaling server's name for somebody who rings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KnockId(Text);

/// An offer or an answer as JSON: `{"type":"offer","sdp":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DescriptionJson(Text);

/// An ICE candidate as JSON. The JSON `null` says that no more will come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CandidateJson(Text);

/// A move of the handshake that verifies the partner, as JSON: `pake` in the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MoveJson(Text);

macro_rules! text_conversions {
    ($($name:ident),*) => {$(
        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<Text> for $name {
            fn from(text: Text) -> Self {
                Self(text)
            }
        }
    )*};
}

text_conversions!(
    SessionId,
    SocketId,
    KnockId,
    DescriptionJson,
    CandidateJson,
    MoveJson
);

/// Identifies one peer connection of this call, so that a late event of a closed one is not taken
/// for an event of the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerId(pub(crate) u32);
