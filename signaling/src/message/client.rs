//! Messages from a client to the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{ClaimToken, KnockId, RequestId, SessionId, SocketId, UserId};

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

/// Every message from a client to the server. [`parse_client`](super::parse_client) reads one.
#[derive(Debug, Clone, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ClientMessage {
    /// Search for a partner: anyone, or the person who gives the same room.
    FindPartner(FindPartner),
    /// Ask for a room that no other client gets, to invite someone into. Answered by `room_claimed`.
    ClaimRoom(ClaimRoom),
    /// Give up a room that this client has claimed. Answered by `room_released`.
    ReleaseRoom {
        /// From `room_claimed`.
        room: String,
    },
    /// Be rung by those who search for one of these rooms, instead of those of the last `listen`.
    /// Not a search. Answered by `listening`.
    Listen {
        /// At most [`MAX_LISTEN_ROOMS`](super::MAX_LISTEN_ROOMS), each of them an
        /// [`is_room_code`](super::is_room_code). None: stop listening.
        rooms: Vec<String>,
    },
    /// Answer a `knock`: the call begins with `partner_found`.
    Accept(Accept),
    /// Refuse a `knock`: the caller gets `error declined`.
    Decline {
        /// From `knock`.
        knock_id: KnockId,
    },
    /// Stop searching. Answered by `search_cancelled`, also when no search was running.
    CancelSearch,
    /// The server relays the offer to the partner byte for byte.
    WebrtcOffer {
        /// The partner's `socketId`, from `partner_found`.
        to: SocketId,
        /// Any JSON but `null`; usually an `RTCSessionDescriptionInit`.
        offer: Box<RawValue>,
    },
    /// The server relays the answer to the partner byte for byte.
    WebrtcAnswer {
        /// The partner's `socketId`, from `partner_found`.
        to: SocketId,
        /// Any JSON but `null`; usually an `RTCSessionDescriptionInit`.
        answer: Box<RawValue>,
    },
    /// The server relays the candidate to the partner byte for byte.
    IceCandidate {
        /// The partner's `socketId`, from `partner_found`.
        to: SocketId,
        /// Any JSON, usually an `RTCIceCandidateInit`; `null` means "no more candidates".
        candidate: Box<RawValue>,
    },
    /// End this call. Answered by `session_ended`; the partner gets `partner_left`.
    EndSession {
        /// The current call.
        session_id: SessionId,
        /// The client's reason in its own words. The server does not pass it on.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// End the current call, if any, and search again with the same profile, interests and room.
    Next {
        /// The call to end. The server ignores the message if this is not the current call, so that
        /// pressing "Next" twice does not skip the partner found in between.
        #[serde(skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
    },
    /// Report the partner of the current call, or of one that ended within the last ten minutes.
    Report {
        /// The call.
        session_id: SessionId,
        /// What the report is about.
        category: ReportCategory,
        /// At most [`MAX_REPORT_CHARS`](super::MAX_REPORT_CHARS).
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The partner's last frame, if the user attached it.
        #[serde(skip_serializing_if = "Option::is_none")]
        snapshot: Option<Snapshot>,
    },
    /// Never match these two again; ends a call with them. Answered by `blocked`.
    Block {
        /// The user to block, from `partner_found`.
        partner_id: UserId,
    },
    /// Ask for STUN and TURN servers with fresh credentials. Answered by `ice_servers`.
    GetIceServers,
    /// Take the place of an earlier connection. Must be the first message of a new one.
    Resume {
        /// From the newest `user_registered` of the client to resume.
        resume_token: String,
        /// The `seq` of the last relayed message that arrived; 0 if none did. At most
        /// [`MAX_LAST_SEQ`](super::MAX_LAST_SEQ).
        last_seq: u64,
    },
    /// Answered by `pong` with the same `t`.
    Ping {
        /// Any JSON but `null`; usually the sender's clock.
        t: Box<RawValue>,
    },
    /// Leave for good. The partner gets `partner_left {left}`, and nothing can be resumed. Any
    /// other end of a connection can be.
    Bye,
}

