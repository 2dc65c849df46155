//! Code that runs inside the callbacks of audio devices: it moves samples between the device's
//! buffer and a lock-free ring and stores a few numbers. It takes no lock, does not allocate, log
//! or make a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer};

/// Gain added per sample after a gap, so that audio fades in over 128 samples; and taken away per
/// sample once the stream is silenced.
const FADE_STEP: f32 = 1.0 / 128.0;
/// Factor applied to the last sample at each sample of a gap: −60 dB in 3 ms.
pub(super) const FADE_OUT: f32 = 0.95;
/// How long a fade out takes at 48 kHz, in seconds.
pub(super) const FADE_OUT_S: f64 = 0.003;

/// Errors that end a stream, numbered from 1 in [`StreamClock`]. An error not listed here counts as
/// the last.
const FATAL: [cpal::ErrorKind; 6] = [
    cpal::ErrorKind::DeviceNotAvailable,
    cpal::ErrorKind::HostUnavailable,
    cpal::ErrorKind::PermissionDenied,
    cpal::ErrorKind::StreamInvalidated,
    cpal::ErrorKind::ResourceExhausted,
    cpal::ErrorKind::Other,
];

/// What a device's callback reports to the audio thread, and that thread's request for silence.
#[derive(Debug)]
pub struct StreamClock {
    epoch: Instant,
    /// Nanoseconds from `epoch` to the latest callback, plus one; 0 before the first.
    called: AtomicU64,
    /// Frames in that callback.
    frames: AtomicU64,
    /// Nanoseconds between that callback and the moment its first frame was, or will be, in the
    /// air.
    latency: AtomicU64,
    starved: AtomicU64,
    overflowed: AtomicU64,
    glitches: AtomicU64,
    failure: AtomicU8,
    /// Playback: the ring is ignored from now on.
    silenced: AtomicBool,
}

/// The latest callback, as the audio thread sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCall {
    /// When it ran.
    pub at: Instant,
    /// How many frames it moved.
    pub frames: u64,
    /// From the callback to the air (playback) or from the air to the callback (capture), for its
    /// first frame.
    pub latency: Duration,
}

impl StreamClock {
    /// A clock without a callback yet. Times are stored relative to `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            called: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            glitches: AtomicU64::new(0),
            failure: AtomicU8::new(0),
            silenced: AtomicBool::new(false),
        }
    }

    pub(super) fn record(&self, now: Instant, frames: usize, latency: Duration) {
        self.frames.store(frames as u64, Ordering::Relaxed);
        self.latency
            .store(latency.as_nanos() as u64, Ordering::Relaxed);
        self.called.store(
            now.saturating_duration_since(self.epoch).as_nanos() as u64 + 1,
            Ordering::Release,
        );
    }

    /// The latest callback; `None` before the first.
    pub fn last_call(&self) -> Option<LastCall> {
        let called = self.called.load(Ordering::Acquire).checked_sub(1)?;
        Some(LastCall {
            at: self.epoch + Duration::from_nanos(called),
            frames: self.frames.load(Ordering::Relaxed),
            latency: Duration::from_nanos(self.latency.load(Ordering::Relaxed)),
        })
    }

    /// Lets the next playback callback fade to silence, for good.
    pub fn silence(&self) {
        self.silenced.store(true, Ordering::Relaxed);
    }

    /// Frames that a playback callback needed and did not get.
    pub fn starved(&self) -> u64 {
        self.starved.load(Ordering::Relaxed)
    }

    /// Frames that a capture callback had no room to store.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Glitches that the device has reported.
    pub fn glitches(&self) -> u64 {
        self.glitches.load(Ordering::Relaxed)
    }

    /// Takes an error from the error callback, which may run hundreds of thousands of times when a
    /// sound server dies. Does not allocate.
    pub fn report(&self, kind: cpal::ErrorKind) {
        match kind {
            // ALSA's PulseAudio plug-in occasionally answers an underrun with an error of its own
            // and continues. When the server has died, such errors come without end; the stream's
            // owner counts them.
            cpal::ErrorKind::Xrun | cpal::ErrorKind::BackendError => {
                self.glitches.fetch_add(1, Ordering::Relaxed);
            }
            // The stream continues.
            cpal::ErrorKind::DeviceChanged | cpal::ErrorKind::RealtimeDenied => {}
            fatal => {
                let code = FATAL
                    .iter()
                    .position(|known| *known == fatal)
                    .unwrap_or(FATAL.len() - 1)
                    + 1;
                self.failure.store(code as u8, Ordering::Release);
            }
        }
    }

    /// The error that ended the stream, if it has ended.
    pub fn failure(&self) -> Option<cpal::ErrorKind> {
        FATAL
            .get(usize::from(
                self.failure.load(Ordering::Acquire).checked_sub(1)?,
            ))
            .copied()
    }
}

