//! Prints how calls fare on bad links, beside the budgets:
//! `cargo run --release -p tandem-call --features simnet --example bad_links [SECONDS]`.
//!
//! Freezes are those of whole calls (codecs, peer connections, recovery) over the simulated network, in real time, so a
//! busy machine spoils them. The ramp and the narrow link are congestion control alone, in virtual time.
#![allow(clippy::print_stdout, reason = "it prints tables")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_call::congestion::LinkConfig;
use tandem_call::session::{Call, CallEvent, CallEventKind, CallOptions, CallStats};
use tandem_call::simnet::{Conditions, Loss, Pair, PairConfig, SimNetwork, SimRuntime};
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::video::{VideoFormat, VideoSpec};
use tandem_signaling::server::Relay;
use tokio::sync::mpsc::UnboundedReceiver;

/// Half of the round trip.
const WAY: Duration = Duration::from_millis(25);
/// The first moments of a call belong to its start.
const WARM_UP: Duration = Duration::from_secs(3);
const SEEDS: u64 = 5;
/// So many calls show how reliably two meet.
const CALLS: u64 = 12;

fn options(
    url: &str,
    number: usize,
    network: &Arc<SimNetwork>,
    loss: f64,
) -> Result<CallOptions, Box<dyn Error>> {
    let path = Conditions::bottleneck(4_000_000, WAY, Duration::from_millis(300))
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
        media_runtime: Some(SimRuntime::new(Arc::clone(network), number, path)),
        ..CallOptions::new(url)
    })
}

/// Waits for the first picture. If none comes: what came instead.
async fn connected(events: &mut UnboundedReceiver<CallEvent>) -> Result<(), String> {
    let mut last = None;
    while let Some(event) = events.recv().await {
        if event.kind == CallEventKind::FirstRemoteFrame {
            return Ok(());
        }

        last = Some(event.kind);
    }

    Err(format!("the call did not come about: {last:?}"))
}

/// One row: a whole call with `loss` on both ways.
async fn at_loss(loss: f64, budget: f64, time: Duration) -> Result<(), Box<dyn Error>> {
    let relay = Relay::builder().listen("127.0.0.1:0").start().await?;
    let url = format!("ws://{}/ws", relay.local_addr());
    let network = SimNetwork::new(42);
    network.start();
    let (left, mut left_events) = Call::start(options(&url, 0, &network, loss)?);
    let (right, mut right_events) = Call::start(options(&url, 1, &network, loss)?);
    let (one, two) = tokio::join!(connected(&mut left_events), connected(&mut right_events));
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
    relay.shutdown().await;

    Ok(())
}

