//! What cameras, microphones and speakers there are, and when that changes.

use std::time::Duration;

use tandem_media::DeviceError;

use super::Handle;
use crate::desktop::app::camera_id;
use crate::desktop::command::Command;
use crate::desktop::state::{Device, Devices, Place};

/// How often is looked whether something was plugged in or out.
const INTERVAL: Duration = Duration::from_secs(2);

/// Lists all devices, as the menus want them. May take seconds.
#[must_use]
pub fn list() -> (Devices, Vec<(Place, DeviceError)>) {
    let found = crate::devices::Devices::list();
    let is_unique = |name: &str| {
        found
            .cameras
            .iter()
            .filter(|camera| camera.name == name)
            .count()
            == 1
    };

    let cameras = found
        .cameras
        .iter()
        .map(|camera| Device {
            id: camera_id(camera.index, &camera.name, is_unique(&camera.name)),
            name: camera.name.clone(),
        })
        .collect();

    let audio = |devices: Vec<tandem_media::audio::AudioDeviceInfo>| {
        devices
            .into_iter()
            .map(|device| Device {
                id: device.id,
                name: device.name,
            })
            .collect()
    };

    let errors = found.errors.into_iter().map(|failed| {
        let place = match failed.kind {
            "cameras" => Place::Camera,
            "microphones" => Place::Microphone,
            _ => Place::Speaker,
        };

        (place, failed.error)
    });

    let errors = errors.collect();
    (
        Devices {
            cameras,
            microphones: audio(found.microphones),
            speakers: audio(found.speakers),
        },
        errors,
    )
}

/// Has the devices listed again whenever something was plugged in or out. No system that we build for tells it to a
/// program without more libraries, so this looks; listing itself opens devices and is too much to do every time.
pub async fn watch(handle: Handle) {
    let mut known = plugged();
    let mut ticks = tokio::time::interval(INTERVAL);

    loop {
        ticks.tick().await;
        let now = plugged();

        if now != known {
            known = now;
            // Only an app that is closing refuses.
            let _ = handle.command(Command::RefreshDevices).await;
        }
    }
}

/// The names of the devices that the kernel knows.
#[cfg(target_os = "linux")]
fn plugged() -> Vec<String> {
    let names = |folder: &str, prefix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(prefix)).collect()
    };

    let mut all = names("/dev", "video");
    all.extend(names("/dev/snd", ""));
    all.sort();

    all
}

/// Elsewhere the user asks for it: listing costs too much there to be done again and again.
#[cfg(not(target_os = "linux"))]
fn plugged() -> Vec<String> {
    Vec::new()
}
