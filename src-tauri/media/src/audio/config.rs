//! The choices an audio engine starts with: where audio comes from, how it is processed, and where
//! it goes.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::wav::WavReader;
use crate::error::DeviceError;

/// Where the audio to send comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AudioSource {
    /// Nothing is sent.
    #[default]
    None,
    /// A signal that carries the time, so that the receiver can measure the delay: see
    /// [`super::test_signal`].
    Test,
    /// The default microphone, or the one with this id or name (see [`super::list_microphones`]).
    Microphone(Option<String>),
    /// A `.wav` file, played in a loop.
    File(PathBuf),
}

impl AudioSource {
    /// Checks the argument as far as possible without opening a device: a file must exist and hold
    /// audio. A missing microphone is reported once the engine runs.
    ///
    /// # Errors
    /// `FILE_UNREADABLE` or `FILE_BAD_FORMAT`.
    pub fn check(&self) -> Result<(), DeviceError> {
        match self {
            Self::File(path) => WavReader::open(path).map(drop),
            Self::None | Self::Test | Self::Microphone(_) => Ok(()),
        }
    }
}

impl FromStr for AudioSource {
    type Err = ParseAudioError;

    /// Parses `test`, `microphone`, `microphone:NAME`, `FILE.wav` or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => return Ok(Self::None),
            "test" => return Ok(Self::Test),
            "microphone" => return Ok(Self::Microphone(None)),
            _ => {}
        }

        if let Some(name) = text.strip_prefix("microphone:") {
            if name.is_empty() {
                return Err(ParseAudioError {
                    given: text.to_owned(),
                });
            }

            return Ok(Self::Microphone(Some(name.to_owned())));
        }

        let path = PathBuf::from(text);
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("wav"))
        {
            return Ok(Self::File(path));
        }

        Err(ParseAudioError {
            given: text.to_owned(),
        })
    }
}

impl fmt::Display for AudioSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Test => f.write_str("test"),
            Self::Microphone(None) => f.write_str("microphone"),
            Self::Microphone(Some(name)) => write!(f, "microphone:{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The text does not name an audio source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{given}\" is not an audio source; allowed: test, microphone, microphone:NAME, FILE.wav, none"
)]
pub struct ParseAudioError {
    given: String,
}

/// Where received audio is played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AudioSink {
    /// Nowhere: it is decoded, measured and, if asked for, recorded, at the pace of the engine's
    /// clock.
    #[default]
    None,
    /// The default speaker.
    Default,
    /// The speaker with this id or name (see [`super::list_speakers`]).
    Named(String),
}

impl FromStr for AudioSink {
    type Err = Infallible;

    /// Parses `default`, `none`, or the name of a speaker.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Self::None,
            "default" => Self::Default,
            name => Self::Named(name.to_owned()),
        })
    }
}

impl fmt::Display for AudioSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Default => f.write_str("default"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// How the audio of a microphone is processed before it is sent. Test signals and files are sent
/// unprocessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processing {
    /// Removes the speaker's audio from what the microphone picks up (AEC3).
    pub echo_cancellation: bool,
    /// Attenuates steady background noise.
    pub noise_suppression: bool,
    /// Evens out the loudness of speech, with a limiter against clipping (AGC2).
    pub gain_control: bool,
}

impl Processing {
    /// No processing.
    pub const OFF: Self = Self {
        echo_cancellation: false,
        noise_suppression: false,
        gain_control: false,
    };

    /// Whether any processing is on.
    pub fn any(self) -> bool {
        self.echo_cancellation || self.noise_suppression || self.gain_control
    }
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            echo_cancellation: true,
            noise_suppression: true,
            gain_control: true,
        }
    }
}

/// What an [`super::AudioEngine`] starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// The source of the audio to send.
    pub source: AudioSource,
    /// Where received audio goes.
    pub sink: AudioSink,
    /// How a microphone's audio is processed.
    pub processing: Processing,
    /// A `.wav` file (48 kHz, mono, 16 bit) to record received audio to, as the user hears it.
    pub record: Option<PathBuf>,
    /// Target bitrate of the Opus encoder in bits per second, without packet headers.
    pub bitrate_bps: u32,
    /// Whether to look for the partner's test signal in received audio and measure its delay. Off
    /// in real calls: the matched filter costs CPU time, and a voice carries no clock.
    pub measure: bool,
}

impl Default for AudioConfig {
    /// Sends and plays nothing, with all processing on, at 24 kbit/s: the lowest rate at which Opus
    /// keeps speech full band with in-band FEC (RFC 7587 §3.1.1 gives 28–40 kbit/s for full-band
    /// speech without it).
    fn default() -> Self {
        Self {
            source: AudioSource::None,
            sink: AudioSink::None,
            processing: Processing::default(),
            record: None,
            bitrate_bps: 24_000,
            measure: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn a_source_survives_parsing_and_printing() {
        for text in [
            "none",
            "test",
            "microphone",
            "microphone:Front: Mic",
            "a b/voice.WAV",
        ] {
            let source: AudioSource = text.parse().unwrap();
            assert_eq!(
                source.to_string(),
                text,
                "a source prints what it was parsed from"
            );
        }

        assert_eq!(
            "microphone:hw:1".parse(),
            Ok(AudioSource::Microphone(Some("hw:1".into()))),
            "a device id may hold colons"
        );
    }

    #[test]
    fn an_unknown_source_is_refused_with_a_list_of_valid_ones() {
        for text in ["", "mic", "microphone:", "song.mp3", "Test"] {
            let error = text.parse::<AudioSource>().unwrap_err().to_string();
            assert!(
                error.contains("microphone:NAME") && error.contains(text),
                "the error quotes the input and lists what is allowed: {error}"
            );
        }
    }

    #[test]
    fn a_sink_survives_parsing_and_printing() {
        for text in ["none", "default", "plughw:CARD=Loopback,DEV=0"] {
            let sink: AudioSink = text.parse().unwrap();
            assert_eq!(
                sink.to_string(),
                text,
                "a sink prints what it was parsed from"
            );
        }
    }

    #[test]
    fn a_missing_file_fails_the_check() {
        let error = AudioSource::File("no/such/file.wav".into())
            .check()
            .unwrap_err();
        assert_eq!(
            error.code,
            MediaErrorCode::FileUnreadable,
            "a missing file cannot be read"
        );
    }
}
