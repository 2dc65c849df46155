//! The task behind a [`Client`](super::Client): connect, register or resume, exchange messages, and
//! start over when the connection is lost.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the task that owns the socket reads the clock"
)]

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Host;

use super::resume::Resumption;
use super::{
    Backoff, ClientConfig, ClientError, ClientEvent, Garbage, MAX_INCOMING_BYTES, Outgoing,
};
use crate::ServerUrl;
use crate::fault_window::FaultWindow;
use crate::message::{
    ClientMessage, PROTOCOL_VERSION, Resumed, ServerMessage, UserRegistered, parse_server,
};

/// How long TCP, the upgrade, the registration and the resume may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long writing one message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `bye` and the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// tungstenite closes the connection above this size. Between [`MAX_INCOMING_BYTES`] and this, only
/// the message is dropped.
const HARD_LIMIT_BYTES: usize = 16 << 20;
/// A connection that lasted this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(7);
/// The close code of a connection whose client was resumed on another one.
const REPLACED: u16 = 4002;
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

type Socket = WebSocketStream<TcpStream>;

/// How a connection ended.
enum End {
    /// The handle was closed or dropped.
    Closed,
    /// The connection broke or could not be made.
    Lost {
        error: ClientError,
        /// How long the server asked the client to stay away; usually zero.
        min_delay: Duration,
    },
}

pub(super) struct ClientTask {
    url: ServerUrl,
    backoff: Backoff,
    outgoing: mpsc::Receiver<Outgoing>,
    events: mpsc::UnboundedSender<ClientEvent>,
    /// The number of the current connection, shared with the handle; 0 while there is none.
    connection: Arc<AtomicU64>,
    resumption: Resumption,
}

impl ClientTask {
    pub(super) fn new(
        config: ClientConfig,
        outgoing: mpsc::Receiver<Outgoing>,
        events: mpsc::UnboundedSender<ClientEvent>,
        connection: Arc<AtomicU64>,
    ) -> Self {
        Self {
            url: config.url,
            backoff: config.backoff,
            outgoing,
            events,
            connection,
            resumption: Resumption::default(),
        }
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self) {
        for number in 1.. {
            let (error, min_delay) = match self.attempt(number).await {
                End::Closed => break,
                End::Lost { error, min_delay } => (error, min_delay),
            };

            let retry_in = self.backoff.next_delay(rand::random()).max(min_delay);
            tracing::debug!(
                code = error.code().as_str(),
                retry_ms = retry_in.as_millis() as u64,
                "lost the signaling server, connecting again after a delay"
            );
            self.emit(ClientEvent::Disconnected { error, retry_in });

            if !self.pause(retry_in).await {
                break;
            }
        }

        self.emit(ClientEvent::Closed);
    }

    /// Connects, exchanges messages until the connection ends, and says why it ended.
    async fn attempt(&mut self, number: u64) -> End {
        let connecting = async {
            match timeout(CONNECT_TIMEOUT, register(&self.url, &self.resumption)).await {
                Ok(result) => result,
                Err(_) => Err(ClientError::Timeout(CONNECT_TIMEOUT)),
            }
        };

        let result = tokio::select! {
            result = connecting => result,
            () = handle_dropped(&mut self.outgoing) => return End::Closed,
        };

        let (mut socket, registered, resumed) = match result {
            Ok(connected) => connected,
            Err(error) => {
                return End::Lost {
                    error,
                    min_delay: Duration::ZERO,
                };
            }
        };

        let silence_timeout = silence_timeout(&registered);
        let connected_at = Instant::now();
        self.connection.store(number, Ordering::Release);
        tracing::debug!(
            socket = %registered.socket_id,
            resumed = resumed.is_some(),
            "connected to the signaling server"
        );

        match resumed {
            Some(Resumed { missed, session_id }) => {
                self.resumption.on_resumed(&registered);
                self.emit(ClientEvent::Resumed {
                    registered,
                    missed,
                    session_id,
                });
            }
            None => {
                self.resumption.on_new_user(&registered);
                self.emit(ClientEvent::Connected(registered));
            }
        }

        let end = self
            .exchange_messages(&mut socket, number, silence_timeout)
            .await;
        self.connection.store(0, Ordering::Release);

        if connected_at.elapsed() >= STABLE_AFTER {
            self.backoff.reset();
        }

        if matches!(end, End::Closed) {
            // After the timeout the socket is dropped as it is.
            let _ = timeout(CLOSE_TIMEOUT, send_bye(&mut socket)).await;
        }

        end
    }

