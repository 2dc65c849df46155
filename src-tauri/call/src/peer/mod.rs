//! The peer connection of a call: ICE, DTLS-SRTP and the two tracks, over webrtc 0.21.1.
//!
//! It exchanges the JSON of browsers (`RTCSessionDescriptionInit`, `RTCIceCandidateInit`), and
//! turns everything that a partner may send into an answer or an error. What webrtc 0.21.1 does
//! wrong is dealt with in `workarounds/`; `docs/field-notes.md` has the measurements behind the
//! settings.

mod candidates;
mod checks;
mod connection;
mod description;
mod error;
mod formats;
mod handler;
mod negotiation;
mod privacy;
mod route;
mod sections;
mod setup;
mod sockets;
mod track;
mod workarounds;

pub use connection::{Peer, PeerConfig};
pub use error::PeerError;
pub use formats::MediaKind;
pub(crate) use formats::{Codec, Format};
pub use handler::PeerEvent;
pub use negotiation::Refused;
pub use route::Route;
pub(crate) use track::LocalTrack;

/// Parses a description as far as Tandem does itself, for fuzz targets.
#[cfg(feature = "internals")]
pub(crate) fn read_description(json: &str, kind: webrtc::peer_connection::RTCSdpType) {
    if let Ok(remote) = description::from_json(json, kind) {
        // Both may refuse it.
        let _ = negotiated::agree(&remote.media);
        for candidate in remote.candidates {
            let _ = description::candidate_from_json(&description::candidate_to_json(&candidate));
        }
    }
}

/// Parses a candidate, for fuzz targets.
#[cfg(feature = "internals")]
pub(crate) fn read_candidate(json: &str) {
    // It may be refused.
    let _ = description::candidate_from_json(json);
}
