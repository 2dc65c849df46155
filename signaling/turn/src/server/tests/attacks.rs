//! What clients do that mean harm.

use super::*;

const MALLORY: &str = "192.0.2.66:6666";

#[test]
fn nobody_gets_an_allocation_without_valid_credentials() {
    let mut rig = Rig::new();
    let from = address(MALLORY);
    let nonce = rig.nonce(from);
    let valid = format!("{}:ann", UNIX + 3600);
    let expired = format!("{UNIX}:ann");

    for (name, secret, realm, code) in [
        (valid.as_str(), "another", "turn", 401),
        (expired.as_str(), SECRET, "turn", 401),
        ("ann", SECRET, "turn", 401),
        (valid.as_str(), SECRET, "elsewhere", 401),
    ] {
        let key = message_key(name, realm, &password(secret, name));
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, Class::Request, Method::Allocate, [9; 12])
            .attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .attribute(attribute::USERNAME, name.as_bytes())
            .attribute(attribute::REALM, realm.as_bytes())
            .attribute(attribute::NONCE, &nonce)
            .sign(&key);
        let answer = rig.answer(from, &bytes).expect("an answer");
        assert_eq!(answer.code(), Some(code), "{name} {secret} {realm}");
    }

    assert!(rig.ports.open.is_empty(), "no port was opened");
    assert_eq!(
        rig.server.usage.counts(),
        (0, 0, 0),
        "nothing is remembered"
    );
}

#[test]
fn a_request_that_was_recorded_is_of_no_use_elsewhere_or_later() {
    let mut rig = Rig::new();
    let (ann, mallory) = (address("192.0.2.1:5000"), address(MALLORY));
    let request = rig.signed(ann, "ann", Method::Allocate, &[TRANSPORT_UDP]);
    let answer = rig.answer(mallory, &request).expect("a challenge");
    assert_eq!(answer.code(), Some(438), "the nonce is for another address");

    rig.wait(601);
    let answer = rig.answer(ann, &request).expect("a challenge");
    assert_eq!(answer.code(), Some(438), "the nonce is too old");
    assert!(rig.ports.open.is_empty());
}

#[test]
fn another_user_cannot_take_over_an_allocation() {
    let mut rig = Rig::new();
    let from = address("192.0.2.1:5000");
    rig.allocate(from, "ann");
    for method in [
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ] {
        let answer = rig.request(from, "mallory", method, &[]);
        assert_eq!(answer.code(), Some(441), "{method:?}");
    }

    let answer = rig.request(from, "mallory", Method::Allocate, &[TRANSPORT_UDP]);
    assert_eq!(answer.code(), Some(437));
}

#[test]
fn private_peers_and_the_servers_other_ports_are_out_of_reach() {
    let mut rig = Rig::new();
    let from = address(MALLORY);
    let relayed = rig.allocate(from, "mallory");
    for peer in [
        "127.0.0.1:6379",
        "10.0.0.1:22",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "224.0.0.251:5353",
        "0.0.0.0:53",
        "255.255.255.255:9",
    ] {
        assert_eq!(
            rig.permit(from, "mallory", address(peer)),
            Some(403),
            "{peer}"
        );
        assert_eq!(
            rig.bind(from, "mallory", 0x4000, address(peer)),
            Some(403),
            "{peer}"
        );
    }

    // The relayed address is allowed, but only ports of live allocations lead anywhere.
    for port in [22, 3478, 50_099] {
        let own = SocketAddr::new(RELAYED, port);
        if own == relayed {
            continue;
        }
        let channel = 0x4000 + port % 0x100;
        assert_eq!(rig.bind(from, "mallory", channel, own), None);
        assert!(rig.send(from, channel, b"x").is_none(), "port {port}");
    }
    assert_eq!(rig.server.stats().forbidden, 14);
}

#[test]
fn channels_that_are_not_bound_and_peers_that_are_not_permitted_are_dropped() {
    let mut rig = Rig::new();
    let from = address(MALLORY);
    assert!(
        rig.send(from, 0x4000, b"x").is_none(),
        "without an allocation"
    );
    rig.allocate(from, "mallory");
    assert!(rig.send(from, 0x4000, b"x").is_none(), "not bound");

    let mut indication = Vec::new();
    Writer::new(&mut indication, Class::Indication, Method::Send, [0; 12])
        .address(attribute::XOR_PEER_ADDRESS, address("8.8.8.8:53"))
        .attribute(attribute::DATA, b"x")
        .finish();
    assert!(rig.raw(from, &indication).is_none(), "not permitted");
    assert_eq!(rig.server.stats().relayed_packets, 0);
}

