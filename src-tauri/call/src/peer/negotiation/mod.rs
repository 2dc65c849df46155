//! Offer and answer (RFC 3264, RFC 8829), from one model of what is negotiated.
//!
//! The library does not get the partner's descriptions, and the partner does not get the library's.
//! [`Remote`] reads a description of the partner. [`Negotiation`] decides which
//! sections are used and how, and writes two descriptions from that: one for the library, and one
//! for the partner. So what is understood, answered, sent and shown cannot differ.
//!
//! **The library's view is simple.** It knows at most one section each for audio, video and data,
//! all of them bundled, always in both directions, and only with formats that Tandem has. Whatever
//! the partner holds, rejects, adds or recycles stays in this module: rtc 0.21.1 stops a transceiver
//! for good when its section is inactive once (`set_remote_description`), answers with directions
//! that were not offered, and decides by a section's *first* SSRC line where its packets go.
//!
//! **Who sends** is decided here, from the directions of both sides, and carried out by the session,
//! which sends what [`Negotiated::to_send`] says.
//!
//! **Payload types** are those of the partner's descriptions, and may change in a call; the library
//! has its own for all of it: see [`numbers`].

mod answer;
mod h264;
mod negotiated;
mod numbers;
mod offer;
mod remote;
mod sections;
mod streams;
mod to_library;
mod to_partner;

#[cfg(test)]
mod tests;

pub(super) use h264::{H264, Packetization, Profile, parameter};
pub(crate) use negotiated::Negotiated;
pub use negotiated::Refused;
pub(super) use remote::Remote;
pub(super) use sections::{ForLibrary, Negotiation};
