//! Cameras: lists them, picks one with its best format, and watches over its driver.

mod capture;
mod device;
mod errors;
mod format;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "macos"))]
mod rows;
#[cfg(target_os = "linux")]
mod v4l;
#[cfg(windows)]
mod windows;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::Builder;

use serde::Serialize;

use super::convert::PixelFormat;
use super::worker::{Worker, no_thread};
use super::{CameraSelector, VideoFormat};
use crate::error::{DeviceError, MediaEvents};
use crate::frame::VideoFrame;
use crate::slot::NewestSlot;
use capture::Timeouts;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

/// A camera in the system's list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraInfo {
    /// The system's index, as in `camera:INDEX`.
    pub index: u32,
    /// The name, as in `camera:NAME`.
    pub name: String,
    /// The formats that can be read, the largest first. Empty when the camera cannot be asked:
    /// another program holds it, or the system denies access.
    pub formats: Vec<CameraFormat>,
}

/// One format that a camera delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// The layout of the pixels.
    pub pixels: PixelFormat,
}

/// Lists the cameras that deliver a readable format, are in use by another program, or may not be
/// used by this one. Blocks while it asks each driver, for ten seconds at most.
///
/// # Errors
/// `CamTimeout` when a driver hangs, `CamDenied` when the system allows no camera at all, and
/// otherwise what the system reports. A machine without cameras gives an empty list.
pub fn list_cameras() -> Result<Vec<CameraInfo>, DeviceError> {
    let (sender, receiver) = sync_channel(1);
    Builder::new()
        .name("camera-list".to_owned())
        .spawn(move || {
            // Fails when the list comes after the timeout.
            let _ = sender.send(device::list());
        })
        .map_err(|error| no_thread(&error))?;

    receiver
        .recv_timeout(Timeouts::default().open)
        .unwrap_or_else(|_| Err(errors::timeout("answer")))
}

/// Whether the system lists a camera that `which` selects. Opens none of them, so one that is in use
/// is there, too. Blocks for as long as a driver takes.
#[must_use]
pub fn is_camera_listed(which: &CameraSelector) -> bool {
    device::is_listed(which)
}

/// Opens the camera that `which` selects at its format nearest to `wanted`. Where the system asks the
/// user for permission, this waits for the answer.
pub(super) fn open(
    which: &CameraSelector,
    wanted: VideoFormat,
    frames: Arc<NewestSlot<VideoFrame>>,
    events: MediaEvents,
) -> Result<(VideoFormat, Worker), DeviceError> {
    // The user may take as long as they like to answer.
    system::allow_access()?;
    let which = which.clone();
    capture::start(
        move |broken: &[CameraFormat]| device::open(&which, wanted, broken),
        Timeouts::default(),
        frames,
        events,
    )
}
