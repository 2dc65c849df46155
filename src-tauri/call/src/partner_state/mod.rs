//! What the partner's microphone and camera do: told by the partner, or concluded from what comes.
//!
//! Two Tandems tell each other over a data channel with the label [`CHANNEL`], which the offerer opens; opening it, and
//! leaving it open, is the wish to be told. A partner without it (a browser) still calls normally: then the camera counts
//! as off when pictures stop while the rest of the connection lives ([`PictureWatch`]).

mod message;
mod watch;

pub use message::{CHANNEL, MAX_MESSAGE_BYTES, StateMessageError, parse, to_json};
pub use watch::PictureWatch;

/// What one side sends at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartnerState {
    /// Nothing of this side's microphone is to be heard: muted, or without one.
    pub muted: bool,
    /// Pictures of this side are to be expected.
    pub camera_on: bool,
}

impl Default for PartnerState {
    /// What is presumed of a partner who has said nothing: heard and seen.
    fn default() -> Self {
        Self {
            muted: false,
            camera_on: true,
        }
    }
}
