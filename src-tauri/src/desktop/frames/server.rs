//! The server of the frame socket.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: passes the time to tokens and replies"
)]

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::fit::Scaler;
use super::packet::{self, MAX_REQUEST};
use super::tokens::Tokens;
use super::{ShownFrame, Streams};
use crate::desktop::command::{FrameRequest, FrameSocket};

/// The subprotocol of the frame socket. The page offers it together with `bearer.` and a token: a
/// header stays out of logs and lists of URLs.
pub const PROTOCOL: &str = "tandem-frames";
/// How long a client may take for the WebSocket upgrade. The page takes milliseconds.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most sockets that are not upgraded yet. Any program on this machine can open one. One more
/// replaces the oldest instead of being refused, so that the page can always connect.
const MAX_UPGRADES: usize = 32;
/// How long a client may take to read a frame. Then its connection is closed.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The most upgraded connections at a time. The page needs two, for local and remote video; a
/// reload may leave two behind for a moment.
const MAX_CONNECTIONS: usize = 8;
/// The pause after a failed `accept`, to avoid a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The `Origin` headers of this app's own page.
#[must_use]
pub fn page_origins() -> Vec<String> {
    let origin = if cfg!(any(windows, target_os = "android")) {
        "http://tauri.localhost"
    } else {
        "tauri://localhost"
    };

    vec![origin.to_owned()]
}

/// The running server. Dropping it closes every connection.
#[derive(Debug)]
pub struct FrameServer {
    address: SocketAddr,
    admission: Arc<Admission>,
    /// Dropped to stop the server.
    _stop: oneshot::Sender<()>,
}

/// Decides which clients may connect.
#[derive(Debug)]
struct Admission {
    tokens: Mutex<Tokens>,
    origins: Vec<String>,
}

impl FrameServer {
    /// Binds a free port on loopback and serves `streams` to pages of `origins`, on its own thread.
    ///
    /// # Errors
    /// When the system has no free port or cannot start a thread.
    pub fn start(streams: Arc<Streams>, origins: Vec<String>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let admission = Arc::new(Admission {
            tokens: Mutex::default(),
            origins,
        });

        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&admission);
        std::thread::Builder::new()
            .name("frame-socket".into())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = match TcpListener::from_std(listener) {
                        Ok(listener) => listener,
                        Err(error) => {
                            tracing::error!(%error, "the frame socket failed to start: the page shows no video");
                            return;
                        }
                    };

                    tokio::select! {
                        () = accept_all(listener, serving, streams) => {}
                        // The sender sends nothing; it is dropped to stop.
                        _ = stopped => {}
                    }
                });
            })?;

        Ok(Self {
            address,
            admission,
            _stop: stop,
        })
    }

    /// The address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL and a token for one connection.
    #[must_use]
    pub fn issue_token(&self) -> FrameSocket {
        let token = self
            .admission
            .tokens
            .lock()
            .issue(Instant::now(), rand::random());
        FrameSocket {
            url: format!("ws://{}/frames", self.address),
            token,
        }
    }
}

impl Admission {
    /// Admits only the app's own page, with a token. A client without `Origin` is not a page:
    /// browsers always send one.
    fn admits(&self, request: &Request) -> bool {
        let origin = single_header(request, header::ORIGIN);
        let is_own_page = origin.is_some_and(|origin| self.origins.iter().any(|own| own == origin));
        let token = single_header(request, header::SEC_WEBSOCKET_PROTOCOL).and_then(token);

        is_own_page
            && request.uri().path() == "/frames"
            && token.is_some_and(|token| self.tokens.lock().redeem(Instant::now(), token))
    }
}

/// The value of a header, if the header occurs exactly once.
fn single_header(request: &Request, name: header::HeaderName) -> Option<&str> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// The token among the subprotocols that a client offers.
fn token(offered: &str) -> Option<&str> {
    let (protocol, bearer) = offered.split_once(',')?;
    (protocol.trim() == PROTOCOL)
        .then(|| bearer.trim().strip_prefix("bearer."))
        .flatten()
}

/// Checks a client before the upgrade, and takes a place for it.
struct UpgradeCheck<'a> {
    admission: &'a Admission,
    places: &'a Arc<Semaphore>,
    place: &'a mut Option<OwnedSemaphorePermit>,
}

impl Callback for UpgradeCheck<'_> {
    #[allow(clippy::result_large_err, reason = "the trait's own type")]
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        if !self.admission.admits(request) {
            return Err(refusal(StatusCode::FORBIDDEN));
        }

        *self.place = Arc::clone(self.places).try_acquire_owned().ok();
        if self.place.is_none() {
            return Err(refusal(StatusCode::SERVICE_UNAVAILABLE));
        }

        response.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(PROTOCOL),
        );
        Ok(response)
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = status;
    refusal
}

