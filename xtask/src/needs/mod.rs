//! What building and testing need from the system, how to detect it, and which package brings it.

mod lists;

use std::path::{Path, PathBuf};

use crate::shell::{Shell, which};
pub(crate) use lists::{BUILD, CROSS_C, CROSS_RUST, TEST, WINDOWS_SETUP, WINE};

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

/// The systems on which something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Systems {
    linux: bool,
    macos: bool,
    windows: bool,
}

impl Systems {
    const ALL: Self = Self {
        linux: true,
        macos: true,
        windows: true,
    };
    const UNIX: Self = Self {
        windows: false,
        ..Self::ALL
    };
    const LINUX: Self = Self {
        macos: false,
        ..Self::UNIX
    };

    /// Whether a system, by the name that Rust has for it, is one of them.
    fn include(self, system: &str) -> bool {
        match system {
            "macos" => self.macos,
            "windows" => self.windows,
            _ => self.linux,
        }
    }
}

/// Something that cargo does not bring. An empty package name: the package manager has none for it.
pub(crate) struct Need {
    pub(crate) on: Systems,
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

impl Need {
    /// Whether this system needs it at all.
    pub(crate) fn belongs_here(&self) -> bool {
        self.on.include(std::env::consts::OS)
    }

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
    use super::lists::on_linux;
    use super::*;

    #[test]
    fn a_system_is_not_asked_for_what_belongs_to_another() {
        let names = |system: &str| -> Vec<&str> {
            let needs = BUILD.iter().filter(|need| need.on.include(system));
            needs.map(|need| need.what).collect()
        };
        for (system, foreign) in [
            (
                "windows",
                &["ALSA", "WebKitGTK", "libvpx headers", "pkg-config"][..],
            ),
            ("macos", &["ALSA", "WebKitGTK"]),
        ] {
            let names = names(system);
            for part in foreign {
                assert!(
                    !names.iter().any(|name| name.contains(part)),
                    "{system} needs no {part}: {names:?}"
                );
            }
        }
        assert_eq!(names("linux").len(), BUILD.len(), "Linux needs everything");
    }

    #[test]
    fn every_build_need_has_a_package_where_it_belongs_or_the_system_brings_it() {
        // Xcode's command-line tools.
        let of_xcode = ["a C compiler", "a C++ compiler", "make"];
        for need in BUILD {
            if need.on.include("macos") && !of_xcode.iter().any(|tool| need.what.starts_with(tool))
            {
                assert!(
                    !need.brew.is_empty(),
                    "{} has no package on macOS",
                    need.what
                );
            }
            if need.on.include("windows") {
                assert!(
                    !need.winget.is_empty(),
                    "{} has no package on Windows",
                    need.what
                );
            }
        }
    }

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
