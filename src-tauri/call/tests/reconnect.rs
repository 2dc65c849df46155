//! Calls that outlive a change of the network, on hosts of their own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run in real time, and may panic"
)]

#[path = "support/hosts.rs"]
mod hosts;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hosts::{
    Running, SERVERS, SERVERS_IP, Side, TIMEOUT, coturn, routed_network, signaling, wait_until,
};
use tandem_call::{CallCode, CallOptions, LinkRuntime};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tandem_tests::{Coturn, Network, Part, Vpn, require};
use tandem_trust::{Badge, Code, Party, Word};

/// A gap that is longer than those of a call that is well.
const NOTICEABLE: Duration = Duration::from_millis(150);

/// A gap of this length is not the fault of a busy machine.
const OUTAGE: Duration = Duration::from_millis(500);
/// Long enough for a TURN server to be known to answer.
const ACQUAINTED: Duration = Duration::from_secs(1);
/// Packets of a second of media, at least. Sound alone is 50.
const MEDIA: u64 = 40;

/// How many threads of this process decode video.
fn decode_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == "video-decode")
        .count()
}

/// Two hosts in a call, and a third one with the signaling server.
struct Rig {
    network: Network,
    sides: [Side; 2],
    _server: Running,
    port: u16,
}

impl Rig {
    fn start() -> Self {
        Self::start_with([None, None])
    }

    /// The same, with the code of an invite.
    fn start_with(codes: [Option<CallCode>; 2]) -> Self {
        let network = Network::start(3).unwrap();
        for (number, address) in ["10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"]
            .into_iter()
            .enumerate()
        {
            network.host(number).add_address(address).unwrap();
            network.host(number).without_ipv6().unwrap();
        }

        let (started, address) = std::sync::mpsc::channel();
        let server = Running::start(Some(network.host(2).entrance()), |stopped| async move {
            let server = SignalingServer::builder()
                .listen("10.9.0.3:0")
                .start()
                .await
                .expect("a port is free");
            let address = server.local_addr();
            started.send(address).expect("the test waits for it");
            let _ = stopped.await;
            server.shutdown().await;
        });
        let address = address.recv_timeout(TIMEOUT).expect("the server starts");
        let url = ServerUrl::listening_on(address);

        let room = support::room();
        let mut number = 0;
        let sides = codes.map(|code| {
            let mut options = support::options(url.clone(), &room);
            options.code = code;
            number += 1;
            Side::start(Some(network.host(number - 1).entrance()), options)
        });
        for side in &sides {
            side.wait_until_it_runs();
        }

        Self {
            network,
            sides,
            _server: server,
            port: address.port(),
        }
    }

    /// Two hosts in networks of their own, and a router between them, which has the servers. `adapt`
    /// changes the options of the side with this number.
    fn start_routed(
        network: Network,
        turn: Option<&Coturn>,
        adapt: impl Fn(usize, &mut CallOptions),
    ) -> Self {
        let (server, port) = signaling(&network, None, turn);
        let room = support::room();
        let sides = [0, 1].map(|number| {
            let url = format!("ws://{}:{port}", SERVERS_IP[number]);
            let mut options = support::options(url.parse().expect("an address"), &room);
            adapt(number, &mut options);
            Side::start(Some(network.host(number).entrance()), options)
        });
        for side in &sides {
            side.wait_until_it_runs();
        }

        Self {
            network,
            sides,
            _server: server,
            port,
        }
    }

    /// How many offers the two sides have made: one, and one for each restart of ICE.
    fn offers(&self) -> u32 {
        let text = self.network.host(SERVERS).run(|| {
            let mut server = TcpStream::connect((SERVERS_IP[0], self.port)).expect("the server");
            let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            server.write_all(request).expect("it takes a request");
            let mut text = String::new();
            server.read_to_string(&mut text).expect("it answers");
            text
        });
        let name = "tandem_received_messages_total{type=\"webrtc_offer\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        count.expect("the server counts").parse().expect("a number")
    }

    /// The longer of the two sides' next gaps, which is one that everybody notices.
    fn next_gap(&self) -> Duration {
        let since = Instant::now();
        loop {
            let gap = self.gap(since);
            if gap > OUTAGE {
                return gap;
            }

            assert!(since.elapsed() < TIMEOUT, "frames never stop: {gap:?}");
        }
    }

