//! Plays to ALSA on a thread of our own.
//!
//! cpal 0.18 opens only devices that ALSA lists, and ALSA lists its plug-in for the sound server,
//! but not the server's devices (see [`super::sound_server`]).
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that writes to a device"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use alsa::pcm::{Frames, HwParams};
use alsa::poll::Flags;
use alsa::{Direction, ValueOr};
use cpal::{BufferSize, FromSample, SizedSample, StreamConfig};

use super::alsa_pcm::{Pcm, RETRY_DELAY, bytes_of};
use super::alsa_stream::{AlsaStream, Transfer};
use super::callback::{PlaybackCallback, StreamClock};

/// Periods in the device's buffer. What waits there is delay, so there are no more than it takes.
const BUFFER_PERIODS: Frames = 2;

/// Opens the device with this ALSA name and plays what `callback` fills in, one period at a
/// time. Later errors are reported to `clock`.
///
/// # Errors
/// ALSA's errors, as the cpal errors that correspond to them.
pub(super) fn start<T>(
    name: &str,
    config: StreamConfig,
    clock: Arc<StreamClock>,
    callback: PlaybackCallback,
) -> Result<AlsaStream, cpal::Error>
where
    T: SizedSample + FromSample<f32> + Send + 'static,
{
    let set_buffers = |params: &HwParams<'_>| {
        if let BufferSize::Fixed(frames) = config.buffer_size {
            // The buffer first: the sound server's plug-in needs three periods, and makes them
            // shorter rather than the buffer longer.
            params.set_buffer_size_near(BUFFER_PERIODS * Frames::from(frames))?;
            params.set_period_size_near(frames.into(), ValueOr::Nearest)?;
        }

        Ok(())
    };
    let pcm = Pcm::open(name, Direction::Playback, config, T::FORMAT, set_buffers)?;
    tracing::debug!(period = pcm.period, "speaker started");

    let channels = usize::from(config.channels);
    let writer = Writer {
        buffer: vec![T::EQUILIBRIUM; pcm.period * channels],
        channels,
        written: pcm.period,
        filled_at: Instant::now(),
        pcm,
        rate: f64::from(config.sample_rate),
        callback,
    };

    AlsaStream::start(writer, clock)
}

/// Writes to a device.
struct Writer<T> {
    pcm: Pcm,
    /// One period.
    buffer: Vec<T>,
    channels: usize,
    /// Frames of the current period written so far.
    written: usize,
    /// When the current period was filled.
    filled_at: Instant,
    rate: f64,
    callback: PlaybackCallback,
}

impl<T: SizedSample + FromSample<f32> + Send + 'static> Transfer for Writer<T> {
    const DEVICE: &'static str = "speaker";

    /// Waits for room for a period and fills it.
    fn transfer(&mut self) -> Result<(), alsa::Error> {
        if !self.pcm.wait(Flags::OUT)? {
            return Ok(());
        }

        let period = self.pcm.period;
        let (available, delay) = self.pcm.pcm.avail_delay()?;
        // Some devices wake their writer early.
        if usize::try_from(available).unwrap_or_default() < period {
            std::thread::sleep(RETRY_DELAY);
            return Ok(());
        }

        if self.written == period {
            let latency = Duration::from_secs_f64(delay.max(0) as f64 / self.rate);
            self.filled_at = Instant::now();
            self.callback.run(&mut self.buffer, self.filled_at, latency);
            self.written = 0;
        }

        while self.written < period {
            let rest = &mut self.buffer[self.written * self.channels..];
            match self.pcm.pcm.io_bytes().writei(bytes_of(rest)) {
                Ok(0) => break,
                Ok(frames) => self.written = (self.written + frames).min(period),
                Err(error) if error.errno() == libc::EAGAIN => break,
                Err(error) => return Err(error),
            }
        }

        if self.written == period && self.has_no_clock()? {
            let lasts = Duration::from_secs_f64(period as f64 / self.rate);
            std::thread::sleep(lasts.saturating_sub(self.filled_at.elapsed()));
        }

        Ok(())
    }

    /// Restarts the device after an underrun, a suspend, or another error: it plays again once it
    /// holds enough. If that fails, the next write fails and tries again.
    fn restart(&mut self) {
        self.written = self.pcm.period;
        if let Err(error) = self.pcm.pcm.prepare() {
            tracing::debug!(%error, "could not restart the speaker yet: trying again");
        }
    }
}

impl<T> Writer<T> {
    /// Whether the device has nothing left of what was just written. ALSA's silent device, the default
    /// one of many containers, takes everything at once: without a wait, a whole core would feed it.
    fn has_no_clock(&self) -> Result<bool, alsa::Error> {
        let (available, delay) = self.pcm.pcm.avail_delay()?;
        let size = self.pcm.pcm.hw_params_current()?.get_buffer_size()?;
        Ok(delay <= 0 && available >= size)
    }
}

#[cfg(test)]
mod tests {
    use cpal::ErrorKind;
    use rtrb::RingBuffer;

    use super::*;

    const CONFIG: StreamConfig = StreamConfig {
        channels: 2,
        sample_rate: 48_000,
        buffer_size: BufferSize::Fixed(960),
    };

    #[test]
    fn a_device_takes_periods_of_the_requested_size() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (mut producer, consumer) = RingBuffer::new(96_000);
        producer
            .push_entire_slice(&[0.5; 96_000])
            .expect("there is room");
        let callback = PlaybackCallback::new(consumer, Arc::clone(&clock), CONFIG.channels);
        // ALSA's silent device has no clock: it takes everything at once.
        let stream = start::<i16>("null", CONFIG, Arc::clone(&clock), callback)
            .expect("the silent device opens");

        let begin = Instant::now();
        while producer.slots() < 96_000 && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(RETRY_DELAY);
        }

        assert_eq!(producer.slots(), 96_000, "all audio was taken");
        // Two seconds of audio.
        let taken = begin.elapsed();
        assert!(
            taken >= Duration::from_millis(1_800),
            "at the pace of a speaker, not in a busy loop: {taken:?}"
        );
        drop(stream);
        assert_eq!(
            clock.last_call().map(|call| call.frames),
            Some(960),
            "one period at a time"
        );
        assert_eq!((clock.failure(), clock.glitches()), (None, 0));
    }

    #[test]
    fn a_missing_device_is_an_error() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let (_producer, consumer) = RingBuffer::new(960);
        let callback = PlaybackCallback::new(consumer, Arc::clone(&clock), CONFIG.channels);
        let opened = start::<f32>("no such device", CONFIG, clock, callback);

        assert_eq!(
            opened.expect_err("no such device exists").kind(),
            ErrorKind::DeviceNotAvailable
        );
    }
}
