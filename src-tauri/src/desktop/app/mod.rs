//! The app as a sans-IO state machine: no windows, devices, sockets or clocks.
//!
//! The shell passes in [`Input`]s and [`Command`]s with the time, carries out the [`Effect`]s in
//! their order, sends each [`StateChange`] to the page, and calls [`App::handle_timeout`] when
//! [`App::poll_timeout`] is due. Two rules keep the devices apart: the shell carries out an effect
//! only when the one before it is done, and a camera belongs to the preview or to a call, never to
//! both. An open camera passes from one to the other by [`Effect::HandOverPreview`] and
//! [`Effect::EndCall`].

mod access;
mod call;
mod choice;
mod commands;
mod line;
mod lobby_devices;
mod meet;
mod nearby;
mod partner;
mod problems;
mod profile;
mod replaced;
mod stranger;
mod surroundings;
mod target;
#[cfg(test)]
mod tests;
mod trust;

pub use choice::{NONE, camera_id};
pub(super) use commands::BITRATES_KBPS;
pub use line::{LineEvent, LineId, LineUse, RoomClaim};
pub use nearby::{NearbyEvent, NearbyUse};
use stranger::Answers;
pub use stranger::{Meeting as StrangerMeeting, PlannedReport, StrangerPlan};
pub use surroundings::{Notification, NotificationReply, Tone, ToneSpec};
pub use trust::PlannedCode;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tandem_call::{CallEventKind, Profile};
use tandem_media::DeviceError;
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::codec::VideoCodec;
use tandem_media::video::{VideoFormat, VideoSpec};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{BearerToken, ClientConfig, TrustedRoots};
use tandem_signaling::message::{KnockId, SessionId};
use tandem_trust::SafetyWords;

use super::access::{Access, ServerToken};
use super::command::{Command, CommandError};
use super::picture::Picture;
use super::recents::Recent;
use super::settings::SettingsProblem;
use super::state::{
    AppState, Devices, HostState, HostStatus, NearbyState, Preview, ProblemPlace, RouteKind,
    Screen, ServerState, Settings, StateChange,
};
use crate::error_code::AppErrorCode;
use crate::video_quality::VideoQuality;
use access::AppAccess;
use call::ActiveCall;
use line::Line;
use lobby_devices::LobbyDevices;
use meet::Meeting;
use nearby::Nearby;
use replaced::Replaced;
use surroundings::Surroundings;
use target::Target;

/// A connection that takes longer is shown as slow, and the page offers to retry.
pub const SLOW_CONNECTION_AFTER: Duration = Duration::from_secs(10);

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic, for durations and deadlines.
    pub at: Instant,
    /// Unix time in ms, for the page.
    pub unix_ms: u64,
}

/// Identifies a search and the calls that follow from it, so that late events of an earlier one are
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// Identifies one opening of the camera for the preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreviewId(pub u32);

/// What the command line said. It replaces the user's settings for this run and is never saved.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Replaces the default camera.
    pub video: Option<VideoSpec>,
    /// Replaces the default microphone.
    pub audio: Option<AudioSource>,
    /// Replaces the default speaker.
    pub speaker: Option<AudioSink>,
    /// Replaces the signaling server's address in the settings.
    pub server_url: Option<ServerUrl>,
    /// The token for that server.
    pub token: Option<BearerToken>,
    /// Replaces the file with certificates in the settings.
    pub ca_file: Option<PathBuf>,
    /// The certificates in it, beside those of the system.
    pub roots: TrustedRoots,
    /// Replaces the name in the settings.
    pub name: Option<String>,
    /// Replaces the size of the video in the settings, in pixels.
    pub size: Option<(u32, u32)>,
    /// The frames per second, which the settings do not have.
    pub fps: Option<f32>,
    /// Replaces the codec in the settings.
    pub codec: Option<VideoCodec>,
    /// Replaces the limit of the bitrate in the settings, in bits per second.
    pub max_bitrate_bps: Option<u32>,
}

