//! What the machine remembers about the partner it is connecting to or talking with.

use super::{Effect, Match, Outgoing, PeerId, Text};
use std::collections::VecDeque;
use std::time::Instant;

/// Candidates kept until the description they belong to is there. A browser sends about ten.
const MAX_HELD_CANDIDATES: usize = 64;

/// One session with one partner, and its one peer connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) partner: Match,
    pub(super) peer: PeerId,
    /// When the partner was found.
    pub(super) since: Instant,
    /// Whether the relay still knows this session: messages reach the partner only then.
    pub(super) on_relay: bool,
    /// The last packet of the partner.
    pub(super) heard: Instant,
    /// The relay lost the partner.
    pub(super) partner_unregistered: bool,
    /// The user was told that the partner is having trouble.
    pub(super) trouble_noticed: bool,
    /// An own offer is being made or waits for its answer.
    offering: bool,
    /// The last offer of the partner lost against our own; its candidates mean nothing.
    ignoring: bool,
    /// A description of the partner was applied, so candidates can be.
    described: bool,
    held: VecDeque<Text>,
}

impl Session {
    pub(super) fn new(partner: Match, peer: PeerId, now: Instant) -> Self {
        let offering = partner.initiator;
        Self {
            partner,
            peer,
            since: now,
            on_relay: true,
            heard: now,
            partner_unregistered: false,
            trouble_noticed: false,
            offering,
            ignoring: false,
            described: false,
            held: VecDeque::new(),
        }
    }

    /// The partner offers. An own offer that is under way wins if we are the initiator, and is taken back if not.
    pub(super) fn offer(&mut self, offer: Text, effects: &mut VecDeque<Effect>) {
        let collision = self.offering;
        self.ignoring = collision && self.partner.initiator;
        if self.ignoring {
            return;
        }
        self.offering = false;
        effects.push_back(Effect::ApplyOffer { peer: self.peer, offer, rollback: collision });
        self.release_candidates(effects);
    }

    /// The partner answers. An answer that nobody waits for is dropped.
    pub(super) fn answer(&mut self, answer: Text, effects: &mut VecDeque<Effect>) {
        if !self.offering {
            return;
        }
        self.offering = false;
        self.ignoring = false;
        effects.push_back(Effect::ApplyAnswer { peer: self.peer, answer });
        self.release_candidates(effects);
    }

    /// A candidate of the partner: applied at once, or kept until there is a description. The oldest go if too many
    /// come, since the newest are the likelier ones to work.
    pub(super) fn candidate(&mut self, candidate: Text, effects: &mut VecDeque<Effect>) {
        if self.described {
            if !self.ignoring {
                effects.push_back(Effect::AddCandidate { peer: self.peer, candidate });
            }
            return;
        }
        if self.held.len() == MAX_HELD_CANDIDATES {
            self.held.pop_front();
        }
        self.held.push_back(candidate);
    }

    fn release_candidates(&mut self, effects: &mut VecDeque<Effect>) {
        self.described = true;
        for candidate in self.held.drain(..) {
            effects.push_back(Effect::AddCandidate { peer: self.peer, candidate });
        }
    }

    /// Whether an own offer is still wanted: not if the partner's came first and we gave way.
    pub(super) fn is_offering(&self) -> bool {
        self.offering
    }

    /// Sends `message` to the partner if the relay still knows the session.
    pub(super) fn send(&self, message: Outgoing, effects: &mut VecDeque<Effect>) {
        if self.on_relay {
            effects.push_back(Effect::Send(message));
        }
    }

    /// The partner's socket.
    pub(super) fn to(&self) -> Text {
        self.partner.partner.clone()
    }
}
