//! Two real peer connections (ICE, DTLS, SRTP) over the simulated network, in real time.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RtpCodecKind,
};
use tandem_call::internals::{BitrateBounds, LinkState, register_interceptors};
use tandem_call::simnet::{Conditions, Loss, SimNetwork, SimRuntime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use webrtc::media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState,
};

const DEADLINE: Duration = Duration::from_secs(30);
const SSRC: u32 = 0x5EED;

enum Event {
    Gathered,
    Track(Arc<dyn TrackRemote>),
}

struct Handler(UnboundedSender<Event>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(Event::Gathered);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.0.send(Event::Track(track));
    }
}

struct Peer {
    connection: Arc<dyn PeerConnection>,
    video: Arc<TrackLocalStaticRTP>,
    link: Arc<LinkState>,
    events: UnboundedReceiver<Event>,
}

async fn peer(network: &Arc<SimNetwork>, number: usize, conditions: Conditions) -> Peer {
    let codec = RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: "video/VP8".into(),
            clock_rate: 90_000,
            ..Default::default()
        },
        payload_type: 96,
    };

    let mut engine = MediaEngine::default();
    engine
        .register_codec(codec.clone(), RtpCodecKind::Video)
        .expect("a plain codec");
    let (registry, link) = register_interceptors(&mut engine, BitrateBounds::default())
        .expect("the defaults are in order");
    let (sender, events) = unbounded_channel();
    let builder = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_runtime(SimRuntime::new(Arc::clone(network), number, conditions))
        .with_handler(Arc::new(Handler(sender)))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()]);
    let connection: Arc<dyn PeerConnection> =
        Arc::new(builder.build().await.expect("a socket on loopback"));
    let coding = RTCRtpCodingParameters {
        ssrc: Some(SSRC + number as u32),
        ..Default::default()
    };

    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: coding,
        codec: codec.rtp_codec,
        ..Default::default()
    };

    let track = MediaStreamTrack::new(
        "s".into(),
        format!("v{number}"),
        "v".into(),
        RtpCodecKind::Video,
        vec![encoding],
    );
    let video = Arc::new(TrackLocalStaticRTP::new(track));
    connection
        .add_track(Arc::clone(&video) as Arc<dyn TrackLocal>)
        .await
        .expect("a fresh connection takes a track");

    Peer {
        connection,
        video,
        link,
        events,
    }
}

async fn gathered(peer: &mut Peer) {
    while !matches!(
        peer.events.recv().await.expect("the connection is open"),
        Event::Gathered
    ) {}
}

async fn connect(a: &mut Peer, b: &mut Peer) {
    let offer = a.connection.create_offer(None).await.expect("an offer");
    a.connection
        .set_local_description(offer)
        .await
        .expect("the local offer");
    gathered(a).await;
    let offer = a.connection.local_description().await.expect("it was set");
    b.connection
        .set_remote_description(offer)
        .await
        .expect("the partner's offer");
    let answer = b.connection.create_answer(None).await.expect("an answer");
    b.connection
        .set_local_description(answer)
        .await
        .expect("the local answer");
    gathered(b).await;
    let answer = b.connection.local_description().await.expect("it was set");
    a.connection
        .set_remote_description(answer)
        .await
        .expect("the partner's answer");
}

fn packet(sequence_number: u16) -> rtp::Packet {
    let header = rtp::Header {
        version: 2,
        ssrc: SSRC,
        payload_type: 96,
        sequence_number,
        timestamp: u32::from(sequence_number) * 900,
        marker: true,
        ..Default::default()
    };

    rtp::Packet {
        header,
        payload: vec![0x10; 500].into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_repaired_and_the_figures_match_the_link() {
    let run = async {
        let network = SimNetwork::new(11);
        network.start();
        let link = Conditions::delayed(Duration::from_millis(25));
        let (mut a, mut b) = (peer(&network, 0, link).await, peer(&network, 1, link).await);
        connect(&mut a, &mut b).await;
        let video = Arc::clone(&a.video);
        let sending = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for sequence in 0.. {
                tick.tick().await;
                if video.write_rtp(packet(sequence)).await.is_err() {
                    break;
                }
            }
        });

        let track = loop {
            if let Event::Track(track) = b.events.recv().await.expect("the connection is open") {
                break track;
            }
        };

        network.change(0, |conditions| conditions.loss = Loss::Random(0.1));
        let before = network.counters(0);
        let mut received = std::collections::BTreeSet::new();

        while received.len() < 500 {
            if let Some(TrackRemoteEvent::OnRtpPacket(packet)) = track.poll().await {
                received.insert(packet.header.sequence_number);
            }
        }

        sending.abort();
        let (after, repair, rtt) = (network.counters(0), b.link.repair(), a.link.rtt());
        let lost = (after.lost - before.lost) as f64 / (after.sent - before.sent) as f64;

        assert!(
            (0.05..0.16).contains(&lost),
            "about a tenth of 550 datagrams is lost, got {lost}"
        );

        assert!(
            repair.recovered > 20,
            "NACK recovers most of 50 lost packets: {repair:?}"
        );

        let rtt = rtt.expect("feedback arrived").as_millis();
        assert!(
            (50..150).contains(&rtt),
            "a round trip of 50 ms, measured {rtt}"
        );

        assert!(
            a.link.loss_fraction() > 0.0,
            "the sender learns of the loss from feedback"
        );

        let _ = tokio::join!(a.connection.close(), b.connection.close());
    };

    let started = Instant::now();
    tokio::time::timeout(DEADLINE, run)
        .await
        .unwrap_or_else(|_| panic!("not done after {:?}", started.elapsed()));
}
