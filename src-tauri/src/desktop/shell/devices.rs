//! The cameras, microphones and speakers of this machine, and when they change.

use std::time::Duration;

use tandem_media::DeviceError;

use super::Handle;
use crate::desktop::app::camera_id;
use crate::desktop::command::Command;
use crate::desktop::state::{Devices, MenuDevice, ProblemPlace};
use crate::devices::{DeviceKind, DeviceList};

/// How often to poll for devices that were plugged in or out.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Lists all devices for the menus, and the kinds that could not be listed. May take seconds.
#[must_use]
pub fn list() -> (Devices, Vec<(ProblemPlace, DeviceError)>) {
    let found = DeviceList::query();
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
        .map(|camera| MenuDevice {
            id: camera_id(camera.index, &camera.name, is_unique(&camera.name)),
            name: camera.name.clone(),
        })
        .collect();

    let audio = |devices: Vec<tandem_media::audio::AudioDeviceInfo>| {
        devices
            .into_iter()
            .map(|device| MenuDevice {
                id: device.id,
                name: device.name,
            })
            .collect()
    };

    let errors = found.errors.into_iter().map(|failed| {
        let place = match failed.kind {
            DeviceKind::Cameras => ProblemPlace::Camera,
            DeviceKind::Microphones => ProblemPlace::Microphone,
            DeviceKind::Speakers => ProblemPlace::Speaker,
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

/// Requests a new list whenever a device was plugged in or out. Without another library no
/// supported system notifies a program of that, so this polls. It polls names only, because a full
/// list opens the devices.
pub async fn watch(handle: Handle) {
    let mut known = plugged_in();
    let mut ticks = tokio::time::interval(POLL_INTERVAL);

    loop {
        ticks.tick().await;
        let now = plugged_in();

        if now != known {
            known = now;
            // Refused only while the app closes.
            let _ = handle.command(Command::RefreshDevices).await;
        }
    }
}

/// The names of the devices in the kernel.
#[cfg(target_os = "linux")]
fn plugged_in() -> Vec<String> {
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

/// Nothing to compare: a list is too expensive to poll here. The user refreshes the menu.
#[cfg(not(target_os = "linux"))]
fn plugged_in() -> Vec<String> {
    Vec::new()
}
