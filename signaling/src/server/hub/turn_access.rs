//! What the TURN server in this program learns of calls: which ones, and which users, are over.

use std::time::Instant;

use tandem_turn::Revocation;

use super::{Effect, Hub};
use crate::message::{LeaveReason, SessionId, UserId};
use crate::server::client_key::ClientKey;

impl Hub {
    /// A call has ended: its media ends with it if someone decided that. Two people whose connection to
    /// this server broke may still see each other, and go on.
    pub(super) fn revoke_call(&mut self, session: &SessionId, reason: LeaveReason) {
        let is_decided = match reason {
            LeaveReason::Left | LeaveReason::Skipped | LeaveReason::Blocked => true,
            LeaveReason::Disconnected | LeaveReason::NodeLost | LeaveReason::Other => false,
        };
        if is_decided {
            self.revoke(Revocation::Session(session.as_str().into()));
        }
    }

    /// The client hangs up in a call that is over for this server, because the other side has not resumed
    /// in time. Their media went on until now.
    pub(super) fn revoke_ended_call(&mut self, key: ClientKey, session: &SessionId, now: Instant) {
        let ended = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.ended(session, now));
        if ended.is_some() {
            self.revoke_call(session, LeaveReason::Left);
        }
    }

    /// The operator has ended a user.
    pub(super) fn revoke_user(&mut self, user: &UserId) {
        self.revoke(Revocation::User(user.as_str().into()));
    }

    fn revoke(&mut self, revocation: Revocation) {
        if self.config.ice.binds_to_calls() {
            self.effects.push_back(Effect::Revoke(revocation));
        }
    }
}
