//! The life of a server: its settings, its start, accepting connections, its shutdown.
//!
//! Every shutdown goes through [`accept_loop`]: it stops accepting, drains the hub, waits for the
//! connections to end, and cuts off those that do not.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it passes the clock to the server"
)]

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::edge::{Acceptor, Edge, EdgeConfig, RingOnly, check_name};
use super::guest_page::GuestPages;
use super::handshake::serve_socket;
use super::hub::cluster::messages::NodeId;
use super::hub::ids::ClaimHash;
use super::hub::{Hub, HubConfig};
use super::ice::{IceSource, Turn};
use super::matchmaker::Holds;
use super::moderation::admin::admin_socket;
use super::moderation::restrict::RestrictRule;
use super::moderation::webhook;
use super::shared::{PendingReport, Shared, ShellConfig};
use super::store::{self, RedisStore};
use super::turn::{self, TurnSettings};
use crate::message::ClaimToken;

/// For connections to send their close frames at the end of a shutdown, and for the store to learn
/// that this node has gone.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Commands that may wait for the shared store. Beyond that, commands fail as if it were away.
const MAX_STORE_COMMANDS: usize = 65_536;
/// Connections that the system may hold until they are accepted, as the standard library has it.
const BACKLOG: i32 = 128;
const RING_ONLY_NODE: &str = "a ring-only server cannot be part of a cluster";

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, not allowed, or not one of this machine.
    #[error(
        "cannot listen on {address} ({source}): choose another address or port, or stop the \
         program that uses it"
    )]
    Listen {
        /// As given to [`SignalingServerBuilder::listen`].
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file that the settings name is missing or not valid. The text names the file and the
    /// cause.
    #[error("{0}")]
    Settings(String),
    /// The TURN server in this program cannot start: an address that it cannot have, or one that is
    /// missing in the settings. The text names it.
    #[error("{0}")]
    Turn(String),
}

/// The settings of a server. Every one has a default.
///
/// ```
/// # use std::time::Duration;
/// # use tandem_signaling::server::SignalingServer;
/// let builder = SignalingServer::builder()
///     .listen("127.0.0.1:0")
///     .stun_url("stun:stun.example.org:3478")
///     .limit_address(100, 300)
///     .drain_deadline(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SignalingServerBuilder {
    listen: String,
    heartbeat: Duration,
    silent: Duration,
    resume_window: Duration,
    drain_deadline: Duration,
    edge: EdgeConfig,
    stun_urls: Vec<String>,
    turn: Option<Turn>,
    turn_server: Option<TurnSettings>,
    redis: Option<String>,
    download_url: Option<String>,
    admin_socket: Option<PathBuf>,
}

impl Default for SignalingServerBuilder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9000".into(),
            heartbeat: Duration::from_secs(25),
            silent: Duration::from_secs(60),
            resume_window: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(2),
            edge: EdgeConfig {
                max_connections: 20_000,
                guest_page: true,
                ..EdgeConfig::default()
            },
            stun_urls: Vec::new(),
            turn: None,
            turn_server: None,
            redis: None,
            download_url: None,
            admin_socket: None,
        }
    }
}

