//! Everything that lives as long as the connection to one partner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::packet::Packet;
use tandem_media::audio::AudioEngine;
use tandem_media::codec::VideoCodec;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::media_stream::track_remote::TrackRemote;

use super::audio_bridge::{AudioGate, AudioOutput, RemoteAudio};
use super::connection_number;
use super::history::History;
use super::limit::limited;
use super::local_video::LocalVideo;
use super::recorder::{ReceiveRecorder, Traffic};
use super::remote_state::RemoteState;
use super::remote_tracks::{ReceivedFormats, Receiving, RemoteTracks};
use super::remote_video::{self, RemoteVideoContext};
use super::stats::{CallStats, VideoReceived, VideoSent};
use super::verification::{Reaction, Verifier};
use super::video_sender::{StreamFormat, VideoOutput, VideoSender};
use super::{CallOptions, CallOutput, VerificationState};
use crate::link::RepairCounters;
use crate::machine::{Match, PeerId};
use crate::partner_state::{PartnerState, Share};
use crate::peer::{Codec, Format, LocalTrack, MediaKind, Peer, PeerEvent, Refused};

/// How many streams and channels of a partner are held: two and one are usual.
const MAX_HELD: usize = 16;

/// The connection to one partner, and what flows through it.
pub(super) struct PartnerConnection {
    pub(super) id: PeerId,
    /// The number of the connection in this call.
    pub(super) number: u32,
    pub(super) peer: Peer,
    /// No connection could be made in place of the one before, which is closed.
    is_lost: bool,
    pub(super) events: UnboundedReceiver<PeerEvent>,
    /// Says who the partner is.
    pub(super) verifier: Verifier,
    /// The connection is up, and has not named its certificates.
    awaits_certificates: bool,
    /// A fresh connection has not shown yet that it uses the certificates of the call. Until then no
    /// media goes to it.
    proof: Proof,
    /// Streams and channels of a partner who is not verified yet and must be.
    held: Vec<PeerEvent>,
    matched: Match,
    traffic: Arc<Traffic>,
    incoming: Incoming,
    /// What the encode thread sends to, once there is a connection that was negotiated to send
    /// video.
    video_output: Option<Arc<VideoOutput>>,
    /// The user has seen who the partner is, or need not.
    pub(super) may_send: bool,
    /// The connections that audio and video go to.
    audio_on: Option<PeerId>,
    video_on: Option<PeerId>,
    remote_state: RemoteState,
    /// What the partner was last known to refuse.
    refused: Refused,
    /// What the connections before have counted.
    repair_before: RepairCounters,
    /// Exists once the connection is up.
    history: Option<History>,
}

/// Whether the connection uses the certificates of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// It does, or it is the call's first one, whose certificates the verifier judges.
    Given,
    /// It has not shown it yet.
    Awaited,
    /// It has just shown it.
    New,
}

/// What the partner sends.
struct Incoming {
    formats: Arc<ReceivedFormats>,
    audio: Arc<RemoteAudio>,
    video: Arc<Mutex<ReceiveRecorder>>,
    tracks: RemoteTracks,
    first_frame_reported: bool,
    first_audio_reported: bool,
}

impl PartnerConnection {
    pub(super) fn new(
        id: PeerId,
        peer: Peer,
        events: UnboundedReceiver<PeerEvent>,
        matched: Match,
        engine: &Arc<AudioEngine>,
        share: Option<Share>,
        verifier: Verifier,
    ) -> Self {
        Self {
            id,
            number: 0,
            peer,
            is_lost: false,
            events,
            verifier,
            awaits_certificates: false,
            proof: Proof::Given,
            held: Vec::new(),
            matched,
            traffic: Arc::default(),
            incoming: Incoming {
                formats: Arc::default(),
                audio: RemoteAudio::new(engine),
                video: Arc::default(),
                tracks: RemoteTracks::default(),
                first_frame_reported: false,
                first_audio_reported: false,
            },
            video_output: None,
            may_send: true,
            audio_on: None,
            video_on: None,
            remote_state: RemoteState::new(share),
            refused: Refused::default(),
            repair_before: RepairCounters::default(),
            history: None,
        }
    }

    /// A fresh connection takes the place of the present one. What is sent and received, and all
    /// figures, go on over it once it is up.
    pub(super) fn replace(
        &mut self,
        id: PeerId,
        number: u32,
        peer: Peer,
        events: UnboundedReceiver<PeerEvent>,
    ) {
        let before = std::mem::replace(&mut self.peer, peer);
        self.repair_before = self.repair_before.plus(before.link().repair());
        self.remote_state.on_fresh_connection();
        self.events = events;
        self.begin(id, number);
        self.is_lost = false;
    }

