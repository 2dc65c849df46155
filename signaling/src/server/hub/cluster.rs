//! The hub as one node of several: a shared store matches, and partners may be on other nodes.
//!
//! Every node is the authority on its own clients. The store holds the queue and, for every user that has searched, who
//! it is, where it is and in which call; nodes speak to each other in [`Note`]s. What the store missed while it was away
//! is put right by [`Command::Sync`], one for each user, when it is back.

use super::calls::partner_gone;
use super::delivery::Delivery;
use super::*;
use crate::server::store::note::{Card, Handed, HandedMessage, Note, Outcome, Record, RemoteCall};

/// So many messages of a connection wait until it is decided whose place it takes.
pub(super) const MAX_HELD: usize = 64;
/// So long a node may take to hand over a client; then the store is asked whether that node still lives.
const HANDOVER: Duration = Duration::from_secs(2);
/// So long after a client moved to another node its messages are sent on.
const FORWARDING: Duration = Duration::from_secs(60);
/// The store's clock and this node's do not run alike: a hold is looked at a little later than it runs out.
const CLOCK_MARGIN: Duration = Duration::from_millis(50);
/// The store forgets a call after an hour; this often it hears that it goes on.
const RENEWAL: Duration = Duration::from_secs(600);

/// What a node knows beyond its own clients.
pub(super) struct Cluster {
    node: NodeId,
    available: bool,
    waiting: usize,
    /// When a hold of somebody who waits runs out.
    retries: BTreeSet<(Instant, ClientKey)>,
    takeovers: HashMap<u64, Takeover>,
    /// Who has moved, where to, and until when that is of interest.
    moved: HashMap<UserId, (NodeId, Instant)>,
    next_ticket: u64,
    next_renewal: Option<Instant>,
}

/// A connection that wants the place of somebody who was on another node.
struct Takeover {
    key: ClientKey,
    token: String,
    last_seq: u64,
    id: Option<RequestId>,
    /// Until when the other node may answer; nothing once the store is asked.
    until: Option<Instant>,
}

impl Cluster {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            available: false,
            waiting: 0,
            retries: BTreeSet::new(),
            takeovers: HashMap::new(),
            moved: HashMap::new(),
            next_ticket: 0,
            next_renewal: None,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

impl Hub {
    /// The store is there or away. When it is there (again), it hears of every client that it should know.
    pub(in crate::server) fn store_is(&mut self, available: bool, now: Instant) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.available = available;
        if available {
            cluster.next_renewal = Some(now + RENEWAL);
            // Who left while the store was away is still in it.
            self.effects.push_back(Effect::Store(Command::Census));
            for key in self.keys() {
                match self.peers.get(&key) {
                    Some(peer) if peer.waiting.is_some() => self.join_store(key),
                    _ => self.record_again(key),
                }
            }
        }
    }

