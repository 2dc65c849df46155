//! The named pipe on which a server takes commands of its operator, on Windows.
//!
//! The user who runs the server, administrators and the system can open it, and nobody else.

mod access;

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::exchange::{ACCEPT_PAUSE, EXCHANGE_TIMEOUT, MAX_CONNECTIONS, exchange};
use crate::server::shared::Shared;

/// Where pipes of this machine are.
const PREFIX: &str = r"\\.\pipe\";

/// The pipe. While it exists, there is always an instance that waits for a client, so that nobody else
/// can take its name.
#[derive(Debug)]
pub(in crate::server) struct AdminSocket {
    name: PathBuf,
    waiting: NamedPipeServer,
}

impl AdminSocket {
    /// Creates the pipe. Programs on other machines cannot connect.
    ///
    /// # Errors
    /// A sentence with the name of the pipe: it is none, another program has it, or the system refuses.
    pub(in crate::server) fn bind(name: &Path) -> Result<Self, String> {
        let shown = name.display();
        let is_pipe = name
            .to_str()
            .and_then(|text| text.strip_prefix(PREFIX))
            .is_some_and(|text| !text.is_empty() && !text.contains('\\'));
        if !is_pipe {
            return Err(format!(
                "{shown} is not a named pipe: write --admin-socket {PREFIX}NAME"
            ));
        }

        let waiting = instance(name, true).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!(
                    "another program has the admin pipe {shown}: give each server one of its own"
                )
            }
            _ => format!("cannot create the admin pipe {shown}: {error}"),
        })?;
        Ok(Self {
            name: name.to_owned(),
            waiting,
        })
    }

    /// Serves commands until this future is dropped.
    pub(in crate::server) async fn run(self, shared: Arc<Shared>) {
        let Self { name, mut waiting } = self;
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };

            if let Err(error) = waiting.connect().await {
                tracing::warn!(kind = %error.kind(), "cannot accept an admin command");
                // The client has disconnected already.
                let _ = waiting.disconnect();
                sleep(ACCEPT_PAUSE).await;
                continue;
            }

            let next = next_instance(&name).await;
            let mut stream = mem::replace(&mut waiting, next);
            let shared = shared.clone();
            tokio::spawn(async move {
                exchange(&mut stream, &shared).await;
                // Until the client has read the answer and closes its end.
                let _ = timeout(EXCHANGE_TIMEOUT, stream.read(&mut [0])).await;
                drop(permit);
            });
        }
    }
}

/// An instance for the next client.
async fn next_instance(name: &Path) -> NamedPipeServer {
    loop {
        match instance(name, false) {
            Ok(instance) => return instance,
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "cannot accept another admin command");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn instance(name: &Path, is_first: bool) -> io::Result<NamedPipeServer> {
    let mut options = ServerOptions::new();
    options
        .first_pipe_instance(is_first)
        .reject_remote_clients(true);
    access::create(&options, name)
}

#[cfg(test)]
mod tests {
    use tokio::net::windows::named_pipe::ClientOptions;

    use super::*;

    #[tokio::test]
    async fn a_pipe_has_one_server_and_its_name_is_free_afterwards() {
        let name = PathBuf::from(format!(r"\\.\pipe\tandem-test-{}", std::process::id()));
        let first = AdminSocket::bind(&name).unwrap();
        let error = AdminSocket::bind(&name).unwrap_err();
        assert!(error.contains("another program"), "{error}");

        ClientOptions::new()
            .open(&name)
            .expect("the user who has made it can open it for reading and writing");
        drop(first);
        AdminSocket::bind(&name).expect("the name is free again");
    }

    #[tokio::test]
    async fn a_file_is_no_pipe() {
        for bad in [
            r"C:\admin.sock",
            r"\\.\pipe\",
            r"\\.\pipe\a\b",
            r"\\host\pipe\a",
        ] {
            let error = AdminSocket::bind(Path::new(bad)).unwrap_err();
            assert!(error.contains("not a named pipe"), "{bad}: {error}");
        }
    }
}
