//! The signaling server comes and goes, and says whether the partner is still there.

use std::time::Instant;

use super::{CallMachine, CallState, Search};
use crate::machine::session::SignalingLink;
use crate::machine::{Departure, Effect, EndCode, Notice, Outgoing, SessionId};

impl CallMachine {
    /// The signaling server registered this client as a new one, so it no longer knows any earlier
    /// session.
    pub(super) fn signaling_up(&mut self) {
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

    pub(super) fn signaling_resumed(&mut self, now: Instant, session_id: Option<SessionId>) {
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

    pub(super) fn signaling_down(&mut self, now: Instant) {
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

    pub(super) fn partner_left(&mut self, session_id: &SessionId, departure: Departure) {
        // The partner was faster: the server ignores a `next` for a session that is over.
        if let CallState::Searching { left, .. } = &mut self.state
            && left.take_if(|left| left == session_id).is_some()
            && self.registered
        {
            self.search();
            return;
        }

        let in_call = matches!(self.state, CallState::InCall(_));
        let Some(session) = self
            .session()
            .filter(|session| session.partner.session_id == *session_id)
        else {
            return;
        };

        // Neither of the two wanted to leave.
        let code = if session.partner_gave_up && !in_call {
            EndCode::ConnectionFailed
        } else {
            EndCode::PartnerLeft
        };

        self.with_session(session_id, |session, effects| {
            session.signaling_forgot(effects);
        });

        // Media does not need the signaling server: if that has lost the partner, only silence
        // shows whether the partner is really gone.
        if departure == Departure::Left || !in_call {
            self.end(code);
        }
    }
}
