//! What the fuzz target `turn` runs, also over its kept inputs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ring::hmac;

use crate::auth::{REALM, message_key, password};
use crate::message::{Class, Message, Method, Writer, attribute};
use crate::server::{Client, Config, Packet, Relay, RelayAddresses, Server, Sockets, Transport};
use crate::{PeerRules, Quotas};

const SECRET: &str = "fuzz";
/// Before the year 2001.
const NAME: &str = "1000000000:u";
const RELAYED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// More records than that add nothing.
const MAX_RECORDS: usize = 64;

#[derive(Default)]
struct Ports(BTreeSet<u16>);

impl Sockets for Ports {
    fn open(&mut self, relay: Relay) -> bool {
        self.0.insert(relay.port)
    }

    fn close(&mut self, relay: Relay) {
        assert!(self.0.remove(&relay.port), "a port is closed once");
    }
}

/// What hostile clients and peers send to a server, in records: what it is, the length, and that many
/// bytes. `r`: a packet as it is. `s`: a request whose credentials are added, so that what is behind
/// them is reached: the method's number and attributes. `p`: a packet of a peer. `t`: seconds pass. The
/// length's upper two bits say which of four clients it is about.
///
/// `start` is any time.
///
/// # Panics
/// When something is wrong with this crate.
pub fn packets(mut bytes: &[u8], start: Instant) {
    let mut server = Server::new(config(), start);
    let (mut ports, mut out, mut now) = (Ports::default(), Vec::new(), start);
    let key = message_key(NAME, REALM, &password(SECRET, NAME));

    for _ in 0..MAX_RECORDS {
        let [kind, length, rest @ ..] = bytes else {
            return;
        };
        let data;
        (data, bytes) = rest.split_at(usize::from(length & 0x3F).min(rest.len()));
        let from = SocketAddr::from(([192, 0, 2, length >> 6], 5000));
        let mut packet = |data: &[u8], out: &mut Vec<u8>| {
            let packet = Packet {
                from: Client {
                    transport: Transport::Udp(0),
                    address: from,
                },
                data,
                now,
                unix: 900_000_000,
            };
            server.receive(packet, &mut ports, out)
        };

        match kind {
            b's' => {
                let challenge = challenge(from, &mut packet, &mut out);
                if let Some(request) = challenge.and_then(|nonce| signed(data, &nonce, &key)) {
                    let to = packet(&request, &mut out);
                    assert!(to.is_none() || Message::read(&out).is_some());
                }
            }
            b'p' => {
                let open = ports.0.iter().next().copied().unwrap_or(1);
                let relay = Relay {
                    family: crate::Family::V4,
                    port: open,
                };
                let peer = SocketAddr::from(([8, 8, 8, length >> 6], 7000));
                server.receive_from_peer(relay, peer, data, now, &mut out);
            }
            b't' => {
                now += Duration::from_secs(data.first().copied().unwrap_or(1).into());
                server.tick(now, &mut ports);
            }
            _ => {
                packet(data, &mut out);
            }
        }

        assert_eq!(server.stats().open, ports.0.len(), "each has a port");
    }
}

fn config() -> Config {
    Config {
        secret: SECRET.into(),
        addresses: RelayAddresses {
            v4: Some(RELAYED),
            v6: None,
        },
        ports: 50_000..=50_002,
        rules: PeerRules::new(Vec::new(), Vec::new(), &[IpAddr::from(RELAYED).into()]),
        credential_lifetime: Duration::from_secs(3600),
        quotas: Quotas {
            per_user: 3,
            per_address: 2,
            total: 4,
            user_bandwidth: 100_000,
            address_bandwidth: 0,
            total_bandwidth: 0,
        },
        nonce_key: [1; 32],
        seed: 1,
    }
}

/// A nonce for this client, if it gets one.
fn challenge(
    from: SocketAddr,
    packet: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Option<crate::Destination>,
    out: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    Writer::new(&mut request, Class::Request, Method::Allocate, [0; 12]).finish();
    let to = packet(&request, out)?;
    assert!(matches!(to, crate::Destination::Client(client) if client.address == from));

    let answer = Message::read(out)?;
    answer.attribute(attribute::NONCE).map(<[u8]>::to_vec)
}

/// A request with credentials, of a method and attributes that the fuzzer chose.
fn signed(data: &[u8], nonce: &[u8], key: &hmac::Key) -> Option<Vec<u8>> {
    let (method, mut attributes) = data.split_first()?;
    let method = match method % 4 {
        0 => Method::Allocate,
        1 => Method::Refresh,
        2 => Method::CreatePermission,
        _ => Method::ChannelBind,
    };

    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Class::Request, method, [1; 12]);
    // Attributes as (type, length, value); the types that matter are below 256.
    while let [kind, length, rest @ ..] = attributes {
        let (value, after) = rest.split_at(usize::from(*length).min(rest.len()));
        writer = writer.attribute(u16::from(*kind), value);
        attributes = after;
    }

    writer
        .attribute(attribute::USERNAME, NAME.as_bytes())
        .attribute(attribute::REALM, REALM.as_bytes())
        .attribute(attribute::NONCE, nonce)
        .sign(key);
    Some(bytes)
}
