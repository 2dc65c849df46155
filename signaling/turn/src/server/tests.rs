#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start at the present"
)]

mod attacks;
mod calls;
mod random;
mod revoked;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ring::hmac;

use super::*;
use crate::auth::{message_key, password};
use crate::message::{Writer, attribute, write_channel_data};

const SECRET: &str = "north";
/// The relayed address of the server under test.
const RELAYED: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Any time of day.
const UNIX: u64 = 1_700_000_000;

const QUOTAS: Quotas = Quotas {
    per_user: 4,
    per_address: 8,
    total: 16,
    user_bandwidth: 0,
    address_bandwidth: 0,
    total_bandwidth: 0,
};

/// A server, its time, and the ports that it has open.
struct Rig {
    server: Server,
    ports: Ports,
    now: Instant,
    /// The time of day: [`wait`](Self::wait) leaves it, so credentials do not expire by the way.
    unix: u64,
    out: Vec<u8>,
    transaction: u64,
}

#[derive(Default)]
struct Ports {
    open: BTreeSet<(bool, u16)>,
    /// Other programs have them.
    taken: BTreeSet<u16>,
}

impl Sockets for Ports {
    fn open(&mut self, relay: Relay) -> bool {
        let is_new = !self.taken.contains(&relay.port);
        is_new && self.open.insert((relay.family == Family::V6, relay.port))
    }

    fn close(&mut self, relay: Relay) {
        let was_open = self.open.remove(&(relay.family == Family::V6, relay.port));
        assert!(was_open, "{relay:?} is closed once");
    }
}

/// What a client got: the message's bytes.
struct Answer(Vec<u8>);

impl Answer {
    fn message(&self) -> Message<'_> {
        Message::read(&self.0).expect("the server writes messages that can be read")
    }

    fn code(&self) -> Option<u16> {
        self.message().error_code()
    }

    fn relayed(&self) -> SocketAddr {
        let relayed = self.message().address(attribute::XOR_RELAYED_ADDRESS);
        relayed.unwrap_or_else(|| panic!("an allocation, not {:?}", self.code()))
    }
}

