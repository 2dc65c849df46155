//! Prints how calls do on bad links, next to the budgets:
//! `cargo run --release -p tandem-call --features simnet --example bad_links [SECONDS]`.
//!
//! Freezes are those of whole calls (codecs, peer connections, recovery) over the simulated
//! network, in real time, so a busy machine makes them worse. The ramp and the narrow link are
//! congestion control alone, in virtual time.
#![allow(clippy::print_stdout, reason = "it prints tables")]
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it measures in real time"
)]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::internals::BitrateBounds;
use tandem_call::simnet::{Conditions, Loss, Pair, PairConfig, SimNetwork, SimRuntime};
use tandem_call::{Call, CallEvent, CallEventKind, CallOptions, CallStats};
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::video::{VideoFormat, VideoSpec};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tokio::sync::mpsc::UnboundedReceiver;

/// The delay in each direction: half of the round trip.
const ONE_WAY: Duration = Duration::from_millis(25);

/// Left out of the figures: a call's first seconds are its start.
const WARM_UP: Duration = Duration::from_secs(3);

/// How many seeds congestion control runs with.
const SEEDS: u64 = 5;

/// How many calls show how reliably two sides connect.
const CALLS: u64 = 12;

/// The time in which a call must recover from an outage.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

fn options(
    url: &ServerUrl,
    number: usize,
    network: &Arc<SimNetwork>,
    loss: f64,
) -> Result<CallOptions, Box<dyn Error>> {
    let link = Conditions::bottleneck(4_000_000, ONE_WAY, Duration::from_millis(300))
        .with_loss(Loss::Random(loss));

    Ok(CallOptions {
        room: Some("bad".into()),
        video: VideoSpec::Test,
        video_format: VideoFormat {
            width: 640,
            height: 360,
            fps: 30.0,
        },
        audio: AudioConfig {
            source: AudioSource::Test,
            ..AudioConfig::default()
        },
        media_addresses: vec!["127.0.0.1:0".parse()?],
        media_runtime: Some(SimRuntime::new(Arc::clone(network), number, link)),
        ..CallOptions::new(url.clone())
    })
}

/// Waits for the first frame. The error is the last event instead of it.
async fn first_frame(events: &mut UnboundedReceiver<CallEvent>) -> Result<(), String> {
    let mut last = None;

    while let Some(event) = events.recv().await {
        if event.kind == CallEventKind::FirstRemoteFrame {
            return Ok(());
        }

        last = Some(event.kind);
    }

    Err(format!("no frame arrived: {last:?}"))
}

/// One row: a whole call with `loss` in both directions, for `time`.
async fn at_loss(loss: f64, budget: f64, time: Duration) -> Result<(), Box<dyn Error>> {
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let url = ServerUrl::listening_on(server.local_addr());
    let network = SimNetwork::new(42);
    network.start();
    let (left, mut left_events) = Call::start(options(&url, 0, &network, loss)?);
    let (right, mut right_events) = Call::start(options(&url, 1, &network, loss)?);
    let (one, two) = tokio::join!(
        first_frame(&mut left_events),
        first_frame(&mut right_events)
    );
    one.and(two)?;

    tokio::time::sleep(WARM_UP).await;
    let before = [left.stats().await, right.stats().await];
    tokio::time::sleep(time).await;
    let after = [left.stats().await, right.stats().await];

    for (before, after) in before.iter().zip(&after) {
        row(loss, budget, before, after, time);
    }

    left.hang_up().await;
    right.finished().await;
    server.shutdown().await;

    Ok(())
}

fn row(loss: f64, budget: f64, before: &CallStats, after: &CallStats, time: Duration) {
    let video = |stats: &CallStats| stats.video_received.unwrap_or_default();
    let (was, is) = (video(before), video(after));
    // A packet that arrives late no longer counts as lost, so the count may fall.
    let lost = is.lost as i64 - was.lost as i64;
    let frozen = 100.0 * (is.frozen_ms - was.frozen_ms) as f64 / time.as_millis() as f64;
    let fps = (is.frames - was.frames) as f64 / time.as_secs_f64();
    let jitter = |stats: &CallStats| stats.audio.jitter.concealed_ms;
    let concealed = 100.0 * (jitter(after) - jitter(before)) as f64 / time.as_millis() as f64;
    let target = after
        .bitrate
        .last()
        .map_or(0, |sample| sample.target_bps / 1_000);

    println!(
        "| {:.0} % | {frozen:.2} % | {budget} % | {} | {fps:.1} | {lost} | {} | {concealed:.1} % | {target} |",
        100.0 * loss,
        is.freezes - was.freezes,
        is.recovered - was.recovered,
    );
}

/// The time from the start of two calls to the first frame on both sides, [`CALLS`] times at
/// `loss`.
async fn connecting(loss: f64) -> Result<(), Box<dyn Error>> {
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let url = ServerUrl::listening_on(server.local_addr());
    let (mut took, mut failed) = (Vec::new(), Vec::new());

    for seed in 0..CALLS {
        let network = SimNetwork::new(100 + seed);
        network.start();
        let started = Instant::now();
        let (left, mut left_events) = Call::start(options(&url, 0, &network, loss)?);
        let (right, mut right_events) = Call::start(options(&url, 1, &network, loss)?);
        let (one, two) = tokio::join!(
            first_frame(&mut left_events),
            first_frame(&mut right_events)
        );

        match one.and(two) {
            Ok(()) => took.push(started.elapsed().as_millis()),
            Err(reason) => failed.push(reason),
        }

        left.hang_up().await;
        right.finished().await;
    }

    server.shutdown().await;
    took.sort_unstable();
    let (median, slowest) = (took.get(took.len() / 2), took.last());
    let ms = |time: Option<&u128>| time.map_or_else(|| "-".into(), ToString::to_string);
    println!(
        "| {:.0} % | {} | {} | {} of {CALLS} |",
        100.0 * loss,
        ms(median),
        ms(slowest),
        failed.len()
    );
    failed.iter().for_each(|reason| println!("\n{reason}"));

    Ok(())
}

