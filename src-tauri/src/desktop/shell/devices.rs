//! The cameras, microphones and speakers of this machine, and when they change.

use std::sync::Arc;
use std::time::Duration;

use tandem_media::DeviceError;
use tandem_media::audio::AudioDeviceWatch;
use tokio::sync::Notify;

use super::Handle;
use crate::desktop::app::camera_id;
use crate::desktop::command::Command;
use crate::desktop::state::{Devices, MenuDevice, ProblemPlace};
use crate::devices::{DeviceKind, DeviceList};

/// How often to poll for cameras that were plugged in or out.
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

/// Requests a new list whenever a device was plugged in or out. For microphones and speakers the
/// sound server reports that. For cameras no supported system does without another library, so this
/// polls. It polls names only, because a full list opens the devices.
pub async fn watch(handle: Handle) {
    let audio_changed = Arc::new(Notify::new());
    let _audio = AudioDeviceWatch::start({
        let audio_changed = Arc::clone(&audio_changed);
        Box::new(move || audio_changed.notify_one())
    });

    let mut known = cameras();
    let mut ticks = tokio::time::interval(POLL_INTERVAL);

    loop {
        let changed = tokio::select! {
            () = audio_changed.notified() => true,
            _ = ticks.tick() => {
                let before = std::mem::replace(&mut known, cameras());
                before != known
            }
        };

        if changed {
            // Refused only while the app closes.
            let _ = handle.command(Command::RefreshDevices).await;
        }
    }
}

/// The names of the cameras in the kernel.
#[cfg(target_os = "linux")]
fn cameras() -> Vec<String> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut all: Vec<String> = names.filter(|name| name.starts_with("video")).collect();
    all.sort();

    all
}

/// Nothing to compare: a list is too expensive to poll here. The user refreshes the menu.
#[cfg(not(target_os = "linux"))]
fn cameras() -> Vec<String> {
    Vec::new()
}
