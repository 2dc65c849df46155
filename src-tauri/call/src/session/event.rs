//! What a call reports while it runs.

use std::time::Instant;

use tandem_media::MediaEvent;

use super::{Profile, ReportOutcome, VerificationState};
use crate::machine::{ConnectProblem, EndReason};
use crate::peer::Refused;

/// Something that happened in a call, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// When it happened, which may be a little before it is reported.
    pub at: Instant,
    /// What happened.
    pub kind: CallEventKind,
}

/// What can happen in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEventKind {
    /// The signaling server registered this client, for the first time.
    Registered,
    /// A search for a partner began.
    Searching,
    /// Whether the person who is called hears it now: the other side rings.
    Ringing(bool),
    /// A partner was found.
    Matched {
        /// The signaling server's id of this session.
        session_id: String,
        /// Whether this side makes the offer.
        initiator: bool,
        /// The partner's id at the signaling server, as long as it knows this client: for `block`.
        partner_id: String,
        /// What the partner shows of its user.
        partner: Profile,
        /// The interests that both gave.
        interests: Vec<String>,
    },
    /// Both sides have described what they support; ICE is checking routes.
    Checking,
    /// No connection is up within three seconds of the match, for this reason. It may still come up.
    /// `None`: the reason is gone, so there is nothing to say but that it takes long.
    ConnectTrouble(Option<ConnectProblem>),
    /// ICE and DTLS are done, and the partner is verified if [`CallOptions::code`] requires it; media
    /// flows.
    ///
    /// [`CallOptions::code`]: super::CallOptions::code
    Connected,
    /// The partner's first frame was decoded.
    FirstRemoteFrame,
    /// The partner's first audio was played.
    FirstRemoteAudio,
    /// A camera, microphone, speaker or recording failed; the call continues with what is left.
    Media(MediaEvent),
    /// The signaling server is out of reach; a call continues without it.
    SignalingLost,
    /// The signaling server is back.
    SignalingBack,
    /// Nothing arrives from the partner at the moment; another route is looked for. Comes again when
    /// the end changes.
    PartnerReconnecting {
        /// When the call ends, if nothing arrives until then.
        until: Instant,
    },
    /// Packets arrive from the partner again.
    PartnerBack,
    /// The signaling server has lost the partner. Media may still flow: see
    /// [`Self::PartnerReconnecting`].
    PartnerSignalingLost,
    /// The signaling server has the partner again, or no longer has news of it.
    PartnerSignalingBack,
    /// The partner's microphone or camera went on or off. A partner starts unmuted with the camera
    /// on; every change is reported. A browser does not report its state: for it, only a camera
    /// that stops sending video is noticed.
    PartnerState {
        /// The partner sends no audio.
        muted: bool,
        /// The partner sends video.
        camera_on: bool,
    },
    /// What this side has to send and the partner does not want. Comes when the connection is up, if
    /// the partner refuses anything, and whenever it changes.
    PartnerRefuses(Refused),
    /// The two sides agreed on a room in which they can meet again, known to nobody else: 128 random
    /// bits in hexadecimal digits, to which both contributed.
    MeetAgain {
        /// The room.
        room: String,
    },
    /// What became of a report.
    Reported(ReportOutcome),
    /// What is known about who the partner is. Comes right after [`Self::Connected`], and whenever it
    /// changes.
    Verification(VerificationState),
    /// The call is over. No event follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
}
