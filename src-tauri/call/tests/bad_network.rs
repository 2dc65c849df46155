//! Whole calls over a simulated network, in real time: real peer connections, real codecs, bad links.

mod support;

use std::sync::Arc;
use std::time::Duration;

use tandem_call::machine::EndCode;
use tandem_call::session::{CallEventKind, VideoReceived};
use tandem_call::simnet::{Conditions, Loss, SimNetwork, SimRuntime};
use tandem_media::video::VideoFormat;

use support::{Side, TestRelay, relay, room};

const SOON: Duration = Duration::from_secs(30);

/// Two sides over `network`, under the same conditions both ways, connected and in sight of each other.
async fn meet(
    relay: &TestRelay,
    network: &Arc<SimNetwork>,
    conditions: Conditions,
    format: VideoFormat,
) -> [Side; 2] {
    network.start();
    let room = room();
    let mut sides = [0, 1].map(|number| {
        let mut options = support::options(&relay.url(), &room);
        options.video_format = format;
        options.media_addresses = vec!["127.0.0.1:0".parse().expect("an address")];
        options.media_runtime = Some(SimRuntime::new(Arc::clone(network), number, conditions));

        Side::with(options)
    });

    for side in &mut sides {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    sides
}

const SMALL: VideoFormat = VideoFormat {
    width: 320,
    height: 240,
    fps: 30.0,
};

async fn received(side: &Side) -> VideoReceived {
    side.call.stats().await.video_received.expect("video came")
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again_and_no_broken_picture_is_shown() {
    let relay = relay().await;
    let network = SimNetwork::new(7);
    let conditions = Conditions::delayed(Duration::from_millis(25)).with_loss(Loss::Random(0.05));
    let [mut left, right] = meet(&relay, &network, conditions, SMALL).await;
    left.pictures(SOON, 300).await;
    let stats = received(&left).await;

    assert!(
        stats.recovered > 0 && stats.nacks > 0,
        "retransmissions repaired it: {stats:?}"
    );

    let numbers = left.picture_numbers();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, none twice: {numbers:?}"
    );

    let missing = usize::from(numbers[numbers.len() - 1] - numbers[0]) + 1 - numbers.len();
    assert!(
        missing <= 30,
        "{missing} of 330 pictures missing at 5 % loss"
    );

    let audio = left.call.stats().await.audio;
    assert!(
        audio.jitter.packets > 100,
        "sound came, too: {:?}",
        audio.jitter
    );

    right.call.hang_up().await;
    assert_eq!(left.ended(SOON).await, EndCode::PartnerLeft);
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_almost_five_seconds_is_survived() {
    let relay = relay().await;
    let network = SimNetwork::new(8);
    let conditions = Conditions::delayed(Duration::from_millis(10));
    let [mut left, mut right] = meet(&relay, &network, conditions, SMALL).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = false);
    }

    left.until(SOON, "trouble", |kind| {
        *kind == CallEventKind::PartnerReconnecting
    })
    .await;
    tokio::time::sleep(Duration::from_millis(2_800)).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = true);
    }

    for side in [&mut left, &mut right] {
        side.until(SOON, "back", |kind| *kind == CallEventKind::PartnerBack)
            .await;
        let seen = side.count();
        side.pictures(Duration::from_secs(10), seen + 30).await;
    }

    left.call.hang_up().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_ends_the_call() {
    let relay = relay().await;
    let network = SimNetwork::new(9);
    let [mut left, mut right] = meet(&relay, &network, Conditions::default(), SMALL).await;

    for number in [0, 1] {
        network.change(number, |conditions| conditions.up = false);
    }

    // The relay still knows both; whoever notices first ends the session there.
    let codes = [left.ended(SOON).await, right.ended(SOON).await];
    assert!(codes.contains(&EndCode::PartnerVanished), "{codes:?}");
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_link_makes_pictures_smaller_and_keeps_them_moving() {
    let relay = relay().await;
    let network = SimNetwork::new(10);
    let ms = Duration::from_millis;
    let conditions = Conditions::bottleneck(300_000, ms(25), ms(300));
    let hd = VideoFormat {
        width: 1280,
        height: 720,
        fps: 30.0,
    };

    let [left, right] = meet(&relay, &network, conditions, hd).await;
    let deadline = std::time::Instant::now() + SOON;
    let reduced = loop {
        let stats = received(&left).await;
        if stats.width < 1280 {
            break stats;
        }

        assert!(
            std::time::Instant::now() < deadline,
            "still at full size: {stats:?}"
        );

        tokio::time::sleep(ms(100)).await;
    };

    assert_eq!(
        reduced.width * 9,
        reduced.height * 16,
        "the same shape: {reduced:?}"
    );

    let seen = left.count();
    left.pictures(SOON, seen + 60).await;
    right.call.hang_up().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_meet_where_every_fifth_packet_is_lost() {
    let relay = relay().await;
    let conditions = Conditions::delayed(Duration::from_millis(25)).with_loss(Loss::Random(0.20));

    // What is lost differs from run to run; `peer/repeater.rs` tests each case by itself.
    for seed in 100..106 {
        let [left, mut right] = meet(&relay, &SimNetwork::new(seed), conditions, SMALL).await;
        left.call.hang_up().await;
        right.ended(SOON).await;
    }

    relay.shutdown().await;
}
