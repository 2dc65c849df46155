//! The signaling server without sockets: which clients are connected, which of them search, which
//! are in a call together, and what each may send.
//!
//! Sans-IO: messages, the time and the source of ids are arguments; what the shell has to do comes
//! out of [`Hub::poll_effect`], in order. A node has one [`Hub`], behind one lock.
//!
//! **Who owns a client.** Exactly one node, in whose `clients` it is. A client is more than its
//! connection: when the connection breaks without `bye`, the client stays for the resume window as
//! *away*, in its call, and another connection can take it over with the resume token. Then the
//! client moves to that connection's key, or, in a cluster, to that connection's node.
//!
//! - `client`: one client and its call; `delivery`: the messages relayed to it, kept for a resume.
//! - `search`: searches; `calls`: relaying and every way a call ends; `resume`: clients that are
//!   away.
//! - `moderation`: reports; `blocks`: who has blocked whom.
//! - `claims`: claiming rooms and giving them up; `rooms`: the table of them.
//! - `ring`: clients that listen in rooms, and callers that ring at them; `listeners`: its tables.
//! - `guests`: who may come in with the link to an invite where others need a token.
//! - `ring_only`: a server on which its owner alone can be called.
//! - `turn_access`: whose media the TURN server in this program no longer forwards.
//! - `cluster`: a store that several nodes share, and partners on other nodes.
//! - `ids`: names that must not be mixed up.

mod blocks;
mod calls;
mod claims;
mod client;
pub(super) mod cluster;
mod delivery;
pub(in crate::server) mod guests;
pub(in crate::server) mod ids;
mod listeners;
mod moderation;
mod resume;
mod ring;
mod ring_only;
mod rooms;
mod search;
mod turn_access;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tandem_turn::Revocation;
use uuid::Uuid;

use self::blocks::Blocks;
use self::client::{Call, Client};
use self::cluster::Cluster;
use self::cluster::messages::{NodeId, Payload, StoreCommand};
use self::guests::{Guests, link_ended};
use self::ids::ResumeToken;
use self::listeners::Listeners;
pub(super) use self::ring_only::ClientRole;
use self::rooms::Rooms;
use self::turn_access::LostCalls;
use super::client_key::ClientKey;
use super::edge::KnockEvent;
use super::ice::IceSource;
use super::matchmaker::{Holds, Matchmaker, Relation};
use super::moderation::key::PeerHash;
use super::moderation::report::{Report, Said};
use super::moderation::report_file::Written;
use super::outbound::CloseReason;
use super::shrink::ShrinkIfSparse;
use crate::message::{
    Capability, ClientEnvelope, ClientMessage, ErrorCode, Fault, LeaveReason, MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION, Pong, RequestId, ServerDraining, ServerEnvelope, ServerMessage, SocketId,
    UserId, UserRegistered, room_number,
};

/// Clients that may be away at the same time. Beyond that, the one that has been away longest is
/// removed.
const MAX_AWAY: usize = 65_536;

/// The hub's limits and intervals, most of which it announces to clients.
#[derive(Debug, Clone)]
pub(super) struct HubConfig {
    pub(super) heartbeat: Duration,
    pub(super) silent: Duration,
    /// How long a client whose connection broke can resume; zero: not at all.
    pub(super) resume_window: Duration,
    pub(super) ice: IceSource,
    pub(super) holds: Holds,
    /// Whether reports are recorded.
    pub(super) takes_reports: bool,
    /// Whether `room_claimed` carries a token for a guest: where others need a bearer token.
    pub(super) admits_guests: bool,
    /// The wall clock, for the time of a report and the expiry of TURN credentials.
    pub(super) clock: fn() -> SystemTime,
    /// This node's name in the cluster. Without one, the hub matches its clients itself.
    pub(super) node: Option<NodeId>,
}

