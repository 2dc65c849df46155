//! Messages from the server to a client.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ClaimToken, ErrorCode, Fault, KnockId, RequestId, SessionId, SocketId, UserId};

/// A server's message with the `id` of the client's message that caused it.
#[derive(Debug, Clone, Serialize)]
pub struct ServerEnvelope {
    /// The message.
    #[serde(flatten)]
    pub message: ServerMessage,
    /// The `id` of the client's message that this one answers.
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
            retry_after_ms: fault.retry_after_ms,
            id: None,
        };

        Self {
            message: ServerMessage::Error(report),
            id: fault.id,
        }
    }
}

/// Every message from the server to a client. [`parse_server`] reads one.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The first message on every connection.
    UserRegistered(Box<UserRegistered>),
    /// The answer to `claim_room`.
    RoomClaimed(RoomClaimed),
    /// The answer to `release_room`.
    RoomReleased(RoomReleased),
    /// The search has begun, is still running after a `next`, or has begun or ceased to ring.
    Searching(Searching),
    /// The search has ended without a partner.
    SearchCancelled,
    /// The answer to `listen`.
    Listening(Listening),
    /// Someone searches for a room in which this client listens, and waits for `accept` or
    /// `decline`.
    Knock(Box<Knock>),
    /// A knock has ended without this client's decision.
    KnockEnded(KnockEnded),
    /// This client's own `end_session` or `block` ended the call.
    SessionEnded(SessionEnded),
    /// The two users will not be matched again.
    Blocked(Blocked),
    /// A partner was found: the call begins.
    PartnerFound(Box<PartnerFound>),
    /// The partner's offer.
    WebrtcOffer(RelayedOffer),
    /// The partner's answer.
    WebrtcAnswer(RelayedAnswer),
    /// One of the partner's candidates.
    IceCandidate(RelayedCandidate),
    /// The partner ended the call, or is lost.
    PartnerLeft(PartnerLeft),
    /// The partner's connection broke; it may be resumed.
    PartnerReconnecting(SessionEnded),
    /// The partner's connection is back.
    PartnerResumed(SessionEnded),
    /// This connection has taken the place of an earlier one.
    Resumed(Resumed),
    /// STUN and TURN servers.
    IceServers(IceServers),
    /// The report was recorded.
    ReportReceived(ReportReceived),
    /// The server is shutting down and will close this connection.
    ServerDraining(ServerDraining),
    /// The answer to `ping`.
    Pong(Pong),
    /// A message was rejected, or the connection is about to be closed.
    Error(ErrorReport),
}

impl ServerMessage {
    /// The message's `type` on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserRegistered(_) => "user_registered",
            Self::RoomClaimed(_) => "room_claimed",
            Self::RoomReleased(_) => "room_released",
            Self::Searching(_) => "searching",
            Self::SearchCancelled => "search_cancelled",
            Self::Listening(_) => "listening",
            Self::Knock(_) => "knock",
            Self::KnockEnded(_) => "knock_ended",
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

/// The client's identity on this server, and the server's limits and intervals.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRegistered {
    /// The user, as partners know it.
    pub user_id: UserId,
    /// This client's address for relayed messages.
    pub socket_id: SocketId,
    /// For `resume` on a later connection.
    pub resume_token: String,
    /// The version of the protocol: [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
    pub protocol: u32,
    /// The interval of the server's WebSocket pings, in ms; 0: none.
    pub heartbeat_ms: u64,
    /// A connection that is silent for this long is dead, in ms; 0: never.
    pub silent_ms: u64,
    /// How long a broken connection can be resumed, in ms; 0: not at all.
    pub resume_ms: u64,
    /// The largest message that the server accepts, in bytes.
    pub max_message_bytes: u64,
    /// STUN and TURN servers for the first call.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// What this server can do that was added to the protocol later. Empty for a server from before
    /// this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

impl UserRegistered {
    /// Whether the server can do this.
    #[must_use]
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// A part of the protocol that some servers do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// `claim_room`, and `mustExist` in `find_partner`. A server without it ignores `mustExist`.
    ClaimRoom,
    /// `listen`, `accept` and `decline`.
    Ring,
    /// A capability that this version does not know.
    #[serde(other)]
    Other,
}

/// A room that belongs to this client.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomClaimed {
    /// Its code: a number with as few digits as possible.
    pub room: String,
    /// How long the room stays claimed after the client has left. While the client is connected, it
    /// does not expire.
    pub expires_ms: u64,
    /// Claims the same room again, also as another user. `None`: the server is from before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_token: Option<ClaimToken>,
    /// Lets one guest into this room who has no bearer token. `None`: this server needs none, or
    /// admits no guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_token: Option<ClaimToken>,
}

/// A room that no longer belongs to this client.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomReleased {
    /// Its code.
    pub room: String,
}

/// A search is running.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Searching {
    /// The room, if the search is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Whether a client that listens in the room is being rung. It comes again when this changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ringing: bool,
}

/// The answer to `listen`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listening {
    /// In how many of the rooms the client listens now. A number is only accepted if this client
    /// has claimed it.
    pub rooms: usize,
}

/// Someone who wants to call this client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Knock {
    /// For `accept` and `decline`.
    pub knock_id: KnockId,
    /// The room that the caller searches for.
    pub room: String,
    /// "Anonymous" if the caller gave no name.
    pub user_name: String,
    /// A `data:image/…` or `https:` URL; `None` if the caller gave no picture.
    pub user_picture: Option<String>,
    /// The IP address of the caller's connection. Only from a ring-only server: no other passes an
    /// address on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// A knock has ended without this client's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnockEnded {
    /// Which knock.
    pub knock_id: KnockId,
    /// Why.
    pub reason: KnockEnd,
}

