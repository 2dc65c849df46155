//! Calls between programs that go on though a program, a server or the network stops for a while.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests run in real time, and print what they measure"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tandem_tests::guest_browser::{Devices, Kind};
use tandem_tests::process::wait_until;
use tandem_tests::{
    GuestBrowser, Network, Part, SecureServer, ServerProcess, Tandem, built, require,
};

/// Limit for a call from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

#[test]
fn a_call_goes_on_after_a_program_was_stopped() {
    require!(Part::Network);
    let network = Network::start(2).expect("a network of two");
    network.host(0).add_address("192.168.7.1/24").unwrap();
    network.host(1).add_address("192.168.7.2/24").unwrap();
    let mut command = network.host(0).command(built("tandem-signaling"));
    command.args(["--listen", "192.168.7.1:0"]);
    let server = ServerProcess::start_command(command).expect("the server listens");

    let mut peers = [0, 1].map(|number| {
        let url = server.url();
        let media = ["--video", "test", "--audio", "test", "--speaker", "none"];
        let call = ["--signaling", &url, "--room", "lid", "--duration", "25s"];
        let arguments = [&call[..], &media, &["--size", "640x360"]].concat();
        Tandem::start_on(network.host(number), arguments).expect("Tandem starts")
    });
    for peer in &mut peers {
        let connected = |line: &str| line.contains("connected to the partner").then_some(());
        peer.process()
            .wait_for_log(TIMEOUT, connected)
            .expect("they are in a call");
    }

    // As a laptop does whose lid is closed.
    peers[1].process().signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(10));
    peers[1].process().signal(libc::SIGCONT);

    for peer in peers {
        let outcome = peer.finish(TIMEOUT).expect("the call ends");
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.report, outcome.log);
        let frames = outcome.figure("/video/received/frames");
        assert!(
            frames > 15.0 * 30.0 * 0.7,
            "both before and after: {frames}"
        );
        let samples = outcome.report["bitrate"].as_array().expect("a list");
        let last = samples
            .last()
            .and_then(|sample| sample["receivedBps"].as_f64());
        assert!(last > Some(50_000.0), "at its end, media flows: {last:?}");
    }
}

/// Stops a headless Tandem in a call with a guest in this browser for ten seconds, as a laptop does
/// whose lid is closed.
fn goes_on_with(kind: Kind) {
    let server = SecureServer::start_open().expect("the server starts");
    let address = server.address();
    let authority = server.authority_file().display().to_string();
    let call = ["--signaling", &address, "--ca-file", &authority];
    let room = ["--room", "7-garden-lantern", "--invite"];
    let time = ["--wait", "90s", "--duration", "5m"];
    let media = ["--speaker", "none", "--size", "640x360", "--codec", "vp8"];
    let mut tandem =
        Tandem::start([&call[..], &room, &time, &media].concat()).expect("Tandem starts");

    let mut guest =
        GuestBrowser::open(kind, Devices::Fake, server.cert()).expect("the browser opens");
    guest
        .visit(&format!("{address}/j/7#garden-lantern"))
        .expect("the page opens");
    guest.press("join").expect("the guest joins");
    wait_until("Tandem is in the room", TIMEOUT, || {
        let page = guest.wait_for_screen("in-call|ended").ok()?;
        if page["screen"] == "in-call" {
            return Some(());
        }

        guest.press("join-again").ok()?;
        None
    })
    .expect("they connect");
    guest.run(&json!({ "do": "watch" })).expect("it watches");
    let mut gap = |since: Duration| {
        let since = u64::try_from(since.as_millis()).expect("a time of this age");
        guest
            .run(&json!({ "do": "gap", "since": since }))
            .expect("media flows")
    };
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970")
    };
    gap(now());

    let since = now();
    let stopped = Duration::from_secs(10);
    tandem.process().signal(libc::SIGSTOP);
    std::thread::sleep(stopped);
    tandem.process().signal(libc::SIGCONT);
    let gap = gap(since);
    println!("{kind:?}: {gap}, {stopped:?} of which Tandem was stopped");

    let [video, audio, badge] = ["video", "audio", "badge"].map(|name| {
        let ms = gap[name].as_u64().expect("a figure");
        Duration::from_millis(ms)
    });
    let limit = stopped + Duration::from_secs(2);
    let almost = Duration::from_secs(9);
    assert!(video >= almost && video <= limit, "{gap}");
    assert!(audio <= limit, "{gap}");
    assert!(badge > Duration::from_secs(6), "the page says so: {gap}");
}

#[test]
fn a_call_with_chromium_goes_on_after_tandem_was_stopped() {
    require!(Part::Chromium);
    goes_on_with(Kind::Chromium);
}

#[test]
fn a_call_with_firefox_goes_on_after_tandem_was_stopped() {
    require!(Part::Firefox);
    goes_on_with(Kind::Firefox);
}
