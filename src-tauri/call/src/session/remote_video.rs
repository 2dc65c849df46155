//! The decode thread: packets in, pictures out, shown in time with the sound.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use tandem_media::codec::{self, VideoCodec, VideoDecoder};
use tandem_media::sync::{LipSync, MediaKind};
use tandem_media::{FramePool, NewestSlot, VideoFrame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::OnRemoteFrame;
use super::audio::RemoteAudio;
use super::recorder::{ReceiveRecorder, Traffic};
use crate::link::LinkState;
use crate::peer::Format;
use crate::rtp::{AssembledFrame, AssemblerConfig, FrameAssembler, VideoPacket};

/// Packets that may wait for the decode thread: 2 s of 2.5 Mbit/s. It is emptied in milliseconds unless decoding stalls.
const INBOX_PACKETS: usize = 512;
/// Without packets the thread looks up as often as this.
const IDLE: Duration = Duration::from_secs(1);
/// Pictures that wait for their sound.
const MAX_WAITING: usize = 12;

/// What the decode thread needs to know of the rest of the call.
#[derive(Clone)]
pub(super) struct RemoteVideoContext {
    pub(super) formats: Vec<Format>,
    pub(super) link: Arc<LinkState>,
    pub(super) recorder: Arc<Mutex<ReceiveRecorder>>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) frames: Arc<NewestSlot<VideoFrame>>,
    pub(super) on_frame: Option<OnRemoteFrame>,
    pub(super) audio: Arc<RemoteAudio>,
}

/// A packet with its arrival.
struct Arrival {
    at: Instant,
    ssrc: u32,
    payload_type: u8,
    packet: VideoPacket,
}

