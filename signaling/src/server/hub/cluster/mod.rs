//! The hub as one node of several: a shared store matches, and partners may be on other nodes.
//!
//! **Who decides what.** A node decides about its own clients: it alone knows their connections,
//! their delivery and their calls. The store decides who is matched: it holds the queue of searches
//! and, for every client that has ever searched, who it is, on which node, and in which call.
//! Everything in the store is a copy that lets it match, and lets another node take over the
//! clients of a node that died.
//!
//! **What is sent.** The hub passes [`StoreCommand`]s to the store and gets [`StoreOutcome`]s
//! back. Nodes send each other [`NodeMessage`]s through the store's channels; so does the store
//! when it has matched two clients. None of this is reliable: a message to a node that is just
//! dying is lost. So every message names the session that it is about, and a node ignores one that
//! does not fit the call its client is in.
//!
//! **When the store was away.** Calls between clients of one node do not notice. New searches are
//! refused. When the store is back, the node sends it the state of every client that it should know
//! ([`StoreCommand::Sync`], or [`StoreCommand::Join`] for a search), and asks which clients the
//! store believes to be here ([`StoreCommand::Census`]), to remove those that have left meanwhile.
//!
//! - `messages`: the types; `search`: searches in the store; `ring`: knocks in the store;
//!   `takeover`: clients that change nodes.

pub(in crate::server) mod messages;
mod ring;
mod search;
mod takeover;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use self::messages::{
    Card, NodeId, NodeMessage, Record, RemoteCall, StoreCommand, StoreOutcome, StoredProfile,
};
use self::ring::listening_record;
use self::takeover::{ARRIVAL_TIMEOUT, Takeover};
use super::calls::partner_gone;
use super::claims::not_owned;
use super::client::{Client, PartnerLocation};
use super::ids::{ClaimHash, PersonId, Ticket};
use super::search::{no_such_room, room_full};
use super::{Effect, Hub, fault, in_call, unavailable};
use crate::message::{ErrorCode, Fault, LeaveReason, ServerMessage, SessionId, UserId};
use crate::server::client_key::ClientKey;
use crate::server::moderation::report::NotRecorded;
use crate::server::shrink::ShrinkIfSparse;

/// Messages of one connection to hold while its takeover is undecided.
pub(super) const MAX_HELD: usize = 64;
/// How often the calls and the listeners of this node are written to the store again. The store
/// forgets a call after an hour and a client after a day (`SESSION_TTL` and `RECORD_TTL` in
/// `cluster.lua`).
const RENEWAL_INTERVAL: Duration = Duration::from_secs(600);

/// Blocks in one command: few enough that Redis and its other clients do not wait for long.
const BLOCKS_AT_ONCE: usize = 100;

/// What a node knows beyond its own clients.
pub(super) struct Cluster {
    node: NodeId,
    /// Whether the store can be reached.
    available: bool,
    /// Clients of this node that search in the store.
    searching: usize,
    /// When to ask the store to try again for a search, because one of its holds has run out.
    retries: BTreeSet<(Instant, ClientKey)>,
    /// When the rings of this node's callers end.
    ring_ends: BTreeSet<(Instant, ClientKey)>,
    /// The takeovers that this node has asked for and that are undecided.
    takeovers: HashMap<Ticket, Takeover>,
    /// Clients that moved from here to another node, and until when to forward what still arrives
    /// for them.
    moved: HashMap<UserId, (NodeId, Instant)>,
    /// Clients that the store believes to be here but that are not, and when to remove them from
    /// the store. They may be on their way: the store learns of a move before the new node does.
    unknown: VecDeque<(Instant, UserId)>,
    next_ticket: u64,
    next_renewal: Option<Instant>,
}

impl Cluster {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            available: false,
            searching: 0,
            retries: BTreeSet::new(),
            ring_ends: BTreeSet::new(),
            takeovers: HashMap::new(),
            moved: HashMap::new(),
            unknown: VecDeque::new(),
            next_ticket: 0,
            next_renewal: None,
        }
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    pub(super) fn searching(&self) -> usize {
        self.searching
    }
}

