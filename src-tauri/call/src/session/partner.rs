//! Everything that lives as long as the connection to one partner.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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

use super::audio::{AudioGate, AudioOutput, RemoteAudio};
use super::local_video::LocalVideo;
use super::rating::{Quality, QualityFigures, QualityRating};
use super::recorder::{ReceiveRecorder, SendRecorder, Traffic};
use super::remote_video::{self, RemoteVideoContext};
use super::state_channel::{self, Told};
use super::stats::{BitrateSample, CallStats, SAMPLE_INTERVAL};
use super::video_sender::{VideoOutput, VideoSender};
use super::{CallOptions, Shared};
use crate::machine::{Match, PeerId};
use crate::partner_state::{PartnerState, PictureWatch};
use crate::peer::{Codec, Format, LocalTrack, MediaKind, Peer, PeerEvent};

/// More samples than anybody looks at: 2 hours.
const MAX_SAMPLES: usize = 14_400;

/// The connection to one partner, and what flows through it.
pub(super) struct Partner {
    pub(super) id: PeerId,
    pub(super) peer: Peer,
    pub(super) events: UnboundedReceiver<PeerEvent>,
    found: Match,
    traffic: Arc<Traffic>,
    remote_audio: Arc<RemoteAudio>,
    received: Arc<Mutex<ReceiveRecorder>>,
    output: Option<Arc<VideoOutput>>,
    video_came: bool,
    audio_came: bool,
    connected: Option<Instant>,
    history: Vec<BitrateSample>,
    /// Time and counters at the last sample.
    sampled: Option<(Instant, u64, u64)>,
    frame_told: bool,
    audio_told: bool,
    /// What the partner says of themself, and what pictures tell of one who says nothing.
    told: Told,
    watch: PictureWatch,
    /// What the user was told last.
    state: PartnerState,
    /// The state channel is in use.
    channel: bool,
    rating: QualityRating,
    quality: Option<Quality>,
    /// Frozen time at the last sample, ms.
    frozen_ms: u64,
}

impl Partner {
    pub(super) fn new(
        id: PeerId,
        peer: Peer,
        events: UnboundedReceiver<PeerEvent>,
        found: Match,
        engine: &Arc<AudioEngine>,
    ) -> Self {
        Self {
            id,
            peer,
            events,
            found,
            traffic: Arc::default(),
            remote_audio: RemoteAudio::new(engine),
            received: Arc::default(),
            output: None,
            video_came: false,
            audio_came: false,
            connected: None,
            history: Vec::new(),
            sampled: None,
            frame_told: false,
            audio_told: false,
            told: Told::default(),
            watch: PictureWatch::default(),
            state: PartnerState::default(),
            channel: false,
            rating: QualityRating::default(),
            quality: None,
            frozen_ms: 0,
        }
    }

    /// A stream of the partner begins: receive it.
    pub(super) fn on_track(
        &mut self,
        kind: MediaKind,
        track: Arc<dyn TrackRemote>,
        options: &CallOptions,
        shared: &Shared,
    ) {
        let negotiated = self.peer.negotiated();
        match kind {
            MediaKind::Audio => {
                let Some(format) = negotiated.audio.first() else {
                    return;
                };

                self.audio_came = true;
                let receive = Arc::clone(&self.remote_audio).receive(
                    track,
                    format.payload_type,
                    Arc::clone(&self.traffic),
                );
                tokio::spawn(receive);
            }
            MediaKind::Video => {
                self.video_came = true;
                let context = RemoteVideoContext {
                    formats: negotiated.video.clone(),
                    link: Arc::clone(self.peer.link()),
                    recorder: Arc::clone(&self.received),
                    traffic: Arc::clone(&self.traffic),
                    frames: Arc::clone(&shared.remote_frames),
                    on_frame: options.on_remote_frame.clone(),
                    audio: Arc::clone(&self.remote_audio),
                };

                remote_video::receive(track, context);
            }
        }
    }