/// Receives `track` until it ends, on a task and a thread of its own.
pub(super) fn receive(track: Arc<dyn TrackRemote>, context: RemoteVideoContext) {
    let (inbox, arrivals) = sync_channel(INBOX_PACKETS);
    let (requests, request_receiver) = unbounded_channel();
    let traffic = Arc::clone(&context.traffic);
    let thread = std::thread::Builder::new()
        .name("video-decode".into())
        .spawn(move || {
            RemoteVideo::new(context, requests).run(&arrivals);
        });

    if let Err(error) = thread {
        tracing::error!(%error, "the decode thread cannot be started");
        return;
    }

    tokio::spawn(request_keyframes(Arc::clone(&track), request_receiver));
    tokio::spawn(read_packets(track, inbox, traffic));
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
            // A packet lost like any other: the decoder is far behind.
            Err(TrySendError::Full(_)) => tracing::debug!("the decode thread does not keep up"),
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

/// Sends a PLI (RFC 4585 §6.3.1) for each SSRC that comes in.
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

/// One stream of the partner.
struct Stream {
    ssrc: u32,
    payload_type: u8,
    codec: VideoCodec,
    assembler: FrameAssembler,
    decoder: Box<dyn VideoDecoder>,
}

struct RemoteVideo {
    context: RemoteVideoContext,
    requests: UnboundedSender<u32>,
    pool: FramePool,
    stream: Option<Stream>,
    sync: LipSync,
    waiting: VecDeque<(Instant, VideoFrame)>,
}

impl RemoteVideo {
    fn new(context: RemoteVideoContext, requests: UnboundedSender<u32>) -> Self {
        Self {
            context,
            requests,
            pool: FramePool::new(),
            stream: None,
            sync: LipSync::new(),
            waiting: VecDeque::new(),
        }
    }

    fn run(&mut self, arrivals: &Receiver<Arrival>) {
        loop {
            let now = Instant::now();
            let due = self.next_due();

            match arrivals.recv_timeout(
                due.map_or(IDLE, |due| due.saturating_duration_since(now))
                    .min(IDLE),
            ) {
                Ok(arrival) => self.take_in(arrival),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }

            self.work();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let packet = self
            .stream
            .as_ref()
            .and_then(|stream| stream.assembler.poll_timeout());
        let picture = self.waiting.front().map(|(due, _)| *due);
        [packet, picture].into_iter().flatten().min()
    }

    fn take_in(&mut self, arrival: Arrival) {
        let fits = |stream: &Stream| {
            (stream.ssrc, stream.payload_type) == (arrival.ssrc, arrival.payload_type)
        };

        if !self.stream.as_ref().is_some_and(fits) {
            let Some(stream) = self.new_stream(arrival.ssrc, arrival.payload_type) else {
                return;
            };

            self.stream = Some(stream);
        }

        self.record(|recorder| recorder.on_packet(arrival.at, arrival.packet.payload.len()));
        if let Some(stream) = &mut self.stream {
            stream.assembler.insert(arrival.at, arrival.packet);
        }
    }

    /// A stream in a format that was agreed on; `None` for any other.
    fn new_stream(&self, ssrc: u32, payload_type: u8) -> Option<Stream> {
        let format = self
            .context
            .formats
            .iter()
            .find(|format| format.payload_type == payload_type)?;
        let codec = format.video()?;
        let decoder = codec::decoder(codec, self.pool.clone())
            .inspect_err(
                |error| tracing::error!(%error, "pictures of the partner cannot be decoded"),
            )
            .ok()?;
        let assembler = FrameAssembler::new(codec, AssemblerConfig::default());

        Some(Stream {
            ssrc,
            payload_type,
            codec,
            assembler,
            decoder,
        })
    }

    fn work(&mut self) {
        let now = Instant::now();
        if let Some(mut stream) = self.stream.take() {
            if let Some(rtt) = self.context.link.rtt() {
                stream.assembler.set_rtt(rtt);
            }

            stream.assembler.handle_timeout(now);
            while let Some(frame) = stream.assembler.poll_frame() {
                self.decode(&mut stream, &frame);
            }

            if stream.assembler.poll_keyframe_request() {
                self.record(ReceiveRecorder::on_keyframe_request);
                // The other end is gone only when the call is over.
                let _ = self.requests.send(stream.ssrc);
            }

            let stats = stream.assembler.stats();
            self.record(|recorder| recorder.on_stream(stats));
            self.stream = Some(stream);
        }

        self.show_due();
    }

    fn decode(&mut self, stream: &mut Stream, frame: &AssembledFrame) {
        let begin = Instant::now();
        let decoded = stream.decoder.decode(&frame.data);
        let now = Instant::now();

        match decoded {
            Ok(Some(image)) => {
                let size = (image.width(), image.height());
                self.record(|recorder| recorder.on_decoded(now, frame.keyframe, size, now - begin));
                let picture = VideoFrame {
                    image,
                    at: now,
                    rtp_timestamp: frame.timestamp,
                };

                if let Some(on_frame) = &self.context.on_frame {
                    on_frame(&picture);
                }

                self.schedule(stream.ssrc, picture);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, codec = ?stream.codec, "the decoder failed");
                stream.assembler.decoder_failed(now);
            }
        }
    }

    /// Puts a picture where its sound will be.
    fn schedule(&mut self, ssrc: u32, picture: VideoFrame) {
        let reports = [
            (MediaKind::Video, Some(ssrc)),
            (MediaKind::Audio, self.context.audio.ssrc()),
        ];

        for (kind, ssrc) in reports {
            if let Some(report) = ssrc.and_then(|ssrc| self.context.link.sender_report(ssrc)) {
                self.sync
                    .on_sender_report(kind, report.ntp, report.rtp, report.received);
            }
        }

        if let Some((timestamp, heard_at)) = self.context.audio.playout_point() {
            self.sync.on_audio_playout(timestamp, heard_at);
        }

        let due = self.sync.video_show_at(picture.rtp_timestamp, picture.at);
        self.context
            .audio
            .set_minimum_delay(self.sync.audio_extra_delay());

        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }

        self.waiting.push_back((due, picture));
    }

    fn show_due(&mut self) {
        let now = Instant::now();
        while self.waiting.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, picture)) = self.waiting.pop_front() else {
                return;
            };

            let apart = self.sync.offset();
            self.record(|recorder| recorder.on_shown(now, apart));
            self.context.frames.put(picture);
        }
    }

    fn record(&self, write: impl FnOnce(&mut ReceiveRecorder)) {
        write(
            &mut self
                .context
                .recorder
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