impl Hub {
    /// The store can be reached from now on, or no longer. When it is back, it gets the state of
    /// every client that it should know.
    pub(in crate::server) fn set_store_available(&mut self, available: bool, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        cluster.available = available;
        if !available {
            return;
        }

        cluster.next_renewal = Some(now + RENEWAL_INTERVAL);
        // Clients that left while the store was away are still in it.
        self.effects.push_back(Effect::Store(StoreCommand::Census));
        // Before the searches.
        self.write_blocks();

        for key in self.keys() {
            match self.clients.get(&key) {
                Some(client) if client.store_search_since.is_some() => {
                    // The store may count the wait from now.
                    self.schedule_retries(key, now);
                    self.join_store(key);
                }
                _ => self.sync_to_store(key, now),
            }
        }
    }

    /// Whether searches can be served. True on a server without a store.
    pub(in crate::server) fn has_store(&self) -> bool {
        self.cluster
            .as_ref()
            .is_none_or(|cluster| cluster.available)
    }

    pub(super) fn must_have_store(&self) -> Result<(), Fault> {
        if self.has_store() {
            Ok(())
        } else {
            Err(unavailable())
        }
    }

    /// This node's id, for a message to another node. An error while the store, which carries the
    /// messages, is away.
    pub(super) fn must_reach_nodes(&self) -> Result<NodeId, Fault> {
        match &self.cluster {
            Some(cluster) if cluster.available => Ok(cluster.node.clone()),
            _ => Err(fault(
                ErrorCode::Unavailable,
                "Your partner cannot be reached right now: send it again in a few seconds.",
            )),
        }
    }

    /// `other` is the person behind the partner, if this node knows it.
    pub(super) fn block_in_store(
        &mut self,
        key: ClientKey,
        partner: &UserId,
        other: Option<PersonId>,
    ) {
        // Whoever has a bearer token is known to the store without a record.
        let client = self
            .clients
            .get(&key)
            .filter(|client| client.is_recorded || client.subject.is_some());
        if let (Some(_), Some(client)) = (&self.cluster, client) {
            self.effects.push_back(Effect::Store(StoreCommand::Block {
                user: client.user.clone(),
                person: client.person.clone(),
                partner: partner.clone(),
                other,
            }));
        }
    }

    /// Writes the blocks by people with a token to the store, which missed them while it was
    /// away, or has lost them.
    fn write_blocks(&mut self) {
        let mut blocks = self.blocks.lasting().cloned().peekable();
        while blocks.peek().is_some() {
            let some = blocks.by_ref().take(BLOCKS_AT_ONCE).collect();
            self.effects
                .push_back(Effect::Store(StoreCommand::BlockAgain(some)));
        }
    }

    /// Writes the current state of a client to the store, if the store has a record of it.
    pub(super) fn sync_to_store(&mut self, key: ClientKey, now: Instant) {
        if self
            .clients
            .get(&key)
            .is_some_and(|client| client.is_recorded)
            && let Some(mut record) = self.record(key)
        {
            if let Some(client) = self.clients.get(&key) {
                record.listening = listening_record(client);
                record.claims = client.claims_at(now);
            }

            self.effects
                .push_back(Effect::Store(StoreCommand::Sync(Box::new(record))));
        }
    }

    fn record(&self, key: ClientKey) -> Option<Record> {
        let (cluster, client) = (self.cluster.as_ref()?, self.clients.get(&key)?);
        Some(record(client, &cluster.node))
    }

    pub(super) fn send_to_node(&mut self, node: NodeId, message: NodeMessage) {
        self.effects
            .push_back(Effect::Store(StoreCommand::Send(node, Box::new(message))));
    }

