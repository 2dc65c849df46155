//! `tandem devices`: lists cameras with their formats, microphones and speakers, for people or as
//! JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use tandem_media::DeviceError;
use tandem_media::audio::{AudioDeviceInfo, list_microphones, list_speakers};
use tandem_media::video::{CameraFormat, CameraInfo, list_cameras};

use crate::headless::Exit;

/// The devices of this machine. A kind that could not be listed is empty here and named in
/// `errors`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceList {
    /// Cameras, each with the formats it reports.
    pub cameras: Vec<CameraInfo>,
    /// Microphones.
    pub microphones: Vec<AudioDeviceInfo>,
    /// Speakers.
    pub speakers: Vec<AudioDeviceInfo>,
    /// The kinds that could not be listed.
    pub errors: Vec<ListError>,
}

/// A kind of device, written in JSON as the key of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceKind {
    /// `cameras`.
    Cameras,
    /// `microphones`.
    Microphones,
    /// `speakers`.
    Speakers,
}

/// A kind of device that could not be listed.
#[derive(Debug, Serialize)]
pub struct ListError {
    /// Which list is empty because of the error.
    pub kind: DeviceKind,
    /// Why, as code and sentence.
    #[serde(flatten)]
    pub error: DeviceError,
}

impl DeviceList {
    /// Asks the system, which may take seconds. A failure for one kind does not hide the others.
    pub fn query() -> Self {
        let mut errors = Vec::new();
        Self {
            cameras: devices_or_error(DeviceKind::Cameras, list_cameras(), &mut errors),
            microphones: devices_or_error(DeviceKind::Microphones, list_microphones(), &mut errors),
            speakers: devices_or_error(DeviceKind::Speakers, list_speakers(), &mut errors),
            errors,
        }
    }

    /// The list as text, with the flag that selects a device of each kind.
    fn text(&self) -> String {
        let mut out = String::new();
        let section = |out: &mut String, title: &str, kind: DeviceKind, empty: bool| {
            let _ = writeln!(out, "{title}");
            let error = self.errors.iter().find(|error| error.kind == kind);

            match error {
                Some(error) => drop(writeln!(out, "  {}", error.error)),
                None if empty => drop(writeln!(out, "  none")),
                None => {}
            }
        };

        section(
            &mut out,
            "Cameras (--video camera:NAME)",
            DeviceKind::Cameras,
            self.cameras.is_empty(),
        );
        for camera in &self.cameras {
            camera_lines(&mut out, camera);
        }

        section(
            &mut out,
            "Microphones (--audio microphone:NAME)",
            DeviceKind::Microphones,
            self.microphones.is_empty(),
        );
        self.microphones
            .iter()
            .for_each(|device| audio_line(&mut out, device));
        section(
            &mut out,
            "Speakers (--speaker NAME)",
            DeviceKind::Speakers,
            self.speakers.is_empty(),
        );
        self.speakers
            .iter()
            .for_each(|device| audio_line(&mut out, device));

        out
    }
}

/// Prints the list. The exit code is 5 if a kind could not be listed; the others are still
/// printed.
pub fn main(json: bool) -> ExitCode {
    let devices = DeviceList::query();
    let text = if json {
        serde_json::to_string_pretty(&devices).map(|json| json + "\n")
    } else {
        Ok(devices.text())
    };

    let written = text
        .map_err(io::Error::from)
        .and_then(|text| io::stdout().write_all(text.as_bytes()));
    let exit = if written.is_ok() && devices.errors.is_empty() {
        Exit::Success
    } else {
        Exit::Device
    };

    ExitCode::from(exit.code())
}

/// The devices that were listed; notes a failure. A machine without devices of a kind has an empty
/// list, not an error.
fn devices_or_error<T>(
    kind: DeviceKind,
    listed: Result<Vec<T>, DeviceError>,
    errors: &mut Vec<ListError>,
) -> Vec<T> {
    match listed {
        Ok(devices) => devices,
        Err(error) if error.code.is_not_found() => Vec::new(),
        Err(error) => {
            errors.push(ListError { kind, error });
            Vec::new()
        }
    }
}

fn camera_lines(out: &mut String, camera: &CameraInfo) {
    let _ = writeln!(out, "  {} (index {})", camera.name, camera.index);
    if camera.formats.is_empty() {
        let _ = writeln!(out, "    no formats reported; it may be in use");
    }

    // One line per size and pixel format; formats that differ only in their rate are neighbors.
    for same_size in camera
        .formats
        .chunk_by(|a, b| (a.width, a.height, a.pixels) == (b.width, b.height, b.pixels))
    {
        let CameraFormat {
            width,
            height,
            pixels,
            ..
        } = same_size[0];
        let rates: Vec<u32> = same_size.iter().map(|format| format.fps).collect();
        let _ = writeln!(
            out,
            "    {width}x{height} {pixels:?} at {} frames/s",
            joined(&rates)
        );
    }
}

fn audio_line(out: &mut String, device: &AudioDeviceInfo) {
    let mark = if device.default { " (default)" } else { "" };
    let _ = writeln!(out, "  {}{mark}", device.name);
    let _ = writeln!(
        out,
        "    id {}, {} Hz, {} channels",
        device.id,
        joined(&device.rates),
        joined(&device.channels)
    );
}

fn joined<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("/")
}
