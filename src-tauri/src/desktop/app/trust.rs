//! Who is at the other end of a call: the code of an invite, and the safety words.

use tandem_call::{CallCode, EndCode, VerificationState};
use tandem_signaling::ServerUrl;
use tandem_trust::{Party, SafetyWords};

use super::commands::require;
use super::target::Target;
use super::{App, Effect};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::state::{InviteEnd, Mismatch, Verification, WordsState};

/// The code that a call is started with.
#[derive(Debug, Clone)]
pub struct PlannedCode(pub CallCode);

impl PartialEq for PlannedCode {
    /// The guesses are the same if the code is.
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code && self.0.party == other.0.party
    }
}

/// The codes of other people's invites, each with the guesses that were spent on it. They last as
/// long as the app runs: a server that has voided a code gets no further guess by having the user
/// join again.
#[derive(Debug, Default)]
pub(super) struct GuestCodes(Vec<(ServerUrl, CallCode)>);

impl GuestCodes {
    /// The same code at the same server keeps its guesses.
    fn get(&mut self, server: &ServerUrl, code: tandem_trust::Code) -> CallCode {
        let is_same = |(at, known): &&(ServerUrl, CallCode)| at == server && known.code == code;
        if let Some((_, known)) = self.0.iter().find(is_same) {
            return known.clone();
        }

        let new = CallCode::new(code, Party::Guest);
        self.0.push((server.clone(), new.clone()));
        new
    }
}

/// What is known about the partner of the running call.
#[derive(Debug, Default)]
pub(super) struct CallTrust {
    code: Option<CallCode>,
    /// The last that the engine said.
    state: Option<VerificationState>,
    /// The user has said that the words differ.
    words_differ: bool,
}

impl CallTrust {
    pub(super) fn planned_code(&self) -> Option<PlannedCode> {
        self.code.clone().map(PlannedCode)
    }

    /// Another partner: nothing is known about this one.
    pub(super) fn on_matched(&mut self) {
        self.state = None;
        self.words_differ = false;
    }

    fn words(&self) -> Option<SafetyWords> {
        self.state.as_ref()?.words.ready()
    }

    /// What there is to compare, also before the engine has said anything.
    fn shown_words(&self) -> WordsState {
        match &self.state {
            _ if self.code.is_some() => WordsState::ByCode,
            Some(state) => state.words.into(),
            None => WordsState::Awaited,
        }
    }

    /// As the page shows it.
    pub(super) fn shown(&self) -> Verification {
        let by_invite = self.code.as_ref().map(|code| match code.party {
            Party::Inviter => InviteEnd::Inviter,
            Party::Guest => InviteEnd::Guest,
        });
        Verification {
            badge: self
                .state
                .map(|state| state.badge.into())
                .unwrap_or_default(),
            words: self.shown_words(),
            by_invite,
        }
    }

    /// Whether the code can be tried again after a call that ended like this. A guest who mistyped it
    /// has to enter another one, and the person who made an invite reads it out once more.
    pub(super) fn can_repeat(&self, end: EndCode) -> bool {
        match &self.code {
            None => true,
            Some(code) => {
                !code.guesses.is_void()
                    && (end != EndCode::CodeMismatch || code.party == Party::Inviter)
            }
        }
    }

    /// What did not match, if the call ended for that reason.
    pub(super) fn mismatch(&self, end: EndCode) -> Option<Mismatch> {
        if end != EndCode::CodeMismatch {
            return None;
        }

        Some(match &self.code {
            None if self.words_differ => Mismatch::SafetyWords,
            None => Mismatch::PartnersSafetyWords,
            Some(code) => match (code.party, code.guesses.is_void()) {
                (Party::Inviter, false) => Mismatch::Invite,
                (Party::Inviter, true) => Mismatch::SpentInvite,
                (Party::Guest, false) => Mismatch::Code,
                (Party::Guest, true) => Mismatch::SpentCode,
            },
        })
    }
}

impl App {
    /// How a call for `target` at this server is verified.
    pub(super) fn call_trust(&mut self, target: &Target, server: &ServerUrl) -> CallTrust {
        let code = match target {
            Target::Answer { code, .. } | Target::OwnRoom { code, .. } => code.clone(),
            Target::Room(room) => room
                .invite()
                .map(|invite| self.meeting.guest_codes.get(server, invite.code())),
            // The same guesses, wherever the code is tried.
            Target::InviterNearby { link, .. } => {
                let code = link.invite.code();
                Some(self.meeting.guest_codes.get(&link.server, code))
            }
            Target::Anyone | Target::Person(_) | Target::Nearby(_) => None,
        };

        CallTrust {
            code,
            ..CallTrust::default()
        }
    }

    pub(super) fn on_verification(&mut self, state: VerificationState) {
        let Some(call) = &mut self.call else { return };
        call.trust.state = Some(state);
        let shown = call.trust.shown();
        self.in_call(|call| call.verification = shown);
    }

    /// The user has compared `shown`. Words that have changed since say nothing.
    pub(super) fn words_compared(
        &mut self,
        shown: &[String; 4],
        equal: bool,
    ) -> Result<(), CommandError> {
        let words = self.call.as_ref().and_then(|call| call.trust.words());
        let words = words.ok_or(CommandErrorCode::NotNow)?;
        require(words.words() == *shown)?;
        if let Some(call) = &mut self.call {
            call.trust.words_differ |= !equal;
        }

        self.send_to_call(|id| Effect::WordsCompared(id, words, equal));
        Ok(())
    }
}