    /// Handles a message of another node or of the store.
    pub(in crate::server) fn receive_from_node(&mut self, message: NodeMessage, now: Instant) {
        let Some(local) = self.cluster.as_ref().map(|cluster| cluster.node.clone()) else {
            return;
        };

        // Messages that are not about one client of this node.
        let user = match &message {
            NodeMessage::Takeover {
                token,
                subject,
                by,
                ticket,
            } => {
                let state = self
                    .hand_over(token, subject.as_deref(), by, now)
                    .map(Box::new);
                let answer = NodeMessage::Handover {
                    ticket: *ticket,
                    state,
                };
                return self.send_to_node(by.clone(), answer);
            }
            NodeMessage::Handover { .. } => return self.receive_handover(message, now),
            NodeMessage::LookAgain if self.has_store() => {
                return self.set_store_available(true, now);
            }
            NodeMessage::LookAgain => return,
            NodeMessage::TurnEnded { by, end } => return self.receive_turn_end(by, end),
            NodeMessage::Matched { user, .. }
            | NodeMessage::Relay { user, .. }
            | NodeMessage::Refused { user, .. }
            | NodeMessage::Left { user, .. }
            | NodeMessage::Away { user, .. }
            | NodeMessage::Back { user, .. }
            | NodeMessage::Knock { user, .. }
            | NodeMessage::KnockEnded { user, .. }
            | NodeMessage::Ringing { user, .. }
            | NodeMessage::KnockLater { user, .. }
            | NodeMessage::SearchEnded { user, .. } => user,
        };

        if let NodeMessage::Left {
            session, reason, ..
        } = &message
        {
            // Also for a client that has moved to another node and left its media here.
            self.revoke_call_here(session, *reason, now);
        }

        let Some(&key) = self.users.get(user) else {
            return self.forward_or_refuse(message);
        };

        match message {
            NodeMessage::Matched {
                session,
                initiator,
                interests,
                partner,
                profile,
                ..
            } => {
                let StoredProfile { profile, peer } = profile;
                let partner = Card { peer, ..partner };
                self.matched(key, session, partner, &profile, initiator, interests, now);
            }
            NodeMessage::Relay {
                session,
                from,
                sender,
                node,
                payload,
                ..
            } => {
                let is_current = self.call(key).is_some_and(|call| call.session == session);
                if !is_current || !self.deliver(key, from, session.clone(), payload) {
                    let refused = NodeMessage::Refused {
                        user: sender,
                        session,
                    };
                    self.send_to_node(node, refused);
                }
            }
            NodeMessage::Refused { session, .. } => {
                if self.call(key).is_some_and(|call| call.session == session) {
                    self.reject(key, partner_gone(), None);
                }
            }
            NodeMessage::Left {
                session, reason, ..
            } => self.partner_left(key, &session, reason, now),
            NodeMessage::Away { session, .. } => {
                self.partner_connection_changed(key, &session, true);
            }
            NodeMessage::Back {
                session,
                node,
                peer,
                ..
            } => {
                let call = self
                    .clients
                    .get_mut(&key)
                    .and_then(|client| client.call.as_mut());
                let Some(call) = call.filter(|call| call.session == session) else {
                    return;
                };

                if node != local {
                    call.partner.location = PartnerLocation::Node(node);
                }
                call.partner.peer = peer.or(call.partner.peer);

                self.partner_connection_changed(key, &session, false);
            }
            NodeMessage::Knock { .. }
            | NodeMessage::KnockEnded { .. }
            | NodeMessage::Ringing { .. }
            | NodeMessage::KnockLater { .. }
            | NodeMessage::SearchEnded { .. } => self.receive_about_ring(key, message, now),
            NodeMessage::Takeover { .. }
            | NodeMessage::Handover { .. }
            | NodeMessage::TurnEnded { .. }
            | NodeMessage::LookAgain => {}
        }
    }

    /// A message for a client that is not here: forward it if the client has moved to another node,
    /// otherwise let the sender know.
    fn forward_or_refuse(&mut self, message: NodeMessage) {
        let Some(cluster) = &self.cluster else { return };
        let user = match &message {
            NodeMessage::Relay { user, .. }
            | NodeMessage::Left { user, .. }
            | NodeMessage::Away { user, .. }
            | NodeMessage::Back { user, .. }
            | NodeMessage::Knock { user, .. }
            | NodeMessage::KnockEnded { user, .. } => user,
            // The client left between its match and this message.
            NodeMessage::Matched { user, session, .. } => {
                let end = StoreCommand::End {
                    user: user.clone(),
                    session: session.clone(),
                    reason: LeaveReason::Disconnected,
                };
                return self.effects.push_back(Effect::Store(end));
            }
            _ => return,
        };

        if let Some((node, _)) = cluster.moved.get(user) {
            return self.send_to_node(node.clone(), message);
        }

        if let NodeMessage::Relay {
            sender,
            session,
            node,
            ..
        } = message
        {
            let refused = NodeMessage::Refused {
                user: sender,
                session,
            };
            self.send_to_node(node, refused);
        }
    }

