//! Picks a device's best format, and words the errors.

use cpal::{ErrorKind, SampleFormat, StreamConfig, SupportedStreamConfigRange};

use super::Direction;
use crate::audio::SAMPLE_RATE;
use crate::audio::resample::RATES;
use crate::error::{DeviceError, MediaErrorCode};

/// The error codes of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes {
    not_found: MediaErrorCode,
    in_use: MediaErrorCode,
    denied: MediaErrorCode,
    format: MediaErrorCode,
    timeout: MediaErrorCode,
    unplugged: MediaErrorCode,
    /// The device's name in messages to the user.
    noun: &'static str,
}

pub(super) fn error_codes(direction: Direction) -> Codes {
    match direction {
        Direction::Capture => Codes {
            not_found: MediaErrorCode::MicNotFound,
            in_use: MediaErrorCode::MicInUse,
            denied: MediaErrorCode::MicDenied,
            format: MediaErrorCode::MicFormat,
            timeout: MediaErrorCode::MicTimeout,
            unplugged: MediaErrorCode::MicUnplugged,
            noun: "microphone",
        },
        Direction::Playback => Codes {
            not_found: MediaErrorCode::SpeakerNotFound,
            in_use: MediaErrorCode::SpeakerInUse,
            denied: MediaErrorCode::SpeakerDenied,
            format: MediaErrorCode::SpeakerFormat,
            timeout: MediaErrorCode::SpeakerTimeout,
            unplugged: MediaErrorCode::SpeakerUnplugged,
            noun: "speaker",
        },
    }
}

impl Codes {
    /// No device has this id or name.
    pub(super) fn unknown(self, name: &str) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.not_found,
            format!("No {noun} is called \"{name}\". Run `tandem devices` to list them."),
        )
    }

    /// The device was found but could not be opened.
    pub(super) fn opening(self, error: &cpal::Error) -> DeviceError {
        let noun = self.noun;
        match error.kind() {
            ErrorKind::DeviceBusy => DeviceError::new(
                self.in_use,
                format!("Another program is using the {noun}. Close that program."),
            ),
            ErrorKind::PermissionDenied => DeviceError::new(
                self.denied,
                format!(
                    "Tandem is not allowed to use the {noun}. \
                     Allow it in the system's privacy settings."
                ),
            ),
            ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput => DeviceError::new(
                self.format,
                format!(
                    "The {noun} has no audio format that Tandem supports ({error}). \
                     Choose another one."
                ),
            ),
            _ => DeviceError::new(
                self.not_found,
                format!("No {noun} is available ({error}). Connect one."),
            ),
        }
        .caused_by(error)
    }

    /// The device did not answer in time.
    pub(super) fn timeout(self) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.timeout,
            format!("The {noun} does not answer. Unplug it and plug it in again."),
        )
    }

    /// The device was there and is gone, or has stopped delivering audio.
    pub(super) fn unplugged(self) -> DeviceError {
        let noun = self.noun;
        DeviceError::new(
            self.unplugged,
            format!("The {noun} was disconnected. Plug it in again or choose another one."),
        )
    }
}

/// Picks the best format that a device offers: 48 kHz or the nearest rate above, otherwise below;
/// then two channels, one, or as few as possible (a device made for two would need a plug-in to mix
/// to one); then floats or 16 bit.
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
    fn each_failure_has_a_code_for_each_direction() {
        use MediaErrorCode as Code;

        for (kind, microphone, speaker) in [
            (
                ErrorKind::DeviceNotAvailable,
                Code::MicNotFound,
                Code::SpeakerNotFound,
            ),
            (ErrorKind::DeviceBusy, Code::MicInUse, Code::SpeakerInUse),
            (
                ErrorKind::PermissionDenied,
                Code::MicDenied,
                Code::SpeakerDenied,
            ),
            (
                ErrorKind::UnsupportedConfig,
                Code::MicFormat,
                Code::SpeakerFormat,
            ),
        ] {
            for (direction, code) in [
                (Direction::Capture, microphone),
                (Direction::Playback, speaker),
            ] {
                let report = error_codes(direction).opening(&kind.into());
                assert_eq!(report.code, code, "{kind:?}");
                assert!(report.cause.is_some(), "the cause is kept");
            }
        }

        let codes = |direction| {
            let codes = error_codes(direction);
            [
                codes.unknown("x").code,
                codes.timeout().code,
                codes.unplugged().code,
            ]
        };
        assert_eq!(
            codes(Direction::Capture),
            [Code::MicNotFound, Code::MicTimeout, Code::MicUnplugged]
        );
        assert_eq!(
            codes(Direction::Playback),
            [
                Code::SpeakerNotFound,
                Code::SpeakerTimeout,
                Code::SpeakerUnplugged
            ]
        );
    }

    /// The numbers that the kernel refuses an open with, as cpal reports them.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_refused_open_is_a_denied_microphone() {
        for errno in [libc::EACCES, libc::EPERM] {
            let refused: cpal::Error = alsa::Error::new("snd_pcm_open", errno).into();
            let report = error_codes(Direction::Capture).opening(&refused);
            assert_eq!(report.code, MediaErrorCode::MicDenied, "errno {errno}");
        }
    }

    #[test]
    fn the_best_format_is_the_one_nearest_to_48_khz() {
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
            "48 kHz is preferred"
        );

        let (config, _) = best(&all[..1]).unwrap();
        assert_eq!(
            config.sample_rate, 8_000,
            "a poor format is better than none"
        );

        let low_or_high = [
            range(1, 96_000, 96_000, SampleFormat::I32),
            range(1, 16_000, 16_000, SampleFormat::I16),
        ];

        assert_eq!(
            best(&low_or_high).unwrap().0.sample_rate,
            96_000,
            "a rate above 48 kHz loses nothing"
        );

        assert!(
            best(&[]).is_none(),
            "a device without formats has no best one"
        );
    }
}
