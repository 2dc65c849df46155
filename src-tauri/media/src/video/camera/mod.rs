//! Cameras: choosing one, opening it under a watchdog, and what goes wrong with it.

mod capture;
mod device;
mod format;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::Builder;

use serde::Serialize;

use super::convert::PixelFormat;
use super::worker::Worker;
use super::{CameraSelector, VideoFormat};
use crate::error::{DeviceError, MediaEvents};
use crate::frame::VideoFrame;
use crate::slot::NewestSlot;
use capture::Patience;
use device::NokhwaCamera;

/// A camera that the system knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraInfo {
    /// The system's number, as in `camera:INDEX`.
    pub index: u32,
    /// The name, as in `camera:NAME`.
    pub name: String,
    /// What it can deliver; empty if another program holds it.
    pub formats: Vec<CameraFormat>,
}

/// One thing that a camera can deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// How the pixels come.
    pub pixels: PixelFormat,
}

/// Lists the cameras that deliver a format we can read. Asks each one, which a broken driver can make hang: then it
/// gives up after ten seconds.
///
/// # Errors
/// `CAM_TIMEOUT`, `CAM_NOT_FOUND` when the system cannot be asked. No camera at all is an empty list.
pub fn list_cameras() -> Result<Vec<CameraInfo>, DeviceError> {
    let (sender, receiver) = sync_channel(1);
    Builder::new()
        .name("camera-list".to_owned())
        .spawn(move || {
            // Nobody is there to hear it after the timeout.
            let _ = sender.send(device::list());
        })
        .map_err(|error| super::input::no_thread(&error))?;
    receiver
        .recv_timeout(Patience::default().open)
        .unwrap_or_else(|_| Err(capture::timeout("answer")))
}

pub(super) fn open(
    which: &CameraSelector,
    wanted: VideoFormat,
    frames: Arc<NewestSlot<VideoFrame>>,
    events: MediaEvents,
) -> Result<(VideoFormat, Worker), DeviceError> {
    let which = which.clone();
    capture::start(
        move || NokhwaCamera::open(&which, wanted),
        Patience::default(),
        frames,
        events,
    )
}