    /// Handles what the store answered to a command.
    pub(in crate::server) fn receive_outcome(&mut self, outcome: StoreOutcome, now: Instant) {
        match outcome {
            StoreOutcome::NotJoined(user) => {
                self.give_back_guess(&user);
                if let Some(&key) = self.users.get(&user)
                    && self.forget_store_search(key)
                {
                    self.fail_search(key, unavailable());
                }
            }
            StoreOutcome::Joined(user) => {
                self.give_back_guess(&user);
                if let Some(&key) = self.users.get(&user) {
                    self.stop_listening(key);
                }
            }
            StoreOutcome::Listening { user, rooms, id } => {
                self.listening_in_store(&user, rooms, id);
            }
            StoreOutcome::KnockAnswered {
                user,
                knock,
                event,
                existed,
                id,
            } => self.knock_answered(&user, &knock, event, existed, id),
            StoreOutcome::NoSuchRoom(user) => {
                if let Some(&key) = self.users.get(&user)
                    && let Some(client) = self.clients.get_mut(&key)
                {
                    client.guess_charged = false;
                    // If it was the client's own, the claim has ended: it must not be written again.
                    let room = client.profile.room.as_deref();
                    client.claims.retain(|claim| Some(&*claim.room) != room);
                }

                self.not_admitted(&user, no_such_room(), now);
            }
            StoreOutcome::RoomFull(user) => {
                self.give_back_guess(&user);
                self.not_admitted(&user, room_full(), now);
            }
            StoreOutcome::Claimed { key, claimed, id } => match claimed {
                Some((number, token)) => {
                    if let Some(client) = self.clients.get_mut(&key) {
                        client.remember_claim(number, ClaimHash::of(&token));
                    }

                    self.room_claimed(key, number, token, id);
                }
                None => self.reject(key, unavailable(), id),
            },
            StoreOutcome::Released {
                key,
                number,
                existed,
                id,
            } => {
                if let Some(client) = self.clients.get_mut(&key).filter(|_| existed.is_some()) {
                    let room = number.to_string();
                    client.claims.retain(|claim| claim.room != room);
                }

                match existed {
                    Some(true) => self.room_released(key, number, id),
                    Some(false) => self.reject(key, not_owned(), id),
                    None => self.reject(key, unavailable(), id),
                }
            }
            StoreOutcome::Cancelled {
                key,
                is_matched,
                id,
            } => {
                if is_matched || self.call(key).is_some() {
                    self.reject(key, in_call(), id);
                } else {
                    self.forget_store_search(key);
                    self.reply(key, ServerMessage::SearchCancelled, id);
                }
            }
            StoreOutcome::Undelivered(message) => match *message {
                NodeMessage::Relay {
                    sender, session, ..
                } => {
                    if let Some(&key) = self.users.get(&sender)
                        && self.call(key).is_some_and(|call| call.session == session)
                    {
                        self.reject(key, partner_gone(), None);
                    }
                }
                NodeMessage::Takeover { ticket, .. } => self.request_adoption(ticket),
                _ => {}
            },
            StoreOutcome::Adopted { ticket, record } => match record {
                None => self.give_up_takeover(ticket, now),
                Some(record) => self.adopt(ticket, *record, now),
            },
            StoreOutcome::Census(users) => self.receive_census(users, now),
            StoreOutcome::Ended { user, session } => {
                // Who has ended it, or why, the store does not say.
                self.revoke_call_here(&session, LeaveReason::Disconnected, now);
                if let Some(&key) = self.users.get(&user) {
                    self.partner_left(key, &session, LeaveReason::Disconnected, now);
                }
            }
            StoreOutcome::Reported {
                key,
                report,
                recorded,
                id,
            } => {
                let answer = recorded.map(|_| ()).ok_or(NotRecorded::Failed);
                self.report_recorded(key, report.report_id.clone(), answer, id);
                if let Some(written) = recorded {
                    self.effects.push_back(Effect::Recorded(report, written));
                }
            }
        }
    }

    /// The store did not let a search into its room.
    fn not_admitted(&mut self, user: &UserId, fault: Fault, now: Instant) {
        if let Some(&key) = self.users.get(user)
            && self.forget_store_search(key)
        {
            self.fail_search(key, fault);
            // It still listens, and may have been rung meanwhile.
            self.sync_to_store(key, now);
        }
    }

    /// A search was no failed guess at a room: gives back what its address was charged for it. A
    /// `next` was not charged.
    fn give_back_guess(&mut self, user: &UserId) {
        if let Some(&key) = self.users.get(user)
            && let Some(client) = self.clients.get_mut(&key)
            && std::mem::take(&mut client.guess_charged)
        {
            self.effects.push_back(Effect::RoomFound(key));
        }
    }

