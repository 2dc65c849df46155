//! The encode thread: newest picture in, paced packets out.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_media::codec::{self, CodecError, EncoderConfig, VideoCodec, VideoEncoder};
use tandem_media::video::OpenVideo;
use tandem_media::video::scale::scale;
use tandem_media::{FramePool, I420, NewestSlot, VideoFrame};
use tokio::sync::mpsc::UnboundedSender;

use super::quality::{QualityLadder, Source};
use super::recorder::{SendRecorder, SentPicture, Traffic};
use crate::link::LinkState;
use crate::rtp::{Packetizer, VIDEO_CLOCK_HZ};

/// A keyframe costs as much as ten other pictures: one is made at most so often, however many are asked for.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// How long the thread waits for a picture before it looks whether something else has changed.
const GLANCE: Duration = Duration::from_millis(10);
/// A picture no older than this is sent when the connection comes up, instead of waiting for the next one.
const STILL_FRESH: Duration = Duration::from_millis(100);
/// Pictures that the connection has not taken yet. More: the next one is left out.
const MAX_IN_FLIGHT: usize = 3;
/// The encoder is told of a new target when it differs by more than this fraction.
const TARGET_STEP: f64 = 0.02;
/// Below this no picture is worth looking at.
const MIN_BITRATE_BPS: u32 = 50_000;

/// Where encoded pictures go: one stream to one partner.
pub(super) struct VideoOutput {
    pub(super) codec: VideoCodec,
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
    pub(super) max_bitrate_bps: u32,
    pub(super) link: Arc<LinkState>,
    /// The packets of one picture at a time.
    pub(super) packets: UnboundedSender<Vec<Packet>>,
    /// Pictures handed over and not yet taken by the connection.
    pub(super) in_flight: Arc<AtomicUsize>,
    /// The partner asks for a keyframe.
    pub(super) keyframe_wanted: AtomicBool,
    pub(super) recorder: Mutex<SendRecorder>,
    pub(super) traffic: Arc<Traffic>,
}

impl VideoOutput {
    fn target_bps(&self) -> u32 {
        let estimate = u32::try_from(self.link.video_target_bps()).unwrap_or(u32::MAX);
        estimate.min(self.max_bitrate_bps).max(MIN_BITRATE_BPS)
    }

    fn record(&self, write: impl FnOnce(&mut SendRecorder)) {
        write(&mut self.recorder.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The encode thread. Dropping it ends the thread.
pub(super) struct VideoSender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    control: Mutex<Control>,
    changed: Condvar,
    preview: Arc<NewestSlot<VideoFrame>>,
}

#[derive(Default)]
struct Control {
    source: Option<OpenVideo>,
    output: Option<Arc<VideoOutput>>,
    stop: bool,
}

impl VideoSender {
    /// Starts the thread. Every picture also goes to `preview`.
    pub(super) fn start(preview: Arc<NewestSlot<VideoFrame>>) -> Self {
        let shared = Arc::new(Shared {
            control: Mutex::default(),
            changed: Condvar::new(),
            preview,
        });

        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("video-encode".into())
                .spawn(move || {
                    tandem_media::priority::let_others_first();
                    run(&shared);
                })
        };

        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "the encode thread cannot be started"))
            .ok();
        Self { shared, thread }
    }

    /// Takes pictures from `source` from now on, or from nowhere.
    pub(super) fn set_source(&self, source: Option<OpenVideo>) {
        self.change(|control| control.source = source);
    }

    /// Sends to `output` from now on, or to nobody.
    pub(super) fn set_output(&self, output: Option<Arc<VideoOutput>>) {
        self.change(|control| control.output = output);
    }

    fn change(&self, change: impl FnOnce(&mut Control)) {
        change(
            &mut self
                .shared
                .control
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.shared.changed.notify_all();
    }
}

