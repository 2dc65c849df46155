//! Between the relay's messages and the state machine's.

use std::time::Duration;

use tandem_signaling::message::{
    ClientMessage, ErrorCode, ErrorReport, FindPartner, IceServer, LeaveReason, PartnerFound,
    RawValue, ServerMessage,
};
use webrtc::peer_connection::RTCIceServer;

use super::{CallOptions, Profile};
use crate::machine::{Departure, Input, Match, Outgoing};

/// What a relay's message means for the call. `None`: nothing.
pub(super) fn input(message: ServerMessage) -> Option<Input> {
    let text = |id: &str| id.into();
    Some(match message {
        ServerMessage::PartnerFound(found) => Input::PartnerFound(partner(&found)),
        ServerMessage::WebrtcOffer(relayed) => Input::Offer {
            session_id: text(relayed.session_id.as_str()),
            offer: text(relayed.offer.get()),
        },
        ServerMessage::WebrtcAnswer(relayed) => Input::Answer {
            session_id: text(relayed.session_id.as_str()),
            answer: text(relayed.answer.get()),
        },
        ServerMessage::IceCandidate(relayed) => Input::Candidate {
            session_id: text(relayed.session_id.as_str()),
            candidate: text(relayed.candidate.get()),
        },
        ServerMessage::PartnerLeft(left) => {
            let departure = match left.reason {
                LeaveReason::Disconnected | LeaveReason::NodeLost => Departure::Lost,
                LeaveReason::Left
                | LeaveReason::Skipped
                | LeaveReason::Blocked
                | LeaveReason::Other => Departure::Wanted,
            };

            Input::PartnerLeft {
                session_id: text(left.session_id.as_str()),
                departure,
            }
        }
        ServerMessage::PartnerReconnecting(session) => Input::PartnerReconnecting {
            session_id: text(session.session_id.as_str()),
        },
        ServerMessage::PartnerResumed(session) => Input::PartnerResumed {
            session_id: text(session.session_id.as_str()),
        },
        ServerMessage::Error(error) => return refusal(&error),
        _ => return None,
    })
}

/// An error that ends or delays a search. Others are about messages that crossed with the end of a session.
fn refusal(error: &ErrorReport) -> Option<Input> {
    /// When a relay that is busy does not say when to come back.
    const RETRY_AFTER: Duration = Duration::from_secs(1);
    let retry_after = match error.code {
        ErrorCode::RateLimited
        | ErrorCode::QueueFull
        | ErrorCode::Unavailable
        | ErrorCode::Internal => Some(
            error
                .retry_after_ms
                .map_or(RETRY_AFTER, Duration::from_millis),
        ),
        ErrorCode::BadMessage | ErrorCode::BadJson | ErrorCode::UnknownType | ErrorCode::Banned => {
            None
        }
        _ => return None,
    };

    tracing::debug!(code = ?error.code, "the relay refuses a message");
    Some(Input::SearchRefused { retry_after })
}

fn partner(found: &PartnerFound) -> Match {
    Match {
        session_id: found.session_id.as_str().into(),
        partner: found.socket_id.as_str().into(),
        initiator: found.initiator,
    }
}

/// What the partner tells about themself.
pub(super) fn profile(found: &PartnerFound) -> Profile {
    Profile {
        user_name: Some(found.user_name.clone()),
        user_age: found.user_age,
        user_location: Some(found.user_location.clone()),
        user_picture: found.user_picture.clone(),
    }
}

/// The message for the relay. `None` if a payload is not JSON, which no part of a call produces.
pub(super) fn message(outgoing: Outgoing, options: &CallOptions) -> Option<ClientMessage> {
    let raw = |json: &str| RawValue::from_string(json.to_owned()).ok();
    Some(match outgoing {
        Outgoing::FindPartner => ClientMessage::FindPartner(FindPartner {
            user_name: options.profile.user_name.clone(),
            user_age: options.profile.user_age,
            user_location: options.profile.user_location.clone(),
            user_picture: options.profile.user_picture.clone(),
            room: options.room.clone(),
            interests: Vec::new(),
        }),
        Outgoing::CancelSearch => ClientMessage::CancelSearch,
        Outgoing::Next { session_id } => ClientMessage::Next {
            session_id: Some((&*session_id).into()),
        },
        Outgoing::EndSession { session_id } => ClientMessage::EndSession {
            session_id: (&*session_id).into(),
            reason: None,
        },
        Outgoing::Offer { to, offer } => ClientMessage::WebrtcOffer {
            to: (&*to).into(),
            offer: raw(&offer)?,
        },
        Outgoing::Answer { to, answer } => ClientMessage::WebrtcAnswer {
            to: (&*to).into(),
            answer: raw(&answer)?,
        },
        Outgoing::Candidate { to, candidate } => ClientMessage::IceCandidate {
            to: (&*to).into(),
            candidate: raw(&candidate)?,
        },
    })
}

/// The relay's STUN and TURN servers in the peer connection's form.
pub(super) fn ice_servers(servers: &[IceServer]) -> Vec<RTCIceServer> {
    let convert = |server: &IceServer| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    };

    servers.iter().map(convert).collect()
}
