//! The operator's side of the admin socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{AdminAnswer, AdminCommand};

/// For a server that hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a command to the server with this socket, and returns its answer. Blocks, at most for as long
/// as the server is silent for 30 s.
///
/// # Errors
/// A sentence for the operator: no server is there, it does not answer, or it could not carry the
/// command out.
pub fn ask_admin(socket: &Path, command: &AdminCommand) -> Result<Value, String> {
    let name = socket.display();
    let stream = connection::open(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no server listens at {name}: start it with --admin-socket {name}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("only the user who runs the server, or {ROOT}, may use {name}")
        }
        _ => format!("cannot connect to {name}: {error}"),
    })?;

    let answer = serde_json::to_vec(command)
        .map_err(io::Error::other)
        .and_then(|line| connection::exchange(stream, line))
        .and_then(|answer| serde_json::from_slice(&answer).map_err(io::Error::other))
        .map_err(|error| format!("the server at {name} did not answer: {error}"))?;
    match answer {
        AdminAnswer::Ok(value) => Ok(value),
        AdminAnswer::Error(sentence) => Err(sentence),
    }
}

/// Sends a line, and reads the one that answers it.
fn talk(mut stream: impl Read + Write, mut line: Vec<u8>) -> io::Result<Vec<u8>> {
    line.push(b'\n');
    stream.write_all(&line)?;

    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer)?;
    Ok(answer)
}

#[cfg(unix)]
use self::unix as connection;
#[cfg(windows)]
use self::windows as connection;

/// Who may use the socket of anyone.
#[cfg(unix)]
const ROOT: &str = "root";
#[cfg(windows)]
const ROOT: &str = "an administrator";

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::ANSWER_TIMEOUT;

    pub(super) fn open(socket: &Path) -> io::Result<UnixStream> {
        UnixStream::connect(socket)
    }

    pub(super) fn exchange(stream: UnixStream, line: Vec<u8>) -> io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        super::talk(stream, line)
    }
}

#[cfg(windows)]
mod windows {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::ANSWER_TIMEOUT;

    /// The server may know who asks, and not act in their name (`SECURITY_IDENTIFICATION`).
    const IDENTIFICATION: u32 = 1 << 16;
    /// `ERROR_PIPE_BUSY`: the server is about to offer the next instance.
    const BUSY: i32 = 231;
    const PAUSE: Duration = Duration::from_millis(50);
    /// A busy pipe is tried for about 5 s.
    const ATTEMPTS: u32 = 100;

    pub(super) fn open(pipe: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.security_qos_flags(IDENTIFICATION);

        for _ in 1..ATTEMPTS {
            match options.open(pipe) {
                Err(error) if error.raw_os_error() == Some(BUSY) => thread::sleep(PAUSE),
                opened => return opened,
            }
        }
        options.open(pipe)
    }

    /// A pipe has no timeouts, so another thread talks. If the server hangs, it is left behind.
    pub(super) fn exchange(pipe: File, line: Vec<u8>) -> io::Result<Vec<u8>> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(super::talk(pipe, line)));
        receiver
            .recv_timeout(ANSWER_TIMEOUT)
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
