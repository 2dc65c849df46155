//! What happens when nothing does.

use std::time::{Duration, Instant};

use super::{CallMachine, CallState};
use crate::machine::EndCode;

/// How long the partner's last message may be on its way when its connection is closed already.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

impl CallMachine {
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

    fn signaling_timeout(&self) -> Duration {
        if self.ever_registered {
            self.timeouts.signaling_return
        } else {
            self.timeouts.signaling
        }
    }
}
