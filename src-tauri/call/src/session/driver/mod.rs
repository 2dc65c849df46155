//! The task that drives a call.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the task that gives the state machine the time"
)]

mod effects;
mod peer;
mod replace;
mod server;
mod strangers;
mod timing;
mod trouble;
mod warm;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_media::audio::{AudioEngine, AudioSource};
use tandem_media::error::{MediaEvent, MediaEvents};
use tandem_media::video::VideoSpec;
use tandem_signaling::client::{ClientError, ClientEvent};
use tandem_signaling::message::UserId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::timing::{Probes, Sleep};
use super::ice_servers::IceServers;
use super::line::SignalingLine;
use super::local_audio::LocalAudio;
use super::local_state::LocalState;
use super::local_video::{LocalVideo, VideoNews};
use super::network_watch::NetworkWatch;
use super::partner::PartnerConnection;
use super::trouble::TroubleWatch;
use super::{CallCommand, CallEvent, CallEventKind, CallOptions, CallOutput, CallStats, Profile};
use crate::machine::{CallMachine, ConnectProblem, Input, Match, Phase};
use crate::peer::{PeerEvent, WarmConnections};

/// How often the figures of a connection are checked.
const TICK: Duration = Duration::from_millis(100);

/// What can wake the task.
enum Wakeup {
    Command(Option<CallCommand>),
    Signaling(Option<ClientEvent>),
    Peer(PeerEvent),
    Video(VideoNews),
    Media(MediaEvent),
    Time,
}

/// Carries messages between the state machine and the rest of the call: commands and events of the
/// user, the signaling server, the peer connection, devices and threads.
///
/// The course of a call is decided by [`CallMachine`]. The other decisions have an owner each:
/// [`IceServers`] says when to ask for fresh TURN credentials, [`LocalState`] and
/// [`PartnerConnection::new_state`] whether microphones and cameras are on. What is left to the
/// driver are translations that need the options: whether TURN is required but not offered
/// ([`Input::MissingServer`]), which media to negotiate, and the bounds of the bitrate.
pub(super) struct Driver {
    options: CallOptions,
    machine: CallMachine,
    user: User,
    output: Arc<CallOutput>,
    server: Server,
    devices: DeviceEvents,
    audio: LocalAudio,
    local_state: LocalState,
    matched: Matched,
    /// The connection to the current partner.
    partner: Option<PartnerConnection>,
    /// When to ask the signaling server whether it is there.
    probes: Probes,
    /// The time in which the task waits for something to do.
    sleep: Sleep,
    /// Why no connection to the newest partner came up.
    problem: Option<ConnectProblem>,
    /// What was told about that meanwhile.
    trouble: TroubleWatch,
    /// The addresses of this machine, in a call over its own sockets.
    network: Option<NetworkWatch>,
}

/// The other end of the handle.
struct User {
    commands: UnboundedReceiver<CallCommand>,
    events: UnboundedSender<CallEvent>,
}

/// What is known about the signaling server.
#[derive(Default)]
struct Server {
    ice_servers: IceServers,
    /// Connections to those of them that need one, during a search.
    warm: Arc<WarmConnections>,
    /// It has registered this client at least once.
    has_registered: bool,
    /// Why it is out of reach.
    error: Option<ClientError>,
}

/// Failures of devices, from the media threads.
struct DeviceEvents {
    sender: MediaEvents,
    receiver: UnboundedReceiver<MediaEvent>,
}

/// The newest match.
#[derive(Default)]
struct Matched {
    session: Option<Match>,
    /// The partner's id, for `block`.
    user: Option<UserId>,
    /// What the partner shows of its user.
    profile: Profile,
    /// The interests in common.
    interests: Vec<String>,
    /// The server sees both sides at private or loopback addresses.
    both_private: bool,
}

