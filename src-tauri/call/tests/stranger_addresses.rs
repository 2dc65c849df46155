//! What a stranger learns of this machine's addresses: in messages, and on the wire.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run in real time, and may panic"
)]

#[path = "support/hosts.rs"]
mod hosts;
#[path = "support/stranger_rig.rs"]
mod stranger_rig;
mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hosts::wait_until;
use stranger_rig::{Offers, PRIVATE, PUBLIC, Rig, SERVER, VPN};
use tandem_call::StrangerRoute;
use tandem_tests::stun::{ice_check, is_about, names};
use tandem_tests::{Packet, Part, Transport, require};

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses of a side.
fn addresses(number: usize) -> Vec<IpAddr> {
    let vpn = [VPN].into_iter().filter(|_| number == 0);
    let all = [PUBLIC[number], PRIVATE[number]].into_iter().chain(vpn);
    all.map(ip).collect()
}

/// The datagrams and segments between a side and the outside.
fn packets(rig: &Rig, number: usize) -> Vec<Packet> {
    let mut own = addresses(number);
    own.push(ip("127.0.0.1"));
    let mut packets = rig.captures[number].packets();
    packets.retain(|packet| {
        let ends = [packet.source.ip(), packet.destination.ip()];
        packet.transport != Transport::Other && ends.iter().any(|end| !own.contains(end))
    });
    packets
}

/// The packets of a side that show an address of the other one.
fn revealing(rig: &Rig, number: usize) -> Vec<Packet> {
    let others = addresses(1 - number);
    let mut packets = packets(rig, number);
    packets.retain(|packet| {
        others.iter().any(|other| {
            packet.source.ip() == *other
                || packet.destination.ip() == *other
                || (packet.transport == Transport::Udp && names(&packet.payload, *other))
        })
    });
    packets
}

#[test]
fn a_stranger_learns_the_public_address_and_no_other() {
    require!(Part::Network);
    let rig = Rig::start(Some(StrangerRoute::Direct), Offers::Stun);
    for side in &rig.sides {
        side.wait_until_it_runs();
    }

    let text = rig.text();
    for name in ["10.7.", "127.0.0.1", "::1", ".local", "typ host", VPN] {
        assert!(!text.contains(name), "{name} was named: {text}");
    }

    for address in PUBLIC {
        assert!(
            text.contains(&format!(" {address} ")) && text.contains("typ srflx"),
            "{address} was named: {text}"
        );
    }

    assert_eq!(rig.sprung(), 0, "nothing was sent into the own network");

    // What leaves for the other side comes from the public address, whatever is named.
    let from_others: Vec<Packet> = packets(&rig, 1)
        .into_iter()
        .filter(|packet| addresses(0).contains(&packet.source.ip()))
        .collect();
    assert!(from_others.len() > 100, "the media of a call");
    for packet in from_others {
        assert_eq!(packet.source.ip(), ip(PUBLIC[0]), "{packet:?}");
    }
}

/// The same for two who know each other: the test above can see what it looks for.
#[test]
fn a_friend_learns_all_addresses() {
    require!(Part::Network);
    let rig = Rig::start(None, Offers::Stun);
    for side in &rig.sides {
        side.wait_until_it_runs();
    }

    let text = rig.text();
    for name in [PRIVATE[0], PRIVATE[1], "127.0.0.1", "typ host"] {
        assert!(text.contains(name), "{name} was not named: {text}");
    }

    assert_eq!(rig.sprung(), 3, "the candidates were checked");
    let from_vpn = packets(&rig, 1);
    let mut from_vpn = from_vpn.iter();
    assert!(
        from_vpn.any(|packet| packet.source.ip() == ip(VPN)),
        "the way through the VPN was checked"
    );
}

#[test]
fn a_server_that_cannot_help_strangers_is_told_at_once() {
    require!(Part::Network);
    for (route, offers, code) in [
        // Without a server that sees it, a side has no address to name.
        (StrangerRoute::Direct, Offers::Nothing, "NoStunServer"),
        (
            StrangerRoute::RelayIfOffered,
            Offers::Nothing,
            "NoStunServer",
        ),
        (StrangerRoute::Relay, Offers::Nothing, "NoStunServer"),
        (StrangerRoute::Relay, Offers::Stun, "NoTurnServer"),
    ] {
        let rig = Rig::start(Some(route), offers);
        for side in &rig.sides {
            let has_ended = || {
                let events = side.events();
                events.contains(code)
            };
            wait_until("the end", || side.events(), has_ended);
            assert!(side.has_ended());
        }

        let text = rig.text();
        assert!(!text.contains("partner_found"), "{route:?}: {text}");
    }
}

