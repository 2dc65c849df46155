//! Errors of devices and media files, each with a published code that a user interface can match
//! on.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The published codes of everything that can go wrong with a device, a media file or a recording.
///
/// In reports, in JSON and in the window a code is its string form, such as `CAM_IN_USE`. The
/// strings are a contract with scripts and pages: variants may be added, but no string changes.
///
/// ```
/// use tandem_media::MediaErrorCode;
///
/// assert_eq!(MediaErrorCode::CamInUse.as_str(), "CAM_IN_USE");
/// assert_eq!(MediaErrorCode::CamInUse.to_string(), "CAM_IN_USE");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum MediaErrorCode {
    /// No camera matches the request, or the one that was named is gone.
    CamNotFound,
    /// Another program holds the camera.
    CamInUse,
    /// The system does not let this program use the camera.
    CamDenied,
    /// The camera was removed while it was open.
    CamUnplugged,
    /// The camera's driver did not answer in time, or a video thread could not start.
    CamTimeout,
    /// The camera offers no format that can be read, or the requested size or rate is out of range.
    CamFormat,
    /// The two sides did not agree on video from this side, so this call cannot send it.
    CamNotNegotiated,
    /// No microphone matches the request, or there is none.
    MicNotFound,
    /// Another program holds the microphone.
    MicInUse,
    /// The system does not let this program use the microphone.
    MicDenied,
    /// The microphone was removed while it was open.
    MicUnplugged,
    /// The microphone did not answer in time.
    MicTimeout,
    /// The microphone offers no format that can be read.
    MicFormat,
    /// The two sides did not agree on audio from this side, so this call cannot send it.
    MicNotNegotiated,
    /// No speaker matches the request, or there is none.
    SpeakerNotFound,
    /// Another program holds the speaker.
    SpeakerInUse,
    /// The system does not let this program use the speaker.
    SpeakerDenied,
    /// The speaker was removed while it was open.
    SpeakerUnplugged,
    /// The speaker did not answer in time.
    SpeakerTimeout,
    /// The speaker takes no format that can be written.
    SpeakerFormat,
    /// The file is missing, is not readable for this user, or its disk failed.
    FileUnreadable,
    /// The file is not a supported media file, or is damaged.
    FileBadFormat,
    /// The file cannot be created or written.
    FileUnwritable,
    /// No space is left on the disk.
    DiskFull,
}

impl MediaErrorCode {
    /// Every code, in the order of the enum.
    pub const ALL: [Self; 24] = [
        Self::CamNotFound,
        Self::CamInUse,
        Self::CamDenied,
        Self::CamUnplugged,
        Self::CamTimeout,
        Self::CamFormat,
        Self::CamNotNegotiated,
        Self::MicNotFound,
        Self::MicInUse,
        Self::MicDenied,
        Self::MicUnplugged,
        Self::MicTimeout,
        Self::MicFormat,
        Self::MicNotNegotiated,
        Self::SpeakerNotFound,
        Self::SpeakerInUse,
        Self::SpeakerDenied,
        Self::SpeakerUnplugged,
        Self::SpeakerTimeout,
        Self::SpeakerFormat,
        Self::FileUnreadable,
        Self::FileBadFormat,
        Self::FileUnwritable,
        Self::DiskFull,
    ];

    /// The published string, such as `CAM_IN_USE`: what serde writes, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CamNotFound => "CAM_NOT_FOUND",
            Self::CamInUse => "CAM_IN_USE",
            Self::CamDenied => "CAM_DENIED",
            Self::CamUnplugged => "CAM_UNPLUGGED",
            Self::CamTimeout => "CAM_TIMEOUT",
            Self::CamFormat => "CAM_FORMAT",
            Self::CamNotNegotiated => "CAM_NOT_NEGOTIATED",
            Self::MicNotFound => "MIC_NOT_FOUND",
            Self::MicInUse => "MIC_IN_USE",
            Self::MicDenied => "MIC_DENIED",
            Self::MicUnplugged => "MIC_UNPLUGGED",
            Self::MicTimeout => "MIC_TIMEOUT",
            Self::MicFormat => "MIC_FORMAT",
            Self::MicNotNegotiated => "MIC_NOT_NEGOTIATED",
            Self::SpeakerNotFound => "SPEAKER_NOT_FOUND",
            Self::SpeakerInUse => "SPEAKER_IN_USE",
            Self::SpeakerDenied => "SPEAKER_DENIED",
            Self::SpeakerUnplugged => "SPEAKER_UNPLUGGED",
            Self::SpeakerTimeout => "SPEAKER_TIMEOUT",
            Self::SpeakerFormat => "SPEAKER_FORMAT",
            Self::FileUnreadable => "FILE_UNREADABLE",
            Self::FileBadFormat => "FILE_BAD_FORMAT",
            Self::FileUnwritable => "FILE_UNWRITABLE",
            Self::DiskFull => "DISK_FULL",
        }
    }

    /// Whether the code says that no such camera, microphone or speaker exists. A list of devices
    /// is then empty rather than broken.
    pub const fn is_not_found(self) -> bool {
        matches!(
            self,
            Self::CamNotFound | Self::MicNotFound | Self::SpeakerNotFound
        )
    }
}

