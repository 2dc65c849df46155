//! What can be wrong with a message: the error codes of the protocol, and a rejected message.

use serde::{Deserialize, Serialize};

use super::RequestId;

/// The codes of the server's `error` messages. Programs match on these, never on the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or JSON that is not an object.
    BadJson,
    /// A field is missing, null, of the wrong kind or out of its limits. The sentence names it.
    BadMessage,
    /// There is no message of this `type`.
    UnknownType,
    /// More than [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES). The connection closes with 1009.
    MessageTooLarge,
    /// The resume token is unknown or used, or the bearer token is missing or bad (close 4001).
    Unauthorized,
    /// An offer, answer or candidate from a client that is not in a call.
    NotMatched,
    /// `to` is not the partner's `socketId`.
    NotPartner,
    /// The partner's connection is broken and no more messages are kept for it.
    PartnerGone,
    /// The client is already searching.
    AlreadySearching,
    /// The client is already in a call.
    AlreadyMatched,
    /// The session is not the client's current one (for a report: nor a recent one).
    NoSuchSession,
    /// No client has claimed this room, waits in it or listens in it, and the search was only for a
    /// room that exists; or the room to release does not belong to this client.
    NoSuchRoom,
    /// The person who listens in the room declined the knock. The search is over.
    Declined,
    /// There was no answer to the knock in time. The search is over.
    NoAnswer,
    /// The knock to accept or decline is unknown or has ended.
    NoSuchKnock,
    /// Too many messages; `retryAfterMs` says when the next is accepted.
    RateLimited,
    /// Too many clients are searching, or waiting in this claimed room.
    QueueFull,
    /// The operator banned this user or address. The connection closes with 4005.
    Banned,
    /// The server is shutting down and starts no searches.
    Draining,
    /// The server cannot do this at the moment: its store is away, or it records no reports.
    Unavailable,
    /// A fault of the server itself.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

/// Why the server rejected a client's message. It becomes an `error` message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The code of the protocol.
    pub code: ErrorCode,
    /// A sentence that a person can act on. It never quotes what the client sent, except a `type`
    /// that looks like one.
    pub message: String,
    /// The `id` of the rejected message, if it had one.
    pub id: Option<RequestId>,
    /// When the same message may be accepted, in ms from now.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault that is not tied to a message's `id` yet.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            id: None,
            retry_after_ms: None,
        }
    }

    /// The value of `field` breaks a rule; `rule` completes the sentence ("must be a string").
    pub(super) fn field(field: &str, rule: &str) -> Self {
        Self::new(
            ErrorCode::BadMessage,
            format!("The field `{field}` {rule}."),
        )
    }

    pub(super) fn with_id(mut self, id: Option<&RequestId>) -> Self {
        self.id = id.cloned();
        self
    }
}