    /// The present connection is gone, and there is no other one.
    pub(super) fn lose(&mut self, id: PeerId, number: u32) {
        self.begin(id, number);
        self.is_lost = true;
        // What still comes from the one before says nothing about this one.
        self.events = unbounded_channel().1;
    }

    fn begin(&mut self, id: PeerId, number: u32) {
        self.id = id;
        self.number = number;
        self.held.clear();
        self.awaits_certificates = false;
        self.proof = Proof::Awaited;
    }

    /// Whether there is a connection with this id.
    pub(super) fn has(&self, id: PeerId) -> bool {
        self.id == id && !self.is_lost
    }

    /// Whether a fresh connection has shown that it uses the certificates of the call. Returned once.
    pub(super) fn take_proof(&mut self) -> bool {
        let is_new = self.proof == Proof::New;
        if is_new {
            self.proof = Proof::Given;
        }

        is_new
    }

    /// This side's description, as the partner gets it.
    pub(super) fn numbered(&self, description: &str) -> String {
        connection_number::on_description(description, self.number)
    }

    /// Whether a description of the partner is one of the partner of this call, as far as that
    /// depends on its connection: a fresh one must name the same certificate.
    pub(super) fn is_same_partner(&self, description: &str) -> bool {
        self.number == 0 || self.verifier.is_same_partner(description)
    }

    /// Whether nothing of the partner may be received yet: it is not verified, and must be, on this
    /// connection.
    pub(super) fn holds_media(&self) -> bool {
        let is_verified = self.history.is_some() && self.proof == Proof::Given;
        self.verifier.must_verify() && !is_verified
    }

    /// Keeps a stream or channel until the partner is verified. Returns `false` if there are more than
    /// any call has use for.
    pub(super) fn hold(&mut self, event: PeerEvent) -> bool {
        self.held.push(event);
        self.held.len() <= MAX_HELD
    }

