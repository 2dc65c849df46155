//! The relay without sockets: who is there, who waits, who is in a call with whom, and what each may say to whom.
//!
//! Sans-IO: messages, the time and the source of identifiers come in as arguments; what is to be done comes out of
//! [`Hub::poll_effect`], in order. One [`Hub`] serves one relay, behind one lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::ice::IceSource;
use super::matchmaker::{Holds, Match, Matchmaker, Relation, Search};
use super::outbound::CloseReason;
use crate::message::*;

/// The hub's own name for a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientKey(u64);

/// What the hub tells its clients about itself.
#[derive(Debug, Clone)]
pub(super) struct HubConfig {
    pub(super) heartbeat: Duration,
    pub(super) silent: Duration,
    pub(super) ice: IceSource,
    pub(super) holds: Holds,
}

/// Something to do, in order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Queue a message for a client.
    Send(ClientKey, Box<ServerEnvelope>),
    /// Close a client's connection, once its messages are written. The hub has forgotten it.
    Close(ClientKey, CloseReason),
}

/// A call, as one side sees it.
#[derive(Debug, Clone)]
struct Call {
    partner: ClientKey,
    session: SessionId,
}

#[derive(Debug)]
struct Peer {
    socket: SocketId,
    user: UserId,
    /// Of the last `find_partner`.
    profile: FindPartner,
    call: Option<Call>,
    /// The partner of the last call that ended.
    last_partner: Option<ClientKey>,
    /// How many relayed messages this client got.
    seq: u64,
    /// Whom it blocked or was blocked by, among those who are there.
    blocked: HashSet<ClientKey>,
}

/// The state of one relay.
pub(super) struct Hub {
    config: HubConfig,
    ids: Box<dyn FnMut() -> Uuid + Send>,
    peers: HashMap<ClientKey, Peer>,
    users: HashMap<UserId, ClientKey>,
    matchmaker: Matchmaker,
    effects: VecDeque<Effect>,
    next_key: u64,
    draining: bool,
}

