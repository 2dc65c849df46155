//! Cameras on Linux: through nokhwa, and through V4L2 itself where nokhwa has no name for a format.
//! nokhwa's errors are texts, and only this module interprets them.

use nokhwa::utils::{
    ApiBackend, CameraFormat as NativeFormat, CameraIndex, FrameFormat, RequestedFormat,
    RequestedFormatType, Resolution,
};
use nokhwa::{Camera, NokhwaError};

use super::super::VideoFormat;
use super::super::convert::PixelFormat;
use super::CameraFormat;
use super::capture::Device;
use super::device::{Node, usable};
use super::errors::{denied, gone, in_use, no_format, unplugged};
use super::format::closest;
use super::v4l::{self, V4lCamera};
use crate::error::{DeviceError, MediaErrorCode};

/// The formats that [`Converter`](super::super::convert::Converter) reads and nokhwa has a name for.
const READABLE: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];
const NATIVE: [(PixelFormat, FrameFormat); 3] = [
    (PixelFormat::Nv12, FrameFormat::NV12),
    (PixelFormat::Yuyv, FrameFormat::YUYV),
    (PixelFormat::Mjpeg, FrameFormat::MJPEG),
];

fn native_pixels(pixels: PixelFormat) -> Option<FrameFormat> {
    let known = NATIVE.into_iter().find(|(known, _)| *known == pixels);
    known.map(|(_, native)| native)
}

/// The nodes under `/dev/video`.
pub(super) fn query() -> Result<Vec<Node>, DeviceError> {
    let cameras = nokhwa::query(ApiBackend::Auto).map_err(|error| device_error(&error))?;
    let mut nodes: Vec<_> = cameras
        .into_iter()
        .map(|info| Node {
            index: info.index().as_index().unwrap_or(u32::MAX),
            name: info.human_name(),
            id: String::new(),
        })
        .collect();
    nodes.sort_by_key(|node| node.index);

    Ok(nodes)
}

/// The formats of `node` that can be read.
pub(super) fn formats(node: &Node) -> Result<Vec<CameraFormat>, DeviceError> {
    let asked = bare_camera(CameraIndex::Index(node.index))
        .and_then(|mut camera| nokhwa_formats(&mut camera))
        .map_err(|error| device_error(&error));
    match asked {
        Ok(formats) if !formats.is_empty() => Ok(formats),
        Err(error) if error.code != MediaErrorCode::CamFormat => Err(error),
        _ => v4l::formats(node.index),
    }
}

/// Every program may ask for a camera: the system checks when it is opened.
#[expect(clippy::unnecessary_wraps, reason = "other systems ask the user")]
pub(super) fn allow_access() -> Result<(), DeviceError> {
    Ok(())
}

/// A camera whose stream is running.
pub(super) enum OpenCamera {
    Nokhwa(NokhwaCamera),
    V4l(V4lCamera),
}

/// One that nokhwa has opened.
pub(super) struct NokhwaCamera {
    camera: Camera,
    format: CameraFormat,
}

impl OpenCamera {
    /// Opens `node` at its format nearest to `wanted`, not at one of the `broken` ones.
    pub(super) fn open(
        node: &Node,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        match NokhwaCamera::open(CameraIndex::Index(node.index), wanted, broken) {
            Err(error) if error.code == MediaErrorCode::CamFormat => {
                V4lCamera::open(node.index, wanted, broken).map(Self::V4l)
            }
            opened => opened.map(Self::Nokhwa),
        }
    }
}

impl Device for OpenCamera {
    fn format(&self) -> CameraFormat {
        match self {
            Self::Nokhwa(camera) => camera.format(),
            Self::V4l(camera) => camera.format(),
        }
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        match self {
            Self::Nokhwa(camera) => camera.read(on_frame),
            Self::V4l(camera) => camera.read(on_frame),
        }
    }
}

impl NokhwaCamera {
    fn open(
        index: CameraIndex,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        let mut camera = bare_camera(index).map_err(|error| device_error(&error))?;
        let mut formats = nokhwa_formats(&mut camera).map_err(|error| device_error(&error))?;
        formats.retain(|format| !broken.contains(format));
        let format = closest(&formats, wanted).ok_or_else(no_format)?;
        let native = NativeFormat::new(
            Resolution::new(format.width, format.height),
            native_pixels(format.pixels).ok_or_else(no_format)?,
            format.fps,
        );

        if camera.camera_format() != native {
            camera
                .set_camera_requset(exactly(native))
                .map_err(|error| device_error(&error))?;
        }

        camera.open_stream().map_err(|error| device_error(&error))?;
        Ok(Self { camera, format })
    }
}

