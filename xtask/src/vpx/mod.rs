//! libvpx, the library for VP8: which one a build links.
//!
//! Unless told otherwise, the build script of libvpx-native-sys takes the shared library that
//! pkg-config finds. That is right for what runs on this machine only. With the variables of a
//! [`Library`] it links a static one: a program for other machines needs that, because
//! distributions ship different versions of the shared one.

pub(crate) mod record;
pub(crate) mod windows;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::Shell;

/// What compilers call the static library: GCC and clang, then Microsoft's.
const FILES: [&str; 2] = ["libvpx.a", "vpx.lib"];

/// The variables that name a [`Library`].
const FOLDER: &str = "VPX_LIB_DIR";
const VERSION: &str = "VPX_VERSION";

/// What to do on Windows, where no package manager that Tandem knows has libvpx.
const ON_WINDOWS: &str = "VP8 needs a static libvpx. Get one, for example with \
     `vcpkg install libvpx:x64-windows-static-md`, and set these variables before you build:\n\n    \
     VPX_LIB_DIR   the folder of vpx.lib, or of libvpx.a for a GNU toolchain\n    \
     VPX_VERSION   its version, as in lib\\pkgconfig\\vpx.pc\n    \
     VPX_STATIC    1\n";

/// A static libvpx.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The folder of the library.
    pub(crate) folder: PathBuf,
    /// Its version, such as `1.12.0`: decides which of its bindings libvpx-native-sys takes.
    pub(crate) version: String,
}

impl Library {
    /// The environment in which the build script of libvpx-native-sys links this library.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 3] {
        [
            (FOLDER, self.folder.clone().into()),
            (VERSION, self.version.clone().into()),
            ("VPX_STATIC", "1".into()),
        ]
    }

    /// The library that a developer on Windows named in the environment.
    fn named(folder: Option<&OsStr>, version: Option<&OsStr>) -> Result<Self> {
        let (Some(folder), Some(version)) = (folder, version) else {
            bail!("{ON_WINDOWS}");
        };

        let folder = PathBuf::from(folder);
        if !FILES.iter().any(|name| folder.join(name).is_file()) {
            bail!(
                "there is no {} in {}, which {FOLDER} names. {ON_WINDOWS}",
                FILES.join(" and no "),
                folder.display()
            );
        }

        Ok(Self {
            folder,
            version: version.to_string_lossy().into_owned(),
        })
    }
}

/// Checks on Windows that a build finds libvpx. The build script's own message there is a panic of
/// pkg-config. Other systems have a package, which `needs::BUILD` names.
///
/// # Errors
/// When it would not. The message says what to do.
pub(crate) fn check() -> Result<()> {
    if cfg!(windows) {
        from_environment()?;
    }

    Ok(())
}

fn from_environment() -> Result<Library> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    Library::named(variable(FOLDER).as_deref(), variable(VERSION).as_deref())
}

/// The static library of this machine, for programs that run on others too. `None`: it has only a
/// shared one.
///
/// # Errors
/// When it has neither.
pub(crate) fn static_library() -> Result<Option<Library>> {
    if cfg!(windows) {
        return from_environment().map(Some);
    }

    let found = Shell::new("cc", [format!("-print-file-name={}", FILES[0])]).output()?;
    let folder = Shell::new("pkg-config", ["--variable=libdir", "vpx"]).output()?;
    // The compiler knows the system's own folder, pkg-config that of Homebrew.
    let folder = first_folder([
        PathBuf::from(found.trim()),
        Path::new(folder.trim()).join(FILES[0]),
    ]);

    folder
        .map(|folder| {
            Ok(Library {
                folder,
                version: shared_version()?,
            })
        })
        .transpose()
}

/// The version of the library that pkg-config finds.
///
/// # Errors
/// When it finds none.
pub(crate) fn shared_version() -> Result<String> {
    let version = Shell::new("pkg-config", ["--modversion", "vpx"]).output()?;
    Ok(version.trim().to_owned())
}

/// The folder of the first file that exists. A compiler that does not find a file answers with its
/// name alone.
fn first_folder(candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let file = candidates
        .into_iter()
        .find(|file| file.is_absolute() && file.exists());
    file.and_then(|file| file.parent().map(Path::to_owned))
}

/// Checks that a program for other machines can be built: with libvpx inside.
///
/// # Errors
/// When this machine has no static libvpx. The message says which package has it.
pub(crate) fn require_static() -> Result<()> {
    static_library()?.map(drop).context(
        "there is no libvpx.a, so the program would need the libvpx of this machine: install the \
         package that has it (libvpx-dev; Homebrew: libvpx)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_taken_from_the_folder_that_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("libvpx.a");
        let candidates = || [PathBuf::from("libvpx.a"), file.clone()];
        assert_eq!(first_folder(candidates()), None, "there is no such file");

        std::fs::write(&file, "").expect("a writable folder");
        assert_eq!(
            first_folder(candidates()).as_deref(),
            Some(folder.path()),
            "a name alone is the compiler's way to say that it found nothing"
        );
    }

    #[test]
    fn windows_is_told_what_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = |version: Option<&str>| {
            Library::named(Some(folder.path().as_os_str()), version.map(OsStr::new))
        };
        let message = |result: Result<Library>| result.expect_err("it is refused").to_string();

        for result in [Library::named(None, None), named(None)] {
            let message = message(result);
            assert!(
                message.contains(FOLDER) && message.contains(VERSION),
                "both variables are named: {message}"
            );
        }

        let message = message(named(Some("1.15.0")));
        assert!(
            message.contains(&folder.path().display().to_string()),
            "the folder without a library is named: {message}"
        );

        std::fs::write(folder.path().join("vpx.lib"), "").expect("a writable folder");
        let library = named(Some("1.15.0")).expect("Microsoft's name is known");
        assert_eq!(library.version, "1.15.0");
    }
}
