//! Searches, relaying, and every way a call ends.

use std::time::Instant;

use super::client::{Call, Partner, PartnerLocation, partner_found};
use super::cluster::messages::{NodeMessage, Payload, StoreCommand};
use super::rooms::CLAIM_HOLD;
use super::{Effect, Hub, delivery, fault, millis, search_relation, unavailable};
use crate::message::{
    Blocked, ErrorCode, Fault, FindPartner, KnockEnd, LeaveReason, PartnerLeft, ReportCategory,
    ReportReceived, RequestId, RoomClaimed, Searching, ServerMessage, SessionEnded, SessionId,
    SocketId, UserId, room_number,
};
use crate::server::client_key::ClientKey;
use crate::server::edge::reports::{Party, Report, unix_ms};
use crate::server::matchmaker::{Match, Search};

impl Hub {
    pub(super) fn find_partner(
        &mut self,
        key: ClientKey,
        profile: FindPartner,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let is_charged = profile.guesses_room();
        let result = self.begin_search(key, profile, id, now);

        // Only a room that does not exist is a failed guess. In a cluster, the store knows.
        let is_judged = self.cluster.is_none() || result.is_err();
        let has_failed = matches!(&result, Err(fault) if fault.code == ErrorCode::NoSuchRoom);
        if is_charged && is_judged && !has_failed {
            self.effects.push_back(Effect::RoomFound(key));
        }

        result
    }

    fn begin_search(
        &mut self,
        key: ClientKey,
        profile: FindPartner,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        self.must_not_be_in_call(key)?;
        self.must_not_search(key)?;
        self.must_not_drain()?;
        self.must_have_store()?;
        self.must_have_room(key, &profile)?;

        if let Some(client) = self.clients.get_mut(&key) {
            client.guess_charged = self.cluster.is_some() && profile.guesses_room();
            client.profile = profile;
        }

        self.search(key, id, now);
        Ok(())
    }

