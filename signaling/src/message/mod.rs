//! The wire types of the signaling protocol, version 1.
//!
//! One JSON object a text frame. Every message has a `type` in snake_case; other fields are camelCase. What a client
//! sends is a [`ClientMessage`], what the relay sends a [`ServerMessage`]; both may carry an `id` beside it
//! ([`ClientEnvelope`], [`ServerEnvelope`]). The relay reads with [`parse_client`], which rejects with a [`Fault`] that
//! names the field; a client reads with [`parse_server`]. `offer`, `answer` and `candidate` are never looked into.

mod client;
mod fault;
mod fields;
mod ids;
mod parse;
mod server;

pub use client::{ClientEnvelope, ClientMessage, FindPartner, ReportCategory};
pub use fault::{ErrorCode, Fault};
pub use ids::{RequestId, SessionId, SocketId, UserId};
pub use parse::{parse_client, parse_client_text};
pub use serde_json::value::RawValue;
pub use server::{
    Blocked, ErrorReport, IceServer, IceServers, LeaveReason, PartnerFound, PartnerLeft, Pong,
    RelayedAnswer, RelayedCandidate, RelayedOffer, ReportReceived, Resumed, Searching,
    ServerDraining, ServerEnvelope, ServerMessage, ServerMessageError, SessionEnded,
    UserRegistered, parse_server,
};

/// The version of the protocol, as in [`UserRegistered::protocol`].
pub const PROTOCOL_VERSION: u32 = 1;
/// The largest message that a client may send, in bytes, all fragments together.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// By how many bytes a relayed message may be longer than the one that came in.
pub const RELAY_OVERHEAD_BYTES: usize = 512;
/// The longest `id`, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 64;
/// The longest `userName`, in code points.
pub const MAX_USER_NAME_CHARS: usize = 40;
/// The ages that a profile may state, in years.
pub const USER_AGES: std::ops::RangeInclusive<u8> = 18..=120;
/// The longest `userLocation`, in code points.
pub const MAX_USER_LOCATION_CHARS: usize = 80;
/// The longest `userPicture` that is a `data:image/…` URL, in bytes.
pub const MAX_PICTURE_DATA_BYTES: usize = 32 * 1024;
/// The longest `userPicture` that is an `https:` URL, in bytes.
pub const MAX_PICTURE_URL_BYTES: usize = 512;
/// The longest room code, in characters of `A–Z a–z 0–9 - _`.
pub const MAX_ROOM_CHARS: usize = 64;
/// The most interests that a search may state.
pub const MAX_INTERESTS: usize = 10;
/// The longest interest, in code points.
pub const MAX_INTEREST_CHARS: usize = 32;
/// The longest text of a report, in code points.
pub const MAX_REPORT_CHARS: usize = 1000;

#[cfg(test)]
mod tests;
