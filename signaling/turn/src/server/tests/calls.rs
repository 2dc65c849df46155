//! What clients do that mean no harm.

use super::*;

const ANN: &str = "192.0.2.1:5000";
const BOB: &str = "198.51.100.1:6000";
/// A peer that is no client.
const PEER: &str = "8.8.8.8:7000";

/// Ann and Bob with an allocation each.
fn pair() -> (Rig, SocketAddr, SocketAddr) {
    let mut rig = Rig::new();
    let ann = rig.allocate(address(ANN), "ann");
    let bob = rig.allocate(address(BOB), "bob");
    (rig, ann, bob)
}

#[test]
fn two_clients_are_joined_without_leaving_the_server() {
    let (mut rig, ann, bob) = pair();
    assert_eq!(rig.bind(address(ANN), "ann", 0x4001, bob), None);
    assert!(
        rig.send(address(ANN), 0x4001, b"hello").is_none(),
        "Bob has not permitted Ann"
    );

    assert_eq!(rig.permit(address(BOB), "bob", ann), None);
    let (to, bytes) = rig.send(address(ANN), 0x4001, b"hello").unwrap();
    assert_eq!(to, Destination::Client(client(address(BOB))));
    let data = Message::read(&bytes).expect("a Data indication: Bob has no channel");
    assert_eq!(data.method, Some(Method::Data));
    assert_eq!(data.address(attribute::XOR_PEER_ADDRESS), Some(ann));
    assert_eq!(data.attribute(attribute::DATA), Some(&b"hello"[..]));

    assert_eq!(rig.bind(address(BOB), "bob", 0x4ABC, ann), None);
    let (to, bytes) = rig.send(address(ANN), 0x4001, b"again").unwrap();
    assert_eq!(to, Destination::Client(client(address(BOB))));
    assert_eq!(read_channel_data(&bytes), Some((0x4ABC, &b"again"[..])));

    let (to, bytes) = rig.send(address(BOB), 0x4ABC, b"hi").unwrap();
    assert_eq!(to, Destination::Client(client(address(ANN))));
    assert_eq!(read_channel_data(&bytes), Some((0x4001, &b"hi"[..])));
    let stats = rig.server.stats();
    assert_eq!((stats.joined_packets, stats.relayed_packets), (3, 3));
    assert_eq!(stats.relayed_bytes, 12);
}

#[test]
fn packets_to_and_from_a_peer_go_through_the_relayed_port() {
    let (mut rig, ann, _) = pair();
    let peer = address(PEER);
    assert!(
        rig.peer_sends(ann, peer, b"early").is_none(),
        "not permitted yet"
    );
    assert_eq!(rig.permit(address(ANN), "ann", peer), None);

    let relay = Relay {
        family: Family::V4,
        port: ann.port(),
    };
    let mut indication = Vec::new();
    Writer::new(&mut indication, Class::Indication, Method::Send, [0; 12])
        .address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, b"out")
        .finish();
    let sent = rig.raw(address(ANN), &indication);
    assert_eq!(
        sent,
        Some((Destination::Peer(relay, peer), b"out".to_vec()))
    );

    let (to, bytes) = rig.peer_sends(ann, peer, b"in").unwrap();
    assert_eq!(to, Destination::Client(client(address(ANN))));
    let data = Message::read(&bytes).unwrap();
    assert_eq!(data.address(attribute::XOR_PEER_ADDRESS), Some(peer));
    assert_eq!(data.attribute(attribute::DATA), Some(&b"in"[..]));

    // A permission is for an address, whatever its port (RFC 8656 §9).
    assert!(rig.peer_sends(ann, address("8.8.8.8:1"), b"in").is_some());
    assert!(
        rig.peer_sends(ann, address("8.8.4.4:7000"), b"in")
            .is_none()
    );
}

