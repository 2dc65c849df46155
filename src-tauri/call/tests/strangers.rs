//! What a stranger learns of this machine, on hosts of a test's network with public addresses, and
//! beside them a private one: that of a local network that the other host is not in.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run in real time, and may panic"
)]

#[path = "support/hosts.rs"]
mod hosts;
mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hosts::{Running, Side, TIMEOUT, wait_until};
use parking_lot::Mutex;
use serde_json::{Value, json};
use support::meddler::{Meddle, meddler_on};
use tandem_call::{CallEventKind, EndCode, StrangerRoute};
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tandem_tests::{Host, Network, Part, require};

const PUBLIC: [&str; 2] = ["203.0.113.1", "203.0.113.2"];
const PRIVATE: [&str; 2] = ["10.7.1.1", "10.7.2.1"];
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);

/// All messages that one side got from the server.
type Relayed = Arc<Mutex<Vec<Value>>>;

/// Two sides who meet by chance, at a public server.
struct Rig {
    sides: [Side; 2],
    relayed: [Relayed; 2],
    /// Sockets in the first side's own network. The second side names them as its own.
    traps: Vec<UdpSocket>,
    _server: Running,
    _network: Network,
}

/// A STUN server (RFC 8489) that answers Binding requests with the address they come from.
fn stun_server(host: &Host, stop: Arc<AtomicBool>) -> SocketAddr {
    let socket = host
        .entrance()
        .run(|| UdpSocket::bind((SERVER, 0)).unwrap());
    let address = socket.local_addr().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    std::thread::spawn(move || {
        let mut request = [0; 1_500];
        while !stop.load(Ordering::Relaxed) {
            let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut request) else {
                continue;
            };
            let mut answer = vec![0x01, 0x01, 0x00, 0x0c];
            answer.extend(&request[4..20]);
            // XOR-MAPPED-ADDRESS, 8 bytes, IPv4.
            answer.extend([0x00, 0x20, 0x00, 0x08, 0x00, 0x01]);
            answer.extend((from.port() ^ 0x2112).to_be_bytes());
            answer.extend((u32::from(*from.ip()) ^ 0x2112_a442).to_be_bytes());
            // A side that has hung up is no reason to end.
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// Records what is relayed to a side, and tells it these candidates of its partner, too.
fn recorder(relayed: &Relayed, traps: &[SocketAddr]) -> Meddle {
    let relayed = Arc::clone(relayed);
    let traps: Vec<String> = traps
        .iter()
        .enumerate()
        .map(|(number, trap)| {
            let (ip, port) = (trap.ip(), trap.port());
            format!("candidate:7{number} 1 udp 2130706431 {ip} {port} typ host")
        })
        .collect();

    Arc::new(move |message| {
        relayed.lock().push(message.clone());
        let mut all = vec![(Duration::ZERO, message.clone())];
        // Behind the description, which they belong to.
        if matches!(
            message["type"].as_str(),
            Some("webrtc_offer" | "webrtc_answer")
        ) {
            all.extend(traps.iter().map(|trap| {
                let mut named = message.clone();
                let fields = named.as_object_mut().unwrap();
                fields.remove("offer");
                fields.remove("answer");
                named["type"] = "ice_candidate".into();
                named["candidate"] =
                    json!({ "candidate": trap, "sdpMid": "0", "sdpMLineIndex": 0 });
                (Duration::ZERO, named)
            }));
        }

        all
    })
}

impl Rig {
    fn start(stranger: Option<StrangerRoute>, has_stun: bool) -> Self {
        let network = Network::start(3).unwrap();
        for number in 0..2 {
            let host = network.host(number);
            host.add_address(&format!("{}/24", PUBLIC[number])).unwrap();
            host.add_dead_end("home", &format!("{}/24", PRIVATE[number]))
                .unwrap();
        }

        let host = network.host(2);
        host.add_address(&format!("{SERVER}/24")).unwrap();
        for number in 0..3 {
            network.host(number).without_ipv6().unwrap();
        }

        let traps: Vec<UdpSocket> = ["127.0.0.1:0", &format!("{}:0", PRIVATE[0])]
            .into_iter()
            .map(|address| {
                let entrance = network.host(0).entrance();
                let address: SocketAddr = address.parse().unwrap();
                let socket = entrance.run(move || UdpSocket::bind(address).unwrap());
                socket.set_nonblocking(true).unwrap();
                socket
            })
            .collect();
        let trapped: Vec<SocketAddr> = traps
            .iter()
            .map(|trap| trap.local_addr().unwrap())
            .collect();

        let relayed: [Relayed; 2] = Default::default();
        let meddles = [recorder(&relayed[0], &trapped), recorder(&relayed[1], &[])];
        let (started, urls) = std::sync::mpsc::channel();
        let ends = Arc::new(AtomicBool::new(false));
        let stun = stun_server(host, Arc::clone(&ends));
        let server = Running::start(Some(host.entrance()), move |stopped| async move {
            let mut server = SignalingServer::builder().listen(format!("{SERVER}:0"));
            if has_stun {
                server = server.stun_url(format!("stun:{stun}"));
            }

            let server = server.start().await.expect("a port is free");
            let mut urls: Vec<ServerUrl> = Vec::new();
            for meddle in meddles {
                let ip = IpAddr::from(SERVER);
                urls.push(meddler_on(ip, server.local_addr(), meddle).await);
            }

            started.send(urls).expect("the test waits for it");
            let _ = stopped.await;
            ends.store(true, Ordering::Relaxed);
            server.shutdown().await;
        });

        let urls = urls.recv_timeout(TIMEOUT).expect("the server starts");
        let mut numbers = 0..2;
        let sides = [(); 2].map(|()| {
            let number = numbers.next().unwrap();
            let mut options = support::options(urls[number].clone(), "unused");
            options.room = None;
            options.stranger = stranger;
            Side::start(Some(network.host(number).entrance()), options)
        });

        Self {
            sides,
            relayed,
            traps,
            _server: server,
            _network: network,
        }
    }

    /// Everything that was relayed to either side, as text.
    fn text(&self) -> String {
        let all = self
            .relayed
            .iter()
            .map(|relayed| format!("{:?}", relayed.lock()));
        all.collect()
    }

    /// How many of the sockets in its own network the first side has sent something.
    fn sprung(&self) -> usize {
        let heard = |trap: &&UdpSocket| trap.recv_from(&mut [0; 1_500]).is_ok();
        self.traps.iter().filter(heard).count()
    }
}

#[test]
fn a_stranger_learns_the_public_address_and_no_other() {
    require!(Part::Network);
    let rig = Rig::start(Some(StrangerRoute::Direct), true);
    for side in &rig.sides {
        side.wait_until_it_runs();
    }

    let text = rig.text();
    for name in ["10.7.", "127.0.0.1", "::1", ".local", "typ host"] {
        assert!(!text.contains(name), "{name} was named: {text}");
    }

    for address in PUBLIC {
        assert!(
            text.contains(&format!(" {address} ")) && text.contains("typ srflx"),
            "{address} was named: {text}"
        );
    }

    assert_eq!(rig.sprung(), 0, "nothing was sent into the own network");
}

/// The same for two who know each other: the test above can see what it looks for.
#[test]
fn a_friend_learns_all_addresses() {
    require!(Part::Network);
    let rig = Rig::start(None, true);
    for side in &rig.sides {
        side.wait_until_it_runs();
    }

    let text = rig.text();
    for name in [PRIVATE[0], PRIVATE[1], "127.0.0.1", "typ host"] {
        assert!(text.contains(name), "{name} was not named: {text}");
    }

    assert!(rig.sprung() > 0, "the candidates were checked");
}

#[test]
fn a_server_that_cannot_help_strangers_is_told_at_once() {
    require!(Part::Network);
    for (route, has_stun) in [
        // Without a server that sees it, a side has no address to name.
        (StrangerRoute::Direct, false),
        (StrangerRoute::RelayIfOffered, false),
        (StrangerRoute::Relay, true),
    ] {
        let rig = Rig::start(Some(route), has_stun);
        for side in &rig.sides {
            let has_ended = || {
                let events = side.events();
                events.contains("NoTurnServer")
            };
            wait_until("the end", || side.events(), has_ended);
            assert!(side.has_ended());
        }

        let text = rig.text();
        assert!(!text.contains("partner_found"), "{route:?}: {text}");
    }
}

/// What one side may send before it has seen the other.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_user_has_seen_who_it_is() {
    let server = support::server().await;
    let room = support::room();
    let mut shy = support::options(server.url(), &room);
    shy.hold_media = true;
    let mut shy = support::Side::with(shy);
    server.until_searched().await;
    let mut open = support::Side::start(&server, &room);

    let matched = shy
        .until(TIMEOUT, "a match", |kind| {
            matches!(kind, CallEventKind::Matched { .. })
        })
        .await;
    let CallEventKind::Matched { session_id, .. } = matched.kind else {
        unreachable!("it was just matched");
    };

    // The connection is up: what the other side sends arrives, for two seconds.
    shy.wait_for_frames(TIMEOUT, 60).await;
    let state = open
        .until(TIMEOUT, "the state", |kind| {
            matches!(kind, CallEventKind::PartnerState { .. })
        })
        .await;
    assert_eq!(
        state.kind,
        CallEventKind::PartnerState {
            muted: true,
            camera_on: false,
        }
    );
    let stats = open.call.stats().await;
    assert_eq!(
        (open.frame_count(), stats.audio.jitter.packets),
        (0, 0),
        "no frame and no audio packet"
    );
    assert_eq!(shy.call.stats().await.audio.sent_packets, 0);

    // Not that of an earlier partner.
    shy.call.release_media("another session".to_owned());
    shy.wait_for_frames(TIMEOUT, 90).await;
    assert_eq!(open.frame_count(), 0);

    shy.call.release_media(session_id);
    open.wait_for_frames(TIMEOUT, 30).await;
    open.until(TIMEOUT, "the sound", |kind| {
        *kind == CallEventKind::FirstRemoteAudio
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_recorded_with_its_snapshot_and_a_block_ends_the_call() {
    use tandem_call::{Report, ReportOutcome};
    use tandem_signaling::message::ReportCategory;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports.jsonl");
    let server = SignalingServer::builder()
        .listen("127.0.0.1:0")
        .reports(&file)
        .start()
        .await
        .unwrap();
    let url = ServerUrl::listening_on(server.local_addr());
    let room = support::room();
    let [mut ann, mut ben] =
        [(); 2].map(|()| support::Side::with(support::options(url.clone(), &room)));
    for side in [&mut ann, &mut ben] {
        side.first_frame(TIMEOUT).await;
    }

    ann.call.report(Report {
        category: ReportCategory::Harassment,
        text: Some("Shouts.".to_owned()),
        snapshot: Some(vec![0xFF, 0xD8, 0xFF, 0xE0, 7]),
    });
    let outcome = ann
        .until(TIMEOUT, "an answer", |kind| {
            matches!(kind, CallEventKind::Reported(_))
        })
        .await;
    assert_eq!(
        outcome.kind,
        CallEventKind::Reported(ReportOutcome::Recorded)
    );

    let line = std::fs::read_to_string(&file).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&report["category"], &report["text"]),
        (&json!("harassment"), &json!("Shouts."))
    );
    let image = folder
        .path()
        .join("reports.jsonl.snapshots")
        .join(report["snapshot"].as_str().unwrap());
    assert_eq!(
        std::fs::read(image).unwrap(),
        [0xFF, 0xD8, 0xFF, 0xE0, 7],
        "the bytes of the image"
    );

    ann.call.block();
    assert_eq!(ann.ended(TIMEOUT).await, EndCode::HungUp);
    assert_eq!(ben.ended(TIMEOUT).await, EndCode::PartnerLeft);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_records_no_reports_says_so_and_the_call_goes_on() {
    use tandem_call::{Report, ReportOutcome};
    use tandem_signaling::message::ReportCategory;

    let server = support::server().await;
    let room = support::room();
    let [mut ann, mut ben] = [(); 2].map(|()| support::Side::start(&server, &room));
    for side in [&mut ann, &mut ben] {
        side.first_frame(TIMEOUT).await;
    }

    ann.call.report(Report {
        category: ReportCategory::Spam,
        text: None,
        snapshot: None,
    });
    ann.until(TIMEOUT, "an answer", |kind| {
        *kind == CallEventKind::Reported(ReportOutcome::NotRecorded)
    })
    .await;
    let frames = ann.frame_count();
    ann.wait_for_frames(TIMEOUT, frames + 30).await;
}
