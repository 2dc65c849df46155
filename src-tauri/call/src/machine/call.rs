//! The transitions of the machine.

mod replace;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::session::{Session, SignalingLink};
use super::{
    CallTimeouts, Departure, Effect, EndCode, Input, KnockId, Match, Notice, Outgoing, PeerFault,
    PeerId, Phase, SessionId,
};

/// How long the partner's last message may be on its way when its connection is closed already.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The state machine of one call. See the [module](super) for how to drive it.
#[derive(Debug)]
pub(crate) struct CallMachine {
    timeouts: CallTimeouts,
    state: CallState,
    /// Whether the signaling server has this client registered.
    registered: bool,
    /// Whether it ever had.
    ever_registered: bool,
    /// Since when the signaling server has been out of reach during a search.
    unregistered_since: Option<Instant>,
    /// When to repeat a search that was refused.
    search_again_at: Option<Instant>,
    /// How many peer connections were created: the next one's id.
    peers_created: u32,
    effects: VecDeque<Effect>,
    /// The call begins only when the partner is verified.
    must_verify: bool,
}

#[derive(Debug)]
enum CallState {
    Idle,
    Searching {
        since: Instant,
        by: Search,
        /// The person who is called hears it.
        ringing: bool,
        /// The session that `next` left, if the search began with that.
        left: Option<SessionId>,
    },
    Connecting(Session),
    InCall(Session),
    Ended,
}

/// How a partner is to be found.
#[derive(Debug, Clone)]
enum Search {
    /// By `find_partner`, which can be repeated.
    Find,
    /// By `accept`: the partner is the one who rings, or none.
    Accept(KnockId),
}

impl CallMachine {
    /// An idle call. With `must_verify`, it begins only when the partner is verified
    /// ([`Input::PartnerVerified`]).
    #[must_use]
    pub(crate) fn new(timeouts: CallTimeouts, must_verify: bool) -> Self {
        Self {
            timeouts,
            state: CallState::Idle,
            registered: false,
            ever_registered: false,
            unregistered_since: None,
            search_again_at: None,
            peers_created: 0,
            effects: VecDeque::new(),
            must_verify,
        }
    }

