//! Finds a device by name, the best format it offers, and words for what went wrong.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{ErrorKind, SampleFormat, StreamConfig, SupportedStreamConfigRange};

use super::Direction;
use crate::audio::SAMPLE_RATE;
use crate::audio::resample::RATES;
use crate::error::DeviceError;

/// Error codes of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes {
    not_found: &'static str,
    in_use: &'static str,
    denied: &'static str,
    format: &'static str,
    timeout: &'static str,
    unplugged: &'static str,
    /// What a person calls it.
    noun: &'static str,
}

pub(super) fn error_codes(direction: Direction) -> Codes {
    match direction {
        Direction::Capture => Codes {
            not_found: "MIC_NOT_FOUND",
            in_use: "MIC_IN_USE",
            denied: "MIC_DENIED",
            format: "MIC_FORMAT",
            timeout: "MIC_TIMEOUT",
            unplugged: "MIC_UNPLUGGED",
            noun: "microphone",
        },
        Direction::Playback => Codes {
            not_found: "SPEAKER_NOT_FOUND",
            in_use: "SPEAKER_IN_USE",
            denied: "SPEAKER_DENIED",
            format: "SPEAKER_FORMAT",
            timeout: "SPEAKER_TIMEOUT",
            unplugged: "SPEAKER_UNPLUGGED",
            noun: "speaker",
        },
    }
}

impl Codes {
    /// No device has the name that was asked for.
    pub(super) fn unknown(self, name: &str) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.not_found,
            format!("No {noun} is called \"{name}\". See `tandem devices` for those there are."),
        )
    }

    /// The device was found but could not be opened.
    pub(super) fn opening(self, error: &cpal::Error) -> DeviceError {
        let noun = self.noun;
        match error.kind() {
            ErrorKind::DeviceBusy => DeviceError::new(
                self.in_use,
                format!("The {noun} is used by another program. Close that program."),
            ),
            ErrorKind::PermissionDenied => DeviceError::new(
                self.denied,
                format!(
                    "The system does not allow Tandem to use the {noun}. Allow it in the privacy settings."
                ),
            ),
            ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput => DeviceError::new(
                self.format,
                format!(
                    "The {noun} offers no sound format that Tandem knows ({error}). Choose another one."
                ),
            ),
            _ => DeviceError::new(
                self.not_found,
                format!("There is no {noun} to use ({error}). Connect one."),
            ),
        }
    }

    /// The device did not answer.
    pub(super) fn timeout(self) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.timeout,
            format!("The {noun} does not answer. Unplug it and plug it in again."),
        )
    }

    /// The device was there and is gone, or gives no sound any more.
    pub(super) fn unplugged(self) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.unplugged,
            format!("The {noun} is gone. Plug it in again or choose another one."),
        )
    }
}

/// The device with this id or name, or the default one: first by id, then by name, then by a part of the name.
pub(super) fn find(name: Option<&str>, direction: Direction) -> Result<cpal::Device, DeviceError> {
    let codes = error_codes(direction);
    let host = super::host();
    let Some(name) = name else {
        let default = match direction {
            Direction::Capture => host.default_input_device(),
            Direction::Playback => host.default_output_device(),
        };
        return default.ok_or_else(|| codes.opening(&ErrorKind::DeviceNotAvailable.into()));
    };

    let mut matches = Vec::new();
    for device in host.devices().map_err(|error| codes.opening(&error))? {
        let id = device.id().map(|id| id.id().to_owned()).unwrap_or_default();
        let called = device
            .description()
            .map(|about| about.name().to_owned())
            .unwrap_or_default();

        if let Some(rank) = rank(name, &id, &called) {
            matches.push((rank, device));
        }
    }

    matches.sort_by_key(|(rank, _)| *rank);
    // Opening a device to learn its directions is slow: only those are asked whose names fit.
    let fitting = matches
        .into_iter()
        .find(|(_, device)| ranges(device, direction).is_ok_and(|ranges| !ranges.is_empty()));
    fitting
        .map(|(_, device)| device)
        .ok_or_else(|| codes.unknown(name))
}

