//! What the machine remembers about the partner it is connecting to or talking with.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Effect, Match, Outgoing, PeerId, Text};

/// Candidates kept until the description they belong to is there. A browser sends about ten.
const MAX_HELD_CANDIDATES: usize = 64;

/// One session with one partner, and its one peer connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) partner: Match,
    pub(super) peer: PeerId,
    /// When the partner was found.
    pub(super) since: Instant,
    /// Whether the relay knows this session: messages reach the partner only then.
    pub(super) relay: RelayLink,
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
    /// What waits for the relay to take us back. The oldest is kept: a description before its candidates.
    unsent: VecDeque<Outgoing>,
}

/// What the relay and this session have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelayLink {
    /// It passes messages on.
    Up,
    /// It is out of reach, and may take us back.
    Away,
    /// It has forgotten the session.
    Gone,
}

/// Messages kept for the relay's return. A description and its candidates are about twenty.
const MAX_UNSENT: usize = 64;

impl Session {
    pub(super) fn new(partner: Match, peer: PeerId, now: Instant) -> Self {
        let offering = partner.initiator;
        Self {
            partner,
            peer,
            since: now,
            relay: RelayLink::Up,
            heard: now,
            partner_unregistered: false,
            trouble_noticed: false,
            offering,
            ignoring: false,
            described: false,
            held: VecDeque::new(),
            unsent: VecDeque::new(),
        }
    }

    /// The relay is out of reach; it may take us back.
    pub(super) fn relay_lost(&mut self) {
        if self.relay == RelayLink::Up {
            self.relay = RelayLink::Away;
        }
    }

    /// The relay took us back, and knows this session.
    pub(super) fn relay_resumed(&mut self, effects: &mut VecDeque<Effect>) {
        self.relay = RelayLink::Up;
        effects.extend(self.unsent.drain(..).map(Effect::Send));
    }

    /// The relay does not know this session any more.
    pub(super) fn relay_forgot(&mut self) {
        self.relay = RelayLink::Gone;
        self.unsent.clear();
    }

    /// The partner offers. An own offer that is under way wins if we are the initiator, and is taken back if not.
    pub(super) fn offer(&mut self, offer: Text, effects: &mut VecDeque<Effect>) {
        let collision = self.offering;
        self.ignoring = collision && self.partner.initiator;

        if self.ignoring {
            return;
        }

        self.offering = false;
        effects.push_back(Effect::ApplyOffer {
            peer: self.peer,
            offer,
            rollback: collision,
        });

        self.release_candidates(effects);
    }

    /// The partner answers. An answer that nobody waits for is dropped.
    pub(super) fn answer(&mut self, answer: Text, effects: &mut VecDeque<Effect>) {
        if !self.offering {
            return;
        }

        self.offering = false;
        self.ignoring = false;
        effects.push_back(Effect::ApplyAnswer {
            peer: self.peer,
            answer,
        });

        self.release_candidates(effects);
    }

    /// A candidate of the partner: applied at once, or kept until there is a description. The oldest go if too many
    /// come, since the newest are the likelier ones to work.
    pub(super) fn candidate(&mut self, candidate: Text, effects: &mut VecDeque<Effect>) {
        if self.described {
            if !self.ignoring {
                effects.push_back(Effect::AddCandidate {
                    peer: self.peer,
                    candidate,
                });
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
            effects.push_back(Effect::AddCandidate {
                peer: self.peer,
                candidate,
            });
        }
    }

    /// Whether an own offer is still wanted: not if the partner's came first and we gave way.
    pub(super) fn is_offering(&self) -> bool {
        self.offering
    }

    /// Sends `message` to the partner: now, or when the relay has taken us back, or not if it has forgotten the session.
    pub(super) fn send(&mut self, message: Outgoing, effects: &mut VecDeque<Effect>) {
        match self.relay {
            RelayLink::Up => effects.push_back(Effect::Send(message)),
            RelayLink::Away if self.unsent.len() < MAX_UNSENT => self.unsent.push_back(message),
            RelayLink::Away | RelayLink::Gone => {}
        }
    }

    /// The partner's socket.
    pub(super) fn to(&self) -> Text {
        self.partner.partner.clone()
    }
}