/// What a request holds beside the credentials.
type Attributes<'a> = &'a [(u16, &'a [u8])];

const TRANSPORT_UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

impl Rig {
    fn new() -> Self {
        Self::with(QUOTAS, 50_000..=50_099)
    }

    fn with(quotas: Quotas, ports: RangeInclusive<u16>) -> Self {
        let now = Instant::now();
        let config = Config {
            secret: SECRET.into(),
            addresses: RelayAddresses {
                v4: Some(Ipv4Addr::new(203, 0, 113, 9)),
                v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
            },
            ports,
            rules: PeerRules::new(Vec::new(), Vec::new(), &[RELAYED.into()]),
            quotas,
            credential_lifetime: Duration::from_secs(3600),
            nonce_key: [7; 32],
            seed: 1,
        };

        Self {
            server: Server::new(config, now),
            ports: Ports::default(),
            now,
            unix: UNIX,
            out: Vec::new(),
            transaction: 0,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn tick(&mut self) {
        self.server.tick(self.now, &mut self.ports);
    }

    /// Hands bytes to the server; what it sends, and where.
    fn raw(&mut self, from: SocketAddr, data: &[u8]) -> Option<(Destination, Vec<u8>)> {
        let packet = Packet {
            from: client(from),
            data,
            now: self.now,
            unix: self.unix,
        };
        let to = self
            .server
            .receive(packet, &mut self.ports, &mut self.out)?;
        Some((to, self.out.clone()))
    }

    /// The answer to a request, which goes where the request came from.
    fn answer(&mut self, from: SocketAddr, data: &[u8]) -> Option<Answer> {
        let (to, bytes) = self.raw(from, data)?;
        assert_eq!(to, Destination::Client(client(from)));
        Some(Answer(bytes))
    }

    /// A nonce for a client.
    fn nonce(&mut self, from: SocketAddr) -> Vec<u8> {
        let request = self.unsigned(Method::Allocate, &[TRANSPORT_UDP]);
        let answer = self.answer(from, &request).expect("a challenge");
        let nonce = answer.message().attribute(attribute::NONCE);
        nonce.expect("a nonce").to_vec()
    }

    fn transaction(&mut self) -> [u8; 12] {
        self.transaction += 1;
        let mut transaction = [0; 12];
        transaction[4..].copy_from_slice(&self.transaction.to_be_bytes());
        transaction
    }

    fn unsigned(&mut self, method: Method, attributes: Attributes<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let transaction = self.transaction();
        let writer = Writer::new(&mut bytes, Class::Request, method, transaction);
        attributes
            .iter()
            .fold(writer, |writer, (kind, value)| {
                writer.attribute(*kind, value)
            })
            .finish();
        bytes
    }

    /// A request with valid credentials of a user.
    fn signed(
        &mut self,
        from: SocketAddr,
        user: &str,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Vec<u8> {
        let nonce = self.server.nonces.make(from, self.now);
        let (name, key) = credentials(user);
        let transaction = self.transaction();
        let mut bytes = Vec::new();
        let writer = Writer::new(&mut bytes, Class::Request, method, transaction);
        attributes
            .iter()
            .fold(writer, |writer, (kind, value)| {
                writer.attribute(*kind, value)
            })
            .attribute(attribute::USERNAME, name.as_bytes())
            .attribute(attribute::REALM, b"turn")
            .attribute(attribute::NONCE, nonce.as_bytes())
            .sign(&key);
        bytes
    }

    fn request(
        &mut self,
        from: SocketAddr,
        user: &str,
        method: Method,
        attributes: Attributes<'_>,
    ) -> Answer {
        let bytes = self.signed(from, user, method, attributes);
        let answer = self.answer(from, &bytes).expect("known users get answers");
        if answer.code() != Some(401) {
            let (_, key) = credentials(user);
            assert!(answer.message().is_signed_with(&key), "answers are signed");
        }
        answer
    }

    fn allocate(&mut self, from: SocketAddr, user: &str) -> SocketAddr {
        self.request(from, user, Method::Allocate, &[TRANSPORT_UDP])
            .relayed()
    }

    fn permit(&mut self, from: SocketAddr, user: &str, peer: SocketAddr) -> Option<u16> {
        let peer = [peer_attribute(self.transaction + 1, peer)];
        let attributes = peer.each_ref().map(|(kind, value)| (*kind, &value[..]));
        self.request(from, user, Method::CreatePermission, &attributes)
            .code()
    }

    fn bind(&mut self, from: SocketAddr, user: &str, number: u16, peer: SocketAddr) -> Option<u16> {
        let (kind, value) = peer_attribute(self.transaction + 1, peer);
        let number = [number.to_be_bytes(), [0, 0]].concat();
        let attributes = [(attribute::CHANNEL_NUMBER, &number[..]), (kind, &value[..])];
        self.request(from, user, Method::ChannelBind, &attributes)
            .code()
    }

    fn send(
        &mut self,
        from: SocketAddr,
        channel: u16,
        data: &[u8],
    ) -> Option<(Destination, Vec<u8>)> {
        let mut bytes = Vec::new();
        write_channel_data(&mut bytes, channel, data);
        self.raw(from, &bytes)
    }

    /// A packet that a peer sends to a relayed address.
    fn peer_sends(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        data: &[u8],
    ) -> Option<(Destination, Vec<u8>)> {
        let relay = Relay {
            family: relayed.ip().into(),
            port: relayed.port(),
        };
        let to = self
            .server
            .receive_from_peer(relay, peer, data, self.now, &mut self.out)?;
        Some((to, self.out.clone()))
    }
}

fn client(address: SocketAddr) -> Client {
    Client {
        transport: Transport::Udp(0),
        address,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A user name that is valid for an hour, and its key. A number before the name, as in `7|ann`, makes
/// it that many seconds more.
fn credentials(user: &str) -> (String, hmac::Key) {
    let (more, user) = user.split_once('|').unwrap_or(("0", user));
    let name = format!("{}:{user}", UNIX + 3600 + more.parse::<u64>().unwrap());
    let key = message_key(&name, "turn", &password(SECRET, &name));
    (name, key)
}

/// XOR-PEER-ADDRESS for the request with this number. IPv6 depends on its transaction id.
fn peer_attribute(transaction: u64, peer: SocketAddr) -> (u16, Vec<u8>) {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&transaction.to_be_bytes());
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, Class::Request, Method::Binding, id)
        .address(attribute::XOR_PEER_ADDRESS, peer)
        .finish();
    (attribute::XOR_PEER_ADDRESS, bytes[24..].to_vec())
}
