//! The task behind a [`Client`](super::Client): connect, register or resume, exchange messages, and
//! start over when the connection is lost.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the task that owns the socket reads the clock"
)]

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::error::Retry;
use super::resume::Resumption;
use super::transport::{self, Transport};
use super::{
    ClientConfig, ClientError, ClientEvent, Garbage, MAX_INCOMING_BYTES, Outgoing, Probe, Shared,
};
use crate::fault_window::FaultWindow;
use crate::message::{
    ClientMessage, PROTOCOL_VERSION, Resumed, ServerMessage, UserRegistered, parse_server,
};

/// How long TCP, the upgrade, the registration and the resume may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same in a hurry (see [`Client::probe`](super::Client::probe)): the system repeats an
/// unanswered SYN after 1, 3 and 7 s, and another attempt begins anew.
const HURRIED_CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// The longest delay between two attempts in a hurry.
const HURRIED_DELAY: Duration = Duration::from_millis(500);
/// How long a probe may remain without an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long writing one message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `bye` and the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// tungstenite closes the connection above this size. Between [`MAX_INCOMING_BYTES`] and this, only
/// the message is dropped.
const HARD_LIMIT_BYTES: usize = 16 << 20;
/// A connection that lasted this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(7);
/// How long to look for a close frame on a connection that cannot be written to any more.
const CLOSE_FRAME_TIMEOUT: Duration = Duration::from_millis(100);
/// The codes of RFC 6455 §7.1.5 for an end without a close frame, and for a close frame without a
/// code.
const ABNORMAL_CLOSURE: u16 = 1006;
const NO_STATUS: u16 = 1005;
/// Bounds for the `silentMs` of the server, which may be anything.
const SILENCE_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);
/// The longest delay that `server_draining` can ask for.
const MAX_DRAIN_DELAY: Duration = Duration::from_secs(60);
/// This many unreadable messages within [`GARBAGE_WINDOW`] end the connection.
const MAX_GARBAGE: usize = 20;
const GARBAGE_WINDOW: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<Transport>;

/// How a connection ended.
enum End {
    /// The handle was closed or dropped.
    Closed,
    /// The network of this machine has changed.
    NetworkChanged,
    /// The connection broke or could not be made.
    Lost {
        error: ClientError,
        /// How long the server asked the client to stay away; usually zero.
        min_delay: Duration,
    },
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Lost {
            error,
            min_delay: Duration::ZERO,
        }
    }
}

pub(super) struct ClientTask {
    config: ClientConfig,
    queue: Queue,
    events: mpsc::Sender<ClientEvent>,
    /// Completes when the handle is gone.
    handle: oneshot::Receiver<()>,
    resumption: Resumption,
    shared: Arc<Shared>,
    /// How many users the server has registered for this client.
    users: u64,
}

/// What the handle wants to send.
struct Queue {
    outgoing: mpsc::Receiver<Outgoing>,
    /// The message that is being written. It stays here if the connection breaks meanwhile, and is
    /// sent again if the client is resumed.
    unsent: Option<Outgoing>,
}

