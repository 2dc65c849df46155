//! A partner of another kind who sends nothing at all, as a browser does where no media was agreed on.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::peer_connection::configuration::media_engine::MediaEngine;
use tandem_call::{CallEventKind, CallOptions, EndCode};
use tandem_media::audio::AudioConfig;
use tandem_media::video::VideoSpec;
use tandem_signaling::message::{ClientMessage, RawValue, ServerMessage};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, SettingEngine, SettingEngineBuilder,
};

use support::hostile::Hostile;
use support::{Side, TestServer, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Handler(UnboundedSender<()>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(());
        }
    }
}

/// A partner that lives in a runtime of its own, so that it can vanish without a word.
struct Partner {
    network: Option<Runtime>,
    _connection: Arc<dyn PeerConnection>,
    /// The server must not say that the partner has left.
    _signaling: Hostile,
}

impl Partner {
    /// Answers the offer that comes.
    async fn meet(server: &TestServer, room: &str, settings: SettingEngine) -> Self {
        let mut signaling = Hostile::join(server);
        let found = signaling.meet(room).await;
        assert!(!found.initiator, "Tandem searched first, and offers");
        let offer = signaling
            .until(|message| match message {
                ServerMessage::WebrtcOffer(relayed) => Some(relayed.offer.get().to_owned()),
                _ => None,
            })
            .await;

        let mut network = Builder::new_multi_thread();
        let network = network.worker_threads(1).enable_all().build();
        let network = network.expect("a runtime");
        let answering = network.spawn(async move { answer(&offer, settings).await });
        let (connection, answer) = answering.await.expect("it answers");

        let message = ClientMessage::WebrtcAnswer {
            to: found.socket_id.clone(),
            answer: RawValue::from_string(answer).expect("JSON"),
        };
        signaling.client.send(message).expect("the server is there");
        Self {
            network: Some(network),
            _connection: connection,
            _signaling: signaling,
        }
    }

    /// Stops whatever sends and receives, as a computer does that has lost its power.
    fn vanish(&mut self) {
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// Answers an offer with the library alone: no interceptor, and so no RTCP.
async fn answer(offer: &str, settings: SettingEngine) -> (Arc<dyn PeerConnection>, String) {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().expect("known codecs");
    let (done, mut gathered) = unbounded_channel();
    let builder = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_handler(Arc::new(Handler(done)))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()]);
    let connection = builder.build().await.expect("a socket on loopback");

    let offer: RTCSessionDescription = serde_json::from_str(offer).expect("an offer");
    let applied = connection.set_remote_description(offer).await;
    applied.expect("an honest offer");
    let answer = connection.create_answer(None).await.expect("an answer");
    let applied = connection.set_local_description(answer).await;
    applied.expect("its own answer");
    gathered.recv().await.expect("it gathers");

    let answer = connection.local_description().await.expect("it was set");
    // The library promises media that it does not have.
    let answer = serde_json::to_string(&answer).expect("JSON");
    let answer = answer.replace("a=sendonly", "a=inactive");
    assert_eq!(answer.matches("a=inactive").count(), 2, "{answer}");
    (Arc::new(connection), answer)
}

/// A side that has nothing to send.
fn without_video(server: &TestServer, room: &str) -> CallOptions {
    CallOptions {
        video: VideoSpec::None,
        audio: AudioConfig::default(),
        ..support::options(server.url(), room)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_whom_no_media_was_agreed_on_is_there_while_checks_are_answered() {
    let (server, room) = (server().await, room());
    let mut options = without_video(&server, &room);
    options.timeouts.silence = Duration::from_secs(4);
    options.timeouts.silence_in_session = Duration::from_secs(4);
    let mut tandem = Side::with(options);
    server.until_searched().await;
    let mut partner = Partner::meet(&server, &room, SettingEngine::default()).await;
    tandem
        .until(TIMEOUT, "connected", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;

    let silent = tandem.until(TIMEOUT, "silence", |kind| {
        matches!(
            kind,
            CallEventKind::PartnerReconnecting { .. } | CallEventKind::Ended { .. }
        )
    });
    let silent = tokio::time::timeout(Duration::from_secs(8), silent).await;
    assert!(silent.is_err(), "{silent:?}");

    partner.vanish();
    let end = tandem.ended(TIMEOUT).await;
    assert_eq!(end, EndCode::PartnerVanished, "nobody answers");
    server.shutdown().await;
}

/// A server for conferences, as a rule. It never checks, so there is nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_ice_lite_is_connected_at_once() {
    let (server, room) = (server().await, room());
    let mut tandem = Side::with(without_video(&server, &room));
    server.until_searched().await;
    let lite = SettingEngineBuilder::new().with_lite(true).build();
    let partner = Partner::meet(&server, &room, lite).await;

    let answered = Instant::now();
    tandem
        .until(TIMEOUT, "connected", |kind| {
            *kind == CallEventKind::Connected
        })
        .await;
    let waited = answered.elapsed();
    assert!(waited < Duration::from_millis(800), "{waited:?}");

    drop(partner);
    drop(tandem);
    server.shutdown().await;
}
