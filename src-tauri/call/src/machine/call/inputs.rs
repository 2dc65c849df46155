//! What each input means.

use std::collections::VecDeque;
use std::time::Instant;

use super::{CallMachine, CallState, Search};
use crate::machine::session::Session;
use crate::machine::{Effect, EndCode, Input, Notice, Outgoing, PeerFault, PeerId, SessionId};

impl CallMachine {
    pub(super) fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Find => self.start(now, Search::Find),
            Input::Accept(knock) => self.start(now, Search::Accept(knock)),
            Input::Cancel => {
                if matches!(self.state, CallState::Idle | CallState::Searching { .. }) {
                    self.end(EndCode::Cancelled);
                }
            }
            Input::HangUp => self.end(EndCode::HungUp),
            Input::Next => self.next(now),
            Input::SignalingUp => self.signaling_up(),
            Input::SignalingResumed { session_id } => self.signaling_resumed(now, session_id),
            Input::SignalingDown => self.signaling_down(now),
            Input::SignalingRefused(code) => {
                self.signaling_down(now);

                // A call that is already connecting continues without it.
                if let CallState::Searching { .. } = self.state {
                    self.end(code);
                }
            }
            Input::Expelled(code) => {
                self.signaling_down(now);
                if let CallState::Connecting(_) | CallState::InCall(_) = self.state {
                    self.end(code);
                }
            }
            Input::CameraSelected { negotiated } => {
                self.source_selected(negotiated, Notice::CameraNotNegotiated);
            }
            Input::MicrophoneSelected { negotiated } => {
                self.source_selected(negotiated, Notice::MicrophoneNotNegotiated);
            }
            // A call that is already connected continues.
            Input::MissingServer(code) => {
                if !matches!(self.state, CallState::InCall(_)) {
                    self.end(code);
                }
            }
            Input::NoRoute(peer) => {
                if let CallState::Connecting(session) = &self.state
                    && session.peer == peer
                {
                    self.end(EndCode::ConnectionFailed);
                }
            }
            Input::SearchEnded(code) => {
                if let CallState::Searching { .. } = self.state {
                    self.end(code);
                }
            }
            Input::Ringing(now_ringing) => {
                if let CallState::Searching { ringing, .. } = &mut self.state
                    && *ringing != now_ringing
                {
                    *ringing = now_ringing;
                    self.effects
                        .push_back(Effect::Notify(Notice::Ringing(now_ringing)));
                }
            }
            Input::SearchRefused { retry_after } => {
                if let CallState::Searching { .. } = self.state {
                    match retry_after {
                        Some(wait) => self.search_again_at = Some(now + wait),
                        None => self.end(EndCode::RelayRefused),
                    }
                }
            }
            Input::PartnerFound(partner) => self.partner_found(now, partner),
            Input::Offer {
                session_id,
                connection,
                offer,
            } => self.offer(now, &session_id, connection, offer),
            Input::Answer {
                session_id,
                connection,
                answer,
            } => self.with_session(&session_id, |session, effects| {
                session.answer(now, connection, answer, effects);
            }),
            Input::Candidate {
                session_id,
                connection,
                candidate,
            } => self.with_session(&session_id, |session, effects| {
                session.candidate(connection, candidate, effects);
            }),
            Input::Move { session_id, pake } => {
                self.with_session(&session_id, |session, effects| {
                    let peer = session.peer;
                    effects.push_back(Effect::CheckMove { peer, pake });
                });
            }
            Input::PartnerGaveUp { session_id } => {
                self.with_session(&session_id, |session, _| session.partner_gave_up = true);
            }
            Input::PartnerLeft {
                session_id,
                departure,
            } => self.partner_left(&session_id, departure),
            Input::PartnerReconnecting { session_id } => {
                self.with_session(&session_id, |session, effects| {
                    session.partner_registered(false, effects);
                });
            }
            Input::PartnerResumed { session_id } => {
                self.with_session(&session_id, |session, effects| {
                    session.partner_registered(true, effects);
                });
            }
            Input::LocalOffer(peer, offer) => self.with_peer(peer, |session, effects| {
                if session.is_offering() {
                    session.send(
                        Outgoing::Offer {
                            to: session.to(),
                            offer,
                        },
                        effects,
                    );
                }
            }),
            Input::LocalAnswer(peer, answer) => self.with_peer(peer, |session, effects| {
                session.send(
                    Outgoing::Answer {
                        to: session.to(),
                        answer,
                    },
                    effects,
                );
            }),
            Input::LocalCandidate(peer, candidate) => self.with_peer(peer, |session, effects| {
                session.send(
                    Outgoing::Candidate {
                        to: session.to(),
                        candidate,
                    },
                    effects,
                );
            }),
            Input::LocalMove(peer, pake) => self.with_peer(peer, |session, effects| {
                session.send_move(pake, effects);
            }),
            Input::PartnerVerified(peer) => {
                self.with_peer(peer, |session, _| session.is_verified = true);
                self.begin(now, peer);
            }
            Input::CodeMismatch(peer) if self.peer() == Some(peer) => {
                self.end(EndCode::CodeMismatch);
            }
            Input::PeerConnected(peer) => self.peer_connected(now, peer),
            Input::PeerFailed(peer) => self.peer_failed(now, peer),
            Input::PeerClosed(peer) => self.peer_closed(now, peer),
            Input::PeerFaulted(peer, PeerFault::Internal) => self.peer_broken(now, peer),
            Input::PeerFaulted(peer, fault) if self.peer() == Some(peer) => self.end(match fault {
                PeerFault::BadDescription => EndCode::BadDescription,
                PeerFault::NoCommonCodec => EndCode::NoCommonCodec,
                PeerFault::Misbehaved => EndCode::PartnerMisbehaved,
                PeerFault::Internal => EndCode::ConnectionFailed,
            }),
            Input::CodeMismatch(_) | Input::PeerFaulted(..) => {}
            Input::Heard(peer, at) => self.heard(peer, at),
            Input::RouteLost(peer) => self.restart(now, peer),
            Input::Woken => {
                if let CallState::InCall(session) = &mut self.state {
                    session.last_heard = session.last_heard.max(now);
                }
            }
            Input::RestartFailed(peer) => {
                self.with_peer(peer, |session, _| session.restart_failed());
            }
        }
    }

    /// Looks for another route to the partner.
    pub(super) fn restart(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(peer, |session, effects| session.restart(now, effects));
    }

    /// Reports a source that was chosen in a call but was not negotiated, so it cannot be sent.
    fn source_selected(&mut self, negotiated: bool, problem: Notice) {
        if !negotiated && matches!(self.state, CallState::InCall(_)) {
            self.effects.push_back(Effect::Notify(problem));
        }
    }

    pub(super) fn with_session(
        &mut self,
        session_id: &SessionId,
        act: impl FnOnce(&mut Session, &mut VecDeque<Effect>),
    ) {
        if let CallState::Connecting(session) | CallState::InCall(session) = &mut self.state
            && session.partner.session_id == *session_id
        {
            act(session, &mut self.effects);
        }
    }

    pub(super) fn with_peer(
        &mut self,
        peer: PeerId,
        act: impl FnOnce(&mut Session, &mut VecDeque<Effect>),
    ) {
        if let CallState::Connecting(session) | CallState::InCall(session) = &mut self.state
            && session.peer == peer
        {
            act(session, &mut self.effects);
        }
    }
}
