//! One client, and the call it is in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::messages::{Card, ClaimRecord, EndedCall, NodeId};
use super::delivery::Delivery;
use super::ids::{ClaimHash, PersonId, ResumeToken};
use super::millis;
use super::ring_only::ClientRole;
use super::rooms::CLAIMS_PER_CLIENT;
use crate::message::{
    ClientEnvelope, FindPartner, Knock, KnockId, NO_NAME, PartnerFound, RequestId, SessionId,
    SocketId, UserId,
};
use crate::server::client_key::ClientKey;
use crate::server::moderation::key::PeerHash;

/// How long after its end a call can be reported. `cluster.lua` has the same figure (`ENDED_TTL`).
const REPORTABLE: Duration = Duration::from_secs(600);
/// Ended calls to remember for each client; the oldest go first. More than one call in ten seconds
/// for ten minutes is skipping, not calling. `cluster.lua` has the same figure (`ENDED_CALLS`).
const MAX_ENDED_CALLS: usize = 64;

/// Where a partner is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartnerLocation {
    /// On this node.
    Local(ClientKey),
    /// On another node of the cluster.
    Node(NodeId),
}

/// The partner in a call.
#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub(super) user: UserId,
    pub(super) socket: SocketId,
    pub(super) person: PersonId,
    /// The `sub` of the partner's bearer token, for reports.
    pub(super) subject: Option<String>,
    /// Who the partner is to the operator, for reports, too.
    pub(super) peer: Option<PeerHash>,
    pub(super) location: PartnerLocation,
}

impl Partner {
    /// A partner on another node.
    pub(super) fn from_card(card: Card) -> Self {
        let Card {
            user,
            socket,
            person,
            node,
            peer,
        } = card;

        Self {
            subject: person.subject_of(&user),
            user,
            socket,
            person,
            peer,
            location: PartnerLocation::Node(node),
        }
    }
}

/// A call, as one of its two sides sees it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) partner: Partner,
    pub(super) session: SessionId,
    /// Whether this side was last notified that the partner's connection is broken.
    pub(super) partner_away: bool,
}

/// A call that is over and can still be reported.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) session: SessionId,
    pub(super) partner: UserId,
    pub(super) person: PersonId,
    pub(super) subject: Option<String>,
    pub(super) peer: Option<PeerHash>,
    /// When it is forgotten.
    until: Instant,
}

/// The rooms in which a client listens, at most [`MAX_LISTEN_ROOMS`](crate::message::MAX_LISTEN_ROOMS)
/// of them, and its knock. With the tables of `listeners` about 4 KB, and 33 KB more while someone
/// with a large profile picture rings.
#[derive(Debug, Clone, Default)]
pub(super) struct Listening {
    pub(super) rooms: Vec<Arc<str>>,
    /// The knock that has not ended.
    pub(super) knock: Option<Box<Knock>>,
    /// The knock that the client itself believes not to have ended. Another one than `knock` only
    /// while the client is away.
    pub(super) shown: Option<KnockId>,
}

/// A room that a client has claimed in the shared store.
#[derive(Debug, Clone)]
pub(super) struct StoreClaim {
    pub(super) room: String,
    /// The [`ClaimHash`](super::ids::ClaimHash) of its token, as text.
    pub(super) hash: String,
    /// When it ends, because the client's call there is over.
    pub(super) until: Option<Instant>,
}