    /// Whether the call has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.history.is_some()
    }

    /// What was held, when the call begins.
    pub(super) fn release(&mut self) -> Vec<PeerEvent> {
        std::mem::take(&mut self.held)
    }

    /// Compares the certificates that DTLS has accepted, once more after each connection.
    pub(super) async fn check_certificates(&mut self) -> Reaction {
        let named = limited("name its certificates", self.peer.certificates());
        let certificates = named.await.flatten();
        self.awaits_certificates = certificates.is_none();
        match certificates {
            Some(certificates) => {
                let is_mismatch = self.verifier.connected(certificates);
                if self.proof == Proof::Awaited && !is_mismatch {
                    self.proof = Proof::New;
                }

                Reaction::ended(is_mismatch)
            }
            None => {
                tracing::debug!("the connection does not name its certificates yet");
                Reaction::default()
            }
        }
    }

    /// Whether the connection is up and has not named its certificates.
    pub(super) fn awaits_certificates(&self) -> bool {
        self.awaits_certificates
    }

    /// What is known about who the partner is, if that has changed since it was last returned. `None`
    /// before the call has begun.
    pub(super) fn new_verification(&mut self) -> Option<VerificationState> {
        self.history.as_ref()?;
        self.verifier.new_state()
    }

    /// The partner starts to send a stream. It takes the place of the one of its kind before: there is
    /// one section of each kind, one decoder and one jitter buffer. Returns `false` if there were more
    /// streams than a call has use for.
    pub(super) fn on_track(
        &mut self,
        now: Instant,
        kind: MediaKind,
        track: Arc<dyn TrackRemote>,
        options: &CallOptions,
        output: &CallOutput,
    ) -> bool {
        if !self.incoming.tracks.may_begin(now) {
            return false;
        }

        if let Some(receiving) = self.receive(kind, track, options, output) {
            self.incoming.tracks.set(kind, receiving);
        }

        true
    }

    /// Receives a stream. `None` if there is no thread to decode it.
    fn receive(
        &self,
        kind: MediaKind,
        track: Arc<dyn TrackRemote>,
        options: &CallOptions,
        output: &CallOutput,
    ) -> Option<Receiving> {
        match kind {
            MediaKind::Audio => {
                let mut receiving = Receiving::default();
                receiving.spawn(Arc::clone(&self.incoming.audio).receive(
                    track,
                    Arc::clone(&self.incoming.formats),
                    Arc::clone(&self.traffic),
                ));
                Some(receiving)
            }
            MediaKind::Video => {
                let context = RemoteVideoContext {
                    formats: Arc::clone(&self.incoming.formats),
                    link: Arc::clone(self.peer.link()),
                    recorder: Arc::clone(&self.incoming.video),
                    traffic: Arc::clone(&self.traffic),
                    frames: Arc::clone(&output.remote_frames),
                    on_frame: options.on_remote_frame.clone(),
                    audio: Arc::clone(&self.incoming.audio),
                    reported: self.remote_state.shared(),
                };

                remote_video::receive(track, context)
            }
        }
    }

    /// A data channel is there: see [`RemoteState::on_channel`].
    pub(super) fn on_channel(
        &mut self,
        channel: Arc<dyn DataChannel>,
        local: watch::Receiver<PartnerState>,
    ) -> bool {
        self.remote_state
            .on_channel(channel, local, Arc::clone(self.peer.link()))
    }

    /// The partner's state, if it has changed since it was last returned. `None` before the
    /// connection is up.
    pub(super) fn new_state(&mut self, now: Instant) -> Option<PartnerState> {
        self.history.as_ref()?;
        let last_video = self.incoming.video.lock().newest_packet();

        self.remote_state
            .update(now, self.peer.heard().at(), last_video)
    }

    /// What the partner refuses, if that has changed since it was last returned.
    pub(super) fn new_refused(&mut self) -> Option<Refused> {
        self.history.as_ref()?;
        // The two have not agreed on anything yet.
        if self.proof != Proof::Given {
            return None;
        }

        let refused = self.peer.refused();
        let before = std::mem::replace(&mut self.refused, refused);
        (before != refused).then_some(refused)
    }

    /// See [`RemoteState::new_meeting_room`].
    pub(super) fn new_meeting_room(&mut self) -> Option<String> {
        self.remote_state.new_meeting_room()
    }

    /// The connection is up: starts to send.
    pub(super) fn on_connected(
        &mut self,
        now: Instant,
        options: &CallOptions,
        video: &VideoSender,
        gate: &AudioGate,
    ) {
        self.history = Some(History::new(now));
        self.on_negotiated(options, video, gate);
    }

    /// Both sides have agreed, be it for the first time or once more: sends what the partner wants.
    pub(super) fn on_negotiated(
        &mut self,
        options: &CallOptions,
        video: &VideoSender,
        gate: &AudioGate,
    ) {
        let negotiated = self.peer.negotiated();
        self.incoming.formats.set(negotiated);
        if self.history.is_none() || !self.may_send || self.proof != Proof::Given {
            return;
        }

        if let Some(local) = self.peer.audio()
            && self.audio_on.replace(self.id) != Some(self.id)
        {
            let (packets, receiver) = unbounded_channel();
            let traffic = Arc::clone(&self.traffic);

            tokio::spawn(send_audio(local.clone(), receiver));
            gate.open(AudioOutput::new(None, local.ssrc, packets, traffic));
        }

        if let Some(local) = self.peer.video()
            && self.video_on.replace(self.id) != Some(self.id)
        {
            let before = self.video_output.take();
            let recorder = before.map(|output| std::mem::take(&mut *output.recorder.lock()));
            let (packets, receiver) = unbounded_channel();
            let in_flight = Arc::new(AtomicUsize::new(0));
            let output = Arc::new(VideoOutput {
                format: Mutex::new(None),
                ssrc: local.ssrc,
                max_bitrate_bps: options.max_bitrate_bps,
                link: Arc::clone(self.peer.link()),
                packets,
                in_flight: Arc::clone(&in_flight),
                keyframe_requested: AtomicBool::new(true),
                recorder: Mutex::new(recorder.unwrap_or_default()),
                traffic: Arc::clone(&self.traffic),
            });

            tokio::spawn(send_video(local.clone(), receiver, in_flight));
            tokio::spawn(watch_keyframe_requests(local.clone(), Arc::clone(&output)));
            video.set_output(Some(Arc::clone(&output)));
            self.video_output = Some(output);
        }

        let audio = negotiated.to_send(MediaKind::Audio);
        gate.set_payload_type(audio.map(|format| format.payload_type));

        if let Some(output) = &self.video_output {
            let video = negotiated.to_send(MediaKind::Video);
            output.set_format(video.and_then(StreamFormat::new));
        }
    }

    /// Sends a keyframe as soon as possible.
    pub(super) fn send_keyframe(&self) {
        if let Some(output) = &self.video_output {
            output.keyframe_requested.store(true, Relaxed);
        }
    }

    /// When the partner's first frame was decoded. Returned once.
    pub(super) fn first_frame(&mut self) -> Option<Instant> {
        if self.incoming.first_frame_reported {
            return None;
        }

        let first = self.incoming.video.lock().first_frame();
        self.incoming.first_frame_reported = first.is_some();
        first
    }

    /// When the partner's first audio was played. Returned once.
    pub(super) fn first_audio(&mut self, engine: &AudioEngine) -> Option<Instant> {
        if self.incoming.first_audio_reported || !self.incoming.tracks.has(MediaKind::Audio) {
            return None;
        }

        let first = engine.stats().first_audio_at;
        self.incoming.first_audio_reported = first.is_some();
        first
    }

    /// Takes a sample of the figures if one is due. Returns whether it was.
    pub(super) fn sample(&mut self, now: Instant) -> bool {
        let (link, traffic, received) = (self.peer.link(), &self.traffic, &self.incoming.video);

        self.history
            .as_mut()
            .is_some_and(|history| history.sample(now, link, traffic, received))
    }

    /// Collects the figures of the connection, the media and the audio engine.
    pub(super) async fn stats(&self, now: Instant, engine: Option<&AudioEngine>) -> CallStats {
        let negotiated = self.peer.negotiated();
        let repair = self.repair_before.plus(self.peer.link().repair());
        let mut audio = engine.map(AudioEngine::stats).unwrap_or_default();
        let sent = self
            .peer
            .audio()
            .map(|local| self.peer.sent().of(local.ssrc));
        (audio.sent_packets, audio.sent_bytes) =
            sent.map_or((0, 0), |sent| (sent.packets, sent.bytes));
        let state = self.remote_state.reported();
        let (received, lip_sync_ms_p95) = {
            let recorder = self.incoming.video.lock();
            let received = recorder.stats(state.camera_on.then_some(now));
            (received, recorder.lip_sync_ms_p95())
        };

        // A partner that reports its camera or microphone as off may have negotiated a stream
        // without sending any.
        let video_sends = state.camera_on || received.packets > 0;
        let audio_sends = !state.muted || audio.jitter.packets > 0;

        CallStats {
            session_id: Some(self.matched.session_id.as_str().to_owned()),
            initiator: Some(self.matched.initiator),
            refused: self.peer.refused(),
            video_codec: negotiated.video.first().and_then(Format::video).map(
                |codec| match codec {
                    VideoCodec::H264 => "H264",
                    VideoCodec::Vp8 => "VP8",
                },
            ),
            audio_codec: negotiated
                .audio
                .first()
                .filter(|format| format.codec == Codec::Opus)
                .map(|_| "opus"),
            video_sent: self.video_sent(negotiated.video.is_empty()),
            video_received: (self.incoming.tracks.has(MediaKind::Video) && video_sends).then_some(
                VideoReceived {
                    recovered: repair.recovered,
                    nacks: repair.nacks_sent,
                    ..received
                },
            ),
            audio_received: self.incoming.tracks.has(MediaKind::Audio) && audio_sends,
            audio,
            lip_sync_ms_p95,
            route: limited("name its route", self.peer.route()).await.flatten(),
            quality: self.history.as_ref().and_then(History::quality),
            bitrate: self
                .history
                .as_ref()
                .map(|history| history.samples().to_vec())
                .unwrap_or_default(),
        }
    }

    /// What has been sent of the video. `None` if there was none to send: `is_rejected`, and nothing
    /// went before. Frames of which no packet got to the socket were not sent.
    fn video_sent(&self, is_rejected: bool) -> Option<VideoSent> {
        let output = self.video_output.as_ref()?;
        match self.peer.sent().of(output.ssrc).packets {
            0 if is_rejected => None,
            0 => Some(VideoSent::default()),
            _ => Some(output.recorder.lock().stats()),
        }
    }

    /// Stops sending and closes the connection.
    pub(super) async fn close(self, video: &LocalVideo, gate: &AudioGate) {
        video.sender().set_output(None);
        gate.close();
        self.incoming.audio.end();
        // Without an answer it is only dropped, and the partner waits for a timeout.
        limited("close", self.peer.close()).await;
    }
}

