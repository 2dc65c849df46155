//! What the TURN servers of a cluster learn of calls: which ones, and which users, are over. Each node
//! tells the TURN server in its own program and the other nodes, where an allocation may be, too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_turn::Revocation;

use super::cluster::messages::{NodeId, NodeMessage, StoreCommand, TurnEnd};
use super::{Effect, Hub};
use crate::message::{LeaveReason, SessionId, UserId};
use crate::server::client_key::ClientKey;
use crate::server::shrink::ShrinkIfSparse;

/// Calls that are over because the server was lost. Beyond that, the media of the oldest ends early. The
/// TURN server remembers as many calls (`turn/src/revoked.rs`).
const MAX_LOST_CALLS: usize = 262_144;

/// The calls that ended because a connection to the server broke, and when their media ends. Two people
/// who still see each other go on until then; two programs that only want the TURN server do not go on for
/// ever.
#[derive(Debug, Default)]
pub(super) struct LostCalls {
    /// In the order of their ends: all calls have the same time.
    due: VecDeque<(Instant, SessionId)>,
}

impl LostCalls {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
    }

    /// The media of this call ends after `ttl`.
    fn add(&mut self, session: SessionId, ttl: Duration, now: Instant) {
        self.due.push_back((now + ttl, session));
    }

    /// A call whose media ends by `now`, if there is one.
    fn take(&mut self, now: Instant) -> Option<SessionId> {
        let is_over = |(due, _): &mut (Instant, SessionId)| *due <= now;
        let oldest = match self.due.len() > MAX_LOST_CALLS {
            true => self.due.pop_front(),
            false => self.due.pop_front_if(is_over),
        };
        self.due.shrink_if_sparse();
        oldest.map(|(_, session)| session)
    }
}

impl Hub {
    /// A call has ended: its media ends with it if someone decided that. Two people whose connection to
    /// this server broke may still see each other, and go on for as long as their credentials were valid.
    pub(super) fn revoke_call(&mut self, session: &SessionId, reason: LeaveReason, now: Instant) {
        if is_decided(reason) {
            self.end_media_everywhere(TurnEnd::Session(session.clone()));
        } else {
            self.end_media_later(session, now);
        }
    }

    /// The same, which another node has decided and told. That node may be gone when the time comes.
    pub(super) fn revoke_call_here(
        &mut self,
        session: &SessionId,
        reason: LeaveReason,
        now: Instant,
    ) {
        if is_decided(reason) {
            self.revoke(&TurnEnd::Session(session.clone()));
        } else {
            self.end_media_later(session, now);
        }
    }

    fn end_media_later(&mut self, session: &SessionId, now: Instant) {
        if let Some(ttl) = self.config.ice.ttl_of_calls() {
            self.lost_calls.add(session.clone(), ttl, now);
        }
    }

    /// Ends the media of calls whose time is over.
    pub(super) fn tick_turn(&mut self, now: Instant) {
        while let Some(session) = self.lost_calls.take(now) {
            self.end_media_everywhere(TurnEnd::Session(session));
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
            self.revoke_call(session, LeaveReason::Left, now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests start at the present")]
    fn the_oldest_lost_call_ends_early_if_there_are_too_many() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut lost = LostCalls::default();
        for number in 0..=MAX_LOST_CALLS {
            lost.add(number.to_string().into(), hour, now);
        }

        assert_eq!(lost.take(now), Some("0".to_owned().into()));
        assert_eq!(lost.take(now), None, "there is room for the others");
        assert_eq!(lost.next_deadline(), Some(now + hour));
        assert_eq!(lost.take(now + hour), Some("1".to_owned().into()));
    }
}
