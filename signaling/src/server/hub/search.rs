//! Searches: which may begin, where they wait, and what ends them without a partner.

use std::time::{Duration, Instant};

use super::rooms::MAX_GUESTS;
use super::{Effect, Hub, fault, millis, relation, search_relation};
use crate::message::{
    ErrorCode, Fault, FindPartner, KnockEnd, LeaveReason, RequestId, Searching, ServerMessage,
    SessionId, UserId, room_number,
};
use crate::server::client_key::ClientKey;
use crate::server::matchmaker::{Relation, Search};

/// When a guest may ask again for a room that is full.
const FULL_RETRY: Duration = Duration::from_secs(5);

impl Hub {
    pub(super) fn find_partner(
        &mut self,
        key: ClientKey,
        mut profile: FindPartner,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        // A visitor waits no longer than the owner can be rung; a guest was invited.
        profile.must_exist |= self.is_visitor(key) || self.is_guest(key);
        let is_charged = profile.guesses_room();
        let allowed = self.must_be_allowed_to_search(key, &profile);

        // Only a room that does not exist is a failed guess. In a cluster, only the store knows
        // whether it exists.
        let is_judged = self.cluster.is_none() || allowed.is_err();
        let has_failed = matches!(&allowed, Err(fault) if fault.code == ErrorCode::NoSuchRoom);
        if is_charged && is_judged && !has_failed {
            self.effects.push_back(Effect::RoomFound(key));
        }

        allowed?;
        if let Some(client) = self.clients.get_mut(&key) {
            client.guess_charged = self.cluster.is_some() && is_charged;
            client.profile = profile;
        }

        self.search(key, id, now);
        Ok(())
    }

    fn must_be_allowed_to_search(
        &self,
        key: ClientKey,
        profile: &FindPartner,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        self.must_not_search(key)?;
        self.must_not_drain()?;
        self.must_have_store()?;
        self.must_have_room(key, profile)?;
        self.must_fit_in(key, profile)
    }

    /// Refuses a search for a room that must exist and does not. Also refuses a search for a
    /// claimed room without `mustExist`: the search of an invite always has it, so the client may
    /// have guessed the number. In a cluster, the store checks both.
    fn must_have_room(&self, key: ClientKey, profile: &FindPartner) -> Result<(), Fault> {
        self.must_ring_owner(key, profile)?;
        self.must_be_invited(key, profile)?;
        let Some(room) = profile.room.as_ref().filter(|_| self.cluster.is_none()) else {
            return Ok(());
        };

        let is_claimed = room_number(room).is_some_and(|number| self.rooms.is_claimed(number));
        let exists = if is_claimed {
            profile.must_exist
        } else {
            // The client's own listening ends with this search.
            let is_other = |user: &UserId| self.users.get(user) != Some(&key);
            !profile.must_exist
                || self.matchmaker.has_room(room)
                || self.listeners.listening_in(room).iter().any(is_other)
        };

        if exists { Ok(()) } else { Err(no_such_room()) }
    }

    /// Refuses one guest more than [`MAX_GUESTS`] in a claimed room, unless the guest meets the
    /// owner at once and need not wait. In a cluster, the store counts.
    fn must_fit_in(&self, key: ClientKey, profile: &FindPartner) -> Result<(), Fault> {
        let room = profile.room.as_ref().filter(|_| self.cluster.is_none());
        let owner = room.and_then(|room| self.rooms.owner_of(room_number(room)?));
        let (Some(room), Some(owner)) = (room, owner) else {
            return self.must_fit_before_owner(key, profile);
        };

        let owner = self.users.get(owner).copied();
        if owner == Some(key) || self.matchmaker.waiting_in(room).count() < MAX_GUESTS {
            return Ok(());
        }

        let meets_owner = |owner: ClientKey| {
            self.matchmaker.room_of(owner) == Some(room)
                && relation(&self.clients, &self.blocks, key, owner) != Relation::Blocked
        };
        if owner.is_some_and(meets_owner) {
            return Ok(());
        }

        Err(room_full())
    }