impl Driver {
    pub(super) fn new(
        mut options: CallOptions,
        output: Arc<CallOutput>,
        commands: UnboundedReceiver<CallCommand>,
        events: UnboundedSender<CallEvent>,
    ) -> Self {
        let devices = DeviceEvents::new();
        let local_state = LocalState::new(&options);
        let audio = LocalAudio::start(
            std::mem::take(&mut options.audio),
            Arc::clone(&devices.sender),
        );

        Self {
            machine: CallMachine::new(options.timeouts, options.code.is_some()),
            options,
            user: User { commands, events },
            output,
            server: Server::default(),
            devices,
            audio,
            local_state,
            matched: Matched::default(),
            partner: None,
            probes: Probes::default(),
            sleep: Sleep::default(),
            problem: None,
            trouble: TroubleWatch::default(),
            network: None,
        }
    }

    /// Runs the call from the search to the end.
    pub(super) async fn run(mut self) {
        let mut line = self
            .options
            .line
            .take()
            .unwrap_or_else(|| SignalingLine::connect(self.options.signaling.clone()));
        let (mut video, mut news) = LocalVideo::start(
            self.options.shared_video.clone(),
            self.options.video.clone(),
            self.options.video_format,
            Arc::clone(&self.output.local_frames),
            Arc::clone(&self.devices.sender),
        );

        self.feed(match &self.options.answer {
            Some(knock) => Input::Accept(knock.as_str().into()),
            None => Input::Find,
        });

        if let Some(registration) = line.registration() {
            self.on_registered(registration.at, &registration.reply);
        }

        self.carry_out(&mut line, &mut video).await;
        self.keep_turn_warm();

        while self.machine.phase() != Phase::Ended {
            let wakeup = self.wait(&mut line, &video, &mut news).await;
            let now = Instant::now();
            if self.sleep.end(now) {
                self.machine.handle(now, Input::Woken);
            }

            self.handle(wakeup, &mut line, &mut video).await;
            self.on_time(&mut line, &mut video).await;
            self.carry_out(&mut line, &mut video).await;
            self.keep_turn_warm();
        }

        self.output.remote_frames.close();
        video.close(self.options.keep_video_open).await;
        self.audio.close().await;

        // The next call must not get the match of this one's search.
        if self.options.keep_line_open && line.leave_search().await {
            self.options.line.put(line);
        } else {
            line.close().await;
        }
    }

    async fn wait(
        &mut self,
        line: &mut SignalingLine,
        video: &LocalVideo,
        news: &mut UnboundedReceiver<VideoNews>,
    ) -> Wakeup {
        let now = Instant::now();
        let tick = self.partner.is_some().then(|| now + TICK);
        if tick.is_some() {
            self.sleep.begin(now);
        }

        let due = [
            self.machine.poll_timeout(),
            self.server.ice_servers.poll_timeout(),
            self.partner
                .as_ref()
                .and_then(|partner| partner.verifier.poll_timeout()),
            video.poll_timeout(),
            tick,
        ]
        .into_iter()
        .flatten()
        .min();

        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };

