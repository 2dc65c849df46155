//! Calls over a slow link: how many round trips it takes to connect through a TURN server, and that a
//! direct route is preferred to it.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::net::SocketAddr;
use std::time::Duration;

use tandem_tests::authority::Authority;
use tandem_tests::{Coturn, LinkedHosts, Outcome, Part, ServerProcess, Tandem, built, require};

const TIMEOUT: Duration = Duration::from_secs(90);
const SECRET: &str = "a shared secret";
/// Calls over each link.
const CALLS: usize = 3;

/// The hosts by their numbers.
const PEOPLE: usize = 0;
const SERVERS: usize = 1;

/// The round-trip time of the link, ms. What a busy machine needs for a call is a fraction of that.
const ROUND_TRIP_MS: f64 = 500.0;
/// Calls over each transport with it.
const SLOW_CALLS: usize = 2;

/// A call of two on these hosts.
fn call(hosts: &LinkedHosts, places: [usize; 2], url: &str, arguments: &[&str]) -> [Outcome; 2] {
    let usual = [
        "--signaling",
        url,
        "--room",
        "turn",
        "--duration",
        "3s",
        "--size",
        "320x180",
        "--speaker",
        "none",
        "--wait",
        "60s",
    ];
    let arguments = [&usual[..], arguments].concat();
    let people = places
        .map(|number| Tandem::start_on(hosts.host(number), &arguments).expect("Tandem starts"));
    people.map(|person| {
        let outcome = person.finish(TIMEOUT).expect("the call ends by itself");
        outcome.assert_ok("a call");
        outcome
    })
}

/// From the match to the connection, ms.
fn connecting(outcome: &Outcome) -> f64 {
    outcome.figure("/timingsMs/connected") - outcome.figure("/timingsMs/matched")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn turn_over_tcp_and_tls_takes_few_round_trips_more_than_over_udp() {
    require!(Part::Tun, Part::Coturn);
    let hosts = LinkedHosts::start(&format!("rtt={ROUND_TRIP_MS}ms")).expect("a link");
    let (host, ip) = (hosts.host(SERVERS), LinkedHosts::ip(SERVERS));
    let authority = Authority::new().expect("an authority");
    let _plain = Coturn::start_on(host, ip, SECRET).expect("coturn starts");
    let _tls = Coturn::start_over_tls_on(host, SocketAddr::new(ip, 443), &authority, SECRET)
        .expect("coturn starts");
    let trust = authority.file().to_str().expect("UTF-8");

    let [udp, tcp, tls] = [
        ("udp", format!("turn:{ip}:3478?transport=udp")),
        ("tcp", format!("turn:{ip}:3478?transport=tcp")),
        ("tls", format!("turns:{ip}:443?transport=tcp")),
    ]
    .map(|(transport, turn)| {
        let mut command = host.command(built("tandem-signaling"));
        let address = format!("{ip}:0");
        command.args([
            "--listen",
            &address,
            "--turn-url",
            &turn,
            "--turn-secret",
            SECRET,
        ]);
        let server = ServerProcess::start_command(command).expect("the server listens");

        let arguments = ["--relay-only", "--ca-file", trust];
        let calls = (0..SLOW_CALLS).flat_map(|_| {
            let outcomes = call(&hosts, [PEOPLE; 2], &server.url(), &arguments);
            for outcome in &outcomes {
                assert_eq!(outcome.report["route"]["relayTransport"], transport);
            }
            outcomes
        });
        let times: Vec<f64> = calls.map(|outcome| connecting(&outcome)).collect();
        println!("{transport}: match to connected {times:?} ms");
        let round_trips = median(times) / ROUND_TRIP_MS;
        println!("{transport}: {round_trips:.2} round trips");
        round_trips
    });

    // TCP and TLS take one and two for themselves, of which one is there before the match. The rest is for
    // what a busy machine has to do.
    assert!(tcp <= udp + 0.75, "TCP: {tcp} round trips, UDP: {udp}");
    assert!(tls <= udp + 1.75, "TLS: {tls} round trips, UDP: {udp}");
}

/// How many of these calls went through the TURN server of the signaling server, which is beside one of the
/// two people. The other one is behind a link.
fn relayed(link: &str) -> usize {
    let hosts = LinkedHosts::start(link).expect("a link");
    let (host, ip) = (hosts.host(SERVERS), LinkedHosts::ip(SERVERS));
    let mut command = host.command(built("tandem-signaling"));
    command.args(["--listen", &format!("{ip}:0")]);
    command.args(["--turn-listen", &format!("{ip}:3478")]);
    let server = ServerProcess::start_command(command).expect("the server listens");

    let outcomes: Vec<Outcome> = (0..CALLS)
        .flat_map(|_| call(&hosts, [PEOPLE, SERVERS], &server.url(), &[]))
        .collect();
    let times: Vec<f64> = outcomes.iter().map(connecting).collect();
    let types = |outcome: &Outcome| {
        let route = &outcome.report["route"];
        [route["local"].clone(), route["remote"].clone()]
    };
    let through_turn = outcomes
        .iter()
        .filter(|outcome| types(outcome).iter().any(|kind| kind == "relay"));
    let count = through_turn.count();
    println!(
        "{link}: {count} of {} relayed, connected after {times:?} ms",
        outcomes.len()
    );
    count
}

#[test]
fn a_direct_route_is_found_over_a_slow_link_though_there_is_a_turn_server() {
    require!(Part::Tun);
    for link in ["rtt=1ms", "rtt=300ms", "rtt=300ms,loss=5%"] {
        assert_eq!(relayed(link), 0, "{link}: the direct route can be used");
    }
}