/// Everything that a call is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct CallPlan {
    /// The signaling server, and how to connect to it.
    pub server: ClientConfig,
    /// The connection to it, if the call takes over the one of the home screen.
    pub line: Option<LineId>,
    /// Whether that server is in the app of the person who is rung: both are gone together.
    pub rings_nearby: bool,
    /// The person or people that the call is for.
    pub goal: CallGoal,
    /// The code that both sides have to know.
    pub code: Option<PlannedCode>,
    /// How it differs if it is one with a stranger.
    pub stranger: Option<StrangerPlan>,
    /// What the partner sees of the user.
    pub profile: Profile,
    /// The video to send.
    pub video: VideoSpec,
    /// Its size, rate, codec and bitrate limit.
    pub video_quality: VideoQuality,
    /// Whether the call starts with the camera on.
    pub camera_on: bool,
    /// Whether it starts muted.
    pub muted: bool,
    /// The audio to send.
    pub audio: AudioSource,
    /// Where to play the partner's audio.
    pub speaker: AudioSink,
    /// What to do to the microphone's audio.
    pub processing: Processing,
}

/// The person or people that a call is for, as the signaling server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallGoal {
    /// Anyone who searches too.
    Anyone,
    /// The person who enters this room.
    Room {
        /// The room.
        room: String,
        /// Give up if no one is in it or owns it.
        must_exist: bool,
    },
    /// The person who rings.
    Answer(KnockId),
}

/// The figures of a running call that its screen shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// The route of the media, once it is known.
    pub route: Option<RouteKind>,
    /// Whether the ciphers have been negotiated.
    pub encrypted: bool,
    /// From 1, bad, to 3, good.
    pub quality: Option<u8>,
}

/// Everything that can happen, except commands.
#[derive(Debug, Clone)]
pub enum Input {
    /// An event of a call.
    Call(CallId, CallEventKind),
    /// New figures of a call.
    Figures(CallId, Figures),
    /// The preview's camera opened, failed to open, or failed later.
    Preview(PreviewId, Result<(), DeviceError>),
    /// The level meter's microphone failed.
    MonitorFailed(DeviceError),
    /// The speaker test failed.
    SpeakerTestFailed(DeviceError),
    /// The devices of this machine, and the kinds that could not be listed.
    Devices(Devices, Vec<(ProblemPlace, DeviceError)>),
    /// The embedded signaling server runs.
    HostStarted {
        /// Its address for this machine.
        local_url: ServerUrl,
        /// Its addresses for other people.
        addresses: Vec<ServerUrl>,
    },
    /// The embedded signaling server failed to start; the reason.
    HostFailed(String),
    /// The settings were saved.
    SettingsSaved,
    /// The settings could not be read or saved.
    SettingsFailed(SettingsProblem),
    /// The token could not be saved, or the certificates not be read at the start.
    AccessFailed(SettingsProblem),
    /// The certificates in the file with this path.
    Certificates(String, Result<TrustedRoots, SettingsProblem>),
    /// An event of the connection to the signaling server between calls.
    Line(LineId, LineEvent),
    /// Something about people nearby. The id is that of the [`Effect::OpenNearby`].
    Nearby(LineId, NearbyEvent),
    /// A link or an invite from outside was opened.
    Opened(String),
    /// The user answered the notification.
    Notification(NotificationReply),
    /// The window became visible, or hidden.
    Visible(bool),
    /// The window got the focus, or lost it.
    Focused(bool),
    /// The user closes the window.
    CloseRequested,
    /// The program is told to end, by the system or from the command line.
    Quit,
}