/// What the shell has to do, in order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Queue a message for a client.
    Send(ClientKey, Arc<ServerEnvelope>),
    /// Close a client's connection once its queued messages are written. The hub has forgotten the
    /// key already.
    Close(ClientKey, CloseReason),
    /// Record a report, then call [`Hub::report_recorded`].
    Report(ClientKey, Box<Report>, Option<RequestId>),
    /// The shared store has recorded this report.
    Recorded(Box<Report>, Written),
    /// Hand this command to the shared store.
    Store(StoreCommand),
    /// The client's search is no failed guess at a room: give back what it was charged for one.
    RoomFound(ClientKey),
    /// Count this in the metrics.
    Knock(KnockEvent),
    /// The TURN server in this program ends what it gave to this call or user.
    Revoke(Revocation),
}

/// All clients of one node.
pub(super) struct Hub {
    config: HubConfig,
    ids: Box<dyn FnMut() -> Uuid + Send>,
    clients: HashMap<ClientKey, Client>,
    /// Every client, by its user id.
    users: HashMap<UserId, ClientKey>,
    /// Every client, by the token that resumes it.
    tokens: HashMap<ResumeToken, ClientKey>,
    /// Pairs that must never be matched.
    blocks: Blocks,
    /// The clients that are away, ordered by when their resume window ends.
    away: BTreeSet<(Instant, ClientKey)>,
    /// The searches of this node. Empty in a cluster, where the store matches.
    matchmaker: Matchmaker,
    /// The rooms that clients have claimed. Empty in a cluster, too.
    rooms: Rooms,
    /// The tokens in the links to invites.
    guests: Guests,
    /// Who listens where, and who rings. Empty in a cluster, too.
    listeners: Listeners,
    cluster: Option<Cluster>,
    /// The calls whose media outlives them.
    lost_calls: LostCalls,
    /// Clients that are in a call. A call between two of them counts twice.
    in_call: usize,
    effects: VecDeque<Effect>,
    next_key: u64,
    draining: bool,
}

