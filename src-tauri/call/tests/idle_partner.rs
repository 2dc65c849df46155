//! A partner of another kind who sends nothing at all, as a browser does where no media was agreed on.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use rtc::peer_connection::configuration::media_engine::MediaEngine;
use tandem_call::{CallEventKind, CallOptions, EndCode};
use tandem_media::audio::AudioConfig;
use tandem_media::video::VideoSpec;
use tandem_signaling::message::{ClientMessage, RawValue, ServerMessage};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription,
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

/// Answers the offer that comes with the library alone: no interceptor, and so no RTCP. The partner
/// is there as long as both results are.
async fn answer(server: &TestServer, room: &str) -> (Arc<dyn PeerConnection>, Hostile) {
    let mut signaling = Hostile::join(server);
    let found = signaling.meet(room).await;
    assert!(!found.initiator, "Tandem searched first, and offers");
    let offer = signaling
        .until(|message| match message {
            ServerMessage::WebrtcOffer(relayed) => Some(relayed.offer.get().to_owned()),
            _ => None,
        })
        .await;

    let mut engine = MediaEngine::default();
    engine.register_default_codecs().expect("known codecs");
    let (done, mut gathered) = unbounded_channel();
    let builder = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_handler(Arc::new(Handler(done)))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()]);
    let connection = builder.build().await.expect("a socket on loopback");

    let offer: RTCSessionDescription = serde_json::from_str(&offer).expect("an offer");
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
    let message = ClientMessage::WebrtcAnswer {
        to: found.socket_id.clone(),
        answer: RawValue::from_string(answer).expect("JSON"),
    };
    signaling.client.send(message).expect("the server is there");
    (Arc::new(connection), signaling)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_whom_no_media_was_agreed_on_is_there_while_checks_are_answered() {
    let (server, room) = (server().await, room());
    let mut options = CallOptions {
        video: VideoSpec::None,
        audio: AudioConfig::default(),
        ..support::options(server.url(), &room)
    };
    options.timeouts.silence = Duration::from_secs(4);
    options.timeouts.silence_in_session = Duration::from_secs(4);
    let mut tandem = Side::with(options);
    server.until_searched().await;
    let (partner, _signaling) = answer(&server, &room).await;
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

    let closed = partner.close().await;
    closed.expect("it was open");
    let end = tandem.ended(TIMEOUT).await;
    assert!(
        matches!(end, EndCode::PartnerLeft | EndCode::PartnerVanished),
        "without an answer, the partner is gone: {end:?}"
    );
    server.shutdown().await;
}
