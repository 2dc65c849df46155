//! Ids: one type each for connections, users, sessions and requests, so that they cannot be
//! swapped.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

id! {
    /// One client's address for relayed messages: what `to` and `from` hold. The server makes it, a
    /// random UUID. It may be any string here: the server answers `not_partner` to one that is not
    /// the partner's. Cheap to clone.
    SocketId
}
id! {
    /// One user, while its client lives: over a resume, but not over a new registration.
    /// The server makes it, a random UUID. Cheap to clone.
    UserId
}
id! {
    /// One match of two users, from `partner_found` to its end. The server makes it, a random UUID.
    /// Cheap to clone.
    SessionId
}
id! {
    /// One caller ringing at one listener, from `knock` to its end. The server makes it. Cheap to
    /// clone.
    KnockId
}
id! {
    /// The `id` that a client may put into a message; the reply or error to it carries the same.
    /// Parsing limits it to [`MAX_REQUEST_ID_BYTES`](super::MAX_REQUEST_ID_BYTES). Cheap to clone.
    RequestId
}

/// The secret that proves who claimed a room: from `room_claimed`, for a later `claim_room`. The
/// server makes it, from at least 128 random bits. Parsing limits it to
/// [`MAX_CLAIM_TOKEN_BYTES`](super::MAX_CLAIM_TOKEN_BYTES).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimToken(String);

impl ClaimToken {
    /// The token as it stands on the wire.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ClaimToken {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ClaimToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ClaimToken {
    /// Without the secret: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimToken(…)")
    }
}
