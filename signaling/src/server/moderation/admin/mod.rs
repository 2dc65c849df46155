//! What the operator can ask a running server, and the socket for it.
//!
//! A connection carries one command, a JSON object and a line feed, and one answer. The socket is a
//! file that only the server's user and root can open, or on Windows a named pipe of that user and the
//! administrators; there is none on the network.
//!
//! - `execute`: what each command does; `exchange`: reading it, and writing the answer.
//! - `socket` (Unix) and `pipe` (Windows): the listening side; `client`: the other.

mod client;
mod exchange;
mod execute;
#[cfg(windows)]
mod pipe;
#[cfg(unix)]
mod socket;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::client::ask_admin;
#[cfg(windows)]
use self::pipe::AdminSocket;
#[cfg(unix)]
use self::socket::AdminSocket;

/// The admin socket, if there is to be one.
///
/// # Errors
/// A sentence that says why there cannot be one.
pub(in crate::server) fn admin_socket(path: Option<&Path>) -> Result<Option<AdminSocket>, String> {
    path.map(AdminSocket::bind).transpose()
}

/// The longest command, in bytes, with its line feed.
pub const MAX_ADMIN_COMMAND_BYTES: usize = 4096;
/// The longest note about a report, in characters.
const MAX_NOTE_CHARS: usize = 500;
/// No id, hash or subject is longer, in bytes.
const MAX_NAME_BYTES: usize = 512;
/// The most reports in one answer.
const MAX_LISTED: usize = 10_000;
/// The reports in an answer, if the command names no number.
const DEFAULT_LISTED: usize = 100;

/// A command to a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminCommand {
    /// Who is connected, or away and expected back.
    Connections {},
    /// The calls with a side on this server.
    Calls {},
    /// End a user's connection and call. It may come back.
    Kick {
        /// Its `userId`.
        user: String,
    },
    /// Keep somebody out and end its calls.
    Ban {
        /// A `peer` of a report, `user:SUB`, the `userId` of someone connected here, or a `reportId`,
        /// which stands for the one it reports.
        who: String,
        /// For how many seconds; without, for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
    /// Lift a ban.
    Unban {
        /// As for [`Ban`](Self::Ban).
        who: String,
    },
    /// The bans that hold, the first to end first.
    Bans {},
    /// The newest reports, newest first.
    Reports {
        /// Closed ones, too.
        #[serde(default)]
        all: bool,
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    },
    /// One report.
    Report {
        /// Its `reportId`.
        id: String,
    },
    /// Mark a report as dealt with.
    Close {
        /// Its `reportId`.
        id: String,
        /// What was done, for other moderators.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Delete a report and its snapshot.
    Delete {
        /// Its `reportId`.
        id: String,
    },
    /// Delete every report that somebody has made, with its snapshots.
    DeleteReporter {
        /// The `peer` of the reporter, or `user:SUB`.
        who: String,
    },
    /// Shut the server down as SIGTERM does: calls may end before.
    Drain {},
    /// How much is going on.
    Stats {},
}

/// What came back from a server. Exactly one of the two is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdminAnswer {
    /// The command was carried out.
    Ok(Value),
    /// It was not; a sentence says why.
    Error(String),
}

