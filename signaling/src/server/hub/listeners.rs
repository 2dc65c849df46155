//! Who listens in which room, and who rings at whom. Sans-IO.
//!
//! In a cluster, the store keeps this instead (`ring` in `rooms.lua`, with the same rules).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{KnockId, UserId};
use crate::server::client_key::ClientKey;
use crate::server::shrink::ShrinkIfSparse;

/// How long a caller rings without an answer.
pub(super) const RING_TIMEOUT: Duration = Duration::from_secs(45);
/// The shortest time between two knocks of one caller. `cluster.lua` has the same figure
/// (`KNOCK_INTERVAL`).
pub(super) const KNOCK_INTERVAL: Duration = Duration::from_secs(3);

/// A caller that rings at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) knock: KnockId,
    pub(super) listener: UserId,
    until: Instant,
}

/// The listeners of a server. A listener is named by its user, because a resume changes its key; a
/// caller by its key, because its search ends with its connection.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Who listens in each room, first come first.
    rooms: HashMap<Arc<str>, Vec<UserId>>,
    /// By caller.
    rings: HashMap<ClientKey, Ring>,
    /// The caller that rings at each listener.
    callers: HashMap<UserId, ClientKey>,
    /// When each ring ends.
    ends: BTreeSet<(Instant, ClientKey)>,
    /// Callers that have rung a moment ago, and when they may again.
    delayed: BTreeSet<(Instant, ClientKey)>,
    /// Rooms in which someone may have to ring now, or a search may have to end.
    changed: BTreeSet<Arc<str>>,
}

impl Listeners {
    pub(super) fn add(&mut self, user: &UserId, room: Arc<str>) {
        self.changed.insert(room.clone());
        self.rooms.entry(room).or_default().push(user.clone());
    }

    pub(super) fn remove(&mut self, user: &UserId, room: &str) {
        if let Some(users) = self.rooms.get_mut(room) {
            users.retain(|other| other != user);
            if users.is_empty() {
                self.rooms.remove(room);
                self.rooms.shrink_if_sparse();
            }
        }

        self.changed(room);
    }

    /// Who listens in this room, first come first.
    pub(super) fn listening_in(&self, room: &str) -> &[UserId] {
        self.rooms.get(room).map_or(&[], Vec::as_slice)
    }

    /// The caller that rings at this listener.
    pub(super) fn caller_of(&self, listener: &UserId) -> Option<ClientKey> {
        self.callers.get(listener).copied()
    }

    pub(super) fn is_ringing(&self, caller: ClientKey) -> bool {
        self.rings.contains_key(&caller)
    }

    /// Neither may ring or be rung already.
    pub(super) fn ring(
        &mut self,
        caller: ClientKey,
        listener: UserId,
        knock: KnockId,
        now: Instant,
    ) {
        let until = now + RING_TIMEOUT;
        self.ends.insert((until, caller));
        let is_second = self.callers.insert(listener.clone(), caller);
        debug_assert_eq!(is_second, None, "a listener has one knock at a time");

        self.rings.insert(
            caller,
            Ring {
                knock,
                listener,
                until,
            },
        );
    }

    /// Ends the ring of a caller, if it rings.
    pub(super) fn hang_up(&mut self, caller: ClientKey) -> Option<Ring> {
        let ring = self.rings.remove(&caller)?;
        self.callers.remove(&ring.listener);
        self.ends.remove(&(ring.until, caller));
        self.rings.shrink_if_sparse();
        self.callers.shrink_if_sparse();

        Some(ring)
    }

    /// This caller may ring again at `at`.
    pub(super) fn delay(&mut self, caller: ClientKey, at: Instant) {
        self.delayed.insert((at, caller));
    }

    /// Something has changed in this room: [`take_changed`](Self::take_changed) returns it.
    pub(super) fn changed(&mut self, room: &str) {
        self.changed.insert(room.into());
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// A caller that has rung for too long, by `now`. It must be hung up before the next call.
    pub(super) fn unanswered(&self, now: Instant) -> Option<ClientKey> {
        self.ends
            .first()
            .filter(|(until, _)| *until <= now)
            .map(|&(_, caller)| caller)
    }

    /// The next caller that may ring again, by `now`.
    pub(super) fn next_delayed(&mut self, now: Instant) -> Option<ClientKey> {
        let &(at, caller) = self.delayed.first().filter(|(at, _)| *at <= now)?;
        self.delayed.remove(&(at, caller));

        Some(caller)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let end = self.ends.first().map(|&(until, _)| until);
        let delayed = self.delayed.first().map(|&(at, _)| at);

        end.into_iter().chain(delayed).min()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Checks that the tables agree with each other, and returns how many rooms are listened in,
    /// each counted once for each listener.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        assert_eq!(self.rings.len(), self.callers.len());
        assert_eq!(self.rings.len(), self.ends.len());
        assert!(self.changed.is_empty(), "{:?}", self.changed);

        for (&caller, ring) in &self.rings {
            assert_eq!(self.callers.get(&ring.listener), Some(&caller));
            assert!(self.ends.contains(&(ring.until, caller)));
        }

        assert!(self.rooms.values().all(|users| !users.is_empty()));
        self.rooms.values().map(Vec::len).sum()
    }

    #[cfg(test)]
    pub(super) fn ring_of(&self, caller: ClientKey) -> Option<&Ring> {
        self.rings.get(&caller)
    }
}
