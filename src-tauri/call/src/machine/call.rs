//! The transitions.

use std::collections::VecDeque;
use std::time::Instant;

use super::session::{RelayLink, Session};
use super::{
    Departure, Effect, EndCode, EndReason, Input, Match, Notice, Outgoing, Patience, PeerFault,
    PeerId, Phase, Text,
};

/// The state machine of one call. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct CallMachine {
    patience: Patience,
    state: State,
    /// Whether the relay has us registered.
    registered: bool,
    /// Whether the relay ever had us registered.
    ever_registered: bool,
    /// Since when the relay is out of reach during a search.
    unregistered_since: Option<Instant>,
    /// When a refused search may be tried again.
    search_again_at: Option<Instant>,
    peers_made: u32,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
enum State {
    Idle,
    Searching { since: Instant },
    Connecting(Session),
    InCall(Session),
    Ended(EndReason),
}

impl CallMachine {
    /// An idle call.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            state: State::Idle,
            registered: false,
            ever_registered: false,
            unregistered_since: None,
            search_again_at: None,
            peers_made: 0,
            effects: VecDeque::new(),
        }
    }

    /// Where the call is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Idle => Phase::Idle,
            State::Searching { .. } => Phase::Searching,
            State::Connecting(_) => Phase::Connecting,
            State::InCall(_) => Phase::InCall,
            State::Ended(_) => Phase::Ended,
        }
    }

    /// Why the call ended, once it has.
    #[must_use]
    pub fn end_reason(&self) -> Option<&EndReason> {
        match &self.state {
            State::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// The peer connection that is alive now.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.session().map(|session| session.peer)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let patience = &self.patience;
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Searching { since } => [
                patience.partner.map(|wait| *since + wait),
                self.unregistered_since
                    .map(|since| since + self.relay_patience()),
                self.search_again_at,
            ]
            .into_iter()
            .flatten()
            .min(),
            State::Connecting(session) => Some(session.since + patience.connect),
            State::InCall(session) if session.trouble_noticed => {
                Some(session.heard + self.silence_limit(session))
            }
            State::InCall(session) => Some(session.heard + patience.silence_notice),
        }
    }

    /// Acts on what `now` is the time for.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Idle | State::Ended(_) => {}
            State::Searching { since } => {
                let since = *since;
                let due = |from: Option<Instant>, wait| from.is_some_and(|from| now >= from + wait);

                if self
                    .patience
                    .partner
                    .is_some_and(|wait| now >= since + wait)
                {
                    let code = if self.registered {
                        EndCode::NoPartner
                    } else {
                        EndCode::RelayUnreachable
                    };

                    self.end(code);
                } else if due(self.unregistered_since, self.relay_patience()) {
                    self.end(EndCode::RelayUnreachable);
                } else if self.search_again_at.is_some_and(|at| now >= at) {
                    self.search();
                }
            }
            State::Connecting(session) => {
                if now >= session.since + self.patience.connect {
                    self.end(EndCode::ConnectTimeout);
                }
            }
            State::InCall(session) => {
                let silence = now.saturating_duration_since(session.heard);
                if silence >= self.patience.silence_notice && !session.trouble_noticed {
                    session.trouble_noticed = true;
                    self.effects
                        .push_back(Effect::Notify(Notice::PartnerReconnecting));
                }

                let State::InCall(session) = &self.state else {
                    return;
                };

                if silence >= self.silence_limit(session) {
                    self.end(EndCode::PartnerVanished);
                }
            }
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if let State::Ended(_) = self.state {
            self.after_the_end(input);
            return;
        }

        match input {
            Input::Find => self.find(now),
            Input::Cancel => {
                if matches!(self.state, State::Idle | State::Searching { .. }) {
                    self.end(EndCode::Cancelled);
                }
            }
            Input::HangUp => self.end(EndCode::HungUp),
            Input::Next => self.next(now),
            Input::SignalingUp => self.signaling_up(),
            Input::SignalingResumed { session_id } => self.signaling_resumed(session_id),
            Input::SignalingDown => self.signaling_down(now),
            // A connection that stands goes on.
            Input::NoTurnServer => {
                if !matches!(self.state, State::InCall(_)) {
                    self.end(EndCode::NoTurnServer);
                }
            }
            Input::SearchRefused { retry_after } => {
                if let State::Searching { .. } = self.state {
                    match retry_after {
                        Some(wait) => self.search_again_at = Some(now + wait),
                        None => self.end(EndCode::RelayRefused),
                    }
                }
            }
            Input::PartnerFound(partner) => self.partner_found(now, partner),
            Input::Offer { session_id, offer } => {
                self.with_session(&session_id, |session, effects| {
                    session.offer(offer, effects);
                })
            }
            Input::Answer { session_id, answer } => {
                self.with_session(&session_id, |session, effects| {
                    session.answer(answer, effects);
                })
            }
            Input::Candidate {
                session_id,
                candidate,
            } => self.with_session(&session_id, |session, effects| {
                session.candidate(candidate, effects);
            }),
            Input::PartnerLeft {
                session_id,
                departure,
            } => self.partner_left(&session_id, departure),
            Input::PartnerReconnecting { session_id } => {
                self.with_session(&session_id, |session, effects| {
                    session.partner_unregistered = true;
                    effects.push_back(Effect::Notify(Notice::PartnerReconnecting));
                })
            }
            Input::PartnerResumed { session_id } => {
                self.with_session(&session_id, |session, effects| {
                    session.partner_unregistered = false;
                    effects.push_back(Effect::Notify(Notice::PartnerBack));
                })
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
            Input::PeerConnected(peer) => self.peer_connected(now, peer),
            Input::PeerDisconnected(peer) => self.with_peer(peer, |session, effects| {
                if !session.trouble_noticed {
                    session.trouble_noticed = true;
                    effects.push_back(Effect::Notify(Notice::PartnerReconnecting));
                }
            }),
            Input::PeerFailed(peer) => self.peer_down(peer, EndCode::PartnerVanished),
            Input::PeerClosed(peer) => self.peer_down(peer, EndCode::PartnerLeft),
            Input::PeerFaulted(peer, fault) if self.peer() == Some(peer) => self.end(match fault {
                PeerFault::BadDescription => EndCode::BadDescription,
                PeerFault::NoCommonCodec => EndCode::NoCommonCodec,
                PeerFault::Internal => EndCode::ConnectionFailed,
            }),
            Input::PeerFaulted(..) => {}
            Input::Heard(peer, at) => self.heard(peer, at),
        }
    }

    fn find(&mut self, now: Instant) {
        if let State::Idle = self.state {
            self.state = State::Searching { since: now };
            self.unregistered_since = (!self.registered).then_some(now);
            self.effects.push_back(Effect::Notify(Notice::Searching));

            if self.registered {
                self.search();
            }
        }
    }

    fn search(&mut self) {
        self.search_again_at = None;
        self.effects.push_back(Effect::Send(Outgoing::FindPartner));
    }

    fn next(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Connecting(session) | State::InCall(session) => {
                self.effects.push_back(Effect::ClosePeer(session.peer));
                if self.registered && session.relay == RelayLink::Up {
                    self.state = State::Searching { since: now };
                    self.effects.push_back(Effect::Notify(Notice::Searching));
                    let session_id = session.partner.session_id;
                    self.effects
                        .push_back(Effect::Send(Outgoing::Next { session_id }));
                } else {
                    self.find(now);
                }
            }
            searching @ State::Searching { .. } => self.state = searching,
            State::Idle | State::Ended(_) => self.find(now),
        }
    }

    /// The relay knows us as a new user: whatever call it knew of is over for it.
    fn signaling_up(&mut self) {
        self.reached();
        if let State::Connecting(session) | State::InCall(session) = &mut self.state {
            session.relay_forgot();
        }

        if let State::Searching { .. } = self.state {
            self.search();
        }
    }

    fn signaling_resumed(&mut self, session_id: Option<Text>) {
        self.reached();
        match &mut self.state {
            State::Connecting(session) | State::InCall(session)
                if session_id.as_ref() == Some(&session.partner.session_id) =>
            {
                if session.relay == RelayLink::Away {
                    session.relay_resumed(&mut self.effects);
                }

                return;
            }
            _ => {}
        }

        // A call that we know nothing of: its news was lost with the connection, or we have left it meanwhile.
        if let Some(session_id) = session_id {
            self.effects
                .push_back(Effect::Send(Outgoing::EndSession { session_id }));
        }

        match &mut self.state {
            // The relay gave our call up while we were away. The media may still flow: only silence tells.
            State::InCall(session) => {
                session.relay_forgot();
                session.partner_unregistered = true;
            }
            State::Connecting(_) => self.end(EndCode::PartnerLeft),
            State::Searching { .. } => self.search(),
            State::Idle | State::Ended(_) => {}
        }
    }

    fn reached(&mut self) {
        let back = self.ever_registered && !self.registered;
        self.registered = true;
        self.ever_registered = true;
        self.unregistered_since = None;

        if back {
            self.effects
                .push_back(Effect::Notify(Notice::SignalingBack));
        }
    }

    fn signaling_down(&mut self, now: Instant) {
        if !self.registered {
            return;
        }

        self.registered = false;
        self.search_again_at = None;
        self.effects
            .push_back(Effect::Notify(Notice::SignalingLost));

        match &mut self.state {
            State::Searching { .. } => self.unregistered_since = Some(now),
            State::Connecting(session) | State::InCall(session) => session.relay_lost(),
            State::Idle | State::Ended(_) => {}
        }
    }

    fn partner_found(&mut self, now: Instant, partner: Match) {
        let State::Searching { .. } = self.state else {
            return;
        };

        let peer = PeerId(self.peers_made);
        self.peers_made += 1;
        self.search_again_at = None;
        self.effects
            .push_back(Effect::Notify(Notice::Matched(partner.clone())));
        self.effects.push_back(Effect::CreatePeer(peer));

        if partner.initiator {
            self.effects.push_back(Effect::CreateOffer(peer));
        }

        self.state = State::Connecting(Session::new(partner, peer, now));
    }

    fn partner_left(&mut self, session_id: &str, departure: Departure) {
        let in_call = matches!(self.state, State::InCall(_));
        let Some(session) = self
            .session_mut()
            .filter(|session| *session.partner.session_id == *session_id)
        else {
            return;
        };

        session.relay_forgot();
        session.partner_unregistered = true;

        // Media needs no relay: only silence tells whether a partner that the relay lost is really gone.
        if departure == Departure::Wanted || !in_call {
            self.end(EndCode::PartnerLeft);
        }
    }

    fn peer_connected(&mut self, now: Instant, peer: PeerId) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Connecting(mut session) if session.peer == peer => {
                session.heard = now;
                session.trouble_noticed = false;
                self.state = State::InCall(session);
                self.effects.push_back(Effect::Notify(Notice::Connected));
            }
            other => {
                self.state = other;
                self.heard(peer, now);
            }
        }
    }

    fn peer_down(&mut self, peer: PeerId, in_call: EndCode) {
        match &self.state {
            State::InCall(session) if session.peer == peer => self.end(in_call),
            State::Connecting(session) if session.peer == peer => {
                self.end(EndCode::ConnectionFailed)
            }
            _ => {}
        }
    }

    fn heard(&mut self, peer: PeerId, at: Instant) {
        let silence_notice = self.patience.silence_notice;
        if let State::InCall(session) = &mut self.state
            && session.peer == peer
            && at > session.heard
        {
            let gap = at - session.heard;
            session.heard = at;

            if session.trouble_noticed {
                session.trouble_noticed = false;
                self.effects.push_back(Effect::Notify(Notice::PartnerBack));
            } else if gap >= silence_notice {
                tracing::debug!(?gap, "the partner was silent for a moment");
            }
        }
    }

    /// The one way into `Ended`: leaves the session or the search, closes the peer connection, tells the user.
    fn end(&mut self, code: EndCode) {
        match std::mem::replace(&mut self.state, State::Ended(code.into())) {
            State::Connecting(mut session) | State::InCall(mut session) => {
                if self.registered {
                    let session_id = session.partner.session_id.clone();
                    session.send(Outgoing::EndSession { session_id }, &mut self.effects);
                }

                self.effects.push_back(Effect::ClosePeer(session.peer));
            }
            State::Searching { .. } if self.registered => {
                self.effects.push_back(Effect::Send(Outgoing::CancelSearch));
            }
            State::Idle | State::Searching { .. } | State::Ended(_) => {}
        }

        self.effects
            .push_back(Effect::Notify(Notice::Ended(code.into())));
    }

    /// A partner found while the search was being cancelled must not wait for us.
    fn after_the_end(&mut self, input: Input) {
        if let Input::PartnerFound(partner) = input {
            let session_id = partner.session_id;
            self.effects
                .push_back(Effect::Send(Outgoing::EndSession { session_id }));
        }
    }

    fn relay_patience(&self) -> std::time::Duration {
        if self.ever_registered {
            self.patience.relay_return
        } else {
            self.patience.relay
        }
    }

    fn silence_limit(&self, session: &Session) -> std::time::Duration {
        if session.partner_unregistered {
            self.patience.silence_unregistered
        } else {
            self.patience.silence
        }
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Connecting(session) | State::InCall(session) => Some(session),
            State::Idle | State::Searching { .. } | State::Ended(_) => None,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Connecting(session) | State::InCall(session) => Some(session),
            State::Idle | State::Searching { .. } | State::Ended(_) => None,
        }
    }

    fn with_session(
        &mut self,
        session_id: &str,
        act: impl FnOnce(&mut Session, &mut VecDeque<Effect>),
    ) {
        if let State::Connecting(session) | State::InCall(session) = &mut self.state
            && *session.partner.session_id == *session_id
        {
            act(session, &mut self.effects);
        }
    }

    fn with_peer(&mut self, peer: PeerId, act: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        if let State::Connecting(session) | State::InCall(session) = &mut self.state
            && session.peer == peer
        {
            act(session, &mut self.effects);
        }
    }
}
