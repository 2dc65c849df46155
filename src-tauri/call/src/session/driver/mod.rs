//! The task that drives a call.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the task that gives the state machine the time"
)]

mod effects;
mod replace;
mod strangers;
mod warm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_media::audio::{AudioEngine, AudioSource};
use tandem_media::error::{MediaEvent, MediaEvents};
use tandem_media::video::VideoSpec;
use tandem_signaling::client::{ClientError, ClientErrorCode, ClientEvent};
use tandem_signaling::message::{Capability, ClientMessage, ServerMessage, UserId, UserRegistered};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ice_servers::IceServers;
use super::limit::{limited, or_hung};
use super::line::SignalingLine;
use super::local_audio::LocalAudio;
use super::local_state::LocalState;
use super::local_video::{LocalVideo, VideoNews};
use super::network_watch::{Addresses, NetworkChange, NetworkWatch};
use super::numbers;
use super::partner::PartnerConnection;
use super::verification::Reaction;
use super::{
    BlockOutcome, CallCommand, CallEvent, CallEventKind, CallOptions, CallOutput, CallStats,
    Profile, ReportOutcome, signaling,
};
use crate::machine::{
    CallMachine, ConnectProblem, EndCode, Input, Match, PeerFault, PeerId, Phase,
};
use crate::partner_state::PartnerState;
use crate::peer::{PeerEvent, TurnHealth, WarmConnections};