impl Drop for VideoSender {
    fn drop(&mut self) {
        self.change(|control| control.stop = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the encode thread panicked");
        }

        self.shared.preview.close();
    }
}

fn run(shared: &Shared) {
    let mut encoding: Option<Encoding> = None;
    let mut newest: Option<VideoFrame> = None;

    loop {
        let (source, output) = {
            let control = shared
                .control
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let idle = |control: &mut Control| control.source.is_none() && !control.stop;
            let control = shared
                .changed
                .wait_while(control, idle)
                .unwrap_or_else(PoisonError::into_inner);
            if control.stop {
                return;
            }
            (control.source.clone(), control.output.clone())
        };

        let Some(source) = source else { continue };
        if !is_for(encoding.as_ref(), output.as_ref()) {
            encoding = output.map(Encoding::new);
            if let (Some(encoding), Some(frame)) = (&mut encoding, &newest)
                && frame.at.elapsed() < STILL_FRESH
            {
                encoding.send(frame, source.format.fps);
            }
        }

        let Some(frame) = source.frames.take(GLANCE) else {
            if source.frames.is_closed() {
                forget(shared, &source.frames);
            }
            continue;
        };

        shared.preview.put(frame.clone());
        if let Some(encoding) = &mut encoding {
            encoding.send(&frame, source.format.fps);
        }

        newest = Some(frame);
    }
}

fn is_for(encoding: Option<&Encoding>, output: Option<&Arc<VideoOutput>>) -> bool {
    match (encoding, output) {
        (Some(encoding), Some(output)) => Arc::ptr_eq(&encoding.output, output),
        (None, None) => true,
        _ => false,
    }
}

/// A source that has ended gives no more pictures: sleep until there is another one.
fn forget(shared: &Shared, source: &Arc<NewestSlot<VideoFrame>>) {
    let mut control = shared
        .control
        .lock()
        .unwrap_or_else(PoisonError::into_inner);

    if control
        .source
        .as_ref()
        .is_some_and(|current| Arc::ptr_eq(&current.frames, source))
    {
        control.source = None;
    }
}

/// One stream being encoded.
struct Encoding {
    output: Arc<VideoOutput>,
    encoder: Option<Box<dyn VideoEncoder>>,
    /// Pictures a second of the source, and what the encoder was set up for.
    fps: f32,
    packetizer: Packetizer,
    ladder: QualityLadder,
    /// Counts pictures, to leave out every nth.
    offered: u32,
    pool: FramePool,
    sequence: u16,
    /// The RTP timestamp of `epoch`: random, as RFC 3550 §5.1 wants it.
    first_timestamp: u32,
    epoch: Option<Instant>,
    newest: Option<Instant>,
    target_bps: u32,
    last_keyframe: Option<Instant>,
}

impl Encoding {
    fn new(output: Arc<VideoOutput>) -> Self {
        Self {
            packetizer: Packetizer::new(output.codec),
            ladder: QualityLadder::default(),
            offered: 0,
            pool: FramePool::new(),
            sequence: rand::random::<u16>() >> 1,
            first_timestamp: rand::random(),
            epoch: None,
            newest: None,
            target_bps: 0,
            last_keyframe: None,
            encoder: None,
            fps: 0.0,
            output,
        }
    }

    /// Encodes and sends `frame` of a source with `fps`, or leaves it out if the connection does not keep up.
    fn send(&mut self, frame: &VideoFrame, fps: f32) {
        if fps != self.fps {
            // Rate control is set up for one rate of pictures.
            self.encoder = None;
            self.fps = fps;
        }

        let congested =
            self.output.in_flight.load(Relaxed) >= MAX_IN_FLIGHT || self.output.link.skip_frame();
        let in_order = self.newest.is_none_or(|newest| frame.at > newest);

        if congested || !in_order {
            self.output.record(SendRecorder::on_skipped);
            return;
        }

        match self.encode(frame) {
            Ok(true) => {}
            Ok(false) => self.output.record(SendRecorder::on_skipped),
            Err(error) => {
                tracing::warn!(%error, "a picture was not sent");
                self.encoder = None;
            }
        }
    }

