//! The encode thread: takes the newest frame of the source, sends it as RTP packets.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that measures the time it takes to encode"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rtc::rtp::header::Header;
use rtc::rtp::packet::Packet;
use tandem_media::codec::{self, CodecError, EncoderConfig, VideoCodec, VideoEncoder};
use tandem_media::video::OpenVideo;
use tandem_media::video::scale::scale;
use tandem_media::{FramePool, I420, NewestSlot, Observer, VideoFrame};
use tokio::sync::mpsc::UnboundedSender;

use super::options::MIN_BITRATE_BPS;
use super::recorder::{SendRecorder, SentFrame};
use super::resolution_ladder::{ResolutionLadder, SourceFormat};
use crate::link::LinkState;
use crate::peer::Format;
use crate::rtp::{MAX_PAYLOAD, Packetizer, VIDEO_CLOCK_HZ};

/// The shortest time between two requested keyframes, however often the partner asks: one costs as
/// much as ten other frames.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);

/// The longest wait for a frame before the thread checks whether the source or the output has
/// changed.
const FRAME_TIMEOUT: Duration = Duration::from_millis(10);

/// When the connection comes up, a frame up to this old is sent instead of waiting for the next
/// one.
const MAX_FIRST_FRAME_AGE: Duration = Duration::from_millis(100);

/// The most frames that may wait for the connection to take them. With more, the next frame is left
/// out.
const MAX_IN_FLIGHT: usize = 3;

/// The encoder gets a new target when it differs by more than this fraction.
const TARGET_STEP: f64 = 0.02;

/// Where encoded frames go: one stream to one partner.
pub(super) struct VideoOutput {
    /// `None` while the partner does not want video.
    pub(super) format: Mutex<Option<StreamFormat>>,
    pub(super) ssrc: u32,
    /// See [`CallOptions::max_bitrate_bps`](super::CallOptions::max_bitrate_bps).
    pub(super) max_bitrate_bps: u32,
    pub(super) link: Arc<LinkState>,
    /// The packets of one frame at a time.
    pub(super) packets: UnboundedSender<Vec<Packet>>,
    /// Frames handed over that the connection has not taken yet.
    pub(super) in_flight: Arc<AtomicUsize>,
    /// The partner requested a keyframe.
    pub(super) keyframe_requested: AtomicBool,
    pub(super) recorder: Mutex<SendRecorder>,
}

/// What a stream consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamFormat {
    pub(super) codec: VideoCodec,
    pub(super) payload_type: u8,
    /// A NAL unit must fit into a packet (RFC 6184 §6.2).
    pub(super) single_nal: bool,
}

impl StreamFormat {
    /// `None` if it is not one of video.
    pub(super) fn new(format: &Format) -> Option<Self> {
        Some(Self {
            codec: format.video()?,
            payload_type: format.payload_type,
            single_nal: format.single_nal(),
        })
    }

    fn packetizer(self) -> Packetizer {
        if self.single_nal {
            Packetizer::single_nal()
        } else {
            Packetizer::new(self.codec)
        }
    }
}

impl VideoOutput {
    /// Sends in this format from now on. `None`: nothing.
    pub(super) fn set_format(&self, format: Option<StreamFormat>) {
        let before = std::mem::replace(&mut *self.format.lock(), format);
        if format.is_some() && before != format {
            self.keyframe_requested.store(true, Relaxed);
        }
    }

    /// The bitrate to encode at: the estimator's target within the bounds.
    fn target_bps(&self) -> u32 {
        let estimate = u32::try_from(self.link.video_target_bps()).unwrap_or(u32::MAX);
        estimate.min(self.max_bitrate_bps).max(MIN_BITRATE_BPS)
    }

    fn record(&self, write: impl FnOnce(&mut SendRecorder)) {
        write(&mut self.recorder.lock());
    }
}

/// The encode thread. Dropping it ends the thread.
pub(super) struct VideoSender {
    shared: Arc<SenderShared>,
    thread: Option<JoinHandle<()>>,
    self_view: Arc<NewestSlot<VideoFrame>>,
}

