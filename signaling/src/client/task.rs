//! The task behind a [`Client`](super::Client): connect, register, pass messages, and again.

use std::net::SocketAddr;
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
use url::{Host, Url};

use super::resume::Resumption;
use super::{Backoff, ClientError, ClientEvent, Garbage, MAX_INCOMING_BYTES, Outgoing};
use crate::fault_window::FaultWindow;
use crate::message::{
    ClientMessage, PROTOCOL_VERSION, Resumed, ServerMessage, UserRegistered, parse_server,
};

/// For TCP, the upgrade and `user_registered` together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one message to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// For `bye` and the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// tungstenite ends the connection above this, so it stands far above what becomes [`Garbage`].
const HARD_LIMIT_BYTES: usize = 16 << 20;
/// A connection that lasted this long was good: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(7);
/// The close code that says: another connection resumed this one.
const REPLACED: u16 = 4002;
/// The relay's word on silence is taken only in these bounds.
const SILENT_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

type Socket = WebSocketStream<TcpStream>;

/// How a connection ended.
enum End {
    /// The program wants no more.
    Closed,
    /// The connection is lost; the relay may have said when to come back.
    Lost {
        error: ClientError,
        come_back_in: Duration,
    },
}

pub(super) struct ClientTask {
    url: Url,
    backoff: Backoff,
    outgoing: mpsc::Receiver<Outgoing>,
    events: mpsc::UnboundedSender<ClientEvent>,
    /// The number of the present connection, shared with the handle; 0 while there is none.
    connection: Arc<AtomicU64>,
    resumption: Resumption,
}

impl ClientTask {
    pub(super) fn new(
        url: Url,
        backoff: Backoff,
        outgoing: mpsc::Receiver<Outgoing>,
        events: mpsc::UnboundedSender<ClientEvent>,
        connection: Arc<AtomicU64>,
    ) -> Self {
        Self {
            url,
            backoff,
            outgoing,
            events,
            connection,
            resumption: Resumption::default(),
        }
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self) {
        for number in 1.. {
            let (error, come_back_in) = match self.attempt(number).await {
                End::Closed => break,
                End::Lost {
                    error,
                    come_back_in,
                } => (error, come_back_in),
            };

            let retry_in = self.backoff.next_delay(rand::random()).max(come_back_in);
            tracing::debug!(
                code = error.code(),
                retry_ms = retry_in.as_millis() as u64,
                "signaling is disconnected"
            );
            self.emit(ClientEvent::Disconnected { error, retry_in });

            if !self.pause(retry_in).await {
                break;
            }
        }

        self.emit(ClientEvent::Closed);
    }

    /// One connection from the first packet to the last.
    async fn attempt(&mut self, number: u64) -> End {
        let lost = |error| End::Lost {
            error,
            come_back_in: Duration::ZERO,
        };

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
            Err(error) => return lost(error),
        };

        let silent = match Duration::from_millis(registered.silent_ms) {
            Duration::ZERO => SILENT_BOUNDS.1,
            silent => silent.clamp(SILENT_BOUNDS.0, SILENT_BOUNDS.1),
        };

        let since = Instant::now();
        self.connection.store(number, Ordering::Release);
        tracing::debug!(socket = %registered.socket_id, resumed = resumed.is_some(), "signaling is connected");

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

        let end = self.converse(&mut socket, number, silent).await;
        self.connection.store(0, Ordering::Release);

        if since.elapsed() >= GOOD_CONNECTION {
            self.backoff.reset();
        }

        if matches!(end, End::Closed) {
            // After the time limit the socket is dropped as it is: nobody waits for it any more.
            let _ = timeout(CLOSE_TIMEOUT, say_bye(&mut socket)).await;
        }

