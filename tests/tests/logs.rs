//! Nothing that Tandem logs by itself says who or where the partner is. The hosts are on a network of
//! the test's own: on one machine, all addresses would be the same.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tandem_tests::process::wait_until;
use tandem_tests::{
    Coturn, Host, Network, Outcome, Part, ServerProcess, Tandem, WireClient, built, require,
};

/// Limit for a call from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The addresses of the hosts. Nothing of this must be in a log, nor any link-local address.
const ADDRESSES: [&str; 3] = ["192.168.7.1/24", "192.168.7.2/24", "192.168.7.3/24"];

const SECRETS: [&str; 8] = [
    "192.168.7.",
    "fe80:",
    "127.0.0.1:",
    ".local",
    "candidate:",
    "ice-pwd",
    "v=0",
    "Rumpelstiltskin",
];

fn server(host: &Host, flags: &[&str]) -> ServerProcess {
    let mut command = host.command(built("tandem-signaling"));
    command.args(["--listen", "192.168.7.1:0"]).args(flags);
    ServerProcess::start_command(command).expect("the server listens on the host's address")
}

fn peer(host: &Host, server: &ServerProcess, room: &str, more: &[&str]) -> Tandem {
    let url = server.url();
    let call = ["--signaling", &url, "--room", room, "--wait", "30s"];
    let media = ["--video", "test", "--audio", "test", "--speaker", "none"];
    let small = ["--size", "320x180", "--name", "Rumpelstiltskin"];
    Tandem::start_on(host, [&call[..], &media, &small, more].concat()).expect("Tandem starts")
}

/// Waits for the lines that show that they are in a call.
fn wait_for_call(peers: &mut [Tandem]) {
    for peer in peers {
        let connected = |line: &str| line.contains("connected to the partner").then_some(());
        peer.process()
            .wait_for_log(TIMEOUT, connected)
            .expect("they are in a call");
    }
}

fn assert_discreet(outcome: &Outcome) {
    for secret in SECRETS {
        assert!(
            !outcome.log.contains(secret),
            "{secret:?} is in the log:\n{}",
            outcome.log
        );
    }
}

fn warnings<'a>(outcome: &'a Outcome, text: &str) -> Vec<&'a str> {
    let lines = outcome.log.lines();
    lines.filter(|line| line.contains(text)).collect()
}

#[test]
fn logs_keep_secrets_in_a_call_and_in_an_outage() {
    require!(Part::Network);
    let network = Network::with_addresses(&ADDRESSES[..2]).expect("a network of two");
    let server = server(network.host(0), &[]);
    let mut peers = [0, 1].map(|number| {
        peer(
            network.host(number),
            &server,
            "quiet",
            &["--duration", "12s"],
        )
    });

    wait_for_call(&mut peers);
    network.host(1).take_down().expect("the cable is out");
    let cannot_send = |line: &str| line.contains("cannot send to the partner").then_some(());
    peers[1]
        .process()
        .wait_for_log(TIMEOUT, cannot_send)
        .expect("the user can read why nothing arrives");
    network.host(1).bring_up().expect("and in again");

    for peer in peers {
        let outcome = peer.finish(TIMEOUT).expect("the call ends");
        assert_discreet(&outcome);

        let said = warnings(&outcome, "cannot send to the partner");
        assert!(said.len() <= 2, "one warning in ten seconds: {said:?}");
    }
}

#[test]
fn logs_keep_secrets_over_turn() {
    require!(Part::Network);
    require!(Part::Coturn);
    let network = Network::with_addresses(&ADDRESSES).expect("a network of three");
    let ip: IpAddr = [192, 168, 7, 3].into();
    let turn = Coturn::start_on(network.host(2), ip, "shared").expect("coturn starts");

    for (secret, warned) in [("shared", false), ("another", true)] {
        let url = turn.url();
        let server = server(
            network.host(0),
            &["--turn-url", &url, "--turn-secret", secret],
        );
        let more: &[&str] = if warned {
            &["--duration", "2s"]
        } else {
            &["--duration", "2s", "--relay-only"]
        };
        let peers = [0, 1].map(|number| peer(network.host(number), &server, "quiet", more));

        for peer in peers {
            let outcome = peer.finish(TIMEOUT).expect("the call ends");
            outcome.assert_ok("a side");
            assert_discreet(&outcome);

            let said = warnings(&outcome, "no TURN server");
            assert_eq!(
                !said.is_empty(),
                warned,
                "a TURN server that refuses is no secret: {}",
                outcome.log
            );
        }
    }
}

/// An offer of Tandem's, made in a room of its own.
fn offer(host: &Host, server: &ServerProcess) -> serde_json::Value {
    let _first = peer(host, server, "first", &[]);
    let searches = || {
        let searching = host.run(|| server.metric("tandem_searching"));
        (searching.ok()? > 0.0).then_some(())
    };
    wait_until("the first one's search", TIMEOUT, searches)
        .expect("it waits, and so will make the offer");

    let mut client = wire_client(host, server.address());
    client
        .send(&json!({ "type": "find_partner", "room": "first" }))
        .unwrap();
    let message = client.receive("webrtc_offer").expect("an offer");
    message["offer"].clone()
}

fn wire_client(host: &Host, server: SocketAddr) -> WireClient {
    host.run(|| WireClient::connect(server).expect("the server takes clients"))
}

#[test]
fn logs_keep_the_names_that_browsers_give_instead_of_addresses() {
    require!(Part::Network);
    let network = Network::with_addresses(&ADDRESSES[..2]).expect("a network of two");
    let server = server(network.host(0), &[]);
    let offer = offer(network.host(1), &server);

    let mut client = wire_client(network.host(0), server.address());
    client
        .send(&json!({ "type": "find_partner", "room": "quiet" }))
        .unwrap();
    client.receive("searching").expect("it waits");
    let tandem = peer(network.host(1), &server, "quiet", &[]);
    let found = client.receive("partner_found").expect("they meet");
    let to = &found["socketId"];
    client
        .send(&json!({ "type": "webrtc_offer", "to": to, "offer": offer }))
        .unwrap();
    client.receive("webrtc_answer").expect("it answers");

    for number in 0..3 {
        let text = format!(
            "candidate:{number} 1 udp 2113937151 9b36eaac-bb2e-49bb-bb78-21c41c49000{number}.local 4000 typ host"
        );
        let candidate = json!({ "candidate": text, "sdpMid": "0", "sdpMLineIndex": 0 });
        client
            .send(&json!({ "type": "ice_candidate", "to": to, "candidate": candidate }))
            .unwrap();
    }

    let outcome = tandem.finish(TIMEOUT).expect("it gives up");
    assert_eq!(
        outcome.report["error"]["code"], "CONNECT_TIMEOUT",
        "nobody has these names: {}",
        outcome.report
    );
    assert_discreet(&outcome);
}
