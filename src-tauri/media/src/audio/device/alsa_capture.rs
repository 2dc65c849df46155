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
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alsa::pcm::{Access, Format, Frames, HwParams, PCM, State};
use alsa::poll::{Descriptors, Flags};
use alsa::{Direction, ValueOr};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};

use super::callback::{CaptureSink, StreamClock};

/// Periods that the device may buffer. A reader that is held up on a busy machine loses nothing;
/// otherwise it reads each period as it comes.
const BUFFER_PERIODS: Frames = 4;
/// Longest wait for audio before checking whether the stream has been dropped.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Delay before trying again when a device claims to be ready but is not, or reports an error.
const RETRY_DELAY: Duration = Duration::from_millis(2);

/// An open microphone. Dropping it closes the device before it returns.
#[derive(Debug)]
pub(super) struct CaptureStream {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CaptureStream {
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
    ) -> Result<Self, cpal::Error>
    where
        T: SizedSample + Send + 'static,
        f32: FromSample<T>,
    {
        let (pcm, period) = open(name, config, format(T::FORMAT)?)?;
        let channels = usize::from(config.channels);
        let reader = Reader {
            buffer: vec![T::EQUILIBRIUM; period * channels],
            channels,
            filled: 0,
            descriptors: pcm.get()?,
            pcm,
            rate: f64::from(config.sample_rate),
            clock,
            sink,
        };

        let stopping = Arc::new(AtomicBool::new(false));
        let body = {
            let stopping = Arc::clone(&stopping);
            move || reader.run(&stopping)
        };

        let thread = std::thread::Builder::new()
            .name("microphone".into())
            .spawn(body);
        let thread = thread.map_err(|error| {
            cpal::Error::with_message(ErrorKind::BackendError, error.to_string())
        })?;

        Ok(Self {
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for CaptureStream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the microphone's thread panicked: nothing more is captured");
        }
    }
}

/// Opens and starts a device. Returns it with its period in frames.
fn open(name: &str, config: StreamConfig, format: Format) -> Result<(PCM, usize), alsa::Error> {
    // Non-blocking: otherwise opening would wait until another program frees the device.
    let pcm = PCM::new(name, Direction::Capture, true)?;
    {
        let params = HwParams::any(&pcm)?;
        params.set_access(Access::RWInterleaved)?;
        params.set_format(format)?;
        params.set_channels(config.channels.into())?;
        params.set_rate(config.sample_rate, ValueOr::Nearest)?;

        if let BufferSize::Fixed(frames) = config.buffer_size {
            let period = params.set_period_size_near(frames.into(), ValueOr::Nearest)?;
            params.set_buffer_size_near(BUFFER_PERIODS * period)?;
        }

        pcm.hw_params(&params)?;
    }

    let period = pcm.hw_params_current()?.get_period_size()?;
    {
        let params = pcm.sw_params_current()?;
        params.set_avail_min(period)?;
        pcm.sw_params(&params)?;
    }

    pcm.prepare()?;
    pcm.start()?;
    tracing::debug!(period, "microphone started");

    Ok((pcm, usize::try_from(period).unwrap_or_default().max(1)))
}

/// ALSA's name for a format, in the byte order of this machine.
fn format(format: SampleFormat) -> Result<Format, cpal::Error> {
    Ok(match format {
        SampleFormat::I8 => Format::S8,
        SampleFormat::U8 => Format::U8,
        SampleFormat::I16 => Format::s16(),
        SampleFormat::U16 => Format::u16(),
        SampleFormat::I24 => Format::s24(),
        SampleFormat::U24 => Format::u24(),
        SampleFormat::I32 => Format::s32(),
        SampleFormat::U32 => Format::u32(),
        SampleFormat::F32 => Format::float(),
        SampleFormat::F64 => Format::float64(),
        _ => return Err(ErrorKind::UnsupportedConfig.into()),
    })
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

/// Reads a device until it is gone or the stream is dropped.
struct Reader<T, S> {
    pcm: PCM,
    /// Room for one period.
    buffer: Vec<T>,
    channels: usize,
    /// Frames of the current period read so far.
    filled: usize,
    descriptors: Vec<libc::pollfd>,
    rate: f64,
    clock: Arc<StreamClock>,
    sink: S,
}

impl<T: SizedSample, S: CaptureSink> Reader<T, S>
where
    f32: FromSample<T>,
{
    fn run(mut self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Acquire) {
            if let Err(error) = self.read() {
                let error = cpal::Error::from(error);
                self.clock.report(error.kind());

                if error.kind() == ErrorKind::DeviceNotAvailable {
                    return;
                }

                std::thread::sleep(RETRY_DELAY);
                self.restart();
            }
        }
    }

    /// Waits for audio and reads what is there.
    fn read(&mut self) -> Result<(), alsa::Error> {
        if !self.wait()? {
            return Ok(());
        }

        let (available, mut delay) = self.pcm.avail_delay()?;
        if available <= 0 {
            std::thread::sleep(RETRY_DELAY);
            return Ok(());
        }

        let period = self.buffer.len() / self.channels;
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

    /// Waits until there is something to read; `false` if there is nothing yet. Unlike
    /// `snd_pcm_wait` it always returns after [`POLL_TIMEOUT`], and it reports a device that is
    /// gone.
    fn wait(&mut self) -> Result<bool, alsa::Error> {
        let error = |number| Err(alsa::Error::new("poll", number));
        match alsa::poll::poll(&mut self.descriptors, POLL_TIMEOUT.as_millis() as i32) {
            Ok(0) => {}
            Ok(_) => {
                let events = self.pcm.revents(&self.descriptors)?;
                if events.intersects(Flags::HUP | Flags::NVAL) {
                    return error(libc::ENODEV);
                }

                // Reading reports which error it is. Before its first audio a sound server's
                // plug-in is not ready for anything.
                if events.intersects(Flags::IN | Flags::ERR) {
                    return Ok(true);
                }

                std::thread::sleep(RETRY_DELAY);
                return Ok(false);
            }
            Err(interrupted) if interrupted.errno() == libc::EINTR => return Ok(false),
            Err(other) => return Err(other),
        }

        // Some drivers do not wake the poll when the state changes, so check the state too.
        const XRUN: i32 = State::XRun as i32;
        const SUSPENDED: i32 = State::Suspended as i32;
        const DISCONNECTED: i32 = State::Disconnected as i32;

        match self.pcm.state_raw() {
            XRUN => error(libc::EPIPE),
            SUSPENDED => error(libc::ESTRPIPE),
            DISCONNECTED => error(libc::ENODEV),
            _ => Ok(false),
        }
    }

    /// Reads up to `frames` of what the current period lacks. Returns how many it read.
    fn read_into_period(&mut self, frames: usize) -> Result<usize, alsa::Error> {
        let start = self.filled * self.channels;
        let end = (start + frames * self.channels).min(self.buffer.len());
        let room = &mut self.buffer[start..end];
        // SAFETY: the bytes are those of `room`. `T` is one of the number types that `format` maps
        // to an ALSA format of the same size, and every bit pattern of these is valid.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), size_of_val(room))
        };

        match self.pcm.io_bytes().readi(bytes) {
            Err(error) if error.errno() == libc::EAGAIN => Ok(0),
            read => read,
        }
    }

    /// Restarts the device after an overrun, a suspend, or another error. If that fails, the next
    /// read fails and tries again.
    fn restart(&mut self) {
        self.filled = 0;
        if let Err(error) = self.pcm.prepare().and_then(|()| self.pcm.start()) {
            tracing::debug!(%error, "could not restart the microphone yet: trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

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
        let stream =
            CaptureStream::start::<i16>(SILENT_DEVICE, config, Arc::clone(&clock), Periods(sender))
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
        let opened = CaptureStream::start::<f32>(
            "no such device",
            config,
            clock,
            Periods(sync_channel(0).0),
        );

        assert_eq!(
            opened.expect_err("no such device exists").kind(),
            ErrorKind::DeviceNotAvailable
        );
    }

    #[test]
    fn every_format_that_may_be_chosen_has_an_alsa_name() {
        for known in [
            SampleFormat::I8,
            SampleFormat::I16,
            SampleFormat::I24,
            SampleFormat::I32,
            SampleFormat::U8,
            SampleFormat::U16,
            SampleFormat::U24,
            SampleFormat::U32,
            SampleFormat::F32,
            SampleFormat::F64,
        ] {
            let name = format(known).expect("the format has a name");
            // ALSA stores 24-bit samples in 32 bits, as cpal does.
            let bytes =
                usize::try_from(name.physical_width().expect("a width")).expect("positive") / 8;
            assert_eq!(
                bytes,
                known.sample_size(),
                "{known} and {name} have the same size"
            );
        }

        assert!(
            format(SampleFormat::DsdU8).is_err(),
            "one-bit audio is not supported"
        );
    }
}
