//! What Tandem shows of a browser's video when packets are lost: two hosts, 50 ms round trip.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::time::Duration;

use tandem_tests::browser::{Oddity, Options};
use tandem_tests::guest_browser::Kind;
use tandem_tests::{Browser, LinkedHosts, Outcome, Part, Tandem, require};

const TIMEOUT: Duration = Duration::from_secs(120);

/// Length of the call.
const SECONDS: u32 = 15;

/// Keyframe requests in a call of this length. With padding among the video's sequence numbers there
/// were seven and more at 5 % loss, and fifteen at 10 %. One at the start is usual.
const MAX_PLIS: f64 = 3.0;

/// A call with a browser on the other host, over a link that loses 5 % each way.
fn call(kind: Kind, codec: &str) -> Outcome {
    let link = LinkedHosts::start("rtt=50ms,loss=5%,seed=5").expect("a link");
    let server = link.start_server().expect("the server starts");
    let url = server.url();
    let duration = format!("{SECONDS}s");

    let options = Options {
        kind,
        signaling: &url,
        room: "loss",
        codec,
        source: "pattern",
        oddity: Oddity::None,
        seconds: SECONDS + 30,
    };
    let _browser = Browser::open_on(link.host(1), &options).expect("the browser searches");

    let arguments = [
        "--signaling",
        &url,
        "--room",
        "loss",
        "--codec",
        codec,
        "--speaker",
        "none",
        "--size",
        "640x360",
        "--duration",
        &duration,
        "--wait",
        "60s",
    ];
    let tandem = Tandem::start_on(link.host(0), arguments).expect("Tandem starts");
    tandem.finish(TIMEOUT).expect("the call ends")
}

/// Checks that retransmissions repair what is lost. How long the video stands still depends on the
/// machine, too; docs/benchmarks.md has the figures.
fn assert_repaired(kind: Kind, codec: &str) {
    let call = call(kind, codec);
    call.assert_ok("Tandem");

    let [lost, recovered, plis, frozen] = ["lost", "recovered", "plis", "frozenMs"]
        .map(|name| call.figure(&format!("/video/received/{name}")));
    println!(
        "{kind:?} {codec}: {recovered} recovered, {lost} lost, {plis} PLIs, frozen for {frozen} ms"
    );

    assert!(recovered >= 20.0, "packets were lost: {}", call.report);
    assert!(
        lost <= recovered / 10.0,
        "what was lost and requested came: {lost} did not, {recovered} did"
    );
    assert!(
        plis <= MAX_PLIS,
        "{plis} keyframe requests: {}",
        call.report
    );
}

#[test]
fn chromiums_lost_h264_is_repaired_without_keyframes() {
    require!(Part::Tun);
    require!(Part::Chromium);
    assert_repaired(Kind::Chromium, "h264");
}

#[test]
fn chromiums_lost_vp8_is_repaired_without_keyframes() {
    require!(Part::Tun);
    require!(Part::Chromium);
    assert_repaired(Kind::Chromium, "vp8");
}

#[test]
fn firefoxs_lost_vp8_is_repaired_without_keyframes() {
    require!(Part::Tun);
    require!(Part::Firefox);
    assert_repaired(Kind::Firefox, "vp8");
}
