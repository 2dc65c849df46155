//! What can go wrong with a peer connection.

use webrtc::error::Error;

use crate::congestion::CongestionError;
use crate::machine::PeerFault;

/// What is wrong with the partner's message, or with the connection.
///
/// Nothing that the partner sent is quoted, neither here nor in a source: errors end up in logs
/// that users pass on. That is why [`BadDescription`](Self::BadDescription) and
/// [`BadCandidate`](Self::BadCandidate) carry no source; the libraries' errors quote what they
/// cannot parse.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A description that cannot be used, and why.
    #[error("cannot use the partner's description: {0}")]
    BadDescription(&'static str),
    /// The two sides have no format in common for this kind of media.
    #[error("this side and the partner have no {0} format in common")]
    NoCommonCodec(&'static str),
    /// A candidate that cannot be used. The call continues without it.
    #[error("cannot use a candidate of the partner")]
    BadCandidate,
    /// There is no network to look for another route in.
    #[error("this machine has no network to look for another route in")]
    NoNetwork,
    /// Congestion control cannot be set up.
    #[error(transparent)]
    Congestion(#[from] CongestionError),
    /// A call into webrtc does not return.
    #[error("the peer connection hangs: it did not {action}")]
    Hung {
        /// What it was asked to do: completes the sentence.
        action: &'static str,
    },
    /// A call into webrtc failed.
    #[error("the peer connection could not {action}")]
    Connection {
        /// What it was asked to do: completes the sentence.
        action: &'static str,
        /// Why it could not.
        source: Error,
    },
}

impl PeerError {
    /// The fault to report to the call's state machine; `None` if the call continues.
    pub(crate) fn fault(&self) -> Option<PeerFault> {
        match self {
            Self::BadDescription(_) => Some(PeerFault::BadDescription),
            Self::NoCommonCodec(_) => Some(PeerFault::NoCommonCodec),
            Self::BadCandidate | Self::NoNetwork => None,
            Self::Congestion(_) | Self::Hung { .. } | Self::Connection { .. } => {
                Some(PeerFault::Internal)
            }
        }
    }
}

/// For `map_err` on a call into webrtc that should `action`. Logs the cause, where it is known.
pub(super) fn could_not(action: &'static str) -> impl FnOnce(Error) -> PeerError {
    move |source| {
        tracing::warn!(error = %source, "the peer connection could not {action}");
        PeerError::Connection { action, source }
    }
}
