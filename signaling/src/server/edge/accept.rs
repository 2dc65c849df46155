//! Taking TCP connections, also when the process has no descriptor left for one.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// After an `accept` that failed for another reason: a pause instead of a busy loop.
const PAUSE: Duration = Duration::from_millis(50);
/// Told to whom there is no room for, without reading what they want.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n";
/// Descriptors that connections leave free: for Redis, logs, reports and certificates read anew.
const RESERVED: usize = 64;

/// The listening socket, and a descriptor kept in reserve: without one left, a connection could not even be accepted
/// to be refused, and its client would wait for ever.
pub(crate) struct Acceptor {
    listener: TcpListener,
    spare: Option<File>,
    max_sockets: usize,
}

impl Acceptor {
    /// `max_sockets` at a time, as far as the process's descriptors go.
    pub(crate) fn new(listener: TcpListener, max_sockets: usize) -> Self {
        let limit = descriptor_limit();
        // Of a very small limit, half is left.
        let usable = limit.saturating_sub(RESERVED).max(limit / 2);

        if usable < max_sockets {
            tracing::warn!(
                descriptors = limit,
                connections = usable,
                "the limit of open files is lower than the connections that are allowed: raise it (ulimit -n, LimitNOFILE)"
            );
        }

        Self {
            listener,
            spare: spare(),
            max_sockets: usable.min(max_sockets),
        }
    }

    /// The next connection. With `open` of them there already, one too many is answered 503 here. Nothing is lost if
    /// the future is dropped.
    pub(crate) async fn accept(&mut self, open: usize) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if open >= self.max_sockets => refuse(&stream),
                Ok(accepted) => return accepted,
                Err(error) if out_of_descriptors(&error) => {
                    self.spare = None;
                    // The connection that failed still waits, unless its client is gone.
                    let waiting = timeout(PAUSE, self.listener.accept()).await;

                    if let Ok(Ok((stream, _))) = &waiting {
                        refuse(stream);
                    }

                    drop(waiting);
                    self.spare = spare();

                    if self.spare.is_none() {
                        sleep(PAUSE).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What fits into the socket's buffer at once; a client that does not take it is not waited for.
fn refuse(stream: &TcpStream) {
    tracing::debug!("no room for a connection");
    let _ = stream.try_write(FULL);
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

/// How many files the process may have open, after the soft limit was raised to the hard one.
#[cfg(unix)]
fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };

    // SAFETY: getrlimit(2) fills the struct that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return usize::MAX;
    }

    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };

        // SAFETY: setrlimit(2) reads the struct; the limits of the process are process-wide and take effect at once.
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
