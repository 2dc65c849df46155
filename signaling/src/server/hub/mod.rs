//! The relay without sockets: who is there, who waits, who is in a call with whom, and what each may say to whom.
//!
//! Sans-IO: messages, the time and the source of identifiers come in as arguments; what is to be done comes out of
//! [`Hub::poll_effect`], in order. One [`Hub`] serves one relay node, behind one lock.
//!
//! - `peer`: one client and its call; `delivery`: its relayed messages, kept for a resume.
//! - `calls`: searches, relaying and every end of a call; `resume`: clients that are away and come back.
//! - `cluster`: the same with a shared store and other nodes, whose answers come in as notes and outcomes.

mod calls;
mod cluster;
mod delivery;
mod peer;
mod resume;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use self::cluster::Cluster;
use self::peer::{Call, Partner, Peer, Place, partner_found};
use super::edge::reports::Report;
use super::ice::IceSource;
use super::matchmaker::{Holds, Match, Matchmaker, Relation, Search};
use super::outbound::CloseReason;
use super::store::note::{Command, NodeId, Payload};
use super::tighten::Tighten;
use crate::message::*;

/// So many clients may be away at a time; beyond that, who is away longest is given up.
const MAX_AWAY: usize = 65_536;

/// The hub's own name for a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientKey(u64);

/// What the hub tells its clients about itself, and how it treats them.
#[derive(Debug, Clone)]
pub(super) struct HubConfig {
    pub(super) heartbeat: Duration,
    pub(super) silent: Duration,
    /// How long a client whose connection broke can come back; zero: not at all.
    pub(super) resume_window: Duration,
    pub(super) ice: IceSource,
    pub(super) holds: Holds,
    /// Somebody records reports.
    pub(super) takes_reports: bool,
    /// The wall clock, for reports.
    pub(super) clock: fn() -> SystemTime,
    /// This node's name, if a shared store matches instead of the hub itself.
    pub(super) node: Option<NodeId>,
}

/// Something to do, in order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Queue a message for a client.
    Send(ClientKey, Arc<ServerEnvelope>),
    /// Close a client's connection, once its messages are written. The hub has forgotten it.
    Close(ClientKey, CloseReason),
    /// Record a report and say so with [`Hub::report_recorded`].
    Report(ClientKey, Box<Report>, Option<RequestId>),
    /// For the shared store.
    Store(Command),
}

/// The state of one relay.
pub(super) struct Hub {
    config: HubConfig,
    ids: Box<dyn FnMut() -> Uuid + Send>,
    peers: HashMap<ClientKey, Peer>,
    users: HashMap<UserId, ClientKey>,
    tokens: HashMap<String, ClientKey>,
    /// Persons that never meet, both ways.
    blocks: HashMap<UserId, HashSet<UserId>>,
    /// Who is away, by the moment at which it is given up.
    away: BTreeSet<(Instant, ClientKey)>,
    matchmaker: Matchmaker,
    cluster: Option<Cluster>,
    /// How many sides of calls are here.
    in_call: usize,
    effects: VecDeque<Effect>,
    next_key: u64,
    draining: bool,
}