impl Device for NokhwaCamera {
    fn format(&self) -> CameraFormat {
        self.format
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        match self.camera.frame_raw() {
            Ok(bytes) => {
                on_frame(&bytes);
                Ok(())
            }
            Err(error) => Err(unplugged().caused_by(&error)),
        }
    }
}

fn bare_camera(index: CameraIndex) -> Result<Camera, NokhwaError> {
    Camera::new(
        index,
        RequestedFormat::with_formats(RequestedFormatType::None, &READABLE),
    )
}

fn exactly(format: NativeFormat) -> RequestedFormat<'static> {
    RequestedFormat::with_formats(RequestedFormatType::Exact(format), &READABLE)
}

fn nokhwa_formats(camera: &mut Camera) -> Result<Vec<CameraFormat>, NokhwaError> {
    let native = camera.compatible_camera_formats()?;
    let readable = native
        .into_iter()
        .filter_map(|format| {
            let known = NATIVE
                .into_iter()
                .find(|(_, native)| *native == format.format());
            let (pixels, _) = known?;

            Some(CameraFormat {
                width: format.width(),
                height: format.height(),
                fps: format.frame_rate(),
                pixels,
            })
        })
        .collect();

    Ok(usable(readable))
}

/// The error for a camera that the system does not open.
pub(super) fn system_error(error: &std::io::Error) -> DeviceError {
    // Its text ends with the number.
    device_error(&NokhwaError::OpenStreamError(error.to_string()))
}

/// Maps an error of nokhwa to a code: by the number of the system's error where the text has one,
/// because the words around it are in the user's language, and else by the words.
fn device_error(error: &NokhwaError) -> DeviceError {
    tracing::debug!(%error, "cannot use the camera");

    let text = error.to_string().to_lowercase();
    let os_error = os_error(&text);
    let is = |numbers: &[i32]| os_error.is_some_and(|number| numbers.contains(&number));
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));

    let mapped = if is(&[libc::EBUSY]) || says(&["busy", "in use", "already"]) {
        in_use()
    } else if is(&[libc::EACCES, libc::EPERM]) || says(&["permission denied", "not authorized"]) {
        denied()
    } else if is(&[libc::ENOENT, libc::ENODEV, libc::ENXIO])
        || says(&["no such", "not found"])
        || matches!(
            error,
            NokhwaError::OpenDeviceError(..) | NokhwaError::InitializeError { .. }
        )
    {
        gone()
    } else {
        no_format()
    };

    mapped.caused_by(error)
}

/// The errno at the end of a lower-case error text, as in `Permission denied (os error 13)`. The
/// standard library adds this part in English, whatever the language of the words before it.
fn os_error(text: &str) -> Option<i32> {
    let (_, number) = text.rsplit_once("(os error ")?;
    let (number, _) = number.split_once(')')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_get_their_codes_in_any_language() {
        let open = |text: &str| NokhwaError::OpenDeviceError("0".to_owned(), text.to_owned());
        let stream = |text: &str| NokhwaError::OpenStreamError(text.to_owned());
        let cases = [
            (
                open("V4L2 Error: No such file or directory (os error 2)"),
                MediaErrorCode::CamNotFound,
            ),
            (
                stream("Kein passendes Gerät gefunden (os error 19)"),
                MediaErrorCode::CamNotFound,
            ),
            (
                open("V4L2 Error: Permission denied (os error 13)"),
                MediaErrorCode::CamDenied,
            ),
            (
                open("V4L2 Error: Keine Berechtigung (os error 13)"),
                MediaErrorCode::CamDenied,
            ),
            (
                open("V4L2 Error: Die Operation ist nicht erlaubt (os error 1)"),
                MediaErrorCode::CamDenied,
            ),
            (
                stream("Device or resource busy (os error 16)"),
                MediaErrorCode::CamInUse,
            ),
            (
                stream("Das Gerät oder die Ressource ist belegt (os error 16)"),
                MediaErrorCode::CamInUse,
            ),
            (
                NokhwaError::GetPropertyError {
                    property: "CameraFormat".to_owned(),
                    error: "Failed to Fufill".to_owned(),
                },
                MediaErrorCode::CamFormat,
            ),
        ];

        for (error, code) in cases {
            let mapped = device_error(&error);
            assert_eq!(mapped.code, code, "{error}");
            assert!(mapped.cause.is_some(), "the system's words are kept");
        }
    }
}
