//! Opens a device and starts its stream.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: device callbacks run in real time"
)]

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

#[cfg(not(target_os = "linux"))]
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};
use rtrb::RingBuffer;

#[cfg(not(target_os = "linux"))]
use super::OPEN_TIMEOUT;
use super::bridge::{CaptureBridge, PlaybackBridge, RING_S};
use super::callback::{CaptureCallback, CaptureSink, PlaybackCallback, StreamClock};
use super::find::Target;
use super::meter::{MeterBridge, MeterCallback};
use super::{Direction, choose, find};
#[cfg(target_os = "linux")]
use super::{alsa_capture, alsa_playback};
use crate::audio::resample::RateError;
use crate::error::DeviceError;

/// Callbacks per second to ask for in a call, from speakers and from microphones.
const PLAYBACK_CALLBACKS_PER_SECOND: u32 = 50;
const CAPTURE_CALLBACKS_PER_SECOND: u32 = 75;
/// Callbacks per second to ask for when only a level is shown. Each wakes a sound server and two
/// threads.
const METER_CALLBACKS_PER_SECOND: u32 = 20;
/// The buffer size to ask for when a device refuses the one for that rate.
const FALLBACK_FRAMES: u32 = 1024;

/// A running stream, which ends when it is dropped, and the engine's end of it.
pub(super) type Opened<B> = (Box<dyn Any>, B);

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

/// Opens a microphone for a call.
pub(super) fn microphone(name: Option<&str>) -> Result<Opened<CaptureBridge>, DeviceError> {
    capture(name, CAPTURE_CALLBACKS_PER_SECOND, |config, clock| {
        let (producer, consumer) = RingBuffer::new(ring_frames(config.sample_rate));
        let bridge = CaptureBridge::new(consumer, Arc::clone(&clock), config.sample_rate)
            .map_err(|error| unsupported(&error))?;
        Ok((
            bridge,
            CaptureCallback::new(producer, clock, config.channels),
        ))
    })
}

/// Opens a microphone only for its level.
pub(super) fn meter(name: Option<&str>) -> Result<Opened<MeterBridge>, DeviceError> {
    capture(name, METER_CALLBACKS_PER_SECOND, |config, clock| {
        let bridge = MeterBridge::new(clock);
        let callback = MeterCallback::new(&bridge, config.sample_rate, config.channels);
        Ok((bridge, callback))
    })
}

fn capture<B, S: CaptureSink>(
    name: Option<&str>,
    callbacks_per_second: u32,
    build_sink: impl Fn(StreamConfig, Arc<StreamClock>) -> Result<(B, S), cpal::Error>,
) -> Result<Opened<B>, DeviceError> {
    open(
        name,
        Direction::Capture,
        callbacks_per_second,
        |target, config, format| {
            let clock = Arc::new(StreamClock::new(Instant::now()));
            let (bridge, sink) = build_sink(config, Arc::clone(&clock))?;
            let stream =
                with_format!(format, T => capture_stream::<T>(target, config, clock, sink))?;

            Ok((stream, bridge))
        },
    )
}

/// Opens a speaker for a call.
pub(super) fn speaker(name: Option<&str>) -> Result<Opened<PlaybackBridge>, DeviceError> {
    open(
        name,
        Direction::Playback,
        PLAYBACK_CALLBACKS_PER_SECOND,
        |target, config, format| {
            let clock = Arc::new(StreamClock::new(Instant::now()));
            let (producer, consumer) = RingBuffer::new(ring_frames(config.sample_rate));
            let bridge = PlaybackBridge::new(producer, Arc::clone(&clock), config.sample_rate)
                .map_err(|error| unsupported(&error))?;
            let callback = PlaybackCallback::new(consumer, Arc::clone(&clock), config.channels);
            let stream =
                with_format!(format, T => playback_stream::<T>(target, config, callback, clock))?;

            Ok((stream, bridge))
        },
    )
}

/// The device's rate is one that cannot be converted.
fn unsupported(error: &RateError) -> cpal::Error {
    cpal::Error::with_message(ErrorKind::UnsupportedConfig, error.to_string())
}

fn ring_frames(rate: u32) -> usize {
    (RING_S * f64::from(rate)) as usize
}

