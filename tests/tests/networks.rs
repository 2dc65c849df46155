//! Calls between two hosts of a network of the test's own, with nothing else on it.

#![cfg(target_os = "linux")]

use std::time::Duration;

use tandem_tests::{Host, Network, Outcome, Part, ServerProcess, Tandem, built, require};

/// Limit for a call of a few seconds from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A signaling server on `host`, at its address `ip`.
fn server(host: &Host, ip: &str) -> ServerProcess {
    let mut command = host.command(built("tandem-signaling"));
    command.args(["--listen", &format!("{ip}:0")]);
    ServerProcess::start_command(command).expect("the server listens on the host's address")
}

/// Holds a call between the two hosts, and returns what each reports.
fn call(network: &Network, server: &ServerProcess) -> [Outcome; 2] {
    let url = server.url();
    let peers = [0, 1].map(|number| {
        let arguments = [
            "--signaling",
            &url,
            "--room",
            "cable",
            "--duration",
            "3s",
            "--size",
            "640x360",
            "--video",
            "test",
            "--audio",
            "test",
            "--speaker",
            "none",
        ];
        Tandem::start_on(network.host(number), arguments).expect("Tandem starts")
    });

    peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends"))
}

#[test]
fn two_computers_on_a_cable_call_each_other() {
    require!(Part::Network);
    let network = Network::start(2).expect("a network of two");
    // What computers without any other address give themselves (RFC 3927).
    network.host(0).add_address("169.254.10.1/16").unwrap();
    network.host(1).add_address("169.254.10.2/16").unwrap();

    let server = server(network.host(0), "169.254.10.1");
    for peer in call(&network, &server) {
        assert_eq!(peer.report["ok"], true, "{}\n{}", peer.report, peer.log);
        assert!(peer.figure("/video/received/frames") > 30.0);
    }
}

#[test]
fn two_computers_on_one_network_call_each_other_without_any_other() {
    require!(Part::Network);
    let network = Network::start(2).expect("a network of two");
    network.host(0).add_address("192.168.7.1/24").unwrap();
    network.host(1).add_address("192.168.7.2/24").unwrap();

    let server = server(network.host(0), "192.168.7.1");
    for peer in call(&network, &server) {
        assert_eq!(peer.report["ok"], true, "{}\n{}", peer.report, peer.log);
        assert!(peer.figure("/video/received/frames") > 30.0);
    }
}