/// What the shell has to do, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Open the camera for the preview, or take over the one that an ended call left open. Report
    /// the result as [`Input::Preview`].
    StartPreview(PreviewId, VideoSpec, VideoFormat),
    /// Stop the preview and release its camera.
    StopPreview,
    /// Stop the preview but leave its camera open. The next effect is the [`Self::StartCall`] that
    /// takes it over, with the same video and format.
    HandOverPreview,
    /// Release the camera that an ended call left open, if any.
    ReleaseCamera,
    /// Measure the microphone's level.
    StartMonitor(AudioSource),
    /// Stop measuring and release the microphone.
    StopMonitor,
    /// Start a search.
    StartCall(CallId, Box<CallPlan>),
    /// Hang up, and wait until the partner is notified. The camera may stay open:
    /// [`Self::StartPreview`] or [`Self::ReleaseCamera`] follows.
    EndCall(CallId),
    /// Leave the partner and search for another.
    Next(CallId),
    /// Mute the microphone, or unmute it.
    SetMuted(CallId, bool),
    /// Switch the camera on, or off and release it.
    SetCameraOn(CallId, bool),
    /// Send other video.
    SetVideo(CallId, VideoSpec),
    /// Send other audio.
    SetAudioSource(CallId, AudioSource),
    /// Play the partner's audio elsewhere.
    SetAudioSink(CallId, AudioSink),
    /// Change what is done to the microphone's audio.
    SetProcessing(CallId, Processing),
    /// The user has compared the safety words that were shown, and they are equal or not.
    WordsCompared(CallId, SafetyWords, bool),
    /// Send what is on: the user has seen who the partner of this session is.
    ReleaseMedia(CallId, SessionId),
    /// Send a report, in the call or after it. What becomes of it is reported there.
    Report(Box<PlannedReport>),
    /// Block the stranger of this call, in it or after it.
    Block(Box<StrangerMeeting>),
    /// Forget the last frame of the stranger.
    ForgetFrame,
    /// Try the devices at once that do not work.
    RetryDevices(CallId),
    /// Show the remote video from now on, or hide it at once. Hidden between two partners, so that
    /// no frame of the first appears beside the name of the second.
    ShowRemote(bool),
    /// Play the test sound.
    TestSpeaker(AudioSink),
    /// List the devices.
    ListDevices,
    /// Connect to a signaling server, and report the events as [`Input::Line`].
    OpenLine(LineId, Box<ClientConfig>),
    /// Use the connection for this from now on.
    UseLine(LineUse),
    /// Decline the person who rings.
    Decline(KnockId),
    /// Close the connection.
    CloseLine,
    /// Let people nearby find and call the user under this name, and find them. What happens is
    /// [`Input::Nearby`], and [`Input::Line`] on this connection. Nobody can ring yet.
    OpenNearby(LineId, Option<String>),
    /// Announce the user under this name from now on.
    RenameNearby(Option<String>),
    /// Let people nearby ring from now on, or not.
    ListenNearby(NearbyUse),
    /// Decline the person nearby who rings.
    DeclineNearby(KnockId),
    /// Let no one nearby find and call the user.
    CloseNearby,
    /// Play a tone over and over instead of the present one; `None`: silence.
    Play(Option<ToneSpec>),
    /// Play a tone once.
    PlayOnce(ToneSpec),
    /// Show a notification of the desktop instead of the present one; `None`: none. The user's reply
    /// is [`Input::Notification`].
    Notify(Option<Notification>),
    /// Have the desktop mark the window, or no longer.
    AskForAttention(bool),
    /// Keep screen and computer awake, or no longer.
    KeepAwake(bool),
    /// Bring the window to the front.
    ShowWindow,
    /// Show the window on the whole screen, or as a window again.
    ToggleFullScreen,
    /// Hide the window, before the program ends.
    HideWindow,
    /// Save the people of earlier calls.
    SaveRecents(Vec<Recent>),
    /// Save the settings.
    Save(Box<Settings>),
    /// Save the token, or remove the saved one.
    SaveToken(Option<Box<ServerToken>>),
    /// Save the profile picture, or remove the saved one.
    SavePicture(Option<Picture>),
    /// Read the certificates in the file with this path, and report them as
    /// [`Input::Certificates`].
    ReadCertificates(String),
    /// Start the embedded signaling server.
    StartHost {
        /// Open it to the network, not only to this machine.
        lan: bool,
    },
    /// Stop the embedded signaling server.
    StopHost,
    /// End the program. No effect follows.
    Exit,
}

