//! Cameras through nokhwa. Its errors are texts, and only this module interprets them.

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
#[cfg(target_os = "linux")]
use super::v4l::{self, V4lCamera};
use super::{CameraFormat, CameraInfo};
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

/// A camera whose stream is running.
pub(super) enum OpenCamera {
    Nokhwa(NokhwaCamera),
    #[cfg(target_os = "linux")]
    V4l(V4lCamera),
}

/// One that nokhwa has opened.
pub(super) struct NokhwaCamera {
    camera: Camera,
    format: CameraFormat,
}

impl OpenCamera {
    /// Opens the camera that `which` selects at its format nearest to `wanted`, not at one of the
    /// `broken` ones. Blocks, with some drivers forever.
    pub(super) fn open(
        which: &CameraSelector,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        let mut refusal = None;

        // One webcam can have several nodes, some without video, so the first that opens is used.
        for candidate in select(query()?, which) {
            match Self::open_node(&candidate, wanted, broken) {
                Ok(camera) => return Ok(camera),
                // "In use" or "denied" explains more than a node without formats does.
                Err(error) if error.code != MediaErrorCode::CamFormat => refusal = Some(error),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }

        Err(refusal.unwrap_or_else(|| {
            DeviceError::new(
                MediaErrorCode::CamNotFound,
                "There is no such camera. Plug it in, or choose another one.",
            )
        }))
    }

    fn open_node(
        node: &NativeInfo,
        wanted: VideoFormat,
        broken: &[CameraFormat],
    ) -> Result<Self, DeviceError> {
        match NokhwaCamera::open(node.index().clone(), wanted, broken) {
            #[cfg(target_os = "linux")]
            Err(error) if error.code == MediaErrorCode::CamFormat => {
                V4lCamera::open(number(node), wanted, broken).map(Self::V4l)
            }
            opened => opened.map(Self::Nokhwa),
        }
    }
}

impl Device for OpenCamera {
    fn format(&self) -> CameraFormat {
        match self {
            Self::Nokhwa(camera) => camera.format(),
            #[cfg(target_os = "linux")]
            Self::V4l(camera) => camera.format(),
        }
    }

    fn read(&mut self, on_frame: &mut dyn FnMut(&[u8])) -> Result<(), DeviceError> {
        match self {
            Self::Nokhwa(camera) => camera.read(on_frame),
            #[cfg(target_os = "linux")]
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
        let mut formats = formats(&mut camera).map_err(|error| device_error(&error))?;
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
            Err(error) => Err(unplugged(&error)),
        }
    }
}

/// The error for a camera that was open and cannot be read any more.
pub(super) fn unplugged(error: &dyn std::error::Error) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamUnplugged,
        "The camera was unplugged. Plug it in again, or choose another one.",
    )
    .caused_by(error)
}

/// The cameras that deliver a readable format, are in use by another program, or may not be used by
/// this one.
pub(super) fn list() -> Result<Vec<CameraInfo>, DeviceError> {
    let mut cameras = Vec::new();
    for info in query()? {
        let asked = bare_camera(info.index().clone())
            .and_then(|mut camera| formats(&mut camera))
            .map_err(|error| device_error(&error).code);
        #[cfg(target_os = "linux")]
        let asked = match asked {
            Ok(formats) if !formats.is_empty() => Ok(formats),
            Ok(_) | Err(MediaErrorCode::CamFormat) => {
                v4l::formats(number(&info)).map_err(|error| error.code)
            }
            refused => refused,
        };
        add(&mut cameras, number(&info), info.human_name(), asked);
    }

    Ok(cameras)
}

/// Whether the system lists a camera that `which` selects.
pub(super) fn is_listed(which: &CameraSelector) -> bool {
    query().is_ok_and(|cameras| !select(cameras, which).is_empty())
}

