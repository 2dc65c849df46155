//! What each command does, and on which screens it is possible.

use std::ops::RangeInclusive;

use tandem_call::EndCode;
use tandem_signaling::ServerUrlError;

use super::target::Target;
use super::{App, CallId, Effect, Now, Tone, choice};
use crate::desktop::command::{Command, CommandError, CommandErrorCode, Secret};
use crate::desktop::state::{HostState, HostStatus, ProblemPlace, Screen, Settings};
use crate::values::{self, MAX_BITRATE_BPS, MIN_BITRATE_BPS, RoomText};

/// The bitrates that the settings allow, in kbit/s.
pub(in crate::desktop) const BITRATES_KBPS: RangeInclusive<u32> =
    MIN_BITRATE_BPS / 1_000..=MAX_BITRATE_BPS / 1_000;

type CommandResult = Result<(), CommandError>;

impl App {
    /// Carries out a command, or refuses it and changes nothing.
    pub(super) fn dispatch(&mut self, now: Now, command: Command) -> CommandResult {
        if self.closing {
            return Err(CommandErrorCode::Closing.into());
        }

        match command {
            Command::FindPartner => self.meet_someone(now),
            Command::CallWithCode { code } => {
                match read_room(&code)? {
                    // The user sees the server of a link before the call goes there.
                    link @ (RoomText::Link(_) | RoomText::Nearby(_)) => {
                        require(self.is_between_calls())?;
                        self.open(link);
                        Ok(())
                    }
                    room => self.search(now, Target::Room(room)),
                }
            }
            Command::Invite => self.invite(),
            Command::CancelInvite => {
                require(self.state.invitation.is_some())?;
                self.withdraw_invite();
                Ok(())
            }
            Command::AcceptCall { id, video } => self.accept(now, id, video),
            Command::DeclineCall { id } => self.decline(now, id),
            Command::JoinOpened => self.join_opened(now),
            Command::DismissOpened => {
                require(self.state.opened.is_some())?;
                self.dismiss_opened();
                Ok(())
            }
            Command::CallRecent { id } => self.call_recent(now, id),
            Command::RemoveRecent { id } => self.remove_recent(id),
            Command::ClearRecents => {
                self.clear_recents();
                Ok(())
            }
            Command::OpenNearby => self.open_nearby(),
            Command::CloseNearby => {
                require(self.state.nearby.open)?;
                self.close_nearby();
                Ok(())
            }
            Command::CallNearby { id } => self.call_nearby(now, &id),
            Command::CallAddress { address } => self.call_address(now, &address),
            Command::SetAlwaysNearby { on } => self.set_always_nearby(on),
            Command::Welcomed => self.change_settings(|settings| settings.welcomed = true),
            Command::ToggleFullScreen => {
                self.effects.push_back(Effect::ToggleFullScreen);
                Ok(())
            }
            Command::RetryServer => {
                require(self.call.is_none())?;
                self.retry_line();
                Ok(())
            }
            Command::ConfirmClose { close } => {
                require(self.state.confirm_close)?;
                self.state.confirm_close = false;
                if close {
                    self.close();
                }

                Ok(())
            }
            Command::Cancel => self.cancel(),
            Command::HangUp => self.hang_up(now),
            Command::Next => self.next(now, true),
            Command::Retry => self.next(now, false),
            Command::ToLobby => {
                require(matches!(self.state.screen, Screen::Ended { .. }))?;
                self.state.screen = Screen::Lobby;
                Ok(())
            }
            Command::SetMuted { muted } => self.set_muted(muted),
            Command::SetCameraOn { on } => self.set_camera_on(on),
            Command::SetCamera { id } => self.set_camera(id),
            Command::SetMicrophone { id } => self.set_microphone(id),
            Command::SetSpeaker { id } => self.set_speaker(id),
            Command::SetRing { speaker, volume } => self.set_ring(speaker, volume),
            Command::TestRing => {
                require(self.is_between_calls() && self.state.incoming.is_none())?;
                let ring = self.tone(Tone::Ring);
                self.effects.push_back(Effect::PlayOnce(ring));
                Ok(())
            }
            Command::SetName { name } => self.set_name(&name),
            Command::SetAbout { age, location } => self.set_about(age, &location),
            Command::SetPicture { picture } => self.set_picture(picture.as_deref()),
            Command::SetServerUrl { url } => self.set_server_url(&url),
            Command::SetToken {
                token: Secret(token),
            } => self.set_token(&token),
            Command::ForgetToken => self.forget_token(),
            Command::SetCaFile { path } => self.set_ca_file(&path),
            Command::SetSingleKeyShortcuts { on } => {
                self.change_settings(|settings| settings.single_key_shortcuts = on)
            }
            Command::SetTheme { theme } => self.change_settings(|settings| settings.theme = theme),
            Command::SetVideoQuality {
                size,
                codec,
                max_bitrate_kbps,
            } => {
                if !BITRATES_KBPS.contains(&max_bitrate_kbps) {
                    return Err(CommandErrorCode::BadBitrate.into());
                }

                self.change_settings(|settings| {
                    (
                        settings.video_size,
                        settings.codec,
                        settings.max_bitrate_kbps,
                    ) = (size, codec, max_bitrate_kbps);
                })
            }
            Command::SetProcessing {
                echo_cancellation,
                noise_suppression,
                auto_gain,
            } => {
                self.change_settings(|settings| {
                    (
                        settings.echo_cancellation,
                        settings.noise_suppression,
                        settings.auto_gain,
                    ) = (echo_cancellation, noise_suppression, auto_gain);
                })?;

                let processing = self.processing();
                self.send_to_call(|id| Effect::SetProcessing(id, processing));
                Ok(())
            }
            Command::StartHost { lan } => {
                require(
                    matches!(self.state.host.status, HostStatus::Off | HostStatus::Failed)
                        && self.call.is_none(),
                )?;
                self.solved(ProblemPlace::Host);
                self.state.host = HostState {
                    status: HostStatus::Starting,
                    addresses: Vec::new(),
                };

                self.effects.push_back(Effect::StartHost { lan });
                Ok(())
            }
            Command::StopHost => {
                require(
                    matches!(
                        self.state.host.status,
                        HostStatus::Starting | HostStatus::On
                    ) && self.call.is_none(),
                )?;
                self.state.host = HostState::default();
                self.local_server_url = None;
                self.effects.push_back(Effect::StopHost);

                Ok(())
            }
            Command::TestSpeaker => {
                require(self.state.screen == Screen::Lobby)?;
                self.solved(ProblemPlace::Speaker);
                let speaker = self.speaker();
                self.effects.push_back(Effect::TestSpeaker(speaker));

                Ok(())
            }
            Command::WordsCompared { words, equal } => self.words_compared(&words, equal),
            Command::AcceptRules => self.change_settings(|settings| settings.rules_accepted = true),
            Command::SetStrangerRelay { on } => {
                // Who switches it on takes back what was agreed to once.
                self.change_settings(|settings| {
                    settings.stranger_relay = on;
                    if on {
                        settings.stranger_direct.clear();
                    }
                })
            }
            Command::AllowStrangerDirect { server } => self.allow_stranger_direct(&server),
            Command::TakeBackStrangerDirect { server } => self.take_back_stranger_direct(&server),
            Command::SetInterests { interests } => self.set_interests(&interests),
            Command::StrangerShown { id } => self.stranger_shown(id),
            Command::Report {
                reason,
                text,
                snapshot,
            } => self.report_stranger(now, reason, &text, snapshot),
            Command::Block => self.block_stranger(now),
            Command::RefreshDevices => {
                self.retry_camera();
                self.retry_microphone();
                self.send_to_call(Effect::RetryDevices);

                // One listing serves all requests that are waiting.
                if !self.effects.contains(&Effect::ListDevices) {
                    self.effects.push_back(Effect::ListDevices);
                }

                Ok(())
            }
            Command::DismissProblem { id } => {
                let before = self.state.problems.len();
                self.state.problems.retain(|problem| problem.id != id);

                if self.state.problems.len() < before {
                    Ok(())
                } else {
                    Err(CommandErrorCode::UnknownProblem.into())
                }
            }
        }
    }