impl SignalingServerBuilder {
    /// Where to listen: `HOST:PORT`. Port 0 picks a free one; `[::]` takes IPv4 as well. Default
    /// `127.0.0.1:9000`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Limits the WebSocket connections open at the same time; 0 for no limit. Default 20,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.edge.max_connections = connections;
        self
    }

    /// Limits the connections that one address (IPv6: one /64) may have open at the same time, and
    /// the upgrades that it may ask for in a minute. 0, the default, is no limit: an embedded
    /// server is usually in a network that is trusted.
    pub fn limit_address(mut self, connections: u32, upgrades_per_minute: u32) -> Self {
        self.edge.max_connections_per_address = connections;
        self.edge.rate_upgrades = upgrades_per_minute;
        self
    }

    /// Limits the messages and bytes that one connection may send in a second; 0, the default, is
    /// no limit.
    pub fn limit_traffic(mut self, messages_per_second: u32, bytes_per_second: u32) -> Self {
        self.edge.rate_messages = messages_per_second;
        self.edge.rate_bytes = bytes_per_second;
        self
    }

    /// Limits the searches and reports that one connection may send in a minute; 0, the default, is
    /// no limit.
    pub fn limit_requests(mut self, searches_per_minute: u32, reports_per_minute: u32) -> Self {
        self.edge.rate_find = searches_per_minute;
        self.edge.rate_reports = reports_per_minute;
        self
    }

    /// Limits the different rooms that may be searched for or listened in from one address (IPv6: one
    /// /64) in a minute; one connection, and one person with a token, may try a third of them. A
    /// room of 22 or more characters costs nothing in `listen`. 0, the default, is no limit.
    pub fn limit_rooms(mut self, rooms_per_minute: u32) -> Self {
        self.edge.rate_rooms = rooms_per_minute;
        self
    }

    /// Trusts the `X-Forwarded-For` of proxies in this address range. Can be called repeatedly.
    pub fn trusted_proxy(mut self, range: ipnet::IpNet) -> Self {
        self.edge.trusted_proxies.push(range);
        self
    }

    /// Bans the addresses and users in this file; see `docs/operating.md` for its format.
    pub fn ban_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.ban_file = Some(file.into());
        self
    }

    /// Requires a bearer token (JWT) of every client, signed with the key in this file: an HS256
    /// secret or an Ed25519 public key (PEM).
    pub fn jwt_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.jwt_key = Some(file.into());
        self
    }

    /// Serves TLS with this certificate chain and private key (both PEM).
    pub fn tls(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.edge.tls = Some((cert.into(), key.into()));
        self
    }

    /// Appends users' reports to this file, one JSON object per line.
    pub fn reports(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.moderation.reports = Some(file.into());
        self
    }

    /// Deletes reports in that file, with their snapshots, when they are this old; zero, the default,
    /// for never.
    pub fn report_retention(mut self, age: Duration) -> Self {
        self.edge.moderation.report_retention = age;
        self
    }

    /// The file with the key of the hashes by which reports and bans name clients, 64 hexadecimal
    /// digits. It is made if it is missing. All servers of a cluster need the same one. Default: the
    /// file of reports with `.key` added; without one, a new key with each start.
    pub fn peer_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.edge.moderation.peer_key = Some(file.into());
        self
    }

    /// Tells the program at this address (`https://…`, or `http://…` on this machine) of each new
    /// report, without what the user wrote.
    pub fn report_webhook(mut self, url: impl Into<String>) -> Self {
        self.edge.moderation.webhook = Some(url.into());
        self
    }

    /// Takes the operator's commands on this socket; see [`ask_admin`](super::ask_admin). Only on
    /// Unix.
    pub fn admin_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.admin_socket = Some(path.into());
        self
    }

    /// Bans a client by itself for the time `lasts`, if `after` different others have reported it
    /// within the time `within`. Zero, the default, for never.
    pub fn restrict(mut self, after: u32, within: Duration, lasts: Duration) -> Self {
        self.edge.moderation.restrict = RestrictRule {
            after,
            within,
            lasts,
        };
        self
    }

    /// Sends a WebSocket ping this often; zero for never. Default 25 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Closes a connection that has been silent for this long, with 4003; zero for never. Default
    /// 60 s.
    pub fn silent(mut self, limit: Duration) -> Self {
        self.silent = limit;
        self
    }

    /// Keeps a client whose connection broke, and its call, for this long; zero for not at all.
    /// Default 30 s.
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.resume_window = window;
        self
    }

    /// How long [`SignalingServer::shutdown`] lets calls continue. Default 2 s: the user of a
    /// program that embeds the server does not want to wait for it.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.drain_deadline = limit;
        self
    }

    /// Allows browsers to connect from pages of this `Origin` (`*` for any). Can be called
    /// repeatedly. Without any, only programs can connect, because they send no `Origin`.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.edge.allowed_origins.push(origin.into());
        self
    }

    /// Gives clients this STUN server (`stun:…`). Can be called repeatedly.
    pub fn stun_url(mut self, url: impl Into<String>) -> Self {
        self.stun_urls.push(url.into());
        self
    }

    /// Gives clients these TURN servers (`turn:…`). `secret` is the one that the servers share with
    /// this one (coturn's `static-auth-secret`); each client's credentials are valid for `ttl`.
    pub fn turn(mut self, urls: Vec<String>, secret: impl Into<String>, ttl: Duration) -> Self {
        self.turn = Some(Turn {
            urls,
            secret: secret.into(),
            ttl,
        });

        self
    }

    /// Runs a TURN server in this program, and gives it to clients.
    pub fn turn_server(mut self, settings: TurnSettings) -> Self {
        self.turn_server = Some(settings);
        self
    }

    /// Joins a cluster: nodes that share the Redis at this URL (`redis://…`) match each other's
    /// users. Without the feature `redis`, [`start`](Self::start) returns an error.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.redis = Some(url.into());
        self
    }

    /// Where people get Tandem, an `https:` or `http:` URL: the pages link to it.
    pub fn download_url(mut self, url: impl Into<String>) -> Self {
        self.download_url = Some(url.into());
        self
    }

    /// Lets guests join a call in their browser, from the page behind the link to it, and says at `/`
    /// what this server is. Pages of the server's own origin may then connect. Without it, the page
    /// only opens Tandem. Default: on.
    pub fn guest_page(mut self, on: bool) -> Self {
        self.edge.guest_page = on;
        self
    }

    /// Lets people ring the owner, and do nothing else: they find no other partner, claim no rooms
    /// and cannot be rung themselves. The owner connects with this bearer token, and gets the address
    /// of each caller; others may come from the addresses for which `admits` returns true. There are
    /// no pages, and browsers cannot connect.
    pub fn ring_only(mut self, owner: &str, admits: fn(IpAddr) -> bool) -> Self {
        self.edge.ring_only = Some(RingOnly {
            owner: ClaimHash::of(&ClaimToken::from(owner)),
            admits,
        });
        self
    }

    /// Binds the address and starts to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError::Settings`] if a file is missing or not valid, [`StartError::Listen`] if the
    /// address cannot be bound, [`StartError::Turn`] if the TURN server cannot start.
    pub async fn start(mut self) -> Result<SignalingServer, StartError> {
        if self.edge.ring_only.is_some() && self.redis.is_some() {
            return Err(StartError::Settings(RING_ONLY_NODE.to_owned()));
        }

        self.edge.moderation.is_node = self.redis.is_some();
        let encrypted = self.edge.tls.is_some();
        let guest_page = self.edge.guest_page;
        self.edge.turn_over_tls =
            takes_turn_over_tls(self.turn_server.as_ref(), self.edge.tls.as_ref())
                .map_err(StartError::Settings)?;
        let edge = Edge::new(self.edge).map_err(StartError::Settings)?;
        let admin = admin_socket(self.admin_socket.as_deref()).map_err(StartError::Settings)?;
        let cannot_listen = |source| StartError::Listen {
            address: self.listen.clone(),
            source,
        };

        let listener = bind(&self.listen).await.map_err(cannot_listen)?;
        let local_addr = listener.local_addr().map_err(cannot_listen)?;

        // Everything that needs the time of day gets it from here.
        let clock: fn() -> SystemTime = SystemTime::now;
        let (mut turn_server, mut turn_test, mut own_turn) = (None, None, None);
        let mut networks_task = None;
        if let Some(settings) = self.turn_server {
            let is_node = self.redis.is_some();
            let started = turn::start(settings, local_addr.port(), clock, is_node);
            let started = started.await.map_err(StartError::Turn)?;
            turn_server = Some(started.runner);
            turn_test = Some(started.test);
            own_turn = Some(started.turn);
            networks_task = Some(started.networks);
        }

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
            .map(|(url, node)| RedisStore::new(url, node, holds, clock))
            .transpose()
            .map_err(StartError::Settings)?;

        let hub_config = HubConfig {
            heartbeat: self.heartbeat,
            silent: self.silent,
            resume_window: self.resume_window,
            // Each node of a cluster knows only its own guests.
            admits_guests: edge.admits_guests() && node.is_none(),
            takes_reports: edge.moderation.reports.is_some() || node.is_some(),
            clock,
            node,
            ice: IceSource::new(self.stun_urls, self.turn).with_own_turn(own_turn),
            holds,
        };

        let shell_config = ShellConfig {
            heartbeat: self.heartbeat,
            silent: self.silent,
            pages: GuestPages::new(self.download_url.as_deref(), guest_page),
            turn_server,
            turn_test,
        };

        let hub = Hub::new(hub_config, Box::new(Uuid::new_v4));
        let (commands, to_store) = mpsc::channel(MAX_STORE_COMMANDS);
        let (shared, reports) =
            Shared::new(shell_config, hub, edge, store.is_some().then_some(commands));
        let shared = Arc::new(shared);

        let store_task =
            store.map(|store| tokio::spawn(store::run(store, shared.clone(), to_store)));
        let admin_task = admin.map(|admin| tokio::spawn(admin.run(shared.clone())));
        let webhook = shared.edge.moderation.webhook_task();
        let webhook_task = webhook.map(|(target, notices)| {
            tokio::spawn(webhook::run(target, notices, shared.edge.clone()))
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept_loop(listener, shared.clone(), reports, stopped));
        tracing::info!(port = local_addr.port(), "listening: clients can connect");

        Ok(SignalingServer {
            local_addr,
            encrypted,
            drain_deadline: self.drain_deadline,
            shared,
            stop: Some(stop),
            task,
            store_task,
            admin_task,
            webhook_task,
            networks_task,
        })
    }
}