        end
    }

    /// Passes messages both ways until the connection or the handle is gone.
    async fn converse(&mut self, socket: &mut Socket, number: u64, silent: Duration) -> End {
        let mut heard = Instant::now();
        let mut come_back_in = Duration::ZERO;
        let mut faults = FaultWindow::new(20, Duration::from_secs(10));
        let error = loop {
            let frame = tokio::select! {
                outgoing = self.outgoing.recv() => match outgoing {
                    None => return End::Closed,
                    Some(message) if message.connection != number => continue,
                    Some(message) => match timeout(SEND_TIMEOUT, socket.send(Message::text(message.text))).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => break error.into(),
                        Err(_) => break ClientError::Stalled,
                    },
                },
                frame = timeout_at(heard + silent, socket.next()) => frame,
            };

            let text = match frame {
                Err(_) => break ClientError::Silent(silent),
                Ok(None) => break ClientError::Closed(1006),
                Ok(Some(Err(error))) => break error.into(),
                Ok(Some(Ok(frame))) => {
                    heard = Instant::now();
                    match frame {
                        Message::Text(text) => Ok(text),
                        Message::Binary(bytes) => Err(Garbage::Binary(bytes.len())),
                        Message::Close(frame) => {
                            let code = frame.map_or(1005, |f| f.code.into());
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
                        come_back_in = Duration::from_millis(draining.reconnect_after_ms)
                            .min(Duration::from_secs(60));
                    }

                    if self.resumption.is_news(&message) {
                        self.emit(ClientEvent::Message(message));
                    }
                }
                Err(garbage) => {
                    tracing::warn!(%garbage, "the relay sent something unreadable");
                    self.emit(ClientEvent::Garbage(garbage));

                    if faults.record(std::time::Instant::now()) {
                        break ClientError::TooMuchGarbage;
                    }
                }
            }
        };

        End::Lost {
            error,
            come_back_in,
        }
    }

    /// Waits; false if the handle is gone meanwhile.
    async fn pause(&mut self, length: Duration) -> bool {
        tokio::select! {
            () = sleep(length) => true,
            () = handle_dropped(&mut self.outgoing) => false,
        }
    }

    fn emit(&self, event: ClientEvent) {
        // A program that dropped the receiver wants no events; the connection lives as long as its handle.
        let _ = self.events.send(event);
    }
}

/// Ready when the handle is dropped; messages for a connection that is gone are dropped on the way.
async fn handle_dropped(outgoing: &mut mpsc::Receiver<Outgoing>) {
    while outgoing.recv().await.is_some() {}
}

fn read(text: &str) -> Result<ServerMessage, Garbage> {
    if text.len() > MAX_INCOMING_BYTES {
        return Err(Garbage::TooLarge(text.len()));
    }

    Ok(parse_server(text)?.message)
}

/// A connection: as whom, and what was resumed on it, if anything was.
type Registered = (Socket, Box<UserRegistered>, Option<Resumed>);

/// Connects, waits for `user_registered`, which the relay sends first, and takes the old connection's place if there was
/// one. A relay that refuses that has made a new user of us.
async fn register(url: &Url, resumption: &Resumption) -> Result<Registered, ClientError> {
    let port = url
        .port_or_known_default()
        .ok_or(ClientError::UnsupportedUrl)?;
    let unreachable = |error: std::io::Error| ClientError::Unreachable(error.kind());
    let stream = match url.host().ok_or(ClientError::UnsupportedUrl)? {
        Host::Domain(name) => TcpStream::connect((name, port)).await,
        Host::Ipv4(ip) => TcpStream::connect(SocketAddr::from((ip, port))).await,
        Host::Ipv6(ip) => TcpStream::connect(SocketAddr::from((ip, port))).await,
    }
    .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(HARD_LIMIT_BYTES))
        .max_frame_size(Some(HARD_LIMIT_BYTES));
    let (mut socket, _) = client_async_with_config(url.as_str(), stream, Some(config)).await?;
    let registered = match hear(&mut socket).await? {
        ServerMessage::UserRegistered(registered) if registered.protocol == PROTOCOL_VERSION => {
            registered
        }
        ServerMessage::Error(report) => return Err(ClientError::Rejected(report.code)),
        _ => return Err(ClientError::NotARelay),
    };

    let Some(request) = resumption.request() else {
        return Ok((socket, registered, None));
    };

    let request = serde_json::to_string(&request).expect("a string and a number are always JSON");
    socket.send(Message::text(request)).await?;

    match hear(&mut socket).await? {
        ServerMessage::Resumed(resumed) => Ok((socket, registered, Some(resumed))),
        ServerMessage::Error(report) => {
            tracing::debug!(code = ?report.code, "the relay does not resume");
            Ok((socket, registered, None))
        }
        _ => Err(ClientError::NotARelay),
    }
}

/// The next message of a relay that has to say something.
async fn hear(socket: &mut Socket) -> Result<ServerMessage, ClientError> {
    loop {
        return match socket.next().await {
            None => Err(ClientError::Closed(1006)),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(Message::Text(text))) => read(&text).map_err(|_| ClientError::NotARelay),
            Some(Ok(Message::Close(frame))) => {
                Err(ClientError::Closed(frame.map_or(1005, |f| f.code.into())))
            }
            Some(Ok(Message::Binary(_))) => Err(ClientError::NotARelay),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
        };
    }
}

/// The clean end: `bye`, then the closing handshake of RFC 6455 §7.
async fn say_bye(socket: &mut Socket) {
    let bye = serde_json::to_string(&ClientMessage::Bye).expect("`bye` is a constant");
    if socket.send(Message::text(bye)).await.is_err() || socket.close(None).await.is_err() {
        return;
    }

    while let Some(Ok(_)) = socket.next().await {}
}
