//! The task that drives a call.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tandem_media::audio::{AudioEngine, AudioSource};
use tandem_media::error::{DeviceError, MediaErrorCode, MediaEvent, MediaEvents, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_signaling::client::{Client, ClientConfig, ClientEvent};
use tandem_signaling::message::{ClientMessage, ServerMessage};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;

use super::audio::{self, AudioGate};
use super::ice_servers::IceServers;
use super::local_video::{LocalVideo, Opened};
use super::own_state::OwnState;
use super::partner::Partner;
use super::{
    CallEvent, CallEventKind, CallOptions, CallStats, Command, Profile, Shared, signaling,
};
use crate::congestion::LinkConfig;
use crate::machine::{
    CallMachine, Effect, EndCode, EndReason, Input, Match, Notice, Outgoing, PeerId, Phase,
};
use crate::partner_state::PartnerState;
use crate::peer::{Peer, PeerConfig, PeerError, PeerEvent};

/// How often a running call looks at its figures.
const TICK: Duration = Duration::from_millis(100);

/// What can wake the task.
enum Woken {
    Command(Option<Command>),
    Signaling(Option<ClientEvent>),
    Peer(PeerEvent),
    Opened(Opened),
    Media(MediaEvent),
    Time,
}

pub(super) struct Driver {
    options: CallOptions,
    shared: Arc<Shared>,
    commands: UnboundedReceiver<Command>,
    events: UnboundedSender<CallEvent>,
    media_events: MediaEvents,
    media_receiver: UnboundedReceiver<MediaEvent>,
    machine: CallMachine,
    gate: AudioGate,
    /// `None` only while it is being replaced, and at the end.
    engine: Option<Arc<AudioEngine>>,
    own: OwnState,
    partner: Option<Partner>,
    found: Option<Match>,
    /// What the newest partner tells about themself.
    profile: Profile,
    ice_servers: IceServers,
    registered: bool,
    /// Why the relay is out of reach, in words.
    signaling_error: Option<String>,
}

impl Driver {
    pub(super) fn new(
        options: CallOptions,
        shared: Arc<Shared>,
        commands: UnboundedReceiver<Command>,
        events: UnboundedSender<CallEvent>,
    ) -> Self {
        let (media_sender, media_receiver) = unbounded_channel();
        let media_events: MediaEvents = Arc::new(move |event| {
            // After the call nobody is interested.
            let _ = media_sender.send(event);
        });

        let gate = AudioGate::default();
        let engine = Arc::new(audio::start(
            options.audio.clone(),
            &gate,
            Arc::clone(&media_events),
        ));
        let own = OwnState::new(&options);

        Self {
            machine: CallMachine::new(options.patience),
            options,
            shared,
            commands,
            events,
            media_events,
            media_receiver,
            gate,
            engine: Some(engine),
            own,
            partner: None,
            found: None,
            profile: Profile::default(),
            ice_servers: IceServers::default(),
            registered: false,
            signaling_error: None,
        }
    }

    /// Runs the call from the search to the end.
    pub(super) async fn run(mut self) {
        let (client, mut relay) = match self.options.signaling_url.parse().map(ClientConfig::new) {
            Ok(config) => Client::connect(config),
            Err(error) => {
                let reason = EndReason {
                    code: EndCode::RelayUnreachable,
                    message: error.to_string(),
                };

                self.tell(CallEventKind::Ended { reason });
                self.close_engine().await;
                return;
            }
        };

        let preview = Arc::clone(&self.shared.local_frames);
        let (spec, format) = (self.options.video.clone(), self.options.video_format);
        let (shared, events) = (
            self.options.shared_video.clone(),
            Arc::clone(&self.media_events),
        );
        let (mut video, mut opened) = LocalVideo::start(shared, spec, format, preview, events);
        self.feed(Input::Find);
        self.carry_out(&client, &mut video).await;

        while self.machine.phase() != Phase::Ended {
            let woken = self.wait(&mut relay, &mut opened).await;
            self.handle(woken, &mut video).await;
            self.on_time(&client);
            self.carry_out(&client, &mut video).await;
        }

        self.shared.remote_frames.close();
        video.close().await;
        self.close_engine().await;
        client.close().await;
    }

    async fn wait(
        &mut self,
        relay: &mut UnboundedReceiver<ClientEvent>,
        opened: &mut UnboundedReceiver<Opened>,
    ) -> Woken {
        let tick = self.partner.is_some().then(|| Instant::now() + TICK);
        let due = [
            self.machine.poll_timeout(),
            self.ice_servers.poll_timeout(),
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
            command = self.commands.recv() => Woken::Command(command),
            event = relay.recv() => Woken::Signaling(event),
            event = peer => Woken::Peer(event),
            Some(source) = opened.recv() => Woken::Opened(source),
            Some(event) = self.media_receiver.recv() => Woken::Media(event),
            () = sleep => Woken::Time,
        }
    }

    async fn handle(&mut self, woken: Woken, video: &mut LocalVideo) {
        match woken {
            Woken::Command(None | Some(Command::HangUp)) => self.feed(Input::HangUp),
            Woken::Command(Some(Command::Cancel)) => self.feed(Input::Cancel),
            Woken::Command(Some(Command::Next)) => self.feed(Input::Next),
            Woken::Command(Some(Command::Mute(muted))) => {
                self.own.set_muted(muted);
                self.with_engine(|engine| engine.set_muted(muted));
            }
            Woken::Command(Some(Command::Camera(on))) => {
                self.own.set_camera(on);
                video.set_open(on);
            }
            Woken::Command(Some(Command::Video(spec))) => self.set_video(spec, video),
            Woken::Command(Some(Command::AudioSource(source))) => self.set_audio_source(source),
            Woken::Command(Some(Command::AudioSink(sink))) => {
                self.options.audio.sink = sink.clone();
                self.with_engine(|engine| engine.set_sink(sink));
            }
            Woken::Command(Some(Command::Processing(processing))) => {
                self.options.audio.processing = processing;
                self.with_engine(|engine| engine.set_processing(processing));
            }
            Woken::Command(Some(Command::Stats(reply))) => {
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(self.stats().await);
            }
            Woken::Signaling(Some(event)) => self.on_signaling(event).await,
            Woken::Signaling(None) => self.signaling_down(),
            Woken::Peer(event) => self.on_peer(event),
            Woken::Opened(source) => video.take(source),
            Woken::Media(event) => {
                self.own.on_media(&event);
                self.tell(CallEventKind::Media(event));
            }
            Woken::Time => {}
        }
    }

    fn set_video(&mut self, spec: VideoSpec, video: &mut LocalVideo) {
        if spec != VideoSpec::None
            && self
                .partner
                .as_ref()
                .is_some_and(Partner::takes_no_pictures)
        {
            self.not_negotiated(MediaPart::Camera, MediaErrorCode::CamNotNegotiated);
        }

        self.own.set_video(&spec);
        self.options.video = spec.clone();
        video.set_spec(spec);
    }

    fn set_audio_source(&mut self, source: AudioSource) {
        if source != AudioSource::None && self.partner.as_ref().is_some_and(Partner::takes_no_sound)
        {
            self.not_negotiated(MediaPart::Microphone, MediaErrorCode::MicNotNegotiated);
        }

        self.own.set_audio(&source);
        self.options.audio.source = source.clone();
        self.with_engine(|engine| engine.set_source(source));
    }

    fn not_negotiated(&self, part: MediaPart, code: MediaErrorCode) {
        let error = DeviceError::new(
            code,
            "The call began without it, so it is sent from the next call on. Call again.",
        );
        self.tell(CallEventKind::Media(MediaEvent::Failed { part, error }));
    }

    fn with_engine(&self, act: impl FnOnce(&AudioEngine)) {
        if let Some(engine) = &self.engine {
            act(engine);
        }
    }

    async fn on_signaling(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Resumed {
                registered,
                missed,
                session_id,
            } => {
                tracing::debug!(missed, "the relay took us back");
                self.ice_servers
                    .on_registered(Instant::now(), &registered.ice_servers);
                self.signaling_error = None;
                self.feed(Input::SignalingResumed {
                    session_id: session_id.map(|id| id.as_str().into()),
                });
            }
            ClientEvent::Connected(registered) => {
                self.ice_servers
                    .on_registered(Instant::now(), &registered.ice_servers);
                self.signaling_error = None;

                if !std::mem::replace(&mut self.registered, true) {
                    self.tell(CallEventKind::Registered);
                }

                if self.options.relay_only && !self.ice_servers.has_turn() {
                    self.feed(Input::NoTurnServer);
                }

                self.feed(Input::SignalingUp);
            }
            ClientEvent::Message(message) => {
                if let ServerMessage::PartnerFound(found) = &message {
                    self.profile = signaling::profile(found);
                }

                if let ServerMessage::IceServers(fresh) = &message {
                    let ttl = Duration::from_secs(fresh.ttl);
                    self.ice_servers
                        .on_renewed(Instant::now(), &fresh.ice_servers, ttl);
                    self.use_ice_servers().await;
                }

                if let Some(input) = signaling::input(message) {
                    self.feed(input);
                }
            }
            ClientEvent::Garbage(garbage) => {
                tracing::debug!(%garbage, "the relay sent something unreadable")
            }
            ClientEvent::Disconnected { error, .. } => {
                self.signaling_error = Some(error.to_string());
                self.signaling_down();
            }
            ClientEvent::Closed => self.signaling_down(),
        }
    }

    fn signaling_down(&mut self) {
        self.ice_servers.on_relay_lost();
        self.feed(Input::SignalingDown);
    }

    /// Gives fresh credentials to a connection that uses the old ones.
    async fn use_ice_servers(&self) {
        if let Some(partner) = &self.partner {
            let servers = signaling::ice_servers(self.ice_servers.servers());
            if let Err(error) = partner.peer.set_ice_servers(&servers).await {
                tracing::debug!(%error, "fresh TURN credentials are not used");
            }
        }
    }

    fn on_peer(&mut self, event: PeerEvent) {
        let Some(id) = self.partner.as_ref().map(|partner| partner.id) else {
            return;
        };

        match event {
            PeerEvent::Candidate(candidate) => self.feed(Input::LocalCandidate(id, candidate)),
            PeerEvent::Connected => self.feed(Input::PeerConnected(id)),
            PeerEvent::Disconnected => self.feed(Input::PeerDisconnected(id)),
            PeerEvent::Failed => self.feed(Input::PeerFailed(id)),
            PeerEvent::Closed => self.feed(Input::PeerClosed(id)),
            PeerEvent::Track(kind, track) => {
                if let Some(partner) = &mut self.partner {
                    partner.on_track(kind, track, &self.options, &self.shared);
                }
            }
            PeerEvent::Channel(channel) => {
                if let Some(partner) = &mut self.partner {
                    partner.on_channel(channel, self.own.subscribe());
                }
            }
        }
    }

    /// What is due by the clock.
    fn on_time(&mut self, client: &Client) {
        let now = Instant::now();
        if self.ice_servers.handle_timeout(now)
            && let Err(error) = client.send(ClientMessage::GetIceServers)
        {
            tracing::debug!(
                code = error.code().as_str(),
                "fresh TURN credentials could not be asked for"
            );
        }

        if let (Some(partner), Some(engine)) = (&mut self.partner, &self.engine) {
            let heard = partner
                .peer
                .heard()
                .at()
                .map(|at| Input::Heard(partner.id, at));
            let frame = partner.first_frame();
            let sound = partner.first_audio(engine);
            let state = partner.new_state(now);

            if partner.sample(now) {
                let percent = (partner.peer.link().loss_fraction() * 100.0).round();
                engine.set_expected_loss(percent as u8);
            }

            if let Some(heard) = heard {
                self.machine.handle(now, heard);
            }

            if let Some(at) = frame {
                self.tell_at(at, CallEventKind::FirstRemoteFrame);
            }

            if let Some(at) = sound {
                self.tell_at(at, CallEventKind::FirstRemoteAudio);
            }

            if let Some(PartnerState { muted, camera_on }) = state {
                self.tell_at(now, CallEventKind::PartnerState { muted, camera_on });
            }
        }

        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now);
        }
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(Instant::now(), input);
    }

    async fn carry_out(&mut self, client: &Client, video: &mut LocalVideo) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Send(outgoing) => self.send(client, outgoing),
                Effect::CreatePeer(id) => self.create_peer(id).await,
                Effect::CreateOffer(id) => {
                    let Some(partner) = self.partner.as_mut().filter(|partner| partner.id == id)
                    else {
                        continue;
                    };

                    let offer = partner.peer.create_offer().await;
                    self.after(
                        id,
                        offer.map(|offer| Some(Input::LocalOffer(id, offer.into()))),
                    );
                }
                Effect::ApplyOffer {
                    peer: id,
                    offer,
                    rollback,
                } => {
                    let Some(partner) = self.partner.as_mut().filter(|partner| partner.id == id)
                    else {
                        continue;
                    };

                    let answer = partner.peer.apply_offer(&offer, rollback).await;
                    self.tell_checking(answer.is_ok());
                    self.after(
                        id,
                        answer.map(|answer| Some(Input::LocalAnswer(id, answer.into()))),
                    );
                }
                Effect::ApplyAnswer { peer: id, answer } => {
                    let Some(partner) = self.partner.as_mut().filter(|partner| partner.id == id)
                    else {
                        continue;
                    };

                    let applied = partner.peer.apply_answer(&answer).await;
                    self.tell_checking(applied.is_ok());
                    self.after(id, applied.map(|()| None));
                }
                Effect::AddCandidate {
                    peer: id,
                    candidate,
                } => {
                    let Some(partner) = self.partner.as_ref().filter(|partner| partner.id == id)
                    else {
                        continue;
                    };

                    let added = partner.peer.add_candidate(&candidate).await;
                    self.after(id, added.map(|()| None));
                }
                Effect::ClosePeer(id) => self.close_peer(id, video).await,
                Effect::Notify(notice) => self.notify(notice, video),
            }
        }
    }

    /// Feeds the result of something that the peer connection did.
    fn after(&mut self, id: PeerId, result: Result<Option<Input>, PeerError>) {
        match result {
            Ok(Some(input)) => self.feed(input),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "the peer connection refused");
                if let Some(fault) = error.fault() {
                    self.feed(Input::PeerFaulted(id, fault));
                }
            }
        }
    }

    fn send(&self, client: &Client, outgoing: Outgoing) {
        let Some(message) = signaling::message(outgoing, &self.options) else {
            return;
        };

        let kind = message.kind();
        if let Err(error) = client.send(message) {
            tracing::debug!(
                code = error.code().as_str(),
                kind,
                "a message for the relay was not sent"
            );
        }
    }

    async fn create_peer(&mut self, id: PeerId) {
        let (Some(found), Some(engine)) = (self.found.clone(), &self.engine) else {
            return;
        };

        let max_bps = u64::from(self.options.max_bitrate_bps) + AUDIO_ALLOWANCE_BPS;
        let link = LinkConfig::default();
        let config = PeerConfig {
            codec: self.options.codec,
            send_video: self.options.negotiate_video || self.options.video != VideoSpec::None,
            send_audio: self.options.negotiate_audio
                || self.options.audio.source != AudioSource::None,
            link: LinkConfig {
                max_bps: max_bps.max(link.min_bps),
                start_bps: link.start_bps.min(max_bps),
                ..link
            },
            ice_servers: signaling::ice_servers(self.ice_servers.servers()),
            relay_only: self.options.relay_only,
            addresses: self.options.media_addresses.clone(),
            runtime: self.options.media_runtime.clone(),
        };

        let (sender, events) = unbounded_channel();
        match Peer::new(config, sender).await {
            Ok(peer) => self.partner = Some(Partner::new(id, peer, events, found, engine)),
            Err(error) => self.after(id, Err(error)),
        }
    }

    async fn close_peer(&mut self, id: PeerId, video: &mut LocalVideo) {
        let Some(partner) = self.partner.take_if(|partner| partner.id == id) else {
            return;
        };

        let stats = partner.stats(self.engine.as_deref()).await;
        *self
            .shared
            .final_stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = stats;
        partner.close(video, &self.gate).await;

        if self.machine.phase() != Phase::Ended {
            // The next partner's sound starts with an empty jitter buffer and fresh figures.
            self.close_engine().await;
            let engine = audio::start(
                self.options.audio.clone(),
                &self.gate,
                Arc::clone(&self.media_events),
            );
            engine.set_muted(self.own.muted());
            self.engine = Some(Arc::new(engine));
        }
    }

    fn notify(&mut self, notice: Notice, video: &mut LocalVideo) {
        let kind = match notice {
            Notice::Searching => CallEventKind::Searching,
            Notice::Matched(found) => {
                let (session_id, initiator) = (found.session_id.to_string(), found.initiator);
                self.found = Some(found);
                CallEventKind::Matched {
                    session_id,
                    initiator,
                    partner: self.profile.clone(),
                }
            }
            Notice::Connected => {
                if let Some(partner) = &mut self.partner {
                    partner.on_connected(Instant::now(), &self.options, video.sender(), &self.gate);
                }

                CallEventKind::Connected
            }
            Notice::SignalingLost => CallEventKind::SignalingLost,
            Notice::SignalingBack => CallEventKind::SignalingBack,
            Notice::PartnerReconnecting => CallEventKind::PartnerReconnecting,
            Notice::PartnerBack => CallEventKind::PartnerBack,
            Notice::Ended(mut reason) => {
                if let (EndCode::RelayUnreachable, Some(error)) =
                    (reason.code, &self.signaling_error)
                {
                    reason.message = error.clone();
                }

                CallEventKind::Ended { reason }
            }
        };

        self.tell(kind);
    }

    /// Descriptions of a call that is up already are renegotiation, and news to nobody.
    fn tell_checking(&self, is_applied: bool) {
        if is_applied && self.machine.phase() == Phase::Connecting {
            self.tell(CallEventKind::Checking);
        }
    }

    async fn stats(&self) -> CallStats {
        match &self.partner {
            Some(partner) => partner.stats(self.engine.as_deref()).await,
            None => self
                .shared
                .final_stats
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Ends the audio engine and waits for it: the devices are free afterwards.
    async fn close_engine(&mut self) {
        let engine = self.engine.take();
        if spawn_blocking(move || drop(engine)).await.is_err() {
            tracing::error!("the audio engine panicked while closing");
        }
    }

    fn tell(&self, kind: CallEventKind) {
        self.tell_at(Instant::now(), kind);
    }

    fn tell_at(&self, at: Instant, kind: CallEventKind) {
        // Nobody has to listen.
        let _ = self.events.send(CallEvent { at, kind });
    }
}

/// What sound needs beside the pictures: 24 kbit/s of Opus, FEC, headers.
const AUDIO_ALLOWANCE_BPS: u64 = 80_000;