impl fmt::Display for MediaErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failed camera, microphone, speaker or media file.
///
/// Serializes to `code` and `message` only. The cause is for logs: its text comes from drivers and
/// libraries, in whatever language and wording they choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeviceError {
    /// What went wrong, for programs.
    pub code: MediaErrorCode,
    /// What went wrong and one thing to do about it, for people.
    pub message: String,
    /// What the system or a library reported, if anything did.
    #[serde(skip)]
    #[source]
    pub cause: Option<Cause>,
}

impl DeviceError {
    /// An error without a cause.
    pub fn new(code: MediaErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
        }
    }

    /// Adds what the system or a library reported.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn Error) -> Self {
        self.cause = Some(Cause::new(cause));
        self
    }
}

/// The text of an error and of the errors that caused it, so that a [`DeviceError`] can be cloned
/// and compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    fn new(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();

        while let Some(error) = source {
            let inner = error.to_string();
            // Many libraries repeat their source in their own text.
            if !text.contains(&inner) {
                text = format!("{text}: {inner}");
            }

            source = error.source();
        }

        Self(text)
    }
}

/// Which part of the media an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaPart {
    /// The video source: a camera, a file or the test pattern.
    Camera,
    /// The audio source: a microphone, a file or the test signal.
    Microphone,
    /// The audio sink.
    Speaker,
    /// A recording of the remote video or audio.
    Recording,
}

/// A change in a running source or sink. The call continues with the parts that still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaEvent {
    /// The part failed and has stopped. A device is tried again and again.
    Failed {
        /// Which part.
        part: MediaPart,
        /// Why.
        error: DeviceError,
    },
    /// A part that failed works again, perhaps with another device.
    Recovered {
        /// Which part.
        part: MediaPart,
    },
}

impl MediaEvent {
    /// The part that failed, and why.
    #[must_use]
    pub fn into_failure(self) -> Option<(MediaPart, DeviceError)> {
        match self {
            Self::Failed { part, error } => Some((part, error)),
            Self::Recovered { .. } => None,
        }
    }
}

/// Receives media events. Media threads call it, but never an audio callback; it must not block.
pub type MediaEvents = std::sync::Arc<dyn Fn(MediaEvent) + Send + Sync>;

#[cfg(test)]
mod tests {
    use std::io;

    use serde::Deserialize;
    use serde::de::value::{Error as ValueError, StrDeserializer};

    use super::*;

    #[test]
    fn every_code_is_listed_and_has_one_spelling() {
        for code in MediaErrorCode::ALL {
            let text: StrDeserializer<'_, ValueError> = StrDeserializer::new(code.as_str());
            assert_eq!(
                MediaErrorCode::deserialize(text),
                Ok(code),
                "serde and as_str spell {code} alike"
            );
            assert_eq!(code.to_string(), code.as_str(), "Display spells it alike");
        }

        // serde lists all variants when it refuses one, which shows those that ALL lacks.
        let unknown: StrDeserializer<'_, ValueError> = StrDeserializer::new("?");
        let refusal = MediaErrorCode::deserialize(unknown)
            .expect_err("not a code")
            .to_string();
        let (_, variants) = refusal
            .split_once("expected one of ")
            .expect("the refusal lists the variants");
        let all: Vec<String> = MediaErrorCode::ALL
            .iter()
            .map(|code| format!("`{code}`"))
            .collect();
        assert_eq!(variants, all.join(", "), "ALL holds every variant");
    }

    #[test]
    fn the_cause_is_kept_and_stays_out_of_reports() {
        #[derive(Debug, thiserror::Error)]
        #[error("the driver refused")]
        struct Refused(#[source] io::Error);

        let cause = Refused(io::Error::other("errno 5"));
        let error =
            DeviceError::new(MediaErrorCode::CamFormat, "Choose another camera.").caused_by(&cause);

        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("the driver refused: errno 5"),
            "the whole chain is kept"
        );
        assert_eq!(
            error.to_string(),
            "CAM_FORMAT: Choose another camera.",
            "people read the sentence"
        );
    }
}
