//! Clients whose connection broke, and connections that resume them.

use std::time::Instant;

use super::calls::partner_gone;
use super::client::{Client, PartnerLocation};
use super::{ClientRole, Effect, Hub, MAX_AWAY, fault};
use crate::message::{
    ErrorCode, Fault, LeaveReason, RequestId, Resumed, ServerMessage, SessionEnded,
};
use crate::server::client_key::ClientKey;
use crate::server::outbound::CloseReason;

impl Hub {
    /// A connection ended without `bye`. Its client stays, away, until the resume window ends.
    pub(in crate::server) fn disconnect(&mut self, key: ClientKey, now: Instant) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        if client.is_away() {
            return;
        }

        self.lose(key, now);
        self.settle_rings(now);
    }

    fn lose(&mut self, key: ClientKey, now: Instant) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        // A connection that waits for a takeover has nothing of its own to keep. The client that it
        // asked for arrives as away if the takeover succeeds.
        if self.config.resume_window.is_zero() || client.held.is_some() {
            self.remove(key, LeaveReason::Disconnected, now);
            return;
        }

        let until = now + self.config.resume_window;
        client.away_until = Some(until);
        self.away.insert((until, key));
        self.stop_searching(key);
        self.notify_partner(key, true);
        self.close_if_drained(key, now);

        if self.away.len() > MAX_AWAY
            && let Some((_, oldest)) = self.away.pop_first()
        {
            self.remove(oldest, LeaveReason::Disconnected, now);
        }
    }

    /// The new connection `key` asks to continue as the client that `token` names.
    ///
    /// That client may still look connected: the server often learns of a broken connection later
    /// than the client does. The old connection is then closed with 4002.
    pub(super) fn resume(
        &mut self,
        key: ClientKey,
        token: &str,
        last_seq: u64,
        is_first: bool,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        if !is_first {
            return Err(fault(
                ErrorCode::Unauthorized,
                "`resume` must be the first message on a connection.",
            ));
        }

        let Some(&old) = self.tokens.get(token).filter(|&&old| old != key) else {
            return if self.request_takeover(key, token, last_seq, id, now) {
                Ok(())
            } else {
                Err(nothing_to_resume())
            };
        };

        // A resume token does not carry another person's identity.
        let identity = |key: &ClientKey| {
            let client = self.clients.get(key)?;
            Some((&client.subject, client.role, client.is_private))
        };
        let (Some((old_subject, old_role, _)), Some((subject, role, is_private))) =
            (identity(&old), identity(&key))
        else {
            return Err(nothing_to_resume());
        };
        if old_subject != subject || !old_role.is_resumed_by(role) {
            return Err(nothing_to_resume());
        }

        let Some(mut client) = self.detach(old) else {
            return Err(nothing_to_resume());
        };

        // The address may be another one.
        client.is_private = is_private;
        if let ClientRole::Visitor(_) = role {
            client.role = role;
        }

        match client.away_until.take() {
            Some(until) => {
                self.away.remove(&(until, old));
            }
            None => self
                .effects
                .push_back(Effect::Close(old, CloseReason::Replaced)),
        }

        self.attach(key, client, last_seq, id, now);
        Ok(())
    }

    /// Takes a client out of the hub, with its call, so that it can continue under another key or
    /// on another node.
    pub(super) fn detach(&mut self, key: ClientKey) -> Option<Client> {
        self.stop_searching(key);
        let client = self.clients.remove(&key)?;
        self.users.remove(&client.user);
        self.tokens.remove(&client.token);
        self.shrink_tables();

        if client.call.is_some() {
            self.in_call -= 1;
        }

        Some(client)
    }

    /// Makes the connection `key` continue as `client`. The user that the connection got when it
    /// opened is dropped, but its resume token stays: it becomes the client's.
    pub(super) fn attach(
        &mut self,
        key: ClientKey,
        mut client: Client,
        last_seq: u64,
        id: Option<RequestId>,
        now: Instant,
    ) {
        let Some(new) = self.clients.remove(&key) else {
            return;
        };

        self.users.remove(&new.user);
        debug_assert!(
            new.held.is_none_or(|held| held.is_empty()),
            "`cluster::takeover` replays what was held"
        );

        client.token = new.token;
        client.peer = new.peer;
        client.is_new = false;
        let (missed, lost) = client.delivery.resume(last_seq);
        let (call, peer) = (client.call.clone(), client.peer);
        self.tokens.insert(client.token.clone(), key);
        self.users.insert(client.user.clone(), key);
        self.clients.insert(key, client);

        let resumed = Resumed {
            missed: missed.len() as u64,
            session_id: call.as_ref().map(|call| call.session.clone()),
        };
        self.reply(key, ServerMessage::Resumed(resumed), id);
        self.effects
            .extend(missed.into_iter().map(|message| Effect::Send(key, message)));

        if let Some(call) = call {
            self.in_call += 1;
            let partner = match call.partner.location {
                PartnerLocation::Local(partner) => Some(partner),
                PartnerLocation::Node(_) => None,
            };

            if let Some(call) = partner
                .and_then(|partner| self.clients.get_mut(&partner))
                .and_then(|partner| partner.call.as_mut())
            {
                call.partner.location = PartnerLocation::Local(key);
                // A report after the call names where it was last.
                call.partner.peer = peer.or(call.partner.peer);
            }

            self.notify_partner(key, false);

            if lost > 0
                && let Some(partner) = partner
            {
                self.reject(partner, partner_gone(), None);
            }

            if call.partner_away {
                self.send(
                    key,
                    ServerMessage::PartnerReconnecting(SessionEnded {
                        session_id: call.session,
                    }),
                );
            }
        }

        self.resume_knock(key);
        self.sync_to_store(key, now);
    }
}

pub(super) fn nothing_to_resume() -> Fault {
    fault(
        ErrorCode::Unauthorized,
        "This token does not resume anything: you are connected as a new user.",
    )
}
