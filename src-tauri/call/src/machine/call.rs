//! The transitions of the machine.

mod inputs;
mod replace;
mod search;
mod server;
mod timeouts;

use std::collections::VecDeque;
use std::time::Instant;

use super::session::{Session, SignalingLink};
use super::{
    CallTimeouts, Effect, EndCode, Input, KnockId, Notice, Outgoing, PeerId, Phase, SessionId,
};

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
        if let CallState::Connecting(session) = &self.state
            && self.registered
            && session.signaling == SignalingLink::Up
            && matches!(code, EndCode::ConnectTimeout | EndCode::ConnectionFailed)
        {
            let (peer, to) = (session.peer, session.to());
            self.effects.push_back(Effect::TellProblem { peer, to });
        }

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

    fn session(&self) -> Option<&Session> {
        match &self.state {
            CallState::Connecting(session) | CallState::InCall(session) => Some(session),
            CallState::Idle | CallState::Searching { .. } | CallState::Ended => None,
        }
    }
}
