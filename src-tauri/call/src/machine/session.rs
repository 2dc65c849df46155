//! What the machine remembers about the partner it is connecting to or talking with.

mod messages;
mod replace;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connections::Connections;
use super::{
    CallTimeouts, CandidateJson, DescriptionJson, Effect, Match, Notice, Outgoing, PeerId,
};

/// How many offers of the partner are handled at once; then, one in this time. An honest one makes
/// one, and another one when its network changes or a camera is added.
const MAX_OFFERS: f64 = 20.0;
const OFFER_EVERY: Duration = Duration::from_secs(5);

/// An offer of another route that has no answer by then is made again.
const OFFER_EXPIRES: Duration = Duration::from_secs(15);

/// One session with one partner, and its present peer connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) partner: Match,
    pub(super) peer: PeerId,
    /// When the partner was found.
    pub(super) since: Instant,
    /// The peer connection is up.
    pub(super) is_connected: bool,
    /// The partner is verified, or need not be.
    pub(super) is_verified: bool,
    /// When the partner closed the peer connection, if its last message may still come.
    pub(super) closed_at: Option<Instant>,
    /// Whether the signaling server knows this session: messages reach the partner only then.
    pub(super) signaling: SignalingLink,
    /// When the partner's last packet arrived.
    pub(super) last_heard: Instant,
    /// The partner has found no way to connect, and says so before it leaves.
    pub(super) partner_gave_up: bool,
    /// The signaling server has a connection to the partner, as far as is known.
    partner_online: bool,
    /// Nothing arrives from the partner: when the call ends, as the user was notified.
    pub(super) reconnecting_until: Option<Instant>,
    /// The user was notified that the signaling server has lost the partner.
    signaling_loss_notified: bool,
    /// A local offer is being made or waits for its answer.
    offering: bool,
    /// Another route is to be looked for as soon as an offer can be made.
    restart_wanted: bool,
    /// Numbers the peer connections and says when a fresh one is needed.
    connections: Connections,
    /// When the last offer of another route, or of a fresh connection, was made.
    restarted_at: Option<Instant>,
    /// This side's last description and its candidates, until it is certain that they arrived: what
    /// was written into a connection that broke is lost.
    uncertain: Vec<Outgoing>,
    /// This side's last move. The partner needs it once, and it changes nothing if it comes twice.
    last_move: Option<Outgoing>,
    /// How many offers of the partner are handled at once, and when the last one came.
    offers_left: f64,
    offered_at: Instant,
    /// The partner's last offer lost the collision with ours; its candidates do not count.
    ignoring: bool,
    /// One of the partner's descriptions was applied, so candidates can be.
    described: bool,
    held_candidates: VecDeque<CandidateJson>,
    /// Messages that wait for the signaling server to come back. When full, new ones are dropped: a
    /// description is older than its candidates and matters more.
    unsent: VecDeque<Outgoing>,
}

/// What an offer of the partner was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Offered {
    /// On the present connection, or on one that is gone.
    OnPresent,
    /// On a fresh one.
    OnFresh,
    /// The partner makes more offers than any honest one: each costs this side sockets and checks.
    TooOften,
}

/// Whether the signaling server relays messages for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalingLink {
    /// It relays them.
    Up,
    /// It is out of reach, but may resume the session.
    Away,
    /// It has forgotten the session.
    Gone,
}

impl Session {
    pub(super) fn new(partner: Match, peer: PeerId, now: Instant, is_verified: bool) -> Self {
        let offering = partner.initiator;

        Self {
            partner,
            peer,
            since: now,
            is_connected: false,
            is_verified,
            closed_at: None,
            signaling: SignalingLink::Up,
            last_heard: now,
            partner_gave_up: false,
            partner_online: true,
            reconnecting_until: None,
            signaling_loss_notified: false,
            offering,
            restart_wanted: false,
            connections: Connections::new(now),
            restarted_at: None,
            uncertain: Vec::new(),
            last_move: None,
            offers_left: MAX_OFFERS,
            offered_at: now,
            ignoring: false,
            described: false,
            held_candidates: VecDeque::new(),
            unsent: VecDeque::new(),
        }
    }

