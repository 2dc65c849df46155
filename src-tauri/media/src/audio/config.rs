//! Where sound comes from, where it goes, and what is done to it on the way.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::wav::WavReader;
use crate::error::DeviceError;

/// Where the sound that is sent comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AudioSource {
    /// Nothing is sent.
    #[default]
    None,
    /// A signal that carries the time, so that the receiver measures the delay: see [`super::test_signal`].
    Test,
    /// The default microphone, or the one whose id or name is given (see [`super::list_microphones`]).
    Microphone(Option<String>),
    /// A `.wav` file, played in a loop.
    File(PathBuf),
}

impl AudioSource {
    /// Whether the source can be used, as far as its argument tells: a file must exist and hold sound. Devices are not
    /// opened: a microphone that is missing shows when the engine runs.
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

    /// `test`, `microphone`, `microphone:NAME`, `FILE.wav` or `none`.
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

/// An audio source that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{given}\" is not an audio source; allowed: test, microphone, microphone:NAME, FILE.wav, none"
)]
pub struct ParseAudioError {
    given: String,
}

/// Where the received sound is played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AudioSink {
    /// Nowhere: it is decoded, measured and perhaps recorded, at the pace of the engine's clock.
    #[default]
    None,
    /// The default speaker.
    Default,
    /// The speaker with this id or name (see [`super::list_speakers`]).
    Named(String),
}

impl FromStr for AudioSink {
    type Err = Infallible;

    /// `default`, `none`, or the name of a speaker.
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

/// What is done to the sound of a microphone before it is sent. Test signals and files are sent as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processing {
    /// Removes what the speaker played from what the microphone heard (AEC3).
    pub echo_cancellation: bool,
    /// Attenuates steady background noise.
    pub noise_suppression: bool,
    /// Brings speech to an even loudness, with a limiter against clipping (AGC2).
    pub gain_control: bool,
}

impl Processing {
    /// Everything off.
    pub const OFF: Self = Self {
        echo_cancellation: false,
        noise_suppression: false,
        gain_control: false,
    };

    /// Whether there is anything to do.
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

/// Everything an [`super::AudioEngine`] needs to know to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioConfig {
    /// What is sent.
    pub source: AudioSource,
    /// Where the received sound goes.
    pub sink: AudioSink,
    /// What is done to a microphone's sound.
    pub processing: Processing,
    /// A `.wav` file (48 kHz, mono, 16 bit) that the received sound is written to, as it is heard.
    pub record: Option<PathBuf>,
    /// Target of the Opus encoder in bits per second, without packet headers.
    pub bitrate_bps: u32,
    /// Look for the partner's test signal in the received sound and measure its delay. Off for real calls: a matched
    /// filter costs time, and a voice has no clock in it.
    pub measure: bool,
}

impl Default for AudioConfig {
    /// Nothing sent, nothing heard, all processing on, 24 kbit/s: the lowest rate at which Opus keeps speech full band
    /// with in-band FEC (RFC 7587 §3.1.1 gives 28–40 kbit/s for full-band speech without).
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

    #[test]
    fn sources_are_parsed_and_printed() {
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
    fn a_wrong_source_names_what_is_allowed() {
        for text in ["", "mic", "microphone:", "song.mp3", "Test"] {
            let error = text.parse::<AudioSource>().unwrap_err().to_string();
            assert!(
                error.contains("microphone:NAME") && error.contains(text),
                "the error tells what was given and what is allowed: {error}"
            );
        }
    }

    #[test]
    fn sinks_are_parsed_and_printed() {
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
    fn a_missing_file_is_an_error_of_the_argument() {
        let error = AudioSource::File("no/such/file.wav".into())
            .check()
            .unwrap_err();
        assert_eq!(
            error.code, "FILE_UNREADABLE",
            "a file that is not there cannot be read"
        );
    }
}
