//! Connections to TURN servers that are made while a partner is looked for.
//!
//! TCP and TLS take two round trips before the first request. The servers are known from the registration
//! on, so those round trips need not be a call's. Only servers that the library will ask at once are
//! connected to, as in [`ahead`](super::ahead): where there is TURN over UDP, none is.
//!
//! A server closes a connection on which nothing comes, Tandem's after 10 s at the earliest. So another one
//! takes its place before that, for the first minutes of a search.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tandem_signaling::client::TrustedRoots;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use webrtc::peer_connection::RTCIceServer;

use super::ahead::Ahead;
use super::url::{TurnTransport, TurnUrl};
use super::{MAX_SERVERS, better_than, usable};

/// How often another connection is made: each serves for [`MAX_AGE`](super::ahead::MAX_AGE), and takes a
/// moment to come up.
const INTERVAL: Duration = Duration::from_secs(6);
/// How many are made in one search for each server: two minutes of waiting. A handshake of TLS costs a
/// server less than a millisecond, but many people may wait.
pub(super) const MAX_CONNECTIONS: usize = 20;

/// The connections of one search.
#[derive(Default)]
pub struct WarmConnections {
    servers: Mutex<Vec<Warm>>,
}

/// The connections to one server.
struct Warm {
    url: TurnUrl,
    connections: Arc<Mutex<Connections>>,
    /// Makes them.
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Connections {
    newest: Option<Ahead>,
    /// Until that is there.
    before: Option<Ahead>,
}

impl WarmConnections {
    /// A partner is looked for, and a call would use these servers. Says nothing new as long as they are the
    /// same.
    pub(crate) fn begin(&self, servers: &[RTCIceServer], roots: &TrustedRoots) {
        let mut urls = Vec::new();
        for (_, url) in usable(servers) {
            if url.transport != TurnTransport::Udp && !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls.truncate(MAX_SERVERS);
        let transports: Vec<_> = usable(servers).map(|(_, url)| url.transport).collect();
        urls.retain(|url| better_than(url.transport, transports.iter().copied()).is_empty());

        let mut warm = self.servers.lock();
        if warm.iter().map(|server| &server.url).eq(&urls) {
            return;
        }

        *warm = urls
            .into_iter()
            .map(|url| Warm::new(url, roots.clone()))
            .collect();
    }

    /// Nobody is looked for any more: what was not used is closed.
    pub(crate) fn end(&self) {
        self.servers.lock().clear();
    }

    /// A connection to this server, perhaps one that is still being made.
    pub(super) fn take(&self, url: &TurnUrl) -> Option<Ahead> {
        let servers = self.servers.lock();
        let server = servers.iter().find(|server| server.url == *url)?;
        server.connections.lock().take()
    }
}

impl fmt::Debug for WarmConnections {
    /// Leaves the servers' addresses out: they do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmConnections").finish_non_exhaustive()
    }
}

impl Warm {
    fn new(url: TurnUrl, roots: TrustedRoots) -> Self {
        let connections: Arc<Mutex<Connections>> = Arc::default();
        let task = {
            let (url, connections) = (url.clone(), Arc::clone(&connections));
            tokio::spawn(async move {
                for _ in 0..MAX_CONNECTIONS {
                    let fresh = Ahead::begin(url.server.clone(), roots.clone());
                    connections.lock().renew(Some(fresh));
                    sleep(INTERVAL).await;
                }
                // What is there serves for a while, and is then too old for `take`.
                connections.lock().renew(None);
                sleep(INTERVAL).await;
                connections.lock().renew(None);
            })
        };

        Self {
            url,
            connections,
            task,
        }
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connections {
    fn renew(&mut self, fresh: Option<Ahead>) {
        self.before = std::mem::replace(&mut self.newest, fresh);
    }

    /// The newest one if it is there, else the one before, else the newest one all the same.
    fn take(&mut self) -> Option<Ahead> {
        let is_there = |ahead: &Ahead| ahead.is_finished();
        let newest = self.newest.take_if(|newest| is_there(newest));
        let before = self
            .before
            .take()
            .filter(|before| is_there(before) && !before.is_old());
        newest.or(before).or_else(|| self.newest.take())
    }
}