/// How often the figures of a connection are checked.
const TICK: Duration = Duration::from_millis(100);
/// After this silence of the partner, the signaling server is asked whether it is there: the silence
/// may be this side's.
const PROBE_AFTER: Duration = Duration::from_millis(1_500);
/// How often.
const PROBE_INTERVAL: Duration = Duration::from_secs(4);
/// A task that should run every [`TICK`] and did not for this long has not run at all: the program
/// was stopped. Timers that are due now would take that for silence.
const STOPPED: Duration = Duration::from_secs(1);

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
    /// When the signaling server was last asked whether it is there.
    probed_at: Instant,
    /// When the task last looked at the time.
    awake_at: Instant,
    /// Why no connection to the newest partner came up.
    problem: Option<ConnectProblem>,
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
            probed_at: Instant::now(),
            awake_at: Instant::now(),
            problem: None,
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
        let tick = self.partner.is_some().then(|| Instant::now() + TICK);
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

    async fn on_signaling(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Resumed {
                registered,
                missed,
                session_id,
            } => {
                tracing::debug!(missed, "the signaling server resumed this client");
                self.server
                    .ice_servers
                    .on_registered(Instant::now(), &registered.ice_servers);
                self.server.error = None;

                self.feed(Input::SignalingResumed {
                    session_id: session_id.map(|id| id.as_str().into()),
                });
            }
            ClientEvent::Connected(registered) => {
                self.on_registered(Instant::now(), &registered);
            }
            ClientEvent::Message(message) => self.on_message(message).await,
            ClientEvent::Garbage(garbage) => {
                tracing::debug!(%garbage, "unreadable message from the signaling server: ignored");
            }
            ClientEvent::Disconnected { error, retry_in } => {
                let code = error.code();
                // A connection that is refused ends no call: that goes on without the server.
                let was_registered = self.machine.is_registered();
                self.server.error = Some(error);
                self.server.ice_servers.on_signaling_lost();

                self.feed(match retry_in {
                    Some(_) => Input::SignalingDown,
                    None if code.is_refusal() => Input::SignalingRefused(EndCode::RelayRefused),
                    None => Input::SignalingRefused(EndCode::RelayUnreachable),
                });

                match code {
                    ClientErrorCode::Banned if was_registered => {
                        self.feed(Input::Expelled(EndCode::Banned));
                    }
                    ClientErrorCode::Kicked if was_registered => {
                        self.feed(Input::Expelled(EndCode::Kicked));
                    }
                    _ => {}
                }
            }
            ClientEvent::Closed => self.on_signaling_down(),
        }
    }

    /// The server registered this client at `at` as a new one.
    fn on_registered(&mut self, at: Instant, registered: &UserRegistered) {
        self.server
            .ice_servers
            .on_registered(at, &registered.ice_servers);
        self.server.error = None;

        if !std::mem::replace(&mut self.server.has_registered, true) {
            self.report(CallEventKind::Registered);
        }

        if let Some(code) = self.missing_server_for_anyone() {
            self.feed(Input::MissingServer(code));
        }

        if self.options.room_must_exist && !registered.can(Capability::ClaimRoom) {
            // An older server would let this client wait in an empty room.
            self.feed(Input::SearchEnded(EndCode::NoSuchRoom));
        }

        self.feed(Input::SignalingUp);
    }

    async fn on_message(&mut self, message: ServerMessage) {
        if let ServerMessage::PartnerFound(found) = &message {
            self.matched.user = Some(found.partner_id.clone());
            self.matched.profile = signaling::profile(found);
            self.matched.interests.clone_from(&found.interests);
            self.matched.both_private = found.both_private;
            if let Some(servers) = &found.ice_servers {
                let ttl = found.ice_servers_ttl.map(Duration::from_secs);
                let known = &mut self.server.ice_servers;
                known.on_matched(Instant::now(), servers, ttl);
            }
        }

        if let Some(outcome) = ReportOutcome::of(&message) {
            self.report(CallEventKind::Reported(outcome));
            return;
        }

        // The call ends with the block, so that the program asks again on the connection and hears there
        // what became of it.
        if BlockOutcome::of(&message).is_some() {
            return;
        }

        if let ServerMessage::IceServers(fresh) = &message {
            let ttl = Duration::from_secs(fresh.ttl);
            self.server
                .ice_servers
                .on_renewed(Instant::now(), &fresh.ice_servers, ttl);
            self.use_fresh_servers();
        }

        if let Some(input) = signaling::input(message)
            && !self.is_outdated(&input)
        {
            self.feed(input);
        }
    }

    /// Whether a message is an answer to another offer than this side's last one.
    fn is_outdated(&self, input: &Input) -> bool {
        let (Input::Answer { answer, .. }, Some(partner)) = (input, &self.partner) else {
            return false;
        };

        let is_outdated = partner.answers_another_offer(answer.as_str());
        if is_outdated {
            tracing::debug!("dropped an answer to an earlier offer");
        }

        is_outdated
    }

    fn on_signaling_down(&mut self) {
        self.server.ice_servers.on_signaling_lost();
        self.feed(Input::SignalingDown);
    }

    /// Gives fresh credentials to a connection that was made with the old ones.
    fn use_fresh_servers(&mut self) {
        if let Some(partner) = &mut self.partner {
            let servers = signaling::ice_servers(self.server.ice_servers.servers());
            partner.peer.use_servers(servers);
        }
    }

    async fn on_peer(&mut self, event: PeerEvent) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;

        match event {
            PeerEvent::Candidate(candidate) => {
                let candidate = numbers::on_candidate(&candidate, partner.number);
                self.feed(Input::LocalCandidate(id, candidate.into()));
            }
            PeerEvent::Connected => self.on_peer_connected().await,
            PeerEvent::Failed => self.feed(Input::PeerFailed(id)),
            PeerEvent::Closed => self.feed(Input::PeerClosed(id)),
            PeerEvent::Ended => self.feed(Input::PeerFaulted(id, PeerFault::Internal)),
            PeerEvent::Track(..) | PeerEvent::Channel(..) if partner.holds_media() => {
                let accepted = partner.hold(event);
                self.feed_accepted(id, accepted);
            }
            PeerEvent::Track(..) | PeerEvent::Channel(..) => self.receive(event),
            PeerEvent::Undeclared(ssrc, payload_type) => {
                let received = partner.peer.on_undeclared(ssrc, payload_type);
                let received = or_hung("receive a stream", received).await;
                self.feed_result(id, received.map(|()| None));
            }
        }
    }

    /// The partner sends a stream, or a data channel is there.
    fn receive(&mut self, event: PeerEvent) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;
        let accepted = match event {
            PeerEvent::Track(kind, track) => {
                let now = Instant::now();
                partner.on_track(now, kind, track, &self.options, &self.output)
            }
            PeerEvent::Channel(channel) => {
                partner.on_channel(channel, self.local_state.subscribe())
            }
            _ => true,
        };
        self.feed_accepted(id, accepted);
    }

    fn feed_accepted(&mut self, id: PeerId, accepted: bool) {
        if !accepted {
            self.feed(Input::PeerFaulted(id, PeerFault::Misbehaved));
        }
    }

    /// ICE and DTLS are up, perhaps once more.
    async fn on_peer_connected(&mut self) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        let id = partner.id;
        let reaction = partner.check_certificates().await;
        // A call must not begin with a partner who is not who it should be.
        if !reaction.is_mismatch {
            self.feed(Input::PeerConnected(id));
        }

        self.react(id, reaction);
    }

    /// Asks again for certificates that the connection did not name.
    async fn check_certificates(&mut self) {
        if let Some(partner) = &mut self.partner
            && partner.awaits_certificates()
        {
            let (id, reaction) = (partner.id, partner.check_certificates().await);
            self.react(id, reaction);
        }
    }

    /// Sends the moves of the handshake and ends the call after a mismatch. Begins it if the partner
    /// is verified.
    fn react(&mut self, id: PeerId, reaction: Reaction) {
        if let Some(pake) = reaction.candidate {
            self.feed(Input::LocalMove(id, pake.into()));
        }

        if reaction.is_mismatch {
            self.feed(Input::CodeMismatch(id));
        } else if self
            .partner
            .as_ref()
            .is_some_and(|partner| partner.id == id && partner.verifier.admits_media())
        {
            self.feed(Input::PartnerVerified(id));
        }

        self.report_verification();
    }

    /// Reports what is known about the partner, once the call has begun.
    fn report_verification(&mut self) {
        if let Some(partner) = &mut self.partner
            && let Some(state) = partner.new_verification()
        {
            self.report(CallEventKind::Verification(state));
        }
    }

    /// Does what is due.
    async fn on_time(&mut self, line: &mut SignalingLine, video: &mut LocalVideo) {
        let now = Instant::now();
        video.handle_timeout(now);

        if self.server.ice_servers.handle_timeout(now)
            && let Err(error) = line.send(ClientMessage::GetIceServers)
        {
            tracing::debug!(%error, "cannot ask for TURN credentials: trying again later");
        }

        if self.partner.is_some() && now.saturating_duration_since(self.awake_at) >= STOPPED {
            self.machine.handle(now, Input::Woken);
        }

        self.awake_at = now;
        if let Some(partner) = &mut self.partner {
            let (id, reaction) = (partner.id, partner.verifier.handle_timeout(now));
            self.react(id, reaction);
        }

        self.check_certificates().await;
        self.resume_media(video);
        if let Some(partner) = &self.partner
            && self.machine.phase() == Phase::Connecting
            && partner.peer.has_no_route(now)
        {
            self.machine.handle(now, Input::NoRoute(partner.id));
        }

        self.check_partner(now);
        self.check_network(now, line).await;

        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
        }
    }

    /// Looks at what the threads of the current connection have recorded.
    fn check_partner(&mut self, now: Instant) {
        let (Some(partner), Some(engine)) = (&mut self.partner, self.audio.engine()) else {
            return;
        };

        let heard = partner
            .peer
            .last_sign_of_life()
            .map(|at| Input::Heard(partner.id, at));
        let first_frame = partner.first_frame();
        let first_audio = partner.first_audio(engine);
        let state = partner.new_state(now);
        let meeting_room = partner.new_meeting_room();
        let refused = partner.new_refused();

        if partner.sample(now) {
            let percent = (partner.peer.link().loss_fraction() * 100.0).round();
            engine.set_expected_loss(percent as u8);
        }

        if partner.peer.route_watch().lock().take_recovery() {
            partner.send_keyframe();
        }

        let flooded = partner.peer.link().is_flooded().then_some(partner.id);

        if let Some(heard) = heard {
            self.machine.handle(now, heard);
        }

        if let Some(id) = flooded {
            self.machine
                .handle(now, Input::PeerFaulted(id, PeerFault::Misbehaved));
        }

        if let Some(at) = first_frame {
            self.report_at(at, CallEventKind::FirstRemoteFrame);
        }

        if let Some(at) = first_audio {
            self.report_at(at, CallEventKind::FirstRemoteAudio);
        }

        if let Some(PartnerState { muted, camera_on }) = state {
            self.report_at(now, CallEventKind::PartnerState { muted, camera_on });
        }

        if let Some(refused) = refused {
            self.report_at(now, CallEventKind::PartnerRefuses(refused));
        }

        if let Some(room) = meeting_room {
            self.report_at(now, CallEventKind::MeetAgain { room });
        }
    }

    /// Looks whether the route to the partner, or the one to the server, is lost.
    async fn check_network(&mut self, now: Instant, line: &SignalingLine) {
        let Some(partner) = &self.partner else {
            return;
        };

        let heard = partner.peer.last_sign_of_life();
        let is_silent =
            heard.is_some_and(|heard| now.saturating_duration_since(heard) >= PROBE_AFTER);
        let turn = partner.peer.turn_health(now, line.last_heard());
        if (is_silent || turn == TurnHealth::Doubtful)
            && now.saturating_duration_since(self.probed_at) >= PROBE_INTERVAL
        {
            self.probed_at = now;
            line.probe();
        }

        let id = partner.id;
        let mut is_lost = partner.peer.route_watch().lock().has_moved(now);
        if is_lost {
            tracing::info!("the partner sends from another address: looking for a route there");
        }

        if partner.peer.has_lost_turn() {
            tracing::info!(
                "the connection to the TURN server has ended: looking for another route"
            );
            is_lost = true;
        }

        if turn == TurnHealth::Gone {
            tracing::info!("the TURN server does not answer any more: looking for another route");
            is_lost = true;
        }

        is_lost |= self.have_addresses_changed(now, line).await;
        if is_lost {
            self.feed(Input::RouteLost(id));
        }
    }

    /// Looks whether the addresses of this machine have changed so that the route is lost.
    async fn have_addresses_changed(&mut self, now: Instant, line: &SignalingLine) -> bool {
        let (Some(partner), Some(watch)) = (&self.partner, &mut self.network) else {
            return false;
        };

        let route = partner.peer.route_watch();
        let mut is_lost = watch.is_lost(now, route.lock().health(now));
        if watch.is_due(now)
            && let Some(addresses) = Addresses::read()
        {
            let used = partner.peer.local_address();
            let used = limited("name its local address", used).await.flatten();
            // Every packet takes this lock, and the next step asks the system.
            let ends = route.lock().ends();
            let change = watch.on_addresses(now, addresses, used, ends);
            if change != NetworkChange::None {
                tracing::info!(?change, "the addresses of this machine have changed");
            }

            if change != NetworkChange::None && !self.options.signaling.url.is_loopback() {
                line.network_changed();
                // What is sent from now on waits for the new connection.
                self.on_signaling_down();
            }

            is_lost |= change == NetworkChange::RouteLost;
        }

        is_lost
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
