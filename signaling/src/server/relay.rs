//! Starting, accepting and stopping.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::edge::{Acceptor, Edge, EdgeConfig};
use super::greet::greet;
use super::hub::{Hub, HubConfig};
use super::ice::{IceSource, Turn};
use super::matchmaker::Holds;
use super::shared::{PendingReport, Shared, ShellConfig};
use super::store::note::NodeId;
use super::store::{self, RedisStore};

/// For the last close frames at the end of a shutdown.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// So many commands wait for the shared store; beyond that it counts as away.
const STORE_COMMANDS: usize = 65_536;

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The address is taken, not allowed or not one of this machine.
    #[error(
        "cannot listen on {address} ({source}): choose another address or port, or end what uses it"
    )]
    Listen {
        /// As it was asked for.
        address: String,
        /// The system's word.
        source: io::Error,
    },
    /// A file that the settings name will not do.
    #[error("{0}")]
    Settings(String),
}

/// Settings of a relay; every one has a default.
#[derive(Debug, Clone)]
#[must_use]
pub struct RelayBuilder {
    listen: String,
    heartbeat: Duration,
    silent: Duration,
    resume_window: Duration,
    drain_deadline: Duration,
    edge: EdgeConfig,
    stun_urls: Vec<String>,
    turn: Option<Turn>,
    redis: Option<String>,
}

impl Default for RelayBuilder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9000".into(),
            heartbeat: Duration::from_secs(25),
            silent: Duration::from_secs(60),
            resume_window: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(2),
            edge: EdgeConfig {
                max_connections: 20_000,
                ..EdgeConfig::default()
            },
            stun_urls: Vec::new(),
            turn: None,
            redis: None,
        }
    }
}

impl RelayBuilder {
    /// `HOST:PORT`; port 0 picks a free one. Default `127.0.0.1:9000`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// How many WebSocket connections at a time; 0 for no limit. Default 20,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.edge.max_connections = connections;
        self
    }

    /// How many connections at a time from one address (IPv6: one /64), and how many upgrades a minute; 0 for no limit,
    /// which is the default: who embeds a relay trusts the network.
    pub fn limit_address(mut self, connections: u32, upgrades_per_minute: u32) -> Self {
        self.edge.max_connections_per_address = connections;
        self.edge.rate_upgrades = upgrades_per_minute;
        self
    }

    /// Messages and bytes a second of one connection; 0, the default, for no limit.
    pub fn limit_traffic(mut self, messages_per_second: u32, bytes_per_second: u32) -> Self {
        self.edge.rate_messages = messages_per_second;
        self.edge.rate_bytes = bytes_per_second;
        self
    }

    /// Searches and reports a minute of one connection; 0, the default, for no limit.
    pub fn limit_requests(mut self, searches_per_minute: u32, reports_per_minute: u32) -> Self {
        self.edge.rate_find = searches_per_minute;
        self.edge.rate_reports = reports_per_minute;
        self
    }

    /// A proxy whose `X-Forwarded-For` is believed; may be called again.
    pub fn trusted_proxy(mut self, range: ipnet::IpNet) -> Self {
        self.edge.trusted_proxies.push(range);
        self
    }

    /// A file of addresses and users to keep out; see `docs/operating.md`.
    pub fn ban_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.ban_file = Some(file.into());
        self
    }

    /// Want a token of every client, signed with the key in this file: an HS256 secret or an Ed25519 public key (PEM).
    pub fn jwt_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.jwt_key = Some(file.into());
        self
    }

    /// Serve TLS with this certificate chain and key (PEM).
    pub fn tls(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.edge.tls = Some((cert.into(), key.into()));
        self
    }

    /// Append users' reports to this file.
    pub fn reports(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.reports = Some(file.into());
        self
    }

    /// A WebSocket ping this often; zero for none. Default 25 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// A connection silent for this long is closed with 4003; zero for never. Default 60 s.
    pub fn silent(mut self, limit: Duration) -> Self {
        self.silent = limit;
        self
    }

    /// How long a call waits for a client whose connection was lost; zero for not at all. Default 30 s.
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.resume_window = window;
        self
    }

    /// How long [`Relay::shutdown`] lets calls go on. Default 2 s: who closes a program does not wait for long.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.drain_deadline = limit;
        self
    }

    /// An `Origin` from which browsers may connect (`*` for any); may be called again. Without any, only programs that
    /// send no `Origin` connect.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.edge.allowed_origins.push(origin.into());
        self
    }

    /// A `stun:` URL for the clients; may be called again.
    pub fn stun_url(mut self, url: impl Into<String>) -> Self {
        self.stun_urls.push(url.into());
        self
    }

    /// `turn:` URLs for the clients, the secret that the relay shares with these servers (coturn's
    /// `static-auth-secret`), and how long each client's credentials are good for.
    pub fn turn(mut self, urls: Vec<String>, secret: impl Into<String>, ttl: Duration) -> Self {
        self.turn = Some(Turn {
            urls,
            secret: secret.into(),
            ttl,
        });

        self
    }

    /// Share users with other relays over the Redis at this URL (`redis://…`). Without the feature `redis` such a relay
    /// does not start.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.redis = Some(url.into());
        self
    }

    /// Binds the address and begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RelayError::Settings`] if a file will not do, [`RelayError::Listen`] if the address cannot be bound.
    pub async fn start(self) -> Result<Relay, RelayError> {
        let encrypted = self.edge.tls.is_some();
        let edge = Edge::new(self.edge).map_err(RelayError::Settings)?;
        let refused = |source| RelayError::Listen {
            address: self.listen.clone(),
            source,
        };

        let listener = TcpListener::bind(&self.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let holds = Holds {
            interests: Duration::from_secs(5),
            rematch: Duration::from_secs(10),
        };

        let node = self
            .redis
            .is_some()
            .then(|| NodeId::from(Uuid::new_v4().to_string()));

        let store = self
            .redis
            .as_deref()
            .zip(node.clone())
            .map(|(url, node)| RedisStore::new(url, node, holds));
        let store = store.transpose().map_err(RelayError::Settings)?;
        let hub_config = HubConfig {
            heartbeat: self.heartbeat,
            silent: self.silent,
            resume_window: self.resume_window,
            takes_reports: edge.reports.is_some() || node.is_some(),
            clock: SystemTime::now,
            node,
            ice: IceSource::new(self.stun_urls, self.turn),
            holds,
        };

        let shell_config = ShellConfig {
            heartbeat: self.heartbeat,
            silent: self.silent,
        };

        let hub = Hub::new(hub_config, Box::new(Uuid::new_v4));
        let (commands, to_store) = mpsc::channel(STORE_COMMANDS);
        let (shared, reports) =
            Shared::new(shell_config, hub, edge, store.is_some().then_some(commands));
        let shared = Arc::new(shared);
        let keeper = store.map(|store| tokio::spawn(store::run(store, shared.clone(), to_store)));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept_loop(listener, shared.clone(), reports, stopped));
        tracing::info!(port = local_addr.port(), "relay is listening");

        Ok(Relay {
            local_addr,
            encrypted,
            drain_deadline: self.drain_deadline,
            shared,
            stop: Some(stop),
            task,
            keeper,
        })
    }
}

