//! The server with real sockets, on loopback.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests with real sockets: credentials expire by the wall clock"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_turn::client::{RequestError, TurnClient};
use tandem_turn::{Quotas, Revocation, Runner, RunnerConfig, TestLink, password, self_test};

const SECRET: &str = "south";

const QUOTAS: Quotas = Quotas {
    per_user: 4,
    per_address: 100,
    total: 100,
    user_bandwidth: 0,
    address_bandwidth: 0,
    total_bandwidth: 0,
};

fn config(listen: &str) -> RunnerConfig {
    RunnerConfig {
        listen: vec![listen.parse().unwrap()],
        external: Vec::new(),
        ports: 49_152..=65_535,
        allowed_peers: Vec::new(),
        denied_peers: Vec::new(),
        own: Vec::new(),
        quotas: QUOTAS,
        secret: SECRET.into(),
        credential_lifetime: Duration::from_secs(3600),
    }
}

fn client(server: SocketAddr, user: &str) -> TurnClient {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let name = format!("{}:{user}", now.as_secs() + 60);
    TurnClient::new(server, &name, &password(SECRET, &name)).unwrap()
}

/// Two clients exchange packets through their relayed addresses.
fn talk(server: SocketAddr) {
    let (mut ann, mut bob) = (client(server, "ann"), client(server, "bob"));
    let (of_ann, of_bob) = (ann.allocate().unwrap(), bob.allocate().unwrap());
    ann.bind(0x4001, of_bob).unwrap();
    bob.permit(of_ann).unwrap();

    ann.send(0x4001, b"hello").unwrap();
    assert_eq!(bob.receive().unwrap(), (None, b"hello".to_vec()));
    bob.send_to(of_ann, &[7; 1400]).unwrap();
    assert_eq!(ann.receive().unwrap(), (Some(0x4001), vec![7; 1400]));
}

#[test]
fn two_clients_talk_over_ipv4_and_over_ipv6() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let runner = Runner::start(&config(listen)).unwrap();
        talk(runner.addresses()[0]);

        let stats = runner.stats();
        assert_eq!((stats.allocated, stats.joined_packets), (2, 2), "{listen}");
    }
}

#[test]
fn one_socket_on_all_addresses_serves_both_families() {
    let external: Vec<IpAddr> = ["127.0.0.1", "::1"].map(|ip| ip.parse().unwrap()).into();
    let runner = Runner::start(&RunnerConfig {
        external,
        ..config("[::]:0")
    })
    .unwrap();
    let port = runner.addresses()[0].port();
    talk(SocketAddr::from(([127, 0, 0, 1], port)));
    talk(format!("[::1]:{port}").parse().unwrap());
}

#[test]
fn without_an_address_to_tell_it_does_not_start() {
    let error = Runner::start(&config("0.0.0.0:0")).unwrap_err();
    assert!(error.contains("--turn-external-ip"), "{error}");
}

#[test]
fn a_taken_address_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Runner::start(&config(&address.to_string())).unwrap_err();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[test]
fn a_peer_outside_is_reached_only_if_the_rules_allow_it() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = peer.local_addr().unwrap();

    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let mut ann = client(runner.addresses()[0], "ann");
    ann.allocate().unwrap();
    // The relayed address is the peer's, too; but nothing goes to a port that is no allocation's.
    ann.bind(0x4000, address).unwrap();
    ann.send(0x4000, b"hello").unwrap();
    ann.refresh(600).unwrap();
    assert_eq!(runner.stats().dropped_unpermitted, 1);
    assert!(matches!(
        ann.permit("127.0.0.2:9".parse().unwrap()),
        Err(RequestError::Refused(403))
    ));

    let runner = Runner::start(&RunnerConfig {
        allowed_peers: vec!["127.0.0.0/8".parse().unwrap()],
        ..config("127.0.0.1:0")
    })
    .unwrap();
    let mut ann = client(runner.addresses()[0], "ann");
    let relayed = ann.allocate().unwrap();
    ann.bind(0x4000, address).unwrap();
    ann.send(0x4000, b"hello").unwrap();
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"hello"[..], relayed));
    peer.send_to(b"hi", relayed).unwrap();
    assert_eq!(ann.receive().unwrap(), (Some(0x4000), b"hi".to_vec()));
}