/// One client of this node, connected or away.
#[derive(Debug)]
pub(super) struct Client {
    /// Its name on the wire for relaying (`to`, `from`). It keeps this name when it resumes.
    pub(super) socket: SocketId,
    pub(super) user: UserId,
    /// The `sub` of its bearer token.
    pub(super) subject: Option<String>,
    /// Who it is on a server that lets people ring its owner alone.
    pub(super) role: ClientRole,
    /// Its connection comes from a private or loopback address.
    pub(super) is_private: bool,
    pub(super) person: PersonId,
    /// Who it is to the operator, by its last connection.
    pub(super) peer: Option<PeerHash>,
    /// The token that resumes this client. Every resume replaces it.
    pub(super) token: ResumeToken,
    /// As sent with its last `find_partner`; `next` searches with it again.
    pub(super) profile: FindPartner,
    /// The `id` of the message that began its search, for an error that ends it.
    pub(super) search_id: Option<RequestId>,
    /// Whether it was last told that its search rings.
    pub(super) ringing: bool,
    /// When it rang last. Not in a cluster, where the store knows.
    pub(super) last_knock: Option<Instant>,
    /// When a caller rang at it last, unless it declined. Not in a cluster, either.
    pub(super) last_rung: Option<Instant>,
    /// What it listens in, and who rings.
    pub(super) listening: Option<Box<Listening>>,
    pub(super) call: Option<Call>,
    /// Oldest first.
    ended: VecDeque<Ended>,
    /// The partner of the last call that ended: the two are kept apart for a while.
    pub(super) last_partner: Option<PersonId>,
    pub(super) delivery: Delivery,
    /// Set while the connection is broken: until when the client can be resumed.
    pub(super) away_until: Option<Instant>,
    /// Whether nothing has come from this connection yet. `resume` is only valid as the first
    /// message.
    pub(super) is_new: bool,
    /// Since when it has been searching in the shared store, if it is.
    pub(super) store_search_since: Option<Instant>,
    /// Counts its searches in the shared store.
    pub(super) search_number: u64,
    /// The knock with which its search in the shared store rings, and when that ends.
    pub(super) ring: Option<(KnockId, Instant)>,
    /// What the caller will see, while the shared store decides whether a knock that it has
    /// accepted still exists.
    pub(super) accepting: Option<Box<FindPartner>>,
    /// The rooms that it has claimed in the shared store, oldest first.
    pub(super) claims: Vec<StoreClaim>,
    /// Whether the store has a record of it.
    pub(super) is_recorded: bool,
    /// Its address was charged for a guess at a room, which the store has not judged yet.
    pub(super) guess_charged: bool,
    /// Set while it waits to take over a client from another node: the messages it has sent since.
    pub(super) held: Option<Vec<ClientEnvelope>>,
}

