//! Ringing: clients that listen in rooms, and the callers that wait there for an answer.
//!
//! A caller is a client that searches; the matchmaker knows nothing of listeners. Whatever changes
//! who may ring (a search begins or ends, a list of rooms changes, a knock ends) only marks its
//! rooms as changed. [`Hub::settle_rings`] then looks at all of them at once: after every message,
//! every tick and every lost connection.

use std::sync::Arc;
use std::time::Instant;

use super::client::Listening;
use super::listeners::KNOCK_INTERVAL;
use super::search::no_such_room;
use super::{Effect, Hub, fault, relation};
use crate::message::{
    Accept, ErrorCode, Fault, FindPartner, Knock, KnockEnd, KnockEnded, KnockId,
    Listening as ListeningReport, NO_NAME, RequestId, Searching, ServerMessage, UserId,
    room_number,
};
use crate::server::client_key::ClientKey;
use crate::server::edge::KnockEvent;
use crate::server::matchmaker::{Match, Relation};

impl Hub {
    /// Replaces the rooms in which a client listens.
    pub(super) fn listen(
        &mut self,
        key: ClientKey,
        rooms: Vec<String>,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        // A client that searches or is in a call does not listen, so there is nothing to stop.
        if !rooms.is_empty() {
            self.must_not_visit(key)?;
            self.must_not_be_guest(key)?;
            self.must_not_be_in_call(key)?;
            self.must_not_search(key)?;
            self.must_not_drain()?;
            self.must_have_store()?;
        }

        if self.cluster.is_some() {
            self.listen_in_store(key, rooms, id);
            return Ok(());
        }

        let Some(client) = self.clients.get(&key) else {
            return Ok(());
        };

        let user = &client.user;
        let rooms: Vec<Arc<str>> = rooms
            .into_iter()
            .filter(|room| {
                room_number(room).is_none_or(|number| self.rooms.is_claimed_by(number, user))
            })
            .map(Arc::from)
            .collect();

        self.set_rooms(key, &rooms);
        self.hold_rooms(key, rooms.iter().map(|room| &**room));
        self.listening(key, rooms.len(), id);
        Ok(())
    }

    /// Answers `listen`.
    pub(super) fn listening(&mut self, key: ClientKey, rooms: usize, id: Option<RequestId>) {
        let report = ListeningReport { rooms };
        self.reply(key, ServerMessage::Listening(report), id);
    }

    /// Accepts a knock: the call begins.
    pub(super) fn accept(
        &mut self,
        key: ClientKey,
        accept: Accept,
        id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        let knock = self.visible_knock(key, &accept.knock_id)?;
        let room = knock.room.clone();
        let profile = FindPartner {
            user_name: accept.user_name,
            user_age: accept.user_age,
            user_location: accept.user_location,
            user_picture: accept.user_picture,
            room: Some(room),
            must_exist: true,
            interests: Vec::new(),
        };

        if self.cluster.is_some() {
            return self.accept_in_store(key, accept.knock_id, profile, id);
        }

        let caller = self.caller_of(key).ok_or_else(no_such_knock)?;
        if relation(&self.clients, &self.blocks, key, caller) == Relation::Blocked {
            self.hang_up(caller, Some(KnockEnd::Cancelled));
            return Err(no_such_knock());
        }

        if let Some(client) = self.clients.get_mut(&key) {
            client.profile = profile;
        }

        self.hang_up(caller, None);
        self.stop_searching(caller);
        self.count_knock(KnockEvent::Accepted);
        self.start_call(&Match {
            older: caller,
            newer: key,
            interests: Vec::new(),
        });

        Ok(())
    }

    /// Declines a knock: the caller's search is over.
    pub(super) fn decline(
        &mut self,
        key: ClientKey,
        knock: &KnockId,
        id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        self.visible_knock(key, knock)?;
        if self.cluster.is_some() {
            return self.decline_in_store(key, knock, id);
        }

        let caller = self.caller_of(key).ok_or_else(no_such_knock)?;
        if let Some(client) = self.clients.get_mut(&key) {
            // A person has decided, so the next caller may ring at once.
            client.last_rung = None;
        }

        self.hang_up(caller, None);
        self.count_knock(KnockEvent::Declined);
        self.fail_search(caller, declined());
        Ok(())
    }

