//! How soon after the connection the first frame is there, through TURN over UDP, TCP and TLS.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::net::SocketAddr;
use std::time::Duration;

use tandem_tests::authority::Authority;
use tandem_tests::{Coturn, Network, Outcome, Part, ServerProcess, Tandem, built, require};

const TIMEOUT: Duration = Duration::from_secs(60);
const SECRET: &str = "a shared secret";
/// Calls over each transport. Each has two first frames.
const CALLS: usize = 5;

/// The hosts by their numbers.
const PEOPLE: [usize; 2] = [0, 1];
const SERVERS: usize = 2;
const IP: &str = "10.9.0.3";

/// The budget, ms, which the fastest call of a busy machine keeps, too. Without its first keyframe, a call
/// takes 300 at least: it takes a request, and the partner makes one in that time.
const FIRST_FRAME_MS: f64 = 60.0;

fn call(network: &Network, url: &str, arguments: &[&str]) -> [Outcome; 2] {
    let usual = [
        "--signaling",
        url,
        "--room",
        "turn",
        "--relay-only",
        "--duration",
        "1s",
        "--size",
        "320x180",
        "--speaker",
        "none",
        "--wait",
        "30s",
    ];
    let arguments = [&usual[..], arguments].concat();
    let people = PEOPLE
        .map(|number| Tandem::start_on(network.host(number), &arguments).expect("Tandem starts"));
    people.map(|person| {
        let outcome = person.finish(TIMEOUT).expect("the call ends by itself");
        outcome.assert_ok("a call");
        outcome
    })
}

#[test]
fn the_first_frame_comes_with_the_connection_through_turn() {
    require!(Part::Network, Part::Coturn);
    let network = Network::with_addresses(&["10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"])
        .expect("a network of three");
    let host = network.host(SERVERS);
    let at = |port| SocketAddr::new(IP.parse().expect("an address"), port);
    let authority = Authority::new().expect("an authority");
    let _plain = Coturn::start_on(host, at(0).ip(), SECRET).expect("coturn starts");
    let _tls = Coturn::start_over_tls_on(host, at(443), &authority, SECRET).expect("coturn starts");
    let trust = ["--ca-file", authority.file().to_str().expect("UTF-8")];

    for (transport, turn) in [
        ("udp", format!("turn:{IP}:3478?transport=udp")),
        ("tcp", format!("turn:{IP}:3478?transport=tcp")),
        ("tls", format!("turns:{IP}:443?transport=tcp")),
    ] {
        let mut command = host.command(built("tandem-signaling"));
        command.args(["--listen", &format!("{IP}:0")]);
        command.args(["--turn-url", &turn, "--turn-secret", SECRET]);
        let server = ServerProcess::start_command(command).expect("the server listens");

        let mut times = Vec::new();
        for outcome in (0..CALLS).flat_map(|_| call(&network, &server.url(), &trust)) {
            assert_eq!(outcome.report["route"]["relayTransport"], transport);
            let timing = |name: &str| outcome.figure(&format!("/timingsMs/{name}"));
            times.push(timing("firstRemoteFrame") - timing("connected"));
            let requests = outcome.figure("/video/received/plis");
            assert!(
                requests < 0.5,
                "{transport}: the first keyframe arrives, so none is requested: {requests}, {times:?} ms"
            );
        }

        println!("{transport}: first frame {times:?} ms after the connection");
        let fastest = times.into_iter().fold(f64::INFINITY, f64::min);
        assert!(
            fastest <= FIRST_FRAME_MS,
            "{transport}: the first frame comes {fastest} ms after the connection, or later"
        );
    }
}
