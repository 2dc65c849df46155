//! Names a video source the way a user writes it on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A video source: `none`, `test`, `camera`, `camera:INDEX`, `camera:NAME` or the path of a `.y4m`
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoSpec {
    /// No video.
    None,
    /// The test pattern of [`test_pattern`](super::test_pattern).
    Test,
    /// A connected camera.
    Camera(CameraSelector),
    /// A YUV4MPEG2 file, played in a loop.
    File(PathBuf),
}

/// Selects one of the cameras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraSelector {
    /// The first one in the system's list.
    Default,
    /// By the index that the system gives it.
    Index(u32),
    /// By name, ignoring case: an exact match, or else the first name that contains the text.
    Name(String),
    /// By this very name: no other camera is opened instead.
    Exact(String),
}

/// Size and rate of a video stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f32,
}

impl fmt::Display for VideoFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} at {:.4} fps", self.width, self.height, self.fps)
    }
}

/// The text does not name a video source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a video source: use test, camera, camera:INDEX, camera:NAME, a file that ends in .y4m, or none"
)]
pub struct ParseVideoSpecError(String);

impl FromStr for VideoSpec {
    type Err = ParseVideoSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseVideoSpecError(text.to_owned());
        match text {
            "none" => Ok(Self::None),
            "test" => Ok(Self::Test),
            "camera" => Ok(Self::Camera(CameraSelector::Default)),
            _ => match text.strip_prefix("camera:") {
                Some("") => Err(bad()),
                Some(which) => Ok(Self::Camera(which.parse().map_or_else(
                    |_| CameraSelector::Name(which.to_owned()),
                    CameraSelector::Index,
                ))),
                None if text.to_ascii_lowercase().ends_with(".y4m") => {
                    Ok(Self::File(PathBuf::from(text)))
                }
                None => Err(bad()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses() {
        let cases = [
            ("none", VideoSpec::None),
            ("test", VideoSpec::Test),
            ("camera", VideoSpec::Camera(CameraSelector::Default)),
            ("camera:2", VideoSpec::Camera(CameraSelector::Index(2))),
            (
                "camera:Integrated Webcam",
                VideoSpec::Camera(CameraSelector::Name("Integrated Webcam".to_owned())),
            ),
            (
                "clips/Bikes.Y4M",
                VideoSpec::File(PathBuf::from("clips/Bikes.Y4M")),
            ),
        ];
        for (text, spec) in cases {
            assert_eq!(text.parse(), Ok(spec), "{text}");
        }
    }

    #[test]
    fn the_error_lists_the_allowed_forms() {
        for text in ["", "camera:", "clip.mp4", "Test", "webcam"] {
            let error = text.parse::<VideoSpec>().expect_err(text).to_string();
            assert!(
                error.contains("camera:INDEX") && error.contains(".y4m"),
                "{error} must list what is allowed"
            );
        }
    }
}
