//! Capture by ALSA, read on a thread of our own.
//!
//! cpal 0.18 reads whole periods only. ALSA's PulseAudio plug-in calls its device readable as long as it holds a piece of
//! the server's, however much of that was read, so where pieces are no whole periods cpal's thread turns without a pause
//! until the next comes: up to a whole core (see `docs/field-notes.md`). Here a remainder is taken, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alsa::pcm::{Access, Format, Frames, HwParams, PCM, State};
use alsa::poll::{Descriptors, Flags};
use alsa::{Direction, ValueOr};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};

use super::callback::{CaptureSink, StreamClock};

/// Periods that a device may hold for us: a thread that is held up on a busy machine loses nothing, and one that is not
/// reads each period when it comes.
const BUFFER_PERIODS: Frames = 4;
/// How long to wait for sound before looking whether anybody still wants it.
const WAKE: Duration = Duration::from_millis(100);
/// The pause where a device says that there is something, and there is nothing, or that something is wrong.
const PAUSE: Duration = Duration::from_millis(2);

/// An open microphone. Dropping it closes the device before it returns.
#[derive(Debug)]
pub(super) struct CaptureStream {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CaptureStream {
    /// Opens the device with this ALSA name and gives `sink` what it captures, a period at a time. What goes wrong later
    /// is told to `clock`.
    ///
    /// # Errors
    /// ALSA's, under the names that cpal has for them.
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
            tracing::error!("the thread of a microphone panicked");
        }
    }
}

/// Opens and starts a device; returns it with its period in frames.
fn open(name: &str, config: StreamConfig, format: Format) -> Result<(PCM, usize), alsa::Error> {
    // Not blocking: a device that another program has must not keep us until it is free.
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
    tracing::debug!(period, "a microphone begins");

    Ok((pcm, usize::try_from(period).unwrap_or_default().max(1)))
}

/// ALSA's name of a format, in the byte order of this machine.
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

/// How many frames to read of those that are `available`, where `filled` of a period were read: whole periods, because a
/// device that wakes its reader once a period must stay in step with it; less only where there is no whole one, because
/// some are readable for as long as anything is left.
fn frames_to_read(period: usize, filled: usize, available: usize) -> usize {
    match (filled + available) / period {
        0 => available,
        periods => periods * period - filled,
    }
}

/// Reads a device until it is gone or nobody wants it any more.
struct Reader<T, S> {
    pcm: PCM,
    /// A period.
    buffer: Vec<T>,
    channels: usize,
    /// Frames of the period that were read.
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

