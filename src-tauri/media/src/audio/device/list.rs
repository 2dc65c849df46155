//! Which microphones and speakers there are.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use serde::Serialize;

use super::Direction;
use super::choose::error_codes;
use crate::audio::resample::RATES;
use crate::error::DeviceError;

/// How long the system may take to tell its devices.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rates worth naming when a device takes a whole range, in Hz.
const COMMON_RATES: [u32; 8] = [
    8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000,
];

/// A microphone or speaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioDeviceInfo {
    /// What a person calls it.
    pub name: String,
    /// What the system calls it; stays the same as long as the device does.
    pub id: String,
    /// Whether it is the one that is used when none is named.
    pub default: bool,
    /// Common sampling rates that it takes, in Hz, ascending.
    pub rates: Vec<u32>,
    /// Channel counts that it takes, ascending.
    pub channels: Vec<u16>,
}

/// The microphones of this machine that can be opened, the default one first.
///
/// # Errors
/// `MIC_NOT_FOUND` when the system has no sound at all, `MIC_TIMEOUT` when it does not answer.
pub fn list_microphones() -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    list(Direction::Capture)
}

/// The speakers of this machine that can be opened, the default one first.
///
/// # Errors
/// `SPEAKER_NOT_FOUND` when the system has no sound at all, `SPEAKER_TIMEOUT` when it does not answer.
pub fn list_speakers() -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    list(Direction::Playback)
}

/// Asks on another thread, because drivers and sound servers may hang.
fn list(direction: Direction) -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    let codes = error_codes(direction);
    let (sender, receiver) = channel();
    let ask = move || {
        // Nobody listens any more if the answer comes too late.
        let _ = sender.send(ask(direction));
    };

    std::thread::Builder::new()
        .name("sound devices".into())
        .spawn(ask)
        .map_err(|_| codes.timeout())?;

    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(devices)) => Ok(devices),
        Ok(Err(error)) => Err(codes.opening(&error)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(codes.timeout()),
    }
}

fn ask(direction: Direction) -> Result<Vec<AudioDeviceInfo>, cpal::Error> {
    let host = super::host();
    let default = match direction {
        Direction::Capture => host.default_input_device(),
        Direction::Playback => host.default_output_device(),
    };

    let default_id = default.as_ref().and_then(|device| device.id().ok());
    let mut devices: Vec<_> = host.devices()?.collect();

    // ALSA's default is an alias that some configurations do not list.
    if let Some(default) = default
        && !devices.iter().any(|device| device.id().ok() == default_id)
    {
        devices.push(default);
    }

    let mut known = Vec::new();
    for device in devices {
        let Ok(id) = device.id() else { continue };

        // Asking a device for its abilities opens it, so the others are left out before.
        if !super::is_for_people(id.id()) {
            continue;
        }

        let Some((rates, channels)) = abilities(&device, direction) else {
            continue;
        };

        let name = device
            .description()
            .map_or_else(|_| id.id().to_owned(), |about| about.name().to_owned());
        known.push(AudioDeviceInfo {
            name,
            id: id.id().to_owned(),
            default: Some(&id) == default_id.as_ref(),
            rates,
            channels,
        });
    }

    known.sort_by_key(|device| !device.default);
    Ok(known)
}

/// Rates and channel counts of a device; `None` if it cannot be opened this way.
fn abilities(device: &cpal::Device, direction: Direction) -> Option<(Vec<u32>, Vec<u16>)> {
    let ranges = super::choose::ranges(device, direction).ok()?;
    let mut rates = Vec::new();
    let mut channels = Vec::new();

    for range in &ranges {
        let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
        rates.extend(
            COMMON_RATES
                .into_iter()
                .chain([low, high])
                .filter(|rate| (low..=high).contains(rate)),
        );
        channels.push(range.channels());
    }

    rates.retain(|rate| RATES.contains(rate));
    rates.sort_unstable();
    rates.dedup();

    // The ends of a range that covers everything say nothing.
    if rates.iter().any(|rate| COMMON_RATES.contains(rate)) {
        rates.retain(|rate| COMMON_RATES.contains(rate));
    }

    channels.retain(|count| (1..=8).contains(count));
    channels.sort_unstable();
    channels.dedup();

    (!rates.is_empty() && !channels.is_empty()).then_some((rates, channels))
}