/// Whether the port of HTTPS takes TURN, too.
fn takes_turn_over_tls(
    turn: Option<&TurnSettings>,
    tls: Option<&(PathBuf, PathBuf)>,
) -> Result<bool, String> {
    let Some(turn) = turn else {
        return Ok(false);
    };

    match (&turn.tls_name, tls) {
        (Some((name, _)), Some((cert, _))) => check_name(cert, name).map(|()| true),
        (Some(_), None) => Err(
            "--turn-tls-name needs --tls-cert: TURN over TLS uses the port on which this program does \
             TLS itself. Behind a proxy that does it, clients have TURN over UDP and TCP only"
                .into(),
        ),
        // The self-test says so.
        (None, _) => Ok(false),
    }
}

/// Binds `address`, for IPv4 as well if it is `[::]`: some systems do so by themselves, some not.
async fn bind(address: &str) -> io::Result<TcpListener> {
    match address.parse() {
        Ok(SocketAddr::V6(address)) if address.ip().is_unspecified() => bind_both(address),
        _ => TcpListener::bind(address).await,
    }
}

fn bind_both(address: SocketAddrV6) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    // Elsewhere, this would let another program take the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V6(address).into())?;
    socket.listen(BACKLOG)?;

    TcpListener::from_std(socket.into())
}

