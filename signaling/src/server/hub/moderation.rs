//! Reports: who may report whom, and what the reporter hears. And clients that the operator ends.

use std::time::Instant;

use serde::Serialize;

use super::client::{Call, Client};
use super::{Effect, Hub, fault};
use crate::message::{
    ErrorCode, Fault, LeaveReason, ReportReceived, RequestId, ServerMessage, SessionId, UserId,
};
use crate::server::client_key::ClientKey;
use crate::server::moderation::key::PeerHash;
use crate::server::moderation::report::{NotRecorded, Party, Report, Said, report_id, unix_ms};
use crate::server::outbound::CloseReason;

/// What the operator sees of a client.
#[derive(Debug)]
pub(in crate::server) struct ClientOverview {
    pub(in crate::server) user: UserId,
    pub(in crate::server) peer: Option<PeerHash>,
    pub(in crate::server) state: ClientState,
    /// The call it is in, and its partner there.
    pub(in crate::server) call: Option<(SessionId, UserId)>,
}

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::server) enum ClientState {
    /// Its connection broke; it may resume.
    Away,
    InCall,
    Searching,
    /// It can be rung.
    Listening,
    Idle,
}

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

    /// Every client, connected or away.
    pub(in crate::server) fn overview(&self) -> Vec<ClientOverview> {
        let overview = |client: &Client| {
            let is_searching = client.store_search_since.is_some()
                || self
                    .users
                    .get(&client.user)
                    .is_some_and(|key| self.matchmaker.contains(*key));
            let state = match &client.call {
                _ if client.is_away() => ClientState::Away,
                Some(_) => ClientState::InCall,
                None if is_searching => ClientState::Searching,
                None if client.listening.is_some() => ClientState::Listening,
                None => ClientState::Idle,
            };
            let call = client.call.as_ref();

            ClientOverview {
                user: client.user.clone(),
                peer: client.peer,
                state,
                call: call.map(|call| (call.session.clone(), call.partner.user.clone())),
            }
        };

        self.clients.values().map(overview).collect()
    }

    /// The key of a user, if it is here.
    pub(in crate::server) fn key_of(&self, user: &UserId) -> Option<ClientKey> {
        self.users.get(user).copied()
    }

    /// Who a user is to the operator, if it is here.
    pub(in crate::server) fn peer_of(&self, user: &UserId) -> Option<PeerHash> {
        self.clients.get(&self.key_of(user)?)?.peer
    }

    /// The clients, connected or away, for which `test` returns something.
    pub(in crate::server) fn clients_where<T>(
        &self,
        test: impl Fn(PeerHash) -> Option<T>,
    ) -> Vec<(ClientKey, T)> {
        let clients = self.clients.iter();
        clients
            .filter_map(|(key, client)| Some((*key, test(client.peer?)?)))
            .collect()
    }

    /// Ends a client and its call at once, with its media through the TURN server in this program: it
    /// cannot resume. Its partner is told that it left.
    /// `fault` is what the client is told, `reason` why its connection is closed.
    pub(in crate::server) fn expel(
        &mut self,
        key: ClientKey,
        reason: CloseReason,
        fault: Option<&Fault>,
        now: Instant,
    ) {
        let Some(client) = self.clients.get(&key) else {
            return;
        };

        let (is_connected, user) = (!client.is_away(), client.user.clone());
        if let Some(fault) = fault.filter(|_| is_connected) {
            self.reject(key, fault.clone(), None);
        }

        self.remove(key, LeaveReason::Left, now);
        self.revoke_user(&user);
        if is_connected {
            self.effects.push_back(Effect::Close(key, reason));
        }

        self.settle_rings(now);
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
