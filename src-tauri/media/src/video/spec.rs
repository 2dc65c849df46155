//! What to open as the video source, as a person writes it on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A video source: `none`, `test`, `camera`, `camera:INDEX`, `camera:NAME` or the path of a `.y4m` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoSpec {
    /// No video at all.
    None,
    /// The test pattern of [`test_pattern`](super::test_pattern).
    Test,
    /// A camera.
    Camera(CameraSelector),
    /// A YUV4MPEG2 file, played in a loop.
    File(PathBuf),
}

/// Which of the cameras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraSelector {
    /// The first that the system lists.
    Default,
    /// By the system's number.
    Index(u32),
    /// By its name: the exact one, else the first that contains it, whatever the case.
    Name(String),
}

/// Size and rate of a stream of pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: f32,
}

impl fmt::Display for VideoFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} at {:.4} fps", self.width, self.height, self.fps)
    }
}

/// A text that names no video source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no video source: give test, camera, camera:INDEX, camera:NAME, a file that ends in .y4m, or none"
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
    fn every_form_of_the_command_line_is_understood() {
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
    fn nonsense_is_refused_with_what_is_allowed() {
        for text in ["", "camera:", "clip.mp4", "Test", "webcam"] {
            let error = text.parse::<VideoSpec>().expect_err(text).to_string();
            assert!(
                error.contains("camera:INDEX") && error.contains(".y4m"),
                "{error} must say what is allowed"
            );
        }
    }
}
