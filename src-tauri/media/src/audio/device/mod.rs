//! Microphones and speakers through cpal. On Linux they are listed by the [`sound_server`] if there
//! is one, and streams are our own ([`alsa_capture`], [`alsa_playback`]).
//!
//! Each open device has its own thread, because opening and closing may hang in a driver. Device
//! callbacks only move samples through lock-free rings (see [`callback`]). The bridges between
//! those rings and the engine absorb the drift between the device's clock and ours (see
//! [`bridge`]).

#[cfg(target_os = "linux")]
mod alsa;
#[cfg(target_os = "linux")]
mod alsa_capture;
#[cfg(target_os = "linux")]
mod alsa_pcm;
#[cfg(target_os = "linux")]
mod alsa_playback;
#[cfg(target_os = "linux")]
mod alsa_stream;
pub mod bridge;
pub mod callback;
mod choose;
mod find;
mod list;
pub mod meter;
mod open;
mod owner;
#[cfg(target_os = "linux")]
mod sound_server;
mod watch;

use std::time::{Duration, Instant};

pub use list::{AudioDeviceInfo, list_microphones, list_speakers};
pub use watch::{AudioDeviceWatch, DevicesChanged};

use super::BLOCK_SAMPLES;
use super::level::AudioLevel;
use super::stats::DeviceCounts;
use crate::error::DeviceError;
use bridge::{CaptureBridge, PlaybackBridge};
use meter::MeterBridge;
pub(crate) use owner::Closing;
use owner::{DeviceOwner, DeviceState};

/// Longest time a device may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether audio goes from a microphone to the engine, or from the engine to a speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Capture,
    Playback,
}

/// ALSA's default device.
#[cfg(target_os = "linux")]
const DEFAULT_PCM: &str = "default";

/// cpal's default audio system. On Linux, ALSA's messages go to the log from then on.
fn host() -> cpal::Host {
    #[cfg(target_os = "linux")]
    alsa::redirect_reports();
    cpal::default_host()
}

/// Whether a device belongs in a list for users: see [`alsa`] on Linux.
fn is_user_facing(id: &str) -> bool {
    #[cfg(target_os = "linux")]
    return alsa::is_user_facing(id);
    #[cfg(not(target_os = "linux"))]
    return !id.is_empty();
}

/// A microphone that is opening or open.
#[derive(Debug)]
pub(crate) struct Microphone {
    owner: DeviceOwner<CaptureBridge>,
}

impl Microphone {
    /// Starts opening the microphone with this id or name, or the default one, once `before` has
    /// closed.
    pub(crate) fn open(name: Option<String>, before: Option<Closing>) -> Self {
        Self {
            owner: DeviceOwner::open_microphone(name, before),
        }
    }

    /// Starts closing the device and returns without waiting.
    pub(crate) fn close(self) -> Closing {
        self.owner.close()
    }

    /// Writes the next block and returns when its first sample was in the air; `None` while the
    /// device is opening.
    pub(crate) fn pull(
        &mut self,
        now: Instant,
        out: &mut [f32; BLOCK_SAMPLES],
    ) -> Result<Option<Instant>, DeviceError> {
        match self.owner.poll(now)? {
            DeviceState::Opening => Ok(None),
            DeviceState::Open(bridge) => Ok(Some(bridge.pull(now, out))),
        }
    }

    /// Delay from the air to the engine, once the device is open.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.owner.bridge().map(CaptureBridge::delay)
    }

    pub(crate) fn counts(&self) -> DeviceCounts {
        self.owner.counts()
    }

    /// Whether a device whose failure was reported works again; `true` once.
    pub(crate) fn take_is_back(&mut self) -> bool {
        self.owner.take_is_back()
    }

    /// Tries a device that does not work again at once.
    pub(crate) fn retry(&mut self) {
        self.owner.retry();
    }
}

/// A microphone that is opening or open, used only for its level.
#[derive(Debug)]
pub(crate) struct Meter {
    owner: DeviceOwner<MeterBridge>,
}

impl Meter {
    /// Starts opening the microphone with this id or name, or the default one.
    pub(crate) fn open(name: Option<String>) -> Self {
        Self {
            owner: DeviceOwner::open_meter(name),
        }
    }

    /// The current level; zero while the device is opening.
    pub(crate) fn level(&mut self, now: Instant) -> Result<AudioLevel, DeviceError> {
        Ok(match self.owner.poll(now)? {
            DeviceState::Opening => AudioLevel::default(),
            DeviceState::Open(bridge) => bridge.level(now),
        })
    }
}

/// A speaker that is opening or open.
#[derive(Debug)]
pub(crate) struct Speaker {
    owner: DeviceOwner<PlaybackBridge>,
}

impl Speaker {
    /// Starts opening the speaker with this id or name, or the default one, once `before` has
    /// closed.
    pub(crate) fn open(name: Option<String>, before: Option<Closing>) -> Self {
        Self {
            owner: DeviceOwner::open_speaker(name, before),
        }
    }

    /// Starts closing the device and returns without waiting.
    pub(crate) fn close(self) -> Closing {
        self.owner.close()
    }

    /// Plays a block and returns when its first sample will be heard. While the device is opening,
    /// nothing is heard and the result is `now`.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        block: &[i16; BLOCK_SAMPLES],
    ) -> Result<Instant, DeviceError> {
        match self.owner.poll(now)? {
            DeviceState::Opening => Ok(now),
            DeviceState::Open(bridge) => {
                Ok(bridge.push(now, &block.map(|sample| f32::from(sample) / 32_768.0)))
            }
        }
    }

    /// Delay from the engine to the air, once the device is open.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.owner.bridge().map(PlaybackBridge::delay)
    }

    /// Fades to silence, for good. Returns how soon nothing more is heard.
    pub(crate) fn silence(&self) -> Duration {
        self.owner
            .bridge()
            .map_or(Duration::ZERO, PlaybackBridge::silence)
    }

    pub(crate) fn counts(&self) -> DeviceCounts {
        self.owner.counts()
    }

    /// Whether a device whose failure was reported works again; `true` once.
    pub(crate) fn take_is_back(&mut self) -> bool {
        self.owner.take_is_back()
    }

    /// Tries a device that does not work again at once.
    pub(crate) fn retry(&mut self) {
        self.owner.retry();
    }
}
