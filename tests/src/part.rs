//! The parts of a machine that some tests need and not every machine has.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Overlay, clip, guest};

/// Something outside the workspace that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A private PulseAudio, and ALSA's way to it.
    PulseAudio,
    /// Spoken sentences: espeak-ng and sox.
    Speech,
    /// ffmpeg.
    Ffmpeg,
    /// A clip with real motion: its file name.
    Clip(&'static str),
    /// A guest machine with a camera and a sound card.
    Guest,
    /// Chromium and the driver that opens it.
    Chromium,
    /// coturn, with the client that comes with it.
    Coturn,
    /// Redis's server.
    Redis,
    /// A C compiler.
    CCompiler,
    /// systemd's tool that checks units.
    SystemdAnalyze,
    /// A screen for the window, and WebKitWebDriver to press its buttons.
    Window,
    /// The tools that ask a screen which window is in front.
    XTools,
    /// What packs the app, and what unpacks it.
    Bundler,
    /// Debian's package manager, and leave to try it in an overlay over this machine.
    Overlay,
    /// The tools that look into RPM packages.
    Rpm,
    /// That no camera is plugged in.
    NoCamera,
    /// `/dev/full`, the device on which every disk is full.
    FullDisk,
}

impl Part {
    /// `Err` says what is missing, for the one who reads the summary.
    ///
    /// # Errors
    /// When this machine lacks it.
    pub fn check(self) -> Result<(), String> {
        let programs = |names: &[&str]| match names.iter().find(|name| which(name).is_none()) {
            Some(name) => Err(format!("{name} is not installed")),
            None => Ok(()),
        };

        let file = |path: &Path, what: &str| {
            if path.exists() {
                Ok(())
            } else {
                Err(format!("{what} is not there"))
            }
        };

        let is_portable = matches!(self, Self::Ffmpeg | Self::Redis | Self::CCompiler);
        if !cfg!(target_os = "linux") && !is_portable {
            return Err(String::from("this part exists on Linux only"));
        }

        match self {
            Self::PulseAudio => programs(&["pulseaudio", "pactl", "parec", "paplay"]),
            Self::Speech => programs(&["espeak-ng", "sox"]),
            Self::Ffmpeg => programs(&["ffmpeg"]),
            Self::Clip(name) => file(&clip::folder().join(name), &format!("the clip {name}")),
            Self::Guest => {
                programs(&[
                    "qemu-system-x86_64",
                    "busybox",
                    "cpio",
                    "modprobe",
                    "ffmpeg",
                    "aplay",
                ])?;
                file(&guest::kernel(), "the guest's kernel")
            }
            Self::Chromium => {
                programs(&["node", "chromium"])?;
                file(
                    &source("browser/node_modules/playwright-core"),
                    "the browser driver",
                )
            }
            Self::Redis => programs(&["redis-server"]),
            Self::CCompiler => programs(&["cc"]),
            Self::SystemdAnalyze => programs(&["systemd-analyze"]),
            Self::Coturn => programs(&["turnserver", "turnutils_uclient"]),
            Self::Window => programs(&["Xvfb", "WebKitWebDriver"]),
            Self::XTools => programs(&["xwininfo", "xprop"]),
            Self::Bundler => {
                programs(&["node", "dpkg-deb"])?;
                file(&source("../ui/node_modules/.bin/tauri"), "the packer")
            }
            Self::Overlay => {
                programs(&["unshare", "nsenter", "chroot", "dpkg"])?;
                Overlay::check()
            }
            Self::Rpm => programs(&["rpm", "rpm2cpio", "cpio"]),
            Self::NoCamera => match (0..64)
                .map(|n| format!("/dev/video{n}"))
                .find(|path| Path::new(path).exists())
            {
                Some(camera) => Err(format!("a camera is plugged in: {camera}")),
                None => Ok(()),
            },
            Self::FullDisk => file(Path::new("/dev/full"), "/dev/full"),
        }
    }
}

/// Ends the test, as passed, when a part of this machine is missing: the reason is printed, and noted for the summary
/// of `cargo xtask test`.
///
/// ```no_run
/// use tandem_tests::{Part, require};
///
/// fn a_call_with_a_browser() {
///     require!(Part::Chromium);
/// }
/// ```
#[macro_export]
macro_rules! require {
    ($($part:expr),+ $(,)?) => {
        $(
            if let Err(reason) = $crate::part::Part::check($part) {
                fn here() {}
                $crate::part::skip(::std::any::type_name_of_val(&here), &reason);
                return;
            }
        )+
    };
}

/// Prints and notes that a test does not run here. Use [`require!`], which knows the test's name.
pub fn skip(place: &str, reason: &str) {
    // In an async test, `here` is inside a closure.
    let test = place
        .trim_end_matches("::here")
        .trim_end_matches("::{{closure}}");
    println!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os("TANDEM_SKIP_LOG") else {
        return;
    };

    let noted = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{test}: {reason}"));

    if let Err(error) = noted {
        println!(
            "(this cannot be noted in {}: {error})",
            Path::new(&path).display()
        );
    }
}

/// A program on `PATH`, or in the folders for administrators, which are on a user's `PATH` only here and there.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A file of this crate's sources.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where `cargo xtask setup` keeps what it fetched.
pub fn cache_dir() -> PathBuf {
    let named = |variable: &str| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };

    named("TANDEM_CACHE_DIR").unwrap_or_else(|| {
        let cache =
            named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
        cache.unwrap_or_else(std::env::temp_dir).join("tandem")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_clip_is_a_reason() {
        let reason = Part::Clip("no-such-clip.mp4")
            .check()
            .expect_err("there is no such clip");
        assert!(
            reason.contains("no-such-clip.mp4"),
            "the reason names what is missing: {reason}"
        );
    }
}