#[test]
fn users_addresses_and_all_together_have_a_limit_of_allocations() {
    let mut rig = Rig::new();
    let from = |host: u16, port: u16| SocketAddr::from(([198, 51, 100, host as u8], port));
    let mut made = 0;
    let mut refused = 0;
    for host in 1..=3 {
        for port in 1..=12 {
            let user = format!("user{}", port / 4);
            let answer = rig.request(from(host, port), &user, Method::Allocate, &[TRANSPORT_UDP]);
            match answer.code() {
                None => made += 1,
                Some(486) => refused += 1,
                code => panic!("{code:?}"),
            }
        }
    }

    // Four users may have four each; one address may have eight.
    assert_eq!(
        (made, refused),
        (14, 22),
        "users 0 to 2 have four, user 3 two"
    );
    assert_eq!(rig.ports.open.len(), made);
    assert_eq!(rig.server.stats().over_quota, 22);
}

#[test]
fn one_allocation_has_a_limit_of_permissions_and_channels() {
    let mut rig = Rig::new();
    let from = address(MALLORY);
    rig.allocate(from, "mallory");
    let peer = |n: u16| SocketAddr::from(([8, 8, 8, (n % 250) as u8], 1000 + n));

    for n in 0..32 {
        assert_eq!(rig.bind(from, "mallory", 0x4000 + n, peer(n)), None, "{n}");
    }
    assert_eq!(rig.bind(from, "mallory", 0x4100, peer(32)), Some(508));
    assert_eq!(rig.permit(from, "mallory", peer(33)), Some(508));
    assert_eq!(
        rig.permit(from, "mallory", peer(3)),
        None,
        "a known one is prolonged"
    );
    assert_eq!(
        rig.bind(from, "mallory", 0x4000, peer(0)),
        None,
        "so is a channel"
    );
    assert_eq!(
        rig.bind(from, "mallory", 0x4000, peer(1)),
        Some(400),
        "another peer"
    );
    assert_eq!(
        rig.bind(from, "mallory", 0x4200, peer(1)),
        Some(400),
        "another channel"
    );

    let many: Vec<_> = (0..40)
        .map(|n| peer_attribute(0, SocketAddr::from(([9, 9, 9, n], 1))))
        .collect();
    let many: Vec<_> = many
        .iter()
        .map(|(kind, value)| (*kind, &value[..]))
        .collect();
    let answer = rig.request(from, "mallory", Method::CreatePermission, &many);
    assert_eq!(answer.code(), Some(508), "40 peers at once");
}

#[test]
fn what_a_request_may_not_hold_is_refused() {
    let mut rig = Rig::new();
    let from = address(MALLORY);
    let tcp = (attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0][..]);
    let dont_fragment = (0x001A, &[][..]);
    let even_port = (attribute::EVEN_PORT, &[0][..]);
    let strange_family = (attribute::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0][..]);

    for (attributes, code) in [
        (&[][..], 400),
        (&[tcp][..], 442),
        (&[TRANSPORT_UDP, dont_fragment], 420),
        (&[TRANSPORT_UDP, even_port], 508),
        (&[TRANSPORT_UDP, strange_family], 440),
    ] {
        let answer = rig.request(from, "mallory", Method::Allocate, attributes);
        assert_eq!(answer.code(), Some(code), "{attributes:?}");
    }

    rig.allocate(from, "mallory");
    let no_peer = rig.request(from, "mallory", Method::CreatePermission, &[]);
    assert_eq!(no_peer.code(), Some(400));
    let broken = (attribute::XOR_PEER_ADDRESS, &[0, 1, 2][..]);
    let no_peer = rig.request(from, "mallory", Method::CreatePermission, &[broken]);
    assert_eq!(no_peer.code(), Some(400));
    let peer = address("8.8.8.8:1");
    assert_eq!(
        rig.bind(from, "mallory", 0x5000, peer),
        Some(400),
        "no channel"
    );
    assert_eq!(
        rig.bind(from, "mallory", 0x3FFF, peer),
        Some(400),
        "no channel"
    );
}