/// A whole call whose link is down for `length`: how soon audio and video are back.
async fn outage(length: Duration) -> Result<(), Box<dyn Error>> {
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let url = ServerUrl::listening_on(server.local_addr());
    let network = SimNetwork::new(43);
    network.start();
    let (left, mut left_events) = Call::start(options(&url, 0, &network, 0.0)?);
    let (right, mut right_events) = Call::start(options(&url, 1, &network, 0.0)?);
    let (one, two) = tokio::join!(
        first_frame(&mut left_events),
        first_frame(&mut right_events)
    );
    one.and(two)?;

    tokio::time::sleep(WARM_UP).await;
    let set_up = |up| [0, 1].map(|peer| network.change(peer, |conditions| conditions.up = up));
    set_up(false);
    tokio::time::sleep(length).await;
    set_up(true);

    let back = Instant::now();
    let (left_back, right_back) = tokio::join!(recovery(&left, back), recovery(&right, back));

    for (audio, video) in [left_back?, right_back?] {
        println!(
            "| {:.1} | {} | {} |",
            length.as_secs_f64(),
            audio.as_millis(),
            video.as_millis()
        );
    }

    left.hang_up().await;
    right.finished().await;
    server.shutdown().await;

    Ok(())
}

/// How long after `since` fresh audio packets arrived, and how long until video moved.
async fn recovery(call: &Call, since: Instant) -> Result<(Duration, Duration), Box<dyn Error>> {
    let now = async || {
        let stats = call.stats().await;
        (
            stats.audio.jitter.packets,
            stats.video_received.unwrap_or_default().frames,
        )
    };

    let (packets, frames) = now().await;
    let (mut audio, mut video) = (None, None);

    while audio.is_none() || video.is_none() {
        if since.elapsed() > RECOVERY_TIMEOUT {
            return Err(format!("the call did not recover within {RECOVERY_TIMEOUT:?}").into());
        }

        tokio::time::sleep(Duration::from_millis(10)).await;
        let (new_packets, new_frames) = now().await;

        // Five of each: one could be left over from before the outage.
        if new_packets >= packets + 5 {
            audio.get_or_insert_with(|| since.elapsed());
        }

        if new_frames >= frames + 5 {
            video.get_or_insert_with(|| since.elapsed());
        }
    }

    audio.zip(video).ok_or_else(|| "both are set".into())
}

/// Congestion control on a wide link, and on a narrow one.
fn congestion() -> Result<(), Box<dyn Error>> {
    let second = Duration::from_secs(1);
    let bounds = BitrateBounds {
        start_bps: 300_000,
        min_bps: 60_000,
        max_bps: 5_000_000,
    };

    println!(
        "\n| seed | 0.3 → 2 Mbit/s within, s (budget 5) | 500 kbit/s used (80 %) | mean queue, ms (100) | longest audio gap, ms |"
    );
    println!("|---|---|---|---|---|");

    for seed in 1..=SEEDS {
        let pair = |rate_bps| {
            let link = Conditions::bottleneck(rate_bps, ONE_WAY, Duration::from_millis(300));
            Pair::new(PairConfig {
                bounds,
                paths: [link, Conditions::delayed(ONE_WAY)],
                both_ways: true,
                seed,
            })
        };

        let mut wide = pair(4_000_000)?;
        wide.run(20 * second);
        let ramp = wide
            .samples
            .iter()
            .find(|sample| sample.target_bps >= 2e6)
            .map(|sample| sample.at.as_secs_f64());
        let mut narrow = pair(500_000)?;
        narrow.run(30 * second);
        let (from, to) = (10 * second, 30 * second);
        let queue: Vec<f64> = narrow
            .between(from, to)
            .map(|sample| sample.queue_ms)
            .collect();

        let mut audio: Vec<Duration> = narrow
            .received
            .iter()
            .filter(|packet| packet.audio)
            .map(|packet| packet.arrived)
            .collect();
        audio.sort_unstable();
        let gap = audio
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default();

        println!(
            "| {seed} | {} | {:.0} % | {:.0} | {} |",
            ramp.map_or_else(|| "never".into(), |at| format!("{at:.1}")),
            100.0 * narrow.goodput_bps(from, to) / 5e5,
            queue.iter().sum::<f64>() / queue.len() as f64,
            gap.as_millis(),
        );
    }

    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(30), |text| text.parse())?;

    println!("640x360 at 30 frames/s both ways, 4 Mbit/s, 50 ms round trip, {seconds} s per row");
    println!(
        "| loss | frozen | budget | freezes | frames/s | lost for good | recovered | audio concealed | target kbit/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");

    for (loss, budget) in [(0.0, 0.0), (0.05, 0.5), (0.10, 2.0), (0.20, 8.0)] {
        at_loss(loss, budget, Duration::from_secs(seconds)).await?;
    }

    println!(
        "\n| loss | first frame on both sides after, ms (median) | slowest | never |\n|---|---|---|---|"
    );
    for loss in [0.0, 0.05, 0.10, 0.20] {
        connecting(loss).await?;
    }

    println!(
        "\n| outage, s | audio back after, ms (budget 1000) | video after, ms (2000) |\n|---|---|---|"
    );
    for length in [1.0, 3.0, 5.0] {
        outage(Duration::from_secs_f64(length)).await?;
    }

    congestion()
}