/// A running relay. Dropping it cuts all connections at once; [`shutdown`](Self::shutdown) ends it properly.
pub struct Relay {
    local_addr: SocketAddr,
    encrypted: bool,
    shared: Arc<Shared>,
    drain_deadline: Duration,
    /// Carries how long calls may go on.
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<()>,
    /// Speaks with the shared store.
    keeper: Option<JoinHandle<()>>,
}

impl Relay {
    /// Settings to start from.
    pub fn builder() -> RelayBuilder {
        RelayBuilder::default()
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "wss" } else { "ws" };
        format!("{scheme}://{}/ws", self.local_addr)
    }

    /// Reads certificate, token key and ban list again and opens the reports again; what will not do is logged and stays
    /// as it was. Who is banned by now is closed.
    pub fn reload(&self) {
        self.shared.edge.reload();
    }

    /// Tells everybody, takes nobody new, lets calls go on until they end or the drain deadline comes, and closes the
    /// rest with 1001. Dropping the future cuts all connections at once.
    pub async fn shutdown(self) {
        let deadline = self.drain_deadline;
        self.shutdown_within(deadline).await;
    }

    /// As [`shutdown`](Self::shutdown), with another deadline.
    pub async fn shutdown_within(mut self, deadline: Duration) {
        if let Some(stop) = self.stop.take() {
            // The receiver is only gone if the task is.
            let _ = stop.send(deadline);
        }

        // A panic in the task has been reported by its own thread.
        let _ = (&mut self.task).await;
        self.shared.close_store();

        if let Some(keeper) = &mut self.keeper {
            // A store that is away need not hear that this node has gone.
            let _ = timeout(LAST_WORDS, keeper).await;
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

/// Owns every connection's task: when this future is dropped, they all end.
async fn accept_loop(
    listener: TcpListener,
    shared: Arc<Shared>,
    reports: mpsc::Receiver<PendingReport>,
    mut stopped: oneshot::Receiver<Duration>,
) {
    let mut reports = std::pin::pin!(shared.record_reports(reports));
    let mut acceptor = Acceptor::new(listener, shared.edge.max_sockets());
    let mut connections = JoinSet::new();
    let mut drain_until: Option<Instant> = None;

    loop {
        if drain_until.is_some() && connections.is_empty() {
            break;
        }

        tokio::select! {
            (stream, peer) = acceptor.accept(connections.len()) => {
                connections.spawn(greet(stream, peer, shared.clone()));
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("a connection's task panicked; its client was disconnected");
                }
            }
            () = shared.deadline() => shared.tick(),
            () = &mut reports => {}
            stop = &mut stopped, if drain_until.is_none() => {
                // A sender that is gone without a word means that the relay was dropped: no time for calls.
                let limit = stop.unwrap_or_default();
                tracing::info!(seconds = limit.as_secs(), "relay is draining");
                shared.drain();
                drain_until = Some(Instant::now() + limit);
            }
            () = sleep_until(drain_until.unwrap_or_else(Instant::now)), if drain_until.is_some() => break,
        }
    }

    drop(acceptor);
    shared.close_all();
    let rest = async { while connections.join_next().await.is_some() {} };
    // Who has not taken the close frame by then is cut off.
    let _ = timeout(LAST_WORDS, rest).await;
    tracing::info!("relay has stopped");
}