fn row(loss: f64, budget: f64, before: &CallStats, after: &CallStats, time: Duration) {
    let video = |stats: &CallStats| stats.video_received.unwrap_or_default();
    let (was, is) = (video(before), video(after));
    // A packet that comes late is no longer lost, so that count may fall.
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

/// From the start of two calls to the first picture on both sides, `CALLS` times at `loss`.
async fn meeting(loss: f64) -> Result<(), Box<dyn Error>> {
    let relay = Relay::builder().listen("127.0.0.1:0").start().await?;
    let url = format!("ws://{}/ws", relay.local_addr());
    let (mut took, mut failed) = (Vec::new(), Vec::new());

    for seed in 0..CALLS {
        let network = SimNetwork::new(100 + seed);
        network.start();
        let begun = Instant::now();
        let (left, mut left_events) = Call::start(options(&url, 0, &network, loss)?);
        let (right, mut right_events) = Call::start(options(&url, 1, &network, loss)?);
        let (one, two) = tokio::join!(connected(&mut left_events), connected(&mut right_events));

        match one.and(two) {
            Ok(()) => took.push(begun.elapsed().as_millis()),
            Err(reason) => failed.push(reason),
        }

        left.hang_up().await;
        right.finished().await;
    }

    relay.shutdown().await;
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

/// A whole call whose line is dead for a while: how soon sound and pictures are there again.
async fn outage(length: Duration) -> Result<(), Box<dyn Error>> {
    let relay = Relay::builder().listen("127.0.0.1:0").start().await?;
    let url = format!("ws://{}/ws", relay.local_addr());
    let network = SimNetwork::new(43);
    network.start();
    let (left, mut left_events) = Call::start(options(&url, 0, &network, 0.0)?);
    let (right, mut right_events) = Call::start(options(&url, 1, &network, 0.0)?);
    let (one, two) = tokio::join!(connected(&mut left_events), connected(&mut right_events));
    one.and(two)?;
    tokio::time::sleep(WARM_UP).await;
    let switch = |up| [0, 1].map(|peer| network.change(peer, |conditions| conditions.up = up));
    switch(false);
    tokio::time::sleep(length).await;
    switch(true);
    let back = Instant::now();
    let (left_back, right_back) =
        tokio::join!(heard_and_seen(&left, back), heard_and_seen(&right, back));

    for (sound, pictures) in [left_back?, right_back?] {
        println!(
            "| {:.1} | {} | {} |",
            length.as_secs_f64(),
            sound.as_millis(),
            pictures.as_millis()
        );
    }

    left.hang_up().await;
    right.finished().await;
    relay.shutdown().await;

    Ok(())
}

/// How long after `since` a block of sound was played that was not made up, and how long until pictures moved.
async fn heard_and_seen(
    call: &Call,
    since: Instant,
) -> Result<(Duration, Duration), Box<dyn Error>> {
    let now = async || {
        let stats = call.stats().await;
        (
            stats.audio.jitter.packets,
            stats.video_received.unwrap_or_default().frames,
        )
    };

    let (packets, frames) = now().await;
    let (mut sound, mut pictures) = (None, None);

    while sound.is_none() || pictures.is_none() {
        if since.elapsed() > Duration::from_secs(10) {
            return Err("the call did not come back within 10 s".into());
        }

        tokio::time::sleep(Duration::from_millis(10)).await;
        let (new_packets, new_frames) = now().await;

        // Five of each: one could be left over from before.
        if new_packets >= packets + 5 {
            sound.get_or_insert_with(|| since.elapsed());
        }

        if new_frames >= frames + 5 {
            pictures.get_or_insert_with(|| since.elapsed());
        }
    }

    sound.zip(pictures).ok_or_else(|| "both are there".into())
}

/// Congestion control on a wide link, and on a narrow one.
fn congestion() -> Result<(), Box<dyn Error>> {
    let second = Duration::from_secs(1);
    let bounds = LinkConfig {
        start_bps: 300_000,
        min_bps: 60_000,
        max_bps: 5_000_000,
    };

    println!(
        "\n| seed | 0.3 → 2 Mbit/s after, s (budget 5) | 500 kbit/s used (80 %) | queue there, mean ms (100) | longest gap of audio, ms |"
    );
    println!("|---|---|---|---|---|");

    for seed in 1..=SEEDS {
        let pair = |rate_bps| {
            let path = Conditions::bottleneck(rate_bps, WAY, Duration::from_millis(300));
            Pair::new(PairConfig {
                bounds,
                paths: [path, Conditions::delayed(WAY)],
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

    println!("640x360 at 30 pictures/s both ways, 4 Mbit/s, 50 ms round trip, {seconds} s a row");
    println!(
        "| loss | frozen | budget | freezes | pictures/s | lost for good | recovered | sound concealed | target kbit/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");

    for (loss, budget) in [(0.0, 0.0), (0.05, 0.5), (0.10, 2.0), (0.20, 8.0)] {
        at_loss(loss, budget, Duration::from_secs(seconds)).await?;
    }

    println!(
        "\n| loss | first picture on both sides after, ms (median) | slowest | never |\n|---|---|---|---|"
    );
    for loss in [0.0, 0.05, 0.10, 0.20] {
        meeting(loss).await?;
    }

    println!(
        "\n| outage, s | sound back after, ms (budget 1000) | pictures after, ms (2000) |\n|---|---|---|"
    );
    for length in [1.0, 3.0, 5.0] {
        outage(Duration::from_secs_f64(length)).await?;
    }

    congestion()
}
