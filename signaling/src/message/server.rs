//! What the relay sends.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ErrorCode, Fault, RequestId, SessionId, SocketId, UserId};

/// A relay's message with the `id` of the client's message that caused it.
#[derive(Debug, Clone, Serialize)]
pub struct ServerEnvelope {
    /// The message.
    #[serde(flatten)]
    pub message: ServerMessage,
    /// The `id` that the client put into the message that this replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

impl From<ServerMessage> for ServerEnvelope {
    fn from(message: ServerMessage) -> Self {
        Self { message, id: None }
    }
}

impl From<Fault> for ServerEnvelope {
    fn from(fault: Fault) -> Self {
        let report = ErrorReport {
            code: fault.code,
            message: fault.message,
            retry_after_ms: None,
        };

        Self {
            message: ServerMessage::Error(report),
            id: fault.id,
        }
    }
}

/// All messages from the relay to a client. Read them with [`parse_server`].
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The first message on every connection.
    UserRegistered(Box<UserRegistered>),
    /// The search has begun.
    Searching(Searching),
    /// The search has ended without a partner.
    SearchCancelled,
    /// The own `end_session` or `block` has ended the call.
    SessionEnded(SessionEnded),
    /// The block stands.
    Blocked(Blocked),
    /// A partner.
    PartnerFound(Box<PartnerFound>),
    /// From the partner.
    WebrtcOffer(RelayedOffer),
    /// From the partner.
    WebrtcAnswer(RelayedAnswer),
    /// From the partner.
    IceCandidate(RelayedCandidate),
    /// The call is over because of the partner.
    PartnerLeft(PartnerLeft),
    /// The partner's connection broke and may come back.
    PartnerReconnecting(SessionEnded),
    /// The partner's connection is back.
    PartnerResumed(SessionEnded),
    /// The own connection has taken the place of an earlier one.
    Resumed(Resumed),
    /// STUN and TURN servers.
    IceServers(IceServers),
    /// A report was written down.
    ReportReceived(ReportReceived),
    /// The relay will close this connection.
    ServerDraining(ServerDraining),
    /// The answer to `ping`.
    Pong(Pong),
    /// A message was rejected.
    Error(ErrorReport),
}

impl ServerMessage {
    /// The message's `type` on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserRegistered(_) => "user_registered",
            Self::Searching(_) => "searching",
            Self::SearchCancelled => "search_cancelled",
            Self::SessionEnded(_) => "session_ended",
            Self::Blocked(_) => "blocked",
            Self::PartnerFound(_) => "partner_found",
            Self::WebrtcOffer(_) => "webrtc_offer",
            Self::WebrtcAnswer(_) => "webrtc_answer",
            Self::IceCandidate(_) => "ice_candidate",
            Self::PartnerLeft(_) => "partner_left",
            Self::PartnerReconnecting(_) => "partner_reconnecting",
            Self::PartnerResumed(_) => "partner_resumed",
            Self::Resumed(_) => "resumed",
            Self::IceServers(_) => "ice_servers",
            Self::ReportReceived(_) => "report_received",
            Self::ServerDraining(_) => "server_draining",
            Self::Pong(_) => "pong",
            Self::Error(_) => "error",
        }
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }
    )*};
}

