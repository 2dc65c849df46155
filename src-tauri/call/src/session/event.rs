//! What a call tells while it runs.

use std::time::Instant;

use tandem_media::MediaEvent;

use super::Profile;
use crate::machine::EndReason;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// When it happened, which may be a little before it is told.
    pub at: Instant,
    /// What happened.
    pub kind: CallEventKind,
}

/// What can happen in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEventKind {
    /// The relay knows us, for the first time.
    Registered,
    /// The search for a partner began (again).
    Searching,
    /// A partner was found.
    Matched {
        /// The relay's name for this pair.
        session_id: String,
        /// Whether this side makes the offer.
        initiator: bool,
        /// What the partner tells about themself.
        partner: Profile,
    },
    /// Both sides have described what they can; paths between them are being tried.
    Checking,
    /// ICE and DTLS are up; media flows.
    Connected,
    /// The first picture of the partner is decoded.
    FirstRemoteFrame,
    /// The first sound of the partner is heard.
    FirstRemoteAudio,
    /// A camera, microphone, speaker or recording failed; the call goes on with what is left.
    Media(MediaEvent),
    /// The relay is out of reach; a call goes on without it.
    SignalingLost,
    /// The relay is back.
    SignalingBack,
    /// Nothing comes from the partner at the moment.
    PartnerReconnecting,
    /// The partner is heard again.
    PartnerBack,
    /// The partner's microphone or camera went on or off. A partner begins unmuted and with the camera on; other than
    /// that is told. A partner's app that does not tell (a browser) is only noticed to have stopped sending pictures.
    PartnerState {
        /// Nothing of the partner is to be heard.
        muted: bool,
        /// Pictures of the partner are to be expected.
        camera_on: bool,
    },
    /// The call is over. Nothing follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
}
