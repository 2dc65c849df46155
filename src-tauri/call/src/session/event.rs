//! What a call tells while it runs.

use super::Profile;
use crate::machine::EndReason;
use std::time::Instant;
use tandem_media::MediaEvent;

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
    /// The call is over. Nothing follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
}
