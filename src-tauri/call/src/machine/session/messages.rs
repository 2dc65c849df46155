//! Messages to and from the partner that wait: candidates for their description, and what is sent for the
//! signaling server.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::{Session, SignalingLink};
use crate::machine::{CandidateJson, Effect, MoveJson, Outgoing, SocketId};

/// Candidates kept until there is a description to apply them to. A browser sends about ten.
const MAX_HELD_CANDIDATES: usize = 64;

/// Messages kept until the signaling server is back. A description and its candidates are about
/// twenty.
const MAX_UNSENT: usize = 64;

impl Session {
    /// Handles one of the partner's candidates: applied at once, or held until there is a
    /// description. When too many are held, the oldest is dropped, because newer ones are more
    /// likely to work. One of another connection is dropped.
    pub(in crate::machine) fn candidate(
        &mut self,
        connection: Option<u32>,
        candidate: CandidateJson,
        effects: &mut VecDeque<Effect>,
    ) {
        let is_void = self.ignoring && self.is_fresh();
        if is_void || self.connections.compare(connection) != Ordering::Equal {
            return;
        }

        if self.described {
            if !self.ignoring {
                effects.push_back(Effect::AddCandidate {
                    peer: self.peer,
                    candidate,
                });
            }

            return;
        }

        if self.held_candidates.len() == MAX_HELD_CANDIDATES {
            self.held_candidates.pop_front();
        }

        self.held_candidates.push_back(candidate);
    }

    pub(super) fn release_candidates(&mut self, effects: &mut VecDeque<Effect>) {
        self.described = true;

        for candidate in self.held_candidates.drain(..) {
            effects.push_back(Effect::AddCandidate {
                peer: self.peer,
                candidate,
            });
        }
    }

    /// Sends `message` to the partner now, or once the signaling server is back, or never if it has
    /// forgotten the session.
    pub(in crate::machine) fn send(&mut self, message: Outgoing, effects: &mut VecDeque<Effect>) {
        match &message {
            Outgoing::Offer { .. } | Outgoing::Answer { .. } => {
                self.uncertain = vec![message.clone()];
            }
            Outgoing::Candidate { .. } if (1..MAX_UNSENT).contains(&self.uncertain.len()) => {
                self.uncertain.push(message.clone());
            }
            _ => {}
        }

        match self.signaling {
            SignalingLink::Up => effects.push_back(Effect::Send(message)),
            // It is among the uncertain ones.
            SignalingLink::Away
                if self.uncertain.last() == Some(&message) || self.unsent.len() >= MAX_UNSENT => {}
            SignalingLink::Away => self.unsent.push_back(message),
            SignalingLink::Gone => {}
        }
    }

    /// Sends a move to the partner now, or once the signaling server is back.
    pub(in crate::machine) fn send_move(&mut self, pake: MoveJson, effects: &mut VecDeque<Effect>) {
        let to = self.to();
        let message = Outgoing::Move { to, pake };
        self.last_move = Some(message.clone());
        if self.signaling == SignalingLink::Up {
            effects.push_back(Effect::Send(message));
        }
    }

    /// Where messages for the partner go.
    pub(in crate::machine) fn to(&self) -> SocketId {
        self.partner.partner.clone()
    }
}