impl ClientMessage {
    /// The message's `type` on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FindPartner(_) => "find_partner",
            Self::ClaimRoom(_) => "claim_room",
            Self::ReleaseRoom { .. } => "release_room",
            Self::Listen { .. } => "listen",
            Self::Accept(_) => "accept",
            Self::Decline { .. } => "decline",
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

/// Profile, room and interests of a search. Every field is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FindPartner {
    /// 1 to [`MAX_USER_NAME_CHARS`](super::MAX_USER_NAME_CHARS). Without it, the partner sees
    /// "Anonymous".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// In years; within [`USER_AGES`](super::USER_AGES).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_age: Option<u8>,
    /// At most [`MAX_USER_LOCATION_CHARS`](super::MAX_USER_LOCATION_CHARS). Without it, the partner
    /// sees "Unknown".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<String>,
    /// See [`is_profile_picture`](super::is_profile_picture).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_picture: Option<String>,
    /// Match only with a client that gives the same code; see
    /// [`is_room_code`](super::is_room_code).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Enter the room only if a client has claimed it, waits in it or listens in it; otherwise the
    /// answer is `no_such_room`. A claimed room can only be entered this way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_exist: bool,
    /// At most [`MAX_INTERESTS`](super::MAX_INTERESTS), of 1 to
    /// [`MAX_INTEREST_CHARS`](super::MAX_INTEREST_CHARS) each. Clients with more of them in common
    /// are matched first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interests: Vec<String>,
}

impl FindPartner {
    /// Whether this search could be a guess at a room that someone claimed: servers limit those.
    #[must_use]
    pub fn guesses_room(&self) -> bool {
        self.room
            .as_deref()
            .is_some_and(|room| self.must_exist || super::room_number(room).is_some())
    }
}

/// Which room to claim. By default any that is free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRoom {
    /// A room that this person claimed before, perhaps as another user. A server that does not hold
    /// it for this token, or that is from before this field, gives another room.
    #[serde(flatten)]
    pub former: Option<FormerClaim>,
}

/// A room that was claimed before, and the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerClaim {
    /// From `room_claimed`.
    pub room: String,
    /// From the same `room_claimed`.
    pub claim_token: ClaimToken,
}

/// A knock to accept, and what the caller will see of the user. Every field but the first is
/// optional, with the limits of [`FindPartner`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accept {
    /// From `knock`.
    pub knock_id: KnockId,
    /// Without it, the caller sees "Anonymous".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// In years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_age: Option<u8>,
    /// Without it, the caller sees "Unknown".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<String>,
    /// See [`is_profile_picture`](super::is_profile_picture).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_picture: Option<String>,
}

impl From<KnockId> for Accept {
    /// Without a profile.
    fn from(knock_id: KnockId) -> Self {
        Self {
            knock_id,
            user_name: None,
            user_age: None,
            user_location: None,
            user_picture: None,
        }
    }
}

/// A small JPEG. On the wire it is base64 (RFC 4648 §4) with padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(Box<[u8]>);

/// How a JPEG begins: the markers SOI and, of the next one, the first byte (ITU-T T.81 §B.1.1.3).
const JPEG_START: [u8; 3] = [0xFF, 0xD8, 0xFF];

impl Snapshot {
    /// Decodes text in base64. `None` if it is not base64, or what it stands for does not begin like
    /// a JPEG or is larger than [`MAX_SNAPSHOT_BYTES`](super::MAX_SNAPSHOT_BYTES).
    #[must_use]
    pub fn parse(base64: impl AsRef<str>) -> Option<Self> {
        let base64 = base64.as_ref();
        // Nothing of this length fits; so a long text costs no memory.
        if base64.len() > super::MAX_SNAPSHOT_BYTES.div_ceil(3) * 4 {
            return None;
        }

        let jpeg = BASE64.decode(base64).ok()?;
        let is_jpeg = jpeg.len() <= super::MAX_SNAPSHOT_BYTES && jpeg.starts_with(&JPEG_START);

        is_jpeg.then(|| Self(jpeg.into()))
    }

    /// The bytes of the JPEG.
    #[must_use]
    pub fn jpeg(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl std::fmt::Debug for Snapshot {
    /// Without the image: it does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} bytes)", self.0.len())
    }
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportCategory {
    /// Nudity or sexual content.
    Nudity,
    /// Insults, threats, hate.
    Harassment,
    /// A minor is in the call.
    Minor,
    /// Advertising, fraud, bots.
    Spam,
    /// Anything else; the text says what.
    Other,
}
