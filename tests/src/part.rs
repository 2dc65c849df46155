//! Parts of a machine that some tests need and not every machine has.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::message_bus::PYTHON;
use crate::process::tool;
use crate::wine::{COMPILER, WINE};
use crate::{Overlay, aiortc, clip, guest, network};

/// Something outside the workspace that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// PulseAudio and its command-line tools.
    PulseAudio,
    /// Speech synthesis: espeak-ng and sox.
    Speech,
    /// The `ffmpeg` program.
    Ffmpeg,
    /// A video clip with real motion, by its file name.
    Clip(&'static str),
    /// A QEMU guest with a camera and a sound card.
    Guest,
    /// Chromium, and Node.js with the driver that opens it.
    Chromium,
    /// Firefox, and Node.js with the driver that opens it.
    Firefox,
    /// Node.js with the packages of `ui/`.
    UiPackages,
    /// The Python package aiortc.
    Aiortc,
    /// The TURN server coturn, with its test client.
    Coturn,
    /// The HTTP proxy tinyproxy.
    Tinyproxy,
    /// The `redis-server` program.
    Redis,
    /// A C compiler, as `cc`.
    CCompiler,
    /// `systemd-analyze`, which checks systemd units.
    SystemdAnalyze,
    /// Xvfb, on which the window opens, and WebKitWebDriver, which controls it.
    Window,
    /// The X tools that say which window is in front.
    XTools,
    /// A window manager, which moves the focus between windows, and the X tools.
    WindowManager,
    /// Tauri's bundler, and `dpkg-deb` to unpack its packages.
    Bundler,
    /// `dpkg`, and permission to run it in an overlay over this machine.
    Overlay,
    /// `ip`, and permission to make network namespaces with it.
    Network,
    /// `ip`, and permission to make network namespaces and TUN devices.
    Tun,
    /// The tools that read RPM packages.
    Rpm,
    /// What packs the setup for Windows (NSIS, and the packages of the page, whose licenses are in it) and
    /// runs it: a C compiler for Windows, and Wine.
    WindowsSetup,
    /// A machine without a camera.
    NoCamera,
    /// `/dev/full`, where every write fails as on a full disk.
    FullDisk,
    /// The `dbus-daemon` program, for a message bus of the test's own.
    MessageBus,
    /// python-dbusmock, which stands for services on a message bus, and the bus.
    BusMock,
}

impl Part {
    /// Checks that this machine has the part.
    ///
    /// # Errors
    /// What is missing, for the summary of `cargo xtask test`.
    pub fn check(self) -> Result<(), String> {
        let programs = |names: &[&str]| match names.iter().find(|name| which(name).is_none()) {
            Some(name) => Err(format!("{name} is not installed")),
            None => Ok(()),
        };

        let file = |path: &Path, what: &str| {
            if path.exists() {
                Ok(())
            } else {
                Err(format!("{what} is missing"))
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
                    "the browser driver playwright-core",
                )
            }
            Self::Firefox => {
                programs(&["node", "firefox-esr"])?;
                file(
                    &source("browser/node_modules/puppeteer-core"),
                    "the browser driver puppeteer-core",
                )
            }
            Self::UiPackages => {
                programs(&["node"])?;
                file(&source("../ui/node_modules/vite"), "the packages of ui/")
            }
            Self::Aiortc => {
                programs(&["python3"])?;
                file(&aiortc::packages().join("aiortc"), "the package aiortc")
            }
            Self::Tinyproxy => programs(&["tinyproxy"]),
            Self::Redis => programs(&["redis-server"]),
            Self::CCompiler => programs(&["cc"]),
            Self::SystemdAnalyze => programs(&["systemd-analyze"]),
            Self::Coturn => programs(&["turnserver", "turnutils_uclient"]),
            Self::Window => programs(&["Xvfb", "WebKitWebDriver"]),
            Self::XTools => programs(&["xwininfo", "xprop"]),
            Self::WindowManager => programs(&["openbox", "xprop"]),
            Self::Bundler => {
                programs(&["node", "dpkg-deb"])?;
                file(
                    &source("../ui/node_modules/.bin/tauri"),
                    "the bundler of the Tauri CLI",
                )
            }
            Self::Overlay => {
                programs(&["unshare", "nsenter", "chroot", "dpkg"])?;
                Overlay::check()
            }
            Self::Network => {
                programs(&["ip", "sysctl"])?;
                network::check()
            }
            #[cfg(target_os = "linux")]
            Self::Tun => {
                programs(&["ip"])?;
                crate::linked_hosts::check()
            }
            #[cfg(not(target_os = "linux"))]
            Self::Tun => Err(String::from("this part exists on Linux only")),
            Self::Rpm => programs(&["rpm", "rpm2cpio", "cpio"]),
            Self::WindowsSetup => {
                programs(&["makensis", COMPILER, "x86_64-w64-mingw32-g++"])?;
                file(Path::new(WINE), "Wine")?;
                Self::UiPackages.check()
            }
            Self::NoCamera => match (0..64)
                .map(|n| format!("/dev/video{n}"))
                .find(|path| Path::new(path).exists())
            {
                Some(camera) => Err(format!("a camera is plugged in: {camera}")),
                None => Ok(()),
            },
            Self::FullDisk => file(Path::new("/dev/full"), "/dev/full"),
            Self::MessageBus => programs(&["dbus-daemon"]),
            Self::BusMock => {
                programs(&["dbus-daemon"])?;
                let import = tool(PYTHON, ["-c", "import dbusmock"]);
                import
                    .map(drop)
                    .map_err(|_| "python-dbusmock is not installed".into())
            }
        }
    }
}

/// Ends the test as passed if this machine lacks a part. Prints the reason and logs it for the
/// summary of `cargo xtask test`.
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

/// Prints that a test is skipped, and appends it to the file that `TANDEM_SKIP_LOG` names. Use
/// [`require!`], which knows the test's name.
pub fn skip(place: &str, reason: &str) {
    // In an async test, `here` is nested in a closure.
    let test = place
        .trim_end_matches("::here")
        .trim_end_matches("::{{closure}}");
    println!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os("TANDEM_SKIP_LOG") else {
        return;
    };

    let logged = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{test}: {reason}"));

    if let Err(error) = logged {
        println!(
            "(cannot write this to {}: {error})",
            Path::new(&path).display()
        );
    }
}

/// Finds a program on `PATH`, or in `/usr/sbin` and `/sbin`, which are not on every user's `PATH`.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The path of a file, relative to the folder of this crate.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder in which `cargo xtask setup` keeps its downloads: `TANDEM_CACHE_DIR`, or `tandem` in
/// the user's cache.
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
    fn a_missing_clip_is_named_in_the_reason() {
        let reason = Part::Clip("no-such-clip.mp4")
            .check()
            .expect_err("there is no such clip");
        assert!(
            reason.contains("no-such-clip.mp4"),
            "the reason names the clip: {reason}"
        );
    }
}