    /// The longer of the two sides' gaps after `since`. Neither call may have ended.
    fn gap(&self, since: Instant) -> Duration {
        let [first, second] = &self.sides;
        let gap = first.gap(since).max(second.gap(since));
        assert!(!first.has_ended() && !second.has_ended());
        gap
    }
}

#[test]
fn a_call_outlives_another_address() {
    require!(Part::Network);
    let rig = Rig::start();
    let mut gaps = Vec::new();
    for round in 0..4 {
        let number = round % 2;
        let host = rig.network.host(number);
        let old = |round| match round {
            0 | 1 => format!("10.9.0.{}/24", number + 1),
            _ => format!("10.9.0.{}/24", 10 + round - 2),
        };
        let since = Instant::now();
        host.remove_address(&old(round)).unwrap();
        host.add_address(&format!("10.9.0.{}/24", 10 + round))
            .unwrap();
        gaps.push(rig.gap(since));
    }

    eprintln!("media came back after {gaps:?}");
    let threads = || format!("{} threads", decode_threads());
    wait_until("one thread a side", threads, || decode_threads() == 2);
    gaps.sort();
    assert!(gaps[1] <= Duration::from_secs(1), "the median: {gaps:?}");
    assert!(gaps[3] <= Duration::from_secs(2), "all: {gaps:?}");
}

#[test]
fn a_verified_call_stays_verified_at_another_address() {
    require!(Part::Network);
    let words = ["garden", "lantern"].map(|word| word.parse::<Word>().unwrap());
    let codes =
        [Party::Inviter, Party::Guest].map(|party| Some(CallCode::new(Code::new(7, words), party)));
    let rig = Rig::start_with(codes);
    for number in [0, 1] {
        let host = rig.network.host(number);
        let since = Instant::now();
        host.remove_address(&format!("10.9.0.{}/24", number + 1))
            .unwrap();
        host.add_address(&format!("10.9.0.{}/24", number + 10))
            .unwrap();
        let gap = rig.gap(since);
        eprintln!("media came back after {gap:?}");
        for side in &rig.sides {
            assert_eq!(side.badges(), [Badge::VerifiedByCode], "{}", side.events());
        }
    }
}

#[test]
fn a_call_outlives_twenty_seconds_without_a_packet() {
    require!(Part::Network);
    let rig = Rig::start();
    let outage = Duration::from_secs(20);
    let since = Instant::now();
    rig.network.cut_off(0, true).unwrap();
    std::thread::sleep(outage);
    assert!(rig.sides.iter().all(Side::was_reconnecting));

    rig.network.cut_off(0, false).unwrap();
    let gap = rig.gap(since);
    eprintln!("media came back after {:?}", gap - outage);
    assert!(gap <= outage + Duration::from_secs(4), "{gap:?}");
}

/// The longest time without a frame in each round of `length` that begins `after` the first frame.
fn gaps_of_rounds(side: &Side, after: Duration, length: Duration, rounds: u32) -> Vec<Duration> {
    let seen = side.seen.lock();
    let first = *seen.frames.first().expect("frames have come") + after;
    let round = |number| {
        let (from, to) = (first + length * number, first + length * (number + 1));
        let gaps = seen
            .frames
            .windows(2)
            .map(|pair| (pair[0], pair[1] - pair[0]));
        let inside = gaps.filter(|(at, _)| (from..to).contains(at));
        inside.map(|(_, gap)| gap).max().expect("it has frames")
    };
    (0..rounds).map(round).collect()
}

