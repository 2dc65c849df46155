//! The thread that owns an open device.
//!
//! Opening, starting and closing happen there, so that a driver that hangs holds up nobody: the engine gives up after
//! a while and leaves the thread to itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};
use rtrb::RingBuffer;

use super::bridge::{CaptureBridge, PlaybackBridge, RING_S};
use super::callback::{CaptureCallback, PlaybackCallback, StreamClock};
use super::{Direction, choose};
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;

/// How long a device may take to open.
const OPENING: Duration = Duration::from_secs(5);
/// How long a device may take to be closed before it is left to itself.
const CLOSING: Duration = Duration::from_secs(1);
/// A stream that calls nobody back for this long has died without a word.
const STALLED: Duration = Duration::from_secs(2);
/// How often in a row a dead stream is replaced: on a busy machine the new one may die of the next underrun.
const REOPENINGS: u32 = 4;
/// The pause before the first of them; it doubles with each.
const REOPENING_PAUSE: Duration = Duration::from_millis(50);
/// A new stream that lives this long has replaced the dead one for good.
const PROVEN: Duration = Duration::from_secs(3);
/// Glitches within a second that no working device has.
const GLITCH_BURST: u64 = 50;
/// Callbacks per second that are asked for, and the buffer that is asked for when that is refused.
const CALLBACKS_PER_SECOND: u32 = 50;
const FALLBACK_FRAMES: u32 = 1024;

/// Opens a device; called anew when its stream has died.
type Open<B> = Arc<dyn Fn() -> Result<Opened<B>, DeviceError> + Send + Sync>;

/// What the audio thread holds of a device: `B` is its end of the ring.
///
/// A stream that dies is opened anew, up to [`REOPENINGS`] times in a row, because streams of sound servers die of an
/// underrun on a busy machine, and because the default device may be another one by now. A device that is gone fails to
/// open and is told at once.
pub(super) struct Owner<B> {
    direction: Direction,
    open: Open<B>,
    device: Device<B>,
    /// How many streams have died in a row before the current one.
    died: u32,
    /// What went wrong with streams before the current one.
    past: DeviceCounts,
}

/// One stream and the thread that owns it.
struct Device<B> {
    since: Instant,
    opened: Receiver<Result<B, DeviceError>>,
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    /// Taken by whoever waits for the end.
    closed: Option<Receiver<()>>,
    bridge: Option<B>,
    /// Start of the current second of watching for glitches, and their number then.
    glitches: (Instant, u64),
}

/// What a device does at the moment.
pub(super) enum State<'a, B> {
    Opening,
    Open(&'a mut B),
}

/// A bridge that tells how its stream is.
pub(super) trait Watched {
    fn stream_clock(&self) -> &StreamClock;
    fn bridge_counts(&self) -> DeviceCounts;
}

impl Watched for CaptureBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl Watched for PlaybackBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl Owner<CaptureBridge> {
    /// Opens once the device `before` has closed.
    pub(super) fn open_microphone(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(Direction::Capture, Arc::new(move || open_microphone(name.as_deref())), before)
    }
}

impl Owner<PlaybackBridge> {
    /// Opens once the device `before` has closed.
    pub(super) fn open_speaker(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(Direction::Playback, Arc::new(move || open_speaker(name.as_deref())), before)
    }
}

/// A device that is being closed in the background. Dropping it waits for the end, a second at most.
#[derive(Debug)]
pub(crate) struct Closing {
    direction: Direction,
    closed: Option<Receiver<()>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.closed.take().is_some_and(|closed| closed.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout)) {
            tracing::warn!(direction = ?self.direction, "a sound device does not close; it is left to itself");
        }
    }
}

