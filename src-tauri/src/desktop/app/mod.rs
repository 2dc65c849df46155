//! The app's life as a state machine without windows, devices, sockets or clocks.
//!
//! The owner feeds [`Input`]s and [`Command`]s with the time, carries out the [`Effect`]s in their order, tells the page
//! each [`StateChange`], and calls [`App::handle_timeout`] when [`App::poll_timeout`] says so. Two rules hold the media
//! together: an effect is carried out only when the one before it is done, and a camera belongs to the preview or to a
//! call, never to both.

mod call;
mod choice;
mod commands;
mod partner;
mod problems;
mod resources;
#[cfg(test)]
mod tests;

pub use choice::{NONE, camera_id};

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_call::session::CallEventKind;
use tandem_media::DeviceError;
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::video::VideoSpec;

use super::command::{Command, CommandError};
use super::settings::NOT_SAVED;
use super::state::{
    AppState, Devices, HostState, HostStatus, Place, Preview, RelayState, RouteKind, Screen,
    Settings, StateChange,
};
use call::ActiveCall;
use resources::Resources;

/// A connection that is not there by then is called late, and the user may try again.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The moment at which something happens, on both of its clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For durations.
    pub at: Instant,
    /// For the page: Unix time in ms.
    pub unix_ms: u64,
}

/// Names one search with what follows from it, so that late news of an old one cannot be mistaken for the present one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// Names one opening of the camera for the preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreviewId(pub u32);

/// What the command line said: it stands where the user chose nothing, and is never kept.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// In place of the default camera.
    pub video: Option<VideoSpec>,
    /// In place of the default microphone.
    pub audio: Option<AudioSource>,
    /// In place of the default speaker.
    pub speaker: Option<AudioSink>,
    /// In place of the relay's address in the settings.
    pub relay_url: Option<String>,
    /// In place of the name in the settings.
    pub name: Option<String>,
}

/// What a call is to be started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPlan {
    /// The relay.
    pub relay_url: String,
    /// The code that both give.
    pub room: Option<String>,
    /// The name that the partner sees.
    pub name: Option<String>,
    /// The picture to send.
    pub video: VideoSpec,
    /// Whether it is sent from the beginning.
    pub camera_on: bool,
    /// The sound to send.
    pub audio: AudioSource,
    /// Where to play.
    pub speaker: AudioSink,
    /// What is done to the microphone's sound.
    pub processing: Processing,
}

/// Figures of a running call, as far as a badge shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// The path.
    pub route: Option<RouteKind>,
    /// Ciphers are agreed on.
    pub encrypted: bool,
    /// 3 is good, 1 is bad.
    pub quality: Option<u8>,
}