/// Mixes interleaved frames of `channels` channels to one: the mean of each frame.
pub(super) fn mixed<T: Copy>(data: &[T], channels: usize) -> impl ExactSizeIterator<Item = f32> + '_
where
    f32: FromSample<T>,
{
    let scale = 1.0 / channels as f32;
    let frames = data.chunks_exact(channels);
    frames.map(move |frame| {
        frame
            .iter()
            .map(|sample| f32::from_sample_(*sample))
            .sum::<f32>()
            * scale
    })
}

/// Takes the audio of a microphone, inside the device's callback.
pub trait CaptureSink: Send + 'static {
    /// Takes what the device captured. `latency` is how long ago its first frame was in the air.
    fn run<T: Copy>(&mut self, data: &[T], now: Instant, latency: Duration)
    where
        f32: FromSample<T>;
}

/// Moves audio from a microphone into a ring, mixed to one channel.
#[derive(Debug)]
pub struct CaptureCallback {
    ring: Producer<f32>,
    clock: Arc<StreamClock>,
    channels: usize,
}

impl CaptureCallback {
    /// A callback for a device with `channels` interleaved channels.
    pub fn new(ring: Producer<f32>, clock: Arc<StreamClock>, channels: u16) -> Self {
        Self {
            ring,
            clock,
            channels: usize::from(channels.max(1)),
        }
    }
}

impl CaptureSink for CaptureCallback {
    fn run<T: Copy>(&mut self, data: &[T], now: Instant, latency: Duration)
    where
        f32: FromSample<T>,
    {
        let frames = mixed(data, self.channels);
        let count = frames.len();
        let room = count.min(self.ring.slots());

        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(frames);
        }

        self.clock
            .overflowed
            .fetch_add((count - room) as u64, Ordering::Relaxed);
        self.clock.record(now, count, latency);
    }
}

/// Moves audio from a ring to a speaker, the same on every channel.
#[derive(Debug)]
pub struct PlaybackCallback {
    ring: Consumer<f32>,
    clock: Arc<StreamClock>,
    channels: usize,
    gain: f32,
    last: f32,
}

impl PlaybackCallback {
    /// A callback for a device with `channels` interleaved channels.
    pub fn new(ring: Consumer<f32>, clock: Arc<StreamClock>, channels: u16) -> Self {
        Self {
            ring,
            clock,
            channels: usize::from(channels.max(1)),
            gain: 0.0,
            last: 0.0,
        }
    }

    /// Fills the device's buffer. `latency` is how soon its first frame will be in the air. Where
    /// the ring runs empty, the audio fades to silence; after the gap it fades in. Once the clock
    /// is silenced, it fades out for good, whatever the ring holds.
    pub fn run<T: Sample + FromSample<f32>>(
        &mut self,
        data: &mut [T],
        now: Instant,
        latency: Duration,
    ) {
        let count = data.len() / self.channels;
        let available = count.min(self.ring.slots());
        let is_silenced = self.clock.silenced.load(Ordering::Relaxed);
        let gain_step = if is_silenced { -FADE_STEP } else { FADE_STEP };
        let mut frames = data.chunks_mut(self.channels);

        if let Ok(chunk) = self.ring.read_chunk(available) {
            for (sample, frame) in chunk.into_iter().zip(frames.by_ref()) {
                self.gain = (self.gain + gain_step).clamp(0.0, 1.0);
                self.last = sample * self.gain;
                frame.fill(T::from_sample(self.last));
            }
        }

        for frame in frames {
            self.gain = 0.0;
            self.last *= FADE_OUT;
            frame.fill(T::from_sample(self.last));
        }

        self.clock
            .starved
            .fetch_add((count - available) as u64, Ordering::Relaxed);
        self.clock.record(now, count, latency);
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_mixed_and_formats_converted() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (producer, mut consumer) = rtrb::RingBuffer::new(8);
        let mut callback = CaptureCallback::new(producer, Arc::clone(&clock), 2);

        assert_eq!(clock.last_call(), None, "no callback has run yet");
        callback.run(
            &[16_384i16, 0, -16_384, -16_384],
            clock.epoch,
            Duration::from_millis(7),
        );
        assert_eq!(
            consumer.pop(),
            Ok(0.25),
            "two channels are mixed to their mean"
        );
        assert_eq!(consumer.pop(), Ok(-0.5), "each frame is mixed on its own");

        let call = clock.last_call().expect("a callback ran");
        assert_eq!(
            (call.frames, call.latency.as_millis()),
            (2, 7),
            "the clock records the frames and their latency"
        );
    }

