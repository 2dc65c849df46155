//! Two computers on one cable: link-local addresses and no others.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tandem_call::internals::{Peer, PeerConfig, PeerEvent};
use tandem_tests::{Host, Network, Part, require};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What one side sends the other through a signaling server.
enum Signal {
    Offer(String),
    Answer(String),
    Candidate(String),
    /// This side is connected; it stays until the other one is, too.
    Connected,
}

fn config() -> PeerConfig {
    PeerConfig {
        link_local: true,
        ..PeerConfig::default()
    }
}

/// One side: connects, and returns the candidates that it sent.
async fn side(
    offers: bool,
    to_other: UnboundedSender<Signal>,
    mut from_other: UnboundedReceiver<Signal>,
) -> Vec<String> {
    let (sender, mut events) = unbounded_channel();
    let mut peer = Peer::new(config(), sender).await.expect("sockets");
    if offers {
        let offer = peer.create_offer().await.expect("an offer");
        let _ = to_other.send(Signal::Offer(offer));
    }

    let mut sent = Vec::new();
    let mut early = Vec::new();
    let mut has_remote = false;
    let mut connected = [false, false];
    while connected != [true, true] {
        tokio::select! {
            event = events.recv() => match event.expect("the connection lives") {
                PeerEvent::Candidate(text) => {
                    sent.push(text.to_string());
                    let _ = to_other.send(Signal::Candidate(text.to_string()));
                }
                PeerEvent::Connected => {
                    connected[0] = true;
                    let _ = to_other.send(Signal::Connected);
                }
                PeerEvent::Failed | PeerEvent::Closed => panic!("the connection failed: {sent:?}"),
                _ => {}
            },
            signal = from_other.recv() => match signal.expect("the other side lives") {
                Signal::Offer(offer) => {
                    let answer = peer.apply_offer(&offer, false).await.expect("an answer");
                    let _ = to_other.send(Signal::Answer(answer));
                    has_remote = true;
                }
                Signal::Answer(answer) => {
                    peer.apply_answer(&answer).await.expect("it answers the offer");
                    has_remote = true;
                }
                Signal::Candidate(text) => early.push(text),
                Signal::Connected => connected[1] = true,
            },
        }

        if has_remote {
            for text in early.drain(..) {
                peer.add_candidate(&text).await.expect("a candidate");
            }
        }
    }

    sent
}

/// Connects peers on two hosts. Returns the candidates of both.
fn connect(network: &Network) -> [Vec<String>; 2] {
    let (to_second, from_first) = unbounded_channel();
    let (to_first, from_second) = unbounded_channel();
    let run = |host: &Host, offers, to_other, from_other| {
        host.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                timeout(Duration::from_secs(20), side(offers, to_other, from_other))
                    .await
                    .expect("the two connect")
            })
        })
    };

    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(network.host(0), true, to_second, from_second));
        let second = scope.spawn(|| run(network.host(1), false, to_first, from_first));
        [first, second].map(|side| side.join().expect("it connects"))
    })
}

#[test]
fn link_local_addresses_of_ipv4_connect() {
    require!(Part::Network);
    let network = Network::start(2).unwrap();
    for number in 0..2 {
        let host = network.host(number);
        host.add_address(&format!("169.254.10.{}/16", number + 1))
            .unwrap();
        host.without_ipv6().unwrap();
    }

    for sent in connect(&network) {
        assert!(
            sent.iter().any(|text| text.contains(" 169.254.10.")),
            "{sent:?}"
        );
    }
}

#[test]
fn link_local_addresses_of_ipv6_connect() {
    require!(Part::Network);
    let network = Network::start(2).unwrap();

    for sent in connect(&network) {
        assert!(sent.iter().any(|text| text.contains(" fe80::")), "{sent:?}");
        assert!(
            sent.iter().all(|text| !text.contains(" ::1 ")),
            "nothing stands in for an address: {sent:?}"
        );
    }
}
