//! Everything that lives as long as the connection to one partner.

mod figures;
mod sending;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use tandem_media::audio::AudioEngine;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;

use super::audio_bridge::{AudioGate, AudioOutput, RemoteAudio};
use super::history::History;
use super::limit::limited;
use super::local_video::LocalVideo;
use super::numbers;
use super::recorder::{ReceiveRecorder, Traffic};
use super::remote_state::RemoteState;
use super::remote_tracks::{ReceivedFormats, Receiving, RemoteTracks};
use super::remote_video::{self, RemoteVideoContext};
use super::verification::{Reaction, Verifier};
use super::video_sender::{StreamFormat, VideoOutput, VideoSender};
use super::{CallOptions, CallOutput, VerificationState};
use crate::link::RepairCounters;
use crate::machine::{Match, PeerId};
use crate::partner_state::{PartnerState, Share};
use crate::peer::{MediaKind, Peer, PeerEvent, Refused};
use figures::Earlier;
use sending::{send_audio, send_video, watch_keyframe_requests};

/// How many streams and channels of a partner are held: two and one are usual.
const MAX_HELD: usize = 16;

/// The connection to one partner, and what flows through it.
pub(super) struct PartnerConnection {
    pub(super) id: PeerId,
    /// The number of the connection in this call.
    pub(super) number: u32,
    /// The number of this side's last offer in this call.
    round: u32,
    pub(super) peer: Peer,
    /// No connection could be made in place of the one before, which is closed.
    is_lost: bool,
    pub(super) events: UnboundedReceiver<PeerEvent>,
    /// Says who the partner is.
    pub(super) verifier: Verifier,
    /// The connection is up, and has not named its certificates.
    awaits_certificates: bool,
    /// Whether a fresh connection has shown that it uses the certificates of the call. Until then, nothing
    /// goes over it in either direction.
    proof: Proof,
    /// Streams and channels that wait: see [`holds_media`](Self::holds_media).
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
    /// What the connections before were like.
    earlier: Earlier,
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
            round: 0,
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
            earlier: Earlier::default(),
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
        self.earlier.on_replaced(&before);
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

    /// This side's offer, as the partner gets it.
    pub(super) fn numbered_offer(&mut self, offer: &str) -> String {
        self.round += 1;
        numbers::in_round(&numbers::on_description(offer, self.number), self.round)
    }

    /// This side's answer to `offer`, as the partner gets it.
    pub(super) fn numbered_answer(&self, answer: &str, offer: &str) -> String {
        let answer = numbers::on_description(answer, self.number);
        match numbers::round(offer) {
            Some(round) => numbers::in_round(&answer, round),
            None => answer,
        }
    }

    /// Whether the partner's answer is for another offer than this side's last one: it was late, or the
    /// partner has got an offer twice. Not every partner says so.
    pub(super) fn answers_another_offer(&self, answer: &str) -> bool {
        numbers::round(answer).is_some_and(|round| round != self.round)
    }

    /// Whether a description of the partner is one of the partner of this call, as far as that
    /// depends on its connection: a fresh one must name the same certificate.
    pub(super) fn is_same_partner(&self, description: &str) -> bool {
        self.number == 0 || self.verifier.is_same_partner(description)
    }

    /// Whether nothing of the partner may be received yet: it is not verified, and must be, or this is a
    /// fresh connection that has not shown that it uses the certificates of the call.
    pub(super) fn holds_media(&self) -> bool {
        let awaits_verification = self.verifier.must_verify() && self.history.is_none();
        awaits_verification || self.proof != Proof::Given
    }

    /// Keeps a stream or channel until it may be received. Returns `false` if there are more than
    /// any call has use for.
    pub(super) fn hold(&mut self, event: PeerEvent) -> bool {
        self.held.push(event);
        self.held.len() <= MAX_HELD
    }

    /// Whether the call has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.history.is_some()
    }

    /// What was held, if it may be received now.
    pub(super) fn release(&mut self) -> Vec<PeerEvent> {
        if self.holds_media() {
            return Vec::new();
        }

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

            tokio::spawn(send_audio(local.clone(), receiver));
            gate.open(AudioOutput::new(None, local.ssrc, packets));
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
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let sent = kinds.map(|kind| self.peer.sent_of(kind).bytes).iter().sum();

        self.history
            .as_mut()
            .is_some_and(|history| history.sample(now, link, sent, traffic, received))
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