/// The state machine.
#[derive(Debug)]
pub struct App {
    state: AppState,
    /// The state as the page knows it.
    published: AppState,
    effects: VecDeque<Effect>,
    launch: Launch,
    /// What the settings file has where the command line replaces it.
    replaced: Replaced,
    /// The settings that were saved last, or those of the file.
    saved: Settings,
    access: AppAccess,
    call: Option<ActiveCall>,
    /// The connection to the signaling server.
    line: Option<Line>,
    nearby: Nearby,
    meeting: Meeting,
    /// Where the user met the stranger of the state.
    met: Option<StrangerMeeting>,
    answers: Answers,
    /// What `next` searches for after a call.
    again: Option<Target>,
    surroundings: Surroundings,
    /// The address of the embedded signaling server for this machine, while it runs.
    local_server_url: Option<ServerUrl>,
    lobby_devices: LobbyDevices,
    closing: bool,
    /// [`Effect::Exit`] is on its way.
    exited: bool,
    last_id: u32,
}

impl App {
    /// The app at its start, with the settings from the file.
    #[must_use]
    pub fn new(
        mut settings: Settings,
        recents: Vec<Recent>,
        mut access: Access,
        launch: Launch,
    ) -> Self {
        let saved = settings.clone();
        let replaced = Replaced::replace(&mut settings, &launch);
        if launch.ca_file.is_some() {
            access.roots = launch.roots.clone();
        }

        let has_token = launch.token.is_some();
        let token = launch.token.clone().zip(settings.server_url.clone());
        let token = token.map(|(token, server)| ServerToken { server, token });
        let has_lost_token = has_token && token.is_none();

        // Who names a server on the command line knows how to call.
        settings.welcomed |= launch.server_url.is_some();

        let state = AppState {
            revision: 0,
            screen: Screen::Lobby,
            settings,
            picture: None,
            codecs: choice::CODECS.to_vec(),
            devices: Devices::default(),
            preview: Preview::default(),
            server: ServerState::default(),
            token: None,
            host: HostState::default(),
            nearby: NearbyState::default(),
            invitation: None,
            incoming: None,
            opened: None,
            recents: Vec::new(),
            stranger: None,
            confirm_close: false,
            problems: Vec::new(),
        };

        let mut app = Self {
            published: state.clone(),
            state,
            effects: VecDeque::from([Effect::ListDevices]),
            launch,
            replaced,
            saved,
            access: AppAccess::new(access, token),
            call: None,
            line: None,
            nearby: Nearby::default(),
            meeting: Meeting::new(recents),
            met: None,
            answers: Answers::default(),
            again: None,
            surroundings: Surroundings::default(),
            local_server_url: None,
            lobby_devices: LobbyDevices::default(),
            closing: false,
            exited: false,
            last_id: 0,
        };

        app.show_recents();
        if has_lost_token {
            app.problem(ProblemPlace::Access, AppErrorCode::TokenWithoutServer, None);
        }

        app.sync();
        // The page fetches this first state itself.
        app.published = app.state.clone();
        app
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What changed since the last call of this function.
    pub fn poll_change(&mut self) -> Option<StateChange> {
        self.state.revision = self.published.revision + 1;
        let change = StateChange::between(&self.published, &self.state);

        if change.is_none() {
            self.state.revision = self.published.revision;
        } else {
            self.published = self.state.clone();
        }

        change
    }

    /// When to call [`App::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let slow_at = self.call.as_ref().and_then(|call| call.slow_at);
        slow_at.into_iter().chain(self.answers_due()).min()
    }

    /// Handles the deadline of [`App::poll_timeout`]: a connection that takes long is shown as
    /// such, and so is a server that does not answer.
    pub fn handle_timeout(&mut self, now: Now) {
        self.on_answers_due(now);
        if let Some(call) = &mut self.call
            && call.slow_at.is_some_and(|deadline| deadline <= now.at)
        {
            call.slow_at = None;
            if let Screen::Connecting { timed_out, .. } = &mut self.state.screen {
                *timed_out = true;
            }
        }
    }

    /// Handles a command of the user.
    ///
    /// # Errors
    /// When the command is not possible now or its arguments are invalid. Nothing has changed then.
    pub fn command(&mut self, now: Now, command: Command) -> Result<(), CommandError> {
        let result = self.dispatch(now, command);
        self.sync();
        result
    }