/// What the thread shares with its handle.
struct SenderShared {
    control: Mutex<Control>,
    /// Notified after each change of `control`.
    changed: Condvar,
}

/// What the thread works with at the moment.
#[derive(Default)]
struct Control {
    source: Option<OpenVideo>,
    /// Copies the frames of `source` to the self-view where they are captured: encoding one may
    /// take longer than the time between two.
    self_view: Option<Observer<VideoFrame>>,
    output: Option<Arc<VideoOutput>>,
    stop: bool,
}

impl VideoSender {
    /// Starts the thread. Every frame of the source also goes to `self_view`, past the thread.
    pub(super) fn start(self_view: Arc<NewestSlot<VideoFrame>>) -> Self {
        let shared = Arc::new(SenderShared {
            control: Mutex::default(),
            changed: Condvar::new(),
        });

        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("video-encode".into())
                .spawn(move || {
                    tandem_media::priority::lower_thread_priority();
                    run(&shared);
                })
        };

        let thread = thread
            .inspect_err(
                |error| tracing::error!(%error, "cannot start the encode thread: no video is sent"),
            )
            .ok();

        Self {
            shared,
            thread,
            self_view,
        }
    }

    /// Takes frames from `source` from now on. `None`: from nowhere.
    pub(super) fn set_source(&self, source: Option<OpenVideo>) {
        let observer = source.as_ref().map(|source| {
            let self_view = Arc::clone(&self.self_view);
            source
                .frames
                .observe(move |frame| self_view.put(frame.clone()))
        });

        self.change(|control| {
            control.source = source;
            control.self_view = observer;
        });
    }

    /// Sends to `output` from now on. `None`: nowhere.
    pub(super) fn set_output(&self, output: Option<Arc<VideoOutput>>) {
        self.change(|control| control.output = output);
    }

    fn change(&self, change: impl FnOnce(&mut Control)) {
        change(&mut self.shared.control.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for VideoSender {
    fn drop(&mut self) {
        self.change(|control| {
            control.stop = true;
            control.self_view = None;
        });

        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the encode thread panicked: no video was sent after that");
        }

        self.self_view.close();
    }
}

fn run(shared: &SenderShared) {
    let mut encoding: Option<Encoding> = None;
    let mut newest: Option<VideoFrame> = None;

    loop {
        let (source, output) = {
            let mut control = shared.control.lock();
            let is_idle = |control: &mut Control| control.source.is_none() && !control.stop;
            shared.changed.wait_while(&mut control, is_idle);

            if control.stop {
                return;
            }

            (control.source.clone(), control.output.clone())
        };

        let Some(source) = source else { continue };

        if !is_for(encoding.as_ref(), output.as_ref()) {
            encoding = output.map(Encoding::new);

            if let (Some(encoding), Some(frame)) = (&mut encoding, &newest)
                && frame.at.elapsed() < MAX_FIRST_FRAME_AGE
            {
                encoding.send(frame, source.format.fps);
            }
        }

        let Some(frame) = source.frames.take(FRAME_TIMEOUT) else {
            if source.frames.is_closed() {
                forget_source(shared, &source.frames);
            }

            continue;
        };

        if let Some(encoding) = &mut encoding {
            encoding.send(&frame, source.format.fps);
        }

        newest = Some(frame);
    }
}

/// Whether `encoding` is the one for `output`.
fn is_for(encoding: Option<&Encoding>, output: Option<&Arc<VideoOutput>>) -> bool {
    match (encoding, output) {
        (Some(encoding), Some(output)) => Arc::ptr_eq(&encoding.output, output),
        (None, None) => true,
        _ => false,
    }
}

/// Drops a source that has ended, unless there is already another one: the thread then sleeps
/// instead of polling it.
fn forget_source(shared: &SenderShared, ended: &Arc<NewestSlot<VideoFrame>>) {
    let mut control = shared.control.lock();
    let is_ended = |source: &OpenVideo| Arc::ptr_eq(&source.frames, ended);

    if control.source.as_ref().is_some_and(is_ended) {
        control.source = None;
        control.self_view = None;
    }
}

/// One stream being encoded.
struct Encoding {
    output: Arc<VideoOutput>,
    encoder: Option<Box<dyn VideoEncoder>>,
    /// The source's frame rate, which the encoder was set up for.
    fps: f32,
    /// What `encoder` and `packetizer` were made for.
    format: Option<StreamFormat>,
    packetizer: Packetizer,
    ladder: ResolutionLadder,
    /// Counts frames, to send one of `Step::every`.
    offered: u32,
    pool: FramePool,
    sequence: u16,
    /// The RTP timestamp of `epoch`; random (RFC 3550 §5.1).
    first_timestamp: u32,
    /// When the first encoded frame was captured.
    epoch: Option<Instant>,
    /// When the newest encoded frame was captured.
    newest: Option<Instant>,
    /// What the encoder was last set to, in bits per second.
    target_bps: u32,
    last_keyframe: Option<Instant>,
}

impl Encoding {
    fn new(output: Arc<VideoOutput>) -> Self {
        Self {
            format: None,
            packetizer: Packetizer::new(VideoCodec::H264),
            ladder: ResolutionLadder::default(),
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

    /// Encodes and sends `frame` from a source with `fps` frames per second, or leaves it out if
    /// the connection cannot keep up.
    fn send(&mut self, frame: &VideoFrame, fps: f32) {
        let Some(format) = *self.output.format.lock() else {
            return;
        };

        if self.format != Some(format) {
            self.encoder = None;
            self.packetizer = format.packetizer();
            self.format = Some(format);
        }

        if fps != self.fps {
            // Rate control is set up for one frame rate.
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

        match self.encode(frame, format) {
            Ok(true) => {}
            Ok(false) => self.output.record(SendRecorder::on_skipped),
            Err(error) => {
                tracing::warn!(%error, "cannot encode a frame: restarting the encoder");
                self.encoder = None;
            }
        }
    }

    /// Encodes and sends `frame`. `Ok(false)`: it was left out.
    fn encode(&mut self, frame: &VideoFrame, format: StreamFormat) -> Result<bool, CodecError> {
        let started = Instant::now();
        let target_bps = self.output.target_bps();
        let Some(image) = self.reduce(frame, target_bps) else {
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
                    max_nal_bytes: format.single_nal.then_some(MAX_PAYLOAD as u32),
                };

                self.target_bps = target_bps;
                none.insert(codec::encoder(format.codec, config)?)
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
        let keyframe_allowed = self
            .last_keyframe
            .is_none_or(|last| started >= last + KEYFRAME_INTERVAL);
        let force = keyframe_allowed && self.output.keyframe_requested.swap(false, Relaxed);
        let encoded = encoder.encode(
            &image,
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            force,
        )?;

        let Some(encoded) = encoded else {
            // The request stands until there is a keyframe.
            self.output.keyframe_requested.fetch_or(force, Relaxed);
            return Ok(false);
        };

        let now = Instant::now();
        self.newest = Some(frame.at);

        if encoded.keyframe {
            self.last_keyframe = Some(now);
        }

        let sent = SentFrame {
            at: now,
            keyframe: encoded.keyframe,
            bytes: encoded.data.len(),
            size,
            encoding: now - started,
        };

        let ticks = elapsed.as_nanos() * u128::from(VIDEO_CLOCK_HZ) / 1_000_000_000;
        let packets = self.packets(
            encoded.data,
            self.first_timestamp.wrapping_add(ticks as u32),
            format.payload_type,
        );

        self.output.record(|recorder| {
            recorder.on_target(self.target_bps);
            recorder.on_frame(&sent);
        });

        self.output.in_flight.fetch_add(1, Relaxed);
        // Fails only when the call is over.
        let _ = self.output.packets.send(packets);

        Ok(true)
    }

    /// The frame in the size that the bitrate is enough for. `None`: this one is to be left out.
    fn reduce(&mut self, frame: &VideoFrame, target_bps: u32) -> Option<Arc<I420>> {
        let (width, height) = (frame.image.width(), frame.image.height());
        let source = SourceFormat {
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

    /// The RTP packets of one encoded frame.
    fn packets(&mut self, data: Vec<u8>, timestamp: u32, payload_type: u8) -> Vec<Packet> {
        let payloads = self.packetizer.packetize(data);
        let packets = payloads.into_iter().map(|payload| {
            let header = Header {
                version: 2,
                marker: payload.marker,
                payload_type,
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

#[cfg(test)]
mod tests {
    use tandem_media::video::VideoFormat;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::link::Bitrate;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const SIZE: VideoFormat = VideoFormat {
        width: 64,
        height: 48,
        fps: 30.0,
    };

    fn output() -> (Arc<VideoOutput>, UnboundedReceiver<Vec<Packet>>) {
        let (packets, sent) = unbounded_channel();
        let output = VideoOutput {
            format: Mutex::new(Some(StreamFormat {
                codec: VideoCodec::H264,
                payload_type: 96,
                single_nal: false,
            })),
            ssrc: 1,
            max_bitrate_bps: 500_000,
            link: Arc::new(LinkState::new(Bitrate::from_bps(500_000.0))),
            packets,
            in_flight: Arc::default(),
            keyframe_requested: AtomicBool::new(false),
            recorder: Mutex::default(),
        };

        (Arc::new(output), sent)
    }

    /// A source whose frames are the test's, and the sender and the self-view behind it.
    fn rig() -> (VideoSender, OpenVideo, Arc<NewestSlot<VideoFrame>>) {
        let self_view = Arc::new(NewestSlot::new());
        let sender = VideoSender::start(Arc::clone(&self_view));
        let source = OpenVideo {
            frames: Arc::new(NewestSlot::new()),
            format: SIZE,
        };

        sender.set_source(Some(source.clone()));
        (sender, source, self_view)
    }

    fn frame(at: Instant) -> VideoFrame {
        VideoFrame {
            image: Arc::new(I420::new(SIZE.width, SIZE.height)),
            at,
            rtp_timestamp: 0,
        }
    }

    /// When the frame that the self-view shows now was captured.
    fn shown(self_view: &NewestSlot<VideoFrame>) -> Option<Instant> {
        self_view.take(Duration::ZERO).map(|frame| frame.at)
    }

    #[test]
    fn a_slow_encoder_does_not_delay_the_self_view() {
        let (sender, source, self_view) = rig();
        let (output, mut sent) = output();
        sender.set_output(Some(Arc::clone(&output)));
        let start = Instant::now();
        let at = |number: u32| start + Duration::from_millis(33) * number;

        // The encode thread cannot finish its frame before the test lets go of this.
        let encoding = output.recorder.lock();
        for number in 0..5 {
            source.frames.put(frame(at(number)));
            assert_eq!(
                shown(&self_view),
                Some(at(number)),
                "frame {number} is shown as soon as it is captured"
            );
        }

        drop(encoding);
        let mut timestamps = Vec::new();
        let deadline = Instant::now() + TIMEOUT;
        for number in 5.. {
            while let Ok(packets) = sent.try_recv() {
                timestamps.push(packets[0].header.timestamp);
            }

            if timestamps.len() >= 2 || Instant::now() > deadline {
                break;
            }

            source.frames.put(frame(at(number)));
            std::thread::yield_now();
        }

        let [first, second, ..] = timestamps[..] else {
            panic!("the call goes on to send: {timestamps:?}");
        };
        let later = second.wrapping_sub(first);
        assert!(
            later > 0 && later < 1 << 31,
            "and in order: {first}, {second}"
        );
    }

    #[test]
    fn without_a_source_the_self_view_gets_nothing() {
        let (sender, source, self_view) = rig();
        source.frames.put(frame(Instant::now()));
        assert!(shown(&self_view).is_some(), "it shows the source");

        sender.set_source(None);
        source.frames.put(frame(Instant::now()));
        assert_eq!(shown(&self_view), None, "which was taken away");

        sender.set_source(Some(source.clone()));
        assert!(shown(&self_view).is_some(), "and given back");
        drop(sender);
        source.frames.put(frame(Instant::now()));
        assert_eq!(
            shown(&self_view),
            None,
            "the source outlives the call without being shown by it"
        );
    }
}
