//! What can go wrong with a device or a file, with codes that a user interface may rely on.

use serde::Serialize;

/// A fault of a camera, microphone, speaker or media file. `code` is stable; `message` is a sentence for a person
/// that says what happened and one thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeviceError {
    /// A stable code: `CAM_NOT_FOUND`, `CAM_IN_USE`, `CAM_UNPLUGGED`, `CAM_TIMEOUT`, `CAM_FORMAT`, `MIC_NOT_FOUND`,
    /// `MIC_IN_USE`, `MIC_UNPLUGGED`, `SPEAKER_NOT_FOUND`, `SPEAKER_UNPLUGGED`, `FILE_UNREADABLE`, `FILE_BAD_FORMAT`,
    /// `FILE_UNWRITABLE`, `DISK_FULL`, `MIC_DENIED`, `MIC_FORMAT`, `MIC_TIMEOUT`, `SPEAKER_IN_USE`, `SPEAKER_DENIED`,
    /// `SPEAKER_FORMAT`, `SPEAKER_TIMEOUT`.
    pub code: &'static str,
    /// What happened, and one thing to do about it.
    pub message: String,
}

impl DeviceError {
    /// An error with its code and sentence.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Which part of the media an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaPart {
    /// The video source.
    Camera,
    /// The audio source.
    Microphone,
    /// The audio sink.
    Speaker,
    /// A recording of the remote picture or sound.
    Recording,
}

/// Something that happened to a running source or sink. The call goes on with what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaEvent {
    /// The part failed and has stopped.
    Failed {
        /// Which part.
        part: MediaPart,
        /// Why.
        error: DeviceError,
    },
}

/// Where media events go. Called from media threads (never from an audio callback); must not block.
pub type MediaEvents = std::sync::Arc<dyn Fn(MediaEvent) + Send + Sync>;
