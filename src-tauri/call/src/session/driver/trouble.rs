//! Why no connection comes up: found out here, told to the user and to the partner.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it gives the state machines the time"
)]

use std::time::Instant;

use tandem_signaling::message::{ClientMessage, RawValue};

use super::Driver;
use crate::machine::{ConnectProblem, Input, PeerId, Phase, SessionId, SocketId};
use crate::session::CallEventKind;
use crate::session::line::SignalingLine;
use crate::session::partner::PartnerConnection;
use crate::session::trouble::{self, Findings, PartnerWord};

impl Driver {
    /// Looks why no connection comes up, and ends the call if none can.
    pub(super) fn check_trouble(&mut self, now: Instant, line: &mut SignalingLine) {
        let (Some(partner), Some(matched)) = (&self.partner, &self.matched.session) else {
            return;
        };
        if self.machine.phase() != Phase::Connecting {
            return;
        }

        let id = partner.id;
        let is_hopeless = partner.peer.has_no_route(now);
        let findings = Findings {
            own: if is_hopeless {
                partner.peer.problem(now)
            } else {
                partner.peer.trouble(now)
            },
            has_answer: partner.peer.has_answer(),
            is_hopeless,
        };

        if let Some(problem) = self.trouble.news_for_partner(now, findings) {
            send(line, &matched.partner, problem, false);
        }

        if let Some(news) = self.trouble.news(now, findings) {
            if let Some(problem) = news {
                tracing::warn!(problem = problem.as_str(), "no connection comes up");
            }

            self.report_at(now, CallEventKind::ConnectTrouble(news));
        }

        if is_hopeless {
            self.machine.handle(now, Input::NoRoute(id));
        }
    }

    /// The partner says why no connection comes up.
    pub(super) fn on_partner_trouble(&mut self, session_id: SessionId, word: PartnerWord) {
        let session = self.matched.session.as_ref();
        if session.is_none_or(|session| session.session_id != session_id) {
            return;
        }

        self.trouble.on_partner(word);
        if word.gave_up {
            self.feed(Input::PartnerGaveUp { session_id });
        }
    }

    /// Why no connection to this partner came up.
    pub(super) fn problem_with(&self, partner: &PartnerConnection) -> Option<ConnectProblem> {
        if partner.has_begun() || partner.peer.has_answer() {
            return None;
        }

        self.trouble.reason(partner.peer.problem(Instant::now()))
    }

    /// Tells the partner why no connection came up, if that is known.
    pub(super) fn tell_problem(&self, id: PeerId, to: &SocketId, line: &mut SignalingLine) {
        let partner = self.partner.as_ref().filter(|partner| partner.id == id);
        if let Some(problem) = partner.and_then(|partner| self.problem_with(partner)) {
            send(line, to, problem, true);
        }
    }
}

fn send(line: &mut SignalingLine, to: &SocketId, problem: ConnectProblem, gave_up: bool) {
    let candidate = RawValue::from_string(trouble::payload(problem, gave_up));
    let message = ClientMessage::IceCandidate {
        to: to.as_str().into(),
        candidate: candidate.expect("a code in quotes is JSON"),
    };
    if let Err(error) = line.send(message) {
        tracing::debug!(%error, "cannot tell the partner why no connection comes up");
    }
}
