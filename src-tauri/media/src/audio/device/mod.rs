//! Microphones and speakers by cpal; on Linux microphones are read by [`alsa_capture`].
//!
//! Each open device has its own thread, because opening and closing may hang in a driver. Device callbacks only move
//! samples through lock-free rings (see [`callback`]); the bridges between those rings and the engine absorb the drift
//! between the device's clock and ours (see [`bridge`]).

#[cfg(target_os = "linux")]
mod alsa;
#[cfg(target_os = "linux")]
mod alsa_capture;
pub mod bridge;
pub mod callback;
mod choose;
mod list;
pub mod meter;
mod open;
mod owner;

use std::time::{Duration, Instant};

pub use list::{AudioDeviceInfo, list_microphones, list_speakers};

use super::BLOCK;
use super::level::AudioLevel;
use super::stats::DeviceCounts;
use crate::error::DeviceError;
use bridge::{CaptureBridge, PlaybackBridge};
use meter::MeterBridge;
pub(crate) use owner::Closing;
use owner::{Owner, State};

/// Which way sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Capture,
    Playback,
}

/// The system's sound.
fn host() -> cpal::Host {
    #[cfg(target_os = "linux")]
    alsa::take_reports();
    cpal::default_host()
}

/// Whether a device belongs into a list for people: see [`alsa`] on Linux.
fn is_for_people(id: &str) -> bool {
    #[cfg(target_os = "linux")]
    return alsa::is_for_people(id);
    #[cfg(not(target_os = "linux"))]
    return !id.is_empty();
}

/// A microphone that is opening, or open.
#[derive(Debug)]
pub(crate) struct Microphone {
    owner: Owner<CaptureBridge>,
}

impl Microphone {
    /// Begins to open the microphone with this id or name, or the default one, once the one `before` has closed.
    pub(crate) fn open(name: Option<String>, before: Option<Closing>) -> Self {
        Self {
            owner: Owner::open_microphone(name, before),
        }
    }

    /// Begins to close the device, without waiting for it.
    pub(crate) fn close(self) -> Closing {
        self.owner.close()
    }

    /// Writes the next block and returns when its first sample was in the air; `None` while the device is opening.
    pub(crate) fn pull(
        &mut self,
        now: Instant,
        out: &mut [f32; BLOCK],
    ) -> Result<Option<Instant>, DeviceError> {
        match self.owner.poll(now)? {
            State::Opening => Ok(None),
            State::Open(bridge) => Ok(Some(bridge.pull(now, out))),
        }
    }

    /// From the air to the engine.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.owner.bridge().map(CaptureBridge::delay)
    }

    pub(crate) fn counts(&self) -> DeviceCounts {
        self.owner.counts()
    }
}

/// A microphone that is opening, or open, only for its level.
#[derive(Debug)]
pub(crate) struct Meter {
    owner: Owner<MeterBridge>,
}

impl Meter {
    /// Begins to open the microphone with this id or name, or the default one.
    pub(crate) fn open(name: Option<String>) -> Self {
        Self {
            owner: Owner::open_meter(name),
        }
    }

    /// How loud it is; zero while the device is opening.
    pub(crate) fn level(&mut self, now: Instant) -> Result<AudioLevel, DeviceError> {
        Ok(match self.owner.poll(now)? {
            State::Opening => AudioLevel::default(),
            State::Open(bridge) => bridge.level(now),
        })
    }
}

/// A speaker that is opening, or open.
#[derive(Debug)]
pub(crate) struct Speaker {
    owner: Owner<PlaybackBridge>,
}

impl Speaker {
    /// Begins to open the speaker with this id or name, or the default one, once the one `before` has closed.
    pub(crate) fn open(name: Option<String>, before: Option<Closing>) -> Self {
        Self {
            owner: Owner::open_speaker(name, before),
        }
    }

    /// Begins to close the device, without waiting for it.
    pub(crate) fn close(self) -> Closing {
        self.owner.close()
    }

    /// Plays a block and returns when its first sample will be heard. While the device is opening nothing is heard, and
    /// the time is `now`.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        block: &[i16; BLOCK],
    ) -> Result<Instant, DeviceError> {
        match self.owner.poll(now)? {
            State::Opening => Ok(now),
            State::Open(bridge) => {
                Ok(bridge.push(now, &block.map(|sample| f32::from(sample) / 32_768.0)))
            }
        }
    }

    /// From the engine to the air.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.owner.bridge().map(PlaybackBridge::delay)
    }

    pub(crate) fn counts(&self) -> DeviceCounts {
        self.owner.counts()
    }
}
