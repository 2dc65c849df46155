//! Cameras through nokhwa, whose errors are texts: this is the one place that reads them.

use std::cmp::Reverse;

use nokhwa::utils::{
    ApiBackend, CameraFormat as NativeFormat, CameraIndex, CameraInfo as NativeInfo, FrameFormat,
    RequestedFormat, RequestedFormatType, Resolution,
};
use nokhwa::{Camera, NokhwaError};

use super::super::convert::PixelFormat;
use super::super::{CameraSelector, VideoFormat};
use super::capture::Device;
use super::format::closest;
use super::{CameraFormat, CameraInfo};
use crate::error::DeviceError;

const READABLE: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];

/// A camera with its stream running.
pub(super) struct NokhwaCamera {
    camera: Camera,
    format: CameraFormat,
}

impl NokhwaCamera {
    /// Opens the camera that `which` means at its format nearest to `wanted`. Blocks, for ever with some drivers.
    pub(super) fn open(which: &CameraSelector, wanted: VideoFormat) -> Result<Self, DeviceError> {
        let mut refusal = None;

        // One webcam may show up as several nodes, some without pictures, so the first that opens is the one.
        for candidate in select(query()?, which) {
            match Self::open_index(candidate.index().clone(), wanted) {
                Ok(camera) => return Ok(camera),
                // A camera that is held by someone says more than a node without formats.
                Err(error) if error.code != "CAM_FORMAT" => refusal = Some(error),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }

        Err(refusal.unwrap_or_else(|| {
            DeviceError::new(
                "CAM_NOT_FOUND",
                "There is no such camera. Plug one in, or choose another one.",
            )
        }))
    }

    fn open_index(index: CameraIndex, wanted: VideoFormat) -> Result<Self, DeviceError> {
        let mut camera = bare_camera(index).map_err(|error| device_error(&error))?;
        let formats = formats(&mut camera).map_err(|error| device_error(&error))?;
        let format = closest(&formats, wanted).ok_or_else(no_format)?;
        let native = NativeFormat::new(
            Resolution::new(format.width, format.height),
            match format.pixels {
                PixelFormat::Yuyv => FrameFormat::YUYV,
                PixelFormat::Nv12 => FrameFormat::NV12,
                PixelFormat::Mjpeg => FrameFormat::MJPEG,
            },
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

    fn read(&mut self, use_picture: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        match self.camera.frame_raw() {
            Ok(bytes) => {
                use_picture(&bytes);
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, "no picture can be read");
                Err(DeviceError::new(
                    "CAM_UNPLUGGED",
                    "The camera has gone away. Plug it in again, or choose another one.",
                ))
            }
        }
    }
}

/// Every camera that delivers something readable, or that another program holds.
pub(super) fn list() -> Result<Vec<CameraInfo>, DeviceError> {
    let mut cameras = Vec::new();
    for info in query()? {
        let formats =
            match bare_camera(info.index().clone()).and_then(|mut camera| formats(&mut camera)) {
                Ok(formats) if formats.is_empty() => continue,
                Ok(formats) => in_order(formats),
                Err(error) if device_error(&error).code == "CAM_IN_USE" => Vec::new(),
                // A node without pictures, such as the metadata of a webcam.
                Err(_) => continue,
            };

        cameras.push(CameraInfo {
            index: number(&info),
            name: info.human_name(),
            formats,
        });
    }

    Ok(cameras)
}

/// Each format once: the largest pictures first, of one size the fastest.
fn in_order(mut formats: Vec<CameraFormat>) -> Vec<CameraFormat> {
    let place = |it: &CameraFormat| {
        (
            Reverse((it.width * it.height, it.width)),
            it.pixels as u8,
            Reverse(it.fps),
        )
    };

    formats.sort_by_key(place);
    formats.dedup();
    formats
}

fn query() -> Result<Vec<NativeInfo>, DeviceError> {
    #[cfg(target_os = "macos")]
    allow_access()?;
    let mut cameras = nokhwa::query(ApiBackend::Auto).map_err(|error| device_error(&error))?;
    cameras.sort_by_key(number);

    Ok(cameras)
}

/// macOS asks the user first; the answer comes on another thread.
#[cfg(target_os = "macos")]
fn allow_access() -> Result<(), DeviceError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    nokhwa::nokhwa_initialize(move |allowed| {
        let _ = sender.send(allowed);
    });

    match receiver.recv() {
        Ok(true) => Ok(()),
        _ => Err(DeviceError::new(
            "CAM_NOT_FOUND",
            "The camera may not be used. Allow it in System Settings, Privacy & Security, Camera.",
        )),
    }
}

fn number(info: &NativeInfo) -> u32 {
    info.index().as_index().unwrap_or(u32::MAX)
}

/// The cameras that `which` may mean, best first.
fn select(mut cameras: Vec<NativeInfo>, which: &CameraSelector) -> Vec<NativeInfo> {
    match which {
        CameraSelector::Default => {}
        CameraSelector::Index(index) => cameras.retain(|camera| number(camera) == *index),
        CameraSelector::Name(name) => {
            let name = name.to_lowercase();
            cameras.retain(|camera| camera.human_name().to_lowercase().contains(&name));
            cameras.sort_by_key(|camera| camera.human_name().to_lowercase() != name);
        }
    }

    cameras
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

fn formats(camera: &mut Camera) -> Result<Vec<CameraFormat>, NokhwaError> {
    let native = camera.compatible_camera_formats()?;
    Ok(native
        .into_iter()
        .filter_map(|format| {
            let pixels = match format.format() {
                FrameFormat::YUYV => PixelFormat::Yuyv,
                FrameFormat::NV12 => PixelFormat::Nv12,
                FrameFormat::MJPEG => PixelFormat::Mjpeg,
                _ => return None,
            };

            Some(CameraFormat {
                width: format.width(),
                height: format.height(),
                fps: format.frame_rate(),
                pixels,
            })
        })
        .filter(|format| format.width >= 16 && format.height >= 16 && format.fps > 0)
        .collect())
}

fn no_format() -> DeviceError {
    DeviceError::new(
        "CAM_FORMAT",
        "The camera offers no format that can be read (NV12, YUYV, MJPEG). Choose another camera or size.",
    )
}

fn device_error(error: &NokhwaError) -> DeviceError {
    tracing::debug!(%error, "the camera cannot be used");
    let text = error.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));

