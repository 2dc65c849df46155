//! Captures from ALSA on a thread of our own.
//!
//! cpal 0.18 reads whole periods only. ALSA's PulseAudio plug-in reports its device readable as
//! long as it holds any part of the server's fragment, however much has been read. Where fragments
//! are not whole periods, cpal's thread therefore spins until the next fragment comes and uses up
//! to a whole core (see `docs/field-notes.md`). This reader takes the remainder, too.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that reads a device"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use alsa::pcm::{Frames, HwParams};
use alsa::poll::Flags;
use alsa::{Direction, ValueOr};
use cpal::{BufferSize, FromSample, SizedSample, StreamConfig};

use super::alsa_pcm::{Pcm, RETRY_DELAY, bytes_of};
use super::alsa_stream::{AlsaStream, Transfer};
use super::callback::{CaptureSink, StreamClock};

/// Periods that the device may buffer. A reader that is held up on a busy machine loses nothing;
/// otherwise it reads each period as it comes.
const BUFFER_PERIODS: Frames = 4;

/// Opens the device with this ALSA name and passes what it captures to `sink`, one period at a
/// time. Later errors are reported to `clock`.
///
/// # Errors
/// ALSA's errors, as the cpal errors that correspond to them.
pub(super) fn start<T>(
    name: &str,
    config: StreamConfig,
    clock: Arc<StreamClock>,
    sink: impl CaptureSink,
) -> Result<AlsaStream, cpal::Error>
where
    T: SizedSample + Send + 'static,
    f32: FromSample<T>,
{
    let set_buffers = |params: &HwParams<'_>| {
        if let BufferSize::Fixed(frames) = config.buffer_size {
            let period = params.set_period_size_near(frames.into(), ValueOr::Nearest)?;
            params.set_buffer_size_near(BUFFER_PERIODS * period)?;
        }

        Ok(())
    };
    let pcm = Pcm::open(name, Direction::Capture, config, T::FORMAT, set_buffers)?;
    pcm.pcm.start()?;
    tracing::debug!(period = pcm.period, "microphone started");

    let channels = usize::from(config.channels);
    let reader = Reader {
        buffer: vec![T::EQUILIBRIUM; pcm.period * channels],
        channels,
        filled: 0,
        pcm,
        rate: f64::from(config.sample_rate),
        sink,
    };

    AlsaStream::start(reader, clock)
}

/// How many of the `available` frames to read when `filled` frames of a period are already there.
/// Reads whole periods, because a device that wakes its reader once per period must stay in step
/// with it. Reads less only if there is no whole period, because some devices stay readable as long
/// as anything is left.
fn frames_to_read(period: usize, filled: usize, available: usize) -> usize {
    match (filled + available) / period {
        0 => available,
        periods => periods * period - filled,
    }
}

/// Reads a device.
struct Reader<T, S> {
    pcm: Pcm,
    /// Room for one period.
    buffer: Vec<T>,
    channels: usize,
    /// Frames of the current period read so far.
    filled: usize,
    rate: f64,
    sink: S,
}

impl<T, S> Transfer for Reader<T, S>
where
    T: SizedSample + Send + 'static,
    S: CaptureSink,
    f32: FromSample<T>,
{
    const DEVICE: &'static str = "microphone";

    /// Waits for audio and reads what is there.
    fn transfer(&mut self) -> Result<(), alsa::Error> {
        if !self.pcm.wait(Flags::IN)? {
            return Ok(());
        }

        let (available, mut delay) = self.pcm.pcm.avail_delay()?;
        if available <= 0 {
            std::thread::sleep(RETRY_DELAY);
            return Ok(());
        }

        let period = self.pcm.period;
        let mut left = frames_to_read(
            period,
            self.filled,
            usize::try_from(available).unwrap_or_default(),
        );

        while left > 0 {
            let read = self.read_into_period(left)?;
            if read == 0 {
                break;
            }

            left -= read.min(left);
            delay -= read as Frames;
            self.filled += read;

            if self.filled == period {
                self.filled = 0;
                let first = (delay.max(0) as f64 + period as f64) / self.rate;
                self.sink
                    .run(&self.buffer, Instant::now(), Duration::from_secs_f64(first));
            }
        }

        Ok(())
    }

    /// Restarts the device after an overrun, a suspend, or another error. If that fails, the next
    /// read fails and tries again.
    fn restart(&mut self) {
        self.filled = 0;
        if let Err(error) = self.pcm.pcm.prepare().and_then(|()| self.pcm.pcm.start()) {
            tracing::debug!(%error, "could not restart the microphone yet: trying again");
        }
    }
}

