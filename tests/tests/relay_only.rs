//! Calls whose media may only go through a TURN server.

#![cfg(unix)]

use std::time::Duration;

use serde_json::Value;
use tandem_tests::{Coturn, Part, ServerProcess, Tandem, Tap, require};

const TIMEOUT: Duration = Duration::from_secs(60);
const MEDIA: [&str; 6] = ["--size", "640x360", "--speaker", "none", "--wait", "30s"];

fn server(turn: &Coturn, more: &[&str]) -> ServerProcess {
    let flags = ["--turn-url", &turn.url(), "--turn-secret", turn.secret()];
    ServerProcess::start_with(&[&flags[..], more].concat()).expect("the server starts")
}

fn tandem(url: &str, duration: &str) -> Tandem {
    let arguments = [
        "--signaling",
        url,
        "--room",
        "turn",
        "--relay-only",
        "--duration",
        duration,
    ];
    Tandem::start([&arguments[..], &MEDIA[..]].concat()).expect("tandem starts")
}

/// The payloads of one message type that a client sent to its partner.
fn payloads<'a>(said: &'a [Value], kind: &str, field: &str) -> Vec<&'a Value> {
    said.iter()
        .filter(|message| message["type"] == kind)
        .map(|message| &message[field])
        .collect()
}

/// Checks that a candidate line is a relay candidate and hides the address it was made from.
fn assert_relay(line: &str) {
    assert!(
        line.contains(" typ relay"),
        "only relay candidates leave the machine: {line}"
    );

    assert!(
        line.contains(" raddr 0.0.0.0 rport 0"),
        "without the address they were made from: {line}"
    );
}

#[test]
fn messages_name_relay_candidates_only_and_media_goes_through_turn() {
    require!(Part::Coturn);
    let turn = Coturn::start("a shared secret").expect("coturn starts");
    let server = server(&turn, &[]);
    let taps = [0, 1].map(|_| Tap::start(server.address()).expect("a port"));
    let peers = [0, 1].map(|peer: usize| tandem(&taps[peer].url(), "4s"));
    let outcomes = peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends by itself"));

    for outcome in &outcomes {
        outcome.assert_ok("relay only");
        outcome.assert_relayed("relay only");
    }

    for tap in &taps {
        let said = tap.said();
        let candidates = payloads(&said, "ice_candidate", "candidate");
        let lines: Vec<&str> = candidates
            .iter()
            .filter_map(|candidate| candidate["candidate"].as_str())
            .collect();

        assert!(
            lines.iter().any(|line| !line.is_empty()),
            "candidates were sent: {said:?}"
        );

        lines
            .iter()
            .filter(|line| !line.is_empty())
            .for_each(|line| assert_relay(line));

        let descriptions: Vec<&Value> = [
            payloads(&said, "webrtc_offer", "offer"),
            payloads(&said, "webrtc_answer", "answer"),
        ]
        .concat();
        assert!(!descriptions.is_empty(), "a description was sent: {said:?}");

        for line in descriptions
            .iter()
            .flat_map(|description| description["sdp"].as_str().expect("SDP").lines())
        {
            match line.split_once([':', '=']) {
                Some(("a", rest)) if rest.starts_with("candidate:") => assert_relay(rest),
                Some(("a", rest)) if rest.starts_with("rtcp:") => {
                    assert!(line.ends_with("0.0.0.0"), "{line}");
                }
                Some(("c" | "o", _)) => assert!(
                    line.ends_with("IN IP4 0.0.0.0"),
                    "no address of this machine: {line}"
                ),
                _ => assert!(
                    !line.contains("IN IP4 1") && !line.contains("IN IP6"),
                    "{line}"
                ),
            }
        }
    }
}

#[test]
fn turn_credentials_are_renewed_during_a_call() {
    require!(Part::Coturn);
    let turn = Coturn::start("a shared secret").expect("coturn starts");
    let server = server(&turn, &["--turn-ttl", "8s"]);
    let tap = Tap::start(server.address()).expect("a port");
    let peers = [tandem(&tap.url(), "16s"), tandem(&server.url(), "16s")];

    for outcome in peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends by itself")) {
        outcome.assert_ok("a call longer than the first credentials are valid");
        assert_eq!(outcome.report["route"]["local"], "relay");
        let frames = outcome.figure("/video/received/frames");

        assert!(frames > 200.0, "frames arrived until the end, not {frames}");
    }

    let asked = tap
        .said()
        .iter()
        .filter(|message| message["type"] == "get_ice_servers")
        .count();
    assert!(
        asked >= 3,
        "once at the start, and before each expiry: {asked} times"
    );
}

#[test]
fn without_a_turn_server_nothing_is_sent_and_the_report_says_why() {
    let server = ServerProcess::start().expect("the server starts");
    let tap = Tap::start(server.address()).expect("a port");
    let outcome = tandem(&tap.url(), "4s")
        .finish(TIMEOUT)
        .expect("it exits by itself");

    assert_eq!(outcome.code, Some(4), "no connection: {}", outcome.report);
    let error = outcome.report["error"].to_string();
    assert!(
        error.contains("NO_TURN_SERVER"),
        "the report says why: {error}"
    );

    let kinds: Vec<Value> = tap
        .said()
        .iter()
        .map(|message| message["type"].clone())
        .collect();

    assert!(
        kinds.iter().all(|kind| kind == "bye"),
        "no search, no offer: {kinds:?}"
    );
}
