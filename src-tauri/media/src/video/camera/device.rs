//! Cameras of any system: which one is meant, which formats it has, and which of them is used.

use std::cmp::Reverse;

use super::super::{CameraSelector, VideoFormat};
use super::errors::not_found;
use super::system::{self, OpenCamera};
use super::{CameraFormat, CameraInfo};
use crate::error::{DeviceError, MediaErrorCode};

/// A camera as the system names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its place in the system's list; on Linux the number of its node.
    pub(super) index: u32,
    /// What people call it.
    pub(super) name: String,
    /// What the system calls it. Empty on Linux, where the number is enough.
    pub(super) id: String,
}

/// Opens the camera that `which` selects at its format nearest to `wanted`, not at one of the
/// `broken` ones. Blocks, with some drivers forever.
pub(super) fn open(
    which: &CameraSelector,
    wanted: VideoFormat,
    broken: &[CameraFormat],
) -> Result<OpenCamera, DeviceError> {
    let mut refusal = None;

    // One webcam can have several nodes, some without video, so the first that opens is used.
    for candidate in select(system::query()?, which) {
        match OpenCamera::open(&candidate, wanted, broken) {
            Ok(camera) => return Ok(camera),
            // "In use" or "denied" explains more than a node without formats does.
            Err(error) if error.code != MediaErrorCode::CamFormat => refusal = Some(error),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }

    Err(refusal.unwrap_or_else(not_found))
}

/// The cameras that deliver a readable format, are in use by another program, or may not be used by
/// this one.
pub(super) fn list() -> Result<Vec<CameraInfo>, DeviceError> {
    let mut cameras = Vec::new();
    for node in system::query()? {
        let asked = system::formats(&node).map_err(|error| error.code);
        add(&mut cameras, node.index, node.name, asked);
    }

    Ok(cameras)
}

/// Whether the system lists a camera that `which` selects.
pub(super) fn is_listed(which: &CameraSelector) -> bool {
    system::query().is_ok_and(|cameras| !select(cameras, which).is_empty())
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

/// The cameras that match `which`, the best match first.
fn select(mut cameras: Vec<Node>, which: &CameraSelector) -> Vec<Node> {
    match which {
        CameraSelector::Default => {}
        CameraSelector::Index(index) => cameras.retain(|camera| camera.index == *index),
        CameraSelector::Name(name) => {
            let name = name.to_lowercase();
            cameras.retain(|camera| camera.name.to_lowercase().contains(&name));
            cameras.sort_by_key(|camera| camera.name.to_lowercase() != name);
        }
        CameraSelector::Exact(name) => cameras.retain(|camera| camera.name == *name),
    }

    cameras
}

/// Leaves out sizes that nothing can be made of, and formats without a rate.
pub(super) fn usable(mut formats: Vec<CameraFormat>) -> Vec<CameraFormat> {
    formats.retain(|format| format.width >= 16 && format.height >= 16 && format.fps > 0);
    formats
}

#[cfg(test)]
mod tests {
    use super::super::super::convert::PixelFormat;
    use super::*;

    fn cameras(names: &[&str]) -> Vec<Node> {
        let named = |(index, name): (usize, &&str)| Node {
            index: index as u32,
            name: (*name).to_owned(),
            id: String::new(),
        };

        names.iter().enumerate().map(named).collect()
    }

    #[test]
    fn cameras_are_selected_by_index_and_name() {
        let all = cameras(&["Logi C920", "Webcam", "Webcam HD"]);
        let picked = |which| {
            select(all.clone(), &which)
                .iter()
                .map(|camera| camera.index)
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
    fn a_camera_that_is_not_there_is_not_found() {
        let wanted = VideoFormat {
            width: 640,
            height: 480,
            fps: 30.0,
        };

        let result = open(&CameraSelector::Index(4_000), wanted, &[]);
        assert_eq!(
            result.err().map(|error| error.code),
            Some(MediaErrorCode::CamNotFound),
            "there are not 4000 cameras"
        );
    }
}
