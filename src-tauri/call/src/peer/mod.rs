//! The peer connection of a call: ICE, DTLS-SRTP and the two tracks, over webrtc 0.21.1.
//!
//! It exchanges the JSON of browsers (`RTCSessionDescriptionInit`, `RTCIceCandidateInit`), and
//! turns everything that a partner may send into an answer or an error. What webrtc 0.21.1 does
//! wrong is dealt with in `workarounds/`; `docs/field-notes.md` has the measurements behind the
//! settings.

mod candidates;
mod certificate;
mod checks;
mod config;
mod connection;
mod description;
mod error;
mod formats;
mod handler;
mod identity;
mod negotiation;
pub(crate) mod plain_socket;
mod privacy;
mod received;
mod route;
mod setup;
mod sockets;
mod track;
mod tracks;
mod turn;
mod workarounds;

pub(crate) use checks::RouteHealth;
#[cfg(feature = "internals")]
pub use checks::datagrams;
pub use config::PeerConfig;
pub use connection::Peer;
pub use error::PeerError;
pub use formats::MediaKind;
pub(crate) use formats::{Codec, Format};
pub use handler::PeerEvent;
pub(crate) use negotiation::Negotiated;
pub use negotiation::Refused;
pub use route::Route;
pub(crate) use sockets::are_systems;
pub(crate) use track::LocalTrack;
pub use turn::WarmConnections;
#[cfg(feature = "internals")]
pub(crate) use turn::framing::read_stream as read_turn_stream;
pub(crate) use turn::{TurnHealth, is_usable};

/// Reads a description as far as Tandem does itself and, if it is an offer, negotiates twice with
/// it, for fuzz targets.
///
/// # Panics
/// If what the library or the partner would get is not a description.
#[cfg(feature = "internals")]
pub(crate) fn read_description(json: &str, kind: webrtc::peer_connection::RTCSdpType) {
    use negotiation::Negotiation;
    use webrtc::peer_connection::{RTCSdpType, RTCSessionDescription};

    let Ok(description::RemoteDescription { remote, candidates }) =
        description::from_json(json, kind)
    else {
        return;
    };

    for candidate in candidates {
        // It may be refused.
        let _ = description::candidate_from_json(&description::candidate_to_json(&candidate));
    }

    let mut negotiation = Negotiation::default();
    if kind == RTCSdpType::Answer {
        // Nothing was offered.
        let _ = negotiation.read(kind, remote);
        return;
    }

    for _ in 0..2 {
        // It may have nothing in common with Tandem.
        let Ok(plan) = negotiation.read(kind, remote.clone()) else {
            return;
        };
        let library = negotiation.apply(plan);
        let answer = library.sdp.replace("a=setup:actpass", "a=setup:passive");
        let answer = RTCSessionDescription::answer(answer).expect("the library's words");
        let answer = negotiation
            .answer(&answer, &[MediaKind::Audio, MediaKind::Video])
            .expect("the library's answer");
        RTCSessionDescription::answer(answer).expect("the partner can parse it");
        // Any stream may come.
        let _ = negotiation.on_undeclared(1, 96);
    }
}

/// Parses a candidate, for fuzz targets.
#[cfg(feature = "internals")]
pub(crate) fn read_candidate(json: &str) {
    // It may be refused.
    let _ = description::candidate_from_json(json);
}