/// Everything that can happen besides commands.
#[derive(Debug, Clone)]
pub enum Input {
    /// A call tells something.
    Call(CallId, CallEventKind),
    /// A call's figures were looked at.
    Figures(CallId, Figures),
    /// The camera works, or fails, at once or later.
    Preview(PreviewId, Result<(), DeviceError>),
    /// The microphone of the level meter fails.
    MonitorFailed(DeviceError),
    /// The speaker could not be tested.
    SpeakerTestFailed(DeviceError),
    /// The devices that are there, and which kinds could not be listed.
    Devices(Devices, Vec<(Place, DeviceError)>),
    /// The embedded relay runs: how this app reaches it, and how others do.
    HostStarted {
        /// From this machine.
        local_url: String,
        /// From others.
        addresses: Vec<String>,
    },
    /// The embedded relay could not be started.
    HostFailed(String),
    /// The settings could not be read or kept: code and detail. `None`: they were kept.
    SettingsKept(Option<(&'static str, String)>),
    /// The window can be seen, or not.
    Visible(bool),
    /// The user closes the window.
    CloseRequested,
}

/// What the owner has to do, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the camera for the preview and say how that went.
    StartPreview(PreviewId, VideoSpec),
    /// Release it.
    StopPreview,
    /// Measure the microphone's level.
    StartMonitor(AudioSource),
    /// Release the microphone.
    StopMonitor,
    /// Begin a search.
    StartCall(CallId, Box<CallPlan>),
    /// Hang up, wait until the partner is told and every device is free.
    EndCall(CallId),
    /// Leave the partner and search for another.
    Next(CallId),
    /// Mute, or not.
    SetMuted(CallId, bool),
    /// Camera off and released, or on.
    SetCameraOn(CallId, bool),
    /// Send another picture.
    SetVideo(CallId, VideoSpec),
    /// Send another sound.
    SetAudioSource(CallId, AudioSource),
    /// Play elsewhere.
    SetAudioSink(CallId, AudioSink),
    /// Treat the microphone's sound differently.
    SetProcessing(CallId, Processing),
    /// From now on pictures of the partner may be shown, or not: none of a former partner ever is.
    ShowRemote(bool),
    /// Play a sound.
    TestSpeaker(AudioSink),
    /// List the devices.
    ListDevices,
    /// Keep the settings.
    Save(Box<Settings>),
    /// Be a relay.
    StartHost {
        /// For the network, not for this machine alone.
        lan: bool,
    },
    /// Stop it.
    StopHost,
    /// End the program. The last effect.
    Exit,
}

/// The state machine.
#[derive(Debug)]
pub struct App {
    state: AppState,
    /// As the page knows it.
    told: AppState,
    effects: VecDeque<Effect>,
    launch: Launch,
    /// The address in the settings while the command line's stands in its place.
    kept_relay_url: Option<String>,
    /// The same for the name.
    kept_name: Option<String>,
    call: Option<ActiveCall>,
    /// How this app reaches its own relay, while that runs.
    own_relay: Option<String>,
    resources: Resources,
    muted: bool,
    closing: bool,
    last_id: u32,
}

impl App {
    /// The app at its start, with the settings that were read.
    #[must_use]
    pub fn new(mut settings: Settings, launch: Launch) -> Self {
        let kept_relay_url = launch
            .relay_url
            .clone()
            .map(|url| std::mem::replace(&mut settings.relay_url, url));

        let kept_name = launch
            .name
            .clone()
            .map(|name| std::mem::replace(&mut settings.name, name));
        if launch.video.is_some() {
            settings.camera = None;
        }

        if launch.audio.is_some() {
            settings.microphone = None;
        }

        if launch.speaker.is_some() {
            settings.speaker = None;
        }

        let state = AppState {
            revision: 0,
            screen: Screen::Lobby,
            settings,
            devices: Devices::default(),
            preview: Preview::default(),
            relay: RelayState::default(),
            host: HostState::default(),
            problems: Vec::new(),
        };

        let mut app = Self {
            told: state.clone(),
            state,
            effects: VecDeque::from([Effect::ListDevices]),
            launch,
            kept_relay_url,
            kept_name,
            call: None,
            own_relay: None,
            resources: Resources::default(),
            muted: false,
            closing: false,
            last_id: 0,
        };

        app.settle();
        // The page asks for this state itself.
        app.told = app.state.clone();
        app
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What changed since the last time this was asked.
    pub fn poll_change(&mut self) -> Option<StateChange> {
        self.state.revision = self.told.revision + 1;
        let change = StateChange::between(&self.told, &self.state);

        if change.is_none() {
            self.state.revision = self.told.revision;
        } else {
            self.told = self.state.clone();
        }

        change
    }

    /// When [`App::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.call.as_ref().and_then(|call| call.late_at)
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(call) = &mut self.call
            && call.late_at.is_some_and(|late| late <= now.at)
        {
            call.late_at = None;
            if let Screen::Connecting { timed_out, .. } = &mut self.state.screen {
                *timed_out = true;
            }
        }
    }

    /// The user wants something.
    ///
    /// # Errors
    /// When it makes no sense now or says nonsense: then nothing has changed.
    pub fn command(&mut self, now: Now, command: Command) -> Result<(), CommandError> {
        let done = self.obey(now, command);
        self.settle();
        done
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Call(id, event) => {
                if self.call.as_ref().is_some_and(|call| call.id == id) {
                    self.on_call_event(now, event);
                }
            }
            Input::Figures(id, figures) => self.on_figures(id, figures),
            Input::Preview(id, result) => self.on_preview(id, result),
            Input::MonitorFailed(error) => self.problem_of_device(Place::Microphone, error),
            Input::SpeakerTestFailed(error) => self.problem_of_device(Place::Speaker, error),
            Input::Devices(devices, errors) => self.on_devices(devices, errors),
            Input::HostStarted {
                local_url,
                addresses,
            } => {
                if self.state.host.status == HostStatus::Starting {
                    self.state.host = HostState {
                        status: HostStatus::On,
                        addresses,
                    };

                    self.own_relay = Some(local_url);
                }
            }
            Input::HostFailed(detail) => {
                if self.state.host.status == HostStatus::Starting {
                    self.state.host = HostState {
                        status: HostStatus::Failed,
                        addresses: Vec::new(),
                    };

                    self.problem(Place::Host, "RELAY_NOT_STARTED", Some(detail));
                }
            }
            // That new settings are kept says nothing about old ones that could not be read.
            Input::SettingsKept(None) => self
                .state
                .problems
                .retain(|problem| problem.code != NOT_SAVED),
            Input::SettingsKept(Some((code, detail))) => {
                self.problem(Place::Settings, code, Some(detail))
            }
            Input::Visible(visible) => self.resources.hidden = !visible,
            Input::CloseRequested => self.close(),
        }

        self.settle();
    }

    /// Ends everything in order. The partner is told before the program ends.
    fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }

        if self.end_call().is_some() {
            self.state.screen = Screen::Lobby;
        }

        self.release_all();
        self.effects.push_back(Effect::Exit);
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Keeps the settings: the user's own, not what the command line put in their place.
    fn save(&mut self) {
        let mut settings = self.state.settings.clone();
        if let Some(url) = &self.kept_relay_url {
            settings.relay_url.clone_from(url);
        }

        if let Some(name) = &self.kept_name {
            settings.name.clone_from(name);
        }

        // Of several that wait in a row only the newest counts.
        self.effects
            .retain(|effect| !matches!(effect, Effect::Save(_)));
        self.effects.push_back(Effect::Save(Box::new(settings)));
    }
}
