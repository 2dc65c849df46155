//! The operator's side of the admin socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
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
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no server listens at {name}: start it with --admin-socket {name}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("only the user who runs the server, or root, may use {name}")
        }
        _ => format!("cannot connect to {name}: {error}"),
    })?;

    let answer = exchange(stream, command)
        .map_err(|error| format!("the server at {name} did not answer: {error}"))?;
    match answer {
        AdminAnswer::Ok(value) => Ok(value),
        AdminAnswer::Error(sentence) => Err(sentence),
    }
}

fn exchange(mut stream: UnixStream, command: &AdminCommand) -> io::Result<AdminAnswer> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;

    let mut line = serde_json::to_vec(command).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.shutdown(Shutdown::Write)?;

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    serde_json::from_slice(&answer).map_err(io::Error::other)
}