impl<T: SizedSample, S> Reader<T, S> {
    /// Reads up to `frames` of what the current period lacks. Returns how many it read.
    fn read_into_period(&mut self, frames: usize) -> Result<usize, alsa::Error> {
        let start = self.filled * self.channels;
        let end = (start + frames * self.channels).min(self.buffer.len());
        let room = bytes_of(&mut self.buffer[start..end]);

        match self.pcm.pcm.io_bytes().readi(room) {
            Err(error) if error.errno() == libc::EAGAIN => Ok(0),
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use cpal::ErrorKind;

    use super::*;

    fn config(channels: u16, sample_rate: u32, buffer_size: BufferSize) -> StreamConfig {
        StreamConfig {
            channels,
            sample_rate,
            buffer_size,
        }
    }

    #[test]
    fn a_reader_woken_once_per_period_reads_one_period_each_time() {
        let (mut read, mut filled) = (0, 0);
        for interrupt in 1..500 {
            // The reader wakes a little late; more has been captured by then.
            let captured = interrupt * 960 + interrupt * 7 % 50;
            let available = captured - read;
            assert!(
                available >= 960,
                "wake-up {interrupt}: the device holds only {available} frames, less than a period"
            );

            let now = frames_to_read(960, filled, available);
            assert_eq!((filled + now) / 960, 1, "one period is read per wake-up");
            filled = (filled + now) % 960;
            read += now;
        }
    }

    #[test]
    fn fragments_of_any_size_are_read_completely() {
        for fragment in [1, 441, 639, 640, 641, 1024, 4000] {
            let (mut filled, mut periods) = (0, 0);
            for _ in 0..640 {
                let mut available = fragment;
                for pass in 0..2 {
                    let now = frames_to_read(640, filled, available);
                    assert!(
                        now <= available,
                        "fragment of {fragment} frames, pass {pass}"
                    );
                    (periods, filled) = (periods + (filled + now) / 640, (filled + now) % 640);
                    available -= now;
                }

                assert_eq!(available, 0, "frames left of {fragment}");
            }

            assert_eq!((periods, filled), (fragment, 0), "every frame arrived");
        }
    }

    /// Sends each period to a channel.
    struct Periods(SyncSender<Vec<f32>>);

    impl CaptureSink for Periods {
        fn run<T: Copy>(&mut self, data: &[T], _: Instant, _: Duration)
        where
            f32: FromSample<T>,
        {
            // The test may have stopped receiving.
            let _ = self.0.send(
                data.iter()
                    .map(|sample| f32::from_sample_(*sample))
                    .collect(),
            );
        }
    }

    /// ALSA's silent device.
    const SILENT_DEVICE: &str = "null";

    #[test]
    fn a_device_delivers_whole_periods_of_the_requested_size() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        // The silent device has no clock. It runs at the pace of its reader, so a rendezvous
        // channel paces it.
        let (sender, periods) = sync_channel(0);
        let config = config(2, 48_000, BufferSize::Fixed(960));
        let stream = start::<i16>(SILENT_DEVICE, config, Arc::clone(&clock), Periods(sender))
            .expect("the silent device opens");

        for _ in 0..3 {
            let period = periods
                .recv_timeout(Duration::from_secs(10))
                .expect("a period");
            assert!(
                period.len() == 2 * 960 && period.iter().all(|sample| *sample == 0.0),
                "20 ms of silence"
            );
        }

        drop(periods);
        drop(stream);
        assert_eq!((clock.failure(), clock.glitches()), (None, 0));
    }

    #[test]
    fn a_missing_device_is_an_error() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let config = config(1, 48_000, BufferSize::Default);
        let opened = start::<f32>("no such device", config, clock, Periods(sync_channel(0).0));

        assert_eq!(
            opened.expect_err("no such device exists").kind(),
            ErrorKind::DeviceNotAvailable
        );
    }
}