    #[test]
    fn a_full_ring_drops_the_newest_frames_and_counts_them() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (producer, mut consumer) = rtrb::RingBuffer::new(3);
        let mut callback = CaptureCallback::new(producer, Arc::clone(&clock), 1);
        callback.run(&[0.1f32, 0.2, 0.3, 0.4, 0.5], clock.epoch, Duration::ZERO);

        assert_eq!(consumer.slots(), 3, "as much as fits is stored");
        assert_eq!(consumer.pop(), Ok(0.1), "frames keep their order");
        assert_eq!(clock.overflowed(), 2, "the rest is counted as overflow");
    }

    #[test]
    fn a_gap_fades_out_and_in() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (mut producer, consumer) = rtrb::RingBuffer::new(1024);
        let mut callback = PlaybackCallback::new(consumer, Arc::clone(&clock), 2);
        producer.push_entire_slice(&[0.8f32; 400]).unwrap();
        let mut heard = vec![0.0f32; 1200];
        callback.run(&mut heard, clock.epoch, Duration::ZERO);
        producer.push_entire_slice(&[0.8f32; 400]).unwrap();
        let mut more = vec![0.0f32; 800];
        callback.run(&mut more, clock.epoch, Duration::ZERO);
        heard.extend(more);

        assert!(
            heard.chunks(2).all(|frame| frame[0] == frame[1]),
            "both channels carry the same audio"
        );

        let mono: Vec<f32> = heard.iter().step_by(2).copied().collect();
        let step = mono
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0f32, f32::max);
        assert!(step < 0.05, "nothing clicks: the largest step is {step}");
        assert!(mono[599].abs() < 1e-3, "the gap becomes silent");
        assert!(
            (mono[999] - 0.8).abs() < 1e-6,
            "audio after the gap reaches its full level"
        );
        assert_eq!(clock.starved(), 200, "the missing frames are counted");
    }

    #[test]
    fn a_silenced_stream_fades_out_whatever_the_ring_holds() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (mut producer, consumer) = rtrb::RingBuffer::new(1024);
        let mut callback = PlaybackCallback::new(consumer, Arc::clone(&clock), 1);
        producer.push_entire_slice(&[0.8f32; 1000]).unwrap();
        let mut heard = vec![0.0f32; 300];
        callback.run(&mut heard, clock.epoch, Duration::ZERO);
        clock.silence();
        let mut after = vec![1.0f32; 300];
        callback.run(&mut after, clock.epoch, Duration::ZERO);

        assert!((heard[299] - 0.8).abs() < 1e-6, "it played");
        let step = after
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(heard[299] - after[0], f32::max);
        assert!(step < 0.01, "it fades evenly: a step of {step}");

        let faded = (FADE_OUT_S * 48_000.0) as usize;
        assert!(
            after[faded..].iter().all(|sample| sample.abs() < 1e-3),
            "it is silent after 3 ms, and stays silent"
        );
    }

    #[test]
    fn only_fatal_errors_end_a_stream() {
        let clock = StreamClock::new(Instant::now());
        clock.report(cpal::ErrorKind::Xrun);
        clock.report(cpal::ErrorKind::RealtimeDenied);

        assert_eq!(
            (clock.failure(), clock.glitches()),
            (None, 1),
            "an xrun is a glitch and does not end the stream"
        );

        clock.report(cpal::ErrorKind::BackendError);
        assert_eq!(
            (clock.failure(), clock.glitches()),
            (None, 2),
            "neither does an unknown backend error"
        );

        clock.report(cpal::ErrorKind::InvalidInput);
        assert_eq!(
            clock.failure(),
            Some(cpal::ErrorKind::Other),
            "an unlisted error ends the stream"
        );

        clock.report(cpal::ErrorKind::DeviceNotAvailable);
        assert_eq!(
            clock.failure(),
            Some(cpal::ErrorKind::DeviceNotAvailable),
            "a device that is gone ends the stream"
        );
    }
}