/// Adds the node to the list if it is a camera, or may be one. `asked` is its answer to the
/// question for its formats.
fn add(
    cameras: &mut Vec<CameraInfo>,
    index: u32,
    name: String,
    asked: Result<Vec<CameraFormat>, MediaErrorCode>,
) {
    let formats = match asked {
        Ok(formats) if formats.is_empty() => return,
        Ok(formats) => in_order(formats),
        Err(MediaErrorCode::CamInUse) => Vec::new(),
        // A webcam has more nodes of the same name, such as the one for metadata. Where access is
        // denied they look the same, so only the first one is listed.
        Err(MediaErrorCode::CamDenied) if cameras.iter().all(|camera| camera.name != name) => {
            Vec::new()
        }
        // A node without video.
        Err(_) => return,
    };

    cameras.push(CameraInfo {
        index,
        name,
        formats,
    });
}

/// Each format once: the largest first, and within a size and pixel format the fastest first.
fn in_order(mut formats: Vec<CameraFormat>) -> Vec<CameraFormat> {
    let rank = |format: &CameraFormat| {
        (
            Reverse((format.width * format.height, format.width)),
            format.pixels as u8,
            Reverse(format.fps),
        )
    };

    formats.sort_by_key(rank);
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

/// Asks for permission on macOS and waits for the answer, which arrives on another thread.
#[cfg(target_os = "macos")]
fn allow_access() -> Result<(), DeviceError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    nokhwa::nokhwa_initialize(move |allowed| {
        let _ = sender.send(allowed);
    });

    match receiver.recv() {
        Ok(true) => Ok(()),
        _ => Err(denied()),
    }
}

fn number(info: &NativeInfo) -> u32 {
    info.index().as_index().unwrap_or(u32::MAX)
}

/// The cameras that match `which`, the best match first.
fn select(mut cameras: Vec<NativeInfo>, which: &CameraSelector) -> Vec<NativeInfo> {
    match which {
        CameraSelector::Default => {}
        CameraSelector::Index(index) => cameras.retain(|camera| number(camera) == *index),
        CameraSelector::Name(name) => {
            let name = name.to_lowercase();
            cameras.retain(|camera| camera.human_name().to_lowercase().contains(&name));
            cameras.sort_by_key(|camera| camera.human_name().to_lowercase() != name);
        }
        CameraSelector::Exact(name) => cameras.retain(|camera| camera.human_name() == *name),
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
        .filter(|format| format.width >= 16 && format.height >= 16 && format.fps > 0)
        .collect())
}

pub(super) fn no_format() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamFormat,
        "The camera offers no format that Tandem can read. Choose another camera or size.",
    )
}

fn denied() -> DeviceError {
    let remedy = if cfg!(target_os = "macos") {
        "Allow it in System Settings, Privacy & Security, Camera."
    } else if cfg!(windows) {
        "Allow it in Settings, Privacy & security, Camera."
    } else {
        "Add your user to the group \"video\", then log in again."
    };

    DeviceError::new(
        MediaErrorCode::CamDenied,
        format!("The system does not allow access to the camera. {remedy}"),
    )
}

/// The error for a camera that the system does not open.
#[cfg(target_os = "linux")]
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

    // On Windows: MF_E_HW_MFT_FAILED_START_STREAMING.
    let mapped = if is(&[libc::EBUSY]) || says(&["busy", "in use", "already", "0xc00d3704"]) {
        DeviceError::new(
            MediaErrorCode::CamInUse,
            "Another program is using the camera. Close it, or choose another camera.",
        )
    } else if is(&[libc::EACCES, libc::EPERM])
        // On Windows: E_ACCESSDENIED.
        || says(&["0x80070005", "permission denied", "access is denied", "not authorized"])
    {
        denied()
    } else if is(&[libc::ENOENT, libc::ENODEV, libc::ENXIO])
        || says(&["no such", "not found"])
        || matches!(
            error,
            NokhwaError::OpenDeviceError(..) | NokhwaError::InitializeError { .. }
        )
    {
        DeviceError::new(
            MediaErrorCode::CamNotFound,
            "The camera was not found. Plug it in, or choose another one.",
        )
    } else {
        no_format()
    };

    mapped.caused_by(error)
}

