//! How much later a call begins when its partner must be verified by a code: from the match to the
//! connection and to the first frame, over loopback. Calls of both kinds alternate.
//!
//!     cargo run --release -p tandem-call --all-features --example verified_start -- 40

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program for developers"
)]

use std::time::{Duration, Instant};

use tandem_call::{Call, CallCode, CallEvent, CallEventKind, CallOptions};
use tandem_media::video::{VideoFormat, VideoSpec};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tandem_trust::{Code, Party, Word};
use tokio::sync::mpsc::UnboundedReceiver;

/// From the match to the connection, and to the first frame.
type Times = [Duration; 2];

fn side(url: &ServerUrl, code: Option<CallCode>) -> (Call, UnboundedReceiver<CallEvent>) {
    Call::start(CallOptions {
        room: Some("7".into()),
        code,
        video: VideoSpec::Test,
        video_format: VideoFormat {
            width: 320,
            height: 240,
            fps: 30.0,
        },
        ..CallOptions::new(url.clone())
    })
}

async fn times(events: &mut UnboundedReceiver<CallEvent>) -> Times {
    let (mut matched, mut connected): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let event = events.recv().await.expect("the call goes on");
        match event.kind {
            CallEventKind::Matched { .. } => matched = Some(event.at),
            CallEventKind::Connected => connected = Some(event.at),
            CallEventKind::FirstRemoteFrame => {
                let matched = matched.expect("first");
                return [connected.expect("before") - matched, event.at - matched];
            }
            CallEventKind::Ended { reason } => panic!("it ended: {}", reason.message),
            _ => {}
        }
    }
}

async fn call(url: &ServerUrl, verified: bool) -> [Times; 2] {
    let words = ["garden", "lantern"].map(|word| word.parse::<Word>().unwrap());
    let code = |party| verified.then(|| CallCode::new(Code::new(7, words), party));
    let (first, mut firsts) = side(url, code(Party::Inviter));
    // The cameras are open before the match.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let (second, mut seconds) = side(url, code(Party::Guest));
    let both = tokio::join!(times(&mut firsts), times(&mut seconds));
    first.hang_up().await;
    second.finished().await;
    [both.0, both.1]
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(20, |text| text.parse().unwrap());
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let url = ServerUrl::listening_on(server.local_addr());
    let mut seen: [Vec<Times>; 2] = Default::default();
    for _ in 0..rounds {
        for (kind, seen) in seen.iter_mut().enumerate() {
            seen.extend(call(&url, kind == 1).await);
        }
    }

    println!(
        "{:12} {:>22} {:>22}",
        "ms", "match → connection", "match → first frame"
    );
    for (name, seen) in ["unverified", "by code"].into_iter().zip(&seen) {
        let column = |at: usize| {
            let mut all: Vec<Duration> = seen.iter().map(|times| times[at]).collect();
            all.sort();
            format!(
                "{:.1} (p95 {:.1})",
                quantile(&all, 0.5),
                quantile(&all, 0.95)
            )
        };
        println!("{name:12} {:>22} {:>22}", column(0), column(1));
    }
}
