//! A bare WebSocket client that sends any text and shows what came: it shares no code with the
//! crate's own client, so a mistake there cannot hide itself.

mod frame;

#[cfg(all(target_os = "linux", feature = "redis"))]
pub(crate) mod clock;
#[cfg(all(unix, feature = "redis"))]
pub(crate) mod nodes;
#[cfg(unix)]
pub(crate) mod process;
#[cfg(all(unix, feature = "redis"))]
pub(crate) mod store;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_signaling::server::{SignalingServer, SignalingServerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) use frame::frame;

/// How long anything may take, on a busy machine too. A test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for `future`; fails after [`DEADLINE`] and says `what` was waited for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen within {DEADLINE:?}"))
}

/// A server in this process with the default settings.
pub(crate) async fn server() -> SignalingServer {
    start(SignalingServer::builder()).await
}

/// A server in this process on a free port.
pub(crate) async fn start(builder: SignalingServerBuilder) -> SignalingServer {
    builder
        .listen("127.0.0.1:0")
        .start()
        .await
        .expect("a free port")
}

/// A registered client.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) registered: Value,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_to(address, "/ws").await
    }

    /// With a bearer token.
    pub(crate) async fn connect_with(address: SocketAddr, token: &str) -> Self {
        Self::connect_to(address, &format!("/ws?token={token}")).await
    }

    async fn connect_to(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        let (mut socket, _) = within(
            "the upgrade",
            client_async(format!("ws://{address}{path}"), stream),
        )
        .await
        .expect("an upgrade");

        let registered = match within("registration", socket.next()).await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("expected user_registered: {other:?}"),
        };

        Self { socket, registered }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        within("sending", self.socket.send(Message::text(text.into())))
            .await
            .expect("an open connection");
    }

    /// The next message's text, or the close code.
    pub(crate) async fn next(&mut self) -> Result<String, u16> {
        // The timeout is around the loop, because pings never stop coming.
        within("the next message", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Err(1006),
                }
            }
        })
        .await
    }

    /// The next message, which must be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let text = self
            .next()
            .await
            .unwrap_or_else(|code| panic!("expected {kind}, not close {code}"));
        let message: Value = serde_json::from_str(&text).expect("the server sends JSON");
        assert_eq!(message["type"], kind, "expected another message: {message}");

        message
    }

    /// The next message, which must be an error with this code.
    pub(crate) async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        assert_eq!(error["code"], code, "expected another code: {error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "a sentence: {error}"
        );

        error
    }

    /// The close code; skips messages before it.
    pub(crate) async fn expect_close(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// Proves that the connection is open and that no message was on its way.
    pub(crate) async fn expect_quiet(&mut self) {
        self.send(json!({ "type": "ping", "t": "quiet?" })).await;
        self.expect("pong").await;
    }
}

/// Two clients in a call, with their `partner_found`. The first one is the initiator.
pub(crate) async fn pair(address: SocketAddr) -> ((Peer, Value), (Peer, Value)) {
    let (mut a, mut b) = (Peer::connect(address).await, Peer::connect(address).await);
    let room = uuid::Uuid::new_v4().to_string();

    for peer in [&mut a, &mut b] {
        peer.send(json!({ "type": "find_partner", "room": room }))
            .await;
        peer.expect("searching").await;
    }

    let (found_a, found_b) = (
        a.expect("partner_found").await,
        b.expect("partner_found").await,
    );
    ((a, found_a), (b, found_b))
}

/// Sends raw bytes over TCP and returns everything that comes back until the server ends the
/// connection.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream
        .write_all(bytes)
        .await
        .expect("a fresh connection accepts bytes");
    let mut answer = Vec::new();
    // A reset ends an answer as well as a clean end does.
    let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;

    answer
}

/// The head of an upgrade request, without the empty line at its end: a test adds header lines.
pub(crate) const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: tandem\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
