//! The wire types of the signaling protocol, version 1. `docs/protocol.md` describes the protocol
//! for people who write a client.
//!
//! One text frame carries one JSON object. Its `type` is in snake_case, its other fields in
//! camelCase. Clients send a [`ClientMessage`], the server sends a [`ServerMessage`]; both may
//! carry an `id` beside it ([`ClientEnvelope`], [`ServerEnvelope`]).
//!
//! The server reads with [`parse_client`], which rejects a message with a [`Fault`] that names the
//! bad field. A client reads with [`parse_server`]. Neither looks into `offer`, `answer` and
//! `candidate`: they are passed on byte for byte.
//!
//! ```
//! use tandem_signaling::message::{
//!     ClientMessage, FindPartner, ServerMessage, parse_client, parse_server,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let search = ClientMessage::FindPartner(FindPartner {
//!     user_name: Some("Ada".into()),
//!     ..FindPartner::default()
//! });
//! let json = serde_json::to_string(&search)?;
//! assert_eq!(json, r#"{"type":"find_partner","userName":"Ada"}"#);
//! assert_eq!(parse_client(json.as_bytes())?.message.kind(), "find_partner");
//!
//! let answer = parse_server(r#"{"type":"searching","id":"1"}"#)?;
//! assert!(matches!(answer.message, ServerMessage::Searching(_)));
//! assert_eq!(answer.id.as_ref().map(|id| id.as_str()), Some("1"));
//! # Ok(())
//! # }
//! ```

mod client;
mod fault;
mod fields;
mod ids;
mod limits;
mod parse;
mod server;

pub use client::{
    Accept, ClaimRoom, ClientEnvelope, ClientMessage, FindPartner, FormerClaim, ReportCategory,
    Snapshot,
};
pub use fault::{ErrorCode, Fault};
pub use ids::{ClaimToken, KnockId, RequestId, SessionId, SocketId, UserId};
pub use limits::{
    MAX_CLAIM_TOKEN_BYTES, MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_LAST_SEQ, MAX_LISTEN_ROOMS,
    MAX_MESSAGE_BYTES, MAX_PICTURE_DATA_BYTES, MAX_PICTURE_URL_BYTES, MAX_REPORT_CHARS,
    MAX_REQUEST_ID_BYTES, MAX_ROOM_CHARS, MAX_ROOM_NUMBER, MAX_SNAPSHOT_BYTES,
    MAX_USER_LOCATION_CHARS, MAX_USER_NAME_CHARS, NO_NAME, PROTOCOL_VERSION, RELAY_OVERHEAD_BYTES,
    USER_AGES, can_be_seen, clean_interest, clean_location, clean_name, is_profile_picture,
    is_room_code, is_user_age, remove_control_characters, room_number,
};
pub use parse::{parse_client, parse_client_text};
pub use serde_json::value::RawValue;
pub use server::{
    Blocked, Capability, ErrorReport, IceServer, IceServers, Knock, KnockEnd, KnockEnded,
    LeaveReason, Listening, PartnerFound, PartnerLeft, Pong, RelayedAnswer, RelayedCandidate,
    RelayedOffer, ReportReceived, Resumed, RoomClaimed, RoomReleased, Searching, ServerDraining,
    ServerEnvelope, ServerMessage, ServerMessageError, SessionEnded, UserRegistered, parse_server,
};

#[cfg(test)]
mod tests;
