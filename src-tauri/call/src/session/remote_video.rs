//! The decode thread: packets in, frames out, shown in sync with the audio.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a task and a thread that give the assembler and lip sync the time"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use tandem_media::codec::{self, VideoCodec, VideoDecoder};
use tandem_media::sync::{LipSync, StreamKind};
use tandem_media::{FramePool, NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::OnRemoteFrame;
use super::audio_bridge::RemoteAudio;
use super::recorder::{ReceiveRecorder, StreamId, Traffic};
use super::remote_tracks::{ReceivedFormats, Receiving};
use super::state_channel::ReportedState;
use super::stream_choice::{Choice, StreamChoice};
use crate::link::LinkState;
use crate::rtp::{self, AssembledFrame, AssemblerConfig, FrameAssembler, VideoPacket};

/// Packets that may wait for the decode thread: 2 s at 2.5 Mbit/s. The thread takes milliseconds to
/// empty them unless decoding stalls.
const INBOX_PACKETS: usize = 512;

/// The longest time the thread sleeps without packets.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// The most decoded frames that may wait for their audio: 0.4 s at 30 frames per second.
const MAX_WAITING: usize = 12;

/// The most bytes of pixels in them: five frames of 3840x2160.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// What the decode thread needs from the rest of the call.
#[derive(Clone)]
pub(super) struct RemoteVideoContext {
    pub(super) formats: Arc<ReceivedFormats>,
    pub(super) link: Arc<LinkState>,
    pub(super) recorder: Arc<Mutex<ReceiveRecorder>>,
    pub(super) traffic: Arc<Traffic>,
    /// Where frames go when they should be shown.
    pub(super) frames: Arc<NewestSlot<VideoFrame>>,
    /// Gets each frame as soon as it is decoded.
    pub(super) on_frame: Option<OnRemoteFrame>,
    pub(super) audio: Arc<RemoteAudio>,
    /// What the partner says about its camera.
    pub(super) reported: ReportedState,
}

/// A packet and when it arrived.
struct Arrival {
    at: Instant,
    ssrc: u32,
    payload_type: u8,
    packet: VideoPacket,
}

/// Receives `track` until it ends or the result is dropped, on two tasks and a thread. `None` if
/// there is no thread.
pub(super) fn receive(
    track: Arc<dyn TrackRemote>,
    context: RemoteVideoContext,
) -> Option<Receiving> {
    let (inbox, arrivals) = sync_channel(INBOX_PACKETS);
    let (requests, request_receiver) = unbounded_channel();
    let traffic = Arc::clone(&context.traffic);
    let thread = std::thread::Builder::new()
        .name("video-decode".into())
        .spawn(move || {
            RemoteVideo::new(context, requests).run(&arrivals);
        });

    if let Err(error) = thread {
        tracing::error!(%error, "cannot start the decode thread: no video from the partner");
        return None;
    }

    let mut receiving = Receiving::default();
    receiving.spawn(request_keyframes(Arc::clone(&track), request_receiver));
    receiving.spawn(read_packets(track, inbox, traffic));
    Some(receiving)
}

async fn read_packets(
    track: Arc<dyn TrackRemote>,
    inbox: SyncSender<Arrival>,
    traffic: Arc<Traffic>,
) {
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else {
            continue;
        };

        traffic
            .received
            .fetch_add(packet.payload.len() as u64, Relaxed);
        let header = packet.header;
        let arrival = Arrival {
            at: Instant::now(),
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            packet: VideoPacket {
                sequence: header.sequence_number,
                timestamp: header.timestamp,
                marker: header.marker,
                payload: packet.payload,
            },
        };

        match inbox.try_send(arrival) {
            Ok(()) => {}
            // Handled like a packet lost on the network.
            Err(TrySendError::Full(_)) => {
                tracing::debug!("the decode thread is two seconds behind: dropped a packet");
            }
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

/// Sends a PLI (RFC 4585 §6.3.1) for each SSRC that it receives.
async fn request_keyframes(track: Arc<dyn TrackRemote>, mut requests: UnboundedReceiver<u32>) {
    while let Some(media_ssrc) = requests.recv().await {
        let request = PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc,
        };

        if track.write_rtcp(vec![Box::new(request)]).await.is_err() {
            return;
        }
    }
}

/// One video stream from the partner.
struct Stream {
    id: StreamId,
    ssrc: u32,
    codec: VideoCodec,
    assembler: FrameAssembler,
    decoder: Box<dyn VideoDecoder>,
}

struct RemoteVideo {
    context: RemoteVideoContext,
    /// SSRCs that need a keyframe.
    keyframe_requests: UnboundedSender<u32>,
    pool: FramePool,
    stream: Option<Stream>,
    choice: StreamChoice,
    sync: LipSync,
    /// Decoded frames, each with the time at which to show it.
    waiting: VecDeque<(Instant, VideoFrame)>,
}

impl RemoteVideo {
    fn new(context: RemoteVideoContext, keyframe_requests: UnboundedSender<u32>) -> Self {
        Self {
            context,
            keyframe_requests,
            pool: FramePool::new(),
            stream: None,
            choice: StreamChoice::default(),
            sync: LipSync::new(),
            waiting: VecDeque::new(),
        }
    }

    fn run(&mut self, arrivals: &Receiver<Arrival>) {
        loop {
            let now = Instant::now();
            let sleep = self.next_due().map_or(MAX_SLEEP, |due| {
                due.saturating_duration_since(now).min(MAX_SLEEP)
            });

            match arrivals.recv_timeout(sleep) {
                Ok(arrival) => self.insert(arrival),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }

            self.decode_ready();
            self.show_due();
        }
    }

    /// When the assembler or the next frame to show is due.
    fn next_due(&self) -> Option<Instant> {
        let assembler = self
            .stream
            .as_ref()
            .and_then(|stream| stream.assembler.poll_timeout());
        let frame = self.waiting.front().map(|(due, _)| *due);

        [assembler, frame].into_iter().flatten().min()
    }

    /// Puts a packet into the assembler of its stream. Packets in formats that were not negotiated,
    /// and of other streams than the current one, are dropped.
    fn insert(&mut self, arrival: Arrival) {
        let Some(codec) = self.context.formats.video(arrival.payload_type) else {
            return;
        };

        let starts = rtp::starts_keyframe(codec, &arrival.packet.payload);
        match self
            .choice
            .on_packet(arrival.at, (arrival.ssrc, codec), starts)
        {
            Choice::Current => {}
            Choice::Switch => {
                let sets = self.context.formats.parameter_sets(arrival.payload_type);
                self.stream = self.new_stream(arrival.ssrc, codec, &sets);
            }
            Choice::Drop => return,
        }

        self.record(|recorder| recorder.on_packet(arrival.at, arrival.packet.payload.len()));

        if let Some(stream) = &mut self.stream {
            stream.assembler.insert(arrival.at, arrival.packet);
        }
    }

    /// A stream that waits for its first keyframe. `parameter_sets` are those that came with the
    /// description. `None` if there is no decoder.
    fn new_stream(&self, ssrc: u32, codec: VideoCodec, parameter_sets: &[u8]) -> Option<Stream> {
        let mut decoder = codec::decoder(codec, self.pool.clone())
            .inspect_err(
                |error| tracing::error!(%error, "no decoder: video from the partner is not shown"),
            )
            .ok()?;

        let mut assembler = FrameAssembler::new(codec, AssemblerConfig::default());
        if !parameter_sets.is_empty() {
            match decoder.decode(parameter_sets) {
                Ok(_) => assembler.set_has_parameters(),
                Err(error) => {
                    tracing::debug!(%error, "the description's parameter sets are broken");
                }
            }
        }

        Some(Stream {
            id: self.context.recorder.lock().on_stream(),
            ssrc,
            codec,
            assembler,
            decoder,
        })
    }

    /// Decodes every frame that is complete, and requests a keyframe if one is needed.
    fn decode_ready(&mut self) {
        let now = Instant::now();
        let Some(mut stream) = self.stream.take() else {
            return;
        };

        if let Some(rtt) = self.context.link.rtt() {
            stream.assembler.set_rtt(rtt);
        }

        stream.assembler.set_expected(now, self.is_camera_on());
        stream.assembler.handle_timeout(now);

        while let Some(frame) = stream.assembler.poll_frame() {
            self.decode(&mut stream, &frame);
        }

        if stream.assembler.poll_keyframe_request() {
            self.record(ReceiveRecorder::on_keyframe_request);
            // Fails only when the call is over.
            let _ = self.keyframe_requests.send(stream.ssrc);
        }

        let stats = stream.assembler.stats();
        self.record(|recorder| recorder.on_assembler(stream.id, stats));
        self.stream = Some(stream);
    }

    fn decode(&mut self, stream: &mut Stream, frame: &AssembledFrame) {
        let started = Instant::now();
        let decoded = stream.decoder.decode(&frame.data);
        let now = Instant::now();

        match decoded {
            Ok(Some(image)) => {
                if frame.keyframe {
                    stream.assembler.keyframe_decoded();
                }

                let size = (image.width(), image.height());
                let is_counted = self.record(|recorder| {
                    recorder.on_decoded(now, frame.keyframe, size, now - started)
                });
                if !is_counted {
                    return;
                }

                let decoded = VideoFrame {
                    image,
                    at: now,
                    rtp_timestamp: frame.timestamp,
                };

                if let Some(on_frame) = &self.context.on_frame {
                    on_frame(&decoded);
                }

                self.schedule(stream.ssrc, decoded);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, codec = ?stream.codec, "cannot decode: requesting a keyframe");
                stream.assembler.decoder_failed(now);
            }
        }
    }

    /// Schedules a frame for the moment at which its audio plays.
    fn schedule(&mut self, ssrc: u32, frame: VideoFrame) {
        let reports = [
            (StreamKind::Video, Some(ssrc)),
            (StreamKind::Audio, self.context.audio.ssrc()),
        ];

        for (kind, ssrc) in reports {
            if let Some(report) = ssrc.and_then(|ssrc| self.context.link.sender_report(ssrc)) {
                self.sync
                    .on_sender_report(kind, report.ntp, report.rtp, report.received);
            }
        }

        if let Some((timestamp, plays_at)) = self.context.audio.playout_point() {
            self.sync.on_audio_playout(timestamp, plays_at);
        }

        let due = self.sync.video_show_at(frame.rtp_timestamp, frame.at);
        self.context
            .audio
            .set_minimum_delay(self.sync.audio_extra_delay());

        self.waiting.push_back((due, frame));
        let bytes = |waiting: &VecDeque<(Instant, VideoFrame)>| {
            let sizes = waiting.iter().map(|(_, frame)| frame.image.data().len());
            sizes.sum::<usize>()
        };

        while self.waiting.len() > MAX_WAITING || bytes(&self.waiting) > MAX_WAITING_BYTES {
            self.waiting.pop_front();
        }
    }

    /// Whether the partner has not said that its camera is off.
    fn is_camera_on(&self) -> bool {
        let reported = *self.context.reported.lock();
        reported.is_none_or(|state| state.camera_on)
    }

    fn show_due(&mut self) {
        let now = Instant::now();

        while self.waiting.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, frame)) = self.waiting.pop_front() else {
                return;
            };

            let offset_ms = self.sync.offset();
            if self.record(|recorder| recorder.on_shown(now, offset_ms)) {
                self.context.frames.put(frame);
            }
        }
    }

    fn record<T>(&self, write: impl FnOnce(&mut ReceiveRecorder) -> T) -> T {
        write(&mut self.context.recorder.lock())
    }
}
