//! Keys that outlive the server that made them, each in a file of its own: 64 hexadecimal digits.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a key: as many as a hash of HMAC-SHA-256 has (RFC 2104 §3).
pub(super) const KEY_BYTES: usize = 32;

/// A new key.
///
/// # Errors
/// If the system has no random numbers.
pub(super) fn random() -> Result<[u8; KEY_BYTES], String> {
    let mut bytes = [0; KEY_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system has no random numbers for a key".to_owned())?;
    Ok(bytes)
}

/// Reads the key in this file. If there is no file, makes one with a new key, readable by its owner only;
/// then the second value is true. `name` says to the operator which key it is.
///
/// # Errors
/// A sentence with the name of the file and what is wrong.
pub(super) fn read_or_make(path: &Path, name: &str) -> Result<([u8; KEY_BYTES], bool), String> {
    let file = path.display();
    let is_new = match make(path, &random()?) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(format!("cannot write a new {name} to {file}: {error}")),
    };

    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read the {name} {file}: {error}"))?;
    let bytes = from_hex(text.trim()).ok_or_else(|| {
        format!("the {name} {file} is not 64 hexadecimal digits: `openssl rand -hex 32` makes one")
    })?;

    Ok((bytes, is_new))
}

/// Writes a key where there is none. Several servers may start at the same moment, so the file
/// appears with all of its contents.
fn make(path: &Path, bytes: &[u8; KEY_BYTES]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }

    // Not the process id: in two containers that share a volume it may be the same.
    let temporary = path.with_added_extension(format!("{:016x}.new", rand::random::<u64>()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    let made = options.open(&temporary).and_then(|mut file| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{digits}")?;
        file.sync_all()?;
        // Unlike a rename, a link does not replace what another server has made meanwhile.
        fs::hard_link(&temporary, path)
    });

    // Whether or not it was linked.
    let _ = fs::remove_file(&temporary);
    made
}

/// Reads exactly `N` bytes.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }

    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }

    Some(bytes)
}
