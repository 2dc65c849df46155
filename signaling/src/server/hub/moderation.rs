//! Reports: who may report whom, and what the reporter hears.

use std::time::Instant;

use super::client::Call;
use super::{Effect, Hub, fault};
use crate::message::{ErrorCode, Fault, ReportReceived, RequestId, ServerMessage, SessionId};
use crate::server::client_key::ClientKey;
use crate::server::moderation::report::{NotRecorded, Party, Report, Said, report_id, unix_ms};

impl Hub {
    /// Has the shell record what the client says about the partner of its call, or of one that ended a
    /// short time ago.
    pub(super) fn report(
        &mut self,
        key: ClientKey,
        session_id: SessionId,
        said: Said,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let Some(client) = self.clients.get_mut(&key) else {
            return Ok(());
        };

        let reporter = Party {
            user_id: client.user.clone(),
            subject: client.subject.clone(),
            peer: client.peer,
        };

        let current = client
            .call
            .as_ref()
            .filter(|call| call.session == session_id);
        let reported = match current {
            Some(Call { partner, .. }) => Some(Party {
                user_id: partner.user.clone(),
                subject: partner.subject.clone(),
                peer: partner.peer,
            }),
            None => client.ended(&session_id, now).map(|ended| Party {
                user_id: ended.partner.clone(),
                subject: ended.subject.clone(),
                peer: ended.peer,
            }),
        };

        let Some(mut reported) = reported else {
            return Err(fault(
                ErrorCode::NoSuchSession,
                "You were not in this session in the last ten minutes, so you cannot report it.",
            ));
        };

        if !self.config.takes_reports {
            return Err(fault(
                ErrorCode::Unavailable,
                "This server does not record reports: block the user or end the call instead.",
            ));
        }

        // By its last connection, if it is still here.
        let now_at = self.users.get(&reported.user_id);
        if let Some(now_at) = now_at.and_then(|key| self.clients.get(key)) {
            reported.peer = now_at.peer.or(reported.peer);
        }

        let report = Report {
            report_id: report_id(&session_id, &reporter.user_id),
            at_ms: unix_ms((self.config.clock)()),
            session_id,
            said,
            reporter,
            reported,
        };
        self.effects
            .push_back(Effect::Report(key, Box::new(report), id));

        Ok(())
    }

    /// Answers a report after the shell has recorded it, or failed to.
    pub(in crate::server) fn report_recorded(
        &mut self,
        key: ClientKey,
        report_id: String,
        recorded: Result<(), NotRecorded>,
        id: Option<RequestId>,
    ) {
        let text = match recorded {
            Ok(()) => {
                let received = ReportReceived { report_id };
                return self.reply(key, ServerMessage::ReportReceived(received), id);
            }
            Err(NotRecorded::Full) => {
                "This server has no room for more reports: tell its operator. Nothing was recorded."
            }
            Err(NotRecorded::Failed) => {
                "The report could not be recorded: try again later, or contact the operator."
            }
        };

        self.reject(key, fault(ErrorCode::Internal, text), id);
    }
}