#[test]
fn a_flood_without_credentials_costs_no_memory_and_hardly_amplifies() {
    let mut rig = Rig::new();
    let (mut sent, mut received) = (0, 0);
    for n in 0..100_000u32 {
        let requests = [
            rig.unsigned(Method::Allocate, &[TRANSPORT_UDP]),
            rig.unsigned(Method::Binding, &[]),
        ];
        // The attacker names the addresses of the network that is to be flooded.
        let victim = SocketAddr::from(([203, 0, 113, (n % 256) as u8], (n % 60_000) as u16));
        for request in requests {
            sent += request.len();
            received += rig
                .raw(victim, &request)
                .map_or(0, |(_, bytes)| bytes.len());
        }
        rig.now += Duration::from_micros(100);
    }

    assert!(rig.ports.open.is_empty());
    assert_eq!(rig.server.usage.counts(), (0, 0, 0));
    assert!(
        received * 50 < sent,
        "{received} bytes for {sent} that came in ten seconds"
    );
    assert!(rig.server.stats().unanswered > 190_000);
}

#[test]
fn an_answer_to_an_unknown_client_is_small() {
    let mut rig = Rig::new();
    let request = rig.unsigned(Method::Allocate, &[TRANSPORT_UDP]);
    let answer = rig.answer(address(MALLORY), &request).unwrap();
    assert_eq!((request.len(), answer.0.len()), (28, 52));
}

#[test]
fn a_user_who_sends_too_much_loses_packets_and_others_do_not() {
    let quotas = Quotas {
        user_bandwidth: 8_000_000,
        ..QUOTAS
    };
    let mut rig = Rig::with(quotas, 50_000..=50_099);
    let (mallory, ann, peer) = (
        address(MALLORY),
        address("192.0.2.1:1"),
        address("8.8.8.8:1"),
    );
    rig.allocate(mallory, "mallory");
    rig.allocate(ann, "ann");
    assert_eq!(rig.bind(mallory, "mallory", 0x4000, peer), None);
    assert_eq!(rig.bind(ann, "ann", 0x4000, peer), None);

    let mut passed = 0;
    for _ in 0..10_000 {
        passed += usize::from(rig.send(mallory, 0x4000, &[0; 1000]).is_some());
        rig.now += Duration::from_micros(100);
    }
    // A second at 1 MB/s, and half of one at once.
    assert!(
        (1000..=1502).contains(&passed),
        "{passed} of 10,000 packets"
    );
    assert!(rig.send(ann, 0x4000, &[0; 1000]).is_some());
    assert!(rig.server.stats().dropped_over_rate > 8000);
}

#[test]
fn what_a_user_sends_beyond_their_limit_leaves_the_total_to_others() {
    let quotas = Quotas {
        user_bandwidth: 8_000_000,
        total_bandwidth: 24_000_000,
        ..QUOTAS
    };
    let mut rig = Rig::with(quotas, 50_000..=50_099);
    let (mallory, ann, peer) = (
        address(MALLORY),
        address("192.0.2.1:1"),
        address("8.8.8.8:1"),
    );
    rig.allocate(mallory, "mallory");
    rig.allocate(ann, "ann");
    assert_eq!(rig.bind(mallory, "mallory", 0x4000, peer), None);
    assert_eq!(rig.bind(ann, "ann", 0x4000, peer), None);

    // For two seconds, Mallory sends 80 Mbit/s and Ann 4.
    let mut lost = 0;
    for n in 0..20_000 {
        rig.send(mallory, 0x4000, &[0; 1000]);
        if n % 20 == 0 {
            lost += usize::from(rig.send(ann, 0x4000, &[0; 1000]).is_none());
        }
        rig.now += Duration::from_micros(100);
    }
    assert_eq!(lost, 0, "of Ann's 1,000 packets: the total has room");
}

#[test]
fn empty_packets_have_a_limit() {
    let quotas = Quotas {
        user_bandwidth: 8_000_000,
        ..QUOTAS
    };
    let mut rig = Rig::with(quotas, 50_000..=50_099);
    let from = address(MALLORY);
    rig.allocate(from, "mallory");
    assert_eq!(
        rig.bind(from, "mallory", 0x4000, address("8.8.8.8:1")),
        None
    );

    let passed = (0..100_000)
        .filter(|_| {
            rig.now += Duration::from_micros(10);
            rig.send(from, 0x4000, &[]).is_some()
        })
        .count();
    // A second of 5,000 packets of 200 bytes, and half of one at once.
    assert!(
        (5000..=7502).contains(&passed),
        "{passed} of 100,000 empty packets"
    );
}