/// Why a knock ended without the decision of the client that it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnockEnd {
    /// The caller no longer waits, or this client no longer listens.
    Cancelled,
    /// There was no answer in time.
    Expired,
    /// The caller has found another partner in the room.
    Answered,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// The body of `session_ended`, `partner_reconnecting` and `partner_resumed`: which call it is
/// about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnded {
    /// The call.
    pub session_id: SessionId,
}

/// The answer to `block`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// The blocked user.
    pub partner_id: UserId,
}

/// A partner and their profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartnerFound {
    /// The partner, for `block`.
    pub partner_id: UserId,
    /// The call.
    pub session_id: SessionId,
    /// The partner's address: what to put in `to`.
    pub socket_id: SocketId,
    /// "Anonymous" if the partner gave no name.
    pub user_name: String,
    /// In years; `None` if the partner gave no age.
    pub user_age: Option<u8>,
    /// "Unknown" if the partner gave no location.
    pub user_location: String,
    /// A `data:image/…` or `https:` URL; `None` if the partner gave no picture.
    pub user_picture: Option<String>,
    /// True for exactly one side. That side makes the offer; the other one is the polite peer if
    /// offers collide.
    pub initiator: bool,
    /// The interests in common.
    #[serde(default)]
    pub interests: Vec<String>,
    /// Both clients came to the server from private or loopback addresses, so that they have no others
    /// for each other. False where the server does not know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both_private: bool,
    /// STUN and TURN servers for this call, instead of those in `user_registered`. `None`: those are
    /// for any call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_servers: Option<Vec<IceServer>>,
    /// How long the credentials in `ice_servers` are valid, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_servers_ttl: Option<u64>,
}

/// An offer, as the partner sent it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayedOffer {
    /// The payload, byte for byte.
    pub offer: Box<RawValue>,
    /// The partner's address.
    pub from: SocketId,
    /// The call.
    pub session_id: SessionId,
    /// Counts the relayed messages to this client, from 1.
    pub seq: u64,
}

/// An answer, as the partner sent it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayedAnswer {
    /// The payload, byte for byte.
    pub answer: Box<RawValue>,
    /// The partner's address.
    pub from: SocketId,
    /// The call.
    pub session_id: SessionId,
    /// Counts the relayed messages to this client, from 1.
    pub seq: u64,
}

/// A candidate, as the partner sent it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayedCandidate {
    /// The payload, byte for byte; `null` means "no more candidates".
    pub candidate: Box<RawValue>,
    /// The partner's address.
    pub from: SocketId,
    /// The call.
    pub session_id: SessionId,
    /// Counts the relayed messages to this client, from 1.
    pub seq: u64,
}

/// The call is over because of the partner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartnerLeft {
    /// The call that is over.
    pub session_id: SessionId,
    /// Why.
    pub reason: LeaveReason,
}

/// What `resume` brought back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// How many relayed messages follow.
    pub missed: u64,
    /// The call that continues, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// STUN and TURN servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServers {
    /// In the form of the W3C's `RTCIceServer`.
    pub ice_servers: Vec<IceServer>,
    /// How long the credentials are valid, in seconds.
    pub ttl: u64,
}

/// The report was recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportReceived {
    /// The report's id in the operator's records.
    pub report_id: String,
}

/// The server is shutting down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerDraining {
    /// When to connect again, in ms from now.
    pub reconnect_after_ms: u64,
}

/// The answer to `ping`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// As it was sent, byte for byte.
    pub t: Box<RawValue>,
}

/// A message was rejected, or the connection is about to be closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReport {
    /// What programs match on.
    pub code: ErrorCode,
    /// A sentence that a person can act on.
    pub message: String,
    /// When to try again, in ms from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The `id` of the message that was rejected, as a client reads it. A server writes the one of
    /// [`ServerEnvelope`].
    #[serde(default, skip_serializing)]
    pub id: Option<RequestId>,
}

/// One entry of the W3C's `RTCIceServer[]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// For TURN only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Why the partner left a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// They ended the call.
    Left,
    /// They pressed "Next".
    Skipped,
    /// Their connection broke and was not resumed in time.
    Disconnected,
    /// They blocked this user.
    Blocked,
    /// The server node that they were connected to died.
    NodeLost,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// Why a server's message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ServerMessageError {
    /// Not a JSON object with a `type`, or a field is missing or of the wrong kind.
    #[error("the server sent a message that breaks the protocol ({what} at byte {column})")]
    Malformed {
        /// Which rule it breaks.
        what: &'static str,
        /// Where in the message, in bytes from 1.
        column: usize,
    },
    /// A type that this version does not know.
    #[error("the server sent a message of a type that this version does not know")]
    UnknownType,
}

impl From<serde_json::Error> for ServerMessageError {
    /// Drops the text of the error: `serde_json` quotes values, and they may be private.
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

/// Parses one message of the server.
///
/// # Errors
/// [`ServerMessageError`]. It holds nothing of the message except a position.
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
        "room_claimed" => ServerMessage::RoomClaimed(body(text)?),
        "room_released" => ServerMessage::RoomReleased(body(text)?),
        "searching" => ServerMessage::Searching(body(text)?),
        "search_cancelled" => ServerMessage::SearchCancelled,
        "listening" => ServerMessage::Listening(body(text)?),
        "knock" => ServerMessage::Knock(body(text)?),
        "knock_ended" => ServerMessage::KnockEnded(body(text)?),
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
