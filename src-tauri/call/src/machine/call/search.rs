//! The search for a partner.

use std::time::Instant;

use super::{CallMachine, CallState, Search};
use crate::machine::session::{Session, SignalingLink};
use crate::machine::{Effect, Match, Notice, Outgoing, PeerId};

impl CallMachine {
    pub(super) fn start(&mut self, now: Instant, by: Search) {
        if let CallState::Idle = self.state {
            self.state = CallState::Searching {
                since: now,
                by,
                ringing: false,
                left: None,
            };
            self.unregistered_since = (!self.registered).then_some(now);
            self.effects.push_back(Effect::Notify(Notice::Searching));

            if self.registered {
                self.search();
            }
        }
    }

    pub(super) fn search(&mut self) {
        self.search_again_at = None;
        let outgoing = match &self.state {
            CallState::Searching {
                by: Search::Accept(knock),
                ..
            } => Outgoing::Accept(knock.clone()),
            _ => Outgoing::FindPartner,
        };

        self.effects.push_back(Effect::Send(outgoing));
    }

    pub(super) fn next(&mut self, now: Instant) {
        match std::mem::replace(&mut self.state, CallState::Idle) {
            CallState::Connecting(session) | CallState::InCall(session) => {
                self.effects.push_back(Effect::ClosePeer(session.peer));
                self.effects.push_back(Effect::ForgetAudio);

                if self.registered && session.signaling == SignalingLink::Up {
                    let session_id = session.partner.session_id;
                    self.state = CallState::Searching {
                        since: now,
                        by: Search::Find,
                        ringing: false,
                        left: Some(session_id.clone()),
                    };
                    self.effects.push_back(Effect::Notify(Notice::Searching));
                    self.effects
                        .push_back(Effect::Send(Outgoing::Next { session_id }));
                } else {
                    self.start(now, Search::Find);
                }
            }
            searching @ CallState::Searching { .. } => self.state = searching,
            CallState::Idle | CallState::Ended => self.start(now, Search::Find),
        }
    }

    pub(super) fn partner_found(&mut self, now: Instant, partner: Match) {
        let CallState::Searching { .. } = self.state else {
            return;
        };

        let peer = PeerId(self.peers_created);
        self.peers_created += 1;
        self.search_again_at = None;
        self.effects
            .push_back(Effect::Notify(Notice::Matched(partner.clone())));
        self.effects.push_back(Effect::CreatePeer(peer));

        if partner.initiator {
            self.effects.push_back(Effect::CreateOffer {
                peer,
                restart: false,
            });
        }

        let is_verified = !self.must_verify;
        self.state = CallState::Connecting(Session::new(partner, peer, now, is_verified));
    }
}