#[test]
fn a_port_is_free_again_once_its_allocation_has_ended() {
    let ports = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        port..=port
    };
    let runner = Runner::start(&RunnerConfig {
        ports,
        ..config("127.0.0.1:0")
    })
    .unwrap();

    let mut ann = client(runner.addresses()[0], "ann");
    ann.allocate().unwrap();
    let mut bob = client(runner.addresses()[0], "bob");
    assert!(matches!(bob.allocate(), Err(RequestError::Refused(508))));

    ann.refresh(0).unwrap();
    // The socket closes when its task has ended, which may be a moment later.
    let mut result = bob.allocate();
    for _ in 0..1000 {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        result = bob.allocate();
    }
    result.unwrap();
}

#[test]
fn wrong_passwords_and_expired_names_are_refused() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let server = runner.addresses()[0];
    let mut wrong = TurnClient::new(server, "99999999999:ann", "guess").unwrap();
    assert!(matches!(wrong.allocate(), Err(RequestError::Refused(401))));

    let mut expired = TurnClient::new(server, "1:ann", &password(SECRET, "1:ann")).unwrap();
    assert!(matches!(
        expired.allocate(),
        Err(RequestError::Refused(401))
    ));
    assert_eq!(runner.stats().open, 0);
}

#[test]
fn the_self_test_finds_a_server_that_works_and_one_that_has_no_ports() {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let test = |link, runner: &Runner| {
        self_test(
            link,
            runner.addresses()[0],
            runner.relay_addresses(),
            SECRET,
            unix,
        )
    };
    for (listen, external) in [
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "::1"),
        ("0.0.0.0:0", "127.0.0.1"),
    ] {
        let runner = Runner::start(&RunnerConfig {
            external: vec![external.parse().unwrap()],
            ..config(listen)
        })
        .unwrap();
        test(TestLink::Udp, &runner).unwrap();
        test(TestLink::Tcp, &runner).unwrap();
        assert_eq!(runner.stats().open, 0, "{listen}: it leaves nothing behind");
    }

    // One port, and another program has it.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let runner = Runner::start(&RunnerConfig {
        ports: port..=port,
        ..config("127.0.0.1:0")
    })
    .unwrap();
    for link in [TestLink::Udp, TestLink::Tcp] {
        let result = test(link, &runner);
        assert!(
            matches!(result, Err(RequestError::Refused(508))),
            "{result:?}"
        );
    }
}

fn tcp_client(server: SocketAddr, user: &str) -> TurnClient {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let name = format!("{}:{user}", now.as_secs() + 60);
    TurnClient::over_tcp(server, &name, &password(SECRET, &name)).unwrap()
}

#[test]
fn a_client_over_tcp_talks_to_one_over_udp() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let server = runner.addresses()[0];
    let (mut ann, mut bob) = (tcp_client(server, "ann"), client(server, "bob"));
    let (of_ann, of_bob) = (ann.allocate().unwrap(), bob.allocate().unwrap());
    ann.bind(0x4001, of_bob).unwrap();
    bob.bind(0x4002, of_ann).unwrap();

    // Lengths that need padding and some that do not, close together.
    for length in [1, 2, 3, 4, 1399, 1400] {
        ann.send(0x4001, &vec![1; length]).unwrap();
        bob.send(0x4002, &vec![2; length]).unwrap();
    }
    for length in [1, 2, 3, 4, 1399, 1400] {
        assert_eq!(bob.receive().unwrap(), (Some(0x4002), vec![1; length]));
        assert_eq!(ann.receive().unwrap(), (Some(0x4001), vec![2; length]));
    }
}

