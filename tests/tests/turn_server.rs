//! Calls through the TURN server inside the signaling server.

#![cfg(unix)]

use std::time::Duration;

use tandem_tests::{Outcome, ServerProcess, Tandem};

const TIMEOUT: Duration = Duration::from_secs(60);

fn server(more: &[&str]) -> ServerProcess {
    let flags = ["--turn-listen", "127.0.0.1:0"];
    ServerProcess::start_with(&[&flags[..], more].concat()).expect("the server starts")
}

fn call(url: &str, more: &[&str], duration: &str) -> [Outcome; 2] {
    let common = [
        "--signaling",
        url,
        "--room",
        "turn",
        "--size",
        "640x360",
        "--speaker",
        "none",
        "--wait",
        "30s",
        "--duration",
        duration,
    ];
    let arguments = [&common[..], more].concat();
    let peers = [0, 1].map(|_| Tandem::start(&arguments).expect("tandem starts"));
    peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends by itself"))
}

#[test]
fn both_sides_of_a_call_go_through_it_and_are_joined_inside() {
    let server = server(&[]);
    let outcomes = call(&server.url(), &["--relay-only"], "4s");
    for outcome in &outcomes {
        outcome.assert_ok("relay only");
        outcome.assert_relayed("relay only");
        let frames = outcome.figure("/video/received/frames");
        assert!(frames > 30.0, "frames arrived, not {frames}");
        println!(
            "connected after {} ms, first frame after {} ms",
            outcome.figure("/timingsMs/connected"),
            outcome.figure("/timingsMs/firstRemoteFrame")
        );
    }

    let metric = |name: &str| server.metric(name).expect("a metric");
    let packets = metric("tandem_turn_packets_total");
    let joined = metric("tandem_turn_joined_packets_total");
    assert!(packets > 300.0, "media went through it: {packets} packets");
    assert!(
        (packets - joined) <= packets / 100.0,
        "and left it to the other client: {joined} of {packets}"
    );
}
