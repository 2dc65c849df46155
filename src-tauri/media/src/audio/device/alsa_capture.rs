//! Capture by ALSA, read on a thread of our own.
//!
//! cpal 0.18 reads whole periods only. A plug-in of ALSA calls its device readable as soon as there is anything, so
//! where a sound server hands out other pieces than periods, cpal's thread turns without a pause until a period is
//! whole: up to a whole core (see `docs/field-notes.md`). Here whatever there is is taken at once, and waiting waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alsa::pcm::{Access, Format, Frames, HwParams, PCM};
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
    /// What cpal says of the same error when it opens a device.
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
            pcm,
            buffer: vec![T::EQUILIBRIUM; period * channels],
            channels,
            filled: 0,
            rate: f64::from(config.sample_rate),
            clock,
            sink,
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let body = {
            let stopping = Arc::clone(&stopping);
            move || reader.run(&stopping)
        };
        let thread = std::thread::Builder::new().name("microphone".into()).spawn(body);
        let thread = thread.map_err(|error| cpal::Error::with_message(ErrorKind::BackendError, error.to_string()))?;
        Ok(Self { stopping, thread: Some(thread) })
    }
}

impl Drop for CaptureStream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
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
    tracing::debug!(name, period, "a microphone begins");
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

/// Reads a device until it is gone or nobody wants it any more.
struct Reader<T, S> {
    pcm: PCM,
    /// A period.
    buffer: Vec<T>,
    channels: usize,
    /// Frames of the period that were read.
    filled: usize,
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

    /// Waits for sound and takes what there is.
    fn read(&mut self) -> Result<(), alsa::Error> {
        if !self.pcm.wait(Some(WAKE.as_millis() as u32))? {
            return Ok(());
        }
        let (available, mut delay) = self.pcm.avail_delay()?;
        if available <= 0 {
            std::thread::sleep(PAUSE);
            return Ok(());
        }
        let mut left = usize::try_from(available).unwrap_or_default();
        while left > 0 {
            let read = self.read_into_period(left)?;
            if read == 0 {
                break;
            }
            left -= read.min(left);
            delay -= read as Frames;
            self.filled += read;
            let period = self.buffer.len() / self.channels;
            if self.filled == period {
                self.filled = 0;
                let first = (delay.max(0) as f64 + period as f64) / self.rate;
                self.sink.run(&self.buffer, Instant::now(), Duration::from_secs_f64(first));
            }
        }
        Ok(())
    }

    /// Reads up to `frames` of what the period lacks and returns how many those were.
    fn read_into_period(&mut self, frames: usize) -> Result<usize, alsa::Error> {
        let begin = self.filled * self.channels;
        let end = (begin + frames * self.channels).min(self.buffer.len());
        let room = &mut self.buffer[begin..end];
        // SAFETY: the bytes are those of `room`, and every pattern of bits is a sample: a number of a size that ALSA
        // was told.
        let bytes = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), size_of_val(room)) };
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
    use super::*;
    use std::sync::mpsc::{SyncSender, sync_channel};

    fn config(channels: u16, sample_rate: u32, buffer_size: BufferSize) -> StreamConfig {
        StreamConfig { channels, sample_rate, buffer_size }
    }

    /// Hands on what it gets.
    struct Periods(SyncSender<Vec<f32>>);

    impl CaptureSink for Periods {
        fn run<T: Copy>(&mut self, data: &[T], _: Instant, _: Duration)
        where
            f32: FromSample<T>,
        {
            // The test may have enough.
            let _ = self.0.send(data.iter().map(|sample| f32::from_sample_(*sample)).collect());
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
            CaptureStream::start::<i16>(SILENCE, config, Arc::clone(&clock), Periods(sender)).expect("it opens");
        for _ in 0..3 {
            let period = periods.recv_timeout(Duration::from_secs(10)).expect("a period");
            assert!(period.len() == 2 * 960 && period.iter().all(|sample| *sample == 0.0), "20 ms of silence");
        }
        drop(periods);
        drop(stream);
        assert_eq!((clock.failure(), clock.glitches()), (None, 0));
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let clock = Arc::new(StreamClock::new(Instant::now()));
        let config = config(1, 48_000, BufferSize::Default);
        let opened = CaptureStream::start::<f32>("no such device", config, clock, Periods(sync_channel(0).0));
        assert_eq!(opened.expect_err("there is none").kind(), ErrorKind::DeviceNotAvailable);
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
            let bytes = usize::try_from(name.physical_width().expect("a width")).expect("positive") / 8;
            assert_eq!(bytes, known.sample_size(), "{known} and {name} are as large");
        }
        assert!(format(SampleFormat::DsdU8).is_err(), "one bit is no sound that we know");
    }
}