    /// Compares the clients that the store believes to be here with those that are. The rest have
    /// left while the store was away, or are on their way here: they get [`ARRIVAL_TIMEOUT`].
    fn receive_census(&mut self, users: Vec<UserId>, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        let listed: HashSet<UserId> = cluster
            .unknown
            .iter()
            .map(|(_, user)| user.clone())
            .collect();
        let is_new = |user: &UserId| !self.users.contains_key(user) && !listed.contains(user);

        cluster.unknown.extend(
            users
                .into_iter()
                .filter(is_new)
                .map(|user| (now + ARRIVAL_TIMEOUT, user)),
        );
    }

    pub(super) fn cluster_deadline(&self) -> Option<Instant> {
        let cluster = self.cluster.as_ref()?;
        let retry = cluster.retries.first().map(|&(at, _)| at);
        let takeover = cluster
            .takeovers
            .values()
            .filter_map(|takeover| takeover.deadline)
            .min();
        let removal = cluster.unknown.front().map(|&(at, _)| at);

        let ring = cluster.ring_ends.first().map(|&(at, _)| at);

        [retry, takeover, removal, ring, cluster.next_renewal]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn tick_cluster(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        cluster.moved.retain(|_, (_, until)| *until > now);
        cluster.moved.shrink_if_sparse();

        self.remove_unknown(now);
        self.retry_searches(now);
        self.end_unanswered_rings(now);
        self.give_up_on_nodes(now);
        self.renew_calls(now);
    }

    /// Removes from the store the clients that it believes to be here and that have not arrived.
    fn remove_unknown(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        while let Some((_, user)) = cluster.unknown.pop_front_if(|(due, _)| *due <= now) {
            if self.users.contains_key(&user) {
                continue;
            }

            if cluster.takeovers.is_empty() {
                self.effects.push_back(Effect::Store(StoreCommand::Remove {
                    user,
                    reason: LeaveReason::Disconnected,
                }));
            } else {
                // It may be the client of one of these takeovers.
                cluster.unknown.push_back((now + ARRIVAL_TIMEOUT, user));
            }
        }

        cluster.unknown.shrink_if_sparse();
    }

    fn retry_searches(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        let mut due = Vec::new();
        while let Some(&(at, key)) = cluster.retries.first().filter(|(at, _)| *at <= now) {
            cluster.retries.remove(&(at, key));
            due.push(key);
        }

        for key in due {
            let session = SessionId::from(self.id());
            if let Some(client) = self
                .clients
                .get(&key)
                .filter(|client| client.store_search_since.is_some())
            {
                let retry = StoreCommand::Retry(client.user.clone(), session);
                self.effects.push_back(Effect::Store(retry));
            }
        }
    }

    /// Asks the store about the nodes that have not answered a takeover in time.
    fn give_up_on_nodes(&mut self, now: Instant) {
        let Some(cluster) = &self.cluster else {
            return;
        };

        let late: Vec<Ticket> = cluster
            .takeovers
            .iter()
            .filter(|(_, takeover)| takeover.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(&ticket, _)| ticket)
            .collect();

        for ticket in late {
            self.request_adoption(ticket);
        }
    }

    /// Keeps the store from forgetting the calls and the listeners of this node.
    fn renew_calls(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        if cluster.next_renewal.is_none_or(|at| at > now) {
            return;
        }

        cluster.next_renewal = Some(now + RENEWAL_INTERVAL);
        for key in self.keys() {
            let listens = self
                .clients
                .get(&key)
                .is_some_and(|client| client.listening.is_some());
            if self.call(key).is_some() || listens {
                self.sync_to_store(key, now);
            }
        }
    }
}

/// What the store keeps of a client.
fn record(client: &Client, node: &NodeId) -> Record {
    let call = client.call.as_ref().map(|call| RemoteCall {
        session: call.session.clone(),
        partner: Card {
            user: call.partner.user.clone(),
            socket: call.partner.socket.clone(),
            person: call.partner.person.clone(),
            peer: call.partner.peer,
            node: match &call.partner.location {
                PartnerLocation::Local(_) => node.clone(),
                PartnerLocation::Node(node) => node.clone(),
            },
        },
    });

    Record {
        card: Card {
            user: client.user.clone(),
            socket: client.socket.clone(),
            person: client.person.clone(),
            peer: client.peer,
            node: node.clone(),
        },
        token: client.token.clone(),
        profile: client.profile.clone(),
        last_partner: client.last_partner.clone(),
        call,
        ended: Vec::new(),
        listening: None,
        claims: Vec::new(),
    }
}