                std::thread::sleep(PAUSE);
                self.restart();
            }
        }
    }

    /// Waits for sound and takes what there is of it.
    fn read(&mut self) -> Result<(), alsa::Error> {
        if !self.wait()? {
            return Ok(());
        }

        let (available, mut delay) = self.pcm.avail_delay()?;
        if available <= 0 {
            std::thread::sleep(PAUSE);
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

    /// Waits until there is something to read; false if there is not yet. Unlike `snd_pcm_wait` it ends for sure, and
    /// tells of a device that has gone.
    fn wait(&mut self) -> Result<bool, alsa::Error> {
        let error = |number| Err(alsa::Error::new("poll", number));
        match alsa::poll::poll(&mut self.descriptors, WAKE.as_millis() as i32) {
            Ok(0) => {}
            Ok(_) => {
                let events = self.pcm.revents(&self.descriptors)?;
                if events.intersects(Flags::HUP | Flags::NVAL) {
                    return error(libc::ENODEV);
                }

                // What an error is, reading tells. Until its first sound a server's plug-in is ready for nothing.
                if events.intersects(Flags::IN | Flags::ERR) {
                    return Ok(true);
                }

                std::thread::sleep(PAUSE);
                return Ok(false);
            }
            Err(interrupted) if interrupted.errno() == libc::EINTR => return Ok(false),
            Err(other) => return Err(other),
        }

        // Not every driver wakes whoever waits when something happens to it.
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

    /// Reads up to `frames` of what the period lacks and returns how many those were.
    fn read_into_period(&mut self, frames: usize) -> Result<usize, alsa::Error> {
        let begin = self.filled * self.channels;
        let end = (begin + frames * self.channels).min(self.buffer.len());
        let room = &mut self.buffer[begin..end];
        // SAFETY: the bytes are those of `room`, and `T` is one of the numbers that `format` names to ALSA, of the same
        // size: every pattern of bits is one.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), size_of_val(room))
        };

        match self.pcm.io_bytes().readi(bytes) {
            Err(error) if error.errno() == libc::EAGAIN => Ok(0),
            read => read,
        }
    }

    /// Goes on after an overrun, a suspended machine, or whatever else it was. Failing, it is tried again.
    fn restart(&mut self) {
        self.filled = 0;
        if let Err(error) = self.pcm.prepare().and_then(|()| self.pcm.start()) {
            tracing::debug!(%error, "a microphone does not go on yet");
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
    fn a_device_that_wakes_its_reader_once_a_period_gives_one_each_time() {
        let (mut read, mut filled) = (0, 0);
        for interrupt in 1..500 {
            // The reader comes a little late, and more was captured meanwhile.
            let captured = interrupt * 960 + interrupt * 7 % 50;
            let available = captured - read;
            assert!(
                available >= 960,
                "woken {interrupt} times: the device holds {available}, not a period"
            );

            let now = frames_to_read(960, filled, available);
            assert_eq!((filled + now) / 960, 1, "one period each time");
            filled = (filled + now) % 960;
            read += now;
        }
    }

    #[test]
    fn nothing_is_left_of_pieces_of_any_size() {
        for piece in [1, 441, 639, 640, 641, 1024, 4000] {
            let (mut filled, mut periods) = (0, 0);
            for _ in 0..640 {
                let mut available = piece;
                for pass in 0..2 {
                    let now = frames_to_read(640, filled, available);
                    assert!(now <= available, "{piece}, {pass}");
                    (periods, filled) = (periods + (filled + now) / 640, (filled + now) % 640);
                    available -= now;
                }

                assert_eq!(available, 0, "of {piece} frames");
            }

            assert_eq!((periods, filled), (piece, 0), "all of it came");
        }
    }

    /// Hands on what it gets.
    struct Periods(SyncSender<Vec<f32>>);

    impl CaptureSink for Periods {
        fn run<T: Copy>(&mut self, data: &[T], _: Instant, _: Duration)
        where
            f32: FromSample<T>,
        {
            // The test may have enough.
            let _ = self.0.send(
                data.iter()
                    .map(|sample| f32::from_sample_(*sample))
                    .collect(),
            );
        }
    }

    /// ALSA's own silent device.
    const SILENCE: &str = "null";

    #[test]
    fn a_device_gives_whole_periods_of_what_was_asked_for() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        // The device waits for whoever takes its sound: it has no clock of its own.
        let (sender, periods) = sync_channel(0);
        let config = config(2, 48_000, BufferSize::Fixed(960));
        let stream =
            CaptureStream::start::<i16>(SILENCE, config, Arc::clone(&clock), Periods(sender))
                .expect("it opens");

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
    fn a_device_that_is_not_there_is_an_error() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let config = config(1, 48_000, BufferSize::Default);
        let opened = CaptureStream::start::<f32>(
            "no such device",
            config,
            clock,
            Periods(sync_channel(0).0),
        );

        assert_eq!(
            opened.expect_err("there is none").kind(),
            ErrorKind::DeviceNotAvailable
        );
    }

    #[test]
    fn every_format_that_is_chosen_has_a_name() {
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
            let name = format(known).expect("it has a name");
            // ALSA stores these 24 bits in 32, as cpal does.
            let bytes =
                usize::try_from(name.physical_width().expect("a width")).expect("positive") / 8;
            assert_eq!(
                bytes,
                known.sample_size(),
                "{known} and {name} are as large"
            );
        }

        assert!(
            format(SampleFormat::DsdU8).is_err(),
            "one bit is no sound that we know"
        );
    }
}
