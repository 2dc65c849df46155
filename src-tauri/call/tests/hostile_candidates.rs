//! A partner whose candidates are not its own: nobody is flooded, and honest candidates among dead
//! ones are still found.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use tandem_call::internals::{Peer, PeerEvent};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use support::peers::peer;

/// A host candidate as JSON.
fn candidate(transport: &str, priority: u32, port: u16, rest: &str) -> String {
    let line = format!("candidate:1 1 {transport} {priority} 127.0.0.1 {port} typ host{rest}");
    serde_json::json!({ "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 }).to_string()
}

/// A socket that has no part in the call.
fn stranger() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.set_nonblocking(true).expect("it can");
    socket
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

/// How many datagrams have come to `socket`.
fn received(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2_000];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

/// Another offer of the same partner, with new credentials for ICE.
fn restarted(offer: &str, round: usize) -> String {
    let mut value: serde_json::Value = serde_json::from_str(offer).expect("an offer is JSON");
    let sdp = value["sdp"].as_str().expect("an offer has SDP");
    let lines = sdp.split("\r\n").map(|line| {
        if line.starts_with("a=ice-ufrag:") {
            format!("a=ice-ufrag:ufrag{round}")
        } else {
            line.to_owned()
        }
    });
    value["sdp"] = lines.collect::<Vec<_>>().join("\r\n").into();
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_flooded() {
    let strangers: Vec<UdpSocket> = (0..64).map(|_| stranger()).collect();
    let offer = peer().await.0.create_offer().await.expect("an offer");
    let (mut victim, _events) = peer().await;

    let started = Instant::now();
    for round in 0..5 {
        victim
            .apply_offer(&restarted(&offer, round), false)
            .await
            .expect("an offer like others");
        for (priority, stranger) in (1_000..).zip(&strangers) {
            // Of those that are refused, the call goes on without.
            let _ = victim
                .add_candidate(&candidate("udp", priority, port(stranger), ""))
                .await;
        }

        sleep(Duration::from_millis(1_900)).await;
    }

    let seconds = started.elapsed().as_secs_f64();
    let counts: Vec<usize> = strangers.iter().map(received).collect();
    victim.close().await;

    let total: usize = counts.iter().sum();
    assert!(total > 30, "candidates are checked: {counts:?}");
    assert!(
        total as f64 <= 301.0 + 2.0 * seconds,
        "{total} packets in {seconds:.1} s: {counts:?}"
    );
}

/// One peer that offers and one that answers, whose candidates are still to be exchanged.
struct Pair {
    offering: Peer,
    offering_events: UnboundedReceiver<PeerEvent>,
    answering: Peer,
    answering_events: UnboundedReceiver<PeerEvent>,
}

impl Pair {
    async fn new() -> Self {
        let (mut offering, offering_events) = peer().await;
        let (mut answering, answering_events) = peer().await;
        let offer = offering.create_offer().await.expect("an offer");
        let answer = answering
            .apply_offer(&offer, false)
            .await
            .expect("an answer");
        offering
            .apply_answer(&answer)
            .await
            .expect("it answers the offer");

        Self {
            offering,
            offering_events,
            answering,
            answering_events,
        }
    }

    /// The answering side's port.
    async fn answering_port(&mut self) -> u16 {
        loop {
            let event = self.answering_events.recv().await.expect("it lives");
            if let PeerEvent::Candidate(text) = event {
                let value: serde_json::Value =
                    serde_json::from_str(&text).expect("candidates are JSON");
                let line = value["candidate"].as_str().expect("it is not the end");
                let port = line.split(' ').nth(5).expect("it has a port");
                return port.parse().expect("a number");
            }
        }
    }

    /// Waits until the offering side is connected; it alone knows candidates.
    async fn connected(&mut self) -> Duration {
        let started = Instant::now();
        let connect = async {
            while !matches!(
                self.offering_events.recv().await.expect("it lives"),
                PeerEvent::Connected
            ) {}
        };
        timeout(Duration::from_secs(20), connect)
            .await
            .expect("the two connect");
        started.elapsed()
    }

    async fn close(self) {
        self.offering.close().await;
        self.answering.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_candidate_behind_dead_ones_is_found() {
    // Of lower priority than all others, and of higher priority, but too late for the first 64.
    for (dead, priority, limit) in [(40, 1, 8), (100, 9_000, 2)] {
        let mut pair = Pair::new().await;
        let port_of_answering = pair.answering_port().await;
        let strangers: Vec<UdpSocket> = (0..dead).map(|_| stranger()).collect();
        for (number, stranger) in (100..).zip(&strangers) {
            let text = candidate("udp", number, port(stranger), "");
            let _ = pair.offering.add_candidate(&text).await;
        }

        pair.offering
            .add_candidate(&candidate("udp", priority, port_of_answering, ""))
            .await
            .expect("it is among the best, or there is room");
        let took = pair.connected().await;
        assert!(
            took < Duration::from_secs(limit),
            "{took:?} with {dead} dead candidates"
        );
        pair.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_opens_no_tcp_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("it can");
    let tcp_port = listener.local_addr().expect("it is bound").port();

    let mut pair = Pair::new().await;
    let port_of_answering = pair.answering_port().await;
    let passive = candidate("tcp", 9_000, tcp_port, " tcptype passive");
    let _ = pair.offering.add_candidate(&passive).await;
    pair.offering
        .add_candidate(&candidate("udp", 1, port_of_answering, ""))
        .await
        .expect("an honest candidate");
    pair.connected().await;

    let accepted = listener.accept();
    assert!(
        accepted
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "a partner chose where this machine connects: {accepted:?}"
    );
    pair.close().await;
}
