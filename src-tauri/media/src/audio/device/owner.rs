//! The thread that owns an open device.
//!
//! Opening, starting and closing happen there, so that a driver that hangs holds up nobody: the engine gives up after
//! a while and leaves the thread to itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};
use rtrb::RingBuffer;

use super::bridge::{CaptureBridge, PlaybackBridge, RING_S};
use super::callback::{CaptureCallback, PlaybackCallback, StreamClock};
use super::{Direction, choose};
use crate::error::DeviceError;

/// How long a device may take to open.
const OPENING: Duration = Duration::from_secs(5);
/// How long a device may take to be closed before it is left to itself.
const CLOSING: Duration = Duration::from_secs(1);
/// A stream that calls nobody back for this long has died without a word.
const STALLED: Duration = Duration::from_secs(2);
/// Glitches in a row of ticks that no working device has.
const GLITCH_BURST: u64 = 50;
/// Callbacks per second that are asked for, and the buffer that is asked for when that is refused.
const CALLBACKS_PER_SECOND: u32 = 50;
const FALLBACK_FRAMES: u32 = 1024;

/// What the audio thread holds of a device: `B` is its end of the ring.
#[derive(Debug)]
pub(super) struct Owner<B> {
    direction: Direction,
    opening_since: Instant,
    opened: Receiver<Result<B, DeviceError>>,
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    closed: Receiver<()>,
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
}

impl Watched for CaptureBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }
}

impl Watched for PlaybackBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }
}

impl Owner<CaptureBridge> {
    pub(super) fn open_microphone(name: Option<String>) -> Self {
        Self::spawn(Direction::Capture, move || open_microphone(name.as_deref()))
    }
}

impl Owner<PlaybackBridge> {
    pub(super) fn open_speaker(name: Option<String>) -> Self {
        Self::spawn(Direction::Playback, move || open_speaker(name.as_deref()))
    }
}

impl<B: Watched + Send + 'static> Owner<B> {
    fn spawn(
        direction: Direction,
        open: impl FnOnce() -> Result<(cpal::Stream, B), DeviceError> + Send + 'static,
    ) -> Self {
        let (opened_sender, opened) = channel();
        let (stop, stopped) = channel::<()>();
        let (closed_sender, closed) = channel();
        let body = move || {
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
        Self { direction, opening_since: now, opened, stop: Some(stop), closed, bridge: None, glitches: (now, 0) }
    }

    /// Looks after the device: whether it has opened, and whether it still works.
    pub(super) fn poll(&mut self, now: Instant) -> Result<State<'_, B>, DeviceError> {
        let codes = choose::error_codes(self.direction);
        if self.bridge.is_none() {
            match self.opened.try_recv() {
                Ok(bridge) => {
                    self.bridge = Some(bridge?);
                    self.opening_since = now;
                }
                Err(TryRecvError::Empty) if now.saturating_duration_since(self.opening_since) < OPENING => {
                    return Ok(State::Opening);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Err(codes.timeout()),
            }
        }
        let Some(bridge) = &mut self.bridge else { return Ok(State::Opening) };
        let clock = bridge.stream_clock();
        let last_life = clock.last_call().map_or(self.opening_since, |call| call.at);
        let (since, before) = self.glitches;
        let glitches = clock.glitches();
        if now.saturating_duration_since(since) >= Duration::from_secs(1) {
            self.glitches = (now, glitches);
        }
        let burst = glitches.saturating_sub(before);
        let silent = now.saturating_duration_since(last_life);
        if clock.failure().is_some() || silent > STALLED || burst > GLITCH_BURST {
            tracing::warn!(direction = ?self.direction, failure = ?clock.failure(), ?silent, burst, "a sound device has died");
            return Err(codes.unplugged());
        }
        Ok(State::Open(bridge))
    }
}

impl<B> Owner<B> {
    pub(super) fn bridge(&self) -> Option<&B> {
        self.bridge.as_ref()
    }
}

impl<B> Drop for Owner<B> {
    fn drop(&mut self) {
        self.stop = None;
        if self.closed.recv_timeout(CLOSING).is_err() {
            tracing::warn!(direction = ?self.direction, "a sound device does not close; it is left to itself");
        }
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
