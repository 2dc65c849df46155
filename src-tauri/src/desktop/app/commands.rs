//! What each command does, and on which screen it makes sense.

use tandem_call::machine::EndCode;

use super::{App, Effect, Now, choice};
use crate::desktop::command::{Command, CommandError, CommandErrorCode};
use crate::desktop::state::{HostState, HostStatus, Place, Screen, Settings};
use crate::values;

/// The most characters of a name, as the relay accepts it.
const MAX_NAME: usize = 40;

type Done = Result<(), CommandError>;

impl App {
    pub(super) fn obey(&mut self, now: Now, command: Command) -> Done {
        if self.closing {
            return Err(CommandErrorCode::Closing.into());
        }

        match command {
            Command::FindPartner => self.search(now, None),
            Command::CallWithCode { code } => match values::room(&code) {
                Ok(room) => self.search(now, Some(room)),
                Err(why) => Err(CommandError {
                    code: CommandErrorCode::BadRoom,
                    detail: Some(why),
                }),
            },
            Command::Cancel => self.cancel(),
            Command::HangUp => self.hang_up(now),
            Command::Next => self.next(now, true),
            Command::Retry => self.next(now, false),
            Command::ToLobby => {
                allowed(matches!(self.state.screen, Screen::Ended { .. }))?;
                self.state.screen = Screen::Lobby;
                Ok(())
            }
            Command::SetMuted { muted } => self.set_muted(muted),
            Command::SetCameraOn { on } => self.set_camera_on(on),
            Command::SetCamera { id } => self.set_camera(id),
            Command::SetMicrophone { id } => self.set_microphone(id),
            Command::SetSpeaker { id } => self.set_speaker(id),
            Command::SetName { name } => self.set_name(&name),
            Command::SetRelayUrl { url } => self.set_relay_url(&url),
            Command::SetTheme { theme } => self.change_settings(|settings| settings.theme = theme),
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
                self.tell_call(|id| Effect::SetProcessing(id, processing));
                Ok(())
            }
            Command::StartHost { lan } => {
                allowed(
                    matches!(self.state.host.status, HostStatus::Off | HostStatus::Failed)
                        && self.call.is_none(),
                )?;
                self.solved(Place::Host);
                self.state.host = HostState {
                    status: HostStatus::Starting,
                    addresses: Vec::new(),
                };

                self.effects.push_back(Effect::StartHost { lan });
                Ok(())
            }
            Command::StopHost => {
                allowed(
                    matches!(
                        self.state.host.status,
                        HostStatus::Starting | HostStatus::On
                    ) && self.call.is_none(),
                )?;
                self.state.host = HostState::default();
                self.own_relay = None;
                self.effects.push_back(Effect::StopHost);

                Ok(())
            }
            Command::TestSpeaker => {
                allowed(self.state.screen == Screen::Lobby)?;
                self.solved(Place::Speaker);
                let speaker = self.speaker();
                self.effects.push_back(Effect::TestSpeaker(speaker));

                Ok(())
            }
            Command::RefreshDevices => {
                self.try_camera_again();
                self.try_microphone_again();

                // One look is enough, however often it was asked for.
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

    fn search(&mut self, now: Now, room: Option<String>) -> Done {
        allowed(matches!(
            self.state.screen,
            Screen::Lobby | Screen::Ended { .. }
        ))?;
        self.start_call(now, room);
        Ok(())
    }

    fn cancel(&mut self) -> Done {
        allowed(matches!(
            self.state.screen,
            Screen::Waiting { .. } | Screen::Connecting { .. }
        ))?;
        self.end_call();
        self.state.screen = Screen::Lobby;

        Ok(())
    }

    fn hang_up(&mut self, now: Now) -> Done {
        allowed(matches!(
            self.state.screen,
            Screen::Connecting { .. } | Screen::InCall(_)
        ))?;
        self.ended(now, EndCode::HungUp);
        Ok(())
    }

    /// Away from this partner (if the call is up or not yet), or from the last screen into the same search.
    fn next(&mut self, now: Now, also_in_call: bool) -> Done {
        match &self.state.screen {
            Screen::Ended { room, .. } => {
                let room = room.clone();
                self.start_call(now, room);
            }
            Screen::Connecting { .. } => self.leave_partner(now),
            Screen::InCall(_) if also_in_call => self.leave_partner(now),
            _ => return Err(CommandErrorCode::NotNow.into()),
        }

        Ok(())
    }

    fn leave_partner(&mut self, now: Now) {
        self.tell_call(Effect::Next);
        self.on_call_event(now, tandem_call::session::CallEventKind::Searching);
    }

    fn set_muted(&mut self, muted: bool) -> Done {
        allowed(self.call.is_some())?;
        self.muted = muted;
        self.in_call(|call| call.muted = muted);
        self.tell_call(|id| Effect::SetMuted(id, muted));

        Ok(())
    }

    fn set_camera_on(&mut self, on: bool) -> Done {
        self.try_camera_again();
        self.change_settings(|settings| settings.camera_enabled = on)?;
        self.in_call(|call| call.camera_on = on);

        if on {
            self.camera_gives_pictures(true);
        } else {
            self.solved(Place::Camera);
        }

        self.tell_call(|id| Effect::SetCameraOn(id, on));
        Ok(())
    }

    fn set_camera(&mut self, id: Option<String>) -> Done {
        choice::check(id.as_deref(), &self.state.devices.cameras)?;
        self.try_camera_again();
        self.change_settings(|settings| settings.camera = id)?;
        self.solved(Place::Camera);
        let video = self.video();
        self.camera_gives_pictures(true);
        self.tell_call(|id| Effect::SetVideo(id, video));

        Ok(())
    }

    fn set_microphone(&mut self, id: Option<String>) -> Done {
        choice::check(id.as_deref(), &self.state.devices.microphones)?;
        self.change_settings(|settings| settings.microphone = id)?;
        self.try_microphone_again();
        let audio = self.audio();
        self.tell_call(|id| Effect::SetAudioSource(id, audio));

        Ok(())
    }

    fn set_speaker(&mut self, id: Option<String>) -> Done {
        choice::check(id.as_deref(), &self.state.devices.speakers)?;
        self.change_settings(|settings| settings.speaker = id)?;
        self.solved(Place::Speaker);
        let speaker = self.speaker();
        self.tell_call(|id| Effect::SetAudioSink(id, speaker));

        Ok(())
    }

    fn set_name(&mut self, name: &str) -> Done {
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        if name.chars().count() > MAX_NAME {
            return Err(CommandErrorCode::BadName.into());
        }

        self.kept_name = None;
        self.change_settings(|settings| settings.name = name)
    }

    fn set_relay_url(&mut self, url: &str) -> Done {
        let url = values::signaling_url(url.trim()).map_err(|why| CommandError {
            code: CommandErrorCode::BadRelayUrl,
            detail: Some(why),
        })?;

        self.kept_relay_url = None;
        self.solved(Place::Relay);
        self.change_settings(|settings| settings.relay_url = url)
    }

    fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) -> Done {
        let before = self.state.settings.clone();
        change(&mut self.state.settings);

        if self.state.settings != before {
            self.save();
        }

        Ok(())
    }

    fn tell_call(&mut self, effect: impl FnOnce(super::CallId) -> Effect) {
        if let Some(call) = &self.call {
            let effect = effect(call.id);
            self.effects.push_back(effect);
        }
    }
}

fn allowed(now: bool) -> Done {
    if now {
        Ok(())
    } else {
        Err(CommandErrorCode::NotNow.into())
    }
}