    /// The signaling server is out of reach; it may resume the session.
    pub(super) fn signaling_lost(&mut self) {
        if self.signaling == SignalingLink::Up {
            self.signaling = SignalingLink::Away;
        }
    }

    /// The signaling server resumed this session.
    pub(super) fn signaling_resumed(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        self.signaling = SignalingLink::Up;
        // The partner ignores what it has already.
        let again = self.uncertain.iter().chain(&self.last_move).cloned();
        effects.extend(again.chain(self.unsent.drain(..)).map(Effect::Send));
        // This side was offline, and media has not come back with the signaling server: a NAT on the
        // way may have forgotten the route.
        self.restart_wanted |= self.reconnecting_until.is_some();
        self.restart_if_wanted(now, effects);
    }

    /// Looks for another route: now, or once the signaling server is back and no other offer is open.
    pub(super) fn restart(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        self.restart_wanted = true;
        self.restart_if_wanted(now, effects);
    }

    fn restart_if_wanted(&mut self, now: Instant, effects: &mut VecDeque<Effect>) {
        let can_offer = self.signaling == SignalingLink::Up && self.described;
        let is_free = !self.offering || self.offer_expires().is_some_and(|at| now >= at);
        if self.restart_wanted && can_offer && is_free {
            self.connections.on_restart(now);
            // That takes the place of a restart.
            if self.connections.must_be_replaced() {
                return;
            }

            self.restart_wanted = false;
            self.restarted_at = Some(now);
            self.offering = true;
            effects.push_back(Effect::CreateOffer {
                peer: self.peer,
                restart: true,
            });
        }
    }

    /// When an offer of another route counts as lost. `None`: there is none, or it is the first one.
    fn offer_expires(&self) -> Option<Instant> {
        let restarted_at = self.restarted_at.filter(|_| self.offering)?;
        Some(restarted_at + OFFER_EXPIRES)
    }

    /// When to look for another route if the silence that began with the last packet goes on: not
    /// while the partner is offline and could not answer. The initiator is first, so that the two do
    /// not offer at once.
    pub(super) fn restart_due(&self, timeouts: &CallTimeouts) -> Option<Instant> {
        let can_be_answered = self.signaling == SignalingLink::Up && self.partner_online;
        let is_stuck = self.offering && self.offer_expires().is_none();
        let is_vain = self.connections.must_be_replaced();
        if !can_be_answered || is_stuck || is_vain || !self.described {
            return None;
        }

        let silent_for = if self.partner.initiator {
            timeouts.restart
        } else {
            timeouts.restart + timeouts.silence_notice
        };
        let again = self
            .offer_expires()
            .or(self.restarted_at.map(|at| at + timeouts.restart));
        Some((self.last_heard + silent_for).max(again.unwrap_or(self.last_heard)))
    }

    /// Notifies the user of the silence, and of its end if that has changed.
    pub(super) fn notify_reconnecting(
        &mut self,
        timeouts: &CallTimeouts,
        effects: &mut VecDeque<Effect>,
    ) {
        let until = self.silence_ends(timeouts);
        if self.reconnecting_until.replace(until) != Some(until) {
            effects.push_back(Effect::Notify(Notice::PartnerReconnecting { until }));
        }
    }

    /// Media has come back.
    pub(super) fn route_is_back(&mut self) {
        self.restart_wanted = false;
    }

    /// Media arrives, so the partner has what it needs.
    pub(super) fn partner_is_heard(&mut self) {
        self.connections.on_heard();
        if !self.offering {
            self.uncertain.clear();
        }
    }

    /// The offer of another route could not be made: it is tried again after a while.
    pub(super) fn restart_failed(&mut self) {
        self.offering = false;
        self.connections.on_restart_failed();
    }

