//! Finds the device that a user means.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{ErrorKind, SupportedStreamConfigRange};

use super::Direction;
use super::choose::error_codes;
#[cfg(target_os = "linux")]
use super::sound_server::SoundServer;
use crate::error::DeviceError;

/// A device to open.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// On Linux, cpal knows only devices that ALSA lists. One of the sound server is opened by
    /// `pcm`; then this is any device, because it keeps ALSA's configuration loaded.
    device: cpal::Device,
    /// ALSA's name for a device of the sound server.
    #[cfg(target_os = "linux")]
    pcm: Option<String>,
}

impl Target {
    fn new(device: cpal::Device) -> Self {
        Self {
            device,
            #[cfg(target_os = "linux")]
            pcm: None,
        }
    }

    /// cpal's device.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn device(&self) -> &cpal::Device {
        &self.device
    }

    /// ALSA's name for the device.
    #[cfg(target_os = "linux")]
    pub(super) fn pcm(&self) -> Result<String, cpal::Error> {
        self.pcm
            .clone()
            .map_or_else(|| Ok(self.device.id()?.id().to_owned()), Ok)
    }

    /// The formats to choose from.
    pub(super) fn ranges(
        &self,
        direction: Direction,
    ) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
        #[cfg(target_os = "linux")]
        if self.pcm.is_some() {
            return Ok(vec![super::sound_server::format()]);
        }

        ranges(&self.device, direction)
    }
}

/// The device with this id or name, or the default one. An exact id comes first, then an exact
/// name, then a name that contains the text.
///
/// On Linux, the sound server's devices come before ALSA's of the same rank, and a card that an
/// earlier version offered stands for the server's device of that card.
pub(super) fn find(name: Option<&str>, direction: Direction) -> Result<Target, DeviceError> {
    let codes = error_codes(direction);
    let host = super::host();
    let default = || {
        let default = match direction {
            Direction::Capture => host.default_input_device(),
            Direction::Playback => host.default_output_device(),
        };

        default.ok_or_else(|| codes.opening(&ErrorKind::DeviceNotAvailable.into()))
    };

    #[cfg(target_os = "linux")]
    let of_server = |pcm: String| {
        Ok::<_, DeviceError>(Target {
            device: default()?,
            pcm: Some(pcm),
        })
    };
    #[cfg(target_os = "linux")]
    let server = SoundServer::query(direction);

    let Some(name) = name else {
        #[cfg(target_os = "linux")]
        if let Some(server) = server {
            return of_server(server.default_pcm(direction).to_owned());
        }

        return Ok(Target::new(default()?));
    };

    #[cfg(target_os = "linux")]
    if let Some(pcm) = server
        .as_ref()
        .and_then(|server| server.find_exact(name, direction))
    {
        return of_server(pcm);
    }

    let mut matches = Vec::new();
    for device in host.devices().map_err(|error| codes.opening(&error))? {
        let id = device.id().map(|id| id.id().to_owned()).unwrap_or_default();
        let device_name = device
            .description()
            .map(|about| about.name().to_owned())
            .unwrap_or_default();

        if let Some(rank) = rank(name, &id, &device_name) {
            matches.push((rank, device));
        }
    }

    matches.sort_by_key(|(rank, _)| *rank);

    #[cfg(target_os = "linux")]
    if matches.first().is_none_or(|(rank, _)| *rank >= SIMILAR)
        && let Some(pcm) = server.and_then(|server| server.find_similar(name))
    {
        return of_server(pcm);
    }

    // Querying a device for its directions opens it, which is slow: query only those whose names
    // match.
    let fitting = matches
        .into_iter()
        .find(|(_, device)| is_candidate(&ranges(device, direction)));
    fitting
        .map(|(_, device)| Target::new(device))
        .ok_or_else(|| codes.unknown(name))
}

/// The rank of a device whose name only contains the requested one.
pub(super) const SIMILAR: u8 = 2;

/// How well a device's id or name matches the requested one: lower is better, `None` is no match.
pub(super) fn rank(requested: &str, id: &str, name: &str) -> Option<u8> {
    if id == requested {
        Some(0)
    } else if name == requested {
        Some(1)
    } else if name.to_lowercase().contains(&requested.to_lowercase()) {
        Some(SIMILAR)
    } else {
        None
    }
}

/// All formats that a device offers in one direction.
pub(super) fn ranges(
    device: &cpal::Device,
    direction: Direction,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    Ok(match direction {
        Direction::Capture => device.supported_input_configs()?.collect(),
        Direction::Playback => device.supported_output_configs()?.collect(),
    })
}

/// Whether a device whose name matches is the one to open: it has formats, or access to it is
/// denied, which opening it then reports.
fn is_candidate(ranges: &Result<Vec<SupportedStreamConfigRange>, cpal::Error>) -> bool {
    match ranges {
        Ok(ranges) => !ranges.is_empty(),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_device_is_found() {
        let denied: cpal::Error = ErrorKind::PermissionDenied.into();
        assert!(
            is_candidate(&Err(denied)),
            "so that it is not \"not found\""
        );
        let gone = Err(ErrorKind::DeviceNotAvailable.into());
        assert!(!is_candidate(&gone), "another one may have the same name");
    }

    #[test]
    fn an_id_ranks_before_a_name_and_a_name_before_a_part_of_it() {
        assert_eq!(rank("hw:0", "hw:0", "Card"), Some(0), "the id matches");
        assert_eq!(rank("Card", "hw:0", "Card"), Some(1), "the name matches");

        assert_eq!(
            rank("loop", "hw:0", "My Loopback Card"),
            Some(SIMILAR),
            "part of the name matches"
        );
        assert_eq!(
            rank("hw", "hw:0", "Card"),
            None,
            "part of an id does not match"
        );
    }
}
