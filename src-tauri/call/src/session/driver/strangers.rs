//! What a call with a stranger needs beyond others: a way that keeps addresses, consent before media,
//! reports and blocks.

use tandem_signaling::message::UserId;

use super::Driver;
use crate::machine::{EndCode, Input};
use crate::session::line::SignalingLine;
use crate::session::local_video::LocalVideo;
use crate::session::{CallEventKind, Report, ReportOutcome};

impl Driver {
    /// How the call ends because the signaling server does not offer what the way to the partner needs.
    /// `both_private`: as in [`CallOptions::hides_local_addresses`].
    ///
    /// [`CallOptions::hides_local_addresses`]: crate::CallOptions
    pub(super) fn missing_server(&self, both_private: bool) -> Option<EndCode> {
        let servers = &self.server.ice_servers;
        let hides = self.options.hides_local_addresses(both_private);
        // Without any server, this machine has no address that it may name.
        if hides && !servers.has_any() && !self.options.relay_only {
            return Some(EndCode::NoStunServer);
        }

        let is_relayed = self.options.is_relayed(servers.has_turn());
        (is_relayed && !servers.has_turn()).then_some(EndCode::NoTurnServer)
    }

    /// The same before there is a partner, who may be in the same private network.
    pub(super) fn missing_server_for_anyone(&self) -> Option<EndCode> {
        self.missing_server(true)
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

    /// Blocks a partner. If it is the present one, the server ends the call there; here it ends at once.
    pub(super) fn block(&mut self, partner: UserId, line: &mut SignalingLine) {
        let is_present = self.matched.user.as_ref() == Some(&partner);
        if let Err(error) = line.block(partner) {
            tracing::warn!(%error, "cannot block a partner: they may meet again");
        }

        if is_present && self.partner.is_some() {
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
