//! Runs a call between two sides in this process, through an embedded signaling server, and prints
//! what it measured: `cargo run -p tandem-call --example pair [SECONDS] [WIDTHxHEIGHT] [FPS]`.
#![allow(clippy::print_stdout, reason = "it prints a table")]
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it measures in real time"
)]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tandem_call::{Call, CallEvent, CallEventKind, CallOptions, CallStats};
use tandem_media::VideoFrame;
use tandem_media::audio::{AudioConfig, AudioSource};
use tandem_media::video::{VideoFormat, VideoSpec, test_pattern};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tokio::sync::mpsc::UnboundedReceiver;

/// From drawing to decoding, in ms, for each frame.
type Delays = Arc<Mutex<Vec<f64>>>;

fn options(url: &ServerUrl, format: VideoFormat, delays: &Delays) -> CallOptions {
    let delays = Arc::clone(delays);

    CallOptions {
        room: Some("pair".into()),
        video: VideoSpec::Test,
        video_format: format,
        audio: AudioConfig {
            source: AudioSource::Test,
            measure: true,
            ..AudioConfig::default()
        },
        on_remote_frame: Some(Arc::new(move |frame: &VideoFrame| {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_micros());
            if let Some(code) = test_pattern::read(&frame.image) {
                let made = u128::from(code.unix_ms) * 1_000;
                let delay = (now % (1_000 << 32)).saturating_sub(made);
                delays.lock().push(delay as f64 / 1e3);
            }
        })),
        ..CallOptions::new(url.clone())
    }
}

/// Waits for the first frame. Returns the time from the match to the first frame, and from the
/// match to the connection.
async fn first_frame(events: &mut UnboundedReceiver<CallEvent>) -> Option<(Duration, Duration)> {
    let (mut matched, mut connected) = (None, None);

    while let Some(event) = events.recv().await {
        match event.kind {
            CallEventKind::Matched { .. } => matched = Some(event.at),
            CallEventKind::Connected => connected = Some(event.at),
            CallEventKind::FirstRemoteFrame => {
                return Some((event.at - matched?, connected? - matched?));
            }
            _ => {}
        }
    }

    None
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values
        .get((values.len() * percent).div_ceil(100).saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

fn print(stats: &CallStats, delays: &Delays, first: Option<(Duration, Duration)>) {
    let mut delays = delays.lock().clone();
    let (p50, p95) = (percentile(&mut delays, 50), percentile(&mut delays, 95));
    println!("match to first frame / connected     {first:?}");
    println!(
        "glass to glass ms p50 / p95          {p50:.1} / {p95:.1} ({} frames)",
        delays.len()
    );

    println!(
        "mouth to ear ms                      {:?}",
        stats.audio.mouth_to_ear_ms
    );

    println!(
        "lip sync ms p95                      {:?}",
        stats.lip_sync_ms_p95
    );

    println!(
        "sent                                 {:?}",
        stats.video_sent
    );

    println!(
        "received                             {:?}",
        stats.video_received
    );
    println!("route                                {:?}", stats.route);
    let targets: Vec<u64> = stats
        .bitrate
        .iter()
        .map(|sample| sample.target_bps / 1_000)
        .collect();

    let sent: Vec<u64> = stats
        .bitrate
        .iter()
        .map(|sample| sample.sent_bps / 1_000)
        .collect();
    println!(
        "target kbit/s                        {targets:?}\nsent kbit/s                          {sent:?}\n"
    );
}

/// CPU seconds of this process so far (Linux; `None` elsewhere).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;

    Some(ticks / 100.0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let size = arguments.next().unwrap_or_else(|| "1280x720".into());
    let (width, height) = size.split_once('x').ok_or("WIDTHxHEIGHT")?;
    let fps = arguments.next().map_or(Ok(30.0), |text| text.parse())?;
    let format = VideoFormat {
        width: width.parse()?,
        height: height.parse()?,
        fps,
    };

    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let url = ServerUrl::listening_on(server.local_addr());
    let delays: [Delays; 2] = Default::default();
    let (left, mut left_events) = Call::start(options(&url, format, &delays[0]));
    let (right, mut right_events) = Call::start(options(&url, format, &delays[1]));
    let (first_left, first_right) = tokio::join!(
        first_frame(&mut left_events),
        first_frame(&mut right_events)
    );

    // The first second is the warm-up.
    tokio::time::sleep(Duration::from_secs(1)).await;

    for delays in &delays {
        delays.lock().clear();
    }

    let (started, cpu) = (Instant::now(), cpu_seconds());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu_seconds()
        .zip(cpu)
        .map(|(now, before)| (now - before) / started.elapsed().as_secs_f64() / 2.0);
    print(&left.stats().await, &delays[0], first_left);
    print(&right.stats().await, &delays[1], first_right);
    println!("CPU cores per side                   {used:.3?}");
    left.hang_up().await;
    right.finished().await;
    server.shutdown().await;

    Ok(())
}
