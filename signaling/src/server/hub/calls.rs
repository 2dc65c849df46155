//! Calls: how they begin, relaying, reports and blocks, and every way a call ends.

use std::time::Instant;

use super::client::{Call, Partner, PartnerLocation, partner_found};
use super::cluster::messages::{NodeMessage, Payload, StoreCommand};
use super::{Effect, Hub, delivery, fault};
use crate::message::{
    Blocked, ErrorCode, Fault, FindPartner, KnockEnd, LeaveReason, PartnerLeft, RequestId,
    ServerMessage, SessionEnded, SessionId, SocketId, UserId,
};
use crate::server::client_key::ClientKey;
use crate::server::matchmaker::Match;

impl Hub {
    pub(super) fn end_session(
        &mut self,
        key: ClientKey,
        session: &SessionId,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        if self.call(key).is_none_or(|call| call.session != *session) {
            self.revoke_ended_call(key, session, now);
            return Err(fault(
                ErrorCode::NoSuchSession,
                "You are not in this session: it may have ended already.",
            ));
        }

        self.end_call(key, LeaveReason::Left, Some(id), now);
        self.close_if_drained(key, now);
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

        let is_lasting = client.subject.is_some();

        // A user without a bearer token who is gone never comes back under this name, so there is
        // nothing to remember. In a cluster, the user may be connected to another node.
        if let Some(other) = &other
            && (is_connected || self.cluster.is_some() || !other.is_user(&user))
            && local != *other
        {
            self.blocks.add(&local, is_lasting, other);
        }

        self.block_in_store(key, &user, other);
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

    fn is_private(&self, key: ClientKey) -> bool {
        let client = self.clients.get(&key);
        client.is_some_and(|client| client.is_private)
    }

    /// The connection of a new client comes from a private or loopback address.
    pub(in crate::server) fn set_private(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.is_private = true;
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
        let both_private = match &partner.location {
            PartnerLocation::Local(other) => self.is_private(key) && self.is_private(*other),
            // Its address is known on its own node only.
            PartnerLocation::Node(_) => false,
        };
        let mut found = partner_found(
            profile,
            &partner,
            session.clone(),
            initiator,
            interests,
            both_private,
        );
        self.stop_listening(key);
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        let ice = &self.config.ice;
        if ice.binds_to_calls() {
            let now = (self.config.clock)();
            let servers = ice.for_user(&client.user, Some(&session), now);
            found.ice_servers_ttl = Some(servers.ttl);
            found.ice_servers = Some(servers.ice_servers);
        }

        client.ringing = false;
        client.search_id = None;
        client.call = Some(Call {
            partner,
            session,
            partner_away: false,
        });
        self.in_call += 1;
        self.send(key, ServerMessage::PartnerFound(Box::new(found)));
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
        self.call_over(key, now);

        if let Some(id) = confirm {
            let ended = SessionEnded {
                session_id: session.clone(),
            };
            self.reply(key, ServerMessage::SessionEnded(ended), id);
        }

        self.revoke_call(&session, reason, now);
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
        self.call_over(key, now);
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
        let peer = client.peer;
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
                        peer,
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

pub(super) fn partner_gone() -> Fault {
    fault(
        ErrorCode::PartnerGone,
        "Your partner is disconnected and no more can be kept for them: send it again when they \
         are back.",
    )
}
