//! What reading a microphone and writing to a speaker with ALSA have in common.

use std::time::Duration;

use alsa::pcm::{Access, Format, Frames, HwParams, PCM, State};
use alsa::poll::{Descriptors, Flags};
use alsa::{Direction, ValueOr};
use cpal::{ErrorKind, SampleFormat, SizedSample, StreamConfig};

/// Longest wait for a device before checking whether the stream has been dropped.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Delay before trying again when a device claims to be ready but is not, or reports an error.
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(2);

/// An open device whose parameters are set.
pub(super) struct Pcm {
    pub(super) pcm: PCM,
    descriptors: Vec<libc::pollfd>,
    /// In frames.
    pub(super) period: usize,
}

impl Pcm {
    /// Opens the device with this ALSA name. `set_buffers` sets its period and buffer. A speaker
    /// starts by itself once it holds [`START_PERIODS`].
    pub(super) fn open(
        name: &str,
        direction: Direction,
        config: StreamConfig,
        format: SampleFormat,
        set_buffers: impl Fn(&HwParams<'_>) -> Result<(), alsa::Error>,
    ) -> Result<Self, cpal::Error> {
        let format = alsa_format(format)?;
        // Non-blocking: otherwise opening would wait until another program frees the device.
        let pcm = PCM::new(name, direction, true)?;
        {
            let params = HwParams::any(&pcm)?;
            params.set_access(Access::RWInterleaved)?;
            params.set_format(format)?;
            params.set_channels(config.channels.into())?;
            params.set_rate(config.sample_rate, ValueOr::Nearest)?;
            set_buffers(&params)?;
            pcm.hw_params(&params)?;
        }

        let period = pcm.hw_params_current()?.get_period_size()?;
        {
            let params = pcm.sw_params_current()?;
            params.set_avail_min(period)?;
            if direction == Direction::Playback {
                params.set_start_threshold(START_PERIODS * period)?;
            }

            pcm.sw_params(&params)?;
        }

        pcm.prepare()?;
        Ok(Self {
            descriptors: pcm.get()?,
            pcm,
            period: usize::try_from(period).unwrap_or_default().max(1),
        })
    }

    /// Waits until the device is `ready` to be read or written; `false` if it is not yet. Unlike
    /// `snd_pcm_wait` it always returns after [`POLL_TIMEOUT`], and it reports a device that is
    /// gone.
    pub(super) fn wait(&mut self, ready: Flags) -> Result<bool, alsa::Error> {
        let error = |number| Err(alsa::Error::new("poll", number));
        match alsa::poll::poll(&mut self.descriptors, POLL_TIMEOUT.as_millis() as i32) {
            Ok(0) => {}
            Ok(_) => {
                let events = self.pcm.revents(&self.descriptors)?;
                if events.intersects(Flags::HUP | Flags::NVAL) {
                    return error(libc::ENODEV);
                }

                // Reading or writing reports which error it is. Before its first audio a sound
                // server's plug-in is not ready for anything.
                if events.intersects(ready | Flags::ERR) {
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
}

/// Periods that a speaker holds before it starts.
const START_PERIODS: Frames = 2;

/// ALSA's name for a format, in the byte order of this machine.
fn alsa_format(format: SampleFormat) -> Result<Format, cpal::Error> {
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

/// The bytes of samples, for ALSA to read or write.
pub(super) fn bytes_of<T: SizedSample>(samples: &mut [T]) -> &mut [u8] {
    // SAFETY: the bytes are those of `samples`. `T` is one of the number types that `alsa_format`
    // maps to an ALSA format of the same size, and every bit pattern of these is valid.
    unsafe {
        std::slice::from_raw_parts_mut(samples.as_mut_ptr().cast::<u8>(), size_of_val(samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let name = alsa_format(known).expect("the format has a name");
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
            alsa_format(SampleFormat::DsdU8).is_err(),
            "one-bit audio is not supported"
        );
    }
}