impl Client {
    pub(super) fn new(
        user: UserId,
        socket: SocketId,
        token: ResumeToken,
        subject: Option<String>,
        role: ClientRole,
        peer: Option<PeerHash>,
    ) -> Self {
        Self {
            socket,
            person: PersonId::new(&user, subject.as_deref()),
            user,
            subject,
            role,
            is_private: false,
            peer,
            token,
            profile: FindPartner::default(),
            search_id: None,
            ringing: false,
            last_knock: None,
            last_rung: None,
            listening: None,
            call: None,
            ended: VecDeque::new(),
            last_partner: None,
            delivery: Delivery::default(),
            away_until: None,
            is_new: true,
            store_search_since: None,
            search_number: 0,
            ring: None,
            accepting: None,
            claims: Vec::new(),
            is_recorded: false,
            guess_charged: false,
            held: None,
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_until.is_some()
    }

    /// The shared store has given it this room.
    pub(super) fn remember_claim(&mut self, number: u32, hash: ClaimHash) {
        let (room, hash) = (number.to_string(), hash.to_string());
        self.claims.retain(|claim| claim.room != room);
        if self.claims.len() >= CLAIMS_PER_CLIENT {
            self.claims.remove(0);
        }

        self.claims.push(StoreClaim {
            room,
            hash,
            until: None,
        });
    }

    /// The rooms that it has claimed in the shared store, for that store or another node.
    pub(super) fn claims_at(&self, now: Instant) -> Vec<ClaimRecord> {
        let has_ended = |until: &Instant| *until <= now;
        self.claims
            .iter()
            .filter(|claim| !claim.until.as_ref().is_some_and(has_ended))
            .map(|claim| ClaimRecord {
                room: claim.room.clone(),
                hash: claim.hash.clone(),
                ends_ms: claim.until.map(|until| millis(until - now)),
            })
            .collect()
    }

    /// Takes over what [`claims_at`](Self::claims_at) returned on another node.
    pub(super) fn take_claims(&mut self, claims: Vec<ClaimRecord>, now: Instant) {
        let claims = claims.into_iter().map(|claim| StoreClaim {
            room: claim.room,
            hash: claim.hash,
            until: claim
                .ends_ms
                .and_then(|ms| now.checked_add(Duration::from_millis(ms))),
        });
        self.claims = claims.collect();
    }

    /// This client, as its partner's [`Call`] describes it.
    pub(super) fn as_partner(&self, location: PartnerLocation) -> Partner {
        Partner {
            user: self.user.clone(),
            socket: self.socket.clone(),
            person: self.person.clone(),
            subject: self.subject.clone(),
            peer: self.peer,
            location,
        }
    }

    /// Ends the call and remembers it, for reports and for the re-match rule.
    pub(super) fn end_call(&mut self, now: Instant) -> Option<Call> {
        let call = self.call.take()?;
        self.last_partner = Some(call.partner.person.clone());
        self.remember(Ended {
            session: call.session.clone(),
            partner: call.partner.user.clone(),
            person: call.partner.person.clone(),
            subject: call.partner.subject.clone(),
            peer: call.partner.peer,
            until: now + REPORTABLE,
        });

        self.forget_old(now);
        Some(call)
    }

    fn remember(&mut self, ended: Ended) {
        if self.ended.len() >= MAX_ENDED_CALLS {
            self.ended.pop_front();
        }

        self.ended.push_back(ended);
    }

    /// The calls that can still be reported, for another node. They carry an age instead of a time,
    /// because nodes do not share a clock.
    pub(super) fn ended_calls(&self, now: Instant) -> Vec<EndedCall> {
        self.ended
            .iter()
            .filter(|ended| ended.until > now)
            .map(|ended| EndedCall {
                session: ended.session.clone(),
                partner: ended.partner.clone(),
                person: ended.person.clone(),
                peer: ended.peer,
                ago_ms: millis(REPORTABLE.saturating_sub(ended.until - now)),
            })
            .collect()
    }

    /// Takes over what [`ended_calls`](Self::ended_calls) returned on another node, oldest first.
    pub(super) fn remember_calls(&mut self, calls: Vec<EndedCall>, now: Instant) {
        for call in calls {
            let age = Duration::from_millis(call.ago_ms);
            self.remember(Ended {
                session: call.session,
                subject: call.person.subject_of(&call.partner),
                partner: call.partner,
                person: call.person,
                peer: call.peer,
                until: now + REPORTABLE.saturating_sub(age),
            });
        }

        self.forget_old(now);
    }

    /// The call with this id, if it ended within [`REPORTABLE`].
    pub(super) fn ended(&mut self, session: &SessionId, now: Instant) -> Option<&Ended> {
        self.forget_old(now);
        self.ended.iter().find(|ended| ended.session == *session)
    }

    /// The person behind a recent partner.
    pub(super) fn recent_partner(&self, user: &UserId) -> Option<&PersonId> {
        self.ended
            .iter()
            .find(|ended| ended.partner == *user)
            .map(|ended| &ended.person)
    }

    fn forget_old(&mut self, now: Instant) {
        while self
            .ended
            .pop_front_if(|ended| now >= ended.until)
            .is_some()
        {}
    }
}

/// `partner_found` for one side. `partner` is the other side, with `profile` as it sent it.
pub(super) fn partner_found(
    profile: &FindPartner,
    partner: &Partner,
    session_id: SessionId,
    initiator: bool,
    interests: Vec<String>,
    both_private: bool,
) -> PartnerFound {
    let location = profile
        .user_location
        .clone()
        .filter(|location| !location.is_empty());

    PartnerFound {
        partner_id: partner.user.clone(),
        session_id,
        socket_id: partner.socket.clone(),
        user_name: profile.user_name.clone().unwrap_or_else(|| NO_NAME.into()),
        user_age: profile.user_age,
        user_location: location.unwrap_or_else(|| "Unknown".into()),
        user_picture: profile.user_picture.clone(),
        initiator,
        interests,
        both_private,
        ice_servers: None,
        ice_servers_ttl: None,
    }
}
