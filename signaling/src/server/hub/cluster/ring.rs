//! Ringing across nodes: the store knows who listens and who rings, with the rules of `hub::ring`.
//!
//! This node remembers what its listeners have asked for and what they were shown, and keeps time
//! for its callers. What happens in the store arrives as [`NodeMessage`]s, which may be lost, late,
//! or come before the outcome of the command that caused them. So each names its knock or its
//! search, and one that does not fit the present state is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::messages::{ListeningRecord, NodeMessage, StoreCommand};
use super::search::CLOCK_MARGIN;
use crate::message::{
    ErrorCode, Fault, FindPartner, Knock, KnockEnd, KnockId, RequestId, SessionId, UserId,
};
use crate::server::client_key::ClientKey;
use crate::server::edge::KnockEvent;
use crate::server::hub::client::{Client, Listening};
use crate::server::hub::listeners::RING_TIMEOUT;
use crate::server::hub::ring::{declined, no_answer, no_such_knock};
use crate::server::hub::search::no_such_room;
use crate::server::hub::{Effect, Hub, fault, unavailable};

/// How long the store may take to end a ring without an answer, before it is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

impl Hub {
    /// Asks the store to replace the rooms in which a client listens.
    pub(in crate::server::hub) fn listen_in_store(
        &mut self,
        key: ClientKey,
        rooms: Vec<String>,
        id: Option<RequestId>,
    ) {
        let listens = self
            .clients
            .get(&key)
            .is_some_and(|client| client.listening.is_some());

        if rooms.is_empty() && (!listens || !self.has_store()) {
            // A store that is away learns of it with the state of the client.
            self.stop_listening(key);
            return self.listening(key, 0, id);
        }

        let Some(record) = self.record(key) else {
            return;
        };

        if let Some(client) = self.clients.get_mut(&key) {
            client.is_recorded = true;
        }

        // At once, so that what the store is told of the client in the meantime is right. The answer
        // leaves out the rooms in which it may not listen.
        let wanted: Vec<Arc<str>> = rooms.iter().map(|room| Arc::from(&**room)).collect();
        self.set_rooms(key, &wanted);
        self.hold_rooms(key, rooms.iter().map(String::as_str));
        self.effects.push_back(Effect::Store(StoreCommand::Listen {
            record: Box::new(record),
            rooms,
            id,
        }));
    }

    /// Asks the store to begin the call with the caller of this client. The match comes as
    /// [`NodeMessage::Matched`].
    pub(in crate::server::hub) fn accept_in_store(
        &mut self,
        key: ClientKey,
        knock: KnockId,
        profile: FindPartner,
        id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_have_store()?;
        let session = SessionId::from(self.id());
        let Some(mut record) = self.record(key) else {
            return Err(no_such_knock());
        };

        let Some(client) = self
            .clients
            .get_mut(&key)
            .filter(|client| client.accepting.is_none())
        else {
            return Err(no_such_knock());
        };

        record.profile = profile.clone();
        client.accepting = Some(Box::new(profile));
        self.effects.push_back(Effect::Store(StoreCommand::Accept {
            record: Box::new(record),
            knock,
            session,
            id: id.clone(),
        }));

        Ok(())
    }

