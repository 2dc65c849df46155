//! The Unix socket on which a server takes commands of its operator.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::exchange::{ACCEPT_PAUSE, MAX_CONNECTIONS, exchange};
use crate::server::shared::Shared;

/// The listening socket. Dropping it removes its file.
#[derive(Debug)]
pub(in crate::server) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Locked as long as this server runs. The system unlocks it even if the server is killed, so a
    /// socket without a lock belongs to nobody.
    _lock: File,
}

impl AdminSocket {
    /// Creates the socket, in place of one that a dead server has left. Only the user of this
    /// process and root can connect.
    ///
    /// # Errors
    /// A sentence with the name of the file: another server uses it, it is no socket, or the system
    /// refuses.
    pub(in crate::server) fn bind(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let cannot = |error: io::Error| format!("cannot create the admin socket {name}: {error}");

        let lock_path = path.with_added_extension("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_path)
            .map_err(cannot)?;
        if lock.try_lock().is_err() {
            return Err(format!(
                "another server has the admin socket {name}: give each one of its own"
            ));
        }

        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(cannot)?,
            Ok(_) => {
                return Err(format!(
                    "{name} is not a socket: choose another path for --admin-socket"
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }

        let listener = UnixListener::bind(path).map_err(cannot)?;
        // Who connects before this line is checked in `serve`.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(cannot)?;

        Ok(Self {
            listener,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Serves commands until this future is dropped.
    pub(in crate::server) async fn run(self, shared: Arc<Shared>) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };

            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        serve(stream, &shared).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "cannot accept an admin command");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // The next server would remove it, too.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(mut stream: UnixStream, shared: &Arc<Shared>) {
    if !is_operator(&stream) {
        tracing::warn!("refused an admin command of another user of this machine");
        return;
    }

    exchange(&mut stream, shared).await;
}

/// Whether the program at the other end runs as the user of this one, or as root.
fn is_operator(stream: &UnixStream) -> bool {
    // SAFETY: it has no preconditions, and cannot fail.
    let own = unsafe { libc::geteuid() };
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_a_dead_server_has_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file is still there");

        let socket = AdminSocket::bind(&path).unwrap();
        StdStream::connect(&path).expect("somebody listens");
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let error = AdminSocket::bind(&path).unwrap_err();
        assert!(error.contains("another server"), "{error}");
        StdStream::connect(&path).expect("the first one is left alone");

        drop(socket);
        assert!(!path.exists());
        AdminSocket::bind(&path).expect("the path is free again");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("important");
        fs::write(&path, "thesis").unwrap();
        let error = AdminSocket::bind(&path).unwrap_err();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "thesis");

        let nowhere = AdminSocket::bind(Path::new("/nowhere/admin.sock")).unwrap_err();
        assert!(nowhere.contains("/nowhere/admin.sock"), "{nowhere}");
    }
}
