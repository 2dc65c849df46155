//! Accepting TCP connections, even when the process has no file descriptor left for one.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How long to wait before accepting again after a failure, so that a lasting failure does not
/// become a busy loop. Also how long to wait for the connection whose acceptance failed.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// What a connection beyond the limit is answered. Its request is not read.
const FULL_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n";
/// File descriptors kept free of client connections: for Redis, logs, reports, and reloading files.
const RESERVED_DESCRIPTORS: usize = 64;

/// The listening socket, and one descriptor in reserve: without a free descriptor the server cannot
/// accept a connection even to refuse it, and the client would wait forever.
pub(crate) struct Acceptor {
    listener: TcpListener,
    spare: Option<File>,
    max_sockets: usize,
}

impl Acceptor {
    /// Accepts up to `max_sockets` at the same time, or fewer if the process may not open that many
    /// files.
    pub(crate) fn new(listener: TcpListener, max_sockets: usize) -> Self {
        let limit = descriptor_limit();
        // A very small limit leaves half for connections.
        let usable = limit.saturating_sub(RESERVED_DESCRIPTORS).max(limit / 2);

        if usable < max_sockets {
            tracing::warn!(
                descriptors = limit,
                connections = usable,
                "limit of open files is below max-connections: raise it (ulimit -n, LimitNOFILE)"
            );
        }

        Self {
            listener,
            spare: spare(),
            max_sockets: usable.min(max_sockets),
        }
    }

    /// The next connection. `open` is how many connections are open; those beyond the limit get a
    /// 503 here. Cancel-safe: a spare descriptor that was given up is opened again by the next
    /// call.
    pub(crate) async fn accept(&mut self, open: usize) -> (TcpStream, SocketAddr) {
        loop {
            if self.spare.is_none() {
                self.spare = spare();
            }

            match self.listener.accept().await {
                Ok((stream, _)) if open >= self.max_sockets => refuse(&stream),
                Ok(accepted) => return accepted,
                Err(error) if out_of_descriptors(&error) => {
                    self.spare = None;
                    // With the spare one free, the connection that failed can be accepted, if its
                    // client is still there.
                    let waiting = timeout(RETRY_DELAY, self.listener.accept()).await;

                    if let Ok(Ok((stream, _))) = &waiting {
                        refuse(stream);
                    }

                    drop(waiting);
                    self.spare = spare();

                    if self.spare.is_none() {
                        sleep(RETRY_DELAY).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "cannot accept a connection: its client has to retry");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

/// Writes the answer, which fits into the socket's buffer, without waiting for the client to read
/// it.
fn refuse(stream: &TcpStream) {
    tracing::debug!("server full: connection refused");
    let _ = stream.try_write(FULL_RESPONSE);
}

fn spare() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}

#[cfg(unix)]
fn out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(not(unix))]
fn out_of_descriptors(_: &std::io::Error) -> bool {
    false
}

/// Raises the soft limit of open files to the hard one, and returns it.
#[cfg(unix)]
fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };

    // SAFETY: getrlimit(2) writes into the struct, which lives until the call returns.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return usize::MAX;
    }

    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };

        // SAFETY: setrlimit(2) reads the struct, which lives until the call returns.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }

    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptor_limit() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spare_descriptor_that_was_given_up_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut acceptor = Acceptor::new(listener, 10);
        // What a call leaves behind that was dropped while it waited without the spare one.
        acceptor.spare = None;

        let _client = TcpStream::connect(address).await.expect("it listens");
        acceptor.accept(0).await;

        assert!(acceptor.spare.is_some(), "the next shortage finds one");
    }
}
