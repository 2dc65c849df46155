//! Meeting strangers: what comes before, what they learn of the user, reporting and blocking them.

use std::time::{Duration, Instant};

use tandem_call::{BlockOutcome, EndCode, ReportOutcome, StrangerRoute};
use tandem_signaling::message::{MAX_REPORT_CHARS, ReportCategory, SessionId, UserId};

use super::commands::require;
use super::target::Target;
use super::{App, CallId, Effect, LineId, Now, partner};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::state::{BlockStatus, ReportReason, ReportStatus, Screen, StrangerState};

type CommandResult = Result<(), CommandError>;

/// How long the server may take to answer a report or a block.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Until when answers of the server are awaited.
#[derive(Debug, Default)]
pub(super) struct Answers {
    report: Option<Instant>,
    block: Option<Instant>,
}

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

    /// The user agrees to meet strangers directly at the server that the last screen asks about.
    pub(super) fn allow_stranger_direct(&mut self, server: &str) -> CommandResult {
        let asked = match &self.state.screen {
            Screen::Ended { asks_direct_at, .. } => asks_direct_at.as_ref(),
            _ => None,
        };
        let asked = asked.filter(|asked| asked.as_str() == server);
        let asked = asked.ok_or(CommandErrorCode::NotNow)?.clone();
        self.change_settings(|settings| settings.allow_direct(&asked, true))
    }

    /// The user no longer agrees to that at the server that the settings show like this.
    pub(super) fn take_back_stranger_direct(&mut self, server: &str) -> CommandResult {
        let known = &self.state.settings.stranger_direct;
        let known = known.iter().find(|known| known.as_str() == server);
        let known = known.ok_or(CommandErrorCode::NotNow)?.clone();
        self.change_settings(|settings| settings.allow_direct(&known, false))
    }

    /// How a call for `target` differs if it is one with a stranger.
    pub(super) fn stranger_plan(&self, target: &Target) -> Option<StrangerPlan> {
        let settings = &self.state.settings;
        (!target.is_known()).then(|| StrangerPlan {
            route: match (settings.stranger_relay, self.is_direct_allowed()) {
                (true, false) => StrangerRoute::Relay,
                (true, true) => StrangerRoute::RelayIfOffered,
                (false, _) => StrangerRoute::Direct,
            },
            interests: settings.interests.clone(),
        })
    }

    fn is_direct_allowed(&self) -> bool {
        let origin = self.own_server().map(|server| server.url.origin());
        origin.is_some_and(|origin| self.state.settings.stranger_direct.contains(&origin))
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
            block: BlockStatus::None,
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
        // The page may not know yet that its window is minimized: some systems do not tell it.
        require(!self.lobby_devices.hidden)?;
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
        now: Now,
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
        self.answers.report = Some(now.at + ANSWER_TIMEOUT);
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
            && (stranger.report == ReportStatus::Sending
                // It was only late.
                || (stranger.report, outcome) == (ReportStatus::Failed, ReportOutcome::Recorded))
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
        require(matches!(
            stranger.block,
            BlockStatus::None | BlockStatus::Failed
        ))?;

        stranger.block = BlockStatus::Sending;
        self.answers.block = Some(now.at + ANSWER_TIMEOUT);
        self.effects.push_back(Effect::Block(Box::new(met.clone())));
        if self.call.is_some() {
            self.ended(now, EndCode::HungUp, None);
        }

        Ok(())
    }

    /// The server has answered a block, perhaps late, or of an earlier stranger.
    pub(super) fn on_blocked(&mut self, outcome: &BlockOutcome) {
        let (Some(stranger), Some(met)) = (&mut self.state.stranger, &self.met) else {
            return;
        };

        match outcome {
            BlockOutcome::Blocked(partner) if *partner == met.partner_id => {
                stranger.block = BlockStatus::Blocked;
            }
            BlockOutcome::Refused if stranger.block == BlockStatus::Sending => {
                stranger.block = BlockStatus::Failed;
            }
            BlockOutcome::Blocked(_) | BlockOutcome::Refused => {}
        }
    }

    /// The connection is gone on which the server would have answered. A block is repeated on the next
    /// one, and its answer may still come.
    pub(super) fn on_answers_lost(&mut self) {
        self.answers = Answers::default();
        if let Some(stranger) = &mut self.state.stranger {
            if stranger.report == ReportStatus::Sending {
                stranger.report = ReportStatus::Failed;
            }

            if stranger.block == BlockStatus::Sending {
                stranger.block = BlockStatus::Failed;
            }
        }
    }

    /// When to give up waiting for the server's answers.
    pub(super) fn answers_due(&self) -> Option<Instant> {
        let stranger = self.state.stranger.as_ref()?;
        let report = self.answers.report;
        let block = self.answers.block;
        let report = report.filter(|_| stranger.report == ReportStatus::Sending);
        let block = block.filter(|_| stranger.block == BlockStatus::Sending);
        report.into_iter().chain(block).min()
    }

    /// Gives up waiting for an answer that is overdue.
    pub(super) fn on_answers_due(&mut self, now: Now) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|due| due <= now.at);
        let (report, block) = (is_due(self.answers.report), is_due(self.answers.block));
        let Some(stranger) = &mut self.state.stranger else {
            return;
        };

        if report && stranger.report == ReportStatus::Sending {
            stranger.report = ReportStatus::Failed;
        }

        if block && stranger.block == BlockStatus::Sending {
            stranger.block = BlockStatus::Failed;
        }
    }
}