    fn encode(&mut self, frame: &VideoFrame) -> Result<bool, CodecError> {
        let begin = Instant::now();
        let target_bps = self.output.target_bps();
        let Some(image) = self.adapt(frame, target_bps) else {
            return Ok(false);
        };

        let size = (image.width(), image.height());
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let config = EncoderConfig {
                    width: size.0,
                    height: size.1,
                    fps: self.fps,
                    bitrate_bps: target_bps,
                };

                self.target_bps = target_bps;
                none.insert(codec::encoder(self.output.codec, config)?)
            }
        };

        if f64::from(target_bps.abs_diff(self.target_bps))
            > TARGET_STEP * f64::from(self.target_bps)
        {
            encoder.set_bitrate(target_bps);
            self.target_bps = target_bps;
        }

        let epoch = *self.epoch.get_or_insert(frame.at);
        let elapsed = frame.at.saturating_duration_since(epoch);
        let may_key = self
            .last_keyframe
            .is_none_or(|last| begin >= last + KEYFRAME_INTERVAL);
        let force = may_key && self.output.keyframe_wanted.swap(false, Relaxed);
        let encoded = encoder.encode(
            &image,
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            force,
        )?;

        let Some(encoded) = encoded else {
            // The request stands until a keyframe was made.
            self.output.keyframe_wanted.fetch_or(force, Relaxed);
            return Ok(false);
        };

        self.newest = Some(frame.at);
        let now = Instant::now();

        if encoded.keyframe {
            self.last_keyframe = Some(now);
        }

        let picture = SentPicture {
            at: now,
            keyframe: encoded.keyframe,
            bytes: encoded.data.len(),
            size,
            encoding: now - begin,
        };

        let ticks = elapsed.as_nanos() * u128::from(VIDEO_CLOCK_HZ) / 1_000_000_000;
        let packets = self.packets(
            encoded.data,
            self.first_timestamp.wrapping_add(ticks as u32),
        );

        self.output.record(|recorder| {
            recorder.on_target(self.target_bps);
            recorder.on_picture(&picture);
        });

        self.output
            .traffic
            .sent
            .fetch_add(picture.bytes as u64, Relaxed);
        self.output.in_flight.fetch_add(1, Relaxed);
        // The other end is gone only when the call is over.
        let _ = self.output.packets.send(packets);

        Ok(true)
    }

    /// The picture in the size that the bitrate is enough for; `None` if this one is to be left out.
    fn adapt(&mut self, frame: &VideoFrame, target_bps: u32) -> Option<Arc<I420>> {
        let (width, height) = (frame.image.width(), frame.image.height());
        let source = Source {
            width,
            height,
            fps: self.fps,
        };

        let step = self.ladder.step(frame.at, source, target_bps);
        self.offered = self.offered.wrapping_add(1);

        if !self.offered.is_multiple_of(step.every) {
            return None;
        }

        let size = step.size(width, height);
        if size == (width, height) {
            return Some(Arc::clone(&frame.image));
        }

        let Ok(scaled) = self.pool.make(size.0, size.1, |image| {
            scale(&frame.image, image);
            Ok::<(), Infallible>(())
        });

        Some(scaled)
    }

    fn packets(&mut self, data: Vec<u8>, timestamp: u32) -> Vec<Packet> {
        let payloads = self.packetizer.packetize(data);
        let packets = payloads.into_iter().map(|payload| {
            let header = Header {
                version: 2,
                marker: payload.marker,
                payload_type: self.output.payload_type,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.output.ssrc,
                ..Header::default()
            };

            self.sequence = self.sequence.wrapping_add(1);
            Packet {
                header,
                payload: payload.data,
            }
        });

        packets.collect()
    }
}