async fn accept_all(listener: TcpListener, admission: Arc<Admission>, streams: Arc<Streams>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut upgrades = Upgrades::default();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };

        let (admission, streams) = (Arc::clone(&admission), Arc::clone(&streams));
        let places = Arc::clone(&places);
        let upgrade = tokio::spawn(async move {
            if let Some((socket, place)) = upgrade(socket, &admission, &places).await {
                // A task of its own: `Upgrades` ends only the task of the upgrade.
                tokio::spawn(Connection::new(socket, streams, place).serve());
            }
        });

        upgrades.push(upgrade.abort_handle());
    }
}

/// The tasks of sockets that are not upgraded yet, the oldest first.
#[derive(Default)]
struct Upgrades(VecDeque<AbortHandle>);

impl Upgrades {
    /// Adds one. Ends the oldest if there are too many.
    fn push(&mut self, upgrade: AbortHandle) {
        self.0.retain(|upgrade| !upgrade.is_finished());
        if self.0.len() == MAX_UPGRADES
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }

        self.0.push_back(upgrade);
    }
}

async fn upgrade(
    socket: TcpStream,
    admission: &Admission,
    places: &Arc<Semaphore>,
) -> Option<(WebSocketStream<TcpStream>, OwnedSemaphorePermit)> {
    // Lower latency for a few more packets. A failure does no harm on loopback.
    let _ = socket.set_nodelay(true);
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(MAX_REQUEST))
        .max_frame_size(Some(MAX_REQUEST));
    let mut place = None;
    let check = UpgradeCheck {
        admission,
        places,
        place: &mut place,
    };
    let upgraded = accept_hdr_async_with_config(socket, check, Some(config));

    match tokio::time::timeout(UPGRADE_TIMEOUT, upgraded).await {
        Ok(Ok(socket)) => place.map(|place| (socket, place)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "refused a client of the frame socket");
            None
        }
        Err(_) => None,
    }
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    streams: Arc<Streams>,
    scaler: Scaler,
    /// The allocation of the last reply, for the next one.
    buffer: Vec<u8>,
    /// Released when the connection ends.
    _place: OwnedSemaphorePermit,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or it broke.
    Gone,
    /// The client violated the protocol.
    Refused(CloseCode),
}

impl Connection {
    fn new(
        socket: WebSocketStream<TcpStream>,
        streams: Arc<Streams>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            socket,
            streams,
            scaler: Scaler::default(),
            buffer: Vec::new(),
            _place: place,
        }
    }

    async fn serve(mut self) {
        let end = loop {
            if let Err(end) = self.answer_one().await {
                break end;
            }
        };

        if let End::Refused(code) = end {
            let close = self.socket.close(Some(CloseFrame {
                code,
                reason: "".into(),
            }));
            // A client that does not read must not keep this task waiting.
            let _ = tokio::time::timeout(SEND_TIMEOUT, close).await;
        }
    }

    async fn answer_one(&mut self) -> Result<(), End> {
        let request = self.request().await?;
        let streams = Arc::clone(&self.streams);
        let stream = streams.get(request.stream);
        let frame = tokio::select! {
            frame = next_frame(stream, request.after) => frame,
            // A request before the reply violates the protocol; any other end just ends the
            // connection.
            end = self.request() => return Err(end.map_or_else(|end| end, |_| End::Refused(CloseCode::Policy))),
        };

        let now = (
            Instant::now(),
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        );
        let mut reply = std::mem::take(&mut self.buffer);
        packet::reply(
            &frame,
            request,
            stream.is_mirrored,
            now,
            &mut self.scaler,
            &mut reply,
        );
        drop(frame);
        let reply = Bytes::from(reply);
        let message = Message::Binary(reply.clone());
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await;
        // The WebSocket has copied the reply into its own buffer and dropped it, so this takes the
        // allocation back without another copy.
        if reply.is_unique() {
            self.buffer = reply.into();
        }

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

/// The newest frame, once it is not the one with the sequence number `after`.
async fn next_frame(stream: &super::FrameStream, after: u32) -> ShownFrame {
    let mut newest = stream.watch();
    let is_new = |newest: &super::stream::Newest| {
        newest
            .frame
            .as_ref()
            .is_some_and(|frame| frame.sequence != after)
    };

    match newest
        .wait_for(is_new)
        .await
        .map(|newest| newest.frame.clone())
    {
        Ok(Some(frame)) => frame,
        // Cannot happen: the stream outlives the server, and `is_new` requires a frame.
        _ => std::future::pending().await,
    }
}
