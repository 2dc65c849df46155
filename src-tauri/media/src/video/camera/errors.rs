//! What is told of a camera that cannot be used.

use crate::error::{DeviceError, MediaErrorCode};

pub(super) fn no_format() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamFormat,
        "The camera offers no format that Tandem can read. Choose another camera or size.",
    )
}

pub(super) fn denied() -> DeviceError {
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

pub(super) fn in_use() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamInUse,
        "Another program is using the camera. Close it, or choose another camera.",
    )
}

/// For a camera that the system has no more, or cannot open.
pub(super) fn gone() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamNotFound,
        "The camera was not found. Plug it in, or choose another one.",
    )
}

/// For a choice that no camera fits.
pub(super) fn not_found() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamNotFound,
        "There is no such camera. Plug it in, or choose another one.",
    )
}

/// For a camera that was open and cannot be read any more.
pub(super) fn unplugged() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamUnplugged,
        "The camera was unplugged. Plug it in again, or choose another one.",
    )
}

/// For a driver that does not `action` in time.
pub(super) fn timeout(action: &str) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamTimeout,
        format!(
            "The camera does not {action}. Unplug it and plug it in again, or choose another one."
        ),
    )
}

/// For a camera that delivers nothing that can be shown, whatever the format.
pub(super) fn only_broken_frames() -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamFormat,
        "The camera delivers broken frames. Unplug it and plug it in again, or choose another one.",
    )
}
