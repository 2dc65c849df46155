//! Connections to TURN servers that are made before the library asks for them.
//!
//! The library connects to a server when it gathers candidates, and the side that answers an offer does so
//! one round trip after the match. TCP and TLS take two for themselves. Begun at the match, they cost the
//! call one of them.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it notes when connections began"
)]

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tandem_signaling::ServerUrl;
use tandem_signaling::client::{TrustedRoots, TurnConnection};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connection::{Failure, open};
use super::warm::WarmConnections;
use super::{Turn, index};

/// One that was begun longer ago than this is not used: a server closes it if nothing comes, Tandem's after
/// 10 s at the earliest.
pub(super) const MAX_AGE: Duration = Duration::from_secs(8);

/// A connection that is being made. Dropping it ends it.
pub(super) struct Ahead {
    since: Instant,
    task: JoinHandle<Result<TurnConnection, Failure>>,
}

impl Turn {
    /// Connects to the servers that the library will ask at once, unless `warm` has a connection to them.
    /// Those that others are better than wait for them, and are perhaps never asked.
    pub(in crate::peer) fn connect_ahead(&self, warm: &WarmConnections) {
        let servers: Vec<_> = {
            let servers = self.servers.lock();
            let all = servers.iter().enumerate();
            all.map(|(at, server)| (at, server.url.clone())).collect()
        };
        for (at, url) in servers {
            if !self.better_than(url.transport).is_empty() {
                continue;
            }

            let ahead = warm
                .take(&url)
                .unwrap_or_else(|| Ahead::begin(url.server, self.roots.clone()));
            self.servers.lock()[at].ahead = Some(ahead);
        }
    }

    /// The connection that was made ahead, or still is being made, unless it is too old.
    pub(super) fn take_ahead(&self, stand_in: SocketAddr) -> Option<Ahead> {
        let mut servers = self.servers.lock();
        let ahead = servers.get_mut(index(stand_in)?)?.ahead.take()?;
        (!ahead.is_old()).then_some(ahead)
    }
}

impl Ahead {
    /// Begins to connect to a server.
    pub(super) fn begin(server: ServerUrl, roots: TrustedRoots) -> Self {
        Self {
            since: Instant::now(),
            task: tokio::spawn(async move { open(&server, &roots).await }),
        }
    }

    /// Whether the server may have closed it, or is about to.
    pub(super) fn is_old(&self) -> bool {
        self.is_finished() && self.since.elapsed() >= MAX_AGE
    }

    /// Whether it is known if there is a connection.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl Future for Ahead {
    type Output = Result<TurnConnection, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody else ends the task, and it does not panic.
        Pin::new(&mut self.task)
            .poll(cx)
            .map(|result| result.unwrap_or(Err(Failure::Timeout)))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}