impl ClientTask {
    pub(super) fn new(
        config: ClientConfig,
        outgoing: mpsc::Receiver<Outgoing>,
        events: mpsc::Sender<ClientEvent>,
        handle: oneshot::Receiver<()>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            config,
            queue: Queue {
                outgoing,
                unsent: None,
            },
            events,
            handle,
            resumption: Resumption::default(),
            shared,
            users: 0,
        }
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self) {
        loop {
            let (error, retry_in) = match self.attempt().await {
                End::Closed => break,
                End::NetworkChanged => {
                    // What failed in the old network says nothing about the new one.
                    self.config.backoff.reset();
                    (network_changed(), Some(Duration::ZERO))
                }
                End::Lost { error, min_delay } => {
                    let retry_in = match error.retry(self.users > 0) {
                        Retry::Never => None,
                        Retry::After(asked) => {
                            let mut delay = self.config.backoff.next_delay(rand::random());
                            if self.shared.probe.is_in_hurry() {
                                delay = delay.min(HURRIED_DELAY);
                            }

                            // Not all at the moment that a server named to all of them.
                            Some(asked.max(min_delay) + delay)
                        }
                    };
                    (error, retry_in)
                }
            };

            tracing::debug!(
                code = error.code().as_str(),
                retry_ms = retry_in.map(|delay| delay.as_millis() as u64),
                "lost the signaling server, connecting again after a delay unless that cannot help"
            );

            let shared = Arc::clone(&self.shared);
            let waiting = async {
                emit(&self.events, ClientEvent::Disconnected { error, retry_in }).await;

                match retry_in {
                    Some(delay) => tokio::select! {
                        () = sleep(delay) => {}
                        () = shared.network_changed.notified() => {}
                    },
                    None => std::future::pending().await,
                }
            };

            tokio::select! {
                () = waiting => {}
                _ = &mut self.handle => break,
            }
        }

        // The program may no longer read: this must not wait.
        let _ = self.events.try_send(ClientEvent::Closed);
    }

    /// Connects, exchanges messages until the connection ends, and says why it ended.
    async fn attempt(&mut self) -> End {
        let limit = if self.shared.probe.is_in_hurry() {
            HURRIED_CONNECT_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        let connecting = timeout(limit, register(&self.config, &self.resumption));
        let connected = tokio::select! {
            result = connecting => result.unwrap_or(Err(ClientError::Timeout(limit))),
            () = self.shared.network_changed.notified() => return End::NetworkChanged,
            _ = &mut self.handle => return End::Closed,
        };

        let (mut socket, registered, resumed) = match connected {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };

        let silence_timeout = silence_timeout(&registered);
        let connected_at = Instant::now();
        tracing::debug!(
            socket = %registered.socket_id,
            resumed = resumed.is_some(),
            "connected to the signaling server"
        );

        let event = match resumed {
            Some(Resumed { missed, session_id }) => {
                self.resumption.on_resumed(&registered);
                ClientEvent::Resumed {
                    registered,
                    missed,
                    session_id,
                }
            }
            None => {
                self.users += 1;
                self.resumption.on_new_user(&registered);
                // What was not sent as the old user is dropped anyway.
                self.queue.unsent = self.shared.listening.request(&registered).map(|message| {
                    let text = serde_json::to_string(&message).expect("room codes are JSON");
                    let user = self.users;
                    Outgoing { user, text }
                });
                ClientEvent::Connected(registered)
            }
        };

        // Before anything is written: if writing fails, the program still learns how it is
        // registered now.
        let is_closed = tokio::select! {
            biased;
            () = emit(&self.events, event) => false,
            _ = &mut self.handle => true,
        };

        if is_closed {
            say_bye(&mut socket).await;
            return End::Closed;
        }

        let (mut sink, mut stream) = socket.split();
        let had_token = self.config.token.is_some();

        let mut end = {
            let reading = async {
                let mut reader = Reader {
                    stream: &mut stream,
                    events: &self.events,
                    resumption: &mut self.resumption,
                    shared: &self.shared,
                    had_token,
                };
                reader.read_messages(silence_timeout).await
            };

            tokio::select! {
                end = reading => end,
                end = self.queue.write_messages(&mut sink, self.users, &self.shared.probe) => end,
                () = self.shared.probe.failed() => ClientError::Silent(PROBE_TIMEOUT).into(),
                () = self.shared.network_changed.notified() => End::NetworkChanged,
            }
        };

        if connected_at.elapsed() >= STABLE_AFTER {
            self.config.backoff.reset();
        }

        if matches!(end, End::Closed) {
            let mut socket = sink.reunite(stream).expect("the halves of one socket");
            say_bye(&mut socket).await;
        } else if let End::Lost { error, .. } = &mut end
            && matches!(
                error,
                ClientError::Broken(_) | ClientError::Closed(ABNORMAL_CLOSURE)
            )
            && let Some(code) = close_code(&mut stream).await
        {
            // Writing failed because the server has closed the connection. Its reason says more.
            self.resumption.on_closed(code);
            *error = ClientError::closed(code, had_token);
        }

        end
    }
}

