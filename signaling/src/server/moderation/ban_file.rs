//! The bans of a server without a shared store, in a file: they hold after a restart.
//!
//! One ban per line: the hash, and until when as Unix time in milliseconds.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::bans::UntilMs;
use super::files::write_whole;
use super::key::PeerHash;

/// Reads the file; none are no bans.
///
/// # Errors
/// A sentence with the name of the file, and the line that is not valid.
pub(super) fn read(path: &Path) -> Result<Vec<(PeerHash, UntilMs)>, String> {
    let name = path.display();
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| format!("cannot read the bans in {name}: {error}"))?,
    };

    let entry = |line: &str| {
        let (peer, until) = line.split_once(' ')?;
        Some((peer.parse().ok()?, until.parse().ok()?))
    };
    text.lines()
        .enumerate()
        .map(|(at, line)| {
            let number = at + 1;
            entry(line).ok_or_else(|| format!("in {name}, line {number} is not a ban"))
        })
        .collect()
}

/// Writes the file anew.
///
/// # Errors
/// The system's error. The old file stays then.
pub(super) fn write(path: &Path, bans: &[(PeerHash, UntilMs)]) -> io::Result<()> {
    write_whole(path, |file| {
        let mut file = io::BufWriter::new(file);
        for (peer, until) in bans {
            writeln!(file, "{peer} {until}")?;
        }

        file.flush()
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bans");
        assert_eq!(read(&path), Ok(Vec::new()));

        let bans: Vec<_> = (0..3)
            .map(|n| (PeerHash::of_bytes([n; 16]), u64::from(n) * 1_000))
            .collect();
        write(&path, &bans).unwrap();
        assert_eq!(read(&path), Ok(bans));
        write(&path, &[]).unwrap();
        assert_eq!(read(&path), Ok(Vec::new()));

        for bad in ["192.0.2.7 5", "00000000000000000000000000000000", "x"] {
            fs::write(&path, bad).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains("line 1"), "{bad}: {error}");
        }
    }
}
