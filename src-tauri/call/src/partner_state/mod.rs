//! Whether the partner's microphone and camera are on: reported by the partner, or inferred from
//! what arrives.
//!
//! Two Tandems report this to each other over a data channel labelled [`CHANNEL`], on which they
//! also agree on a room to meet again ([`Share`]). The offerer
//! opens it; a side that leaves it open asks for reports. A partner without the channel (a browser)
//! can call normally; its camera counts as off when video stops while the rest of the connection
//! lives ([`CameraWatch`]).

mod camera_watch;
mod meeting;
mod message;

pub(crate) use camera_watch::CameraWatch;
pub use meeting::Share;
pub(crate) use message::CHANNEL;
pub use message::{StateMessage, StateMessageError, parse, to_json};

/// What one side sends at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartnerState {
    /// This side sends no audio: it is muted, or has no microphone.
    pub muted: bool,
    /// This side sends video.
    pub camera_on: bool,
}

impl Default for PartnerState {
    /// Assumed of a partner that has not reported anything: unmuted, with the camera on.
    fn default() -> Self {
        Self {
            muted: false,
            camera_on: true,
        }
    }
}
