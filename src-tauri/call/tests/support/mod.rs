//! A signaling server, and sides of calls that remember what they saw.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

#[allow(dead_code, reason = "each test uses a part")]
pub(crate) mod breakable;
#[cfg(feature = "internals")]
#[allow(dead_code, reason = "each test uses a part")]
pub(crate) mod foreign;
pub(crate) mod hostile;
#[cfg(feature = "internals")]
pub(crate) mod hostile_call;
pub(crate) mod meddler;
#[cfg(feature = "internals")]
pub(crate) mod middle;
#[cfg(feature = "internals")]
pub(crate) mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_call::{Call, CallEvent, CallEventKind, CallOptions, EndCode};
use tandem_media::VideoFrame;
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::video::{VideoFormat, VideoSpec, test_pattern};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// A signaling server on a port of its own.
pub(crate) struct TestServer(SignalingServer);

/// Starts a signaling server.
pub(crate) async fn server() -> TestServer {
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await;

    TestServer(server.expect("a port is free"))
}

impl TestServer {
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr()
    }

    pub(crate) fn url(&self) -> ServerUrl {
        ServerUrl::listening_on(self.0.local_addr())
    }

    /// Waits until one side searches. The next one that does finds it, and answers.
    pub(crate) async fn until_searched(&self) {
        let address = self.0.local_addr();
        let begin = Instant::now();
        while !metrics(address).await.contains("\ntandem_searching 1\n") {
            assert!(begin.elapsed() < Duration::from_secs(20), "nobody searches");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn shutdown(self) {
        self.0.shutdown().await;
    }

    /// Stops it without closing its connections properly.
    pub(crate) async fn kill(self) {
        drop(self.0);
    }
}

/// What the server answers to `GET /metrics`.
async fn metrics(address: SocketAddr) -> String {
    let mut server = TcpStream::connect(address)
        .await
        .expect("the server is there");
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    server
        .write_all(request.as_bytes())
        .await
        .expect("it takes a request");
    let mut text = String::new();
    server
        .read_to_string(&mut text)
        .await
        .expect("it answers with text");
    text
}

/// A room that no other test uses.
pub(crate) fn room() -> String {
    format!("room-{:08x}", rand::random::<u32>())
}

/// A small test pattern and the test tone.
pub(crate) fn options(url: ServerUrl, room: &str) -> CallOptions {
    CallOptions {
        room: Some(room.to_owned()),
        video: VideoSpec::Test,
        video_format: VideoFormat {
            width: 320,
            height: 240,
            fps: 30.0,
        },
        audio: AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        ..CallOptions::new(url)
    }
}

/// A call through a signaling server that does not exist; it gives up after half a second.
pub(crate) fn unreachable() -> CallOptions {
    let nowhere = "ws://127.0.0.1:1".parse().expect("an address");
    let mut options = options(nowhere, "x");
    options.timeouts.signaling = Duration::from_millis(500);

    options
}

/// One side of a call.
pub(crate) struct Side {
    pub call: Call,
    events: UnboundedReceiver<CallEvent>,
    /// The numbers in the test patterns that the partner sent.
    numbers: Arc<Mutex<Vec<u16>>>,
}

impl Side {
    pub(crate) fn start(server: &TestServer, room: &str) -> Self {
        Self::with(options(server.url(), room))
    }

    pub(crate) fn with(mut options: CallOptions) -> Self {
        let numbers: Arc<Mutex<Vec<u16>>> = Arc::default();
        let seen = Arc::clone(&numbers);

        options.on_remote_frame = Some(Arc::new(move |frame: &VideoFrame| {
            if let Some(code) = test_pattern::read(&frame.image) {
                seen.lock().push(code.frame);
            }
        }));

        let (call, events) = Call::start(options);

        Self {
            call,
            events,
            numbers,
        }
    }

    /// How many readable frames from the partner were decoded.
    pub(crate) fn frame_count(&self) -> usize {
        self.numbers.lock().len()
    }

    /// The numbers in them, in order of arrival.
    pub(crate) fn frame_numbers(&self) -> Vec<u16> {
        self.numbers.lock().clone()
    }

    /// Waits until `count` readable frames were decoded in all.
    pub(crate) async fn wait_for_frames(&self, within: Duration, count: usize) {
        let deadline = Instant::now() + within;

        while self.frame_count() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} frames within {within:?}",
                self.frame_count()
            );

            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the partner's first frame is decoded.
    pub(crate) async fn first_frame(&mut self, within: Duration) {
        self.until(within, "the first frame", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    /// Waits for the first event that `is_it` accepts; `what` names it in failures.
    pub(crate) async fn until(
        &mut self,
        within: Duration,
        what: &str,
        is_it: impl Fn(&CallEventKind) -> bool,
    ) -> CallEvent {
        let search = async {
            while let Some(event) = self.events.recv().await {
                if is_it(&event.kind) {
                    return event;
                }

                if let CallEventKind::Ended { reason } = &event.kind {
                    panic!("the call ended with {:?} before {what}", reason.code);
                }
            }

            panic!("the events ended before {what}");
        };

        timeout(within, search)
            .await
            .unwrap_or_else(|_| panic!("{what} did not come within {within:?}"))
    }

    /// Waits for all of these events, in any order.
    pub(crate) async fn until_all(&mut self, within: Duration, expected: &[CallEventKind]) {
        let mut missing = expected.to_vec();

        while !missing.is_empty() {
            let event = self
                .until(within, "the rest", |kind| missing.contains(kind))
                .await;
            missing.retain(|kind| *kind != event.kind);
        }
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self, within: Duration) -> EndCode {
        let event = self
            .until(within, "the end", |kind| {
                matches!(kind, CallEventKind::Ended { .. })
            })
            .await;

        match event.kind {
            CallEventKind::Ended { reason } => reason.code,
            other => panic!("not an end: {other:?}"),
        }
    }
}
