//! Remembers which static libvpx the release builds of a target folder have.
//!
//! With `VPX_LIB_DIR`, the build script of libvpx-native-sys 5.0.17 watches nothing: it prints
//! `rerun-if-changed` without `cargo:`. So cargo would go on linking the library of an earlier build
//! after an update of the one that the variables name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use super::{FILES, Library};
use crate::shell::Shell;

/// What is known about the library of earlier release builds.
pub(crate) struct Record {
    file: PathBuf,
    /// The library that the next one is to have.
    wanted: String,
}

impl Record {
    /// The record of the target folder `target`, for a build with `library`.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub(crate) fn new(target: &Path, library: &Library) -> Result<Self> {
        Ok(Self {
            file: target.join("static-libvpx.txt"),
            wanted: describe(library)?,
        })
    }

    /// Whether earlier builds had that library and no other.
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|recorded| recorded == self.wanted)
    }

    /// Makes the next release build link the library anew, unless earlier ones had it.
    ///
    /// # Errors
    /// When cargo cannot remove what it has built.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }

        Shell::cargo(["clean", "--release", "--package", "libvpx-native-sys"]).run()
    }

    /// The build is done.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        fs::write(&self.file, &self.wanted)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// Where a library is, its version, and the size and time of its file.
fn describe(library: &Library) -> Result<String> {
    let mut files = FILES.iter().map(|name| library.folder.join(name));
    let file = files
        .find(|file| file.is_file())
        .with_context(|| format!("there is no libvpx in {}", library.folder.display()))?;
    let metadata = fs::metadata(&file)?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH)?;
    Ok(format!(
        "{}\nversion {}\n{} bytes\nchanged {} ns\n",
        file.display(),
        library.version,
        metadata.len(),
        changed.as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn another_library_than_that_of_the_last_build_is_noticed() {
        let (target, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = folder.path().join(FILES[0]);
        let library = |version: &str| Library {
            folder: folder.path().to_owned(),
            version: version.to_owned(),
        };
        let record = |version| Record::new(target.path(), &library(version));
        assert!(record("1.12.0").is_err(), "there is no library yet");

        fs::write(&file, "old").unwrap();
        let first = record("1.12.0").unwrap();
        assert!(!first.is_current(), "nothing is known of earlier builds");
        first.write().unwrap();
        assert!(record("1.12.0").unwrap().is_current(), "the same");
        assert!(!record("1.13.0").unwrap().is_current(), "another version");

        fs::write(&file, "newer").unwrap();
        let updated = record("1.12.0").unwrap();
        assert!(!updated.is_current(), "another size");
        updated.write().unwrap();

        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(tomorrow).unwrap();
        assert!(!record("1.12.0").unwrap().is_current(), "another time");
    }
}
