//! Clients that go on at another node: asked of the node they were on, or taken out of the store if that is dead.

use super::super::delivery::Delivery;
use super::super::peer::subject;
use super::*;
use crate::server::store::note::{Handed, HandedMessage};

/// So long a node may take to hand over a client; then the store is asked whether that node still lives.
const HANDOVER: Duration = Duration::from_secs(2);
/// So long after a client was moved here in the store it may arrive: handed over, or adopted because that took too long.
pub(super) const ARRIVAL: Duration = HANDOVER.saturating_mul(2);
/// So long after a client moved to another node its messages are sent on.
const FORWARDING: Duration = Duration::from_secs(60);

/// A connection that wants the place of somebody who was on another node.
pub(super) struct Takeover {
    key: ClientKey,
    token: String,
    last_seq: u64,
    id: Option<RequestId>,
    /// Until when the other node may answer; nothing once the store is asked.
    pub(super) until: Option<Instant>,
}

impl Hub {
    /// Asks the node of the token for the client that goes on here.
    pub(in crate::server::hub) fn take_over(
        &mut self,
        key: ClientKey,
        token: &str,
        last_seq: u64,
        id: Option<RequestId>,
        now: Instant,
    ) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else {
            return false;
        };

        let Some((node, _)) = token
            .split_once('.')
            .filter(|(node, _)| *node != cluster.node.as_str())
        else {
            return false;
        };

        // Whatever a client sends as a token does not become a channel of the store.
        if !cluster.available || Uuid::try_parse(node).is_err() || token.len() > 128 {
            return false;
        }

        let ticket = cluster.next_ticket;
        cluster.next_ticket += 1;
        let until = Some(now + HANDOVER);
        cluster.takeovers.insert(
            ticket,
            Takeover {
                key,
                token: token.to_owned(),
                last_seq,
                id,
                until,
            },
        );
        peer.resuming = Some(Vec::new());
        let by = cluster.node.clone();
        let note = Note::Takeover {
            token: token.to_owned(),
            subject: peer.subject.clone(),
            by,
            ticket,
        };

