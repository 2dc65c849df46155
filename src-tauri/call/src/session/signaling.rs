//! Translates between the messages of the signaling protocol and the inputs and effects of the
//! state machine.

use std::time::Duration;

use tandem_signaling::message::{
    Accept, ClientMessage, ErrorCode, ErrorReport, FindPartner, IceServer, KnockId, LeaveReason,
    PartnerFound, RawValue, ServerMessage,
};
use webrtc::peer_connection::RTCIceServer;

use super::{CallOptions, Profile, numbers, verification};
use crate::machine::{Departure, EndCode, Input, Match, Outgoing};

/// What a message from the signaling server means for the call. `None`: nothing.
pub(super) fn input(message: ServerMessage) -> Option<Input> {
    Some(match message {
        ServerMessage::Searching(searching) => Input::Ringing(searching.ringing),
        ServerMessage::PartnerFound(found) => Input::PartnerFound(partner(&found)),
        ServerMessage::WebrtcOffer(relayed) => Input::Offer {
            session_id: relayed.session_id.as_str().into(),
            connection: numbers::connection(relayed.offer.get()),
            offer: relayed.offer.get().into(),
        },
        ServerMessage::WebrtcAnswer(relayed) => Input::Answer {
            session_id: relayed.session_id.as_str().into(),
            connection: numbers::connection(relayed.answer.get()),
            answer: relayed.answer.get().into(),
        },
        ServerMessage::IceCandidate(relayed) => {
            let session_id = relayed.session_id.as_str().into();
            let payload = relayed.candidate.get();
            match verification::move_in(payload) {
                Some(pake) => Input::Move {
                    session_id,
                    pake: pake.into(),
                },
                None => Input::Candidate {
                    session_id,
                    connection: numbers::connection(payload),
                    candidate: payload.into(),
                },
            }
        }
        ServerMessage::PartnerLeft(left) => {
            let departure = match left.reason {
                LeaveReason::Disconnected | LeaveReason::NodeLost => Departure::Lost,
                LeaveReason::Left
                | LeaveReason::Skipped
                | LeaveReason::Blocked
                | LeaveReason::Other => Departure::Left,
            };

            Input::PartnerLeft {
                session_id: left.session_id.as_str().into(),
                departure,
            }
        }
        ServerMessage::PartnerReconnecting(session) => Input::PartnerReconnecting {
            session_id: session.session_id.as_str().into(),
        },
        ServerMessage::PartnerResumed(session) => Input::PartnerResumed {
            session_id: session.session_id.as_str().into(),
        },
        ServerMessage::Error(error) => return refusal(&error),
        _ => return None,
    })
}

/// For when a busy signaling server does not say when to try again.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error that ends or delays a search. Other errors are about messages that crossed with the end
/// of a session.
fn refusal(error: &ErrorReport) -> Option<Input> {
    let ended = match error.code {
        ErrorCode::NoSuchRoom => Some(EndCode::NoSuchRoom),
        ErrorCode::Declined => Some(EndCode::Declined),
        ErrorCode::NoAnswer => Some(EndCode::NoAnswer),
        // The caller is gone.
        ErrorCode::NoSuchKnock => Some(EndCode::PartnerLeft),
        _ => None,
    };

    if let Some(code) = ended {
        return Some(Input::SearchEnded(code));
    }

    let retry_after = match error.code {
        ErrorCode::RateLimited
        | ErrorCode::QueueFull
        | ErrorCode::Unavailable
        | ErrorCode::Internal
        // The server has not noticed the end of the last call yet.
        | ErrorCode::AlreadyMatched => Some(
            error
                .retry_after_ms
                .map_or(DEFAULT_RETRY_AFTER, Duration::from_millis),
        ),
        ErrorCode::BadMessage | ErrorCode::BadJson | ErrorCode::UnknownType | ErrorCode::Banned => {
            None
        }
        _ => return None,
    };

    tracing::debug!(code = ?error.code, ?retry_after, "the signaling server refused the search");
    Some(Input::SearchRefused { retry_after })
}

fn partner(found: &PartnerFound) -> Match {
    Match {
        session_id: found.session_id.as_str().into(),
        partner: found.socket_id.as_str().into(),
        initiator: found.initiator,
    }
}

/// What the partner shows of its user.
pub(super) fn profile(found: &PartnerFound) -> Profile {
    Profile {
        user_name: Some(found.user_name.clone()),
        user_age: found.user_age,
        user_location: Some(found.user_location.clone()),
        user_picture: found.user_picture.clone(),
    }
}

/// The message for the signaling server. `None` if a payload is not JSON, which no part of a call
/// produces.
pub(super) fn message(outgoing: Outgoing, options: &CallOptions) -> Option<ClientMessage> {
    let raw = |json: &str| RawValue::from_string(json.to_owned()).ok();
    Some(match outgoing {
        Outgoing::FindPartner => ClientMessage::FindPartner(FindPartner {
            user_name: options.profile.user_name.clone(),
            user_age: options.profile.user_age,
            user_location: options.profile.user_location.clone(),
            user_picture: options.profile.user_picture.clone(),
            room: options.room.clone(),
            must_exist: options.room_must_exist,
            interests: options.interests.clone(),
        }),
        Outgoing::Accept(knock) => ClientMessage::Accept(Accept {
            user_name: options.profile.user_name.clone(),
            user_age: options.profile.user_age,
            user_location: options.profile.user_location.clone(),
            user_picture: options.profile.user_picture.clone(),
            ..KnockId::from(knock.as_str()).into()
        }),
        Outgoing::CancelSearch => ClientMessage::CancelSearch,
        Outgoing::Next { session_id } => ClientMessage::Next {
            session_id: Some(session_id.as_str().into()),
        },
        Outgoing::EndSession { session_id } => ClientMessage::EndSession {
            session_id: session_id.as_str().into(),
            reason: None,
        },
        Outgoing::Offer { to, offer } => ClientMessage::WebrtcOffer {
            to: to.as_str().into(),
            offer: raw(offer.as_str())?,
        },
        Outgoing::Answer { to, answer } => ClientMessage::WebrtcAnswer {
            to: to.as_str().into(),
            answer: raw(answer.as_str())?,
        },
        Outgoing::Move { to, pake } => ClientMessage::IceCandidate {
            to: to.as_str().into(),
            candidate: raw(&format!(r#"{{"pake":{}}}"#, pake.as_str()))?,
        },
        Outgoing::Candidate { to, candidate } => ClientMessage::IceCandidate {
            to: to.as_str().into(),
            candidate: raw(candidate.as_str())?,
        },
    })
}

/// The signaling server's STUN and TURN servers in the form the peer connection takes.
pub(super) fn ice_servers(servers: &[IceServer]) -> Vec<RTCIceServer> {
    let convert = |server: &IceServer| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    };

    servers.iter().map(convert).collect()
}
