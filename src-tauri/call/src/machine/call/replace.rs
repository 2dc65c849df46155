//! A fresh peer connection in place of one that cannot be used any more.

use std::time::Instant;

use super::{CallMachine, CallState};
use crate::machine::session::Offered;
use crate::machine::{DescriptionJson, EndCode, PeerId, SessionId};

impl CallMachine {
    /// Handles the partner's offer, which may begin a fresh connection.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        session_id: &SessionId,
        connection: Option<u32>,
        offer: DescriptionJson,
    ) {
        let next = PeerId(self.peers_created);
        let mut offered = Offered::OnPresent;
        self.with_session(session_id, |session, effects| {
            offered = session.offer(now, connection, offer, next, effects);
        });
        match offered {
            Offered::OnPresent => {}
            Offered::OnFresh => self.peers_created += 1,
            Offered::TooOften => self.end(EndCode::PartnerMisbehaved),
        }
    }

    /// The peer connection broke down. If the partner can take a fresh one, the call goes on with that.
    pub(super) fn peer_broken(&mut self, now: Instant, peer: PeerId) {
        if self.peer() != Some(peer) {
            return;
        }

        if let CallState::InCall(session) = &mut self.state {
            session.on_broken(now);
            if session.can_be_replaced() {
                return;
            }
        }

        self.end(EndCode::ConnectionFailed);
    }

    /// Makes a fresh connection if one is due.
    pub(super) fn replace_peer(&mut self, now: Instant) {
        if let CallState::InCall(session) = &mut self.state
            && session.replacement_due().is_some_and(|due| now >= due)
        {
            let peer = PeerId(self.peers_created);
            self.peers_created += 1;
            session.replace(now, peer, &mut self.effects);
        }
    }
}