/// As behind a NAT that has forgotten its table. Nothing about this machine's addresses changes, so
/// only the partner can notice it: what it hears comes from another port than it sends to.
#[test]
fn a_call_outlives_a_nat_that_has_lost_its_table() {
    let (started, url) = std::sync::mpsc::channel();
    let _server = Running::start(None, |stopped| async move {
        let server = support::server().await;
        started.send(server.url()).expect("the test waits for it");
        let _ = stopped.await;
        server.shutdown().await;
    });
    let url = url.recv_timeout(TIMEOUT).expect("the server starts");

    // In turns, so that each side of the negotiation is behind that NAT.
    let room = support::room();
    let sides = ["@4s rebind;@12s rebind", "@8s rebind;@16s rebind"].map(|plan| {
        let mut options = support::options(url.clone(), &room);
        let spec = format!("delay=5ms;{plan}").parse().expect("a link");
        options.media_runtime = Some(LinkRuntime::new(&spec));
        Side::start(None, options)
    });
    for side in &sides {
        side.wait_until_it_runs();
    }

    let end = Duration::from_secs(20);
    std::thread::sleep(end);
    let round = Duration::from_secs(4);
    let each = sides
        .each_ref()
        .map(|side| gaps_of_rounds(side, round - Duration::from_millis(500), round, 4));
    let mut gaps: Vec<Duration> = each[0]
        .iter()
        .zip(&each[1])
        .map(|(one, other)| *one.max(other))
        .collect();
    eprintln!("media came back after {gaps:?}");
    assert!(sides.iter().all(|side| !side.has_ended()));

    gaps.sort();
    // A check may leave just after the port has changed, and be answered before anybody waits.
    assert!(
        gaps[1] > NOTICEABLE,
        "three of four changes are noticed: {gaps:?}"
    );
    assert!(
        gaps[1] <= Duration::from_millis(1_500),
        "the median: {gaps:?}"
    );
    assert!(gaps[3] <= Duration::from_secs(2), "all: {gaps:?}");
}

/// The TURN server forwards what comes from another port of the partner's address, so that everything
/// still arrives from the same server.
#[test]
fn a_partner_behind_another_port_is_noticed_through_a_turn_server() {
    require!(Part::Network);
    require!(Part::Coturn);
    let network = routed_network();
    let turn = coturn(&network);
    let rig = Rig::start_routed(network, Some(&turn), |number, options| {
        options.relay_only = number == 0;
        if number == 1 {
            let spec = "delay=5ms;@8s rebind;@16s rebind".parse().expect("a link");
            options.media_runtime = Some(LinkRuntime::new(&spec));
        }
    });

    let gaps = [rig.next_gap(), rig.next_gap()];
    eprintln!("media came back after {gaps:?}");
    for gap in gaps {
        assert!(gap <= Duration::from_secs(3), "{gaps:?}");
    }
    assert_eq!(rig.offers(), 3, "ICE restarts once for each change");
}

#[test]
fn a_call_outlives_a_vpn() {
    require!(Part::Tun);
    let rig = Rig::start_routed(routed_network(), None, |_, _| ());
    let mut gaps = Vec::new();
    for round in 0..4 {
        let client = rig.network.host(round % 2);
        let since = Instant::now();
        let vpn = Vpn::connect(client, rig.network.host(SERVERS)).expect("the VPN connects");
        gaps.push(rig.gap(since));
        assert!(
            vpn.packets() >= MEDIA,
            "media is outside: {}",
            vpn.packets()
        );

        let since = Instant::now();
        drop(vpn);
        gaps.push(rig.gap(since));
    }

    eprintln!("VPN on and off, in turns: media came back after {gaps:?}");
    gaps.sort();
    assert!(gaps[4] <= Duration::from_secs(1), "the median: {gaps:?}");
    assert!(gaps[7] <= Duration::from_secs(2), "all: {gaps:?}");
}

/// Kills the TURN server in a call, starts it again after three seconds, and returns the gap.
fn gap_without_turn(relay_only: bool) -> Duration {
    let network = routed_network();
    let turn = coturn(&network);
    let rig = Rig::start_routed(network, Some(&turn), |_, options| {
        options.relay_only = relay_only;
    });
    std::thread::sleep(ACQUAINTED);

    let since = Instant::now();
    drop(turn);
    std::thread::sleep(Duration::from_secs(3));
    let _turn = coturn(&rig.network);
    rig.gap(since)
}

#[test]
fn a_relayed_call_outlives_the_turn_server() {
    require!(Part::Network);
    require!(Part::Coturn);
    let gap = gap_without_turn(true);
    eprintln!("media came back after {gap:?}, three seconds of which without a TURN server");
    assert!(
        gap >= Duration::from_secs(3),
        "media took another way: {gap:?}"
    );
    assert!(gap <= Duration::from_secs(8), "{gap:?}");
}

fn set_forwarding(network: &Network, is_on: bool) {
    let setting = format!("net.ipv4.conf.all.forwarding={}", u8::from(is_on));
    let mut command = network.host(SERVERS).command("sysctl");
    command.args(["-qw", &setting]);
    assert!(command.status().expect("it is installed").success());
}

