//! Whole calls over a simulated network, in real time: real peer connections, real codecs, bad
//! links.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::simnet::{Conditions, Loss, SimNetwork, SimRuntime};
use tandem_call::{CallEventKind, EndCode, VideoReceived};
use tandem_media::video::VideoFormat;

use support::{Side, TestServer, room, server};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Two sides over `network`, with the same conditions in both directions. Each has decoded a frame
/// from the other.
async fn meet(
    server: &TestServer,
    network: &Arc<SimNetwork>,
    conditions: Conditions,
    format: VideoFormat,
) -> [Side; 2] {
    network.start();
    let room = room();
    let mut sides = [0, 1].map(|number| {
        let mut options = support::options(server.url(), &room);
        options.video_format = format;
        options.timeouts.silence_in_session = Duration::from_secs(8);
        options.media_addresses = vec!["127.0.0.1:0".parse().expect("an address")];
        options.media_runtime = Some(SimRuntime::new(Arc::clone(network), number, conditions));

        Side::with(options)
    });

    for side in &mut sides {
        side.first_frame(TIMEOUT).await;
    }

    sides
}

const SMALL: VideoFormat = VideoFormat {
    width: 320,
    height: 240,
    fps: 30.0,
};

async fn received(side: &Side) -> VideoReceived {
    side.call
        .stats()
        .await
        .video_received
        .expect("video arrived")
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_retransmitted_and_frames_stay_in_order() {
    let server = server().await;
    let network = SimNetwork::new(7);
    let conditions = Conditions::delayed(Duration::from_millis(25)).with_loss(Loss::Random(0.05));
    let [mut left, right] = meet(&server, &network, conditions, SMALL).await;
    left.wait_for_frames(TIMEOUT, 300).await;
    let stats = received(&left).await;

    assert!(
        stats.recovered > 0 && stats.nacks > 0,
        "retransmissions repaired the loss: {stats:?}"
    );

    let numbers = left.frame_numbers();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, none twice: {numbers:?}"
    );

    let missing = usize::from(numbers[numbers.len() - 1] - numbers[0]) + 1 - numbers.len();
    assert!(missing <= 30, "{missing} of 330 frames missing at 5 % loss");

    let audio = left.call.stats().await.audio;
    assert!(
        audio.jitter.packets > 100,
        "audio arrived too: {:?}",
        audio.jitter
    );

    right.call.hang_up().await;
    assert_eq!(left.ended(TIMEOUT).await, EndCode::PartnerLeft);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_survives_an_outage_of_almost_five_seconds() {
    let server = server().await;
    let network = SimNetwork::new(8);
    let conditions = Conditions::delayed(Duration::from_millis(10));
    let [mut left, mut right] = meet(&server, &network, conditions, SMALL).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = false);
    }

    left.until(TIMEOUT, "trouble", |kind| {
        matches!(kind, CallEventKind::PartnerReconnecting { .. })
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2_800)).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = true);
    }

    for side in [&mut left, &mut right] {
        side.until(TIMEOUT, "back", |kind| *kind == CallEventKind::PartnerBack)
            .await;
        let seen = side.frame_count();
        side.wait_for_frames(Duration::from_secs(10), seen + 30)
            .await;
    }

    left.call.hang_up().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stays_down_ends_the_call() {
    let server = server().await;
    let network = SimNetwork::new(9);
    let [mut left, mut right] = meet(&server, &network, Conditions::default(), SMALL).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = false);
    }

    // The signaling server still knows both; the first side to notice ends the session there.
    let codes = [left.ended(TIMEOUT).await, right.ended(TIMEOUT).await];
    assert!(codes.contains(&EndCode::PartnerVanished), "{codes:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_link_makes_frames_smaller_and_video_keeps_moving() {
    let server = server().await;
    let network = SimNetwork::new(10);
    let ms = Duration::from_millis;
    let conditions = Conditions::bottleneck(300_000, ms(25), ms(300));
    let hd = VideoFormat {
        width: 1280,
        height: 720,
        fps: 30.0,
    };

    let [left, right] = meet(&server, &network, conditions, hd).await;
    let deadline = Instant::now() + TIMEOUT;
    let reduced = loop {
        let stats = received(&left).await;
        if stats.width < 1280 {
            break stats;
        }

        assert!(Instant::now() < deadline, "still at full size: {stats:?}");

        tokio::time::sleep(ms(100)).await;
    };

    assert_eq!(
        reduced.width * 9,
        reduced.height * 16,
        "the same aspect ratio: {reduced:?}"
    );

    let seen = left.frame_count();
    left.wait_for_frames(TIMEOUT, seen + 60).await;
    right.call.hang_up().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sides_connect_with_every_fifth_packet_lost() {
    let server = server().await;
    let conditions = Conditions::delayed(Duration::from_millis(25)).with_loss(Loss::Random(0.20));

    // Which packets are lost differs from run to run; the tests of the handshake retransmission
    // cover each case.
    for seed in 100..106 {
        let [left, mut right] = meet(&server, &SimNetwork::new(seed), conditions, SMALL).await;
        left.call.hang_up().await;
        right.ended(TIMEOUT).await;
    }

    server.shutdown().await;
}