/// The errno at the end of a lower-case error text, as in `Permission denied (os error 13)`. The
/// standard library adds this part in English, whatever the language of the words before it.
/// Windows counts its errors differently.
fn os_error(text: &str) -> Option<i32> {
    let (_, number) = text.rsplit_once("(os error ")?;
    let (number, _) = number.split_once(')')?;
    number.parse().ok().filter(|_| cfg!(unix))
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
    fn cameras_are_selected_by_index_and_name() {
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
            "all, in the system's order"
        );
        assert_eq!(picked(CameraSelector::Index(2)), [2], "by index");
        assert_eq!(
            picked(CameraSelector::Index(9)),
            [0_u32; 0],
            "there is no camera 9"
        );

        assert_eq!(
            picked(CameraSelector::Name("webcam hd".to_owned())),
            [2],
            "case does not matter"
        );

        assert_eq!(
            picked(CameraSelector::Name("webcam".to_owned())),
            [1, 2],
            "the exact name comes first"
        );

        assert_eq!(
            picked(CameraSelector::Exact("Webcam".to_owned())),
            [1],
            "no other camera, however similar its name"
        );
        assert_eq!(
            picked(CameraSelector::Exact("Webca".to_owned())),
            [0; 0],
            "a camera that is gone is not replaced"
        );
    }

    fn format(width: u32, height: u32, fps: u32) -> CameraFormat {
        CameraFormat {
            width,
            height,
            fps,
            pixels: PixelFormat::Yuyv,
        }
    }

    #[test]
    fn formats_are_listed_once_and_the_largest_first() {
        let reported = vec![
            format(640, 480, 15),
            format(1280, 720, 10),
            format(640, 480, 25),
            format(640, 480, 15),
        ];

        assert_eq!(
            in_order(reported),
            [
                format(1280, 720, 10),
                format(640, 480, 25),
                format(640, 480, 15)
            ],
            "within a size the fastest comes first"
        );
    }

    #[test]
    fn the_list_has_cameras_that_are_in_use_or_denied_but_no_other_nodes() {
        let mut cameras = Vec::new();
        let nodes = [
            ("Webcam", Ok(vec![format(640, 480, 30)])),
            ("Webcam", Err(MediaErrorCode::CamFormat)),
            ("Encoder", Ok(Vec::new())),
            ("Held", Err(MediaErrorCode::CamInUse)),
            ("Locked", Err(MediaErrorCode::CamDenied)),
            ("Locked", Err(MediaErrorCode::CamDenied)),
        ];

        for (index, (name, asked)) in (0..).zip(nodes) {
            add(&mut cameras, index, name.to_owned(), asked);
        }

        let listed: Vec<_> = cameras
            .iter()
            .map(|camera| (camera.index, camera.name.as_str(), camera.formats.len()))
            .collect();
        assert_eq!(
            listed,
            [(0, "Webcam", 1), (3, "Held", 0), (4, "Locked", 0)],
            "a denied camera is listed once, so that choosing it says why it does not open"
        );
    }

    #[test]
    #[cfg(unix)]
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

    #[test]
    fn a_denied_camera_on_a_german_windows_is_denied() {
        let error = NokhwaError::OpenStreamError("Zugriff verweigert (0x80070005)".to_owned());
        assert_eq!(
            device_error(&error).code,
            MediaErrorCode::CamDenied,
            "E_ACCESSDENIED has its number in every language"
        );
    }

    #[test]
    fn a_camera_that_is_not_there_is_not_found() {
        let wanted = VideoFormat {
            width: 640,
            height: 480,
            fps: 30.0,
        };

        let result = OpenCamera::open(&CameraSelector::Index(4_000), wanted, &[]);
        assert_eq!(
            result.err().map(|error| error.code),
            Some(MediaErrorCode::CamNotFound),
            "there are not 4000 cameras"
        );
    }
}