    /// True without a store, too.
    pub(in crate::server) fn has_store(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.available)
    }

    pub(super) fn must_have_store(&self) -> Result<(), Fault> {
        if self.has_store() { Ok(()) } else { Err(unavailable()) }
    }

    /// Searches in the store, if there is one.
    pub(super) fn search_in_store(&mut self, key: ClientKey, now: Instant) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else { return false };
        peer.waiting = Some(now);
        cluster.waiting += 1;
        let holds = self.config.holds;
        if peer.profile.room.is_none() {
            if !peer.profile.interests.is_empty() {
                cluster.retries.insert((now + holds.interests + CLOCK_MARGIN, key));
            }
            cluster.retries.insert((now + holds.rematch + CLOCK_MARGIN, key));
        }
        self.join_store(key);
        true
    }

    fn join_store(&mut self, key: ClientKey) {
        let session = SessionId::from(self.id());
        let Some(record) = self.record(key) else { return };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.is_recorded = true;
        }
        self.effects.push_back(Effect::Store(Command::Join(Box::new(record), session)));
    }

    /// Asks the store to end a search; false if there is nothing to ask.
    pub(super) fn cancel_in_store(&mut self, key: ClientKey, id: &Option<RequestId>) -> bool {
        let (Some(cluster), Some(peer)) = (&self.cluster, self.peers.get(&key)) else { return false };
        if peer.waiting.is_none() || !cluster.available {
            return false;
        }
        let command = Command::Cancel { user: peer.user.clone(), ask: Some((key, id.clone())) };
        self.effects.push_back(Effect::Store(command));
        true
    }

    /// Ends a search in the store without an answer.
    pub(super) fn leave_store(&mut self, key: ClientKey) {
        if self.stop_waiting(key)
            && let Some(peer) = self.peers.get(&key)
        {
            self.effects.push_back(Effect::Store(Command::Cancel { user: peer.user.clone(), ask: None }));
        }
    }

    /// Nothing waits for the store any more; false if nothing did.
    fn stop_waiting(&mut self, key: ClientKey) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else { return false };
        let Some(since) = peer.waiting.take() else { return false };
        cluster.waiting -= 1;
        for hold in [self.config.holds.interests, self.config.holds.rematch] {
            cluster.retries.remove(&(since + hold + CLOCK_MARGIN, key));
        }
        true
    }

    pub(super) fn block_in_store(&mut self, key: ClientKey, partner: &UserId) {
        if let (Some(_), Some(peer)) = (&self.cluster, self.peers.get(&key).filter(|peer| peer.is_recorded)) {
            let command = Command::Block { user: peer.user.clone(), partner: partner.clone() };
            self.effects.push_back(Effect::Store(command));
        }
    }

    /// Tells the store again what is true of a client that it knows.
    pub(super) fn record_again(&mut self, key: ClientKey) {
        if self.cluster.is_some()
            && self.peers.get(&key).is_some_and(|peer| peer.is_recorded)
            && let Some(record) = self.record(key)
        {
            self.effects.push_back(Effect::Store(Command::Sync(Box::new(record))));
        }
    }

    fn record(&self, key: ClientKey) -> Option<Record> {
        let (cluster, peer) = (self.cluster.as_ref()?, self.peers.get(&key)?);
        Some(record(peer, &cluster.node))
    }

    pub(super) fn relay_to_node(
        &mut self,
        node: NodeId,
        user: UserId,
        session: SessionId,
        from: SocketId,
        sender: UserId,
        payload: Payload,
    ) -> Result<(), Fault> {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.available) else {
            let sentence = "Your partner cannot be reached at the moment: send it again in a few seconds.";
            return Err(fault(ErrorCode::Unavailable, sentence));
        };
        let note = Note::Relay { user, session, from, sender, node: cluster.node.clone(), payload };
        self.tell(node, note);
        Ok(())
    }

    /// What another node or the store has to say.
    pub(in crate::server) fn note(&mut self, note: Note, now: Instant) {
        let Some(own) = self.cluster.as_ref().map(|cluster| cluster.node.clone()) else { return };
        let user = match &note {
            Note::Takeover { token, subject, by, ticket } => {
                let state = self.hand_over(token, subject.as_deref(), by, now).map(Box::new);
                return self.tell(by.clone(), Note::Handover { ticket: *ticket, state });
            }
            Note::Handover { .. } => return self.handed_over(note, now),
            Note::Matched { user, .. }
            | Note::Relay { user, .. }
            | Note::Refused { user, .. }
            | Note::Left { user, .. }
            | Note::Away { user, .. }
            | Note::Back { user, .. } => user,
        };
        let Some(&key) = self.users.get(user) else { return self.note_for_nobody(note) };
        match note {
            Note::Matched { session, initiator, interests, partner, profile, .. } => {
                self.matched(key, session, partner, &profile, initiator, interests, now);
            }
            Note::Relay { session, from, sender, node, payload, .. } => {
                let is_current = self.call(key).is_some_and(|call| call.session == session);
                if !is_current || !self.deliver(key, from, session.clone(), payload) {
                    self.tell(node, Note::Refused { user: sender, session });
                }
            }
            Note::Refused { session, .. } => {
                if self.call(key).is_some_and(|call| call.session == session) {
                    self.reject(key, partner_gone(), None);
                }
            }
            Note::Left { session, reason, .. } => self.partner_left(key, &session, reason, now),
            Note::Away { session, .. } => self.hear_of_partner(key, &session, true),
            Note::Back { session, node, .. } => {
                let call = self.peers.get_mut(&key).and_then(|peer| peer.call.as_mut());
                let Some(call) = call.filter(|call| call.session == session) else { return };
                if node != own {
                    call.partner.place = Place::Node(node);
                }
                self.hear_of_partner(key, &session, false);
            }
            Note::Takeover { .. } | Note::Handover { .. } => {}
        }
    }

    /// A note for somebody who is not here: who has moved gets it, and who sent it must know.
    fn note_for_nobody(&mut self, note: Note) {
        let Some(cluster) = &self.cluster else { return };
        let user = match &note {
            Note::Relay { user, .. } | Note::Left { user, .. } | Note::Away { user, .. } | Note::Back { user, .. } => {
                user
            }
            // The user left between its match and this note.
            Note::Matched { user, session, .. } => {
                let (user, session, reason) = (user.clone(), session.clone(), LeaveReason::Disconnected);
                return self.effects.push_back(Effect::Store(Command::End { user, session, reason }));
            }
            _ => return,
        };
        if let Some((node, _)) = cluster.moved.get(user) {
            return self.tell(node.clone(), note);
        }
        if let Note::Relay { sender, session, node, .. } = note {
            self.tell(node, Note::Refused { user: sender, session });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one note")]
    fn matched(
        &mut self,
        key: ClientKey,
        session: SessionId,
        partner: Card,
        profile: &FindPartner,
        initiator: bool,
        interests: Vec<String>,
        now: Instant,
    ) {
        if self.call(key).is_some_and(|call| call.session == session) {
            return;
        }
        let is_here = self.config.node.as_ref() == Some(&partner.node);
        let local = self.users.get(&partner.user).copied().filter(|_| is_here);
        let is_there = !is_here
            || local.and_then(|local| self.peers.get(&local)).is_some_and(|other| {
                other.waiting.is_some() || other.call.as_ref().is_some_and(|call| call.session == session)
            });
        let was_waiting = self.stop_waiting(key);
        let person = self.peers.get(&key).map(|peer| &peer.person);
        let is_blocked =
            person.and_then(|person| self.blocks.get(person)).is_some_and(|blocked| blocked.contains(&partner.person));
        if is_blocked {
            // The store was away when that was said.
            self.block_in_store(key, &partner.user);
        }
        if was_waiting && is_there && !is_blocked {
            let mut partner = Partner::from_card(partner);
            if let Some(local) = local {
                partner.place = Place::Here(local);
            }
            return self.enter_call(key, session, partner, profile, initiator, interests);
        }
        let Some(peer) = self.peers.get(&key) else { return };
        let end = Command::End { user: peer.user.clone(), session, reason: LeaveReason::Disconnected };
        self.effects.push_back(Effect::Store(end));
        if was_waiting {
            // The partner is gone, this client is not: it goes on searching.
            self.search_in_store(key, now);
        }
    }

    /// What became of a command.
    pub(in crate::server) fn outcome(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::NotJoined(user) => {
                if let Some(&key) = self.users.get(&user)
                    && self.stop_waiting(key)
                {
                    self.reject(key, unavailable(), None);
                    self.send(key, ServerMessage::SearchCancelled);
                }
            }
            Outcome::Cancelled { key, is_matched, id } => {
                if is_matched || self.call(key).is_some() {
                    let sentence = "A call is going on: end it first, or ask for the next.";
                    self.reject(key, fault(ErrorCode::AlreadyMatched, sentence), id);
                } else {
                    self.stop_waiting(key);
                    self.reply(key, ServerMessage::SearchCancelled, id);
                }
            }
            Outcome::Undelivered(note) => match *note {
                Note::Relay { sender, session, .. } => {
                    if let Some(&key) = self.users.get(&sender)
                        && self.call(key).is_some_and(|call| call.session == session)
                    {
                        self.reject(key, partner_gone(), None);
                    }
                }
                Note::Takeover { ticket, .. } => self.adopt(ticket),
                _ => {}
            },
            Outcome::Adopted { ticket, record } => match record {
                None => self.give_up_takeover(ticket, now),
                Some(record) => self.adopted(ticket, *record, now),
            },
            Outcome::Census(users) => {
                for user in users.into_iter().filter(|user| !self.users.contains_key(user)).collect::<Vec<_>>() {
                    let reason = LeaveReason::Disconnected;
                    self.effects.push_back(Effect::Store(Command::Remove { user, reason }));
                }
            }
            Outcome::Ended { user, session } => {
                if let Some(&key) = self.users.get(&user) {
                    self.partner_left(key, &session, LeaveReason::Disconnected, now);
                }
            }
            Outcome::Reported { key, report_id, recorded, id } => self.report_recorded(key, report_id, recorded, id),
        }
    }

    pub(super) fn cluster_deadline(&self) -> Option<Instant> {
        let cluster = self.cluster.as_ref()?;
        let retry = cluster.retries.first().map(|&(at, _)| at);
        let takeover = cluster.takeovers.values().filter_map(|takeover| takeover.until).min();
        [retry, takeover, cluster.next_renewal].into_iter().flatten().min()
    }

    pub(super) fn tick_cluster(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else { return };
        let mut due = Vec::new();
        while let Some(&(at, key)) = cluster.retries.first().filter(|(at, _)| *at <= now) {
            cluster.retries.remove(&(at, key));
            due.push(key);
        }
        cluster.moved.retain(|_, (_, until)| *until > now);
        let late: Vec<u64> = cluster
            .takeovers
            .iter()
            .filter(|(_, takeover)| takeover.until.is_some_and(|until| until <= now))
            .map(|(&ticket, _)| ticket)
            .collect();
        let renew = cluster.next_renewal.is_some_and(|at| at <= now);
        if renew {
            cluster.next_renewal = Some(now + RENEWAL);
        }
        for key in due {
            let session = SessionId::from(self.id());
            if let Some(peer) = self.peers.get(&key) {
                self.effects.push_back(Effect::Store(Command::Retry(peer.user.clone(), session)));
            }
        }
        for ticket in late {
            self.adopt(ticket);
        }
        if renew {
            for key in self.keys().into_iter().filter(|key| self.call(*key).is_some()).collect::<Vec<_>>() {
                self.record_again(key);
            }
        }
    }

    /// Asks the node of the token for the client that goes on here.
    pub(super) fn take_over(
        &mut self,
        key: ClientKey,
        token: &str,
        last_seq: u64,
        id: Option<RequestId>,
        now: Instant,
    ) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else { return false };
        let Some((node, _)) = token.split_once('.').filter(|(node, _)| *node != cluster.node.as_str()) else {
            return false;
        };
        // Whatever a client sends as a token does not become a channel of the store.
        if !cluster.available || Uuid::try_parse(node).is_err() || token.len() > 128 {
            return false;
        }
        let ticket = cluster.next_ticket;
        cluster.next_ticket += 1;
        let until = Some(now + HANDOVER);
        cluster.takeovers.insert(ticket, Takeover { key, token: token.to_owned(), last_seq, id, until });
        peer.resuming = Some(Vec::new());
        let by = cluster.node.clone();
        let note = Note::Takeover { token: token.to_owned(), subject: peer.subject.clone(), by, ticket };
        self.tell(NodeId::from(node.to_owned()), note);
        true
    }

    /// A client of this node goes on at node `by`.
    fn hand_over(&mut self, token: &str, subject: Option<&str>, by: &NodeId, now: Instant) -> Option<Handed> {
        let &key = self.tokens.get(token)?;
        if self.peers.get(&key).is_none_or(|peer| peer.subject.as_deref() != subject) {
            return None;
        }
        let peer = self.take_out(key)?;
        match peer.away_until {
            Some(until) => {
                self.away.remove(&(until, key));
            }
            None => self.effects.push_back(Effect::Close(key, CloseReason::Replaced)),
        }
        if let Some(Call { session, partner: Partner { place: Place::Here(partner), .. }, .. }) = &peer.call {
            let (partner, session) = (*partner, session.clone());
            if let Some(call) = self.peers.get_mut(&partner).and_then(|partner| partner.call.as_mut()) {
                call.partner.place = Place::Node(by.clone());
            }
            if !peer.is_away() {
                self.hear_of_partner(partner, &session, true);
            }
        }
        if peer.is_recorded {
            self.effects.push_back(Effect::Store(Command::Move { user: peer.user.clone(), to: by.clone() }));
        }
        let cluster = self.cluster.as_mut()?;
        cluster.moved.insert(peer.user.clone(), (by.clone(), now + FORWARDING));
        let kept = peer.delivery.kept().filter_map(|envelope| {
            let (payload, from, session, seq) = Payload::from_message(&envelope.message)?;
            Some(HandedMessage { seq, from: from.clone(), session: session.clone(), payload })
        });
        Some(Handed {
            record: record(&peer, &cluster.node),
            seq: peer.delivery.seq(),
            kept: kept.collect(),
            partner_away: peer.call.as_ref().is_some_and(|call| call.partner_away),
            is_recorded: peer.is_recorded,
        })
    }

    fn handed_over(&mut self, note: Note, now: Instant) {
        let Note::Handover { ticket, state } = note else { return };
        let Some(state) = state else { return self.give_up_takeover(ticket, now) };
        let Handed { record, seq, kept, partner_away, is_recorded } = *state;
        let oldest = kept.first().map_or(seq, |first| first.seq.saturating_sub(1));
        let mut delivery = Delivery::starting_after(oldest);
        for HandedMessage { seq, from, session, payload } in kept {
            let bytes = payload.bytes();
            delivery.keep(seq, bytes, payload.into_message(from, session, seq));
        }
        self.move_in(ticket, record, delivery, partner_away, is_recorded, now);
    }

    fn adopted(&mut self, ticket: u64, record: Record, now: Instant) {
        // What the dead node had numbered is not known; the client's own count is.
        let takeovers = self.cluster.as_ref().map(|cluster| &cluster.takeovers);
        let seq = takeovers.and_then(|takeovers| takeovers.get(&ticket)).map_or(0, |takeover| takeover.last_seq);
        self.move_in(ticket, record, Delivery::starting_after(seq), false, true, now);
    }

    /// A client of another node is here from now on.
    fn move_in(
        &mut self,
        ticket: u64,
        record: Record,
        delivery: Delivery,
        partner_away: bool,
        is_recorded: bool,
        now: Instant,
    ) {
        let Some(cluster) = &mut self.cluster else { return };
        let Record { card, token, profile, last_partner, call } = record;
        let Some(takeover) = cluster.takeovers.remove(&ticket) else {
            // Nobody waits for this client any more; its node has forgotten it, so the store must, too.
            if is_recorded {
                let command = Command::Remove { user: card.user, reason: LeaveReason::Disconnected };
                self.effects.push_back(Effect::Store(command));
            }
            return;
        };
        cluster.moved.remove(&card.user);
        let subject = (card.person != card.user).then(|| card.person.as_str().to_owned());
        let mut peer = Peer::new(card.user, card.socket, token, subject);
        (peer.profile, peer.last_partner, peer.delivery, peer.is_recorded) =
            (profile, last_partner, delivery, is_recorded);
        peer.call = call.map(|RemoteCall { session, partner }| {
            let mut partner = Partner::from_card(partner);
            if let Some(&local) = self.users.get(&partner.user) {
                partner.place = Place::Here(local);
            }
            Call { session, partner, partner_away }
        });
        if !self.peers.contains_key(&takeover.key) {
            // Its connection broke meanwhile: it is away, here.
            let key = self.connect(peer.subject.clone());
            self.put_in(key, peer, takeover.last_seq, None);
            return self.disconnect(key, now);
        }
        let said = self.peers.get_mut(&takeover.key).and_then(|peer| peer.resuming.take());
        self.put_in(takeover.key, peer, takeover.last_seq, takeover.id);
        self.say_again(takeover.key, said, now);
    }

    fn give_up_takeover(&mut self, ticket: u64, now: Instant) {
        let Some(takeover) = self.cluster.as_mut().and_then(|cluster| cluster.takeovers.remove(&ticket)) else {
            return;
        };
        let said = self.peers.get_mut(&takeover.key).and_then(|peer| peer.resuming.take());
        let sentence = "There is nothing to resume with this token: you are a new user now.";
        self.reject(takeover.key, fault(ErrorCode::Unauthorized, sentence), takeover.id);
        self.say_again(takeover.key, said, now);
    }

    fn say_again(&mut self, key: ClientKey, said: Option<Vec<ClientEnvelope>>, now: Instant) {
        for envelope in said.into_iter().flatten() {
            self.receive(key, envelope, now);
        }
    }

    /// The node of the token does not answer: the store knows whether it lives.
    fn adopt(&mut self, ticket: u64) {
        let takeovers = self.cluster.as_mut().map(|cluster| &mut cluster.takeovers);
        let Some(takeover) = takeovers.and_then(|takeovers| takeovers.get_mut(&ticket)) else { return };
        if takeover.until.take().is_some() {
            let subject = self.peers.get(&takeover.key).and_then(|peer| peer.subject.clone());
            let token = takeover.token.clone();
            self.effects.push_back(Effect::Store(Command::Adopt { ticket, token, subject }));
        }
    }

    fn tell(&mut self, node: NodeId, note: Note) {
        self.effects.push_back(Effect::Store(Command::Tell(node, Box::new(note))));
    }
}

fn record(peer: &Peer, node: &NodeId) -> Record {
    let call = peer.call.as_ref().map(|Call { session, partner, .. }| RemoteCall {
        session: session.clone(),
        partner: Card {
            user: partner.user.clone(),
            socket: partner.socket.clone(),
            person: partner.person.clone(),
            node: match &partner.place {
                Place::Here(_) => node.clone(),
                Place::Node(node) => node.clone(),
            },
        },
    });
    Record {
        card: Card {
            user: peer.user.clone(),
            socket: peer.socket.clone(),
            person: peer.person.clone(),
            node: node.clone(),
        },
        token: peer.token.clone(),
        profile: peer.profile.clone(),
        last_partner: peer.last_partner.clone(),
        call,
    }
}
