//! The hub as one node of several: a shared store matches, and partners may be on other nodes.
//!
//! Every node is the authority on its own clients. The store holds the queue and, for every user that has searched, who
//! it is, where it is and in which call; nodes speak to each other in [`Note`]s. What the store missed while it was away
//! is put right by [`Command::Sync`], one for each user, when it is back.
//!
//! - `queue`: searches that wait in the store; `takeover`: clients that go on at another node.

mod queue;
mod takeover;

use self::takeover::{ARRIVAL, Takeover};
use super::calls::partner_gone;
use super::*;
use crate::server::store::note::{Card, Note, Outcome, Record, RemoteCall};

/// So many messages of a connection wait until it is decided whose place it takes.
pub(super) const MAX_HELD: usize = 64;
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
    /// Whom only the store takes for users of this node, and when they are removed there: until then they may arrive.
    strangers: VecDeque<(Instant, UserId)>,
    next_ticket: u64,
    next_renewal: Option<Instant>,
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
            strangers: VecDeque::new(),
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
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        cluster.available = available;
        if available {
            cluster.next_renewal = Some(now + RENEWAL);
            // Who left while the store was away is still in it.
            self.effects.push_back(Effect::Store(Command::Census));

            for key in self.keys() {
                match self.peers.get(&key) {
                    Some(peer) if peer.waiting.is_some() => {
                        // The store may count its wait from now on.
                        self.look_after_holds(key, now);
                        self.join_store(key);
                    }
                    _ => self.record_again(key),
                }
            }
        }
    }

    /// True without a store, too.
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

    pub(super) fn block_in_store(&mut self, key: ClientKey, partner: &UserId) {
        if let (Some(_), Some(peer)) = (
            &self.cluster,
            self.peers.get(&key).filter(|peer| peer.is_recorded),
        ) {
            let command = Command::Block {
                user: peer.user.clone(),
                partner: partner.clone(),
            };

            self.effects.push_back(Effect::Store(command));
        }
    }

    /// Tells the store again what is true of a client that it knows.
    pub(super) fn record_again(&mut self, key: ClientKey) {
        if self.cluster.is_some()
            && self.peers.get(&key).is_some_and(|peer| peer.is_recorded)
            && let Some(record) = self.record(key)
        {
            self.effects
                .push_back(Effect::Store(Command::Sync(Box::new(record))));
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
            let sentence =
                "Your partner cannot be reached at the moment: send it again in a few seconds.";
            return Err(fault(ErrorCode::Unavailable, sentence));
        };

        let note = Note::Relay {
            user,
            session,
            from,
            sender,
            node: cluster.node.clone(),
            payload,
        };

        self.tell(node, note);
        Ok(())
    }

    /// What another node or the store has to say.
    pub(in crate::server) fn note(&mut self, note: Note, now: Instant) {
        let Some(own) = self.cluster.as_ref().map(|cluster| cluster.node.clone()) else {
            return;
        };

        let user = match &note {
            Note::Takeover {
                token,
                subject,
                by,
                ticket,
            } => {
                let state = self
                    .hand_over(token, subject.as_deref(), by, now)
                    .map(Box::new);
                return self.tell(
                    by.clone(),
                    Note::Handover {
                        ticket: *ticket,
                        state,
                    },
                );
            }
            Note::Handover { .. } => return self.handed_over(note, now),
            Note::LookAgain if self.has_store() => return self.store_is(true, now),
            Note::LookAgain => return,
            Note::Matched { user, .. }
            | Note::Relay { user, .. }
            | Note::Refused { user, .. }
            | Note::Left { user, .. }
            | Note::Away { user, .. }
            | Note::Back { user, .. } => user,
        };

        let Some(&key) = self.users.get(user) else {
            return self.note_for_nobody(note);
        };

        match note {
            Note::Matched {
                session,
                initiator,
                interests,
                partner,
                profile,
                ..
            } => {
                self.matched(key, session, partner, &profile, initiator, interests, now);
            }
            Note::Relay {
                session,
                from,
                sender,
                node,
                payload,
                ..
            } => {
                let is_current = self.call(key).is_some_and(|call| call.session == session);
                if !is_current || !self.deliver(key, from, session.clone(), payload) {
                    self.tell(
                        node,
                        Note::Refused {
                            user: sender,
                            session,
                        },
                    );
                }
            }
            Note::Refused { session, .. } => {
                if self.call(key).is_some_and(|call| call.session == session) {
                    self.reject(key, partner_gone(), None);
                }
            }
            Note::Left {
                session, reason, ..
            } => self.partner_left(key, &session, reason, now),
            Note::Away { session, .. } => self.hear_of_partner(key, &session, true),
            Note::Back { session, node, .. } => {
                let call = self.peers.get_mut(&key).and_then(|peer| peer.call.as_mut());
                let Some(call) = call.filter(|call| call.session == session) else {
                    return;
                };

                if node != own {
                    call.partner.place = Place::Node(node);
                }

                self.hear_of_partner(key, &session, false);
            }
            Note::Takeover { .. } | Note::Handover { .. } | Note::LookAgain => {}
        }
    }

    /// A note for somebody who is not here: who has moved gets it, and who sent it must know.
    fn note_for_nobody(&mut self, note: Note) {
        let Some(cluster) = &self.cluster else { return };
        let user = match &note {
            Note::Relay { user, .. }
            | Note::Left { user, .. }
            | Note::Away { user, .. }
            | Note::Back { user, .. } => user,
            // The user left between its match and this note.
            Note::Matched { user, session, .. } => {
                let (user, session, reason) =
                    (user.clone(), session.clone(), LeaveReason::Disconnected);
                return self.effects.push_back(Effect::Store(Command::End {
                    user,
                    session,
                    reason,
                }));
            }
            _ => return,
        };

        if let Some((node, _)) = cluster.moved.get(user) {
            return self.tell(node.clone(), note);
        }

        if let Note::Relay {
            sender,
            session,
            node,
            ..
        } = note
        {
            self.tell(
                node,
                Note::Refused {
                    user: sender,
                    session,
                },
            );
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
            Outcome::Cancelled {
                key,
                is_matched,
                id,
            } => {
                if is_matched || self.call(key).is_some() {
                    let sentence = "A call is going on: end it first, or ask for the next.";
                    self.reject(key, fault(ErrorCode::AlreadyMatched, sentence), id);
                } else {
                    self.stop_waiting(key);
                    self.reply(key, ServerMessage::SearchCancelled, id);
                }
            }
            Outcome::Undelivered(note) => match *note {
                Note::Relay {
                    sender, session, ..
                } => {
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
            Outcome::Census(users) => self.counted(users, now),
            Outcome::Ended { user, session } => {
                if let Some(&key) = self.users.get(&user) {
                    self.partner_left(key, &session, LeaveReason::Disconnected, now);
                }
            }
            Outcome::Reported {
                key,
                report_id,
                recorded,
                id,
            } => self.report_recorded(key, report_id, recorded, id),
        }
    }

    /// Users of this node, as the store knows it. Some may have left while it was away; others may be on their way here,
    /// because the store hears of a move before the node does.
    fn counted(&mut self, users: Vec<UserId>, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        let waited_for: HashSet<UserId> = cluster
            .strangers
            .iter()
            .map(|(_, user)| user.clone())
            .collect();
        let unknown = |user: &UserId| !self.users.contains_key(user) && !waited_for.contains(user);
        cluster.strangers.extend(
            users
                .into_iter()
                .filter(unknown)
                .map(|user| (now + ARRIVAL, user)),
        );
    }

    pub(super) fn cluster_deadline(&self) -> Option<Instant> {
        let cluster = self.cluster.as_ref()?;
        let retry = cluster.retries.first().map(|&(at, _)| at);
        let takeover = cluster
            .takeovers
            .values()
            .filter_map(|takeover| takeover.until)
            .min();
        let stranger = cluster.strangers.front().map(|&(due, _)| due);

        [retry, takeover, stranger, cluster.next_renewal]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn tick_cluster(&mut self, now: Instant) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        let mut due = Vec::new();
        while let Some(&(at, key)) = cluster.retries.first().filter(|(at, _)| *at <= now) {
            cluster.retries.remove(&(at, key));
            due.push(key);
        }

        cluster.moved.retain(|_, (_, until)| *until > now);
        cluster.moved.tighten();

        while let Some((_, user)) = cluster.strangers.pop_front_if(|(due, _)| *due <= now) {
            if self.users.contains_key(&user) {
                continue;
            }

            if cluster.takeovers.is_empty() {
                let reason = LeaveReason::Disconnected;
                self.effects
                    .push_back(Effect::Store(Command::Remove { user, reason }));
            } else {
                // It may be one of those who are still on their way.
                cluster.strangers.push_back((now + ARRIVAL, user));
            }
        }

        cluster.strangers.tighten();
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
            if let Some(peer) = self.peers.get(&key).filter(|peer| peer.waiting.is_some()) {
                self.effects
                    .push_back(Effect::Store(Command::Retry(peer.user.clone(), session)));
            }
        }

        for ticket in late {
            self.adopt(ticket);
        }

        if renew {
            for key in self
                .keys()
                .into_iter()
                .filter(|key| self.call(*key).is_some())
                .collect::<Vec<_>>()
            {
                self.record_again(key);
            }
        }
    }

    fn tell(&mut self, node: NodeId, note: Note) {
        self.effects
            .push_back(Effect::Store(Command::Tell(node, Box::new(note))));
    }
}

fn record(peer: &Peer, node: &NodeId) -> Record {
    let call = peer.call.as_ref().map(
        |Call {
             session, partner, ..
         }| RemoteCall {
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
        },
    );

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
        ended: Vec::new(),
    }
}