    /// Where the call is.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            CallState::Idle => Phase::Idle,
            CallState::Searching { .. } => Phase::Searching,
            CallState::Connecting(_) => Phase::Connecting,
            CallState::InCall(_) => Phase::InCall,
            CallState::Ended => Phase::Ended,
        }
    }

    /// Whether the signaling server has this client registered, as far as it is known.
    #[must_use]
    pub(crate) fn is_registered(&self) -> bool {
        self.registered
    }

    /// The peer connection that is open now.
    #[must_use]
    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.session().map(|session| session.peer)
    }

    /// The next effect to carry out.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing else happens.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = &self.timeouts;

        match &self.state {
            CallState::Idle | CallState::Ended => None,
            CallState::Searching { since, .. } => [
                timeouts.partner.map(|wait| *since + wait),
                self.unregistered_since
                    .map(|since| since + self.signaling_timeout()),
                self.search_again_at,
            ]
            .into_iter()
            .flatten()
            .min(),
            CallState::Connecting(session) | CallState::InCall(session)
                if session.closed_at.is_some() =>
            {
                session.closed_at.map(|at| at + CLOSE_GRACE)
            }
            CallState::Connecting(session) => Some(session.since + timeouts.connect),
            CallState::InCall(session) => {
                let silence = if session.reconnecting_until.is_some() {
                    session.silence_ends(timeouts)
                } else {
                    session.last_heard + timeouts.silence_notice
                };
                let restart = session
                    .restart_due(timeouts)
                    .filter(|_| session.reconnecting_until.is_some());
                let replacement = session.replacement_due();
                [Some(silence), restart, replacement]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// Handles every timeout that is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            CallState::Idle | CallState::Ended => {}
            CallState::Searching { since, .. } => {
                let since = *since;
                let signaling_due = self
                    .unregistered_since
                    .is_some_and(|from| now >= from + self.signaling_timeout());

                if self
                    .timeouts
                    .partner
                    .is_some_and(|wait| now >= since + wait)
                {
                    let code = if self.registered {
                        EndCode::NoPartner
                    } else {
                        EndCode::RelayUnreachable
                    };

                    self.end(code);
                } else if signaling_due {
                    self.end(EndCode::RelayUnreachable);
                } else if self.search_again_at.is_some_and(|at| now >= at) {
                    self.search();
                }
            }
            CallState::Connecting(session) | CallState::InCall(session)
                if session.closed_at.is_some() =>
            {
                if session.closed_at.is_some_and(|at| now >= at + CLOSE_GRACE) {
                    self.closed();
                }
            }
            CallState::Connecting(session) => {
                if now >= session.since + self.timeouts.connect {
                    self.end(EndCode::ConnectTimeout);
                }
            }
            CallState::InCall(session) => {
                let silence = now.saturating_duration_since(session.last_heard);
                if silence < self.timeouts.silence_notice {
                    self.replace_peer(now);
                    return;
                }

                session.notify_reconnecting(&self.timeouts, &mut self.effects);
                if now >= session.silence_ends(&self.timeouts) {
                    self.end(EndCode::PartnerVanished);
                } else if session
                    .restart_due(&self.timeouts)
                    .is_some_and(|due| now >= due)
                {
                    session.restart(now, &mut self.effects);
                }

                self.replace_peer(now);
            }
        }
    }

    /// Handles what happened at `now`.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        if let CallState::Ended = self.state {
            self.handle_ended(input);
            return;
        }

        self.handle_input(now, input);
        self.replace_peer(now);

        // News of the signaling server may have changed when the silence ends the call.
        if let CallState::InCall(session) = &mut self.state
            && session.reconnecting_until.is_some()
        {
            session.notify_reconnecting(&self.timeouts, &mut self.effects);
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input) {
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
    fn restart(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(peer, |session, effects| session.restart(now, effects));
    }

    fn start(&mut self, now: Instant, by: Search) {
        if let CallState::Idle = self.state {
            self.state = CallState::Searching {
                since: now,
                by,
                ringing: false,
                left: None,
            };
            self.unregistered_since = (!self.registered).then_some(now);
            self.effects.push_back(Effect::Notify(Notice::Searching));

            if self.registered {
                self.search();
            }
        }
    }

    fn search(&mut self) {
        self.search_again_at = None;
        let outgoing = match &self.state {
            CallState::Searching {
                by: Search::Accept(knock),
                ..
            } => Outgoing::Accept(knock.clone()),
            _ => Outgoing::FindPartner,
        };

        self.effects.push_back(Effect::Send(outgoing));
    }

    fn next(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, CallState::Idle) {
            CallState::Connecting(session) | CallState::InCall(session) => {
                self.effects.push_back(Effect::ClosePeer(session.peer));
                self.effects.push_back(Effect::ForgetAudio);

                if self.registered && session.signaling == SignalingLink::Up {
                    let session_id = session.partner.session_id;
                    self.state = CallState::Searching {
                        since: now,
                        by: Search::Find,
                        ringing: false,
                        left: Some(session_id.clone()),
                    };
                    self.effects.push_back(Effect::Notify(Notice::Searching));
                    self.effects
                        .push_back(Effect::Send(Outgoing::Next { session_id }));
                } else {
                    self.start(now, Search::Find);
                }
            }
            searching @ CallState::Searching { .. } => self.state = searching,
            CallState::Idle | CallState::Ended => self.start(now, Search::Find),
        }
    }

    /// Reports a source that was chosen in a call but was not negotiated, so it cannot be sent.
    fn source_selected(&mut self, negotiated: bool, problem: Notice) {
        if !negotiated && matches!(self.state, CallState::InCall(_)) {
            self.effects.push_back(Effect::Notify(problem));
        }
    }

    /// The signaling server registered this client as a new one, so it no longer knows any earlier
    /// session.
    fn signaling_up(&mut self) {
        let is_first = !self.ever_registered;
        self.on_registered();
        if let CallState::Connecting(session) | CallState::InCall(session) = &mut self.state {
            session.signaling_forgot(&mut self.effects);
        }

        match self.state {
            // The caller rang a user that the signaling server has forgotten.
            CallState::Searching {
                by: Search::Accept(_),
                ..
            } if !is_first => self.end(EndCode::PartnerLeft),
            CallState::Searching { .. } => self.search(),
            _ => {}
        }
    }

    fn signaling_resumed(&mut self, now: Instant, session_id: Option<SessionId>) {
        self.on_registered();
        match &mut self.state {
            CallState::Connecting(session) | CallState::InCall(session)
                if session_id.as_ref() == Some(&session.partner.session_id) =>
            {
                if session.signaling == SignalingLink::Away {
                    session.signaling_resumed(now, &mut self.effects);
                }

                return;
            }
            _ => {}
        }

        // A session that is unknown here: its messages were lost with the connection, or this side
        // has left it since.
        if let Some(session_id) = session_id {
            self.effects
                .push_back(Effect::Send(Outgoing::EndSession { session_id }));
        }

        match &mut self.state {
            // The signaling server ended our session while we were away. Media may still flow, so
            // only silence shows whether the partner is gone.
            CallState::InCall(session) => {
                session.signaling_forgot(&mut self.effects);
            }
            CallState::Connecting(_) => self.end(EndCode::PartnerLeft),
            CallState::Searching { .. } => self.search(),
            CallState::Idle | CallState::Ended => {}
        }
    }

    fn on_registered(&mut self) {
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
            CallState::Searching { .. } => self.unregistered_since = Some(now),
            CallState::Connecting(session) | CallState::InCall(session) => session.signaling_lost(),
            CallState::Idle | CallState::Ended => {}
        }
    }

    fn partner_found(&mut self, now: Instant, partner: Match) {
        let CallState::Searching { .. } = self.state else {
            return;
        };

        let peer = PeerId(self.peers_created);
        self.peers_created += 1;
        self.search_again_at = None;
        self.effects
            .push_back(Effect::Notify(Notice::Matched(partner.clone())));
        self.effects.push_back(Effect::CreatePeer(peer));

        if partner.initiator {
            self.effects.push_back(Effect::CreateOffer {
                peer,
                restart: false,
            });
        }

        let is_verified = !self.must_verify;
        self.state = CallState::Connecting(Session::new(partner, peer, now, is_verified));
    }

    fn partner_left(&mut self, session_id: &SessionId, departure: Departure) {
        // The partner was faster: the server ignores a `next` for a session that is over.
        if let CallState::Searching { left, .. } = &mut self.state
            && left.take_if(|left| left == session_id).is_some()
            && self.registered
        {
            self.search();
            return;
        }

        let in_call = matches!(self.state, CallState::InCall(_));
        if self
            .session()
            .is_none_or(|session| session.partner.session_id != *session_id)
        {
            return;
        }

        self.with_session(session_id, |session, effects| {
            session.signaling_forgot(effects);
        });

        // Media does not need the signaling server: if that has lost the partner, only silence
        // shows whether the partner is really gone.
        if departure == Departure::Left || !in_call {
            self.end(EndCode::PartnerLeft);
        }
    }

    fn peer_connected(&mut self, now: Instant, peer: PeerId) {
        match &mut self.state {
            CallState::Connecting(session) if session.peer == peer => {
                session.is_connected = true;
                self.begin(now, peer);
            }
            _ => self.heard(peer, now),
        }
    }

    /// Begins the call if the connection is up and the partner is verified.
    fn begin(&mut self, now: Instant, peer: PeerId) {
        match std::mem::replace(&mut self.state, CallState::Idle) {
            CallState::Connecting(mut session)
                if session.peer == peer && session.is_connected && session.is_verified =>
            {
                session.last_heard = now;
                session.reconnecting_until = None;
                session.partner_is_heard();
                self.state = CallState::InCall(session);
                self.effects.push_back(Effect::Notify(Notice::Connected));
            }
            other => self.state = other,
        }
    }

    /// ICE found no route, or has given up the one it had.
    fn peer_failed(&mut self, now: Instant, peer: PeerId) {
        match &self.state {
            CallState::InCall(_) => self.restart(now, peer),
            CallState::Connecting(session) if session.peer == peer => {
                self.end(EndCode::ConnectionFailed);
            }
            _ => {}
        }
    }

    /// The partner has closed the connection. It may have found a mismatch, or its user may have said
    /// that the safety words differ, and it says so through the signaling server, which may be slower.
    fn peer_closed(&mut self, now: Instant, peer: PeerId) {
        let may_be_explained = self.must_verify || matches!(self.state, CallState::InCall(_));
        if may_be_explained
            && let CallState::Connecting(session) | CallState::InCall(session) = &mut self.state
            && session.peer == peer
            && session.signaling == SignalingLink::Up
        {
            session.closed_at.get_or_insert(now);
            return;
        }

        if self.peer() == Some(peer) {
            self.closed();
        }
    }

    /// Ends a call whose connection the partner has closed.
    fn closed(&mut self) {
        match &self.state {
            CallState::InCall(_) => self.end(EndCode::PartnerLeft),
            CallState::Connecting(_) => self.end(EndCode::ConnectionFailed),
            _ => {}
        }
    }

    fn heard(&mut self, peer: PeerId, at: Instant) {
        let silence_notice = self.timeouts.silence_notice;
        if let CallState::InCall(session) = &mut self.state
            && session.peer == peer
            && at > session.last_heard
        {
            let gap = at - session.last_heard;
            session.last_heard = at;
            session.partner_is_heard();

            if session.reconnecting_until.take().is_some() {
                session.route_is_back();
                self.effects.push_back(Effect::Notify(Notice::PartnerBack));
            } else if gap >= silence_notice {
                tracing::debug!(
                    ?gap,
                    "packets resumed after a short gap: the user was not notified"
                );
            }
        }
    }

    /// The only way into `Ended`: leaves the session or the search, closes the peer connection,
    /// notifies the user.
    fn end(&mut self, code: EndCode) {
        match std::mem::replace(&mut self.state, CallState::Ended) {
            CallState::Connecting(mut session) | CallState::InCall(mut session) => {
                if self.registered {
                    let session_id = session.partner.session_id.clone();
                    session.send(Outgoing::EndSession { session_id }, &mut self.effects);
                }

                self.effects.push_back(Effect::ClosePeer(session.peer));
            }
            CallState::Searching { .. } if self.registered => {
                self.effects.push_back(Effect::Send(Outgoing::CancelSearch));
            }
            CallState::Idle | CallState::Searching { .. } | CallState::Ended => {}
        }

        self.effects
            .push_back(Effect::Notify(Notice::Ended(code.into())));
    }

    /// Lets a partner go who was found while the search was being cancelled.
    fn handle_ended(&mut self, input: Input) {
        if let Input::PartnerFound(partner) = input {
            let session_id = partner.session_id;
            self.effects
                .push_back(Effect::Send(Outgoing::EndSession { session_id }));
        }
    }

    fn signaling_timeout(&self) -> Duration {
        if self.ever_registered {
            self.timeouts.signaling_return
        } else {
            self.timeouts.signaling
        }
    }

    fn session(&self) -> Option<&Session> {
        match &self.state {
            CallState::Connecting(session) | CallState::InCall(session) => Some(session),
            CallState::Idle | CallState::Searching { .. } | CallState::Ended => None,
        }
    }

    fn with_session(
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

    fn with_peer(&mut self, peer: PeerId, act: impl FnOnce(&mut Session, &mut VecDeque<Effect>)) {
        if let CallState::Connecting(session) | CallState::InCall(session) = &mut self.state
            && session.peer == peer
        {
            act(session, &mut self.effects);
        }
    }
}