impl Hub {
    /// An empty hub. `ids` must return random UUIDs (v4): resume tokens are made of them.
    pub(super) fn new(config: HubConfig, ids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            matchmaker: Matchmaker::new(config.holds),
            cluster: config.node.clone().map(Cluster::new),
            config,
            ids,
            clients: HashMap::new(),
            users: HashMap::new(),
            tokens: HashMap::new(),
            blocks: Blocks::default(),
            away: BTreeSet::new(),
            rooms: Rooms::default(),
            guests: Guests::default(),
            listeners: Listeners::default(),
            lost_calls: LostCalls::default(),
            in_call: 0,
            effects: VecDeque::new(),
            next_key: 0,
            draining: false,
        }
    }

    /// Adds a client for a new connection and sends it `user_registered`. `subject` is the `sub` of
    /// its bearer token, `peer` who it is to the operator. A connection whose guest token is not
    /// valid is closed instead.
    pub(super) fn connect(
        &mut self,
        subject: Option<String>,
        role: ClientRole,
        peer: Option<PeerHash>,
    ) -> ClientKey {
        let key = ClientKey::new(self.next_key);
        self.next_key += 1;

        let (socket, user) = (SocketId::from(self.id()), UserId::from(self.id()));
        let Some(role) = self.admitted(role, &user) else {
            let fault = Arc::new(link_ended().into());
            self.effects.push_back(Effect::Send(key, fault));
            self.effects
                .push_back(Effect::Close(key, CloseReason::Unauthorized));
            return key;
        };

        let token = self.resume_token();
        let ice = self.config.ice.for_user(&user, None, (self.config.clock)());
        let registered = UserRegistered {
            user_id: user.clone(),
            socket_id: socket.clone(),
            resume_token: token.as_str().to_owned(),
            protocol: PROTOCOL_VERSION,
            heartbeat_ms: millis(self.config.heartbeat),
            silent_ms: millis(self.config.silent),
            resume_ms: millis(self.config.resume_window),
            max_message_bytes: MAX_MESSAGE_BYTES as u64,
            ice_servers: ice.ice_servers,
            capabilities: vec![Capability::ClaimRoom, Capability::Ring],
        };

        self.users.insert(user.clone(), key);
        self.tokens.insert(token.clone(), key);
        self.clients
            .insert(key, Client::new(user, socket, token, subject, role, peer));
        self.send(key, ServerMessage::UserRegistered(Box::new(registered)));

        key
    }

    /// Handles one message of a client, which has been parsed and is within its limits. A message
    /// for a key that is gone or away is dropped.
    pub(super) fn receive(&mut self, key: ClientKey, envelope: ClientEnvelope, now: Instant) {
        self.handle(key, envelope, now);
        self.settle_rings(now);
    }

    fn handle(&mut self, key: ClientKey, envelope: ClientEnvelope, now: Instant) {
        let Some(client) = self
            .clients
            .get_mut(&key)
            .filter(|client| !client.is_away())
        else {
            return;
        };

        if let Some(held) = &mut client.held {
            // Held until the resume is decided, then replayed as whichever client this is.
            if held.len() < cluster::MAX_HELD {
                held.push(envelope);
                return;
            }

            let text =
                "Your `resume` is still being decided: wait for its answer before sending more.";
            return self.reject(key, fault(ErrorCode::RateLimited, text), envelope.id);
        }

        let is_first = std::mem::replace(&mut client.is_new, false);
        let ClientEnvelope { message, id } = envelope;
        let result = match message {
            ClientMessage::FindPartner(profile) => self.find_partner(key, profile, id.clone(), now),
            ClientMessage::ClaimRoom(claim) => self.claim_room(key, claim.former, id.clone()),
            ClientMessage::ReleaseRoom { room } => self.release_room(key, &room, id.clone()),
            ClientMessage::Listen { rooms } => self.listen(key, rooms, id.clone()),
            ClientMessage::Accept(accept) => self.accept(key, accept, &id),
            ClientMessage::Decline { knock_id } => self.decline(key, &knock_id, &id),
            ClientMessage::CancelSearch => self.cancel_search(key, id.clone()),
            ClientMessage::WebrtcOffer { to, offer } => self.relay(key, &to, Payload::Offer(offer)),
            ClientMessage::WebrtcAnswer { to, answer } => {
                self.relay(key, &to, Payload::Answer(answer))
            }
            ClientMessage::IceCandidate { to, candidate } => {
                self.relay(key, &to, Payload::Candidate(candidate))
            }
            ClientMessage::EndSession { session_id, .. } => {
                self.end_session(key, &session_id, id.clone(), now)
            }
            ClientMessage::Next { session_id } => {
                self.next(key, session_id.as_ref(), id.clone(), now)
            }
            ClientMessage::Block { partner_id } => self.block(key, partner_id, id.clone(), now),
            ClientMessage::GetIceServers => {
                let session = client.call.as_ref().map(|call| &call.session);
                let now = (self.config.clock)();
                let servers = self.config.ice.for_user(&client.user, session, now);
                self.reply(key, ServerMessage::IceServers(servers), id.clone());
                Ok(())
            }
            ClientMessage::Ping { t } => {
                self.reply(key, ServerMessage::Pong(Pong { t }), id.clone());
                Ok(())
            }
            ClientMessage::Report {
                session_id,
                category,
                text,
                snapshot,
            } => {
                let said = Said {
                    category,
                    text,
                    snapshot,
                };
                self.report(key, session_id, said, id.clone(), now)
            }
            ClientMessage::Resume {
                resume_token,
                last_seq,
            } => self.resume(key, &resume_token, last_seq, is_first, id.clone(), now),
            ClientMessage::Bye => {
                self.remove(key, LeaveReason::Left, now);
                self.effects.push_back(Effect::Close(key, CloseReason::Bye));
                return;
            }
        };

        if let Err(fault) = result {
            self.reject(key, fault, id);
        }
    }

    /// Does everything that is due by `now`. Call it at [`next_deadline`](Self::next_deadline).
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.away.first().filter(|(until, _)| *until <= now) {
            self.away.remove(&(until, key));
            self.remove(key, LeaveReason::Disconnected, now);
        }

        self.rooms.expire(now);
        self.tick_rings(now);

        while let Some(found) = self.matchmaker.poll(now, &|a, b| {
            search_relation(&self.clients, &self.blocks, &self.rooms, a, b)
        }) {
            self.start_call(&found);
        }

        self.tick_cluster(now);
        self.tick_turn(now);
        self.settle_rings(now);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let away = self.away.first().map(|&(until, _)| until);

        [
            self.matchmaker.next_deadline(),
            self.rooms.next_deadline(),
            self.listeners.next_deadline(),
            self.lost_calls.next_deadline(),
            away,
            self.cluster_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many clients of this node search.
    pub(super) fn searching(&self) -> usize {
        self.matchmaker.len() + self.cluster.as_ref().map_or(0, Cluster::searching)
    }

    /// How many calls have a side here. The two sides of a call between nodes are half a call each,
    /// so the sum over all nodes is right to within one call per node.
    pub(super) fn sessions(&self) -> usize {
        self.in_call.div_ceil(2)
    }

    /// The next thing the shell has to do. Call it until it returns `None`.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            self.effects.shrink_if_sparse();
        }

        effect
    }

    /// Begins to shut down. Every client is notified and every search ends. Clients without a call
    /// are closed now, the others when their call ends or with [`close_all`](Self::close_all).
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;

        for key in self.keys() {
            self.stop_searching(key);

            // Spread over 2.5 s, so that not all of them reconnect at the same moment.
            let spread = u64::try_from((self.ids)().as_u128() % 2500).unwrap_or(0);
            self.send(
                key,
                ServerMessage::ServerDraining(ServerDraining {
                    reconnect_after_ms: 500 + spread,
                }),
            );
            self.close_if_drained(key, now);
        }

        self.settle_rings(now);
    }

    /// Closes every client: the drain deadline has passed. In a cluster, their calls can be resumed
    /// on another node, because the store keeps them.
    pub(super) fn close_all(&mut self) {
        for key in self.keys() {
            self.stop_searching(key);

            if self
                .clients
                .get(&key)
                .is_some_and(|client| !client.is_away())
            {
                self.effects
                    .push_back(Effect::Close(key, CloseReason::Draining));
            }
        }

        self.clients.clear();
        self.users.clear();
        self.tokens.clear();
        self.blocks.clear();
        self.away.clear();
        self.rooms.clear();
        self.listeners.clear();
        self.lost_calls.clear();
        self.in_call = 0;
    }

    /// Ends a client for good: its search, its call and, unless a bearer token makes it a lasting
    /// person, its blocks.
    fn remove(&mut self, key: ClientKey, reason: LeaveReason, now: Instant) {
        self.stop_searching(key);
        self.stop_listening(key);
        self.end_call(key, reason, None, now);

        let Some(client) = self.clients.remove(&key) else {
            return;
        };

        if let Some(until) = client.away_until {
            self.away.remove(&(until, key));
        }

        self.users.remove(&client.user);
        self.tokens.remove(&client.token);
        self.rooms.owner_left(&client.user, now);

        if client.subject.is_none() {
            self.blocks.forget(&client.person);
        }

        self.shrink_tables();
        if client.is_recorded {
            self.effects.push_back(Effect::Store(StoreCommand::Remove {
                user: client.user,
                reason,
            }));
        }
    }

    /// To be called after a client was removed.
    fn shrink_tables(&mut self) {
        self.clients.shrink_if_sparse();
        self.users.shrink_if_sparse();
        self.tokens.shrink_if_sparse();
    }

    fn close_if_drained(&mut self, key: ClientKey, now: Instant) {
        let Some(client) = self.clients.get(&key) else {
            return;
        };

        if self.draining && client.call.is_none() {
            let is_connected = !client.is_away();
            self.remove(key, LeaveReason::Disconnected, now);

            if is_connected {
                self.effects
                    .push_back(Effect::Close(key, CloseReason::Draining));
            }
        }
    }

    fn must_not_be_in_call(&self, key: ClientKey) -> Result<(), Fault> {
        if self.call(key).is_some() {
            return Err(in_call());
        }

        Ok(())
    }

    fn must_not_search(&self, key: ClientKey) -> Result<(), Fault> {
        if self.is_searching(key) {
            return Err(fault(
                ErrorCode::AlreadySearching,
                "You are already searching: cancel that search first.",
            ));
        }

        Ok(())
    }

    fn must_not_drain(&self) -> Result<(), Fault> {
        if self.draining {
            return Err(fault(
                ErrorCode::Draining,
                "The server is shutting down: reconnect in a moment.",
            ));
        }

        Ok(())
    }

    fn call(&self, key: ClientKey) -> Option<&Call> {
        self.clients.get(&key)?.call.as_ref()
    }

    fn keys(&self) -> Vec<ClientKey> {
        self.clients.keys().copied().collect()
    }

    fn id(&mut self) -> String {
        (self.ids)().to_string()
    }

    /// 64 characters with 244 random bits.
    fn secret(&mut self) -> String {
        format!("{}{}", (self.ids)().simple(), (self.ids)().simple())
    }

    fn resume_token(&mut self) -> ResumeToken {
        let secret = self.secret();
        let token = match &self.config.node {
            Some(node) => format!("{node}.{secret}"),
            None => secret,
        };

        ResumeToken::from(token)
    }

    fn reject(&mut self, key: ClientKey, mut fault: Fault, id: Option<RequestId>) {
        fault.id = id;
        self.envelope(key, fault.into());
    }

    fn send(&mut self, to: ClientKey, message: ServerMessage) {
        self.reply(to, message, None);
    }

    fn reply(&mut self, to: ClientKey, message: ServerMessage, id: Option<RequestId>) {
        self.envelope(to, ServerEnvelope { message, id });
    }

    /// A client that is away gets nothing, now or later: when it resumes, `resumed` says whether it
    /// is still in a call. Only relayed messages are kept (`delivery`).
    fn envelope(&mut self, to: ClientKey, envelope: ServerEnvelope) {
        if self
            .clients
            .get(&to)
            .is_some_and(|client| !client.is_away())
        {
            self.effects.push_back(Effect::Send(to, Arc::new(envelope)));
        }
    }
}