impl<B: Watched + Send + 'static> Owner<B> {
    fn new(direction: Direction, open: Open<B>, before: Option<Closing>) -> Self {
        let before = before.and_then(|mut closing| closing.closed.take());
        let device = Device::spawn(Arc::clone(&open), before, Duration::ZERO);
        Self { direction, open, device, died: 0, past: DeviceCounts::default() }
    }

    /// Begins to close the device, without waiting for it.
    pub(super) fn close(mut self) -> Closing {
        self.begin_closing()
    }

    /// Looks after the device: whether it has opened, and whether it still works.
    pub(super) fn poll(&mut self, now: Instant) -> Result<State<'_, B>, DeviceError> {
        let codes = choose::error_codes(self.direction);
        if self.device.bridge.is_none() {
            match self.device.opened.try_recv() {
                Ok(Ok(bridge)) => {
                    self.device.bridge = Some(bridge);
                    self.device.since = now;
                }
                Ok(Err(_)) if self.died > 0 => return Err(codes.unplugged()),
                Ok(Err(error)) => return Err(error),
                Err(TryRecvError::Empty) if now.saturating_duration_since(self.device.since) < OPENING => {}
                Err(_) if self.died > 0 => return Err(codes.unplugged()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Err(codes.timeout()),
            }
        }
        if self.device.has_died(now) {
            tracing::warn!(direction = ?self.direction, before = self.died, "the stream of a sound device has died");
            if self.died == REOPENINGS {
                return Err(codes.unplugged());
            }
            self.reopen();
        } else if self.died > 0
            && self.device.bridge.is_some()
            && now.saturating_duration_since(self.device.since) > PROVEN
        {
            self.died = 0;
        }
        Ok(self.device.bridge.as_mut().map_or(State::Opening, State::Open))
    }

    fn reopen(&mut self) {
        let counts = self.counts();
        // The new stream's own glitches begin at zero; its death is one more.
        self.past = DeviceCounts { glitches: self.past.glitches + 1, ..counts };
        let closed = self.device.closed.take();
        let pause = REOPENING_PAUSE * 2u32.pow(self.died);
        self.device = Device::spawn(Arc::clone(&self.open), closed, pause);
        self.died += 1;
    }

    /// What went wrong since the device was first opened.
    pub(super) fn counts(&self) -> DeviceCounts {
        let current = self.device.bridge.as_ref().map(B::bridge_counts).unwrap_or_default();
        DeviceCounts {
            underruns: self.past.underruns + current.underruns,
            overruns: self.past.overruns + current.overruns,
            glitches: self.past.glitches + current.glitches,
        }
    }
}

impl<B> Owner<B> {
    pub(super) fn bridge(&self) -> Option<&B> {
        self.device.bridge.as_ref()
    }
}

impl<B: Watched + Send + 'static> Device<B> {
    /// Opens on a thread of its own, once the device's former stream has `closed` and a `pause` is over.
    fn spawn(open: Open<B>, closed: Option<Receiver<()>>, pause: Duration) -> Self {
        let (opened_sender, opened) = channel();
        let (stop, stopped) = channel::<()>();
        let (closed_sender, is_closed) = channel();
        let body = move || {
            if let Some(closed) = closed {
                // Whether it has closed or hangs: more cannot be done.
                let _ = closed.recv_timeout(CLOSING);
            }
            // The engine says nothing on this channel; it closes it when the device is not wanted any more.
            if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            match open() {
                Ok((stream, bridge)) => {
                    // If the engine is gone already, the device is closed again.
                    if opened_sender.send(Ok(bridge)).is_ok() {
                        // Ends when the other end is dropped.
                        let _ = stopped.recv();
                    }
                    drop(stream);
                }
                Err(error) => {
                    let _ = opened_sender.send(Err(error));
                }
            }
            let _ = closed_sender.send(());
        };
        // Without a thread both channels are closed, and the first poll tells.
        let thread = std::thread::Builder::new().name("sound device".into()).spawn(body);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for a sound device");
        }
        let now = Instant::now();
        Self { since: now, opened, stop: Some(stop), closed: Some(is_closed), bridge: None, glitches: (now, 0) }
    }

    /// Whether an open stream has failed, calls nobody back any more, or reports nothing but glitches.
    fn has_died(&mut self, now: Instant) -> bool {
        let Some(bridge) = &self.bridge else { return false };
        let clock = bridge.stream_clock();
        let last_life = clock.last_call().map_or(self.since, |call| call.at);
        let (since, before) = self.glitches;
        let glitches = clock.glitches();
        if now.saturating_duration_since(since) >= Duration::from_secs(1) {
            self.glitches = (now, glitches);
        }
        clock.failure().is_some()
            || now.saturating_duration_since(last_life) > STALLED
            || glitches.saturating_sub(before) > GLITCH_BURST
    }
}

impl<B> Owner<B> {
    fn begin_closing(&mut self) -> Closing {
        self.device.stop = None;
        Closing { direction: self.direction, closed: self.device.closed.take() }
    }
}

impl<B> Drop for Owner<B> {
    fn drop(&mut self) {
        drop(self.begin_closing());
    }
}

impl<B> std::fmt::Debug for Owner<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("direction", &self.direction).field("died", &self.died).finish_non_exhaustive()
    }
}