#[test]
fn permissions_end_after_five_minutes_and_channels_after_ten() {
    let (mut rig, ann, _) = pair();
    let peer = address(PEER);
    assert_eq!(rig.bind(address(ANN), "ann", 0x4000, peer), None);
    rig.wait(299);
    assert!(rig.peer_sends(ann, peer, b"in").is_some());
    rig.wait(1);
    assert!(rig.peer_sends(ann, peer, b"in").is_none(), "five minutes");
    assert!(
        rig.send(address(ANN), 0x4000, b"out").is_some(),
        "the channel lives on"
    );

    assert_eq!(
        rig.request(address(ANN), "ann", Method::Refresh, &[])
            .code(),
        None
    );
    rig.wait(300);
    assert!(
        rig.send(address(ANN), 0x4000, b"out").is_none(),
        "ten minutes"
    );
    assert_eq!(
        rig.bind(address(ANN), "ann", 0x4001, peer),
        None,
        "and may get another"
    );
}

#[test]
fn an_allocation_lives_until_its_time_is_over_or_its_client_ends_it() {
    let (mut rig, ..) = pair();
    rig.wait(599);
    rig.tick();
    assert_eq!(rig.ports.open.len(), 2);
    let refreshed = rig.request(
        address(ANN),
        "ann",
        Method::Refresh,
        &[(attribute::LIFETIME, &9999u32.to_be_bytes())],
    );
    let lifetime = refreshed.message().number(attribute::LIFETIME);
    assert_eq!(lifetime, Some(3600), "an hour at most");

    rig.wait(1);
    rig.tick();
    assert_eq!(rig.ports.open.len(), 1, "Bob's is over");
    assert_eq!(
        rig.request(address(BOB), "bob", Method::Refresh, &[])
            .code(),
        Some(437)
    );

    let ended = rig.request(
        address(ANN),
        "ann",
        Method::Refresh,
        &[(attribute::LIFETIME, &[0; 4])],
    );
    assert_eq!(ended.message().number(attribute::LIFETIME), Some(0));
    assert!(rig.ports.open.is_empty(), "Ann has ended hers");
    assert_eq!(rig.server.usage.counts(), (0, 0, 0));
}

#[test]
fn a_request_that_is_repeated_gets_the_same_allocation_and_a_new_one_a_mismatch() {
    let mut rig = Rig::new();
    let request = rig.signed(address(ANN), "ann", Method::Allocate, &[TRANSPORT_UDP]);
    let first = rig.answer(address(ANN), &request).unwrap();
    let again = rig.answer(address(ANN), &request).unwrap();
    assert_eq!(first.relayed(), again.relayed());
    assert_eq!(rig.ports.open.len(), 1);

    let another = rig.request(address(ANN), "ann", Method::Allocate, &[TRANSPORT_UDP]);
    assert_eq!(another.code(), Some(437));
}

#[test]
fn an_expired_allocation_makes_room_before_the_next_tick() {
    let mut rig = Rig::new();
    rig.allocate(address(ANN), "ann");
    rig.wait(600);
    rig.allocate(address(ANN), "ann");
    assert_eq!(rig.ports.open.len(), 1);
}

#[test]
fn an_allocation_is_of_the_family_that_its_client_asks_for() {
    let mut rig = Rig::new();
    let v6 = (attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0][..]);
    let relayed = rig
        .request(
            address("[2a00::1]:5000"),
            "ann",
            Method::Allocate,
            &[TRANSPORT_UDP, v6],
        )
        .relayed();
    assert!(relayed.is_ipv6());

    let (from, peer) = (address("[2a00::1]:5000"), address("[2a00::2]:7000"));
    assert_eq!(rig.bind(from, "ann", 0x4000, peer), None);
    assert!(rig.peer_sends(relayed, peer, b"in").is_some());
    assert_eq!(
        rig.permit(from, "ann", address(PEER)),
        Some(443),
        "a peer of IPv4"
    );

    let v4 = (attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0][..]);
    assert_eq!(
        rig.request(from, "ann", Method::Refresh, &[v4]).code(),
        Some(443)
    );
}

