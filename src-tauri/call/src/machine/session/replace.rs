//! A fresh peer connection in place of the present one.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Session, SignalingLink};
use crate::machine::{Effect, PeerId};

impl Session {
    /// Whether the call can go on with a fresh peer connection.
    pub(in crate::machine) fn can_be_replaced(&self) -> bool {
        self.connections.can_be_replaced() && self.signaling != SignalingLink::Gone
    }

    /// The peer connection cannot be used any more.
    pub(in crate::machine) fn on_broken(&mut self, now: Instant) {
        // An offer of it is void, so that of the partner's own fresh connection collides with nothing.
        self.offering = false;
        self.connections.on_broken(now);
    }

    /// When to make a fresh connection: once the present one, or an offer of one that has no answer,
    /// has to be replaced and the partner could answer. `None`: not now.
    pub(in crate::machine) fn replacement_due(&self) -> Option<Instant> {
        let can_be_answered = self.signaling == SignalingLink::Up && self.partner_online;
        let is_unanswered = self.is_fresh() && self.connections.can_be_replaced();
        let is_needed = self.connections.must_be_replaced() || is_unanswered;
        (is_needed && can_be_answered).then(|| self.connections.earliest())
    }

    /// Makes a fresh connection in place of the present one, and offers it.
    pub(in crate::machine) fn replace(
        &mut self,
        now: Instant,
        peer: PeerId,
        effects: &mut VecDeque<Effect>,
    ) {
        self.connections.make(now);
        self.begin_connection(peer, effects);
        self.offering = true;
        self.restarted_at = Some(now);
        effects.push_back(Effect::CreateOffer {
            peer,
            restart: false,
        });
    }

    /// Whether the present connection has taken the place of another one, and the partner has not
    /// described it yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.connections.number() > 0 && !self.described
    }

    /// The connection with the newest number begins: what belongs to the one before is void.
    pub(super) fn begin_connection(&mut self, peer: PeerId, effects: &mut VecDeque<Effect>) {
        self.peer = peer;
        self.is_connected = false;
        self.closed_at = None;
        self.restart_wanted = false;
        self.ignoring = false;
        self.described = false;
        self.held_candidates.clear();
        self.uncertain.clear();
        self.unsent.clear();
        effects.push_back(Effect::ReplacePeer {
            peer,
            number: self.connections.number(),
        });
    }
}