/// Relayed, the only address on the wire and in messages is the TURN server's.
#[test]
fn a_packet_capture_at_both_ends_shows_no_address_but_the_turn_servers() {
    require!(Part::Network);
    require!(Part::Coturn);
    let rig = Rig::start(Some(StrangerRoute::Relay), Offers::Turn);
    for side in &rig.sides {
        side.wait_until_it_runs();
    }

    let text = rig.text();
    assert!(text.contains("typ relay"), "candidates were named: {text}");
    let all = [0, 1].map(addresses).concat();
    for name in all.iter().map(IpAddr::to_string) {
        assert!(!text.contains(&name), "{name} was named: {text}");
    }

    for kind in ["typ host", "typ srflx", "typ prflx", ".local"] {
        assert!(!text.contains(kind), "{kind} was named: {text}");
    }

    for number in 0..2 {
        let packets = packets(&rig, number);
        let media = packets
            .iter()
            .filter(|packet| packet.transport == Transport::Udp)
            .count();
        assert!(
            media > 100,
            "the capture has seen the call: {media} packets"
        );
        for packet in packets {
            let is_servers = [packet.source, packet.destination]
                .iter()
                .any(|end| end.ip() == IpAddr::from(SERVER));
            assert!(
                is_servers,
                "only the servers' host is talked to: {packet:?}"
            );
        }

        assert_eq!(revealing(&rig, number), [], "side {number}");
    }
}

/// The same search finds what it looks for where the two know each other.
#[test]
fn a_packet_capture_of_a_direct_call_shows_the_other_side() {
    require!(Part::Network);
    let rig = Rig::start(None, Offers::Stun);
    for (number, side) in rig.sides.iter().enumerate() {
        side.wait_until_it_runs();
        assert!(revealing(&rig, number).len() > 100, "side {number}");
    }
}

/// The value of an attribute in the newest description that a side has received.
fn described(rig: &Rig, receiver: usize, attribute: &str) -> String {
    let relayed = rig.relayed[receiver].lock();
    let mut descriptions = relayed.iter().rev().filter_map(|message| {
        message["offer"]["sdp"]
            .as_str()
            .or(message["answer"]["sdp"].as_str())
    });
    let sdp = descriptions.next().expect("a description was relayed");
    let mut values = sdp.lines().filter_map(|line| line.strip_prefix(attribute));
    values.next().expect("it has the attribute").to_owned()
}

/// Where on the first side's host its sockets are that have sent something outside.
fn sockets(rig: &Rig) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = packets(rig, 0)
        .into_iter()
        .filter(|packet| {
            packet.transport == Transport::Udp && addresses(0).contains(&packet.source.ip())
        })
        .map(|packet| packet.source)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Whether the first side answers checks with the right names and password that come straight to its
/// sockets, from an address that no message named.
fn answers_checks(rig: &Rig) -> bool {
    let socket = rig
        .network
        .host(1)
        .run(|| UdpSocket::bind((PUBLIC[1], 0)).unwrap());
    socket.set_read_timeout(Some(50 * MS)).unwrap();
    let [theirs, own] = [1, 0].map(|receiver| described(rig, receiver, "a=ice-ufrag:"));
    let username = format!("{theirs}:{own}");
    let password = described(rig, 1, "a=ice-pwd:");
    let all = sockets(rig);
    assert!(!all.is_empty(), "it has sockets");

    let deadline = Instant::now() + Duration::from_secs(2);
    let mut transaction = [7; 12];
    while Instant::now() < deadline {
        transaction[0] += 1;
        let check = ice_check(transaction, &username, &password);
        for to in &all {
            socket.send_to(&check, to).unwrap();
        }

        let mut buffer = [0; 1_500];
        while let Ok(length) = socket.recv(&mut buffer) {
            let answer = &buffer[..length];
            if (0..=transaction[0]).any(|first| {
                let mut sent = transaction;
                sent[0] = first;
                is_about(answer, sent)
            }) {
                return true;
            }
        }
    }

    false
}

/// Whoever guesses the address of a side could prove with a check that it is the partner's.
#[test]
fn only_a_side_that_may_be_reached_directly_answers_a_check_that_comes_directly() {
    require!(Part::Network);
    require!(Part::Coturn);
    for (route, offers, expected) in [
        (None, Offers::Stun, true),
        (Some(StrangerRoute::Relay), Offers::Turn, false),
    ] {
        let rig = Rig::start(route, offers);
        for side in &rig.sides {
            side.wait_until_it_runs();
        }

        assert_eq!(answers_checks(&rig), expected, "{route:?}");
        for side in &rig.sides {
            side.wait_until_it_runs_after(Instant::now());
        }
    }
}