/// The gaps of calls whose TURN server ends: once so that nothing is heard of it any more, and once so
/// that its machine says it. Both sides reach it and not each other, until the router forwards.
fn gaps_after_turn(start: impl Fn(&Network) -> Coturn) -> Vec<Duration> {
    let mut gaps = Vec::new();
    for vanishes in [true, false] {
        let network = routed_network();
        set_forwarding(&network, false);
        let mut turn = start(&network);
        let rig = Rig::start_routed(network, Some(&turn), |_, _| ());
        set_forwarding(&rig.network, true);
        std::thread::sleep(ACQUAINTED);

        let since = Instant::now();
        if vanishes {
            turn.freeze();
            gaps.push(rig.gap(since));
        } else {
            drop(turn);
            gaps.push(rig.gap(since));
        }
    }

    // Where its machine says it, that may take a tenth of a second.
    assert!(gaps[0] > OUTAGE, "media was relayed: {gaps:?}");
    gaps
}

#[test]
fn a_relayed_call_takes_a_direct_route_when_the_turn_server_is_gone() {
    require!(Part::Network);
    require!(Part::Coturn);
    let gaps = gaps_after_turn(coturn);
    eprintln!("media came back after {gaps:?}");
    for gap in &gaps {
        // Silence alone makes it look for another route after ten seconds.
        assert!(*gap <= Duration::from_secs(3), "{gaps:?}");
    }
}

#[test]
fn a_relayed_call_takes_a_direct_route_when_a_turn_server_over_tcp_is_silent() {
    require!(Part::Network);
    require!(Part::Coturn);
    let address = format!("{}:3478", SERVERS_IP[0])
        .parse()
        .expect("an address");
    let gaps = gaps_after_turn(|network| {
        let host = network.host(SERVERS);
        Coturn::start_over_tcp_on(host, address, "a shared secret").expect("coturn starts")
    });
    eprintln!("media came back after {gaps:?}");
    for gap in &gaps {
        assert!(*gap <= Duration::from_secs(5), "{gaps:?}");
    }
}

/// Neither loss nor a short outage of the network ends an allocation, so ICE has no reason to restart.
#[test]
fn a_relayed_call_on_a_bad_network_keeps_its_route() {
    require!(Part::Network);
    require!(Part::Coturn);
    let network = routed_network();
    let turn = coturn(&network);
    let rig = Rig::start_routed(network, Some(&turn), |number, options| {
        options.relay_only = true;
        if number == 1 {
            let spec = "delay=25ms,loss=10%".parse().expect("a link");
            options.media_runtime = Some(LinkRuntime::new(&spec));
        }
    });
    std::thread::sleep(Duration::from_secs(5));

    let outage = Duration::from_millis(1_600);
    let mut gaps = Vec::new();
    for number in [0, 1, 0, 1] {
        let since = Instant::now();
        rig.network.cut_off(number, true).unwrap();
        std::thread::sleep(outage);
        rig.network.cut_off(number, false).unwrap();
        gaps.push(rig.gap(since));
    }

    eprintln!("10 % loss, and outages of {outage:?}: gaps of {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= outage), "{gaps:?}");
    assert_eq!(rig.offers(), 1, "ICE restarted");
}

/// The system refuses what is sent to the TURN server, as where the router cannot be found.
#[test]
fn a_relayed_call_outlives_packets_that_cannot_be_sent() {
    require!(Part::Network);
    require!(Part::Coturn);
    let network = routed_network();
    let turn = coturn(&network);
    let rig = Rig::start_routed(network, Some(&turn), |_, options| {
        options.relay_only = true;
    });
    let since = Instant::now();
    for change in ["add", "del"] {
        let mut command = rig.network.host(0).command("ip");
        command.args(["route", change, "unreachable", SERVERS_IP[0]]);
        assert!(command.status().expect("it is installed").success());
        std::thread::sleep(Duration::from_secs(1));
    }

    let gap = rig.gap(since);
    eprintln!("media came back after {gap:?}, one second of which nothing could leave");
    assert!(gap >= Duration::from_secs(1), "packets left: {gap:?}");
    assert!(gap <= Duration::from_secs(4), "{gap:?}");
    assert_eq!(rig.offers(), 1, "ICE restarted");
}

#[test]
fn a_direct_call_does_not_notice_that_the_turn_server_is_gone() {
    require!(Part::Network);
    require!(Part::Coturn);
    let gap = gap_without_turn(false);
    eprintln!("the longest time between two frames: {gap:?}");
    assert!(gap <= Duration::from_millis(500), "{gap:?}");
}