    /// Passes messages both ways until the connection breaks or the handle is dropped.
    async fn exchange_messages(
        &mut self,
        socket: &mut Socket,
        number: u64,
        silence_timeout: Duration,
    ) -> End {
        let mut last_frame_at = Instant::now();
        let mut min_delay = Duration::ZERO;
        let mut garbage_window = FaultWindow::new(MAX_GARBAGE, GARBAGE_WINDOW);

        let error = loop {
            let frame = tokio::select! {
                outgoing = self.outgoing.recv() => match outgoing {
                    None => return End::Closed,
                    Some(message) if message.connection != number => continue,
                    Some(message) => {
                        let sending = socket.send(Message::text(message.text));
                        match timeout(SEND_TIMEOUT, sending).await {
                            Ok(Ok(())) => continue,
                            Ok(Err(error)) => break error.into(),
                            Err(_) => break ClientError::Stalled,
                        }
                    }
                },
                frame = timeout_at(last_frame_at + silence_timeout, socket.next()) => frame,
            };

            let text = match frame {
                Err(_) => break ClientError::Silent(silence_timeout),
                Ok(None) => break ClientError::Closed(ABNORMAL_CLOSURE),
                Ok(Some(Err(error))) => break error.into(),
                Ok(Some(Ok(frame))) => {
                    last_frame_at = Instant::now();
                    match frame {
                        Message::Text(text) => Ok(text),
                        Message::Binary(bytes) => Err(Garbage::Binary(bytes.len())),
                        Message::Close(frame) => {
                            let code = frame.map_or(NO_STATUS, |f| f.code.into());
                            if code == REPLACED {
                                self.resumption.forget();
                            }

                            break ClientError::Closed(code);
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

                    if self.resumption.is_new(&message) {
                        self.emit(ClientEvent::Message(message));
                    }
                }
                Err(garbage) => {
                    tracing::warn!(%garbage, "ignored an unreadable message from the signaling server");
                    self.emit(ClientEvent::Garbage(garbage));

                    if garbage_window.record(last_frame_at.into_std()) {
                        break ClientError::TooMuchGarbage;
                    }
                }
            }
        };

        End::Lost { error, min_delay }
    }

    /// Waits for `length`. Returns false at once if the handle is dropped.
    async fn pause(&mut self, length: Duration) -> bool {
        tokio::select! {
            () = sleep(length) => true,
            () = handle_dropped(&mut self.outgoing) => false,
        }
    }

    fn emit(&self, event: ClientEvent) {
        // A program that dropped the receiver does not need events; the connection lives as long as
        // its handle.
        let _ = self.events.send(event);
    }
}

/// Completes when the handle is dropped. Drops messages that were meant for a lost connection.
async fn handle_dropped(outgoing: &mut mpsc::Receiver<Outgoing>) {
    while outgoing.recv().await.is_some() {}
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
async fn register(url: &ServerUrl, resumption: &Resumption) -> Result<Registered, ClientError> {
    let port = url.port();
    let stream = match url.host() {
        Host::Domain(name) => TcpStream::connect((name, port)).await,
        Host::Ipv4(ip) => TcpStream::connect(SocketAddr::from((ip, port))).await,
        Host::Ipv6(ip) => TcpStream::connect(SocketAddr::from((ip, port))).await,
    }
    .map_err(ClientError::Unreachable)?;
    stream.set_nodelay(true).map_err(ClientError::Unreachable)?;

    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(HARD_LIMIT_BYTES))
        .max_frame_size(Some(HARD_LIMIT_BYTES));
    let (mut socket, _) = client_async_with_config(url.as_str(), stream, Some(config)).await?;

    let registered = match next_message(&mut socket).await? {
        ServerMessage::UserRegistered(registered) if registered.protocol == PROTOCOL_VERSION => {
            registered
        }
        ServerMessage::Error(report) => return Err(ClientError::Rejected(report.code)),
        _ => return Err(ClientError::NotASignalingServer(None)),
    };

    let Some(request) = resumption.request() else {
        return Ok((socket, registered, None));
    };

    let request = serde_json::to_string(&request).expect("a string and a number are always JSON");
    socket.send(Message::text(request)).await?;

    match next_message(&mut socket).await? {
        ServerMessage::Resumed(resumed) => Ok((socket, registered, Some(resumed))),
        ServerMessage::Error(report) => {
            tracing::debug!(code = ?report.code, "cannot resume, continuing as a new user");
            Ok((socket, registered, None))
        }
        _ => Err(ClientError::NotASignalingServer(None)),
    }
}

/// The next message, from a server that must send one now.
async fn next_message(socket: &mut Socket) -> Result<ServerMessage, ClientError> {
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
            Some(Ok(Message::Close(frame))) => Err(ClientError::Closed(
                frame.map_or(NO_STATUS, |f| f.code.into()),
            )),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
        };
    }
}

/// Closes the connection properly: `bye`, then the closing handshake of RFC 6455 §7.
async fn send_bye(socket: &mut Socket) {
    let bye = serde_json::to_string(&ClientMessage::Bye).expect("`bye` is a constant");
    if socket.send(Message::text(bye)).await.is_err() || socket.close(None).await.is_err() {
        return;
    }

    while let Some(Ok(_)) = socket.next().await {}
}