#[test]
fn an_allocation_ends_with_its_connection() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let mut ann = tcp_client(runner.addresses()[0], "ann");
    ann.allocate().unwrap();
    assert_eq!(runner.stats().open, 1);
    drop(ann);

    let is_over = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        runner.stats().open == 0
    });
    assert!(is_over);
}

#[test]
fn what_is_no_turn_is_closed_without_an_answer() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0xFF; 100],
        &[0, 1, 0xFF, 0xFC],
    ] {
        let mut stream = TcpStream::connect(runner.addresses()[0]).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let timed_out = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out && answer.is_empty(), "{bytes:?}: {answer:?}");
    }
}

#[test]
fn one_address_opens_a_hundred_connections() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let server = runner.addresses()[0];
    let kept: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(server).unwrap())
        .collect();
    let mut late = TcpStream::connect(server).unwrap();
    late.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let read = late.read(&mut [0]);
    assert!(
        matches!(&read, Ok(0))
            || read.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock),
        "the next one is closed"
    );
    drop(kept);
}

#[test]
fn what_is_revoked_ends_though_its_client_says_nothing() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let server = runner.addresses()[0];
    let mut ann = client(server, "ann:call");
    ann.allocate().unwrap();

    let revoked = runner.control().revoke(Revocation::Session("call".into()));
    assert_eq!(revoked, Ok(()));
    let deadline = Instant::now() + Duration::from_secs(10);
    while runner.stats().open > 0 {
        assert!(Instant::now() < deadline, "{:?}", runner.stats());
        std::thread::sleep(Duration::from_millis(10));
    }

    assert_eq!(runner.stats().ended, 1);
    assert!(matches!(ann.refresh(600), Err(RequestError::Refused(401))));
    let again = client(server, "ann:call").allocate();
    assert!(
        matches!(again, Err(RequestError::Refused(401))),
        "{again:?}"
    );
    client(server, "ann:next").allocate().unwrap();
}

#[test]
fn a_network_that_the_machine_joins_is_denied_at_once() {
    let runner = Runner::start(&config("127.0.0.1:0")).unwrap();
    let mut ann = client(runner.addresses()[0], "ann");
    ann.allocate().unwrap();
    let neighbor = "8.8.8.8:9".parse().unwrap();
    ann.permit(neighbor).unwrap();

    let own = vec!["8.8.8.1/24".parse().unwrap()];
    assert_eq!(runner.control().set_own(own), Ok(()));
    let deadline = Instant::now() + Duration::from_secs(10);
    while ann.permit(neighbor).is_ok() {
        assert!(Instant::now() < deadline, "still a peer");
    }
    assert!(matches!(
        ann.permit(neighbor),
        Err(RequestError::Refused(403))
    ));
    ann.permit("8.8.9.8:9".parse().unwrap()).unwrap();
    // The settings' own address stays denied, but for its relayed ports.
    assert!(matches!(
        ann.permit("127.0.0.2:9".parse().unwrap()),
        Err(RequestError::Refused(403))
    ));
}

#[test]
fn what_is_denied_wins_over_what_is_allowed_but_clients_reach_each_other() {
    let all: Vec<ipnet::IpNet> = vec!["0.0.0.0/0".parse().unwrap()];
    let runner = Runner::start(&RunnerConfig {
        allowed_peers: all.clone(),
        denied_peers: all,
        ..config("127.0.0.1:0")
    })
    .unwrap();
    let server = runner.addresses()[0];
    let mut ann = client(server, "cat");
    ann.allocate().unwrap();
    for denied in ["8.8.8.8:9", "127.0.0.2:9"] {
        let refused = ann.permit(denied.parse().unwrap());
        assert!(
            matches!(refused, Err(RequestError::Refused(403))),
            "{denied}: {refused:?}"
        );
    }
    talk(server);
}
