//! One client, and the call it is in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::{ClientKey, NodeId, millis};
use crate::message::*;
use crate::server::store::note::{Card, EndedCall};

/// So long after its end a call can be reported.
const REPORTABLE: Duration = Duration::from_secs(600);
/// So many ended calls of one user are remembered; more than one a minute is no longer a call.
const REMEMBERED: usize = 64;

/// Where a partner is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Here(ClientKey),
    Node(NodeId),
}

/// Whom a call is with.
#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub(super) user: UserId,
    pub(super) socket: SocketId,
    pub(super) person: UserId,
    pub(super) subject: Option<String>,
    pub(super) place: Place,
}

impl Partner {
    /// As another node knows them.
    pub(super) fn from_card(card: Card) -> Self {
        let subject = subject(&card.user, &card.person);
        let Card {
            user,
            socket,
            person,
            node,
        } = card;

        Self {
            user,
            socket,
            person,
            subject,
            place: Place::Node(node),
        }
    }
}

/// A call, as one side sees it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) partner: Partner,
    pub(super) session: SessionId,
    /// The partner's connection broke, as this side was told.
    pub(super) partner_away: bool,
}

/// A call that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) session: SessionId,
    pub(super) partner: UserId,
    pub(super) person: UserId,
    pub(super) subject: Option<String>,
    /// When it is forgotten.
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) socket: SocketId,
    pub(super) user: UserId,
    /// Who the bearer token says it is.
    pub(super) subject: Option<String>,
    /// Under whom blocks and re-match rules are kept: the subject, or else the user.
    pub(super) person: UserId,
    /// For `resume`.
    pub(super) token: String,
    /// Of the last `find_partner`.
    pub(super) profile: FindPartner,
    pub(super) call: Option<Call>,
    ended: VecDeque<Ended>,
    /// The partner of the last call that ended.
    pub(super) last_partner: Option<UserId>,
    pub(super) delivery: Delivery,
    /// Its connection broke: until when it can be resumed.
    pub(super) away_until: Option<Instant>,
    /// Nothing has come from it yet.
    pub(super) is_new: bool,
    /// Since when it waits in the shared store.
    pub(super) waiting: Option<Instant>,
    /// The store has a record of it.
    pub(super) is_recorded: bool,
    /// It waits to take somebody's place: what it has said meanwhile.
    pub(super) resuming: Option<Vec<ClientEnvelope>>,
}

impl Peer {
    pub(super) fn new(
        user: UserId,
        socket: SocketId,
        token: String,
        subject: Option<String>,
    ) -> Self {
        Self {
            socket,
            person: subject
                .as_deref()
                .map_or_else(|| user.clone(), UserId::from),
            user,
            subject,
            token,
            profile: FindPartner::default(),
            call: None,
            ended: VecDeque::new(),
            last_partner: None,
            delivery: Delivery::default(),
            away_until: None,
            is_new: true,
            waiting: None,
            is_recorded: false,
            resuming: None,
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_until.is_some()
    }

    /// As its partner knows it.
    pub(super) fn partner(&self, place: Place) -> Partner {
        Partner {
            user: self.user.clone(),
            socket: self.socket.clone(),
            person: self.person.clone(),
            subject: self.subject.clone(),
            place,
        }
    }

    /// Takes the call out and remembers it, to be reported and not to be repeated at once.
    pub(super) fn end_call(&mut self, now: Instant) -> Option<Call> {
        let call = self.call.take()?;
        self.last_partner = Some(call.partner.person.clone());
        self.remember(Ended {
            session: call.session.clone(),
            partner: call.partner.user.clone(),
            person: call.partner.person.clone(),
            subject: call.partner.subject.clone(),
            until: now + REPORTABLE,
        });

        self.forget_old(now);
        Some(call)
    }

    fn remember(&mut self, ended: Ended) {
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }

        self.ended.push_back(ended);
    }

    /// The calls that ended a short while ago, for another node, whose clock is not this one's.
    pub(super) fn ended_calls(&self, now: Instant) -> Vec<EndedCall> {
        let calls = self
            .ended
            .iter()
            .filter(|ended| ended.until > now)
            .map(|ended| EndedCall {
                session: ended.session.clone(),
                partner: ended.partner.clone(),
                person: ended.person.clone(),
                ago_ms: millis(REPORTABLE.saturating_sub(ended.until - now)),
            });

        calls.collect()
    }

    /// The reverse of [`ended_calls`](Self::ended_calls), oldest first.
    pub(super) fn remember_calls(&mut self, calls: Vec<EndedCall>, now: Instant) {
        for EndedCall {
            session,
            partner,
            person,

            ago_ms,
        } in calls
        {
            let until = now + REPORTABLE.saturating_sub(Duration::from_millis(ago_ms));
            self.remember(Ended {
                session,
                subject: subject(&partner, &person),
                partner,
                person,
                until,
            });
        }

        self.forget_old(now);
    }

    /// A call that ended a short while ago.
    pub(super) fn ended(&mut self, session: &SessionId, now: Instant) -> Option<&Ended> {
        self.forget_old(now);
        self.ended.iter().find(|ended| ended.session == *session)
    }

    /// The person behind a partner of a short while ago.
    pub(super) fn met(&self, user: &UserId) -> Option<&UserId> {
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

/// What the bearer token of a user says, if the person is not the user itself.
pub(super) fn subject(user: &UserId, person: &UserId) -> Option<String> {
    (person != user).then(|| person.as_str().to_owned())
}

/// The profile of `profile`'s owner, as its partner sees it.
pub(super) fn partner_found(
    profile: &FindPartner,
    partner: &Partner,
    session_id: SessionId,
    initiator: bool,
    interests: Vec<String>,
) -> ServerMessage {
    let location = profile
        .user_location
        .clone()
        .filter(|location| !location.is_empty());

    ServerMessage::PartnerFound(Box::new(PartnerFound {
        partner_id: partner.user.clone(),
        session_id,
        socket_id: partner.socket.clone(),
        user_name: profile
            .user_name
            .clone()
            .unwrap_or_else(|| "Anonymous".into()),
        user_age: profile.user_age,
        user_location: location.unwrap_or_else(|| "Unknown".into()),
        user_picture: profile.user_picture.clone(),
        initiator,
        interests,
    }))
}
