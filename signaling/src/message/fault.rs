//! What can be wrong with a message: the error codes of the protocol, and a rejected message.

use serde::{Deserialize, Serialize};

use super::RequestId;

/// The codes of the relay's `error` messages. Programs match on these, never on the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or JSON that is not an object.
    BadJson,
    /// A field is missing, null, of the wrong kind or out of its limits; the sentence names it.
    BadMessage,
    /// There is no message of this `type`.
    UnknownType,
    /// More than [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES); the connection closes with 1009.
    MessageTooLarge,
    /// The resume token is unknown or used up.
    Unauthorized,
    /// A relay message without a session.
    NotMatched,
    /// `to` is not the partner's socket.
    NotPartner,
    /// The partner is away and its buffer is full.
    PartnerGone,
    /// A search is going on.
    AlreadySearching,
    /// A call is going on.
    AlreadyMatched,
    /// The session is not the current one.
    NoSuchSession,
    /// Too many messages.
    RateLimited,
    /// Too many people are waiting.
    QueueFull,
    /// This user may not use the relay.
    Banned,
    /// The relay is shutting down.
    Draining,
    /// What was asked for cannot be had from this relay at the moment.
    Unavailable,
    /// A fault of the relay itself.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

/// Why a client's message was rejected; becomes an `error` message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The code of the protocol.
    pub code: ErrorCode,
    /// A sentence that a person can act on. It never quotes what the client sent, except a short `type`.
    pub message: String,
    /// The `id` of the rejected message, where it had one.
    pub id: Option<RequestId>,
}

impl Fault {
    /// A fault that is not yet tied to a message's `id`.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            id: None,
        }
    }

    /// `field` breaks the rule `must` ("must be a string").
    pub(super) fn field(field: &str, must: &str) -> Self {
        Self::new(
            ErrorCode::BadMessage,
            format!("The field `{field}` {must}."),
        )
    }

    pub(super) fn with_id(mut self, id: Option<&RequestId>) -> Self {
        self.id = id.cloned();
        self
    }
}