    /// The caller that rings at this client.
    fn caller_of(&self, key: ClientKey) -> Option<ClientKey> {
        self.listeners.caller_of(&self.clients.get(&key)?.user)
    }

    /// The knock that this client may accept or decline.
    fn visible_knock(&self, key: ClientKey, id: &KnockId) -> Result<&Knock, Fault> {
        self.clients
            .get(&key)
            .and_then(|client| client.listening.as_ref()?.knock.as_deref())
            .filter(|knock| knock.knock_id == *id)
            .ok_or_else(no_such_knock)
    }

    /// Ends listening: a search, a call or the end of the client.
    pub(super) fn stop_listening(&mut self, key: ClientKey) {
        self.set_rooms(key, &[]);
    }

    /// Replaces the rooms in which a client listens, here and not in a store. A caller that rings in
    /// a room that is no longer among them goes back to waiting.
    pub(super) fn set_rooms(&mut self, key: ClientKey, rooms: &[Arc<str>]) {
        let Some(client) = self
            .clients
            .get_mut(&key)
            .filter(|client| client.listening.is_some() || !rooms.is_empty())
        else {
            return;
        };

        let user = client.user.clone();
        let listening = client.listening.get_or_insert_default();
        let former = std::mem::replace(&mut listening.rooms, rooms.to_vec());
        let lost = listening
            .knock
            .as_ref()
            .filter(|knock| !rooms.iter().any(|room| **room == *knock.room))
            .map(|knock| knock.knock_id.clone());

        if let Some(knock) = lost {
            match self.listeners.caller_of(&user) {
                Some(caller) => self.hang_up(caller, Some(KnockEnd::Cancelled)),
                None => self.end_knock(key, &knock, Some(KnockEnd::Cancelled)),
            }
        }

        // In a cluster, the store has the tables.
        if self.cluster.is_none() {
            for room in former.iter().filter(|room| !rooms.contains(room)) {
                self.listeners.remove(&user, room);
            }

            for room in rooms.iter().filter(|room| !former.contains(room)) {
                self.listeners.add(&user, room.clone());
            }
        }

        if let Some(client) = self.clients.get_mut(&key)
            && client.listening.as_ref().is_some_and(|l| l.is_idle())
        {
            client.listening = None;
        }
    }

    /// Ends the ring of a caller, if it rings. The search goes on. The listener gets `knock_ended`
    /// with `end`; `None`: it was its own decision.
    pub(super) fn hang_up(&mut self, caller: ClientKey, end: Option<KnockEnd>) {
        let Some(ring) = self.listeners.hang_up(caller) else {
            return;
        };

        let Some(&listener) = self.users.get(&ring.listener) else {
            return;
        };

        let rooms = self.clients.get(&listener).and_then(|client| {
            let listening = client.listening.as_ref()?;
            Some(listening.rooms.clone())
        });

        // The next caller may ring.
        for room in rooms.into_iter().flatten() {
            self.listeners.changed(&room);
        }

        self.end_knock(listener, &ring.knock, end);
    }

    /// Shows a knock to a client that listens, or keeps it until the client resumes.
    pub(super) fn show_knock(&mut self, key: ClientKey, knock: Knock) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        let is_away = client.is_away();
        let listening = client.listening.get_or_insert_default();
        if !is_away {
            listening.shown = Some(knock.knock_id.clone());
        }