    // EBUSY on Linux; MF_E_HW_MFT_FAILED_START_STREAMING on Windows.
    if says(&["busy", "os error 16)", "in use", "already", "0xc00d3704"]) {
        DeviceError::new(
            "CAM_IN_USE",
            "Another program uses the camera. Close it, or choose another camera.",
        )
    } else if says(&[
        "permission denied",
        "os error 13)",
        "access is denied",
        "not authorized",
    ]) {
        DeviceError::new(
            "CAM_IN_USE",
            "The system forbids to use the camera. Allow it in the system's settings.",
        )
    } else if matches!(
        error,
        NokhwaError::OpenDeviceError(..) | NokhwaError::InitializeError { .. }
    ) || says(&["no such", "os error 2)", "os error 19)", "not found"])
    {
        DeviceError::new(
            "CAM_NOT_FOUND",
            "The camera is not there. Plug it in, or choose another one.",
        )
    } else {
        no_format()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cameras(names: &[&str]) -> Vec<NativeInfo> {
        let named = |(index, name): (usize, &&str)| {
            NativeInfo::new(name, "", "", CameraIndex::Index(index as u32))
        };

        names.iter().enumerate().map(named).collect()
    }

    #[test]
    fn cameras_are_found_by_number_and_name() {
        let all = cameras(&["Logi C920", "Webcam", "Webcam HD"]);
        let picked = |which| {
            select(all.clone(), &which)
                .iter()
                .map(number)
                .collect::<Vec<_>>()
        };

        assert_eq!(
            picked(CameraSelector::Default),
            [0, 1, 2],
            "in the system's order"
        );
        assert_eq!(picked(CameraSelector::Index(2)), [2], "by number");
        assert_eq!(
            picked(CameraSelector::Index(9)),
            [0_u32; 0],
            "there is no ninth"
        );

        assert_eq!(
            picked(CameraSelector::Name("webcam hd".to_owned())),
            [2],
            "the case does not matter"
        );

        assert_eq!(
            picked(CameraSelector::Name("webcam".to_owned())),
            [1, 2],
            "the exact name comes first"
        );
    }

    #[test]
    fn formats_are_listed_once_and_in_order() {
        let format = |width, height, fps, pixels| CameraFormat {
            width,
            height,
            fps,
            pixels,
        };

        let told = vec![
            format(640, 480, 15, PixelFormat::Yuyv),
            format(1280, 720, 10, PixelFormat::Yuyv),
            format(640, 480, 25, PixelFormat::Yuyv),
            format(640, 480, 15, PixelFormat::Yuyv),
        ];
        let order: Vec<_> = in_order(told).iter().map(|it| (it.width, it.fps)).collect();
        assert_eq!(
            order,
            [(1280, 10), (640, 25), (640, 15)],
            "as a person reads it"
        );
    }

    #[test]
    fn errors_get_their_codes() {
        let open = |text: &str| NokhwaError::OpenDeviceError("0".to_owned(), text.to_owned());
        let cases = [
            (
                open("V4L2 Error: No such file or directory (os error 2)"),
                "CAM_NOT_FOUND",
            ),
            (
                open("V4L2 Error: Permission denied (os error 13)"),
                "CAM_IN_USE",
            ),
            (
                NokhwaError::OpenStreamError("Device or resource busy (os error 16)".to_owned()),
                "CAM_IN_USE",
            ),
            (
                NokhwaError::GetPropertyError {
                    property: "CameraFormat".to_owned(),
                    error: "Failed to Fufill".to_owned(),
                },
                "CAM_FORMAT",
            ),
        ];

        for (error, code) in cases {
            assert_eq!(device_error(&error).code, code, "{error}");
        }
    }

    #[test]
    fn a_camera_that_is_not_there_is_not_found() {
        let wanted = VideoFormat {
            width: 640,
            height: 480,
            fps: 30.0,
        };

        let result = NokhwaCamera::open(&CameraSelector::Index(4_000), wanted);
        assert_eq!(
            result.err().map(|error| error.code),
            Some("CAM_NOT_FOUND"),
            "there are not 4000 cameras"
        );
    }
}
