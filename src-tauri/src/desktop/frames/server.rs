//! The socket itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::{StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::fit::Scaler;
use super::packet::{self, MAX_REQUEST};
use super::tokens::Tokens;
use super::{Picture, Streams};
use crate::desktop::command::{FrameRequest, FrameSocket};

/// An upgrade that is not finished by then is closed.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(5);
/// A client that has not taken its picture by then is gone.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// The page needs two: its own pictures and the partner's. A reload may leave two behind for a moment.
const MAX_CONNECTIONS: usize = 8;
/// After a failed `accept`: a pause instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where this app's own page comes from, as browsers say it in `Origin`.
#[must_use]
pub fn page_origins() -> Vec<String> {
    let origin = if cfg!(any(windows, target_os = "android")) {
        "http://tauri.localhost"
    } else {
        "tauri://localhost"
    };

    vec![origin.to_owned()]
}

/// The running server. Dropping it ends every connection.
#[derive(Debug)]
pub struct FrameServer {
    address: SocketAddr,
    door: Arc<Door>,
    _stop: oneshot::Sender<()>,
}

/// Who may come in.
#[derive(Debug)]
struct Door {
    tokens: Mutex<Tokens>,
    origins: Vec<String>,
}

impl FrameServer {
    /// Binds a free port on loopback and serves `streams` to pages of `origins`, on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no port or no thread.
    pub fn start(streams: Arc<Streams>, origins: Vec<String>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door {
            tokens: Mutex::default(),
            origins,
        });

        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&door);
        std::thread::Builder::new()
            .name("frame-socket".into())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = match TcpListener::from_std(listener) {
                        Ok(listener) => listener,
                        Err(error) => return tracing::error!(%error, "there is no frame socket"),
                    };

                    tokio::select! {
                        () = accept_all(listener, serving, streams) => {}
                        // The sender is never used, only dropped.
                        _ = stopped => {}
                    }
                });
            })?;

        Ok(Self {
            address,
            door,
            _stop: stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An address and a token for one connection.
    #[must_use]
    pub fn invite(&self) -> FrameSocket {
        let token = self.door.tokens().issue(Instant::now(), rand::random());
        FrameSocket {
            url: format!("ws://{}/frames", self.address),
            token,
        }
    }
}

impl Door {
    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only a page of ours that was given a token. An `Origin` that is missing is not ours: browsers always send one.
    fn admits(&self, request: &Request) -> bool {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let is_ours = matches!((origins.next(), origins.next()), (Some(origin), None)
            if self.origins.iter().any(|ours| origin.as_bytes() == ours.as_bytes()));
        let token = request
            .uri()
            .query()
            .and_then(|query| query.strip_prefix("token="));

        is_ours
            && request.uri().path() == "/frames"
            && token.is_some_and(|token| self.tokens().redeem(Instant::now(), token))
    }
}

/// The check before the upgrade.
struct Check(Arc<Door>);

impl Callback for Check {
    #[allow(clippy::result_large_err, reason = "the trait's own type")]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if self.0.admits(request) {
            return Ok(response);
        }

        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    }
}

async fn accept_all(listener: TcpListener, door: Arc<Door>, streams: Arc<Streams>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };

        // Nobody waits in line: a connection too many is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };

        let (door, streams) = (Arc::clone(&door), Arc::clone(&streams));
        tokio::spawn(async move {
            if let Some(socket) = upgrade(socket, door).await {
                Connection {
                    socket,
                    streams,
                    scaler: Scaler::default(),
                }
                .serve()
                .await;
            }

            drop(place);
        });
    }
}

async fn upgrade(socket: TcpStream, door: Arc<Door>) -> Option<WebSocketStream<TcpStream>> {
    // Latency matters more than packets; on loopback it only costs a little CPU if it fails.
    let _ = socket.set_nodelay(true);
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(MAX_REQUEST))
        .max_frame_size(Some(MAX_REQUEST));
    let upgraded = accept_hdr_async_with_config(socket, Check(door), Some(config));

    match tokio::time::timeout(UPGRADE_PATIENCE, upgraded).await {
        Ok(Ok(socket)) => Some(socket),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client of the frame socket was turned away");
            None
        }
        Err(_) => None,
    }
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    streams: Arc<Streams>,
    scaler: Scaler,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or it is broken.
    Gone,
    /// The client does not keep to the protocol.
    Refused(CloseCode),
}

impl Connection {
    async fn serve(mut self) {
        let end = loop {
            if let Err(end) = self.answer_one().await {
                break end;
            }
        };

        if let End::Refused(code) = end {
            let farewell = self.socket.close(Some(CloseFrame {
                code,
                reason: "".into(),
            }));
            // Whoever reads nothing misses the reason.
            let _ = tokio::time::timeout(READ_PATIENCE, farewell).await;
        }
    }

    async fn answer_one(&mut self) -> Result<(), End> {
        let request = self.request().await?;
        let streams = Arc::clone(&self.streams);
        let stream = streams.get(request.stream);
        let picture = tokio::select! {
            picture = next(stream, request.after) => picture,
            // One request, one reply: a second one before the reply is a mistake, and so is a farewell a reason to stop.
            end = self.request() => return Err(end.map_or_else(|end| end, |_| End::Refused(CloseCode::Policy))),
        };

        let now = (
            Instant::now(),
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        );
        let bytes = packet::reply(&picture, request, stream.is_mirrored, now, &mut self.scaler);
        drop(picture);
        let sent =
            tokio::time::timeout(READ_PATIENCE, self.socket.send(Message::binary(bytes))).await;

        if matches!(sent, Ok(Ok(()))) {
            Ok(())
        } else {
            Err(End::Gone)
        }
    }

    async fn request(&mut self) -> Result<FrameRequest, End> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return packet::parse(&text).ok_or(End::Refused(CloseCode::Policy));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(End::Refused(CloseCode::Unsupported)),
                Some(Err(Error::Capacity(_))) => return Err(End::Refused(CloseCode::Size)),
                Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => {
                    return Err(End::Gone);
                }
            }
        }
    }
}

/// The first picture that the page does not have yet.
async fn next(stream: &super::FrameStream, after: u32) -> Picture {
    let mut newest = stream.watch();
    let is_new = |newest: &super::stream::Newest| {
        newest.picture.as_ref().is_some_and(|p| p.sequence != after)
    };

    match newest
        .wait_for(is_new)
        .await
        .map(|newest| newest.picture.clone())
    {
        Ok(Some(picture)) => picture,
        // The stream outlives the server, and what was waited for is there.
        _ => std::future::pending().await,
    }
}
