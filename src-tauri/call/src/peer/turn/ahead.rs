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

use tandem_signaling::client::TurnConnection;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connection::{Failure, open};
use super::{Turn, index};

/// One that was begun longer ago than this is not used: a server closes it if nothing comes, Tandem's after
/// 10 s at the earliest.
const MAX_AGE: Duration = Duration::from_secs(5);

/// A connection that is being made. Dropping it ends it.
pub(super) struct Ahead {
    since: Instant,
    task: JoinHandle<Result<TurnConnection, Failure>>,
}

impl Turn {
    /// Connects to the servers that the library will ask at once. Those that others are better than wait
    /// for them, and are perhaps never asked.
    pub(in crate::peer) fn connect_ahead(&self) {
        let servers: Vec<_> = {
            let servers = self.servers.lock();
            let all = servers.iter().enumerate();
            all.map(|(at, server)| (at, server.url.clone())).collect()
        };
        for (at, url) in servers {
            if !self.better_than(url.transport).is_empty() {
                continue;
            }

            let roots = self.roots.clone();
            let connecting = async move { open(&url.server, &roots).await };
            let ahead = Ahead {
                since: Instant::now(),
                task: tokio::spawn(connecting),
            };
            self.servers.lock()[at].ahead = Some(ahead);
        }
    }

    /// The connection that was made ahead, or still is being made, unless it is too old.
    pub(super) fn take_ahead(&self, stand_in: SocketAddr) -> Option<Ahead> {
        let mut servers = self.servers.lock();
        let ahead = servers.get_mut(index(stand_in)?)?.ahead.take()?;
        let is_old = ahead.is_finished() && ahead.since.elapsed() >= MAX_AGE;
        (!is_old).then_some(ahead)
    }
}

impl Ahead {
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
