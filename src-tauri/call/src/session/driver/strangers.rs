//! What a call with a stranger needs beyond others: a way that keeps addresses, consent before media,
//! reports and blocks.

use super::Driver;
use crate::machine::Input;
use crate::session::line::SignalingLine;
use crate::session::local_video::LocalVideo;
use crate::session::{CallEventKind, Report, ReportOutcome};

impl Driver {
    /// Whether the signaling server offers what the way to the partner needs.
    pub(super) fn has_route(&self) -> bool {
        let servers = &self.server.ice_servers;
        if self.options.is_relayed(servers.has_turn()) {
            return servers.has_turn();
        }

        // Without such a server, this machine has no address that it may name.
        !self.options.hides_local_addresses() || servers.has_any()
    }

    pub(super) fn send_report(&self, report: &Report, line: &mut SignalingLine) {
        let Some(session) = &self.matched.session else {
            return;
        };

        if let Err(error) = line.report(session.session_id.as_str().into(), report) {
            tracing::debug!(%error, "cannot send a report");
            self.report(CallEventKind::Reported(ReportOutcome::Failed));
        }
    }

    /// Blocks the partner. The server ends the call there; here it ends at once.
    pub(super) fn block(&mut self, line: &mut SignalingLine) {
        let Some(user) = self.matched.user.clone() else {
            return;
        };

        if let Err(error) = line.block(user) {
            tracing::warn!(%error, "cannot block a partner: they may meet again");
        }

        if self.partner.is_some() {
            self.feed(Input::HangUp);
        }
    }

    /// The user has seen who the partner of this session is.
    pub(super) fn release_media(&mut self, session_id: &str, video: &LocalVideo) {
        let session = self.matched.session.as_ref();
        if session.is_none_or(|session| session.session_id.as_str() != session_id) {
            return;
        }

        self.local_state.set_held(false);
        if let Some(partner) = &mut self.partner {
            partner.may_send = true;
            partner.on_negotiated(&self.options, video.sender(), self.audio.gate());
        }
    }
}