bodies! {
    /// Who the relay says this client is, and how to behave towards it.
    UserRegistered {
        /// The user, as partners know it.
        user_id: UserId,
        /// The connection.
        socket_id: SocketId,
        /// For `resume` on a later connection.
        resume_token: String,
        /// The protocol's version: 1.
        protocol: u32,
        /// The relay sends a WebSocket ping as often as this, in ms.
        heartbeat_ms: u64,
        /// A connection silent for this long is dead, in ms.
        silent_ms: u64,
        /// How long a broken connection can be resumed, in ms; 0: not at all.
        resume_ms: u64,
        /// The largest message that the relay takes, in bytes.
        max_message_bytes: u64,
        /// STUN and TURN servers to begin with.
        #[serde(default)]
        ice_servers: Vec<IceServer>,
    }
    /// The search goes on.
    Searching {
        /// The room, if the search is for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<String>,
    }
    /// One call, where nothing else needs to be said.
    SessionEnded {
        /// The call.
        session_id: SessionId,
    }
    /// Whom the user blocked.
    Blocked {
        /// The blocked user.
        partner_id: UserId,
    }
    /// A partner and their profile.
    PartnerFound {
        /// The partner.
        partner_id: UserId,
        /// The call.
        session_id: SessionId,
        /// The partner's connection: what to put in `to`.
        socket_id: SocketId,
        /// "Anonymous" if it was not given.
        user_name: String,
        /// `None` if it was not given: an age is never invented.
        user_age: Option<u8>,
        /// "Unknown" if it was not given.
        user_location: String,
        /// A `data:image/…` or `https:` URL.
        user_picture: Option<String>,
        /// True for exactly one side: that side makes the offer, the other is the polite peer.
        initiator: bool,
        /// Interests in common.
        #[serde(default)]
        interests: Vec<String>,
    }
    /// An offer, as the partner sent it.
    RelayedOffer {
        /// The payload, byte for byte.
        offer: Box<RawValue>,
        /// The partner's connection.
        from: SocketId,
        /// The call.
        session_id: SessionId,
        /// From 1; one more with each relayed message that this client gets.
        seq: u64,
    }
    /// An answer, as the partner sent it.
    RelayedAnswer {
        /// The payload, byte for byte.
        answer: Box<RawValue>,
        /// The partner's connection.
        from: SocketId,
        /// The call.
        session_id: SessionId,
        /// From 1; one more with each relayed message that this client gets.
        seq: u64,
    }
    /// A candidate, as the partner sent it.
    RelayedCandidate {
        /// The payload, byte for byte; `null` for "no more candidates".
        candidate: Box<RawValue>,
        /// The partner's connection.
        from: SocketId,
        /// The call.
        session_id: SessionId,
        /// From 1; one more with each relayed message that this client gets.
        seq: u64,
    }
    /// The partner has gone.
    PartnerLeft {
        /// The call that is over.
        session_id: SessionId,
        /// Why.
        reason: LeaveReason,
    }
    /// What `resume` brought back.
    Resumed {
        /// How many relayed messages follow.
        missed: u64,
        /// The call that goes on, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
    }
    /// STUN and TURN servers.
    IceServers {
        /// In the form of the W3C's `RTCIceServer`.
        ice_servers: Vec<IceServer>,
        /// How long the credentials are good for, in seconds.
        ttl: u64,
    }
    /// A report was written down.
    ReportReceived {
        /// Its name in the operator's records.
        report_id: String,
    }
    /// The relay is going to close.
    ServerDraining {
        /// When to connect again, in ms from now.
        reconnect_after_ms: u64,
    }
    /// The answer to `ping`.
    Pong {
        /// As it was sent.
        t: Box<RawValue>,
    }
    /// A message was rejected, or the connection is about to be closed.
    ErrorReport {
        /// What programs match on.
        code: ErrorCode,
        /// A sentence that a person can act on.
        message: String,
        /// When to try again, in ms from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    }
    /// One entry of the W3C's `RTCIceServer[]`.
    IceServer {
        /// `stun:` and `turn:` URLs.
        urls: Vec<String>,
        /// For TURN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// For TURN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
    }
}

/// Why a partner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// They ended the call.
    Left,
    /// They pressed "Next".
    Skipped,
    /// Their connection is lost.
    Disconnected,
    /// They blocked this user.
    Blocked,
    /// Their relay node died.
    NodeLost,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// Why a relay's message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ServerMessageError {
    /// Not a JSON object with a `type`, or a field is missing or of the wrong kind.
    #[error(
        "the relay sent a message that does not keep to the protocol ({what} at byte {column})"
    )]
    Malformed {
        /// Which rule it breaks.
        what: &'static str,
        /// Where, counted from 1.
        column: usize,
    },
    /// A type that this version does not know.
    #[error("the relay sent a message of a type that this version does not know")]
    UnknownType,
}

impl From<serde_json::Error> for ServerMessageError {
    /// Keeps nothing of the message: the text of a `serde_json` error quotes values, and they may be private.
    fn from(error: serde_json::Error) -> Self {
        let what = if error.is_data() {
            "a field is missing or of the wrong kind"
        } else {
            "broken JSON"
        };

        Self::Malformed {
            what,
            column: error.column(),
        }
    }
}

/// Reads one message of a relay.
///
/// # Errors
/// [`ServerMessageError`] if it is not one. The error holds nothing of the message but a position.
pub fn parse_server(text: &str) -> Result<ServerEnvelope, ServerMessageError> {
    #[derive(Deserialize)]
    struct Head {
        r#type: String,
        #[serde(default)]
        id: Option<RequestId>,
    }

    fn body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
        serde_json::from_str(text)
    }

    let head: Head = serde_json::from_str(text)?;
    let message = match head.r#type.as_str() {
        "user_registered" => ServerMessage::UserRegistered(body(text)?),
        "searching" => ServerMessage::Searching(body(text)?),
        "search_cancelled" => ServerMessage::SearchCancelled,
        "session_ended" => ServerMessage::SessionEnded(body(text)?),
        "blocked" => ServerMessage::Blocked(body(text)?),
        "partner_found" => ServerMessage::PartnerFound(body(text)?),
        "webrtc_offer" => ServerMessage::WebrtcOffer(body(text)?),
        "webrtc_answer" => ServerMessage::WebrtcAnswer(body(text)?),
        "ice_candidate" => ServerMessage::IceCandidate(body(text)?),
        "partner_left" => ServerMessage::PartnerLeft(body(text)?),
        "partner_reconnecting" => ServerMessage::PartnerReconnecting(body(text)?),
        "partner_resumed" => ServerMessage::PartnerResumed(body(text)?),
        "resumed" => ServerMessage::Resumed(body(text)?),
        "ice_servers" => ServerMessage::IceServers(body(text)?),
        "report_received" => ServerMessage::ReportReceived(body(text)?),
        "server_draining" => ServerMessage::ServerDraining(body(text)?),
        "pong" => ServerMessage::Pong(body(text)?),
        "error" => ServerMessage::Error(body(text)?),
        _ => return Err(ServerMessageError::UnknownType),
    };

    Ok(ServerEnvelope {
        message,
        id: head.id,
    })
}