    pub(super) fn cancel_search(
        &mut self,
        key: ClientKey,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;

        // The store may have matched this client a moment ago, so it has to answer.
        if self.cancel_in_store(key, &id) {
            return Ok(());
        }

        self.stop_searching(key);
        self.reply(key, ServerMessage::SearchCancelled, id);
        Ok(())
    }

    /// Ends the call and searches again with the same profile. A `next` for a session that is over
    /// does nothing, so pressing twice skips one partner, not two.
    pub(super) fn next(
        &mut self,
        key: ClientKey,
        session: Option<&SessionId>,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        if session.is_some_and(|session| self.call(key).is_none_or(|call| call.session != *session))
        {
            return Ok(());
        }

        self.must_not_drain()?;
        if self.is_searching(key) {
            self.searching_reply(key, id);
            return Ok(());
        }

        self.must_have_store()?;
        self.end_call(key, LeaveReason::Skipped, None, now);

        // Since then, another client may have claimed the room, or its owner may have released it.
        let room = self.clients.get(&key).map_or(Ok(()), |client| {
            self.must_have_room(key, &client.profile)?;
            self.must_fit_in(key, &client.profile)
        });
        match room {
            Ok(()) => self.search(key, id, now),
            Err(fault) => {
                self.reject(key, fault, id);
                self.send(key, ServerMessage::SearchCancelled);
            }
        }

        Ok(())
    }

    pub(super) fn is_searching(&self, key: ClientKey) -> bool {
        self.matchmaker.contains(key)
            || self
                .clients
                .get(&key)
                .is_some_and(|client| client.store_search_since.is_some())
    }

    pub(super) fn stop_searching(&mut self, key: ClientKey) {
        self.hang_up(key, Some(KnockEnd::Cancelled));
        if let Some(room) = self.matchmaker.room_of(key) {
            self.listeners.changed(room);
        }

        if let Some(client) = self.clients.get_mut(&key) {
            client.ringing = false;
        }

        self.matchmaker.leave(key);
        self.leave_store(key);
    }

    /// `searching`, as the answer to a message.
    fn searching_reply(&mut self, key: ClientKey, id: Option<RequestId>) {
        if let Some(client) = self.clients.get(&key) {
            let searching = Searching {
                room: client.profile.room.clone(),
                ringing: client.ringing,
            };
            self.reply(key, ServerMessage::Searching(searching), id);
        }
    }

    fn search(&mut self, key: ClientKey, id: Option<RequestId>, now: Instant) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        client.search_id.clone_from(&id);
        let search = Search {
            room: client.profile.room.clone(),
            interests: client.profile.interests.clone(),
        };
        self.hold_rooms(key, search.room.as_deref());

        if self.cluster.is_some() {
            self.searching_reply(key, id);
            self.search_in_store(key, now);
            return;
        }

        self.stop_listening(key);
        let found = self.matchmaker.join(key, search, now, &|a, b| {
            search_relation(&self.clients, &self.blocks, &self.rooms, a, b)
        });

        if found.is_none() {
            self.ring(key, now);
            let is_ringing = self.listeners.is_ringing(key);
            if let Some(client) = self.clients.get_mut(&key) {
                client.ringing = is_ringing;
            }
        }

        self.searching_reply(key, id);
        if let Some(found) = found {
            self.start_call(&found);
        }
    }
}

pub(super) fn no_such_room() -> Fault {
    fault(
        ErrorCode::NoSuchRoom,
        "There is no such room: check the number, or ask for a new invite.",
    )
}

/// The answer to a guest of a claimed room in which [`MAX_GUESTS`] already wait.
pub(super) fn room_full() -> Fault {
    let text = "Too many people are waiting in this room: try again in a few seconds.";
    Fault {
        retry_after_ms: Some(millis(FULL_RETRY)),
        ..fault(ErrorCode::QueueFull, text)
    }
}