    pub(super) fn search(&mut self, now: Now, target: Target) -> CommandResult {
        require(matches!(
            self.state.screen,
            Screen::Lobby | Screen::Ended { .. }
        ))?;
        self.start_call(now, target)
    }

    fn cancel(&mut self) -> CommandResult {
        require(matches!(
            self.state.screen,
            Screen::Waiting { .. } | Screen::Connecting { .. }
        ))?;
        self.end_call();
        self.state.screen = Screen::Lobby;

        Ok(())
    }

    fn hang_up(&mut self, now: Now) -> CommandResult {
        require(matches!(
            self.state.screen,
            Screen::Connecting { .. } | Screen::InCall(_)
        ))?;
        self.ended(now, EndCode::HungUp, None);
        Ok(())
    }

    /// Searches again: for someone else instead of a stranger, for the same person if the
    /// connection does not come up, and after a call. A connected stranger is left only if
    /// `also_in_call`.
    fn next(&mut self, now: Now, also_in_call: bool) -> CommandResult {
        let target = self.call.as_ref().map(|call| call.target.clone());

        match (&self.state.screen, target) {
            (Screen::Ended { .. }, _) => {
                let again = self.again.clone().ok_or(CommandErrorCode::NotNow)?;
                return self.start_call(now, again);
            }
            (Screen::Connecting { .. }, Some(Target::Anyone | Target::Room(RoomText::Code(_)))) => {
                self.leave_partner(now);
            }
            (Screen::Connecting { .. }, Some(target)) if target.can_repeat(false) => {
                // The user may have removed the server in the meantime: then this call goes on.
                self.server_for(&target)?;
                self.end_call();
                return self.start_call(now, target);
            }
            (Screen::InCall(_), Some(Target::Anyone)) if also_in_call => self.leave_partner(now),
            _ => return Err(CommandErrorCode::NotNow.into()),
        }

        Ok(())
    }