/// Finds the device, tries the buffer sizes it may accept, and starts the stream.
fn open<B>(
    name: Option<&str>,
    direction: Direction,
    callbacks_per_second: u32,
    build: impl Fn(&Target, StreamConfig, SampleFormat) -> Result<Opened<B>, cpal::Error>,
) -> Result<Opened<B>, DeviceError> {
    let codes = choose::error_codes(direction);
    let target = find::find(name, direction)?;
    let ranges = target
        .ranges(direction)
        .map_err(|error| codes.opening(&error))?;
    let (mut config, format) =
        choose::best(&ranges).ok_or_else(|| codes.opening(&ErrorKind::UnsupportedConfig.into()))?;
    // The default buffers of ALSA's sound server plug-ins lose audio, so they come last.
    let sizes = [
        BufferSize::Fixed(config.sample_rate / callbacks_per_second),
        BufferSize::Fixed(FALLBACK_FRAMES),
        BufferSize::Default,
    ];
    let mut last_error = cpal::Error::from(ErrorKind::UnsupportedConfig);

    for size in sizes {
        config.buffer_size = size;
        match build(&target, config, format) {
            Ok(opened) => {
                let (rate, channels) = (config.sample_rate, config.channels);
                tracing::info!(?direction, rate, channels, %format, ?size, "audio device open");
                tracing::debug!(?target, "the device");
                return Ok(opened);
            }
            Err(error) if error.kind() == ErrorKind::UnsupportedConfig => last_error = error,
            Err(error) => return Err(codes.opening(&error)),
        }
    }

    Err(codes.opening(&last_error))
}

#[cfg(target_os = "linux")]
fn capture_stream<T>(
    target: &Target,
    config: StreamConfig,
    clock: Arc<StreamClock>,
    sink: impl CaptureSink,
) -> Result<Box<dyn Any>, cpal::Error>
where
    T: SizedSample + Send + 'static,
    f32: FromSample<T>,
{
    let stream = alsa_capture::start::<T>(&target.pcm()?, config, clock, sink)?;
    // The target keeps ALSA's configuration as long as the stream lives.
    Ok(Box::new((stream, target.clone())))
}

#[cfg(not(target_os = "linux"))]
fn capture_stream<T>(
    target: &Target,
    config: StreamConfig,
    clock: Arc<StreamClock>,
    mut sink: impl CaptureSink,
) -> Result<Box<dyn Any>, cpal::Error>
where
    T: SizedSample + Send + 'static,
    f32: FromSample<T>,
{
    let data = move |data: &[T], info: &cpal::InputCallbackInfo| {
        let time = info.timestamp();
        sink.run(
            data,
            Instant::now(),
            time.callback.saturating_duration_since(time.capture),
        );
    };

    let stream = target.device().build_input_stream(
        config,
        data,
        move |error| clock.report(error.kind()),
        Some(OPEN_TIMEOUT),
    )?;
    stream.play()?;
    Ok(Box::new(stream))
}

#[cfg(target_os = "linux")]
fn playback_stream<T>(
    target: &Target,
    config: StreamConfig,
    callback: PlaybackCallback,
    clock: Arc<StreamClock>,
) -> Result<Box<dyn Any>, cpal::Error>
where
    T: SizedSample + FromSample<f32> + Send + 'static,
{
    let stream = alsa_playback::start::<T>(&target.pcm()?, config, clock, callback)?;
    // As in `capture_stream`.
    Ok(Box::new((stream, target.clone())))
}

#[cfg(not(target_os = "linux"))]
fn playback_stream<T>(
    target: &Target,
    config: StreamConfig,
    mut callback: PlaybackCallback,
    clock: Arc<StreamClock>,
) -> Result<Box<dyn Any>, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let data = move |data: &mut [T], info: &cpal::OutputCallbackInfo| {
        let time = info.timestamp();
        callback.run(
            data,
            Instant::now(),
            time.playback.saturating_duration_since(time.callback),
        );
    };

    let stream = target.device().build_output_stream(
        config,
        data,
        move |error| clock.report(error.kind()),
        Some(OPEN_TIMEOUT),
    )?;
    stream.play()?;
    Ok(Box::new(stream))
}
