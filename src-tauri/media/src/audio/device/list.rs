//! Lists the microphones and speakers.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use serde::Serialize;

use super::choose::error_codes;
#[cfg(target_os = "linux")]
use super::sound_server::SoundServer;
use super::{Direction, find};
use crate::audio::resample::RATES;
use crate::error::DeviceError;

/// Longest time the system may take to list its devices.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Rates to list for a device that accepts a whole range, in Hz.
const COMMON_RATES: [u32; 8] = [
    8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000,
];

/// A microphone or speaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioDeviceInfo {
    /// The name to show to the user.
    pub name: String,
    /// The system's id; stable as long as the device exists. On Linux the sound server's name for
    /// it, or ALSA's where there is no sound server.
    pub id: String,
    /// Whether this device is used when none is named.
    pub default: bool,
    /// Common sampling rates that it accepts, in Hz, ascending. A device of a sound server has one
    /// rate, and the server converts others.
    pub rates: Vec<u32>,
    /// Channel counts that it accepts, ascending.
    pub channels: Vec<u16>,
}

/// The microphones that can be opened, the default one first.
///
/// # Errors
/// `MIC_NOT_FOUND` if the system has no audio at all, `MIC_TIMEOUT` if it does not answer.
pub fn list_microphones() -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    list(Direction::Capture)
}

/// The speakers that can be opened, the default one first.
///
/// # Errors
/// `SPEAKER_NOT_FOUND` if the system has no audio at all, `SPEAKER_TIMEOUT` if it does not answer.
pub fn list_speakers() -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    list(Direction::Playback)
}

/// Queries on another thread, because drivers and sound servers may hang.
fn list(direction: Direction) -> Result<Vec<AudioDeviceInfo>, DeviceError> {
    let codes = error_codes(direction);
    let (sender, receiver) = channel();
    let query_and_send = move || {
        // After the timeout the receiver is gone.
        let _ = sender.send(query(direction));
    };

    std::thread::Builder::new()
        .name("audio devices".into())
        .spawn(query_and_send)
        .map_err(|error| codes.timeout().caused_by(&error))?;

    match receiver.recv_timeout(LIST_TIMEOUT) {
        Ok(Ok(devices)) => Ok(devices),
        Ok(Err(error)) => Err(codes.opening(&error)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(codes.timeout()),
    }
}

fn query(direction: Direction) -> Result<Vec<AudioDeviceInfo>, cpal::Error> {
    #[cfg(target_os = "linux")]
    if let Some(server) = SoundServer::query(direction) {
        return Ok(of_server(server));
    }

    let host = super::host();
    let default = match direction {
        Direction::Capture => host.default_input_device(),
        Direction::Playback => host.default_output_device(),
    };

    let default_id = default.as_ref().and_then(|device| device.id().ok());
    let mut devices: Vec<_> = host.devices()?.collect();

    // ALSA's default is an alias, which some configurations do not list.
    if let Some(default) = default
        && !devices.iter().any(|device| device.id().ok() == default_id)
    {
        devices.push(default);
    }

    let mut listed = Vec::new();
    for device in devices {
        let Ok(id) = device.id() else { continue };

        // Querying the capabilities of a device opens it, so filter the others out first.
        if !super::is_user_facing(id.id()) {
            continue;
        }

        let Some((rates, channels)) = capabilities(&device, direction) else {
            continue;
        };

        let name = device
            .description()
            .map_or_else(|_| id.id().to_owned(), |about| about.name().to_owned());
        listed.push(AudioDeviceInfo {
            name,
            id: id.id().to_owned(),
            default: Some(&id) == default_id.as_ref(),
            rates,
            channels,
        });
    }

    listed.sort_by_key(|device| !device.default);
    Ok(listed)
}

/// The sound server's devices. The server converts all other formats to the one given here.
#[cfg(target_os = "linux")]
fn of_server(server: SoundServer) -> Vec<AudioDeviceInfo> {
    let devices = server.devices.into_iter().map(|device| AudioDeviceInfo {
        name: device.description,
        id: device.name,
        default: device.default,
        rates: vec![device.rate],
        channels: vec![device.channels],
    });

    let mut listed: Vec<_> = devices.collect();
    listed.sort_by_key(|device| !device.default);
    listed
}

/// Rates and channel counts of a device; `None` if it cannot be opened in this direction.
fn capabilities(device: &cpal::Device, direction: Direction) -> Option<(Vec<u32>, Vec<u16>)> {
    let ranges = find::ranges(device, direction).ok()?;
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

    // The ends of a range that covers everything mean nothing to the user.
    if rates.iter().any(|rate| COMMON_RATES.contains(rate)) {
        rates.retain(|rate| COMMON_RATES.contains(rate));
    }

    channels.retain(|count| (1..=8).contains(count));
    channels.sort_unstable();
    channels.dedup();

    (!rates.is_empty() && !channels.is_empty()).then_some((rates, channels))
}