/// Reads a command. Anything may be in `line`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn parse_command(line: &[u8]) -> Result<AdminCommand, String> {
    if line.len() > MAX_ADMIN_COMMAND_BYTES {
        return Err(format!(
            "a command may have at most {MAX_ADMIN_COMMAND_BYTES} bytes"
        ));
    }

    let mut command: AdminCommand =
        serde_json::from_slice(line).map_err(|error| format!("this is no command: {error}"))?;

    let name = match &mut command {
        AdminCommand::Kick { user: name }
        | AdminCommand::Ban { who: name, .. }
        | AdminCommand::Unban { who: name }
        | AdminCommand::DeleteReporter { who: name }
        | AdminCommand::Report { id: name }
        | AdminCommand::Delete { id: name } => name,
        AdminCommand::Close { id, note } => {
            if let Some(note) = note {
                note.retain(|c| !c.is_control());
                if note.chars().count() > MAX_NOTE_CHARS {
                    return Err(format!(
                        "a note may have at most {MAX_NOTE_CHARS} characters"
                    ));
                }
            }

            id
        }
        _ => return Ok(command),
    };

    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("a name has 1 to {MAX_NAME_BYTES} bytes"));
    }

    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;
    use tokio::task::spawn_blocking;

    use super::*;
    use crate::server::SignalingServer;

    /// A name for a socket, and what keeps it until it is dropped.
    fn socket() -> (PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        let path = folder.path().join("admin.sock");
        #[cfg(windows)]
        let path = {
            let unique = folder.path().file_name().unwrap().to_owned();
            PathBuf::from(r"\\.\pipe\tandem-test").with_added_extension(unique)
        };

        (path, folder)
    }

    async fn ask(socket: &Path, command: AdminCommand) -> Result<Value, String> {
        let socket = socket.to_owned();
        let asked = spawn_blocking(move || ask_admin(&socket, &command));
        asked.await.expect("it does not panic")
    }

    #[tokio::test]
    async fn a_running_server_answers_one_command_after_the_other() {
        let (path, _folder) = socket();
        let server = SignalingServer::builder().listen("127.0.0.1:0");
        let server = server.admin_socket(&path).start().await.unwrap();
        for _ in 0..20 {
            let stats = ask(&path, AdminCommand::Stats {}).await.unwrap();
            assert_eq!(stats["connections"], 0, "{stats}");
        }

        let user = "nobody".to_owned();
        let refused = ask(&path, AdminCommand::Kick { user }).await.unwrap_err();
        assert!(refused.contains("userId"), "{refused}");

        let together: Vec<_> = (0..20).map(|_| ask(&path, AdminCommand::Bans {})).collect();
        for answer in futures_util::future::join_all(together).await {
            assert_eq!(answer, Ok(json!([])), "also when it is busy");
        }

        server.shutdown().await;
        assert!(
            ask(&path, AdminCommand::Stats {}).await.is_err(),
            "it is gone"
        );
    }

    #[test]
    fn every_command_is_read_as_it_is_written() {
        let (who, id) = ("u".to_owned(), "r".to_owned());
        let note = Some("warned".to_owned());
        for command in [
            AdminCommand::Connections {},
            AdminCommand::Calls {},
            AdminCommand::Kick { user: who.clone() },
            AdminCommand::Ban {
                who: who.clone(),
                seconds: Some(60),
            },
            AdminCommand::Unban { who },
            AdminCommand::Bans {},
            AdminCommand::Reports {
                all: true,
                limit: Some(7),
            },
            AdminCommand::Report { id: id.clone() },
            AdminCommand::Close {
                id: id.clone(),
                note,
            },
            AdminCommand::Delete { id },
            AdminCommand::Drain {},
            AdminCommand::Stats {},
        ] {
            let line = serde_json::to_vec(&command).unwrap();
            assert_eq!(parse_command(&line), Ok(command));
        }
    }

    #[test]
    fn other_things_are_no_commands() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "command": "format" }),
            json!({ "command": "kick" }),
            json!({ "command": "kick", "user": 7 }),
            json!({ "command": "kick", "user": "" }),
            json!({ "command": "kick", "user": long }),
            json!({ "command": "ban", "who": "u", "seconds": -1 }),
            json!({ "command": "ban", "who": "u", "second": 1 }),
            json!({ "command": "bans", "who": "u" }),
            json!({ "command": "close", "id": "r", "note": "é".repeat(MAX_NOTE_CHARS + 1) }),
        ] {
            let line = serde_json::to_vec(&bad).unwrap();
            assert!(parse_command(&line).is_err(), "{bad}");
        }

        for bad in [&b""[..], b"\xFF", b"{\"command\":\"stats\"", b"stats"] {
            assert!(parse_command(bad).is_err(), "{bad:?}");
        }

        let padded = [
            &b"{\"command\":\"stats\"}"[..],
            &[b' '; MAX_ADMIN_COMMAND_BYTES],
        ]
        .concat();
        let error = parse_command(&padded).unwrap_err();
        assert!(error.contains("4096"), "{error}");
    }

    #[test]
    fn control_characters_leave_a_note() {
        let line = json!({ "command": "close", "id": "r", "note": "a\u{1b}[31mb\n" });
        let AdminCommand::Close { note, .. } = parse_command(line.to_string().as_bytes()).unwrap()
        else {
            panic!("a close");
        };
        assert_eq!(note.as_deref(), Some("a[31mb"));
    }
}