    fn leave_partner(&mut self, now: Now) {
        self.send_to_call(Effect::Next);
        self.on_searching(now);
        if let Some(call) = &mut self.call {
            call.is_leaving = true;
        }
    }

    fn set_muted(&mut self, muted: bool) -> CommandResult {
        let is_stranger = self.is_with_stranger();
        self.change_settings(|settings| {
            if is_stranger {
                settings.stranger_muted = muted;
            } else {
                settings.muted = muted;
            }
        })?;
        self.in_call(|call| call.muted = muted);
        self.send_to_call(|id| Effect::SetMuted(id, muted));

        Ok(())
    }

    fn set_camera_on(&mut self, on: bool) -> CommandResult {
        self.retry_camera();
        let is_stranger = self.is_with_stranger();
        self.change_settings(|settings| {
            if is_stranger {
                settings.stranger_camera = on;
            } else {
                settings.camera_enabled = on;
            }
        })?;
        if let Some(call) = &mut self.call {
            call.sound_only = false;
        }

        self.in_call(|call| call.camera_on = on);

        if on {
            self.set_camera_works(true);
        } else {
            self.solved(ProblemPlace::Camera);
        }

        self.send_to_call(|id| Effect::SetCameraOn(id, on));
        Ok(())
    }

    fn set_camera(&mut self, id: Option<String>) -> CommandResult {
        choice::check(id.as_deref(), &self.state.devices.cameras)?;
        self.retry_camera();
        self.replaced.camera = None;
        self.change_settings(|settings| settings.camera = id)?;
        self.solved(ProblemPlace::Camera);
        let video = self.video();
        self.set_camera_works(true);
        self.send_to_call(|id| Effect::SetVideo(id, video));

        Ok(())
    }

    fn set_microphone(&mut self, id: Option<String>) -> CommandResult {
        choice::check(id.as_deref(), &self.state.devices.microphones)?;
        self.replaced.microphone = None;
        self.change_settings(|settings| settings.microphone = id)?;
        self.retry_microphone();
        // Another one may work. If not, that is another problem.
        self.solved(ProblemPlace::Microphone);
        let audio = self.audio();
        self.send_to_call(|id| Effect::SetAudioSource(id, audio));

        Ok(())
    }

    fn set_speaker(&mut self, id: Option<String>) -> CommandResult {
        choice::check(id.as_deref(), &self.state.devices.speakers)?;
        self.replaced.speaker = None;
        self.change_settings(|settings| settings.speaker = id)?;
        self.solved(ProblemPlace::Speaker);
        let speaker = self.speaker();
        self.send_to_call(|id| Effect::SetAudioSink(id, speaker));

        Ok(())
    }

    fn set_ring(&mut self, speaker: Option<String>, volume: u8) -> CommandResult {
        choice::check(speaker.as_deref(), &self.state.devices.speakers)?;
        self.change_settings(|settings| {
            settings.ring_speaker = speaker;
            settings.ring_volume = volume.min(100);
        })
    }

    fn set_server_url(&mut self, url: &str) -> CommandResult {
        let url = match url.trim() {
            "" => None,
            url => Some(url.parse().map_err(|error: ServerUrlError| CommandError {
                code: CommandErrorCode::BadRelayUrl,
                detail: Some(error.to_string()),
            })?),
        };

        self.replaced.server_url = None;
        self.solved(ProblemPlace::Server);
        self.change_settings(|settings| settings.server_url = url)
    }

    /// Changes the settings, and saves them if that made a difference.
    pub(super) fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) -> CommandResult {
        change(&mut self.state.settings);
        self.save();

        Ok(())
    }

    /// Queues an effect for the running call, if there is one.
    pub(super) fn send_to_call(&mut self, effect: impl FnOnce(CallId) -> Effect) {
        if let Some(call) = &self.call {
            let effect = effect(call.id);
            self.effects.push_back(effect);
        }
    }
}

/// Reads the code or the invite that the user typed.
fn read_room(text: &str) -> Result<RoomText, CommandError> {
    let text = text.trim();
    let refused = |why| CommandError {
        code: if values::is_link(text) {
            CommandErrorCode::BadLink
        } else {
            CommandErrorCode::BadRoom
        },
        detail: Some(why),
    };

    values::room_text(text).map_err(refused)
}

/// Refuses a command that is not possible now.
pub(super) fn require(is_possible: bool) -> CommandResult {
    if is_possible {
        Ok(())
    } else {
        Err(CommandErrorCode::NotNow.into())
    }
}
