//! Small files that are read and written whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Reads a file, at most one byte more than `max_bytes`; `None` if there is none.
///
/// # Errors
/// When it cannot be opened or read.
pub(super) fn read(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };

    let mut text = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Writes a file that only this user can read, completely or not at all: beside the old one first,
/// and renamed over it once it is on the disk. Makes its folder if necessary.
///
/// # Errors
/// When the folder cannot be written or the disk is full. The old file is unchanged then.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }

    let mut new = path.as_os_str().to_owned();
    new.push(".new");

    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    // The contents must be on the disk before the name points to them.
    file.sync_all()?;

    fs::rename(&new, path)
}