    /// A data channel: the first is used to tell `own` state and to hear the partner's, any other is ignored.
    pub(super) fn on_channel(
        &mut self,
        channel: Arc<dyn DataChannel>,
        own: watch::Receiver<PartnerState>,
    ) {
        if !std::mem::replace(&mut self.channel, true) {
            tokio::spawn(state_channel::run(channel, own, Arc::clone(&self.told)));
        }
    }

    /// What the partner's microphone and camera do, if it is not what was told before.
    pub(super) fn new_state(&mut self, now: Instant) -> Option<PartnerState> {
        self.connected?;
        let picture = lock(&self.received).newest_packet();
        let camera_on = self.watch.observe(now, self.peer.heard().at(), picture);
        let state = lock(&self.told).unwrap_or(PartnerState {
            muted: false,
            camera_on,
        });

        (std::mem::replace(&mut self.state, state) != state).then_some(state)
    }

    /// It was agreed to send no pictures.
    pub(super) fn takes_no_pictures(&self) -> bool {
        self.connected.is_some() && self.peer.video().is_none()
    }

    /// It was agreed to send no sound.
    pub(super) fn takes_no_sound(&self) -> bool {
        self.connected.is_some() && self.peer.audio().is_none()
    }

    /// The connection is up: send.
    pub(super) fn on_connected(
        &mut self,
        now: Instant,
        options: &CallOptions,
        video: &VideoSender,
        gate: &AudioGate,
    ) {
        self.connected = Some(now);
        self.sampled = Some((now, 0, 0));
        let negotiated = self.peer.negotiated();

        if let (Some(local), Some(format)) = (self.peer.audio(), negotiated.audio.first()) {
            let (packets, receiver) = unbounded_channel();
            tokio::spawn(send_audio(local.clone(), receiver));
            let output = AudioOutput::new(
                format.payload_type,
                local.ssrc,
                packets,
                Arc::clone(&self.traffic),
            );
            *gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
        }

        let format = negotiated
            .video
            .first()
            .and_then(|format| Some((format.video()?, format.payload_type)));

        if let (Some(local), Some((codec, payload_type))) = (self.peer.video(), format) {
            let (packets, receiver) = unbounded_channel();
            let in_flight = Arc::new(AtomicUsize::new(0));
            let output = Arc::new(VideoOutput {
                codec,
                payload_type,
                ssrc: local.ssrc,
                max_bitrate_bps: options.max_bitrate_bps,
                link: Arc::clone(self.peer.link()),
                packets,
                in_flight: Arc::clone(&in_flight),
                keyframe_wanted: AtomicBool::new(true),
                recorder: Mutex::new(SendRecorder::default()),
                traffic: Arc::clone(&self.traffic),
            });

            tokio::spawn(send_video(local.clone(), receiver, in_flight));
            tokio::spawn(hear_requests(local.clone(), Arc::clone(&output)));
            video.set_output(Some(Arc::clone(&output)));
            self.output = Some(output);
        }
    }

    /// When the first picture of the partner was decoded; told once.
    pub(super) fn first_frame(&mut self) -> Option<Instant> {
        if self.frame_told {
            return None;
        }

        let first = lock(&self.received).first_frame();
        self.frame_told = first.is_some();
        first
    }

    /// When the first sound of the partner was heard; told once.
    pub(super) fn first_audio(&mut self, engine: &AudioEngine) -> Option<Instant> {
        if self.audio_told || !self.audio_came {
            return None;
        }

        let first = engine.stats().first_audio_at;
        self.audio_told = first.is_some();
        first
    }