/// How well a device's id or name fits what was asked for; lower is better, `None` is not at all.
fn rank(wanted: &str, id: &str, name: &str) -> Option<u8> {
    if id == wanted {
        Some(0)
    } else if name == wanted {
        Some(1)
    } else if name.to_lowercase().contains(&wanted.to_lowercase()) {
        Some(2)
    } else {
        None
    }
}

/// Everything that a device offers in one direction.
pub(super) fn ranges(
    device: &cpal::Device,
    direction: Direction,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    Ok(match direction {
        Direction::Capture => device.supported_input_configs()?.collect(),
        Direction::Playback => device.supported_output_configs()?.collect(),
    })
}

/// The best of what a device offers: 48 kHz or what comes closest above, else below; floats or 16 bit; few channels,
/// but not one if the device is made for two, since mixing is then left to a plug-in.
pub(super) fn best(ranges: &[SupportedStreamConfigRange]) -> Option<(StreamConfig, SampleFormat)> {
    let usable = ranges.iter().filter(|range| range.channels() > 0);
    let scored = usable.filter_map(|range| {
        let (low, high) = (
            range.min_sample_rate().max(*RATES.start()),
            range.max_sample_rate().min(*RATES.end()),
        );
        if low > high {
            return None;
        }

        let rate = SAMPLE_RATE.clamp(low, high);
        let format = match range.sample_format() {
            SampleFormat::F32 => 0,
            SampleFormat::I16 => 1,
            SampleFormat::I32 | SampleFormat::I24 => 2,
            SampleFormat::F64 | SampleFormat::U16 | SampleFormat::U24 | SampleFormat::U32 => 3,
            SampleFormat::I8 | SampleFormat::U8 => 4,
            _ => return None,
        };

        let rate_score = if rate < SAMPLE_RATE {
            1_000_000 - rate
        } else {
            rate - SAMPLE_RATE
        };

        let channels_score = match range.channels() {
            2 => 0,
            1 => 1,
            more => more,
        };

        Some(((rate_score, channels_score, format), range, rate))
    });

    let (_, range, rate) = scored.min_by_key(|(score, _, _)| *score)?;
    let config = range.with_sample_rate(rate);
    Some((config.config(), config.sample_format()))
}

#[cfg(test)]
mod tests {
    use cpal::SupportedBufferSize;

    use super::*;

    fn range(
        channels: u16,
        low: u32,
        high: u32,
        format: SampleFormat,
    ) -> SupportedStreamConfigRange {
        SupportedStreamConfigRange::new(channels, low, high, SupportedBufferSize::Unknown, format)
    }

    #[test]
    fn the_best_format_is_near_the_engines_own() {
        let all = [
            range(1, 8_000, 8_000, SampleFormat::U8),
            range(6, 48_000, 48_000, SampleFormat::F32),
            range(2, 44_100, 192_000, SampleFormat::I16),
            range(2, 44_100, 44_100, SampleFormat::F32),
        ];
        let (config, format) = best(&all).unwrap();
        assert_eq!(
            (config.sample_rate, config.channels, format),
            (48_000, 2, SampleFormat::I16),
            "48 kHz comes first"
        );

        let (config, _) = best(&all[..1]).unwrap();
        assert_eq!(
            config.sample_rate, 8_000,
            "a poor device is better than none"
        );

        let low_or_high = [
            range(1, 96_000, 96_000, SampleFormat::I32),
            range(1, 16_000, 16_000, SampleFormat::I16),
        ];

        assert_eq!(
            best(&low_or_high).unwrap().0.sample_rate,
            96_000,
            "above 48 kHz nothing is lost"
        );

        assert!(
            best(&[]).is_none(),
            "a device without formats has no best one"
        );
    }

    #[test]
    fn ids_come_before_names_and_names_before_parts_of_them() {
        assert_eq!(rank("hw:0", "hw:0", "Card"), Some(0), "the id fits exactly");
        assert_eq!(
            rank("Card", "hw:0", "Card"),
            Some(1),
            "the name fits exactly"
        );

        assert_eq!(
            rank("loop", "hw:0", "My Loopback Card"),
            Some(2),
            "a part of the name fits"
        );
        assert_eq!(rank("hw", "hw:0", "Card"), None, "a part of an id does not");
    }
}
