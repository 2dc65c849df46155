//! What a client sends.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{RequestId, SessionId, SocketId, UserId};

/// A client's message with the `id` that its reply or error will carry.
#[derive(Debug, Clone, Serialize)]
pub struct ClientEnvelope {
    /// The message.
    #[serde(flatten)]
    pub message: ClientMessage,
    /// At most [`MAX_REQUEST_ID_BYTES`](super::MAX_REQUEST_ID_BYTES).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

impl From<ClientMessage> for ClientEnvelope {
    fn from(message: ClientMessage) -> Self {
        Self { message, id: None }
    }
}

/// All messages from a client to the relay. Read them with [`parse_client`](super::parse_client).
#[derive(Debug, Clone, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ClientMessage {
    /// Enter the queue, or a room.
    FindPartner(FindPartner),
    /// Leave the queue; answered by `search_cancelled`, also when not searching.
    CancelSearch,
    /// To the partner, byte for byte.
    WebrtcOffer {
        /// The partner's socket.
        to: SocketId,
        /// Any JSON but `null`; usually an `RTCSessionDescriptionInit`.
        offer: Box<RawValue>,
    },
    /// To the partner, byte for byte.
    WebrtcAnswer {
        /// The partner's socket.
        to: SocketId,
        /// Any JSON but `null`; usually an `RTCSessionDescriptionInit`.
        answer: Box<RawValue>,
    },
    /// To the partner, byte for byte.
    IceCandidate {
        /// The partner's socket.
        to: SocketId,
        /// Any JSON, usually an `RTCIceCandidateInit`; `null` says "no more candidates".
        candidate: Box<RawValue>,
    },
    /// Leave this call; answered by `session_ended`.
    EndSession {
        /// The current call.
        session_id: SessionId,
        /// For the operator's metrics; not passed on.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End the current call, if any, and search again with the same profile, interests and room.
    Next {
        /// If it is given and not the current call, the relay does nothing and says nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
    },
    /// Report the partner of a current or just-ended call.
    Report {
        /// The call.
        session_id: SessionId,
        /// What it is about.
        category: ReportCategory,
        /// At most [`MAX_REPORT_CHARS`](super::MAX_REPORT_CHARS).
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Never match these two again; ends a call with them. Answered by `blocked`.
    Block {
        /// Whom.
        partner_id: UserId,
    },
    /// Ask for STUN and TURN servers.
    GetIceServers,
    /// Take the place of an earlier connection; the first message of a new one.
    Resume {
        /// From the earlier connection's `user_registered`.
        resume_token: String,
        /// The `seq` of the last relayed message that arrived; 0 for none.
        last_seq: u64,
    },
    /// Answered by `pong` with the same `t`.
    Ping {
        /// Any JSON but `null`; usually the sender's clock.
        t: Box<RawValue>,
    },
    /// The only clean end: the partner hears `partner_left {left}`.
    Bye,
}

impl ClientMessage {
    /// The message's `type` on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FindPartner(_) => "find_partner",
            Self::CancelSearch => "cancel_search",
            Self::WebrtcOffer { .. } => "webrtc_offer",
            Self::WebrtcAnswer { .. } => "webrtc_answer",
            Self::IceCandidate { .. } => "ice_candidate",
            Self::EndSession { .. } => "end_session",
            Self::Next { .. } => "next",
            Self::Report { .. } => "report",
            Self::Block { .. } => "block",
            Self::GetIceServers => "get_ice_servers",
            Self::Resume { .. } => "resume",
            Self::Ping { .. } => "ping",
            Self::Bye => "bye",
        }
    }
}

/// Profile, room and interests of a search. Everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FindPartner {
    /// 1 to 40 characters; the partner sees "Anonymous" without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// 18 to 120 years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_age: Option<u8>,
    /// At most 80 characters; the partner sees "Unknown" without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<String>,
    /// A `data:image/…` URL of at most 32 KiB or an `https:` URL of at most 512 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_picture: Option<String>,
    /// Match only with who gives the same code: 1 to 64 of `A–Z a–z 0–9 - _`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Up to 10 of at most 32 characters; more in common is preferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interests: Vec<String>,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportCategory {
    /// Nudity.
    Nudity,
    /// Harassment.
    Harassment,
    /// A minor is in the call.
    Minor,
    /// Advertising and the like.
    Spam,
    /// Anything else.
    Other,
}