#[test]
fn a_client_cannot_send_into_the_call_of_two_others() {
    let mut rig = Rig::new();
    let (ann, bob, mallory) = (
        address("192.0.2.1:5000"),
        address("192.0.2.2:5000"),
        address(MALLORY),
    );
    let (of_ann, of_bob) = (rig.allocate(ann, "ann"), rig.allocate(bob, "bob"));
    let of_mallory = rig.allocate(mallory, "mallory");
    assert_eq!(rig.bind(ann, "ann", 0x4000, of_bob), None);
    assert_eq!(rig.bind(bob, "bob", 0x4000, of_ann), None);
    assert!(rig.send(ann, 0x4000, b"x").is_some(), "the call works");

    for (channel, victim) in [(0x4000, of_ann), (0x4001, of_bob)] {
        assert_eq!(rig.bind(mallory, "mallory", channel, victim), None);
        let sent = rig.send(mallory, channel, b"x");
        assert_eq!(sent, None, "nobody has permitted Mallory");
    }
    // Nor in the place of somebody who has left.
    assert_eq!(rig.permit(ann, "ann", of_mallory), None);
    let end = (attribute::LIFETIME, &[0; 4][..]);
    rig.request(mallory, "mallory", Method::Refresh, &[end]);
    rig.allocate(mallory, "eve");
    assert_eq!(rig.bind(mallory, "eve", 0x4000, of_ann), None);
    assert_eq!(rig.send(mallory, 0x4000, b"x"), None, "Mallory has left");

    // A client may ask for one permission for all relayed ports of its partner.
    let again = address("192.0.2.2:5001");
    rig.allocate(again, "bob");
    assert_eq!(rig.bind(again, "bob", 0x4000, of_ann), None);
    assert!(rig.send(again, 0x4000, b"x").is_some(), "Bob's other one");
}

#[test]
fn whoever_registers_again_and_again_shares_the_bandwidth_of_one_address() {
    let quotas = Quotas {
        user_bandwidth: 8_000_000,
        address_bandwidth: 16_000_000,
        ..QUOTAS
    };
    let mut rig = Rig::with(quotas, 50_000..=50_099);
    let (ann, peer) = (address("192.0.2.1:1"), address("8.8.8.8:1"));
    rig.allocate(ann, "ann");
    assert_eq!(rig.bind(ann, "ann", 0x4000, peer), None);
    let mallory: Vec<_> = (1..=5)
        .map(|n| {
            (
                SocketAddr::from(([192, 0, 2, 66], n)),
                format!("mallory{n}"),
            )
        })
        .collect();
    for (from, user) in &mallory {
        rig.allocate(*from, user);
        assert_eq!(rig.bind(*from, user, 0x4000, peer), None);
    }

    let (mut passed, mut lost) = (0, 0);
    for n in 0..10_000 {
        let (from, _) = &mallory[n % 5];
        passed += usize::from(rig.send(*from, 0x4000, &[0; 1000]).is_some());
        if n % 20 == 0 {
            lost += usize::from(rig.send(ann, 0x4000, &[0; 1000]).is_none());
        }
        rig.now += Duration::from_micros(100);
    }
    // A second at 2 MB/s, and half of one at once.
    assert!(
        (2000..=3002).contains(&passed),
        "{passed} of 10,000 packets"
    );
    assert_eq!(lost, 0, "of Ann's packets from elsewhere");
}

#[test]
fn an_allocation_takes_little_memory() {
    let size = size_of::<Allocation>();
    // Beside it: 32 permissions, 32 channels, a user name and two table entries.
    assert!(size <= 640, "{size} bytes");
}

#[test]
fn a_peer_in_a_network_that_the_machine_joins_hears_nothing_more() {
    let mut rig = Rig::new();
    let (ann, bob) = (address("192.0.2.1:5000"), address("198.51.100.1:6000"));
    let (neighbor, other) = (address("8.8.8.8:7000"), address("9.9.9.9:7000"));
    let of_ann = rig.allocate(ann, "ann");
    let of_bob = rig.allocate(bob, "bob");
    assert_eq!(rig.bind(ann, "ann", 0x4000, neighbor), None);
    assert_eq!(rig.bind(ann, "ann", 0x4001, other), None);
    assert_eq!(rig.bind(ann, "ann", 0x4002, of_bob), None);
    assert_eq!(rig.permit(bob, "bob", of_ann), None);
    assert!(rig.send(ann, 0x4000, b"hello").is_some());

    // The relayed address is in it, too.
    rig.server.set_own(&[
        "8.8.8.1/24".parse().unwrap(),
        IpNet::new(RELAYED, 24).unwrap(),
    ]);
    assert!(rig.send(ann, 0x4000, b"hello").is_none(), "no channel");
    assert!(rig.peer_sends(of_ann, neighbor, b"hello").is_none());
    assert_eq!(rig.bind(ann, "ann", 0x4000, neighbor), Some(403));
    assert!(rig.send(ann, 0x4001, b"hello").is_some(), "outside of it");
    assert!(rig.send(ann, 0x4002, b"hello").is_some(), "a client");
}