        let partner = &mut self.partner;
        let peer = async {
            match partner {
                Some(partner) => match partner.events.recv().await {
                    Some(event) => event,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };

        tokio::select! {
            biased;
            command = self.user.commands.recv() => Wakeup::Command(command),
            event = line.recv() => Wakeup::Signaling(event),
            event = peer => Wakeup::Peer(event),
            Some(news) = news.recv() => Wakeup::Video(news),
            Some(event) = self.devices.receiver.recv() => Wakeup::Media(event),
            () = sleep => Wakeup::Time,
        }
    }

    async fn handle(&mut self, wakeup: Wakeup, line: &mut SignalingLine, video: &mut LocalVideo) {
        match wakeup {
            Wakeup::Command(Some(CallCommand::Report(report))) => self.send_report(&report, line),
            Wakeup::Command(Some(CallCommand::Block { partner })) => self.block(partner, line),
            Wakeup::Command(Some(command)) => self.on_command(command, video).await,
            // The handle is gone.
            Wakeup::Command(None) => self.feed(Input::HangUp),
            Wakeup::Signaling(Some(event)) => self.on_signaling(event).await,
            Wakeup::Signaling(None) => self.on_signaling_down(),
            Wakeup::Peer(event) => self.on_peer(event).await,
            Wakeup::Video(news) => video.on_news(Instant::now(), news),
            Wakeup::Media(event) => {
                self.local_state.on_media(&event);
                self.report(CallEventKind::Media(event));
            }
            Wakeup::Time => {}
        }
    }

    async fn on_command(&mut self, command: CallCommand, video: &mut LocalVideo) {
        match command {
            CallCommand::HangUp => self.feed(Input::HangUp),
            CallCommand::Cancel => self.feed(Input::Cancel),
            CallCommand::Next => self.feed(Input::Next),
            CallCommand::Mute(muted) => {
                self.local_state.set_muted(muted);
                self.audio.with_engine(|engine| engine.set_muted(muted));
            }
            CallCommand::Camera(on) => {
                self.local_state.set_camera(on);
                video.set_camera(on);
            }
            CallCommand::Video(spec) => self.set_video(spec, video),
            CallCommand::AudioSource(source) => self.set_audio_source(source),
            CallCommand::AudioSink(sink) => {
                self.audio.with_engine(|engine| engine.set_sink(sink));
            }
            CallCommand::RetryDevices => {
                video.retry();
                self.audio.with_engine(AudioEngine::retry_devices);
            }
            CallCommand::Processing(processing) => {
                self.audio
                    .with_engine(|engine| engine.set_processing(processing));
            }
            CallCommand::ReleaseMedia { session_id } => self.release_media(&session_id, video),
            // They need the line.
            CallCommand::Report(_) | CallCommand::Block { .. } => {}
            CallCommand::WordsCompared { shown, are_equal } => {
                if let Some(partner) = &mut self.partner {
                    let reaction = partner.verifier.compared(shown, are_equal);
                    let id = partner.id;
                    self.react(id, reaction);
                }
            }
            CallCommand::Stats(reply) => {
                // Fails if the caller no longer waits.
                let _ = reply.send(self.stats().await);
            }
        }
    }

    fn set_video(&mut self, spec: VideoSpec, video: &mut LocalVideo) {
        if spec != VideoSpec::None {
            let negotiated = self
                .partner
                .as_ref()
                .is_some_and(|partner| partner.peer.video().is_some());
            self.feed(Input::CameraSelected { negotiated });
        }

        self.local_state.set_video(&spec);
        self.options.video = spec.clone();
        video.set_spec(spec);
    }

    fn set_audio_source(&mut self, source: AudioSource) {
        if source != AudioSource::None {
            let negotiated = self
                .partner
                .as_ref()
                .is_some_and(|partner| partner.peer.audio().is_some());
            self.feed(Input::MicrophoneSelected { negotiated });
        }

        self.local_state.set_audio(&source);
        self.audio.set_source(source);
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(Instant::now(), input);
    }

    async fn stats(&self) -> CallStats {
        match &self.partner {
            Some(partner) => {
                partner
                    .stats(Instant::now(), self.audio.engine().map(Arc::as_ref))
                    .await
            }
            None => self.output.final_stats.lock().clone(),
        }
    }

    fn report(&self, kind: CallEventKind) {
        self.report_at(Instant::now(), kind);
    }

    fn report_at(&self, at: Instant, kind: CallEventKind) {
        // Fails if the receiver was dropped: events are optional.
        let _ = self.user.events.send(CallEvent { at, kind });
    }
}

impl DeviceEvents {
    fn new() -> Self {
        let (events, receiver) = unbounded_channel();
        let sender: MediaEvents = Arc::new(move |event| {
            // Fails after the end of the call.
            let _ = events.send(event);
        });

        Self { sender, receiver }
    }
}
