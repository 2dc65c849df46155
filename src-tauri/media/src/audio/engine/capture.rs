//! The source of each block to send.

use std::time::{Duration, Instant};

use crate::audio::BLOCK_SAMPLES;
use crate::audio::config::AudioSource;
use crate::audio::device::{Closing, Microphone};
use crate::audio::schedule::{BLOCK_DURATION, Tick, WallClock};
use crate::audio::test_signal::TestSignal;
use crate::audio::wav::WavSource;
use crate::error::DeviceError;

/// A running source.
pub(super) enum Capture {
    /// Nothing is sent.
    None,
    Test,
    File(WavSource),
    Microphone(Box<Microphone>),
}

impl Capture {
    /// Opens the source. A microphone opens in the background, once the one `before` has closed.
    pub(super) fn open(
        source: &AudioSource,
        before: &mut Option<Closing>,
    ) -> Result<Self, DeviceError> {
        Ok(match source {
            AudioSource::None => Self::None,
            AudioSource::Test => Self::Test,
            AudioSource::File(path) => Self::File(WavSource::open(path)?),
            AudioSource::Microphone(name) => {
                Self::Microphone(Box::new(Microphone::open(name.clone(), before.take())))
            }
        })
    }

    /// Starts to release the source's device, if it has one.
    pub(super) fn close(self) -> Option<Closing> {
        match self {
            Self::Microphone(microphone) => Some(microphone.close()),
            Self::None | Self::Test | Self::File(_) => None,
        }
    }

    /// Writes the next block (full scale is ±1) and returns when its first sample was in the air;
    /// `None` if there is nothing to send, or nothing yet.
    pub(super) fn pull(
        &mut self,
        tick: Tick,
        now: Instant,
        wall: &WallClock,
        out: &mut [f32; BLOCK_SAMPLES],
    ) -> Result<Option<Instant>, DeviceError> {
        // A block taken at a tick was in the air during the 10 ms before it.
        let since = tick.due.checked_sub(BLOCK_DURATION).unwrap_or(tick.due);
        let mut block = [0; BLOCK_SAMPLES];

        match self {
            Self::None => return Ok(None),
            Self::Test => TestSignal.fill(&mut block, wall.unix_us_at(since)),
            Self::File(file) => file.pull(&mut block)?,
            Self::Microphone(microphone) => return microphone.pull(now, out),
        }

        for (sample, value) in out.iter_mut().zip(block) {
            *sample = f32::from(value) / 32_768.0;
        }

        Ok(Some(since))
    }

    /// Whether a microphone whose failure was reported works again; `true` once.
    pub(super) fn take_is_back(&mut self) -> bool {
        match self {
            Self::Microphone(microphone) => microphone.take_is_back(),
            Self::None | Self::Test | Self::File(_) => false,
        }
    }

    /// Tries a microphone that does not work again at once.
    pub(super) fn retry(&mut self) {
        if let Self::Microphone(microphone) = self {
            microphone.retry();
        }
    }

    /// Whether the source is a microphone, which picks up echo and noise.
    pub(super) fn is_microphone(&self) -> bool {
        matches!(self, Self::Microphone(_))
    }

    /// Delay from the air to the engine, once known.
    pub(super) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Microphone(microphone) => microphone.delay(),
            Self::None | Self::Test | Self::File(_) => None,
        }
    }
}
