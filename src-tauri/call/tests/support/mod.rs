//! A relay, and sides of calls that remember what they saw.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_call::congestion::LinkConfig;
use tandem_call::machine::EndCode;
use tandem_call::peer::{Peer, PeerConfig, PeerEvent};
use tandem_call::session::{Call, CallEvent, CallEventKind, CallOptions};
use tandem_media::VideoFrame;
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::codec::VideoCodec;
use tandem_media::video::{VideoFormat, VideoSpec, test_pattern};
use tandem_signaling::server::Relay;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// A relay on a port of its own.
pub(crate) struct TestRelay(Relay);

/// Starts a relay.
pub(crate) async fn relay() -> TestRelay {
    TestRelay(
        Relay::builder()
            .listen("127.0.0.1:0")
            .start()
            .await
            .expect("a port is free"),
    )
}

impl TestRelay {
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.0.local_addr())
    }

    pub(crate) async fn shutdown(self) {
        self.0.shutdown().await;
    }

    /// Gone without a word.
    pub(crate) async fn kill(self) {
        drop(self.0);
    }
}

/// A room that no other test uses.
pub(crate) fn room() -> String {
    format!("room-{:08x}", rand::random::<u32>())
}

/// A small test picture and the test sound.
pub(crate) fn options(url: &str, room: &str) -> CallOptions {
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

/// A peer connection on loopback that may send sound and pictures.
pub(crate) async fn peer() -> (Peer, UnboundedReceiver<PeerEvent>) {
    let config = PeerConfig {
        codec: VideoCodec::H264,
        send_video: true,
        send_audio: true,
        link: LinkConfig::default(),
        ice_servers: Vec::new(),
        relay_only: false,
        addresses: vec!["127.0.0.1:0".parse().expect("an address")],
        runtime: None,
    };

    let (sender, events) = unbounded_channel();
    (
        Peer::new(config, sender)
            .await
            .expect("a socket on loopback"),
        events,
    )
}

/// One side of a call.
pub(crate) struct Side {
    pub call: Call,
    events: UnboundedReceiver<CallEvent>,
    numbers: Arc<Mutex<Vec<u16>>>,
}

impl Side {
    pub(crate) fn start(relay: &TestRelay, room: &str) -> Self {
        Self::with(options(&relay.url(), room))
    }

    pub(crate) fn with(mut options: CallOptions) -> Self {
        let numbers: Arc<Mutex<Vec<u16>>> = Arc::default();
        let seen = Arc::clone(&numbers);
        options.on_remote_frame = Some(Arc::new(move |frame: &VideoFrame| {
            if let Some(code) = test_pattern::read(&frame.image) {
                seen.lock().expect("no holder panics").push(code.frame);
            }
        }));
        let (call, events) = Call::start(options);

        Self {
            call,
            events,
            numbers,
        }
    }

    /// How many readable pictures of the partner were seen.
    pub(crate) fn count(&self) -> usize {
        self.numbers.lock().expect("no holder panics").len()
    }

    /// The numbers that stood in them.
    pub(crate) fn picture_numbers(&self) -> Vec<u16> {
        self.numbers.lock().expect("no holder panics").clone()
    }

    /// Waits until `count` readable pictures were seen in all.
    pub(crate) async fn pictures(&self, within: Duration, count: usize) {
        let deadline = Instant::now() + within;
        while self.count() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} pictures within {within:?}",
                self.count()
            );

            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for an event.
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
                    panic!("the call ended with {:?} before: {what}", reason.code);
                }
            }

            panic!("the events ended before: {what}");
        };

        timeout(within, search)
            .await
            .unwrap_or_else(|_| panic!("not within {within:?}: {what}"))
    }

    /// Waits for all of these events, in any order.
    pub(crate) async fn until_all(&mut self, within: Duration, wanted: &[CallEventKind]) {
        let mut missing = wanted.to_vec();
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
