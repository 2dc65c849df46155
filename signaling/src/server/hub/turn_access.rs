//! What the TURN servers of a cluster learn of calls: which ones, and which users, are over. Each node
//! tells the TURN server in its own program and the other nodes, where an allocation may be, too.

use std::time::Instant;

use tandem_turn::Revocation;

use super::cluster::messages::{NodeId, NodeMessage, StoreCommand, TurnEnd};
use super::{Effect, Hub};
use crate::message::{LeaveReason, SessionId, UserId};
use crate::server::client_key::ClientKey;

impl Hub {
    /// A call has ended: its media ends with it if someone decided that. Two people whose connection to
    /// this server broke may still see each other, and go on.
    pub(super) fn revoke_call(&mut self, session: &SessionId, reason: LeaveReason) {
        if is_decided(reason) {
            self.end_media_everywhere(TurnEnd::Session(session.clone()));
        }
    }

    /// The same, which another node has decided and told.
    pub(super) fn revoke_call_here(&mut self, session: &SessionId, reason: LeaveReason) {
        if is_decided(reason) {
            self.revoke(&TurnEnd::Session(session.clone()));
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
        self.end_media_everywhere(TurnEnd::User(user.clone()));
    }

    /// A node, perhaps this one, has told all of them what is over.
    pub(super) fn receive_turn_end(&mut self, by: &NodeId, end: &TurnEnd) {
        let is_own = |cluster: &super::cluster::Cluster| cluster.node() == by;
        if !self.cluster.as_ref().is_some_and(is_own) {
            self.revoke(end);
        }
    }

    fn end_media_everywhere(&mut self, end: TurnEnd) {
        if !self.config.ice.binds_to_calls() {
            return;
        }

        self.revoke(&end);
        if let Some(cluster) = &self.cluster {
            let by = cluster.node().clone();
            let message = Box::new(NodeMessage::TurnEnded { by, end });
            self.effects
                .push_back(Effect::Store(StoreCommand::Tell(message)));
        }
    }

    fn revoke(&mut self, end: &TurnEnd) {
        if self.config.ice.binds_to_calls() {
            self.effects.push_back(Effect::Revoke(match end {
                TurnEnd::Session(session) => Revocation::Session(session.as_str().into()),
                TurnEnd::User(user) => Revocation::User(user.as_str().into()),
            }));
        }
    }
}

/// Whether someone has ended the call, and not only lost the server.
fn is_decided(reason: LeaveReason) -> bool {
    match reason {
        LeaveReason::Left | LeaveReason::Skipped | LeaveReason::Blocked => true,
        LeaveReason::Disconnected | LeaveReason::NodeLost | LeaveReason::Other => false,
    }
}
