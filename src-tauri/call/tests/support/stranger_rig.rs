//! Two strangers on hosts of a test's network with public addresses, each in a network of its own. Beside
//! its public address each has a private one, and the first one has that of a VPN, from which the other
//! can be reached, too.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tandem_call::StrangerRoute;
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tandem_tests::{Capture, Coturn, Host, Network};

use crate::hosts::{Running, Side, TIMEOUT};
use crate::support::meddler::{Meddle, meddler_on};

pub(crate) const PUBLIC: [&str; 2] = ["203.0.113.1", "198.51.100.2"];
pub(crate) const PRIVATE: [&str; 2] = ["10.7.1.1", "10.7.2.1"];
/// Of the first side.
pub(crate) const VPN: &str = "100.128.7.1";
/// A neighbour of the first side.
pub(crate) const NEIGHBOUR: &str = "203.0.113.99";
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Of the STUN server that the first side's system reaches through the VPN.
const BEHIND_VPN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 253);

/// All messages that one side got from the server.
pub(crate) type Relayed = Arc<Mutex<Vec<Value>>>;

/// Two sides who meet by chance, at a public server.
pub(crate) struct Rig {
    pub(crate) sides: [Side; 2],
    /// What each side got from the server.
    pub(crate) relayed: [Relayed; 2],
    /// What each side's host sends and receives.
    pub(crate) captures: [Capture; 2],
    /// Sockets in the first side's own network. The second side names them as its own.
    traps: Vec<UdpSocket>,
    _server: Running,
    _turn: Option<Coturn>,
    pub(crate) network: Network,
}

/// What the signaling server offers beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    Nothing,
    Stun,
    Turn,
}

/// A STUN server (RFC 8489) that answers Binding requests with the address they come from.
fn stun_server(host: &Host, ip: Ipv4Addr, stop: Arc<AtomicBool>) -> SocketAddr {
    let socket = host
        .entrance()
        .run(move || UdpSocket::bind((ip, 0)).unwrap());
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
    pub(crate) fn start(stranger: Option<StrangerRoute>, offers: Offers) -> Self {
        let network = Network::start(3).unwrap();
        for number in 0..2 {
            let host = network.host(number);
            host.add_address(&format!("{}/24", PUBLIC[number])).unwrap();
            host.add_dead_end("home", &format!("{}/24", PRIVATE[number]))
                .unwrap();
        }

        let host = network.host(2);
        host.add_address(&format!("{SERVER}/24")).unwrap();
        network
            .add_interface(0, "vpn", &format!("{VPN}/32"))
            .unwrap();
        for number in 0..3 {
            let host = network.host(number);
            host.without_ipv6().unwrap();
            // Everybody is a neighbour on the wire, whatever their addresses say.
            host.add_route("default", "eth0").unwrap();
        }

        host.add_address(&format!("{BEHIND_VPN}/32")).unwrap();
        let behind_vpn = format!("{BEHIND_VPN}/32");
        network.host(0).add_route(&behind_vpn, "vpn").unwrap();

        let neighbour = network.host(2);
        neighbour.add_address(&format!("{NEIGHBOUR}/32")).unwrap();
        let home = format!("{}:0", PRIVATE[0]);
        let outside = format!("{NEIGHBOUR}:0");
        let traps: Vec<UdpSocket> = [(0, "127.0.0.1:0"), (0, &home), (2, &outside)]
            .into_iter()
            .map(|(number, address)| {
                let entrance = network.host(number).entrance();
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
        let turn = (offers == Offers::Turn)
            .then(|| Coturn::start_on(host, SERVER.into(), "a shared secret").unwrap());
        let credentials = turn
            .as_ref()
            .map(|turn| (turn.url(), turn.secret().to_owned()));
        let (started, urls) = std::sync::mpsc::channel();
        let ends = Arc::new(AtomicBool::new(false));
        let stun = [SERVER, BEHIND_VPN].map(|ip| stun_server(host, ip, Arc::clone(&ends)));
        let server = Running::start(Some(host.entrance()), move |stopped| async move {
            let mut server = SignalingServer::builder().listen(format!("{SERVER}:0"));
            if offers == Offers::Stun {
                for address in stun {
                    server = server.stun_url(format!("stun:{address}"));
                }
            }

            if let Some((url, secret)) = credentials {
                server = server.turn(vec![url], secret, Duration::from_secs(3_600));
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
        let captures = [0, 1].map(|number| Capture::start(network.host(number)).unwrap());
        let mut numbers = 0..2;
        let sides = [(); 2].map(|()| {
            let number = numbers.next().unwrap();
            let mut options = crate::support::options(urls[number].clone(), "unused");
            options.room = None;
            options.stranger = stranger;
            Side::start(Some(network.host(number).entrance()), options)
        });

        Self {
            sides,
            relayed,
            captures,
            traps,
            _server: server,
            _turn: turn,
            network,
        }
    }

    /// Everything that was relayed to either side, as text.
    pub(crate) fn text(&self) -> String {
        let all = self
            .relayed
            .iter()
            .map(|relayed| format!("{:?}", relayed.lock()));
        all.collect()
    }

    /// How many of the sockets in its own network the first side has sent something.
    pub(crate) fn sprung(&self) -> usize {
        let heard = |trap: &&UdpSocket| trap.recv_from(&mut [0; 1_500]).is_ok();
        self.traps.iter().filter(heard).count()
    }
}
