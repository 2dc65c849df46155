//! Files that are there whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Writes a file, readable by its owner only, under another name and renames it: it is there whole,
/// or the old one stays. Returns it, open to read and to append.
///
/// # Errors
/// The system's error. The old file is as it was then.
pub(super) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let temporary = with_suffix(path, ".new");
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    let written = options.open(&temporary).and_then(|mut file| {
        file.set_len(0)?;
        write(&mut file)?;
        file.sync_data()?;
        Ok(file)
    });
    let renamed = written.and_then(|file| fs::rename(&temporary, path).map(|()| file));
    if renamed.is_err() {
        // Half a file is of no use to anyone, and the error that is returned says more.
        let _ = fs::remove_file(&temporary);
    }

    #[cfg(unix)]
    if renamed.is_ok()
        && let Some(folder) = path.parent()
    {
        // So that the new name outlives a loss of power. The file is replaced already, and some file
        // systems cannot do this: no error of the caller.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }

    renamed
}

/// This path with something added to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
