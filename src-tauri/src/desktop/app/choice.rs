//! Resolves the choice in a menu to a source or sink.

use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::codec::VideoCodec;
use tandem_media::video::{CameraSelector, VideoFormat, VideoSpec};

use super::App;
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::state::{Codec, MenuDevice};
use crate::video_quality::VideoQuality;

/// The id that stands for no device.
pub const NONE: &str = "none";
/// The codecs that Tandem can send, the best first.
pub(super) const CODECS: [Codec; 2] = [Codec::H264, Codec::Vp8];

/// The id of a camera: its name, which stays the same when others are plugged in, or its index if
/// two have that name.
#[must_use]
pub fn camera_id(index: u32, name: &str, is_unique: bool) -> String {
    if is_unique {
        format!("name:{name}")
    } else {
        format!("index:{index}")
    }
}

fn camera(id: &str) -> CameraSelector {
    let index = id
        .strip_prefix("index:")
        .and_then(|index| index.parse().ok());
    index.map_or_else(
        || CameraSelector::Exact(id.strip_prefix("name:").unwrap_or(id).to_owned()),
        CameraSelector::Index,
    )
}

impl App {
    /// The video to send.
    pub(super) fn video(&self) -> VideoSpec {
        match self.state.settings.camera.as_deref() {
            Some(NONE) => VideoSpec::None,
            Some(id) => VideoSpec::Camera(camera(id)),
            None => self
                .launch
                .video
                .clone()
                .unwrap_or(VideoSpec::Camera(CameraSelector::Default)),
        }
    }

    /// Size, rate, codec and bitrate limit of the video to send.
    pub(super) fn video_quality(&self) -> VideoQuality {
        let (settings, launch) = (&self.state.settings, &self.launch);
        let (width, height) = launch.size.unwrap_or(settings.video_size.pixels());
        let default = VideoQuality::default();

        VideoQuality {
            format: VideoFormat {
                width,
                height,
                fps: launch.fps.unwrap_or(default.format.fps),
            },
            codec: launch.codec.unwrap_or(match settings.codec {
                Codec::H264 => VideoCodec::H264,
                Codec::Vp8 => VideoCodec::Vp8,
            }),
            max_bitrate_bps: launch
                .max_bitrate_bps
                .unwrap_or(settings.max_bitrate_kbps * 1_000),
        }
    }

    /// The audio to send.
    pub(super) fn audio(&self) -> AudioSource {
        match self.state.settings.microphone.as_deref() {
            Some(NONE) => AudioSource::None,
            Some(id) => AudioSource::Microphone(Some(id.to_owned())),
            None => self
                .launch
                .audio
                .clone()
                .unwrap_or(AudioSource::Microphone(None)),
        }
    }

    /// Where to play the partner's audio.
    pub(super) fn speaker(&self) -> AudioSink {
        match self.state.settings.speaker.as_deref() {
            Some(NONE) => AudioSink::None,
            Some(id) => AudioSink::Named(id.to_owned()),
            None => self.launch.speaker.clone().unwrap_or(AudioSink::Default),
        }
    }

    /// Where it rings.
    pub(super) fn ring_speaker(&self) -> AudioSink {
        match self.state.settings.ring_speaker.as_deref() {
            Some(NONE) => AudioSink::None,
            Some(id) => AudioSink::Named(id.to_owned()),
            None => self.speaker(),
        }
    }

    /// What to do to the microphone's audio.
    pub(super) fn processing(&self) -> Processing {
        let settings = &self.state.settings;
        Processing {
            echo_cancellation: settings.echo_cancellation,
            noise_suppression: settings.noise_suppression,
            gain_control: settings.auto_gain,
        }
    }
}

/// Checks that a menu with these devices offers the choice `id`.
pub(super) fn check(id: Option<&str>, devices: &[MenuDevice]) -> Result<(), CommandError> {
    match id {
        None | Some(NONE) => Ok(()),
        Some(id) if devices.iter().any(|device| device.id == id) => Ok(()),
        Some(_) => Err(CommandErrorCode::UnknownDevice.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_found_again_by_its_id() {
        for (index, name) in [(0, "Integrated Webcam"), (3, "index:7"), (1, "")] {
            let by_name = camera(&camera_id(index, name, true));
            assert_eq!(
                by_name,
                CameraSelector::Exact(name.to_owned()),
                "a unique name is the id"
            );

            assert_eq!(
                camera(&camera_id(index, name, false)),
                CameraSelector::Index(index),
                "a shared name is not"
            );
        }
    }
}
