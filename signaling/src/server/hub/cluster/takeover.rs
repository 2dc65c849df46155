//! Clients that resume on another node than the one they were on.
//!
//! A load balancer may send a client that reconnects to any node. The new node reads from the
//! resume token which node has the client, and asks that node for it:
//!
//! 1. The new node sends [`NodeMessage::Takeover`] to the old one. What the connection sends from
//!    now on is held, because it is not decided yet which client it is.
//! 2. The old node takes the client out of its hub, closes the old connection, notifies the store
//!    that the client moved ([`StoreCommand::Move`]) and answers [`NodeMessage::Handover`] with all
//!    that it knows: record, call, kept messages. From then on it owns nothing of the client and
//!    only forwards what still arrives for it.
//! 3. The new node makes the client its own and replays what was held.
//!
//! If the old node does not answer within [`HANDOVER_TIMEOUT`], the new one asks the store
//! ([`StoreCommand::Adopt`]). The store gives a client away only if its node is dead, so that two
//! nodes never own the same client. Only the record survives then; the kept messages are lost.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::messages::{
    HandoverState, KeptMessage, NodeId, NodeMessage, Payload, Record, RemoteCall, StoreCommand,
};
use crate::message::{ClientEnvelope, LeaveReason, RequestId};
use crate::server::client_key::ClientKey;
use crate::server::hub::client::{Call, Client, Partner, PartnerLocation};
use crate::server::hub::delivery::Delivery;
use crate::server::hub::ids::{ResumeToken, Ticket};
use crate::server::hub::resume::nothing_to_resume;
use crate::server::hub::{ClientRole, Effect, Hub};
use crate::server::outbound::CloseReason;

/// How long the old node may take to hand a client over, before the store is asked whether that
/// node is alive.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client that the store has already moved here may take to arrive: handed over, or
/// adopted because the handover took too long.
pub(super) const ARRIVAL_TIMEOUT: Duration = HANDOVER_TIMEOUT.saturating_mul(2);
/// How long messages for a client that moved to another node are forwarded.
const FORWARDING_PERIOD: Duration = Duration::from_secs(60);
/// Bytes. A token is a UUID, a dot and 64 characters; anything longer is not one of ours.
const MAX_TOKEN_BYTES: usize = 128;

/// A connection of this node that asks for a client of another node.
pub(super) struct Takeover {
    key: ClientKey,
    token: ResumeToken,
    last_seq: u64,
    id: Option<RequestId>,
    /// Until when the old node may answer. `None` once the store has been asked.
    pub(super) deadline: Option<Instant>,
}

impl Hub {
    /// Asks the node that issued `token` for its client. False if no other node can have issued it.
    pub(in crate::server::hub) fn request_takeover(
        &mut self,
        key: ClientKey,
        token: &str,
        last_seq: u64,
        id: Option<RequestId>,
        now: Instant,
    ) -> bool {
        let (Some(cluster), Some(client)) = (&mut self.cluster, self.clients.get_mut(&key)) else {
            return false;
        };

        let Some((node, _)) = token
            .split_once('.')
            .filter(|(node, _)| *node != cluster.node.as_str())
        else {
            return false;
        };

        // The node's name becomes part of a channel's name in the store, so it must not be any text
        // that a client likes to send.
        let is_node = Uuid::try_parse(node).is_ok() && token.len() <= MAX_TOKEN_BYTES;
        if !cluster.available || !is_node {
            return false;
        }

        let ticket = Ticket::new(cluster.next_ticket);
        cluster.next_ticket += 1;

        let token = ResumeToken::from(token.to_owned());
        let takeover = Takeover {
            key,
            token: token.clone(),
            last_seq,
            id,
            deadline: Some(now + HANDOVER_TIMEOUT),
        };
        cluster.takeovers.insert(ticket, takeover);
        client.held = Some(Vec::new());

        let request = NodeMessage::Takeover {
            token,
            subject: client.subject.clone(),
            by: cluster.node.clone(),
            ticket,
        };
        self.send_to_node(NodeId::from(node.to_owned()), request);
        true
    }

    /// Gives a client of this node to node `by`. `None` if there is no such client, or another
    /// person asks for it.
    pub(super) fn hand_over(
        &mut self,
        token: &ResumeToken,
        subject: Option<&str>,
        by: &NodeId,
        now: Instant,
    ) -> Option<HandoverState> {
        let &key = self.tokens.get(token)?;
        if self.clients.get(&key)?.subject.as_deref() != subject {
            return None;
        }

        let client = self.detach(key)?;
        match client.away_until {
            Some(until) => {
                self.away.remove(&(until, key));
            }
            None => self
                .effects
                .push_back(Effect::Close(key, CloseReason::Replaced)),
        }

        self.move_partner_reference(&client, by);

        if client.is_recorded {
            self.effects.push_back(Effect::Store(StoreCommand::Move {
                user: client.user.clone(),
                to: by.clone(),
            }));
        }

        let cluster = self.cluster.as_mut()?;
        cluster
            .moved
            .insert(client.user.clone(), (by.clone(), now + FORWARDING_PERIOD));

        let kept = client.delivery.kept().filter_map(|envelope| {
            let (payload, from, session, seq) = Payload::from_message(&envelope.message)?;
            Some(KeptMessage {
                seq,
                from: from.clone(),
                session: session.clone(),
                payload,
            })
        });

        Some(HandoverState {
            record: Record {
                ended: client.ended_calls(now),
                listening: super::listening_record(&client),
                claims: client.claims_at(now),
                ..super::record(&client, &cluster.node)
            },
            seq: client.delivery.seq(),
            kept: kept.collect(),
            partner_away: client.call.as_ref().is_some_and(|call| call.partner_away),
            is_recorded: client.is_recorded,
        })
    }