/// A running server. Dropping it cuts all connections at once; [`shutdown`](Self::shutdown) lets
/// calls end first.
pub struct SignalingServer {
    local_addr: SocketAddr,
    encrypted: bool,
    shared: Arc<Shared>,
    drain_deadline: Duration,
    /// Starts the shutdown; carries how long calls may continue.
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<()>,
    /// Talks to the shared store.
    store_task: Option<JoinHandle<()>>,
    /// Serves the operator's commands.
    admin_task: Option<JoinHandle<()>>,
    /// Tells another program of reports.
    webhook_task: Option<JoinHandle<()>>,
    /// Follows the addresses of this machine, for the TURN server.
    networks_task: Option<JoinHandle<()>>,
}

impl SignalingServer {
    /// The default settings.
    pub fn builder() -> SignalingServerBuilder {
        SignalingServerBuilder::default()
    }

    /// The address it listens on, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The URL that clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "wss" } else { "ws" };
        format!("{scheme}://{}/ws", self.local_addr)
    }

    /// Reads the certificate, the token key and the ban list again, reopens the report file, and
    /// closes the connections of users who are now banned. A file that is not valid is logged, and
    /// what it contained before stays in force.
    pub fn reload(&self) {
        self.shared.reload();
    }

    /// Waits until the operator asks for a shutdown over the admin socket.
    pub async fn drain_requested(&self) {
        self.shared.stop_requested().await;
    }

    /// Notifies all clients, takes no new ones, lets calls continue until they end or the drain
    /// deadline passes, then closes the rest with 1001. Dropping the future cuts all connections at
    /// once.
    pub async fn shutdown(self) {
        let deadline = self.drain_deadline;
        self.shutdown_within(deadline).await;
    }

    /// [`shutdown`](Self::shutdown) with this deadline instead of the one in the settings.
    pub async fn shutdown_within(mut self, deadline: Duration) {
        if let Some(stop) = self.stop.take() {
            // Only fails if the task has ended already.
            let _ = stop.send(deadline);
        }

        // A panic in the task has been printed by the panic hook.
        let _ = (&mut self.task).await;
        self.shared.close_store();

        if let Some(store_task) = &mut self.store_task {
            // If the store is away, the other nodes notice by themselves that this one has gone.
            let _ = timeout(SHUTDOWN_TIMEOUT, store_task).await;
        }
    }
}

impl fmt::Debug for SignalingServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalingServer")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Drop for SignalingServer {
    fn drop(&mut self) {
        self.task.abort();
        let tasks = [
            &self.store_task,
            &self.admin_task,
            &self.webhook_task,
            &self.networks_task,
        ];
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
    }
}

/// Accepts connections and owns their tasks: when this future is dropped, all of them end. Also
/// runs the hub's timers and writes reports.
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
            (stream, remote) = acceptor.accept(connections.len()) => {
                connections.spawn(serve_socket(stream, remote, shared.clone()));
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("a connection's task panicked: its client was disconnected, the others continue");
                }
            }
            () = shared.deadline() => shared.tick(),
            () = &mut reports => {}
            stop = &mut stopped, if drain_until.is_none() => {
                // Without a limit, the server was dropped: no time for calls.
                let limit = stop.unwrap_or_default();
                tracing::info!(seconds = limit.as_secs(), "draining: no new users, calls may end");
                shared.drain();
                drain_until = Some(Instant::now() + limit);
            }
            () = sleep_until(drain_until.unwrap_or_else(Instant::now)), if drain_until.is_some() => break,
        }
    }

    drop(acceptor);
    shared.close_all();

    shared.close_reports();

    let all_closed = async { while connections.join_next().await.is_some() {} };
    // Clients that have not read their close frame by then are cut off, and a disk that does not
    // take the last reports and bans by then is given up.
    let closed = timeout(SHUTDOWN_TIMEOUT, all_closed);
    let (_, written) = tokio::join!(closed, timeout(SHUTDOWN_TIMEOUT, reports));
    if written.is_err() {
        tracing::error!("stopped before all reports were written: the disk is too slow");
    }
    tracing::info!("stopped");
}