impl Hub {
    /// An empty hub; `ids` must be random (UUID v4).
    pub(super) fn new(config: HubConfig, ids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            matchmaker: Matchmaker::new(config.holds),
            cluster: config.node.clone().map(Cluster::new),
            config,
            ids,
            peers: HashMap::new(),
            users: HashMap::new(),
            tokens: HashMap::new(),
            blocks: HashMap::new(),
            away: BTreeSet::new(),
            in_call: 0,
            effects: VecDeque::new(),
            next_key: 0,
            draining: false,
        }
    }

    /// A new connection, of the person that its bearer token names, if any; it is told who it is.
    pub(super) fn connect(&mut self, subject: Option<String>) -> ClientKey {
        let key = ClientKey(self.next_key);
        self.next_key += 1;
        let (socket, user) = (SocketId::from(self.id()), UserId::from(self.id()));
        let secret = format!("{}{}", (self.ids)().simple(), (self.ids)().simple());
        // Another node finds from the token whom to ask.
        let token = match &self.config.node {
            Some(node) => format!("{node}.{secret}"),
            None => secret,
        };

        let registered = UserRegistered {
            user_id: user.clone(),
            socket_id: socket.clone(),
            resume_token: token.clone(),
            protocol: PROTOCOL_VERSION,
            heartbeat_ms: millis(self.config.heartbeat),
            silent_ms: millis(self.config.silent),
            resume_ms: millis(self.config.resume_window),
            max_message_bytes: MAX_MESSAGE_BYTES as u64,
            ice_servers: self.config.ice.for_user(&user).ice_servers,
        };

        self.users.insert(user.clone(), key);
        self.tokens.insert(token.clone(), key);
        self.peers
            .insert(key, Peer::new(user, socket, token, subject));
        self.send(key, ServerMessage::UserRegistered(Box::new(registered)));

        key
    }

    /// One message of a client, already read and within its limits. From a client that is gone it is nothing.
    pub(super) fn receive(&mut self, key: ClientKey, envelope: ClientEnvelope, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| !peer.is_away()) else {
            return;
        };

        if let Some(said) = &mut peer.resuming {
            // Whoever it will be says this.
            if said.len() < cluster::MAX_HELD {
                said.push(envelope);
                return;
            }

            let sentence =
                "It is not decided yet whose place you take: wait for the answer to `resume`.";
            return self.reject(key, fault(ErrorCode::RateLimited, sentence), envelope.id);
        }

        let is_first = std::mem::replace(&mut peer.is_new, false);
        let ClientEnvelope { message, id } = envelope;
        let result = match message {
            ClientMessage::FindPartner(profile) => self.find_partner(key, profile, id.clone(), now),
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
                let servers = self.config.ice.for_user(&peer.user);
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
            } => self.report(key, session_id, category, text, id.clone(), now),
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

    /// Does what has become due; call it at [`next_deadline`](Self::next_deadline).
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.away.first().filter(|(until, _)| *until <= now) {
            self.away.remove(&(until, key));
            self.remove(key, LeaveReason::Disconnected, now);
        }

        while let Some(found) = self
            .matchmaker
            .poll(now, &|a, b| relation(&self.peers, &self.blocks, a, b))
        {
            self.start_call(&found);
        }

        self.tick_cluster(now);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let away = self.away.first().map(|&(until, _)| until);
        [
            self.matchmaker.next_deadline(),
            away,
            self.cluster_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many wait for a partner.
    pub(super) fn searching(&self) -> usize {
        self.matchmaker.len() + self.cluster.as_ref().map_or(0, Cluster::waiting)
    }

    /// How many calls go on; one that is shared with another node counts where its first side is, roughly.
    pub(super) fn sessions(&self) -> usize {
        self.in_call.div_ceil(2)
    }

    /// What is to be done next. Call it until there is nothing.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            self.effects.tighten();
        }

        effect
    }

    /// Begins to shut down: everybody is told, searches end, who is in no call is closed, and who is gets closed at its
    /// end or by [`close_all`](Self::close_all).
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        for key in self.keys() {
            self.stop_searching(key);
            // Spread over 2.5 s, so that they do not all come back at once.
            let spread = u64::try_from((self.ids)().as_u128() % 2500).unwrap_or(0);
            self.send(
                key,
                ServerMessage::ServerDraining(ServerDraining {
                    reconnect_after_ms: 500 + spread,
                }),
            );
            self.close_if_drained(key, now);
        }
    }

    /// Closes everybody: the shutdown has lasted long enough. In a cluster the calls can be resumed on another node.
    pub(super) fn close_all(&mut self) {
        for key in self.keys() {
            self.stop_searching(key);
            if self.peers.get(&key).is_some_and(|peer| !peer.is_away()) {
                self.effects
                    .push_back(Effect::Close(key, CloseReason::Draining));
            }
        }

        self.peers.clear();
        self.users.clear();
        self.tokens.clear();
        self.blocks.clear();
        self.away.clear();
        self.in_call = 0;
    }

    /// Forgets a client.
    fn remove(&mut self, key: ClientKey, reason: LeaveReason, now: Instant) {
        self.stop_searching(key);
        self.end_call(key, reason, None, now);
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };

        if let Some(until) = peer.away_until {
            self.away.remove(&(until, key));
        }

        self.users.remove(&peer.user);
        self.tokens.remove(&peer.token);

        if peer.subject.is_none()
            && let Some(others) = self.blocks.remove(&peer.person)
        {
            for other in others {
                if let Some(blocked) = self.blocks.get_mut(&other) {
                    blocked.remove(&peer.person);
                    if blocked.is_empty() {
                        self.blocks.remove(&other);
                    }
                }
            }
        }

        self.tighten();
        if peer.is_recorded {
            self.effects.push_back(Effect::Store(Command::Remove {
                user: peer.user,
                reason,
            }));
        }
    }

    /// Somebody is gone: most may be.
    fn tighten(&mut self) {
        self.peers.tighten();
        self.users.tighten();
        self.tokens.tighten();
        self.blocks.tighten();
    }

    fn close_if_drained(&mut self, key: ClientKey, now: Instant) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };

        if self.draining && peer.call.is_none() {
            let is_connected = !peer.is_away();
            self.remove(key, LeaveReason::Disconnected, now);

            if is_connected {
                self.effects
                    .push_back(Effect::Close(key, CloseReason::Draining));
            }
        }
    }

    fn must_not_be_in_call(&self, key: ClientKey) -> Result<(), Fault> {
        match self.call(key) {
            Some(_) => Err(fault(
                ErrorCode::AlreadyMatched,
                "A call is going on: end it first, or ask for the next.",
            )),
            None => Ok(()),
        }
    }

    fn must_not_drain(&self) -> Result<(), Fault> {
        match self.draining {
            true => Err(fault(
                ErrorCode::Draining,
                "The relay is shutting down: connect again in a moment.",
            )),
            false => Ok(()),
        }
    }

    fn call(&self, key: ClientKey) -> Option<&Call> {
        self.peers.get(&key)?.call.as_ref()
    }

    fn keys(&self) -> Vec<ClientKey> {
        self.peers.keys().copied().collect()
    }

    fn id(&mut self) -> String {
        (self.ids)().to_string()
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

    /// Who is away hears nothing: `resumed` will say what is left of a call.
    fn envelope(&mut self, to: ClientKey, envelope: ServerEnvelope) {
        if self.peers.get(&to).is_some_and(|peer| !peer.is_away()) {
            self.effects.push_back(Effect::Send(to, Arc::new(envelope)));
        }
    }
}

fn fault(code: ErrorCode, message: &str) -> Fault {
    Fault::new(code, message)
}

fn unavailable() -> Fault {
    fault(
        ErrorCode::Unavailable,
        "The relay cannot look for partners at the moment: try again in a few seconds.",
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn relation(
    peers: &HashMap<ClientKey, Peer>,
    blocks: &HashMap<UserId, HashSet<UserId>>,
    a: ClientKey,
    b: ClientKey,
) -> Relation {
    let (Some(one), Some(other)) = (peers.get(&a), peers.get(&b)) else {
        return Relation::Blocked;
    };

    // One person on two devices is no pair either.
    if one.person == other.person
        || blocks
            .get(&one.person)
            .is_some_and(|blocked| blocked.contains(&other.person))
    {
        Relation::Blocked
    } else if one.last_partner.as_ref() == Some(&other.person)
        || other.last_partner.as_ref() == Some(&one.person)
    {
        Relation::JustLeft
    } else {
        Relation::Free
    }
}

#[cfg(test)]
pub(super) mod tests;