    /// Adds to the history if half a second has passed. Returns whether it has.
    pub(super) fn sample(&mut self, now: Instant) -> bool {
        let (Some(connected), Some((at, sent, received))) = (self.connected, self.sampled) else {
            return false;
        };

        let elapsed = now.saturating_duration_since(at);
        if elapsed < SAMPLE_INTERVAL {
            return false;
        }

        let totals = (
            self.traffic.sent.load(Relaxed),
            self.traffic.received.load(Relaxed),
        );
        let per_second = |bytes: u64| (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64;
        let link = self.peer.link();

        if self.history.len() < MAX_SAMPLES {
            self.history.push(BitrateSample {
                t: now.saturating_duration_since(connected).as_secs_f32(),
                target_bps: link.target_bps(),
                sent_bps: per_second(totals.0 - sent),
                received_bps: per_second(totals.1 - received),
                rtt_ms: link.rtt().map(|rtt| rtt.as_secs_f32() * 1e3),
                loss: link.loss_fraction() as f32,
            });
        }

        self.sampled = Some((now, totals.0, totals.1));
        let frozen_ms = lock(&self.received).stats().frozen_ms;
        let frozen_since =
            frozen_ms.saturating_sub(std::mem::replace(&mut self.frozen_ms, frozen_ms)) as f32;
        let figures = QualityFigures {
            loss: link.loss_fraction() as f32,
            rtt_ms: link.rtt().map(|rtt| rtt.as_secs_f32() * 1e3),
            frozen: (frozen_since / (elapsed.as_secs_f32() * 1e3)).min(1.0),
            target_bps: Some(link.target_bps()),
        };

        self.quality = self.rating.update(now, &figures);
        true
    }

    /// All figures.
    pub(super) async fn stats(&self, engine: Option<&AudioEngine>) -> CallStats {
        let negotiated = self.peer.negotiated();
        let repair = self.peer.link().repair();
        let received = lock(&self.received).stats();
        let lip_sync_ms_p95 = lock(&self.received).lip_sync_ms_p95();
        // A partner who tells that the camera is off, or the microphone, may have agreed to send and send nothing.
        let told = lock(&self.told).unwrap_or_default();
        let audio = engine.map(AudioEngine::stats).unwrap_or_default();

        CallStats {
            session_id: Some(self.found.session_id.to_string()),
            initiator: Some(self.found.initiator),
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
            video_sent: self
                .output
                .as_ref()
                .map(|output| lock(&output.recorder).stats()),
            video_received: (self.video_came && (told.camera_on || received.packets > 0))
                .then_some(super::VideoReceived {
                    recovered: repair.recovered,
                    nacks: repair.nacks_sent,
                    ..received
                }),
            audio_received: self.audio_came && (!told.muted || audio.jitter.packets > 0),
            audio,
            lip_sync_ms_p95,
            route: self.peer.route().await,
            quality: self.quality,
            bitrate: self.history.clone(),
        }
    }

    /// Stops sending and closes the connection.
    pub(super) async fn close(self, video: &mut LocalVideo, gate: &AudioGate) {
        video.sender().set_output(None);
        *gate.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.peer.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send_audio(local: LocalTrack, mut packets: UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        if let Err(error) = local.track.write_rtp(packet).await {
            tracing::debug!(%error, "a packet of sound was not sent");
        }
    }
}

/// Ends when the output is gone, so it must not hold on to it.
async fn send_video(
    local: LocalTrack,
    mut packets: UnboundedReceiver<Vec<Packet>>,
    in_flight: Arc<AtomicUsize>,
) {
    while let Some(picture) = packets.recv().await {
        for packet in picture {
            if let Err(error) = local.track.write_rtp(packet).await {
                tracing::debug!(%error, "a packet of a picture was not sent");
                break;
            }
        }

        in_flight.fetch_sub(1, Relaxed);
    }
}

/// Passes the partner's PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1) to the encode thread.
async fn hear_requests(local: LocalTrack, output: Arc<VideoOutput>) {
    while let Some(TrackLocalEvent::OnRtcpPacket(packets)) = local.track.poll().await {
        let is_request = |packet: &dyn std::any::Any| {
            packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
        };

        if packets.iter().any(|packet| is_request(packet.as_any())) {
            output.keyframe_wanted.store(true, Relaxed);
        }
    }
}