/// Runs `$body` with `$sample` as the Rust type of a sample format.
macro_rules! with_format {
    ($format:expr, $sample:ident => $body:expr) => {
        match $format {
            SampleFormat::I8 => {
                type $sample = i8;
                $body
            }
            SampleFormat::I16 => {
                type $sample = i16;
                $body
            }
            SampleFormat::I24 => {
                type $sample = cpal::I24;
                $body
            }
            SampleFormat::I32 => {
                type $sample = i32;
                $body
            }
            SampleFormat::U8 => {
                type $sample = u8;
                $body
            }
            SampleFormat::U16 => {
                type $sample = u16;
                $body
            }
            SampleFormat::U24 => {
                type $sample = cpal::U24;
                $body
            }
            SampleFormat::U32 => {
                type $sample = u32;
                $body
            }
            SampleFormat::F32 => {
                type $sample = f32;
                $body
            }
            SampleFormat::F64 => {
                type $sample = f64;
                $body
            }
            _ => Err(ErrorKind::UnsupportedConfig.into()),
        }
    };
}

/// A stream and the engine's end of its ring.
type Opened<B> = (cpal::Stream, B);

fn open_microphone(name: Option<&str>) -> Result<Opened<CaptureBridge>, DeviceError> {
    open(name, Direction::Capture, |device, config, format| {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (producer, consumer) = RingBuffer::new(ring_frames(config.sample_rate));
        let bridge = CaptureBridge::new(consumer, Arc::clone(&clock), config.sample_rate)
            .map_err(|_| cpal::Error::from(ErrorKind::UnsupportedConfig))?;
        let callback = CaptureCallback::new(producer, Arc::clone(&clock), config.channels);
        let stream = with_format!(format, T => capture_stream::<T>(device, config, callback, clock))?;
        Ok((stream, bridge))
    })
}

fn open_speaker(name: Option<&str>) -> Result<Opened<PlaybackBridge>, DeviceError> {
    open(name, Direction::Playback, |device, config, format| {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (producer, consumer) = RingBuffer::new(ring_frames(config.sample_rate));
        let bridge = PlaybackBridge::new(producer, Arc::clone(&clock), config.sample_rate)
            .map_err(|_| cpal::Error::from(ErrorKind::UnsupportedConfig))?;
        let callback = PlaybackCallback::new(consumer, Arc::clone(&clock), config.channels);
        let stream = with_format!(format, T => playback_stream::<T>(device, config, callback, clock))?;
        Ok((stream, bridge))
    })
}

fn ring_frames(rate: u32) -> usize {
    (RING_S * f64::from(rate)) as usize
}

/// Finds the device, tries the buffer sizes that it may take, and starts the stream.
fn open<B>(
    name: Option<&str>,
    direction: Direction,
    build: impl Fn(&cpal::Device, StreamConfig, SampleFormat) -> Result<Opened<B>, cpal::Error>,
) -> Result<Opened<B>, DeviceError> {
    let codes = choose::error_codes(direction);
    let device = choose::find(name, direction)?;
    let ranges = choose::ranges(&device, direction).map_err(|error| codes.opening(&error))?;
    let (mut config, format) =
        choose::best(&ranges).ok_or_else(|| codes.opening(&ErrorKind::UnsupportedConfig.into()))?;
    // The default buffers of ALSA's sound server plug-ins lose sound, so they come last.
    let sizes = [
        BufferSize::Fixed(config.sample_rate / CALLBACKS_PER_SECOND),
        BufferSize::Fixed(FALLBACK_FRAMES),
        BufferSize::Default,
    ];
    let mut last_error = cpal::Error::from(ErrorKind::UnsupportedConfig);
    for size in sizes {
        config.buffer_size = size;
        match build(&device, config, format) {
            Ok((stream, bridge)) => {
                stream.play().map_err(|error| codes.opening(&error))?;
                tracing::info!(?direction, rate = config.sample_rate, channels = config.channels, %format, ?size, "sound device open");
                return Ok((stream, bridge));
            }
            Err(error) if error.kind() == ErrorKind::UnsupportedConfig => last_error = error,
            Err(error) => return Err(codes.opening(&error)),
        }
    }
    Err(codes.opening(&last_error))
}

fn capture_stream<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: CaptureCallback,
    clock: Arc<StreamClock>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let data = move |data: &[T], info: &cpal::InputCallbackInfo| {
        let time = info.timestamp();
        callback.run(data, Instant::now(), time.callback.saturating_duration_since(time.capture));
    };
    device.build_input_stream(config, data, move |error| clock.report(error.kind()), Some(OPENING))
}

fn playback_stream<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: PlaybackCallback,
    clock: Arc<StreamClock>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let data = move |data: &mut [T], info: &cpal::OutputCallbackInfo| {
        let time = info.timestamp();
        callback.run(data, Instant::now(), time.playback.saturating_duration_since(time.callback));
    };
    device.build_output_stream(config, data, move |error| clock.report(error.kind()), Some(OPENING))
}