    /// A room that exists, for a search that asks for one. A claimed room only lets those in who
    /// say that it must exist: others have guessed its number. In a cluster, the store checks.
    fn must_have_room(&self, key: ClientKey, profile: &FindPartner) -> Result<(), Fault> {
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

    /// Gives the client a room that nobody else gets.
    pub(super) fn claim_room(
        &mut self,
        key: ClientKey,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_not_drain()?;
        self.must_have_store()?;

        let random = (self.ids)().as_u128() as u32;
        if self.claim_in_store(key, random, &id) {
            return Ok(());
        }

        let Some(client) = self.clients.get(&key) else {
            return Ok(());
        };

        let in_use = |number: u32| self.matchmaker.has_room(&number.to_string());
        match self.rooms.claim(&client.user, random, in_use) {
            Some(number) => {
                self.room_claimed(key, number, id);
                Ok(())
            }
            None => Err(unavailable()),
        }
    }

    pub(super) fn room_claimed(&mut self, key: ClientKey, number: u32, id: Option<RequestId>) {
        let claimed = RoomClaimed {
            room: number.to_string(),
            expires_ms: millis(CLAIM_HOLD),
        };
        self.reply(key, ServerMessage::RoomClaimed(claimed), id);
    }

    /// After a call in a room that `key` has claimed, the room is free again.
    fn release_room(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(&key)
            && let Some(room) = client.profile.room.as_deref()
            && let Some(number) = room_number(room)
        {
            client.claims.retain(|claim| claim != room);
            self.rooms.release(number, &client.user);
        }
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

        // A claimed room goes with its call, and so do the searches of those who waited there;
        // another may have been claimed by someone since.
        self.settle_freed_rooms();
        let room = self
            .clients
            .get(&key)
            .map_or(Ok(()), |client| self.must_have_room(key, &client.profile));
        match room {
            Ok(()) => self.search(key, id, now),
            Err(fault) => {
                self.reject(key, fault, id);
                self.send(key, ServerMessage::SearchCancelled);
            }
        }

        Ok(())
    }

    pub(super) fn block(
        &mut self,
        key: ClientKey,
        user: UserId,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let Some(client) = self.clients.get(&key) else {
            return Ok(());
        };

        if client.user == user {
            return Err(fault(
                ErrorCode::BadMessage,
                "`partnerId` is your own id: send the id of the partner to block.",
            ));
        }

        let local = client.person.clone();
        let in_call = client
            .call
            .as_ref()
            .filter(|call| call.partner.user == user);
        let connected = self
            .users
            .get(&user)
            .and_then(|other| self.clients.get(other))
            .map(|other| &other.person);

        let other = in_call
            .map(|call| &call.partner.person)
            .or(connected)
            .or_else(|| client.recent_partner(&user))
            .cloned();
        let (is_in_call, is_connected) = (in_call.is_some(), connected.is_some());

        // A user without a bearer token who is gone never comes back under this name, so there is
        // nothing to remember. In a cluster, the user may be connected to another node.
        if let Some(other) = other
            && (is_connected || self.cluster.is_some() || !other.is_user(&user))
            && local != other
        {
            self.blocks
                .entry(local.clone())
                .or_default()
                .insert(other.clone());
            self.blocks.entry(other).or_default().insert(local);
        }

        self.block_in_store(key, &user);
        if let Some(&other) = self.users.get(&user) {
            self.end_blocked_ring(key, other);
        }

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
        let Some(client) = self.clients.get_mut(&key) else {
            return Ok(());
        };

        let reporter = Party {
            user_id: client.user.clone(),
            subject: client.subject.clone(),
        };

        let current = client
            .call
            .as_ref()
            .filter(|call| call.session == session_id);
        let reported = match current {
            Some(Call { partner, .. }) => Some(Party {
                user_id: partner.user.clone(),
                subject: partner.subject.clone(),
            }),
            None => client.ended(&session_id, now).map(|ended| Party {
                user_id: ended.partner.clone(),
                subject: ended.subject.clone(),
            }),
        };

        let Some(reported) = reported else {
            return Err(fault(
                ErrorCode::NoSuchSession,
                "You were not in this session in the last ten minutes, so you cannot report it.",
            ));
        };

        if !self.config.takes_reports {
            return Err(fault(
                ErrorCode::Unavailable,
                "This server does not record reports: block the user or end the call instead.",
            ));
        }

        let report = Report {
            report_id,
            at_ms: unix_ms((self.config.clock)()),
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

    /// Answers a report after the shell has recorded it, or failed to.
    pub(in crate::server) fn report_recorded(
        &mut self,
        key: ClientKey,
        report_id: String,
        recorded: bool,
        id: Option<RequestId>,
    ) {
        if recorded {
            let received = ReportReceived { report_id };
            self.reply(key, ServerMessage::ReportReceived(received), id);
        } else {
            let text =
                "The report could not be recorded: try again later, or contact the operator.";
            self.reject(key, fault(ErrorCode::Internal, text), id);
        }
    }

    /// Passes a message on to the partner, unread. `to` must be the partner's socket id.
    pub(super) fn relay(
        &mut self,
        key: ClientKey,
        to: &SocketId,
        payload: Payload,
    ) -> Result<(), Fault> {
        let Some((client, call)) = self
            .clients
            .get(&key)
            .and_then(|client| Some((client, client.call.as_ref()?)))
        else {
            return Err(fault(
                ErrorCode::NotMatched,
                "You are not in a call, so there is no partner to send this to.",
            ));
        };

        if call.partner.socket != *to {
            return Err(fault(
                ErrorCode::NotPartner,
                "The field `to` is not your partner's socketId.",
            ));
        }

        let (from, session) = (client.socket.clone(), call.session.clone());

        match &call.partner.location {
            PartnerLocation::Local(receiver) => {
                let receiver = *receiver;
                if self.deliver(receiver, from, session, payload) {
                    Ok(())
                } else {
                    Err(partner_gone())
                }
            }
            PartnerLocation::Node(node) => {
                let message = NodeMessage::Relay {
                    user: call.partner.user.clone(),
                    session,
                    from,
                    sender: client.user.clone(),
                    node: self.must_reach_nodes()?,
                    payload,
                };
                let node = node.clone();
                self.send_to_node(node, message);
                Ok(())
            }
        }
    }

    /// Numbers a relayed message, then sends it, or keeps it for a client that is away. False if
    /// nothing more is kept for that client.
    pub(super) fn deliver(
        &mut self,
        to: ClientKey,
        from: SocketId,
        session: SessionId,
        payload: Payload,
    ) -> bool {
        let Some(receiver) = self.clients.get_mut(&to) else {
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

    /// Puts two clients of this node into a call. The one that has waited longer makes the offer.
    pub(super) fn start_call(&mut self, found: &Match) {
        let session = SessionId::from(self.id());
        for key in [found.older, found.newer] {
            self.hang_up(key, Some(KnockEnd::Answered));
            if let Some(client) = self.clients.get(&key)
                && let Some(room) = &client.profile.room
            {
                // Others who wait there may not be matched with these two, and be left alone now.
                self.listeners.changed(room);
            }
        }

        for (key, partner, initiator) in [
            (found.older, found.newer, true),
            (found.newer, found.older, false),
        ] {
            let other = self
                .clients
                .get(&partner)
                .expect("a client leaves the matchmaker before it leaves the hub");
            let profile = other.profile.clone();
            let partner = other.as_partner(PartnerLocation::Local(partner));
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

    /// Puts one side into a call and sends it `partner_found`.
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
        self.stop_listening(key);
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        client.ringing = false;
        client.search_id = None;
        client.call = Some(Call {
            partner,
            session,
            partner_away: false,
        });
        self.in_call += 1;
        self.send(key, found);
    }

    /// Ends the call of `key`, if it is in one. The partner gets `partner_left` with `reason`. With
    /// `confirm`, `key` itself gets `session_ended`, carrying the request id in it.
    pub(super) fn end_call(
        &mut self,
        key: ClientKey,
        reason: LeaveReason,
        confirm: Option<Option<RequestId>>,
        now: Instant,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        let Some(call) = client.end_call(now) else {
            return;
        };

        let (user, session) = (client.user.clone(), call.session);
        self.in_call -= 1;
        self.release_room(key);

        if let Some(id) = confirm {
            let ended = SessionEnded {
                session_id: session.clone(),
            };
            self.reply(key, ServerMessage::SessionEnded(ended), id);
        }

        if let PartnerLocation::Local(partner) = call.partner.location {
            self.partner_left(partner, &session, reason, now);
        }

        // The store notifies a partner on another node.
        if self.cluster.is_some() {
            self.effects.push_back(Effect::Store(StoreCommand::End {
                user,
                session,
                reason,
            }));
        }
    }

    /// Ends the call of `key` because its partner has left.
    pub(super) fn partner_left(
        &mut self,
        key: ClientKey,
        session: &SessionId,
        reason: LeaveReason,
        now: Instant,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        if client
            .call
            .as_ref()
            .is_none_or(|call| call.session != *session)
        {
            return;
        }

        client.end_call(now);
        self.in_call -= 1;
        self.release_room(key);
        self.send(
            key,
            ServerMessage::PartnerLeft(PartnerLeft {
                session_id: session.clone(),
                reason,
            }),
        );
        self.close_if_drained(key, now);
    }

    /// Notifies the partner of `key`, on whichever node, that its connection broke or is back.
    pub(super) fn notify_partner(&mut self, key: ClientKey, is_away: bool) {
        let Some((client, call)) = self
            .clients
            .get(&key)
            .and_then(|client| Some((client, client.call.as_ref()?)))
        else {
            return;
        };

        let (session, user) = (call.session.clone(), call.partner.user.clone());
        debug_assert_ne!(client.user, user, "a client is not its own partner");

        match call.partner.location.clone() {
            PartnerLocation::Local(partner) => {
                self.partner_connection_changed(partner, &session, is_away);
            }
            PartnerLocation::Node(node) => {
                let Some(local) = self.config.node.clone() else {
                    return;
                };

                let message = if is_away {
                    NodeMessage::Away { user, session }
                } else {
                    NodeMessage::Back {
                        user,
                        session,
                        node: local,
                    }
                };
                self.send_to_node(node, message);
            }
        }
    }

    /// Sends `key` `partner_reconnecting` or `partner_resumed`. A partner that comes back was away,
    /// even if the server had not noticed: then both messages go out, in that order.
    pub(super) fn partner_connection_changed(
        &mut self,
        key: ClientKey,
        session: &SessionId,
        is_away: bool,
    ) {
        let call = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.call.as_mut());
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

pub(super) fn no_such_room() -> Fault {
    fault(
        ErrorCode::NoSuchRoom,
        "There is no such room: check the number, or ask for a new invite.",
    )
}

pub(super) fn partner_gone() -> Fault {
    fault(
        ErrorCode::PartnerGone,
        "Your partner is disconnected and no more can be kept for them: send it again when they \
         are back.",
    )
}