    /// Opens, closes, starts and stops what follows from the screen and the settings.
    fn sync(&mut self) {
        if !matches!(self.state.screen, Screen::InCall(_)) {
            self.state.confirm_close = false;
        }

        if !matches!(self.state.screen, Screen::Ended { .. }) {
            self.again = None;
        }

        self.sync_stranger();
        self.withdraw_spent_invite();
        self.state.token = self.shown_token();
        self.show_opened();
        self.sync_devices();
        self.sync_line();
        self.sync_nearby();
        self.show_app_link();
        self.show_incoming();
        self.sync_surroundings();

        if self.closing && !self.exited {
            self.exited = true;
            self.effects.push_back(Effect::Exit);
        }
    }

    /// Handles everything that is not a command.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Call(id, event) => {
                if self.call.as_ref().is_some_and(|call| call.id == id) {
                    self.on_call_event(now, event);
                }
            }
            Input::Figures(id, figures) => self.on_figures(id, figures),
            Input::Preview(id, result) => self.on_preview(id, result),
            Input::MonitorFailed(error) => self.device_problem(ProblemPlace::Microphone, error),
            Input::SpeakerTestFailed(error) => self.device_problem(ProblemPlace::Speaker, error),
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

                    self.local_server_url = Some(local_url);
                }
            }
            Input::HostFailed(detail) => {
                if self.state.host.status == HostStatus::Starting {
                    self.state.host = HostState {
                        status: HostStatus::Failed,
                        addresses: Vec::new(),
                    };

                    self.problem(
                        ProblemPlace::Host,
                        AppErrorCode::RelayNotStarted,
                        Some(detail),
                    );
                }
            }
            // Only this problem is solved: saving new settings does not bring back a broken file.
            Input::SettingsSaved => self
                .state
                .problems
                .retain(|problem| problem.code != AppErrorCode::SettingsNotSaved.into()),
            Input::SettingsFailed(SettingsProblem { code, detail }) => {
                self.problem(ProblemPlace::Settings, code, Some(detail));
            }
            Input::AccessFailed(SettingsProblem { code, detail }) => {
                self.problem(ProblemPlace::Access, code, Some(detail));
            }
            Input::Certificates(path, result) => self.on_certificates(&path, result),
            Input::Line(id, event) if self.is_nearby_line(id) => self.on_nearby_line(now, event),
            Input::Line(id, event) => self.on_line(now, id, event),
            Input::Nearby(id, event) => self.on_nearby(now, id, event),
            Input::Opened(text) => {
                self.effects.push_back(Effect::ShowWindow);
                self.on_opened(&text);
            }
            Input::Notification(reply) => self.on_notification(now, reply),
            Input::Visible(visible) => self.lobby_devices.hidden = !visible,
            Input::Focused(focused) => self.surroundings.in_background = !focused,
            Input::CloseRequested => {
                let in_call = matches!(self.state.screen, Screen::InCall(_));
                if in_call && !self.state.confirm_close {
                    self.state.confirm_close = true;
                    self.effects.push_back(Effect::ShowWindow);
                } else {
                    self.close();
                }
            }
            Input::Quit => self.close(),
        }

        self.sync();
    }

    /// Ends everything in order: the partner is notified before the program ends.
    fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }

        self.effects.push_back(Effect::HideWindow);
        if self.end_call().is_some() {
            self.state.screen = Screen::Lobby;
        }

        self.withdraw_invite();
        self.end_knock();
        self.release_devices();
    }

    /// The user answered the notification, or clicked it.
    fn on_notification(&mut self, now: Now, reply: NotificationReply) {
        // Fails if the ring was answered in the window meanwhile, or given up: the window shows it.
        let _ = match reply {
            NotificationReply::Accept { id } => self.accept(now, id, true),
            NotificationReply::Decline { id } => self.decline(now, id),
            NotificationReply::Show => Ok(()),
        };

        if !matches!(reply, NotificationReply::Decline { .. }) {
            self.effects.push_back(Effect::ShowWindow);
        }
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Saves the user's settings, without what the command line replaced, if they differ from the
    /// saved ones.
    fn save(&mut self) {
        let mut settings = self.state.settings.clone();
        self.replaced.restore(&mut settings);
        if settings == self.saved {
            return;
        }

        self.saved = settings.clone();
        // Replaces a save that is still waiting.
        self.effects
            .retain(|effect| !matches!(effect, Effect::Save(_)));
        self.effects.push_back(Effect::Save(Box::new(settings)));
    }
}
