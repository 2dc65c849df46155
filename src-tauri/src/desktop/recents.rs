//! The people of earlier calls who can be rung again, and the file that keeps them.
//!
//! Each entry names a room that only the two people know. Anyone with the file can ring them, so
//! only this user can read it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_signaling::ServerUrl;
use tandem_signaling::message::{MAX_LISTEN_ROOMS, is_room_code};

use super::files;
use crate::values;

/// The largest file that is read, in bytes: twenty entries take some 5 kB.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A person of an earlier call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recent {
    /// The room in which the two can meet again.
    pub room: String,
    /// The signaling server that introduced them.
    pub server: ServerUrl,
    /// The name that the person had in that call.
    pub name: Option<String>,
    /// When the call began, in Unix time, in ms.
    pub at_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    recents: Vec<Recent>,
}

/// The place of the recent calls.
#[derive(Debug, Clone)]
pub struct RecentsFile {
    path: PathBuf,
}

impl RecentsFile {
    /// The file in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("recents.json"),
        }
    }

    /// Reads the recent calls, the newest first. A file that is not valid counts as empty: it is
    /// a convenience, and nothing that the user wrote.
    #[must_use]
    pub fn load(&self) -> Vec<Recent> {
        match files::read(&self.path, MAX_FILE_BYTES) {
            Ok(Some(text)) => parse(&text),
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot read the recent calls: starting without them");
                Vec::new()
            }
        }
    }

    /// Writes the recent calls, completely or not at all; without any, removes the file.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full.
    pub fn save(&self, recents: &[Recent]) -> io::Result<()> {
        if recents.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }

        let document = Document {
            recents: recents.to_vec(),
        };
        files::write_private(&self.path, &serde_json::to_vec_pretty(&document)?)
    }
}

/// Reads the bytes of the file. Never panics, whatever they are.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Recent> {
    let Ok(document) = serde_json::from_slice::<Document>(text) else {
        return Vec::new();
    };

    document
        .recents
        .into_iter()
        .filter(|recent| is_room_code(&recent.room))
        .map(|recent| Recent {
            name: recent.name.and_then(|name| values::name(&name).ok()),
            ..recent
        })
        .take(MAX_LISTEN_ROOMS)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recent(room: &str) -> Recent {
        Recent {
            room: room.into(),
            server: "wss://chat.example.org".parse().unwrap(),
            name: Some("Zoë 日本".into()),
            at_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn saved_people_are_read_back_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecentsFile::new(&folder.path().join("not/there/yet"));
        assert_eq!(file.load(), []);

        let people = [recent("a7"), recent("b8")];
        file.save(&people).unwrap();
        assert_eq!(file.load(), people);

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "only this user can read it");
        }

        file.save(&[]).unwrap();
        assert!(
            !file.path.exists(),
            "nothing is left of a list that was cleared"
        );
        file.save(&[]).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let text = serde_json::to_vec(&Document {
            recents: vec![recent("a b"), recent("ok")],
        })
        .unwrap();
        assert_eq!(parse(&text), [recent("ok")], "a room that cannot exist");

        let many = vec![recent("r"); 3 * MAX_LISTEN_ROOMS];
        let text = serde_json::to_vec(&Document { recents: many }).unwrap();
        assert_eq!(parse(&text).len(), MAX_LISTEN_ROOMS);

        for text in ["", "[]", "{\"recents\":7}", "\u{0}"] {
            assert_eq!(parse(text.as_bytes()), [], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