        self.tell(NodeId::from(node.to_owned()), note);
        true
    }

    /// A client of this node goes on at node `by`.
    pub(super) fn hand_over(
        &mut self,
        token: &str,
        subject: Option<&str>,
        by: &NodeId,
        now: Instant,
    ) -> Option<Handed> {
        let &key = self.tokens.get(token)?;
        if self
            .peers
            .get(&key)
            .is_none_or(|peer| peer.subject.as_deref() != subject)
        {
            return None;
        }

        let peer = self.take_out(key)?;
        match peer.away_until {
            Some(until) => {
                self.away.remove(&(until, key));
            }
            None => self
                .effects
                .push_back(Effect::Close(key, CloseReason::Replaced)),
        }

        if let Some(Call {
            session,
            partner:
                Partner {
                    place: Place::Here(partner),
                    ..
                },
            ..
        }) = &peer.call
        {
            let (partner, session) = (*partner, session.clone());
            if let Some(call) = self
                .peers
                .get_mut(&partner)
                .and_then(|partner| partner.call.as_mut())
            {
                call.partner.place = Place::Node(by.clone());
            }

            if !peer.is_away() {
                self.hear_of_partner(partner, &session, true);
            }
        }

        if peer.is_recorded {
            self.effects.push_back(Effect::Store(Command::Move {
                user: peer.user.clone(),
                to: by.clone(),
            }));
        }

        let cluster = self.cluster.as_mut()?;
        cluster
            .moved
            .insert(peer.user.clone(), (by.clone(), now + FORWARDING));
        let kept = peer.delivery.kept().filter_map(|envelope| {
            let (payload, from, session, seq) = Payload::from_message(&envelope.message)?;
            Some(HandedMessage {
                seq,
                from: from.clone(),
                session: session.clone(),
                payload,
            })
        });

        Some(Handed {
            record: Record {
                ended: peer.ended_calls(now),
                ..record(&peer, &cluster.node)
            },
            seq: peer.delivery.seq(),
            kept: kept.collect(),
            partner_away: peer.call.as_ref().is_some_and(|call| call.partner_away),
            is_recorded: peer.is_recorded,
        })
    }

    pub(super) fn handed_over(&mut self, note: Note, now: Instant) {
        let Note::Handover { ticket, state } = note else {
            return;
        };

        let Some(state) = state else {
            return self.give_up_takeover(ticket, now);
        };

        let Handed {
            record,
            seq,
            kept,
            partner_away,
            is_recorded,
        } = *state;
        let oldest = kept
            .first()
            .map_or(seq, |first| first.seq.saturating_sub(1));
        let mut delivery = Delivery::starting_after(oldest);

        for HandedMessage {
            seq,
            from,
            session,

            payload,
        } in kept
        {
            let bytes = payload.bytes();
            delivery.keep(seq, bytes, payload.into_message(from, session, seq));
        }

        self.move_in(ticket, record, delivery, partner_away, is_recorded, now);
    }

    pub(super) fn adopted(&mut self, ticket: u64, record: Record, now: Instant) {
        // What the dead node had numbered is not known; the client's own count is.
        let takeovers = self.cluster.as_ref().map(|cluster| &cluster.takeovers);
        let seq = takeovers
            .and_then(|takeovers| takeovers.get(&ticket))
            .map_or(0, |takeover| takeover.last_seq);
        self.move_in(
            ticket,
            record,
            Delivery::starting_after(seq),
            false,
            true,
            now,
        );
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
        } = record;

        let Some(takeover) = cluster.takeovers.remove(&ticket) else {
            // Nobody waits for this client any more; its node has forgotten it, so the store must, too.
            if is_recorded {
                let command = Command::Remove {
                    user: card.user,
                    reason: LeaveReason::Disconnected,
                };

                self.effects.push_back(Effect::Store(command));
            }
            return;
        };

        cluster.moved.remove(&card.user);
        let subject = subject(&card.user, &card.person);
        let mut peer = Peer::new(card.user, card.socket, token, subject);
        (
            peer.profile,
            peer.last_partner,
            peer.delivery,
            peer.is_recorded,
        ) = (profile, last_partner, delivery, is_recorded);
        peer.remember_calls(ended, now);
        peer.call = call.map(|RemoteCall { session, partner }| {
            let mut partner = Partner::from_card(partner);
            if let Some(&local) = self.users.get(&partner.user) {
                partner.place = Place::Here(local);
            }

            Call {
                session,
                partner,
                partner_away,
            }
        });

        if !self.peers.contains_key(&takeover.key) {
            // Its connection broke meanwhile: it is away, here.
            let key = self.connect(peer.subject.clone());
            self.put_in(key, peer, takeover.last_seq, None);
            return self.disconnect(key, now);
        }

        let said = self
            .peers
            .get_mut(&takeover.key)
            .and_then(|peer| peer.resuming.take());
        self.put_in(takeover.key, peer, takeover.last_seq, takeover.id);
        self.say_again(takeover.key, said, now);
    }

    pub(super) fn give_up_takeover(&mut self, ticket: u64, now: Instant) {
        let Some(takeover) = self
            .cluster
            .as_mut()
            .and_then(|cluster| cluster.takeovers.remove(&ticket))
        else {
            return;
        };

        let said = self
            .peers
            .get_mut(&takeover.key)
            .and_then(|peer| peer.resuming.take());
        let sentence = "There is nothing to resume with this token: you are a new user now.";
        self.reject(
            takeover.key,
            fault(ErrorCode::Unauthorized, sentence),
            takeover.id,
        );
        self.say_again(takeover.key, said, now);
    }

    fn say_again(&mut self, key: ClientKey, said: Option<Vec<ClientEnvelope>>, now: Instant) {
        for envelope in said.into_iter().flatten() {
            self.receive(key, envelope, now);
        }
    }

    /// The node of the token does not answer: the store knows whether it lives.
    pub(super) fn adopt(&mut self, ticket: u64) {
        let takeovers = self.cluster.as_mut().map(|cluster| &mut cluster.takeovers);
        let Some(takeover) = takeovers.and_then(|takeovers| takeovers.get_mut(&ticket)) else {
            return;
        };

        if takeover.until.take().is_some() {
            let subject = self
                .peers
                .get(&takeover.key)
                .and_then(|peer| peer.subject.clone());
            let token = takeover.token.clone();
            self.effects.push_back(Effect::Store(Command::Adopt {
                ticket,
                token,
                subject,
            }));
        }
    }
}
