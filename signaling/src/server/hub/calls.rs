//! Searches, relaying, and every end of a call.

use super::*;
use crate::server::edge::reports::{Party, unix_ms};
use crate::server::store::note::Note;

impl Hub {
    pub(super) fn find_partner(
        &mut self,
        key: ClientKey,
        profile: FindPartner,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        if self.is_searching(key) {
            return Err(fault(
                ErrorCode::AlreadySearching,
                "A search is going on: cancel it before the next one.",
            ));
        }

        self.must_not_drain()?;
        self.must_have_store()?;

        if let Some(peer) = self.peers.get_mut(&key) {
            peer.profile = profile;
        }

        self.search(key, id, now);
        Ok(())
    }

    pub(super) fn cancel_search(
        &mut self,
        key: ClientKey,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        if self.cancel_in_store(key, &id) {
            return Ok(());
        }

        self.stop_searching(key);
        self.reply(key, ServerMessage::SearchCancelled, id);
        Ok(())
    }

    pub(super) fn end_session(
        &mut self,
        key: ClientKey,
        session: &SessionId,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        if self.call(key).is_none_or(|call| call.session != *session) {
            return Err(fault(
                ErrorCode::NoSuchSession,
                "You are not in this session: it may have ended already.",
            ));
        }

        self.end_call(key, LeaveReason::Left, Some(id), now);
        self.close_if_drained(key, now);
        Ok(())
    }

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
            let room = self
                .peers
                .get(&key)
                .and_then(|peer| peer.profile.room.clone());
            self.reply(key, ServerMessage::Searching(Searching { room }), id);
            return Ok(());
        }

        self.must_have_store()?;
        self.end_call(key, LeaveReason::Skipped, None, now);
        self.search(key, id, now);

        Ok(())
    }

    pub(super) fn block(
        &mut self,
        key: ClientKey,
        user: UserId,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get(&key) else {
            return Ok(());
        };

        if peer.user == user {
            return Err(fault(
                ErrorCode::BadMessage,
                "The field `partnerId` is your own: name the partner to block.",
            ));
        }

        let own = peer.person.clone();
        let in_call = peer.call.as_ref().filter(|call| call.partner.user == user);
        let here = self
            .users
            .get(&user)
            .and_then(|other| self.peers.get(other))
            .map(|other| &other.person);

        let other = in_call
            .map(|call| &call.partner.person)
            .or(here)
            .or_else(|| peer.met(&user))
            .cloned();
        let (is_in_call, is_here) = (in_call.is_some(), here.is_some());

        // A user who is gone never comes back under this name, so there is nothing to remember about them; a person
        // with a bearer token does.
        if let Some(other) = other
            && (is_here || self.cluster.is_some() || other != user)
            && own != other
        {
            self.blocks
                .entry(own.clone())
                .or_default()
                .insert(other.clone());
            self.blocks.entry(other).or_default().insert(own);
        }

        self.block_in_store(key, &user);
        if is_in_call {
            self.end_call(key, LeaveReason::Blocked, Some(id.clone()), now);
        }

        self.reply(
            key,
            ServerMessage::Blocked(Blocked { partner_id: user }),
            id,
        );
        self.close_if_drained(key, now);
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        key: ClientKey,
        session_id: SessionId,
        category: ReportCategory,
        text: Option<String>,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let report_id = self.id();
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };

        let reporter = Party {
            user_id: peer.user.clone(),
            subject: peer.subject.clone(),
        };

        let reported = match peer.call.as_ref().filter(|call| call.session == session_id) {
            Some(Call { partner, .. }) => Some(Party {
                user_id: partner.user.clone(),
                subject: partner.subject.clone(),
            }),
            None => peer.ended(&session_id, now).map(|ended| Party {
                user_id: ended.partner.clone(),
                subject: ended.subject.clone(),
            }),
        };

        let Some(reported) = reported else {
            return Err(fault(
                ErrorCode::NoSuchSession,
                "You were not in this session within the last ten minutes, so it cannot be reported.",
            ));
        };

        if !self.config.takes_reports {
            return Err(fault(
                ErrorCode::Unavailable,
                "This relay keeps no reports, so nothing was recorded: you can block the user or end the call.",
            ));
        }

        let at_ms = unix_ms((self.config.clock)());
        let report = Report {
            report_id,
            at_ms,
            session_id,
            category,
            text,
            reporter,
            reported,
        };

        self.effects
            .push_back(Effect::Report(key, Box::new(report), id));
        Ok(())
    }

    /// What became of a report.
    pub(in crate::server) fn report_recorded(
        &mut self,
        key: ClientKey,
        report_id: String,
        recorded: bool,
        id: Option<RequestId>,
    ) {
        if recorded {
            self.reply(
                key,
                ServerMessage::ReportReceived(ReportReceived { report_id }),
                id,
            );
        } else {
            let sentence =
                "The report could not be recorded: send it again later, or write to the operator.";
            self.reject(key, fault(ErrorCode::Internal, sentence), id);
        }
    }

    /// Passes a message to the partner, if `to` is the partner.
    pub(super) fn relay(
        &mut self,
        key: ClientKey,
        to: &SocketId,
        payload: Payload,
    ) -> Result<(), Fault> {
        let Some((peer, call)) = self
            .peers
            .get(&key)
            .and_then(|peer| Some((peer, peer.call.as_ref()?)))
        else {
            return Err(fault(
                ErrorCode::NotMatched,
                "You are in no call: there is nobody to send this to.",
            ));
        };

        if call.partner.socket != *to {
            return Err(fault(
                ErrorCode::NotPartner,
                "The field `to` is not your partner's socketId.",
            ));
        }

        let (from, session) = (peer.socket.clone(), call.session.clone());
        let receiver = match &call.partner.place {
            Place::Here(receiver) => *receiver,
            Place::Node(node) => {
                let (node, user, sender) =
                    (node.clone(), call.partner.user.clone(), peer.user.clone());
                return self.relay_to_node(node, user, session, from, sender, payload);
            }
        };

        match self.deliver(receiver, from, session, payload) {
            true => Ok(()),
            false => Err(partner_gone()),
        }
    }

    /// Numbers a relayed message and sends or keeps it; false if it can be kept no more.
    pub(super) fn deliver(
        &mut self,
        to: ClientKey,
        from: SocketId,
        session: SessionId,
        payload: Payload,
    ) -> bool {
        let Some(receiver) = self.peers.get_mut(&to) else {
            return false;
        };

        let is_away = receiver.is_away();
        let pushed = receiver.delivery.push(payload.bytes(), is_away, |seq| {
            payload.into_message(from, session, seq)
        });

        match pushed {
            Ok(message) if !is_away => self.effects.push_back(Effect::Send(to, message)),
            Ok(_) => {}
            Err(delivery::Full) => return false,
        }

        true
    }

    pub(super) fn is_searching(&self, key: ClientKey) -> bool {
        self.matchmaker.contains(key)
            || self
                .peers
                .get(&key)
                .is_some_and(|peer| peer.waiting.is_some())
    }

    pub(super) fn stop_searching(&mut self, key: ClientKey) {
        self.matchmaker.leave(key);
        self.leave_store(key);
    }

    fn search(&mut self, key: ClientKey, id: Option<RequestId>, now: Instant) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };

        let search = Search {
            room: peer.profile.room.clone(),
            interests: peer.profile.interests.clone(),
        };

        self.reply(
            key,
            ServerMessage::Searching(Searching {
                room: search.room.clone(),
            }),
            id,
        );
        if self.search_in_store(key, now) {
            return;
        }

        let found = self.matchmaker.join(key, search, now, &|a, b| {
            relation(&self.peers, &self.blocks, a, b)
        });

        if let Some(found) = found {
            self.start_call(&found);
        }
    }

    /// Tells both sides about each other. Who waited longer makes the offer.
    pub(super) fn start_call(&mut self, found: &Match) {
        let session = SessionId::from(self.id());
        for (key, partner, initiator) in [
            (found.older, found.newer, true),
            (found.newer, found.older, false),
        ] {
            let other = self
                .peers
                .get(&partner)
                .expect("who waits is there: leaving ends the search");
            let profile = other.profile.clone();
            let partner = other.partner(Place::Here(partner));
            self.enter_call(
                key,
                session.clone(),
                partner,
                &profile,
                initiator,
                found.interests.clone(),
            );
        }
    }

    /// One side of a new call.
    pub(super) fn enter_call(
        &mut self,
        key: ClientKey,
        session: SessionId,
        partner: Partner,
        profile: &FindPartner,
        initiator: bool,
        interests: Vec<String>,
    ) {
        let found = partner_found(profile, &partner, session.clone(), initiator, interests);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.call = Some(Call {
                partner,
                session,
                partner_away: false,
            });

            self.in_call += 1;
            self.send(key, found);
        }
    }

    /// Ends the call of `key`, if any: the partner hears `reason`, and `key` hears `session_ended` if `told` is given
    /// (with the `id` in it).
    pub(super) fn end_call(
        &mut self,
        key: ClientKey,
        reason: LeaveReason,
        told: Option<Option<RequestId>>,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };

        let Some(Call {
            partner, session, ..
        }) = peer.end_call(now)
        else {
            return;
        };

        let user = peer.user.clone();
        self.in_call -= 1;

        if let Some(id) = told {
            self.reply(
                key,
                ServerMessage::SessionEnded(SessionEnded {
                    session_id: session.clone(),
                }),
                id,
            );
        }

        if let Place::Here(partner) = partner.place {
            self.partner_left(partner, &session, reason, now);
        }

        if self.cluster.is_some() {
            self.effects.push_back(Effect::Store(Command::End {
                user,
                session,
                reason,
            }));
        }
    }

    /// The call of `key` is over because of the partner.
    pub(super) fn partner_left(
        &mut self,
        key: ClientKey,
        session: &SessionId,
        reason: LeaveReason,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };

        if peer
            .call
            .as_ref()
            .is_none_or(|call| call.session != *session)
        {
            return;
        }

        peer.end_call(now);
        self.in_call -= 1;
        self.send(
            key,
            ServerMessage::PartnerLeft(PartnerLeft {
                session_id: session.clone(),
                reason,
            }),
        );
        self.close_if_drained(key, now);
    }

    /// Tells the partner of `key` how its connection is doing.
    pub(super) fn tell_partner(&mut self, key: ClientKey, is_away: bool) {
        let Some((peer, call)) = self
            .peers
            .get(&key)
            .and_then(|peer| Some((peer, peer.call.as_ref()?)))
        else {
            return;
        };

        let (session, user) = (call.session.clone(), call.partner.user.clone());
        debug_assert_ne!(peer.user, user, "nobody is in a call with themself");

        match call.partner.place.clone() {
            Place::Here(partner) => self.hear_of_partner(partner, &session, is_away),
            Place::Node(node) => {
                let Some(own) = self.config.node.clone() else {
                    return;
                };

                let note = match is_away {
                    true => Note::Away { user, session },
                    false => Note::Back {
                        user,
                        session,
                        node: own,
                    },
                };

                self.effects
                    .push_back(Effect::Store(Command::Tell(node, Box::new(note))));
            }
        }
    }

    /// `key` hears that its partner is away or back. Who comes back was away, even if nobody had noticed.
    pub(super) fn hear_of_partner(&mut self, key: ClientKey, session: &SessionId, is_away: bool) {
        let call = self.peers.get_mut(&key).and_then(|peer| peer.call.as_mut());
        let Some(call) = call.filter(|call| call.session == *session) else {
            return;
        };

        let was_away = std::mem::replace(&mut call.partner_away, is_away);
        let session = SessionEnded {
            session_id: session.clone(),
        };

        if !was_away {
            self.send(key, ServerMessage::PartnerReconnecting(session.clone()));
        }

        if !is_away {
            self.send(key, ServerMessage::PartnerResumed(session));
        }
    }
}

pub(super) fn partner_gone() -> Fault {
    fault(
        ErrorCode::PartnerGone,
        "Your partner is away and no more can be kept for them: send it again when they are back.",
    )
}
