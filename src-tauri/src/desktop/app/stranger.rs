//! Meeting strangers: what comes before, what they learn of the user, reporting and blocking them.

use tandem_call::{EndCode, ReportOutcome, StrangerRoute};
use tandem_signaling::message::{MAX_REPORT_CHARS, ReportCategory, SessionId, UserId};

use super::commands::require;
use super::target::Target;
use super::{App, CallId, Effect, LineId, Now, partner};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::state::{ReportReason, ReportStatus, Screen, StrangerState};

type CommandResult = Result<(), CommandError>;

/// What a call with a stranger is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrangerPlan {
    /// Which way media goes.
    pub route: StrangerRoute,
    /// What the user likes to talk about.
    pub interests: Vec<String>,
}

/// The call in which the user met a stranger, and the connection to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// The call, which may have ended.
    pub call: CallId,
    /// The connection that the call has left to the app.
    pub line: Option<LineId>,
    /// The server's id of the call.
    pub session_id: SessionId,
    /// The server's id of the stranger.
    pub partner_id: UserId,
}

/// A report to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedReport {
    /// The person that it is about.
    pub meeting: Meeting,
    /// What it is about.
    pub category: ReportCategory,
    /// In the user's own words.
    pub text: Option<String>,
    /// Attach the last frame of the stranger.
    pub snapshot: bool,
}

impl App {
    /// Searches for anyone, once the user has accepted the rules.
    pub(super) fn meet_someone(&mut self, now: Now) -> CommandResult {
        if !self.state.settings.rules_accepted {
            return Err(CommandErrorCode::RulesNotAccepted.into());
        }

        self.search(now, Target::Anyone)
    }

    /// Whether the running search or call is one with a stranger.
    pub(super) fn is_with_stranger(&self) -> bool {
        self.call
            .as_ref()
            .is_some_and(|call| !call.target.is_known())
    }

    /// Whether the camera is on and the microphone muted in a call for `target`.
    pub(super) fn devices_for(&self, target: &Target) -> (bool, bool) {
        let settings = &self.state.settings;
        if target.is_known() {
            (settings.camera_enabled, settings.muted)
        } else {
            (settings.stranger_camera, settings.stranger_muted)
        }
    }

    /// How a call for `target` differs if it is one with a stranger.
    pub(super) fn stranger_plan(&self, target: &Target) -> Option<StrangerPlan> {
        let settings = &self.state.settings;
        (!target.is_known()).then(|| StrangerPlan {
            route: match (settings.stranger_relay, settings.stranger_direct) {
                (true, false) => StrangerRoute::Relay,
                (true, true) => StrangerRoute::RelayIfOffered,
                (false, _) => StrangerRoute::Direct,
            },
            interests: settings.interests.clone(),
        })
    }

    /// The search has found a stranger.
    pub(super) fn on_stranger(
        &mut self,
        session_id: SessionId,
        partner_id: UserId,
        interests: &[String],
    ) {
        self.forget_stranger();
        let Some(call) = self.call.as_ref().filter(|call| !call.target.is_known()) else {
            return;
        };

        self.met = Some(Meeting {
            call: call.id,
            line: self.lent_line(),
            session_id,
            partner_id,
        });
        let id = self.next_id();
        self.state.stranger = Some(StrangerState {
            id,
            shown: false,
            interests: partner::sanitized_interests(interests),
            report: ReportStatus::None,
            blocked: false,
        });
    }

    /// Forgets the stranger as soon as no screen is about them.
    pub(super) fn sync_stranger(&mut self) {
        let is_about_them = matches!(
            self.state.screen,
            Screen::Connecting { .. } | Screen::InCall(_) | Screen::Ended { .. }
        );
        if !is_about_them {
            self.forget_stranger();
        }
    }

    fn forget_stranger(&mut self) {
        self.met = None;
        if self.state.stranger.take().is_some() {
            self.effects.push_back(Effect::ForgetFrame);
        }
    }

    /// Whether there is a connection on which the server knows who met the stranger.
    fn knows_meeting(&self) -> bool {
        self.met.as_ref().is_some_and(|met| {
            let is_running = self.call.as_ref().is_some_and(|call| call.id == met.call);
            is_running || (met.line.is_some() && met.line == self.line_id())
        })
    }

    /// The page shows who the stranger is: what the user has switched on is sent from now on.
    pub(super) fn stranger_shown(&mut self, id: u32) -> CommandResult {
        let stranger = self.state.stranger.as_mut();
        let stranger = stranger.filter(|stranger| stranger.id == id && !stranger.shown);
        let (Some(stranger), Some(met)) = (stranger, &self.met) else {
            return Err(CommandErrorCode::NotNow.into());
        };

        stranger.shown = true;
        let (call, session_id) = (met.call, met.session_id.clone());
        self.effects
            .push_back(Effect::ReleaseMedia(call, session_id));
        Ok(())
    }

    /// Reports the stranger. A report that the server did not take can be sent again.
    pub(super) fn report_stranger(
        &mut self,
        reason: ReportReason,
        text: &str,
        snapshot: bool,
    ) -> CommandResult {
        let text = text.trim();
        if text.chars().count() > MAX_REPORT_CHARS {
            return Err(CommandErrorCode::BadReport.into());
        }

        let is_reachable = self.knows_meeting();
        let (Some(stranger), Some(met)) = (&mut self.state.stranger, &self.met) else {
            return Err(CommandErrorCode::NotNow.into());
        };
        require(!matches!(
            stranger.report,
            ReportStatus::Sending | ReportStatus::Sent
        ))?;

        if !is_reachable {
            stranger.report = ReportStatus::Failed;
            return Ok(());
        }

        stranger.report = ReportStatus::Sending;
        let report = PlannedReport {
            meeting: met.clone(),
            category: reason.into(),
            text: Some(text.to_owned()).filter(|text| !text.is_empty()),
            snapshot,
        };
        self.effects.push_back(Effect::Report(Box::new(report)));
        Ok(())
    }

    /// The server has answered a report.
    pub(super) fn on_reported(&mut self, outcome: ReportOutcome) {
        if let Some(stranger) = &mut self.state.stranger
            && stranger.report == ReportStatus::Sending
        {
            stranger.report = match outcome {
                ReportOutcome::Recorded => ReportStatus::Sent,
                ReportOutcome::NotRecorded => ReportStatus::NotRecorded,
                ReportOutcome::Failed => ReportStatus::Failed,
            };
        }
    }

    /// Never meets the stranger again. A call with them ends.
    pub(super) fn block_stranger(&mut self, now: Now) -> CommandResult {
        require(self.knows_meeting())?;
        let (Some(stranger), Some(met)) = (&mut self.state.stranger, &self.met) else {
            return Err(CommandErrorCode::NotNow.into());
        };
        require(!stranger.blocked)?;

        stranger.blocked = true;
        self.effects.push_back(Effect::Block(Box::new(met.clone())));
        if self.call.is_some() {
            self.ended(now, EndCode::HungUp, None);
        }

        Ok(())
    }
}