    /// The call of an accepted knock begins.
    pub(super) fn accepted_in_store(&mut self, key: ClientKey, profile: FindPartner) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        client.profile = profile;
        let knock = client
            .listening
            .as_ref()
            .and_then(|listening| listening.knock.as_ref())
            .map(|knock| knock.knock_id.clone());
        if let Some(knock) = knock {
            self.end_knock(key, &knock, None);
        }
    }

    /// Asks the store to end the search of the caller of this client.
    pub(in crate::server::hub) fn decline_in_store(
        &mut self,
        key: ClientKey,
        knock: &KnockId,
        id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_have_store()?;
        if let Some(client) = self.clients.get(&key) {
            self.effects.push_back(Effect::Store(StoreCommand::Decline {
                user: client.user.clone(),
                knock: knock.clone(),
                id: id.clone(),
            }));
        }

        // At once: the next knock may come before the answer. If the store fails, it brings this
        // one again when it is back.
        self.end_knock(key, knock, None);
        Ok(())
    }

    /// The store has replaced the rooms in which a client listens. `None`: it was away.
    pub(super) fn listening_in_store(
        &mut self,
        user: &UserId,
        rooms: Option<Vec<String>>,
        id: Option<RequestId>,
    ) {
        let Some(&key) = self.users.get(user) else {
            return;
        };

        let Some(rooms) = rooms else {
            return self.reject(key, unavailable(), id);
        };

        let rooms: Vec<Arc<str>> = rooms.into_iter().map(Arc::from).collect();
        self.set_rooms(key, &rooms);
        self.listening(key, rooms.len(), id);
    }

    /// The store has carried out an `accept` or a `decline`, or there was no such knock. `None`: it
    /// was away.
    pub(super) fn knock_answered(
        &mut self,
        user: &UserId,
        knock: &KnockId,
        event: KnockEvent,
        existed: Option<bool>,
        id: Option<RequestId>,
    ) {
        let Some(&key) = self.users.get(user) else {
            return;
        };

        match existed {
            Some(true) => {
                self.count_knock(event);
                self.end_knock(key, knock, None);
            }
            Some(false) => self.reject(key, no_such_knock(), id),
            None => {
                let text = "The server cannot answer this knock right now: try again in a moment.";
                self.reject(key, fault(ErrorCode::Unavailable, text), id);
            }
        }

        if existed != Some(true)
            && event == KnockEvent::Accepted
            && let Some(client) = self.clients.get_mut(&key)
        {
            client.accepting = None;
        }
    }

    /// Handles a message about a knock or a caller of this node.
    pub(super) fn receive_about_ring(
        &mut self,
        key: ClientKey,
        message: NodeMessage,
        now: Instant,
    ) {
        match message {
            NodeMessage::Knock { knock, .. } => self.rung_by_store(key, *knock),
            NodeMessage::KnockEnded { knock, reason, .. } => {
                self.end_knock(key, &knock, Some(reason));
            }
            NodeMessage::Ringing { search, knock, .. } if self.is_current(key, search) => {
                self.ring_in_store(key, knock, now);
            }
            NodeMessage::KnockLater { search, ms, .. } if self.is_current(key, search) => {
                if let Some(cluster) = &mut self.cluster {
                    let at = now + Duration::from_millis(ms) + CLOCK_MARGIN;
                    cluster.retries.insert((at, key));
                }
            }
            NodeMessage::SearchEnded { search, code, .. } if self.is_current(key, search) => {
                let fault = match code {
                    ErrorCode::Declined => declined(),
                    ErrorCode::NoAnswer => {
                        self.count_knock(KnockEvent::Expired);
                        no_answer()
                    }
                    _ => no_such_room(),
                };
                self.forget_store_search(key);
                self.fail_search(key, fault);
            }
            // About a search that is over.
            _ => {}
        }
    }

    /// A caller rings at a client of this node.
    fn rung_by_store(&mut self, key: ClientKey, knock: Knock) {
        let Some(client) = self.clients.get(&key) else {
            return;
        };

        // It has just begun a search, which ends listening. If the search fails, the state that
        // goes to the store then brings the knock again.
        if client.store_search_since.is_some() || client.call.is_some() {
            return;
        }

        let current = client
            .listening
            .as_ref()
            .and_then(|listening| listening.knock.as_ref())
            .map(|knock| knock.knock_id.clone());
        if current.as_ref() == Some(&knock.knock_id) {
            return;
        }

        if let Some(former) = current {
            self.end_knock(key, &former, Some(KnockEnd::Cancelled));
        }

        self.show_knock(key, knock);
    }

    /// A caller of this node has begun (`Some`) or ceased to ring.
    fn ring_in_store(&mut self, key: ClientKey, knock: Option<KnockId>, now: Instant) {
        let current = self
            .clients
            .get(&key)
            .and_then(|client| client.ring.as_ref());
        if current.map(|(knock, _)| knock) == knock.as_ref() {
            // The store says so again after it was away. The ring ends when it would have.
            return;
        }

        let is_ringing = knock.is_some();
        self.forget_ring(key);

        if let (Some(cluster), Some(client), Some(knock)) =
            (&mut self.cluster, self.clients.get_mut(&key), knock)
        {
            let until = now + RING_TIMEOUT;
            cluster.ring_ends.insert((until, key));
            client.ring = Some((knock, until));
        }

        self.ringing_changed(key, is_ringing);
    }

    /// Forgets here that a caller rings.
    pub(super) fn forget_ring(&mut self, key: ClientKey) {
        if let (Some(cluster), Some(client)) = (&mut self.cluster, self.clients.get_mut(&key))
            && let Some((_, until)) = client.ring.take()
        {
            cluster.ring_ends.remove(&(until, key));
        }
    }

    /// Asks the store to end the rings that were not answered. Until it has, it is asked again.
    pub(super) fn end_unanswered_rings(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        while let Some(&(until, key)) = cluster.ring_ends.first().filter(|(at, _)| *at <= now) {
            cluster.ring_ends.remove(&(until, key));
            let Some(client) = self.clients.get_mut(&key) else {
                continue;
            };

            if let Some((knock, until)) = &mut client.ring {
                *until = now + RETRY_INTERVAL;
                cluster.ring_ends.insert((*until, key));
                self.effects
                    .push_back(Effect::Store(StoreCommand::Unanswered {
                        user: client.user.clone(),
                        knock: knock.clone(),
                    }));
            }
        }
    }

    /// Whether this is the number of the client's present search.
    fn is_current(&self, key: ClientKey, search: u64) -> bool {
        self.clients.get(&key).is_some_and(|client| {
            client.store_search_since.is_some() && client.search_number == search
        })
    }
}

/// What another node or the store must know of what a client listens in.
pub(super) fn listening_record(client: &Client) -> Option<ListeningRecord> {
    let listening = client.listening.as_ref()?;
    Some(ListeningRecord {
        rooms: listening.rooms.iter().map(ToString::to_string).collect(),
        knock: listening.knock.clone(),
        shown: listening.shown.clone(),
    })
}

impl From<ListeningRecord> for Listening {
    fn from(record: ListeningRecord) -> Self {
        Self {
            rooms: record.rooms.into_iter().map(Arc::from).collect(),
            knock: record.knock,
            shown: record.shown,
        }
    }
}
