//! The library's TURN client and Tandem's TURN server, hour after hour in virtual time: allocations,
//! permissions, channels and nonces end, and have to be renewed before.
#![allow(clippy::disallowed_methods, reason = "tests start at the present")]

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc::turn::client::{Client as TurnClient, ClientConfig, Event};
use tandem_turn::{
    Client, Config, Destination, Packet, PeerRules, Quotas, Relay, RelayAddresses, Server, Sockets,
    Transport, password,
};

use super::stale_nonce::{Passwords, StaleNonces, can_be_refusal, can_be_request};

const HOURS: u64 = 6;
const SECRET: &str = "north";
/// Valid for a minute: the allocation outlives it.
const NAME: &str = "1000000060:ann:call";
const UNIX: u64 = 1_000_000_000;
/// Media in place of what really is a packet every few milliseconds.
const PACKETS_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Ports(BTreeSet<u16>);

impl Sockets for Ports {
    fn open(&mut self, relay: Relay) -> bool {
        self.0.insert(relay.port)
    }

    fn close(&mut self, relay: Relay) {
        self.0.remove(&relay.port);
    }
}

/// A client and a server, `delay` away from each other.
struct Rig {
    client: TurnClient,
    server: Server,
    ports: Ports,
    start: Instant,
    now: Instant,
    delay: Duration,
    to_server: VecDeque<(Instant, Vec<u8>)>,
    to_client: VecDeque<(Instant, Vec<u8>)>,
    relayed: Option<SocketAddr>,
    nonces: StaleNonces,
    passwords: Passwords,
    /// Refusals that the client did not see.
    hidden: u64,
    /// Packets that left through the relayed port, and that came back to the client.
    out: u64,
    back: u64,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn local() -> SocketAddr {
    at("192.0.2.1:5000")
}

fn server() -> SocketAddr {
    at("203.0.113.9:3478")
}

fn peer() -> SocketAddr {
    at("8.8.8.8:7000")
}

impl Rig {
    fn new(delay: Duration) -> Self {
        let start = Instant::now();
        let config = ClientConfig {
            turn_serv_addr: server().to_string(),
            local_addr: local(),
            username: NAME.into(),
            password: password(SECRET, NAME),
            ..ClientConfig::default()
        };
        let mut passwords = Passwords::default();
        passwords.add(NAME, &password(SECRET, NAME));
        let provider = rtc::crypto::default_provider().expect("the crypto that the program has");
        let server = Config {
            secret: SECRET.into(),
            addresses: RelayAddresses {
                v4: Some("203.0.113.9".parse().unwrap()),
                v6: None,
            },
            ports: 50_000..=50_100,
            rules: PeerRules::default(),
            quotas: Quotas {
                per_user: 0,
                per_address: 0,
                total: 0,
                user_bandwidth: 0,
                address_bandwidth: 0,
                total_bandwidth: 0,
            },
            credential_lifetime: Duration::from_secs(3600),
            nonce_key: [3; 32],
            seed: 3,
        };

        Self {
            client: TurnClient::new(config, Arc::clone(&provider)).expect("a client"),
            server: Server::new(server, start),
            ports: Ports::default(),
            start,
            now: start,
            delay,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            relayed: None,
            nonces: StaleNonces::default(),
            passwords,
            hidden: 0,
            out: 0,
            back: 0,
        }
    }

    /// Runs until `until`: all that is due happens in order.
    fn run_until(&mut self, until: Instant) {
        loop {
            self.exchange();
            let due = [
                self.to_server.front().map(|(at, _)| *at),
                self.to_client.front().map(|(at, _)| *at),
                self.client.poll_timeout(),
            ];
            let next = due.into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };

            self.now = self.now.max(next);
            self.client.handle_timeout(self.now).expect("it can go on");
        }
    }

    /// Delivers what has arrived, and takes what the client sends.
    fn exchange(&mut self) {
        while let Some(message) = self.client.poll_write() {
            let datagram = message.message.to_vec();
            let renewed = can_be_request(&datagram)
                .then(|| self.nonces.on_sent(server(), &datagram, &self.passwords))
                .flatten();
            self.to_server
                .push_back((self.now + self.delay, renewed.unwrap_or(datagram)));
        }
        while let Some((_, data)) = self.to_server.pop_front_if(|(at, _)| *at <= self.now) {
            self.serve(&data);
        }
        while let Some((_, data)) = self.to_client.pop_front_if(|(at, _)| *at <= self.now) {
            if can_be_refusal(&data) && self.nonces.on_refused(server(), &data) {
                self.hidden += 1;
                continue;
            }

            let received = TaggedBytesMut {
                now: self.now,
                transport: TransportContext {
                    local_addr: local(),
                    peer_addr: server(),
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                },
                message: BytesMut::from(&data[..]),
            };
            // A refusal is an error here; the client goes on.
            let _ = self.client.handle_read(received);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::AllocateResponse(_, relayed) => self.relayed = Some(relayed),
                Event::DataIndicationOrChannelData(..) => self.back += 1,
                _ => {}
            }
        }
    }

    fn serve(&mut self, data: &[u8]) {
        let from = Client {
            transport: Transport::Udp(0),
            address: local(),
        };
        let unix = UNIX + (self.now - self.start).as_secs();
        let packet = Packet {
            from,
            data,
            now: self.now,
            unix,
        };
        let mut out = Vec::new();
        match self.server.receive(packet, &mut self.ports, &mut out) {
            Some(Destination::Client(_)) => self.to_client.push_back((self.now + self.delay, out)),
            Some(Destination::Peer(relay, to)) => {
                assert_eq!(to, peer());
                self.out += 1;
                // The peer answers at once.
                let mut answer = Vec::new();
                let to =
                    self.server
                        .receive_from_peer(relay, peer(), b"hello", self.now, &mut answer);
                if to.is_some() {
                    self.to_client.push_back((self.now + self.delay, answer));
                }
            }
            None => {}
        }
        self.server.tick(self.now, &mut self.ports);
    }
}

fn hours(delay: Duration) {
    let mut rig = Rig::new(delay);
    rig.client.allocate(rig.now).expect("a request");
    rig.run_until(rig.start + Duration::from_secs(2));
    let relayed = rig.relayed.expect("an allocation");
    let now = rig.now;
    let mut relay = rig.client.relay(relayed).expect("it is there");
    relay.create_permission(now, peer()).expect("a request");
    rig.run_until(rig.start + Duration::from_secs(4));

    for second in 5..HOURS * 3_600 {
        let now = rig.now;
        let mut relay = rig.client.relay(relayed).expect("the client has it");
        let sent = relay.send_to(now, b"hello", peer());
        assert!(sent.is_ok(), "after {second} s: {sent:?}");
        let (out, back) = (rig.out, rig.back);
        rig.run_until(now + PACKETS_EVERY);
        let passed = (rig.out > out, rig.back > back);
        assert_eq!(passed, (true, true), "a packet after {second} s");
    }
    assert_eq!(
        rig.server.stats().allocated,
        1,
        "one allocation all the time"
    );
    assert!(rig.hidden > 0, "nonces became stale");
}

#[test]
fn an_allocation_lasts_as_long_as_the_call() {
    for delay in [1, 20, 150] {
        hours(Duration::from_millis(delay));
    }
}
