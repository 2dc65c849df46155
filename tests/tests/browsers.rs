//! Calls between Tandem and Chromium: two independent implementations of WebRTC.

#![cfg(unix)]

use std::time::Duration;

use serde_json::Value;
use tandem_tests::browser::{Oddity, Options};
use tandem_tests::guest_browser::Kind;
use tandem_tests::{Browser, Outcome, Part, ServerProcess, Tandem, require};

const TIMEOUT: Duration = Duration::from_secs(90);

/// Which side enters the room first. The server makes Tandem the initiator in one order and
/// Chromium in the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Tandem,
    Chromium,
}

/// Holds a call of a few seconds and returns both sides' reports.
fn call(codec: &str, first: First, oddity: Oddity) -> (Outcome, Value) {
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let arguments = [
        "--signaling",
        &url,
        "--room",
        "mixed",
        "--codec",
        codec,
        "--speaker",
        "none",
        "--size",
        "640x360",
        "--duration",
        "8s",
        "--wait",
        "90s",
    ];

    let tandem = || {
        let mut tandem = Tandem::start(arguments).expect("tandem starts");
        // Tandem is in the room first once its search is answered.
        assert!(
            tandem.process().is_running(),
            "tandem waits for its partner"
        );

        tandem
    };

    let options = Options {
        kind: Kind::Chromium,
        signaling: &url,
        room: "mixed",
        codec,
        source: "pattern",
        oddity,
        seconds: 4,
    };

    let browser = || Browser::open(&options).expect("the browser searches");
    let (tandem, browser) = match first {
        // A browser takes seconds to open, so Tandem is in the room long before.
        First::Tandem => {
            let tandem = tandem();
            (tandem, browser())
        }
        First::Chromium => {
            let browser = browser();
            (tandem(), browser)
        }
    };

    let report = browser
        .report(TIMEOUT)
        .expect("the browser reports the call");
    (tandem.finish(TIMEOUT).expect("the call ends"), report)
}

/// Checks that both directions decode in the codec that both prefer. Returns whether Tandem made
/// the offer.
fn assert_call(codec: &str, first: First) -> bool {
    let (tandem, browser) = call(codec, first, Oddity::None);
    tandem.assert_ok("Tandem");
    let name = codec.to_uppercase();
    let [received, sent] = ["videoReceived", "videoSent"].map(|key| &browser["stats"][key]);

    assert_eq!(
        received["codec"],
        format!("video/{name}"),
        "what Tandem sends: {browser}"
    );

    assert_eq!(
        sent["codec"],
        format!("video/{name}"),
        "what Chromium sends: {browser}"
    );

    assert_eq!(
        tandem.report["video"]["codec"], name,
        "Tandem reports the same codec"
    );

    let count = |value: &Value| value.as_f64().unwrap_or(0.0);
    assert!(
        count(&received["frames"]) >= 40.0,
        "Chromium decodes Tandem's frames: {browser}"
    );

    assert!(
        count(&browser["seen"]["coded"]) >= 40.0,
        "Chromium reads the test pattern in them: {}",
        browser["seen"]
    );
    assert_eq!(
        browser["seen"]["disorder"], 0,
        "no frame arrives after a newer one"
    );
    assert!(
        tandem.figure("/video/received/frames") >= 40.0,
        "Tandem decodes Chromium's frames: {}",
        tandem.report
    );

    let latency = tandem.figure("/video/received/glassToGlassMsP50");
    assert!(
        latency > 0.0 && latency < 2000.0,
        "Tandem reads the page's test pattern in them: {latency} ms"
    );

    let audio = &browser["stats"]["audioReceived"];
    assert_eq!(audio["codec"], "audio/opus", "audio is Opus");
    assert!(
        count(&audio["energy"]) > 0.0,
        "Chromium hears Tandem: {audio}"
    );

    assert!(
        tandem.figure("/audio/received/packets") >= 50.0,
        "Tandem hears Chromium: {}",
        tandem.report
    );

    let initiator = tandem.report["initiator"]
        .as_bool()
        .expect("one side makes the offer");
    assert_eq!(
        browser["initiator"], !initiator,
        "exactly one side makes the offer"
    );
    initiator
}

/// Calls in both orders, so that each side makes the offer once.
fn assert_both_ways(codec: &str) {
    let initiators = [First::Tandem, First::Chromium].map(|first| assert_call(codec, first));
    assert_ne!(
        initiators[0], initiators[1],
        "each side made the offer once"
    );
}

#[test]
fn tandem_and_chromium_call_with_h264() {
    require!(Part::Chromium);
    assert_both_ways("h264");
}

#[test]
fn tandem_and_chromium_call_with_vp8() {
    require!(Part::Chromium);
    assert_both_ways("vp8");
}

#[test]
fn an_offer_of_two_sizes_is_answered_with_one() {
    require!(Part::Chromium);
    let (tandem, browser) = call("vp8", First::Chromium, Oddity::TwoSizes);
    tandem.assert_ok("Tandem");
    assert_eq!(browser["initiator"], true, "Chromium offers both");

    let received = &tandem.report["video"]["received"];
    assert_eq!(
        [&received["width"], &received["height"]],
        [1_280, 720],
        "the first size that it offers: {received}"
    );
    assert!(
        tandem.figure("/video/received/frames") >= 40.0,
        "{received}"
    );
}

#[test]
fn unparsable_candidates_do_not_prevent_a_call() {
    require!(Part::Chromium);
    let (tandem, browser) = call("h264", First::Tandem, Oddity::BrokenCandidates);
    tandem.assert_ok("Tandem");

    assert!(
        tandem.figure("/video/received/frames") >= 40.0,
        "the valid candidates were used: {}",
        tandem.report
    );

    assert!(
        browser["stats"]["videoReceived"]["frames"].as_f64() >= Some(40.0),
        "media flows both ways: {browser}"
    );
}