impl Hub {
    /// An empty hub; `ids` must be random (UUID v4).
    pub(super) fn new(config: HubConfig, ids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            matchmaker: Matchmaker::new(config.holds),
            config,
            ids,
            peers: HashMap::new(),
            users: HashMap::new(),
            effects: VecDeque::new(),
            next_key: 0,
            draining: false,
        }
    }

    /// A new connection; it is told who it is.
    pub(super) fn connect(&mut self) -> ClientKey {
        let key = ClientKey(self.next_key);
        self.next_key += 1;
        let (socket, user) = (SocketId::from(self.id()), UserId::from(self.id()));
        let resume_token = format!("{}{}", (self.ids)().simple(), (self.ids)().simple());
        let registered = UserRegistered {
            user_id: user.clone(),
            socket_id: socket.clone(),
            resume_token,
            protocol: PROTOCOL_VERSION,
            heartbeat_ms: millis(self.config.heartbeat),
            silent_ms: millis(self.config.silent),
            resume_ms: 0,
            max_message_bytes: MAX_MESSAGE_BYTES as u64,
            ice_servers: self.config.ice.for_user(&user).ice_servers,
        };
        self.users.insert(user.clone(), key);
        let peer = Peer {
            socket,
            user,
            profile: FindPartner::default(),
            call: None,
            last_partner: None,
            seq: 0,
            blocked: HashSet::new(),
        };
        self.peers.insert(key, peer);
        self.send(key, ServerMessage::UserRegistered(Box::new(registered)));
        key
    }

    /// A connection is gone without `bye`.
    pub(super) fn disconnect(&mut self, key: ClientKey) {
        self.remove(key, LeaveReason::Disconnected);
    }

    /// One message of a client, already read and within its limits. From a client that is gone it is nothing.
    pub(super) fn receive(&mut self, key: ClientKey, envelope: ClientEnvelope, now: Instant) {
        let ClientEnvelope { message, id } = envelope;
        let Some(peer) = self.peers.get(&key) else { return };
        let result = match message {
            ClientMessage::FindPartner(profile) => self.find_partner(key, profile, id.clone(), now),
            ClientMessage::CancelSearch => self.cancel_search(key, id.clone()),
            ClientMessage::WebrtcOffer { to, offer } => self.relay(key, &to, |from, session_id, seq| {
                ServerMessage::WebrtcOffer(RelayedOffer { offer, from, session_id, seq })
            }),
            ClientMessage::WebrtcAnswer { to, answer } => self.relay(key, &to, |from, session_id, seq| {
                ServerMessage::WebrtcAnswer(RelayedAnswer { answer, from, session_id, seq })
            }),
            ClientMessage::IceCandidate { to, candidate } => self.relay(key, &to, |from, session_id, seq| {
                ServerMessage::IceCandidate(RelayedCandidate { candidate, from, session_id, seq })
            }),
            ClientMessage::EndSession { session_id, .. } => self.end_session(key, &session_id, id.clone()),
            ClientMessage::Next { session_id } => self.next(key, session_id.as_ref(), id.clone(), now),
            ClientMessage::Block { partner_id } => self.block(key, partner_id, id.clone()),
            ClientMessage::GetIceServers => {
                let servers = self.config.ice.for_user(&peer.user);
                self.reply(key, ServerMessage::IceServers(servers), id.clone());
                Ok(())
            }
            ClientMessage::Ping { t } => {
                self.reply(key, ServerMessage::Pong(Pong { t }), id.clone());
                Ok(())
            }
            ClientMessage::Report { session_id, .. } => Err(match &peer.call {
                Some(call) if call.session == session_id => fault(
                    ErrorCode::Unavailable,
                    "This relay keeps no reports, so nothing was recorded: you can block the user or end the call.",
                ),
                _ => fault(ErrorCode::NoSuchSession, "There is no such session to report."),
            }),
            ClientMessage::Resume { .. } => Err(fault(
                ErrorCode::Unauthorized,
                "There is nothing to resume with this token: you are a new user now.",
            )),
            ClientMessage::Bye => {
                self.remove(key, LeaveReason::Left);
                self.effects.push_back(Effect::Close(key, CloseReason::Bye));
                return;
            }
        };
        if let Err(mut fault) = result {
            fault.id = id;
            self.effects.push_back(Effect::Send(key, Box::new(fault.into())));
        }
    }

    /// Does what has become due; call it at [`next_deadline`](Self::next_deadline).
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(found) = self.matchmaker.poll(now, &|a, b| relation(&self.peers, a, b)) {
            self.start_call(&found);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.matchmaker.next_deadline()
    }

    /// How many wait for a partner.
    pub(super) fn searching(&self) -> usize {
        self.matchmaker.len()
    }

    /// How many calls go on.
    pub(super) fn sessions(&self) -> usize {
        self.peers.values().filter(|peer| peer.call.is_some()).count() / 2
    }

    /// What is to be done next. Call it until there is nothing.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Begins to shut down: everybody is told, searches end, who is in no call is closed, and who is gets closed at its
    /// end or by [`close_all`](Self::close_all).
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.matchmaker.clear();
        for key in self.keys() {
            // Spread over 2.5 s, so that they do not all come back at once.
            let spread = u64::try_from((self.ids)().as_u128() % 2500).unwrap_or(0);
            self.send(key, ServerMessage::ServerDraining(ServerDraining { reconnect_after_ms: 500 + spread }));
            self.close_if_drained(key);
        }
    }

    /// Closes everybody: the shutdown has lasted long enough.
    pub(super) fn close_all(&mut self) {
        for key in self.keys() {
            if let Some(peer) = self.peers.remove(&key) {
                self.users.remove(&peer.user);
            }
            self.effects.push_back(Effect::Close(key, CloseReason::Draining));
        }
        self.matchmaker.clear();
    }

    fn find_partner(
        &mut self,
        key: ClientKey,
        profile: FindPartner,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        if self.matchmaker.contains(key) {
            return Err(fault(ErrorCode::AlreadySearching, "A search is going on: cancel it before the next one."));
        }
        self.must_not_drain()?;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.profile = profile;
        }
        self.search(key, id, now);
        Ok(())
    }

    fn cancel_search(&mut self, key: ClientKey, id: Option<RequestId>) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        self.matchmaker.leave(key);
        self.reply(key, ServerMessage::SearchCancelled, id);
        Ok(())
    }

    fn end_session(&mut self, key: ClientKey, session: &SessionId, id: Option<RequestId>) -> Result<(), Fault> {
        if self.call(key).is_none_or(|call| call.session != *session) {
            return Err(fault(ErrorCode::NoSuchSession, "You are not in this session: it may have ended already."));
        }
        self.end_call(key, LeaveReason::Left, Some(id));
        self.close_if_drained(key);
        Ok(())
    }

    fn next(
        &mut self,
        key: ClientKey,
        session: Option<&SessionId>,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        if session.is_some_and(|session| self.call(key).is_none_or(|call| call.session != *session)) {
            return Ok(());
        }
        self.must_not_drain()?;
        if self.matchmaker.contains(key) {
            let room = self.matchmaker.room_of(key).map(str::to_owned);
            self.reply(key, ServerMessage::Searching(Searching { room }), id);
            return Ok(());
        }
        self.end_call(key, LeaveReason::Skipped, None);
        self.search(key, id, now);
        Ok(())
    }

    fn block(&mut self, key: ClientKey, user: UserId, id: Option<RequestId>) -> Result<(), Fault> {
        let other = self.users.get(&user).copied();
        if other == Some(key) {
            return Err(fault(ErrorCode::BadMessage, "The field `partnerId` is your own: name the partner to block."));
        }
        // A user who is gone never comes back under this name, so there is nothing to remember about them.
        if let Some(other) = other {
            for (one, whom) in [(key, other), (other, key)] {
                if let Some(peer) = self.peers.get_mut(&one) {
                    peer.blocked.insert(whom);
                }
            }
            if self.call(key).is_some_and(|call| call.partner == other) {
                self.end_call(key, LeaveReason::Blocked, Some(id.clone()));
            }
        }
        self.reply(key, ServerMessage::Blocked(Blocked { partner_id: user }), id);
        self.close_if_drained(key);
        Ok(())
    }

    /// Passes a message to the partner, if `to` is the partner.
    fn relay(
        &mut self,
        key: ClientKey,
        to: &SocketId,
        message: impl FnOnce(SocketId, SessionId, u64) -> ServerMessage,
    ) -> Result<(), Fault> {
        let sender = self.peers.get(&key);
        let Some((from, Call { partner, session })) =
            sender.and_then(|peer| peer.call.clone().map(|call| (peer.socket.clone(), call)))
        else {
            return Err(fault(ErrorCode::NotMatched, "You are in no call: there is nobody to send this to."));
        };
        let receiver = self.peers.get_mut(&partner).expect("a call ends before one of its two sides is forgotten");
        if receiver.socket != *to {
            return Err(fault(ErrorCode::NotPartner, "The field `to` is not your partner's socketId."));
        }
        receiver.seq += 1;
        let message = message(from, session, receiver.seq);
        self.send(partner, message);
        Ok(())
    }

    fn search(&mut self, key: ClientKey, id: Option<RequestId>, now: Instant) {
        let Some(peer) = self.peers.get(&key) else { return };
        let search = Search { room: peer.profile.room.clone(), interests: peer.profile.interests.clone() };
        self.reply(key, ServerMessage::Searching(Searching { room: search.room.clone() }), id);
        let found = self.matchmaker.join(key, search, now, &|a, b| relation(&self.peers, a, b));
        if let Some(found) = found {
            self.start_call(&found);
        }
    }

    /// Tells both sides about each other. Who waited longer makes the offer.
    fn start_call(&mut self, found: &Match) {
        let session = SessionId::from(self.id());
        for (key, partner, initiator) in [(found.older, found.newer, true), (found.newer, found.older, false)] {
            let other = self.peers.get(&partner).expect("who waits is there: leaving ends the search");
            let profile = &other.profile;
            let location = profile.user_location.clone().filter(|location| !location.is_empty());
            let message = PartnerFound {
                partner_id: other.user.clone(),
                session_id: session.clone(),
                socket_id: other.socket.clone(),
                user_name: profile.user_name.clone().unwrap_or_else(|| "Anonymous".into()),
                user_age: profile.user_age,
                user_location: location.unwrap_or_else(|| "Unknown".into()),
                user_picture: profile.user_picture.clone(),
                initiator,
                interests: found.interests.clone(),
            };
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.call = Some(Call { partner, session: session.clone() });
            }
            self.send(key, ServerMessage::PartnerFound(Box::new(message)));
        }
    }

    /// Ends the call of `key`, if any: the partner hears `reason`, and `key` hears `session_ended` if `told` is given
    /// (with the `id` in it).
    fn end_call(&mut self, key: ClientKey, reason: LeaveReason, told: Option<Option<RequestId>>) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Some(Call { partner, session }) = peer.call.take() else { return };
        peer.last_partner = Some(partner);
        if let Some(other) = self.peers.get_mut(&partner) {
            other.call = None;
            other.last_partner = Some(key);
        }
        if let Some(id) = told {
            self.reply(key, ServerMessage::SessionEnded(SessionEnded { session_id: session.clone() }), id);
        }
        self.send(partner, ServerMessage::PartnerLeft(PartnerLeft { session_id: session, reason }));
        self.close_if_drained(partner);
    }

    /// Forgets a client.
    fn remove(&mut self, key: ClientKey, reason: LeaveReason) {
        self.matchmaker.leave(key);
        self.end_call(key, reason, None);
        let Some(peer) = self.peers.remove(&key) else { return };
        self.users.remove(&peer.user);
        for other in &peer.blocked {
            if let Some(other) = self.peers.get_mut(other) {
                other.blocked.remove(&key);
            }
        }
    }

    fn close_if_drained(&mut self, key: ClientKey) {
        if self.draining && self.call(key).is_none() && self.peers.contains_key(&key) {
            self.remove(key, LeaveReason::Disconnected);
            self.effects.push_back(Effect::Close(key, CloseReason::Draining));
        }
    }

    fn must_not_be_in_call(&self, key: ClientKey) -> Result<(), Fault> {
        match self.call(key) {
            Some(_) => Err(fault(ErrorCode::AlreadyMatched, "A call is going on: end it first, or ask for the next.")),
            None => Ok(()),
        }
    }

    fn must_not_drain(&self) -> Result<(), Fault> {
        match self.draining {
            true => Err(fault(ErrorCode::Draining, "The relay is shutting down: connect again in a moment.")),
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

    fn send(&mut self, to: ClientKey, message: ServerMessage) {
        self.reply(to, message, None);
    }

    fn reply(&mut self, to: ClientKey, message: ServerMessage, id: Option<RequestId>) {
        self.effects.push_back(Effect::Send(to, Box::new(ServerEnvelope { message, id })));
    }
}

fn fault(code: ErrorCode, message: &str) -> Fault {
    Fault::new(code, message)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn relation(peers: &HashMap<ClientKey, Peer>, a: ClientKey, b: ClientKey) -> Relation {
    let (Some(one), Some(other)) = (peers.get(&a), peers.get(&b)) else { return Relation::Blocked };
    if one.blocked.contains(&b) {
        Relation::Blocked
    } else if one.last_partner == Some(b) || other.last_partner == Some(a) {
        Relation::JustLeft
    } else {
        Relation::Free
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
pub(super) mod tests;