/// Sends audio packets until the [`AudioOutput`] is gone.
async fn send_audio(local: LocalTrack, mut packets: UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        if let Err(error) = local.track.write_rtp(packet).await {
            tracing::debug!(%error, "dropped an audio packet: the connection refused it");
        }
    }
}

/// Sends the packets of each frame until the [`VideoOutput`] is gone, so it must not keep that
/// alive.
async fn send_video(
    local: LocalTrack,
    mut frames: UnboundedReceiver<Vec<Packet>>,
    in_flight: Arc<AtomicUsize>,
) {
    while let Some(packets) = frames.recv().await {
        for packet in packets {
            if let Err(error) = local.track.write_rtp(packet).await {
                tracing::debug!(%error, "dropped a frame: the connection refused it");
                break;
            }
        }

        in_flight.fetch_sub(1, Relaxed);
    }
}

/// Passes the partner's PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) to the encode thread.
async fn watch_keyframe_requests(local: LocalTrack, output: Arc<VideoOutput>) {
    while let Some(TrackLocalEvent::OnRtcpPacket(packets)) = local.track.poll().await {
        let is_request = |packet: &dyn std::any::Any| {
            packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
        };

        if packets.iter().any(|packet| is_request(packet.as_any())) {
            output.keyframe_requested.store(true, Relaxed);
        }
    }
}