    /// If `client`, which moves to node `by`, is in a call with another client of this node, points
    /// that call to the new node.
    fn move_partner_reference(&mut self, client: &Client, by: &NodeId) {
        let Some(call) = &client.call else { return };
        let PartnerLocation::Local(partner) = call.partner.location else {
            return;
        };

        if let Some(partners_call) = self
            .clients
            .get_mut(&partner)
            .and_then(|partner| partner.call.as_mut())
        {
            partners_call.partner.location = PartnerLocation::Node(by.clone());
        }

        if !client.is_away() {
            self.partner_connection_changed(partner, &call.session, true);
        }
    }

    /// The old node's answer to a takeover.
    pub(super) fn receive_handover(&mut self, message: NodeMessage, now: Instant) {
        let NodeMessage::Handover { ticket, state } = message else {
            return;
        };

        let Some(state) = state else {
            return self.give_up_takeover(ticket, now);
        };

        let HandoverState {
            record,
            seq,
            kept,
            partner_away,
            is_recorded,
        } = *state;

        let before_oldest = kept
            .first()
            .map_or(seq, |first| first.seq.saturating_sub(1));
        let mut delivery = Delivery::starting_after(before_oldest);

        for message in kept {
            let KeptMessage {
                seq,
                from,
                session,
                payload,
            } = message;
            let bytes = payload.bytes();
            delivery.keep(seq, bytes, payload.into_message(from, session, seq));
        }

        self.move_in(ticket, record, delivery, partner_away, is_recorded, now);
    }

    /// The store gives this node a client whose own node is dead.
    pub(super) fn adopt(&mut self, ticket: Ticket, record: Record, now: Instant) {
        // How far the dead node had numbered is unknown, but the client knows what it got.
        let takeovers = self.cluster.as_ref().map(|cluster| &cluster.takeovers);
        let seq = takeovers
            .and_then(|takeovers| takeovers.get(&ticket))
            .map_or(0, |takeover| takeover.last_seq);
        let delivery = Delivery::starting_after(seq);

        self.move_in(ticket, record, delivery, false, true, now);
    }

    /// Makes a client of another node one of this node, on the connection that asked for it.
    fn move_in(
        &mut self,
        ticket: Ticket,
        record: Record,
        delivery: Delivery,
        partner_away: bool,
        is_recorded: bool,
        now: Instant,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };

        let Record {
            card,
            token,
            profile,
            last_partner,
            call,
            ended,
            listening,
            claims,
        } = record;

        let Some(takeover) = cluster.takeovers.remove(&ticket) else {
            // This takeover has been given up, and the old node has forgotten the client: no node
            // owns it any more, so the store must forget it too.
            if is_recorded {
                self.effects.push_back(Effect::Store(StoreCommand::Remove {
                    user: card.user,
                    reason: LeaveReason::Disconnected,
                }));
            }
            return;
        };

        cluster.moved.remove(&card.user);
        let subject = card.person.subject_of(&card.user);
        let role = ClientRole::Anyone;
        let mut client = Client::new(card.user, card.socket, token, subject, role, card.peer);
        client.profile = profile;
        client.last_partner = last_partner;
        client.delivery = delivery;
        client.is_recorded = is_recorded;
        client.listening = listening.map(|listening| Box::new(listening.into()));
        client.take_claims(claims, now);
        client.remember_calls(ended, now);
        client.call = call.map(|RemoteCall { session, partner }| {
            let mut partner = Partner::from_card(partner);
            if let Some(&local) = self.users.get(&partner.user) {
                partner.location = PartnerLocation::Local(local);
            }

            Call {
                partner,
                session,
                partner_away,
            }
        });

        if !self.clients.contains_key(&takeover.key) {
            // The connection that asked broke meanwhile, so the client is here, but away.
            let key = self.connect(client.subject.clone(), role, client.peer);
            self.attach(key, client, takeover.last_seq, None, now);
            return self.disconnect(key, now);
        }

        let held = self.take_held(takeover.key);
        self.attach(takeover.key, client, takeover.last_seq, takeover.id, now);
        self.replay(takeover.key, held, now);
    }

    /// There is no client to take over: the connection continues as the new user that it is.
    pub(super) fn give_up_takeover(&mut self, ticket: Ticket, now: Instant) {
        let Some(takeover) = self
            .cluster
            .as_mut()
            .and_then(|cluster| cluster.takeovers.remove(&ticket))
        else {
            return;
        };

        let held = self.take_held(takeover.key);
        self.reject(takeover.key, nothing_to_resume(), takeover.id);
        self.replay(takeover.key, held, now);
    }

    fn take_held(&mut self, key: ClientKey) -> Vec<ClientEnvelope> {
        self.clients
            .get_mut(&key)
            .and_then(|client| client.held.take())
            .unwrap_or_default()
    }

    fn replay(&mut self, key: ClientKey, held: Vec<ClientEnvelope>, now: Instant) {
        for envelope in held {
            self.receive(key, envelope, now);
        }
    }

    /// The old node does not answer. Asks the store, which knows whether that node is alive.
    pub(super) fn request_adoption(&mut self, ticket: Ticket) {
        let Some(takeover) = self
            .cluster
            .as_mut()
            .and_then(|cluster| cluster.takeovers.get_mut(&ticket))
        else {
            return;
        };

        if takeover.deadline.take().is_none() {
            return;
        }

        let subject = self
            .clients
            .get(&takeover.key)
            .and_then(|client| client.subject.clone());
        let adopt = StoreCommand::Adopt {
            ticket,
            token: takeover.token.clone(),
            subject,
        };
        self.effects.push_back(Effect::Store(adopt));
    }
}