    /// When the silence that began with the last packet ends the call.
    pub(super) fn silence_ends(&self, timeouts: &CallTimeouts) -> Instant {
        let silence = match self.signaling {
            SignalingLink::Up => timeouts.silence_in_session,
            SignalingLink::Away | SignalingLink::Gone => timeouts.silence,
        };
        self.last_heard + silence
    }

    /// The signaling server no longer knows this session, so there is no more news of the partner.
    pub(super) fn signaling_forgot(&mut self, effects: &mut VecDeque<Effect>) {
        self.signaling = SignalingLink::Gone;
        self.unsent.clear();
        self.uncertain.clear();
        self.show_signaling_loss(false, effects);
    }

    /// The signaling server has lost the partner, or has it again. Whether anything arrives from
    /// the partner is another question, which only its packets answer.
    pub(super) fn partner_registered(&mut self, registered: bool, effects: &mut VecDeque<Effect>) {
        self.partner_online = registered;
        self.show_signaling_loss(!registered, effects);
    }

    fn show_signaling_loss(&mut self, lost: bool, effects: &mut VecDeque<Effect>) {
        if std::mem::replace(&mut self.signaling_loss_notified, lost) != lost {
            effects.push_back(Effect::Notify(if lost {
                Notice::PartnerSignalingLost
            } else {
                Notice::PartnerSignalingBack
            }));
        }
    }

    /// Handles the partner's offer. If a local offer is under way, the initiator's wins and the
    /// other side's is rolled back. One of a fresh connection wins over all offers of earlier ones;
    /// `next` is what this side's fresh one is called.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        connection: Option<u32>,
        offer: DescriptionJson,
        next: PeerId,
        effects: &mut VecDeque<Effect>,
    ) -> Offered {
        let passed = now.saturating_duration_since(self.offered_at).as_secs_f64();
        self.offers_left = (self.offers_left + passed / OFFER_EVERY.as_secs_f64()).min(MAX_OFFERS);
        self.offered_at = now;
        if self.offers_left < 1.0 {
            return Offered::TooOften;
        }

        self.offers_left -= 1.0;
        let order = self.connections.compare(connection);
        if order == Ordering::Less {
            return Offered::OnPresent;
        }

        let collision = self.offering && order == Ordering::Equal;
        self.ignoring = collision && self.partner.initiator;

        if self.ignoring {
            return Offered::OnPresent;
        }

        // A fresh connection of this side's that was offered at the same time yields as a whole: the
        // partner has dropped the candidates of it.
        let is_replaced = order == Ordering::Greater || self.is_fresh();
        if is_replaced {
            if !self.connections.take(now, connection.unwrap_or(0)) {
                return Offered::TooOften;
            }

            self.begin_connection(next, effects);
        }

        self.connections.on_description(connection);
        self.offering = false;
        self.uncertain.clear();
        effects.push_back(Effect::ApplyOffer {
            peer: self.peer,
            offer,
            rollback: collision && !is_replaced,
        });

        self.release_candidates(effects);
        if is_replaced {
            Offered::OnFresh
        } else {
            Offered::OnPresent
        }
    }

    /// Handles the partner's answer. An answer without an open offer, or to an offer of an earlier
    /// connection, is dropped.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        connection: Option<u32>,
        answer: DescriptionJson,
        effects: &mut VecDeque<Effect>,
    ) {
        if !self.offering || self.connections.compare(connection) != Ordering::Equal {
            return;
        }

        if self.restarted_at.is_some() {
            self.connections.on_answer(now);
        }

        self.connections.on_description(connection);
        self.offering = false;
        self.ignoring = false;
        self.uncertain.clear();
        effects.push_back(Effect::ApplyAnswer {
            peer: self.peer,
            answer,
        });

        self.release_candidates(effects);
        self.restart_if_wanted(now, effects);
    }

    /// Whether a local offer should still be sent: not if the partner's came first and this side
    /// gave way.
    pub(super) fn is_offering(&self) -> bool {
        self.offering
    }
}