#[test]
fn ports_that_other_programs_have_are_passed_over() {
    let mut rig = Rig::with(QUOTAS, 50_000..=50_002);
    rig.ports.taken = BTreeSet::from([50_000, 50_002]);
    assert_eq!(rig.allocate(address(ANN), "ann").port(), 50_001);
    let full = rig.request(address(BOB), "bob", Method::Allocate, &[TRANSPORT_UDP]);
    assert_eq!(full.code(), Some(508), "no port is left");
    assert_eq!(rig.server.usage.counts().2, 1, "which counts for nothing");
}

#[test]
fn the_allocation_of_a_call_outlives_the_credentials_that_made_it() {
    let mut rig = Rig::new();
    let from = address(ANN);
    rig.allocate(from, "ann:call");
    rig.unix += 7200;
    let answer = rig.request(from, "ann:call", Method::Refresh, &[]);
    assert_eq!(answer.code(), None, "a call does not end with them");
    let seconds = answer.message().number(attribute::LIFETIME);
    assert_eq!(seconds, Some(600));
}

#[test]
fn without_a_call_an_allocation_ends_with_its_credentials() {
    let mut rig = Rig::new();
    let from = address(ANN);
    // The name is valid for another 100 s.
    rig.unix += 3500;
    let hour = (attribute::LIFETIME, &3600u32.to_be_bytes()[..]);
    let answer = rig.request(from, "ann", Method::Allocate, &[TRANSPORT_UDP, hour]);
    let relayed = answer.relayed();
    assert_eq!(answer.message().number(attribute::LIFETIME), Some(100));
    assert_eq!(rig.bind(from, "ann", 0x4000, address(PEER)), None);

    rig.unix += 60;
    rig.wait(60);
    let answer = rig.request(from, "ann", Method::Refresh, &[hour]);
    assert_eq!(answer.message().number(attribute::LIFETIME), Some(40));

    rig.unix += 40;
    let late = rig.request(from, "ann", Method::Refresh, &[hour]);
    assert_eq!(late.code(), Some(401), "the name has expired");
    rig.wait(40);
    assert!(rig.send(from, 0x4000, b"out").is_none());
    assert!(rig.peer_sends(relayed, address(PEER), b"in").is_none());
    rig.tick();
    assert!(rig.ports.open.is_empty());
}

#[test]
fn an_allocation_that_was_made_before_a_call_lives_on_in_it() {
    let mut rig = Rig::new();
    let from = address(ANN);
    rig.allocate(from, "ann");
    assert_eq!(rig.bind(from, "1|ann:call", 0x4000, address(PEER)), None);
    rig.unix += 7200;
    let answer = rig.request(from, "1|ann:call", Method::Refresh, &[]);
    assert_eq!(answer.message().number(attribute::LIFETIME), Some(600));
}

#[test]
fn a_binding_request_is_answered_with_its_senders_address() {
    let mut rig = Rig::new();
    let request = rig.unsigned(Method::Binding, &[]);
    let answer = rig.answer(address(ANN), &request).unwrap();
    let mapped = answer.message().address(attribute::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Some(address(ANN)));
}

#[test]
fn a_user_goes_on_with_fresh_credentials_of_the_same_or_another_session() {
    let (mut rig, ann, _) = pair();
    let from = address(ANN);
    for user in ["60|ann", "60|ann:call", "90|ann"] {
        let refreshed = rig.request(from, user, Method::Refresh, &[]);
        assert_eq!(refreshed.code(), None, "{user}");
    }
    assert_eq!(rig.bind(from, "90|ann", 0x4000, address(PEER)), None);
    assert!(rig.peer_sends(ann, address(PEER), b"in").is_some());

    let other = rig.request(from, "90|anna", Method::Refresh, &[]);
    assert_eq!(other.code(), Some(441), "another user");
}
