//! The peer connection of a call: ICE, DTLS-SRTP and the two tracks, over webrtc 0.21.1 with the settings that
//! `docs/field-notes.md` explains. It speaks the JSON of browsers, and turns everything that a partner may send into an
//! answer or an error.

mod connection;
mod description;
mod ear;
mod formats;
mod handler;
mod negotiated;
mod privacy;
mod prompt_runtime;
mod repeater;
mod repeating_socket;
mod route;
mod setup;
mod told_candidates;

pub use connection::{LocalTrack, Peer, PeerConfig};
pub use ear::LastHeard;
pub use formats::{Codec, Format, MediaKind};
pub use handler::PeerEvent;
pub use negotiated::Negotiated;

use crate::congestion::CongestionError;
use crate::machine::PeerFault;

/// What is wrong with the partner's message, or with the connection. Nothing of what the partner sent is quoted.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A description that cannot be used.
    #[error("the partner's description cannot be used: {0}")]
    BadDescription(&'static str),
    /// No format that both sides know.
    #[error("the partner has no {0} format in common with this side")]
    NoCommonCodec(&'static str),
    /// A candidate that cannot be used. The call goes on without it.
    #[error("a candidate of the partner cannot be used")]
    BadCandidate,
    /// Congestion control cannot be set up.
    #[error(transparent)]
    Congestion(#[from] CongestionError),
    /// The peer connection refuses.
    #[error("the peer connection failed to {0}")]
    Connection(&'static str),
}

impl PeerError {
    /// What the call's state machine makes of it. `None`: nothing, the call goes on.
    #[must_use]
    pub fn fault(&self) -> Option<PeerFault> {
        match self {
            Self::BadDescription(_) => Some(PeerFault::BadDescription),
            Self::NoCommonCodec(_) => Some(PeerFault::NoCommonCodec),
            Self::BadCandidate => None,
            Self::Congestion(_) | Self::Connection(_) => Some(PeerFault::Internal),
        }
    }
}