impl Probe {
    /// Whether attempts to connect should follow each other quickly.
    fn is_in_hurry(&self) -> bool {
        let until = *self.hurry_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns once a probe has remained without an answer.
    async fn failed(&self) {
        loop {
            self.answer.notified().await;
            let asked = Instant::now();
            sleep(PROBE_TIMEOUT).await;
            if self.heard.lock().is_none_or(|heard| heard < asked) {
                return;
            }
        }
    }
}

/// Why a connection is given up when the network has changed.
fn network_changed() -> ClientError {
    let cause = io::Error::new(io::ErrorKind::NotConnected, "the network has changed");
    ClientError::from(tungstenite::Error::Io(cause))
}

impl Queue {
    /// Writes what the handle sends for this user, until the connection breaks or the handle is
    /// gone and nothing is left to send.
    async fn write_messages(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        user: u64,
        probe: &Probe,
    ) -> End {
        loop {
            let message = match self.unsent.take() {
                Some(message) => message,
                None => tokio::select! {
                    message = self.outgoing.recv() => match message {
                        Some(message) => message,
                        None => return End::Closed,
                    },
                    () = probe.ping.notified() => {
                        // Whether it works is for the probe to notice.
                        let ping = Message::Ping(tungstenite::Bytes::new());
                        let _ = timeout(PROBE_TIMEOUT, sink.send(ping)).await;
                        continue;
                    }
                },
            };

            if message.user != user {
                continue;
            }

            let text = message.text.clone();
            self.unsent = Some(message);

            match timeout(SEND_TIMEOUT, sink.send(Message::text(text))).await {
                Ok(Ok(())) => self.unsent = None,
                Ok(Err(error)) => return ClientError::from(error).into(),
                Err(_) => return ClientError::Stalled.into(),
            }
        }
    }
}

/// The half of a connection that receives.
struct Reader<'a> {
    stream: &'a mut SplitStream<Socket>,
    events: &'a mpsc::Sender<ClientEvent>,
    resumption: &'a mut Resumption,
    shared: &'a Shared,
    had_token: bool,
}

impl Reader<'_> {
    /// Passes the server's messages on until the connection breaks.
    async fn read_messages(&mut self, silence_timeout: Duration) -> End {
        let mut last_frame_at = Instant::now();
        let mut min_delay = Duration::ZERO;
        let mut garbage_window = FaultWindow::new(MAX_GARBAGE, GARBAGE_WINDOW);

        let error = loop {
            let frame = timeout_at(last_frame_at + silence_timeout, self.stream.next()).await;

            let text = match frame {
                Err(_) => break ClientError::Silent(silence_timeout),
                Ok(None) => break ClientError::Closed(ABNORMAL_CLOSURE),
                Ok(Some(Err(error))) => break error.into(),
                Ok(Some(Ok(frame))) => {
                    last_frame_at = Instant::now();
                    *self.shared.probe.heard.lock() = Some(last_frame_at);
                    match frame {
                        Message::Text(text) => Ok(text),
                        Message::Binary(bytes) => Err(Garbage::Binary(bytes.len())),
                        Message::Close(frame) => {
                            let code = frame.map_or(NO_STATUS, |f| f.code.into());
                            self.resumption.on_closed(code);
                            break ClientError::closed(code, self.had_token);
                        }
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                    }
                }
            };

            match text.and_then(|text| read(&text)) {
                Ok(message) => {
                    if let ServerMessage::ServerDraining(draining) = &message {
                        min_delay =
                            Duration::from_millis(draining.reconnect_after_ms).min(MAX_DRAIN_DELAY);
                    }

                    self.shared.listening.on_received(&message);

                    // Room first: if writing fails while the program has none, the message must
                    // not count as received, so that the server sends it again.
                    let room = self.events.reserve().await;
                    if self.resumption.is_new(&message)
                        && let Ok(room) = room
                    {
                        room.send(ClientEvent::Message(message));
                    }
                }
                Err(garbage) => {
                    tracing::warn!(%garbage, "ignored an unreadable message from the signaling server");
                    emit(self.events, ClientEvent::Garbage(garbage)).await;

                    if garbage_window.record(last_frame_at.into_std()) {
                        break ClientError::TooMuchGarbage;
                    }
                }
            }
        };

        End::Lost { error, min_delay }
    }
}

/// Waits until the program has room for the event: meanwhile nothing is read from the server.
async fn emit(events: &mpsc::Sender<ClientEvent>, event: ClientEvent) {
    // A program that dropped the receiver does not need events; the connection lives as long as
    // its handle.
    let _ = events.send(event).await;
}

