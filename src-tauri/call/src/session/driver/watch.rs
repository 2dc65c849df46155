//! What is looked at again and again during a call: timers, what the media threads have recorded, and the
//! networks on the way to the partner and to the signaling server.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it gives the state machines the time"
)]

use std::time::{Duration, Instant};

use tandem_signaling::message::ClientMessage;

use super::Driver;
use crate::machine::{Input, PeerFault};
use crate::partner_state::PartnerState;
use crate::peer::TurnHealth;
use crate::session::CallEventKind;
use crate::session::limit::limited;
use crate::session::line::SignalingLine;
use crate::session::local_video::LocalVideo;
use crate::session::network_watch::{Addresses, NetworkChange};

/// After this silence of the partner, the signaling server is asked whether it is there: the silence
/// may be this side's.
const PROBE_AFTER: Duration = Duration::from_millis(1_500);
impl Driver {
    /// Does what is due.
    pub(super) async fn on_time(&mut self, line: &mut SignalingLine, video: &mut LocalVideo) {
        let now = Instant::now();
        video.handle_timeout(now);

        if self.server.ice_servers.handle_timeout(now)
            && let Err(error) = line.send(ClientMessage::GetIceServers)
        {
            tracing::debug!(%error, "cannot ask for TURN credentials: trying again later");
        }

        if let Some(partner) = &mut self.partner {
            let (id, reaction) = (partner.id, partner.verifier.handle_timeout(now));
            self.react(id, reaction);
        }

        self.check_certificates().await;
        self.resume_media(video);
        self.check_trouble(now, line);
        self.check_partner(now);
        self.check_network(now, line).await;

        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
        }
    }

    /// Looks at what the threads of the current connection have recorded.
    fn check_partner(&mut self, now: Instant) {
        let (Some(partner), Some(engine)) = (&mut self.partner, self.audio.engine()) else {
            return;
        };

        let heard = partner
            .peer
            .last_sign_of_life()
            .map(|at| Input::Heard(partner.id, at));
        let first_frame = partner.first_frame();
        let first_audio = partner.first_audio(engine);
        let state = partner.new_state(now);
        let meeting_room = partner.new_meeting_room();
        let refused = partner.new_refused();

        if partner.sample(now) {
            let percent = (partner.peer.link().loss_fraction() * 100.0).round();
            engine.set_expected_loss(percent as u8);
        }

        if partner.peer.route_watch().lock().take_recovery() {
            partner.send_keyframe();
        }

        let flooded = partner.peer.link().is_flooded().then_some(partner.id);

        if let Some(heard) = heard {
            self.machine.handle(now, heard);
        }

        if let Some(id) = flooded {
            self.machine
                .handle(now, Input::PeerFaulted(id, PeerFault::Misbehaved));
        }

        if let Some(at) = first_frame {
            self.report_at(at, CallEventKind::FirstRemoteFrame);
        }

        if let Some(at) = first_audio {
            self.report_at(at, CallEventKind::FirstRemoteAudio);
        }

        if let Some(PartnerState { muted, camera_on }) = state {
            self.report_at(now, CallEventKind::PartnerState { muted, camera_on });
        }

        if let Some(refused) = refused {
            self.report_at(now, CallEventKind::PartnerRefuses(refused));
        }

        if let Some(room) = meeting_room {
            self.report_at(now, CallEventKind::MeetAgain { room });
        }
    }

    /// Looks whether the route to the partner, or the one to the server, is lost.
    async fn check_network(&mut self, now: Instant, line: &SignalingLine) {
        let Some(partner) = &self.partner else {
            return;
        };

        let heard = partner.peer.last_sign_of_life();
        let is_silent =
            heard.is_some_and(|heard| now.saturating_duration_since(heard) >= PROBE_AFTER);
        let turn = partner.peer.turn_health(now, line.last_heard());
        let doubts_turn = turn == TurnHealth::Doubtful;
        if self.probes.is_due(now, doubts_turn, is_silent) {
            line.probe();
        }

        let id = partner.id;
        let mut is_lost = partner.peer.route_watch().lock().has_moved(now);
        if is_lost {
            tracing::info!("the partner sends from another address: looking for a route there");
        }

        if partner.peer.has_lost_turn() {
            tracing::info!(
                "the connection to the TURN server has ended: looking for another route"
            );
            is_lost = true;
        }

        if turn == TurnHealth::Gone {
            tracing::info!("the TURN server does not answer any more: looking for another route");
            is_lost = true;
        }

        is_lost |= self.have_addresses_changed(now, line).await;
        if is_lost {
            self.feed(Input::RouteLost(id));
        }
    }

    /// Looks whether the addresses of this machine have changed so that the route is lost.
    async fn have_addresses_changed(&mut self, now: Instant, line: &SignalingLine) -> bool {
        let (Some(partner), Some(watch)) = (&self.partner, &mut self.network) else {
            return false;
        };

        let route = partner.peer.route_watch();
        let mut is_lost = watch.is_lost(now, route.lock().health(now));
        if watch.is_due(now)
            && let Some(addresses) = Addresses::read()
        {
            let used = partner.peer.local_address();
            let used = limited("name its local address", used).await.flatten();
            // Every packet takes this lock, and the next step asks the system.
            let ends = route.lock().ends();
            let change = watch.on_addresses(now, addresses, used, ends);
            if change != NetworkChange::None {
                tracing::info!(?change, "the addresses of this machine have changed");
            }

            if change != NetworkChange::None && !self.options.signaling.url.is_loopback() {
                line.network_changed();
                // What is sent from now on waits for the new connection.
                self.on_signaling_down();
            }

            is_lost |= change == NetworkChange::RouteLost;
        }

        is_lost
    }
}