fn fault(code: ErrorCode, message: &str) -> Fault {
    Fault::new(code, message)
}

fn in_call() -> Fault {
    fault(
        ErrorCode::AlreadyMatched,
        "You are in a call: end it first, or send `next`.",
    )
}

fn unavailable() -> Fault {
    fault(
        ErrorCode::Unavailable,
        "The server cannot search for partners right now: try again in a few seconds.",
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What keeps two clients apart, whether they search or one rings at the other.
fn relation(
    clients: &HashMap<ClientKey, Client>,
    blocks: &Blocks,
    a: ClientKey,
    b: ClientKey,
) -> Relation {
    let (Some(one), Some(other)) = (clients.get(&a), clients.get(&b)) else {
        return Relation::Blocked;
    };

    // One person on two devices is not a pair either.
    let is_blocked = one.person == other.person || blocks.keep_apart(&one.person, &other.person);

    if is_blocked {
        Relation::Blocked
    } else if one.last_partner.as_ref() == Some(&other.person)
        || other.last_partner.as_ref() == Some(&one.person)
    {
        Relation::JustLeft
    } else {
        Relation::Free
    }
}

/// What keeps two clients apart that search, for the matchmaker. In a room that someone has claimed,
/// and on a ring-only server, guests do not meet each other: they wait for the owner.
fn search_relation(
    clients: &HashMap<ClientKey, Client>,
    blocks: &Blocks,
    rooms: &Rooms,
    a: ClientKey,
    b: ClientKey,
) -> Relation {
    let role_of = |key| clients.get(key).map(|client: &Client| client.role);
    if let (Some(ClientRole::Visitor(_)), Some(ClientRole::Visitor(_))) = (role_of(&a), role_of(&b))
    {
        return Relation::Guests;
    }

    let user_of = |key| clients.get(&key).map(|client: &Client| &client.user);
    let owner = clients
        .get(&a)
        .and_then(|client| room_number(client.profile.room.as_deref()?))
        .and_then(|number| rooms.owner_of(number));

    if owner.is_some() && ![user_of(a), user_of(b)].contains(&owner) {
        return Relation::Guests;
    }

    relation(clients, blocks, a, b)
}

#[cfg(test)]
mod tests;
