//! What happens to the connection to the partner: what arrives over it, and who is at its other end.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it stamps what arrives with the time"
)]

use std::time::Instant;

use super::Driver;
use crate::machine::{Input, PeerFault, PeerId};
use crate::peer::PeerEvent;
use crate::session::limit::or_hung;
use crate::session::verification::Reaction;
use crate::session::{CallEventKind, numbers};

impl Driver {
    pub(super) async fn on_peer(&mut self, event: PeerEvent) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;

        match event {
            PeerEvent::Candidate(candidate) => {
                let candidate = numbers::on_candidate(&candidate, partner.number);
                self.feed(Input::LocalCandidate(id, candidate.into()));
            }
            PeerEvent::Connected => self.on_peer_connected().await,
            PeerEvent::Failed => self.feed(Input::PeerFailed(id)),
            PeerEvent::Closed => self.feed(Input::PeerClosed(id)),
            PeerEvent::Ended => self.feed(Input::PeerFaulted(id, PeerFault::Internal)),
            PeerEvent::Track(..) | PeerEvent::Channel(..) if partner.holds_media() => {
                let accepted = partner.hold(event);
                self.feed_accepted(id, accepted);
            }
            PeerEvent::Track(..) | PeerEvent::Channel(..) => self.receive(event),
            PeerEvent::Undeclared(ssrc, payload_type) => {
                let received = partner.peer.on_undeclared(ssrc, payload_type);
                let received = or_hung("receive a stream", received).await;
                self.feed_result(id, received.map(|()| None));
            }
        }
    }

    /// The partner sends a stream, or a data channel is there.
    pub(super) fn receive(&mut self, event: PeerEvent) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;
        let accepted = match event {
            PeerEvent::Track(kind, track) => {
                let now = Instant::now();
                partner.on_track(now, kind, track, &self.options, &self.output)
            }
            PeerEvent::Channel(channel) => {
                partner.on_channel(channel, self.local_state.subscribe())
            }
            _ => true,
        };
        self.feed_accepted(id, accepted);
    }

    fn feed_accepted(&mut self, id: PeerId, accepted: bool) {
        if !accepted {
            self.feed(Input::PeerFaulted(id, PeerFault::Misbehaved));
        }
    }

    /// ICE and DTLS are up, perhaps once more.
    async fn on_peer_connected(&mut self) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;
        let reaction = partner.check_certificates().await;
        // A call must not begin with a partner who is not who it should be.
        if !reaction.is_mismatch {
            self.feed(Input::PeerConnected(id));
        }

        self.react(id, reaction);
    }

    /// Asks again for certificates that the connection did not name.
    pub(super) async fn check_certificates(&mut self) {
        if let Some(partner) = &mut self.partner
            && partner.awaits_certificates()
        {
            let (id, reaction) = (partner.id, partner.check_certificates().await);
            self.react(id, reaction);
        }
    }

    /// Sends the moves of the handshake and ends the call after a mismatch. Begins it if the partner
    /// is verified.
    pub(super) fn react(&mut self, id: PeerId, reaction: Reaction) {
        if let Some(pake) = reaction.candidate {
            self.feed(Input::LocalMove(id, pake.into()));
        }

        if reaction.is_mismatch {
            self.feed(Input::CodeMismatch(id));
        } else if self
            .partner
            .as_ref()
            .is_some_and(|partner| partner.id == id && partner.verifier.admits_media())
        {
            self.feed(Input::PartnerVerified(id));
        }

        self.report_verification();
    }

    /// Reports what is known about the partner, once the call has begun.
    pub(super) fn report_verification(&mut self) {
        if let Some(partner) = &mut self.partner
            && let Some(state) = partner.new_verification()
        {
            self.report(CallEventKind::Verification(state));
        }
    }
}
