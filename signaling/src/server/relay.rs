//! Starting, accepting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::handshake::server::Request;
use uuid::Uuid;

use super::connection;
use super::http::{Answer, Head, HeadError, accept_upgrade, origin_allowed, read_head};
use super::hub::{Hub, HubConfig};
use super::ice::{IceSource, Turn};
use super::matchmaker::Holds;
use super::shared::{Shared, ShellConfig};

/// An upgrade that is not finished by then is closed.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed `accept` (no file descriptors left, for one): a pause instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the last close frames at the end of a shutdown.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The address is taken, not allowed or not one of this machine.
    #[error("cannot listen on {address} ({source}): choose another address or port, or end what uses it")]
    Listen {
        /// As it was asked for.
        address: String,
        /// The system's word.
        source: io::Error,
    },
}

/// Settings of a relay; every one has a default.
#[derive(Debug, Clone)]
#[must_use]
pub struct RelayBuilder {
    listen: String,
    max_connections: usize,
    heartbeat: Duration,
    silent: Duration,
    drain_deadline: Duration,
    allowed_origins: Vec<String>,
    stun_urls: Vec<String>,
    turn: Option<Turn>,
}

impl Default for RelayBuilder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9000".into(),
            max_connections: 20_000,
            heartbeat: Duration::from_secs(25),
            silent: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(2),
            allowed_origins: Vec::new(),
            stun_urls: Vec::new(),
            turn: None,
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
        self.max_connections = connections;
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

    /// How long [`Relay::shutdown`] lets calls go on. Default 2 s: who closes a program does not wait for long.
    pub fn drain_deadline(mut self, limit: Duration) -> Self {
        self.drain_deadline = limit;
        self
    }

    /// An `Origin` from which browsers may connect (`*` for any); may be called again. Without any, only programs that
    /// send no `Origin` connect.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.allowed_origins.push(origin.into());
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
        self.turn = Some(Turn { urls, secret: secret.into(), ttl });
        self
    }

    /// Binds the address and begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RelayError::Listen`] if the address cannot be bound.
    pub async fn start(self) -> Result<Relay, RelayError> {
        let refused = |source| RelayError::Listen { address: self.listen.clone(), source };
        let listener = TcpListener::bind(&self.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let hub_config = HubConfig {
            heartbeat: self.heartbeat,
            silent: self.silent,
            ice: IceSource::new(self.stun_urls, self.turn),
            holds: Holds { interests: Duration::from_secs(5), rematch: Duration::from_secs(10) },
        };
        let shell_config =
            ShellConfig { heartbeat: self.heartbeat, silent: self.silent, allowed_origins: self.allowed_origins };
        let hub = Hub::new(hub_config, Box::new(Uuid::new_v4));
        let shared = Arc::new(Shared::new(shell_config, hub, self.max_connections));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept_loop(listener, shared, stopped));
        tracing::info!(port = local_addr.port(), "relay is listening");
        Ok(Relay { local_addr, drain_deadline: self.drain_deadline, stop: Some(stop), task })
    }
}

/// A running relay. Dropping it cuts all connections at once; [`shutdown`](Self::shutdown) ends it properly.
#[derive(Debug)]
pub struct Relay {
    local_addr: SocketAddr,
    drain_deadline: Duration,
    /// Carries how long calls may go on.
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<()>,
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
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Owns every connection's task: when this future is dropped, they all end.
async fn accept_loop(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<Duration>) {
    let mut connections = JoinSet::new();
    let mut drain_until: Option<Instant> = None;
    loop {
        if drain_until.is_some() && connections.is_empty() {
            break;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(greet(stream, shared.clone()));
                }
                Err(error) => {
                    tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("a connection's task panicked; its client was disconnected");
                }
            }
            () = shared.deadline() => shared.tick(),
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
    drop(listener);
    shared.close_all();
    let rest = async { while connections.join_next().await.is_some() {} };
    // Who has not taken the close frame by then is cut off.
    let _ = timeout(LAST_WORDS, rest).await;
    tracing::info!("relay has stopped");
}

/// One accepted socket: the request, then an answer or the WebSocket.
async fn greet(mut stream: TcpStream, shared: Arc<Shared>) {
    let upgrading = async {
        match read_head(&mut stream).await {
            Err(HeadError::Gone) => None,
            Err(HeadError::Reject(answer)) => {
                refuse(&mut stream, answer).await;
                None
            }
            Ok(Head { request, rest }) => {
                let admitted = match request.uri().path() {
                    "/readyz" if shared.is_draining() => Err(Answer::new(503, "draining")),
                    "/livez" | "/readyz" => Err(Answer::new(200, "ok")),
                    "/ws" => admit(&request, &shared),
                    _ => Err(Answer::new(404, "There is nothing here; the relay is at /ws.")),
                };
                match admitted {
                    Err(answer) => {
                        refuse(&mut stream, answer).await;
                        None
                    }
                    Ok((response, permit)) => {
                        stream.set_nodelay(true).ok()?;
                        stream.write_all(&response).await.ok()?;
                        Some((rest, permit))
                    }
                }
            }
        }
    };
    match timeout(UPGRADE_TIMEOUT, upgrading).await {
        Ok(Some((rest, _permit))) => connection::serve(stream, rest, shared).await,
        Ok(None) => {}
        Err(_) => tracing::debug!("an upgrade was not finished in time"),
    }
}

fn admit(request: &Request, shared: &Shared) -> Result<(Vec<u8>, OwnedSemaphorePermit), Answer> {
    if !origin_allowed(request, &shared.config.allowed_origins) {
        return Err(Answer::new(403, "This Origin may not connect to the relay."));
    }
    if shared.is_draining() {
        return Err(Answer::new(503, "The relay is shutting down."));
    }
    let response = accept_upgrade(request)?;
    let permit = shared.admit().ok_or(Answer::new(503, "The relay is full."))?;
    Ok((response, permit))
}

async fn refuse(stream: &mut TcpStream, answer: Answer) {
    tracing::debug!(status = answer.status, "answered without an upgrade");
    // A client that is gone needs no answer.
    let _ = answer.write(stream).await;
}