        listening.knock = Some(Box::new(knock.clone()));
        self.count_knock(KnockEvent::Rung);
        self.send(key, ServerMessage::Knock(Box::new(knock)));
    }

    /// A knock has ended. Nothing if the client has another one or none.
    pub(super) fn end_knock(&mut self, key: ClientKey, id: &KnockId, end: Option<KnockEnd>) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        let is_away = client.is_away();
        let Some(listening) = client.listening.as_mut().filter(|listening| {
            listening
                .knock
                .as_ref()
                .is_some_and(|knock| knock.knock_id == *id)
        }) else {
            return;
        };

        listening.knock = None;
        if is_away {
            // `resume_knock` makes up for it.
            return;
        }

        listening.shown = None;
        if listening.is_idle() {
            client.listening = None;
        }

        if let Some(reason) = end {
            let ended = KnockEnded {
                knock_id: id.clone(),
                reason,
            };
            self.send(key, ServerMessage::KnockEnded(ended));
        }
    }

    /// A client has resumed: its knock comes again, and one that has ended meanwhile ends here.
    pub(super) fn resume_knock(&mut self, key: ClientKey) {
        let Some(listening) = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.listening.as_mut())
        else {
            return;
        };

        let knock = listening.knock.clone();
        let current = knock.as_ref().map(|knock| knock.knock_id.clone());
        let shown = std::mem::replace(&mut listening.shown, current.clone());

        if let Some(knock_id) = shown.filter(|shown| Some(shown) != current.as_ref()) {
            let reason = KnockEnd::Cancelled;
            let ended = KnockEnded { knock_id, reason };
            self.send(key, ServerMessage::KnockEnded(ended));
        }

        if let Some(knock) = knock {
            self.send(key, ServerMessage::Knock(knock));
        }
    }

    /// Ends a search that can not succeed. The error carries the id of the `find_partner`.
    pub(super) fn fail_search(&mut self, key: ClientKey, fault: Fault) {
        self.stop_searching(key);
        let id = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.search_id.take());
        self.reject(key, fault, id);
        self.send(key, ServerMessage::SearchCancelled);
    }

    /// Rings where someone may ring, and ends the searches whose room no longer exists.
    pub(super) fn settle_rings(&mut self, now: Instant) {
        loop {
            self.settle_freed_rooms();
            let changed = self.listeners.take_changed();
            if changed.is_empty() {
                return;
            }

            let mut waiting: Vec<(u64, ClientKey)> = changed
                .iter()
                .flat_map(|room| self.matchmaker.waiting_in(room))
                .collect();
            // The longest wait first.
            waiting.sort_unstable();

            for &(_, caller) in &waiting {
                self.ring(caller, now);
            }

            for room in &changed {
                self.end_lost_searches(room);
            }

            for &(_, caller) in &waiting {
                let is_ringing = self.listeners.is_ringing(caller);
                self.ringing_changed(caller, is_ringing);
            }
        }
    }

    /// Rings, if the caller waits in a room with a listener who has no knock.
    ///
    /// Neither a caller nor a listener has two knocks within [`KNOCK_INTERVAL`], unless the listener
    /// declined. A caller that registers again, or uses many connections, therefore gains nothing.
    pub(super) fn ring(&mut self, caller: ClientKey, now: Instant) {
        let Some(client) = self
            .clients
            .get(&caller)
            .filter(|_| self.matchmaker.contains(caller) && !self.listeners.is_ringing(caller))
        else {
            return;
        };

        let Some(room) = client.profile.room.clone() else {
            return;
        };

        let may_ring = |listener: &&UserId| {
            self.listeners.caller_of(listener).is_none()
                && self.users.get(*listener).is_some_and(|&listener| {
                    relation(&self.clients, &self.blocks, caller, listener) != Relation::Blocked
                })
        };
        let next_knock = |listener: &UserId| {
            let rung = self
                .users
                .get(listener)
                .and_then(|listener| self.clients.get(listener)?.last_rung);
            client
                .last_knock
                .max(rung)
                .map(|last| last + KNOCK_INTERVAL)
        };

        // The first who may be rung now, else the one who may be soonest.
        let listeners = self.listeners.listening_in(&room).iter().filter(may_ring);
        let soonest = listeners
            .map(|listener| (next_knock(listener).filter(|at| *at > now), listener))
            .min_by_key(|(at, _)| *at);
        let listener = match soonest {
            None => return,
            Some((Some(at), _)) => return self.listeners.delay(caller, at),
            Some((None, listener)) => listener.clone(),
        };

        let mut knock = caller_as_knock(&client.profile, room);
        knock.knock_id = KnockId::from(self.id());
        knock.address = self.address_for_owner(caller);
        if let Some(client) = self.clients.get_mut(&caller) {
            client.last_knock = Some(now);
        }

        self.listeners
            .ring(caller, listener.clone(), knock.knock_id.clone(), now);
        if let Some(&key) = self.users.get(&listener) {
            if let Some(listener) = self.clients.get_mut(&key) {
                listener.last_rung = Some(now);
            }

            self.show_knock(key, knock);
        }
    }

    /// Sends `searching` to a caller if it has not been told so yet.
    pub(super) fn ringing_changed(&mut self, key: ClientKey, ringing: bool) {
        let Some(client) = self
            .clients
            .get_mut(&key)
            .filter(|client| client.ringing != ringing)
        else {
            return;
        };

        client.ringing = ringing;
        let room = client.profile.room.clone();
        self.send(key, ServerMessage::Searching(Searching { room, ringing }));
    }

    /// Ends the searches in this room that were only for a room that exists, if it does no longer.
    fn end_lost_searches(&mut self, room: &str) {
        if room_number(room).is_some_and(|number| self.rooms.is_claimed(number))
            || !self.listeners.listening_in(room).is_empty()
        {
            return;
        }

        // Another client that waits keeps a room, but not a visitor: visitors do not meet each other.
        let waiting = || self.matchmaker.waiting_in(room);
        let are_visitors = waiting().all(|(_, key)| self.is_visitor(key));
        if are_visitors || waiting().count() == 1 {
            for last in self.waiting_for_existing(room) {
                self.fail_search(last, no_such_room());
            }
        }
    }

    /// Who waits in this room only as long as it exists.
    pub(super) fn waiting_for_existing(&self, room: &str) -> Vec<ClientKey> {
        self.matchmaker
            .waiting_in(room)
            .map(|(_, key)| key)
            .filter(|key| {
                self.clients
                    .get(key)
                    .is_some_and(|client| client.profile.must_exist)
            })
            .collect()
    }

    /// Ends the rings that were not answered, and lets callers ring that had to wait.
    pub(super) fn tick_rings(&mut self, now: Instant) {
        while let Some(caller) = self.listeners.unanswered(now) {
            self.hang_up(caller, Some(KnockEnd::Expired));
            self.count_knock(KnockEvent::Expired);
            self.fail_search(caller, no_answer());
        }

        while let Some(caller) = self.listeners.next_delayed(now) {
            if let Some(room) = self.matchmaker.room_of(caller) {
                self.listeners.changed(room);
            }
        }
    }

    /// Two users have been kept apart: one of them may be ringing at the other.
    pub(super) fn end_blocked_ring(&mut self, one: ClientKey, other: ClientKey) {
        for (listener, caller) in [(one, other), (other, one)] {
            if self.caller_of(listener) == Some(caller) {
                self.hang_up(caller, Some(KnockEnd::Cancelled));
            }
        }
    }

    pub(super) fn count_knock(&mut self, event: KnockEvent) {
        self.effects.push_back(Effect::Knock(event));
    }
}

impl Listening {
    /// Whether there is nothing to remember.
    fn is_idle(&self) -> bool {
        self.rooms.is_empty() && self.knock.is_none() && self.shown.is_none()
    }
}

/// What a listener sees of a caller, without the knock's id.
fn caller_as_knock(profile: &FindPartner, room: String) -> Knock {
    Knock {
        knock_id: KnockId::from(""),
        room,
        user_name: profile.user_name.clone().unwrap_or_else(|| NO_NAME.into()),
        user_picture: profile.user_picture.clone(),
        address: None,
    }
}

pub(super) fn no_such_knock() -> Fault {
    fault(
        ErrorCode::NoSuchKnock,
        "This knock does not ring any more: it was cancelled or has ended.",
    )
}

pub(super) fn declined() -> Fault {
    fault(ErrorCode::Declined, "Your call was declined.")
}

pub(super) fn no_answer() -> Fault {
    fault(ErrorCode::NoAnswer, "There was no answer: try again later.")
}