/// The code of the close frame that has arrived and was not read yet, if there is one.
async fn close_code(stream: &mut SplitStream<Socket>) -> Option<u16> {
    let closing = async {
        loop {
            match stream.next().await? {
                Ok(Message::Close(frame)) => {
                    return Some(frame.map_or(NO_STATUS, |frame| frame.code.into()));
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };

    timeout(CLOSE_FRAME_TIMEOUT, closing).await.ok().flatten()
}

/// How long the server may be silent. `silentMs` 0 means that it never times out; the client then
/// uses its own upper bound.
fn silence_timeout(registered: &UserRegistered) -> Duration {
    match Duration::from_millis(registered.silent_ms) {
        Duration::ZERO => *SILENCE_TIMEOUTS.end(),
        silent => silent.clamp(*SILENCE_TIMEOUTS.start(), *SILENCE_TIMEOUTS.end()),
    }
}

fn read(text: &str) -> Result<ServerMessage, Garbage> {
    if text.len() > MAX_INCOMING_BYTES {
        return Err(Garbage::TooLarge(text.len()));
    }

    Ok(parse_server(text)?.message)
}

/// A registered connection, and what was resumed on it, if anything.
type Registered = (Socket, Box<UserRegistered>, Option<Resumed>);

/// Connects, waits for `user_registered`, which the server sends first, and resumes the old client
/// if there is one. If the server refuses to resume, the connection is that of a new user.
async fn register(
    config: &ClientConfig,
    resumption: &Resumption,
) -> Result<Registered, ClientError> {
    let had_token = config.token.is_some();
    if had_token && config.url.is_exposed() {
        return Err(ClientError::TokenExposed);
    }

    let stream = transport::connect(config, had_token).await?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(HARD_LIMIT_BYTES))
        .max_frame_size(Some(HARD_LIMIT_BYTES));

    let upgraded = client_async_with_config(request(config)?, stream, Some(limits)).await;
    let (mut socket, _) = upgraded.map_err(|error| match error {
        tungstenite::Error::Http(response) => ClientError::refused(&response, had_token),
        // It hung up: a server that is being restarted, or a proxy in front of one.
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            ClientError::Closed(ABNORMAL_CLOSURE)
        }
        // Not HTTP, or another kind of HTTP.
        tungstenite::Error::Protocol(_) | tungstenite::Error::HttpFormat(_) => {
            ClientError::NotASignalingServer(None)
        }
        error => error.into(),
    })?;

    let registered = match next_message(&mut socket, had_token).await? {
        ServerMessage::UserRegistered(registered) if registered.protocol == PROTOCOL_VERSION => {
            registered
        }
        ServerMessage::UserRegistered(registered) => {
            return Err(ClientError::OtherVersion(registered.protocol));
        }
        ServerMessage::Error(report) => return Err(ClientError::rejected(report.code, had_token)),
        _ => return Err(ClientError::NotASignalingServer(None)),
    };

    let Some(request) = resumption.request() else {
        return Ok((socket, registered, None));
    };

    let request = serde_json::to_string(&request).expect("a string and a number are always JSON");
    socket.send(Message::text(request)).await?;

    match next_message(&mut socket, had_token).await? {
        ServerMessage::Resumed(resumed) => Ok((socket, registered, Some(resumed))),
        ServerMessage::Error(report) => {
            tracing::debug!(code = ?report.code, "cannot resume, continuing as a new user");
            Ok((socket, registered, None))
        }
        _ => Err(ClientError::NotASignalingServer(None)),
    }
}

/// The request for the upgrade.
fn request(config: &ClientConfig) -> Result<Request<()>, ClientError> {
    let mut request = config.url.as_str().into_client_request()?;

    if let Some(token) = &config.token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .expect("a token has only printable ASCII characters");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }

    Ok(request)
}

/// The next message, from a server that must send one now.
async fn next_message(socket: &mut Socket, had_token: bool) -> Result<ServerMessage, ClientError> {
    loop {
        return match socket.next().await {
            None => Err(ClientError::Closed(ABNORMAL_CLOSURE)),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(Message::Text(text))) => {
                read(&text).map_err(|garbage| ClientError::NotASignalingServer(Some(garbage)))
            }
            Some(Ok(Message::Binary(bytes))) => Err(ClientError::NotASignalingServer(Some(
                Garbage::Binary(bytes.len()),
            ))),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(NO_STATUS, |f| f.code.into());
                Err(ClientError::closed(code, had_token))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
        };
    }
}

/// Closes the connection properly: `bye`, then the closing handshake of RFC 6455 §7.
async fn say_bye(socket: &mut Socket) {
    let bye = serde_json::to_string(&ClientMessage::Bye).expect("`bye` is a constant");
    let closing = async {
        if socket.send(Message::text(bye)).await.is_ok() && socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };

    // After the timeout the socket is dropped as it is.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}
