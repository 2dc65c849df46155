//! Finds ICE checks and their answers among datagrams (RFC 8489 §5, RFC 8445 §7), also inside what
//! goes to a TURN server (RFC 8656 §11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Size of a STUN header.
const HEADER: usize = 20;
/// Bytes 4 to 7 of every STUN message.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// What TURN puts in front of channel data: a channel number and a length.
const CHANNEL_HEADER: usize = 4;

/// The bits of a type that say request, indication, answer or error (RFC 8489 §5). A request has none.
const CLASS: u16 = 0x0110;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const CHANNEL_BIND_REQUEST: u16 = 0x0009;
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;

const USERNAME: u16 = 0x0006;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const USE_CANDIDATE: u16 = 0x0025;
const DATA: u16 = 0x0013;
const ICE_CONTROLLING: u16 = 0x802a;

/// Identifies a request; its answer carries the same one.
pub(in crate::peer) type Transaction = [u8; 12];

/// The other end of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) enum End {
    /// An address that is reached without help.
    Direct(SocketAddr),
    /// An address behind a TURN server.
    Relayed {
        /// The TURN server.
        server: SocketAddr,
        /// The partner's address.
        peer: SocketAddr,
    },
    /// An address behind a TURN server, known by the number of its channel.
    Channel {
        /// The TURN server.
        server: SocketAddr,
        /// The number of the channel.
        number: u16,
    },
}

/// An ICE message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IceMessage<'a> {
    /// A check: a binding request with a user name. A request to a STUN server has none.
    Check {
        transaction: Transaction,
        /// Names the generation of ICE on both sides.
        username: &'a [u8],
        /// The pair is to be used from now on (RFC 8445 §7.1.2).
        nominates: bool,
        /// The side that sends it controls ICE (RFC 8445 §7.1.3).
        controls: bool,
    },
    /// The answer to a check.
    Answer { transaction: Transaction },
}

impl End {
    /// Where datagrams for this end go.
    pub(super) fn address(self) -> SocketAddr {
        match self {
            Self::Direct(address) => address,
            Self::Relayed { server, .. } | Self::Channel { server, .. } => server,
        }
    }
}

/// What a datagram to or from `address` carries once it is out of what TURN put around it, and the end
/// that it belongs to. `None` for what contradicts itself.
pub(in crate::peer) fn carried(address: SocketAddr, datagram: &[u8]) -> Option<(End, &[u8])> {
    if let Some(number @ 0x4000..=0x4fff) = number(datagram, 0) {
        let length = usize::from(self::number(datagram, 2)?);
        let inner = datagram.get(CHANNEL_HEADER..CHANNEL_HEADER + length)?;
        let end = End::Channel {
            server: address,
            number,
        };
        return Some((end, inner));
    }

    let is_indication =
        |message: &Message<'_>| matches!(message.kind, SEND_INDICATION | DATA_INDICATION);
    let Some(message) = Message::parse(datagram).filter(is_indication) else {
        return Some((End::Direct(address), datagram));
    };

    let end = End::Relayed {
        server: address,
        peer: message.address(message.attribute(XOR_PEER_ADDRESS)?)?,
    };
    Some((end, message.attribute(DATA)?))
}

/// The ICE message in a datagram to or from `address`, and the end that it belongs to. `None` for
/// everything else.
pub(super) fn ice_message(address: SocketAddr, datagram: &[u8]) -> Option<(End, IceMessage<'_>)> {
    let (end, inner) = carried(address, datagram)?;
    Some((end, check_or_answer(inner)?))
}

/// Whom a datagram is for or from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A STUN or TURN server is asked for something.
    ServerRequest,
    /// A TURN server forwards it.
    ThroughServer,
    /// The partner, without a TURN server of this side: checks and their answers, handshakes, media.
    Partner,
}

/// Whom a datagram that leaves is for. A request to a STUN server has no user name, but a check does;
/// all other requests are TURN's.
pub(super) fn purpose(datagram: &[u8]) -> Purpose {
    if let Some(0x4000..=0x4fff) = number(datagram, 0) {
        return Purpose::ThroughServer;
    }

    let Some(message) = Message::parse(datagram) else {
        return Purpose::Partner;
    };
    match message.kind {
        SEND_INDICATION | DATA_INDICATION => Purpose::ThroughServer,
        kind if kind & CLASS == 0 && !is_check(datagram) => Purpose::ServerRequest,
        _ => Purpose::Partner,
    }
}

/// Whether a datagram is a check, not inside of what a TURN server forwards.
pub(super) fn is_check(datagram: &[u8]) -> bool {
    matches!(check_or_answer(datagram), Some(IceMessage::Check { .. }))
}

/// The ICE message that these bytes are.
pub(super) fn check_or_answer(bytes: &[u8]) -> Option<IceMessage<'_>> {
    binding(&Message::parse(bytes)?)
}

/// The channel that a datagram to the TURN server `address` asks for (RFC 8656 §12.1), and the peer that
/// it stands for.
pub(super) fn channel_request(address: SocketAddr, datagram: &[u8]) -> Option<(End, SocketAddr)> {
    let message = Message::parse(datagram)?;
    if message.kind != CHANNEL_BIND_REQUEST {
        return None;
    }

    let end = End::Channel {
        server: address,
        number: number(message.attribute(CHANNEL_NUMBER)?, 0)?,
    };
    let peer = message.address(message.attribute(XOR_PEER_ADDRESS)?)?;
    Some((end, peer))
}

fn binding<'a>(message: &Message<'a>) -> Option<IceMessage<'a>> {
    let transaction = message.transaction;
    match message.kind {
        BINDING_REQUEST => Some(IceMessage::Check {
            transaction,
            username: message.attribute(USERNAME)?,
            nominates: message.attribute(USE_CANDIDATE).is_some(),
            controls: message.attribute(ICE_CONTROLLING).is_some(),
        }),
        BINDING_SUCCESS => Some(IceMessage::Answer { transaction }),
        _ => None,
    }
}

/// A STUN message.
pub(in crate::peer) struct Message<'a> {
    /// Its class and method.
    pub(in crate::peer) kind: u16,
    pub(in crate::peer) transaction: Transaction,
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message that a datagram is.
    pub(in crate::peer) fn parse(datagram: &'a [u8]) -> Option<Self> {
        if datagram.get(4..8)? != COOKIE {
            return None;
        }

        let length = usize::from(number(datagram, 2)?);
        Some(Self {
            kind: number(datagram, 0)?,
            transaction: datagram.get(8..HEADER)?.try_into().ok()?,
            attributes: datagram.get(HEADER..HEADER + length)?,
        })
    }

    /// The value of the first attribute of a type.
    pub(in crate::peer) fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        loop {
            let (kind, length) = (number(rest, 0)?, usize::from(number(rest, 2)?));
            let value = rest.get(4..4 + length)?;
            if kind == wanted {
                return Some(value);
            }

            // Each one is padded to a multiple of four bytes.
            rest = rest.get(4 + length.next_multiple_of(4)..)?;
        }
    }

    /// An address as in XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    fn address(&self, value: &[u8]) -> Option<SocketAddr> {
        let mut mask = [0; 16];
        mask[..4].copy_from_slice(&COOKIE);
        mask[4..].copy_from_slice(&self.transaction);
        let unmasked = |bytes: &[u8]| -> Vec<u8> {
            let pairs = bytes.iter().zip(mask);
            pairs.map(|(byte, mask)| byte ^ mask).collect()
        };

        let port = number(value, 2)? ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        let ip = match value.get(1)? {
            1 => {
                let bytes: [u8; 4] = unmasked(value.get(4..8)?).try_into().ok()?;
                IpAddr::from(Ipv4Addr::from(bytes))
            }
            2 => {
                let bytes: [u8; 16] = unmasked(value.get(4..20)?).try_into().ok()?;
                IpAddr::from(Ipv6Addr::from(bytes))
            }
            _ => return None,
        };

        Some(SocketAddr::new(ip, port))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Messages for tests.
#[cfg(test)]
pub(super) mod examples {
    use super::*;

    /// A message of `kind`.
    pub(in super::super) fn message(
        kind: u16,
        transaction: u8,
        attributes: &[(u16, &[u8])],
    ) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }

        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(COOKIE);
        bytes.extend([transaction; 12]);
        bytes.extend(body);
        bytes
    }

    /// `address` as in XOR-PEER-ADDRESS in a message with this transaction.
    pub(in super::super) fn peer_address(address: SocketAddr, transaction: u8) -> Vec<u8> {
        let mut mask = COOKIE.to_vec();
        mask.extend([transaction; 12]);
        let (family, ip) = match address.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };

        let mut value = vec![0, family];
        value.extend((address.port() ^ 0x2112).to_be_bytes());
        value.extend(ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        value
    }

    /// What goes through TURN to `peer` or comes from there, without a channel.
    pub(in super::super) fn indication(peer: SocketAddr, inner: &[u8]) -> Vec<u8> {
        let peer = peer_address(peer, 9);
        message(
            SEND_INDICATION,
            9,
            &[(XOR_PEER_ADDRESS, &peer), (DATA, inner)],
        )
    }

    /// The same in a channel.
    pub(in super::super) fn channel_data(number: u16, inner: &[u8]) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend((inner.len() as u16).to_be_bytes());
        bytes.extend(inner);
        bytes
    }

    /// The request for a channel.
    pub(in super::super) fn channel_request(number: u16, peer: SocketAddr) -> Vec<u8> {
        let peer = peer_address(peer, 9);
        let [high, low] = number.to_be_bytes();
        message(
            CHANNEL_BIND_REQUEST,
            9,
            &[
                (CHANNEL_NUMBER, &[high, low, 0, 0]),
                (XOR_PEER_ADDRESS, &peer),
            ],
        )
    }

    /// A check.
    pub(in super::super) fn check(transaction: u8) -> Vec<u8> {
        message(BINDING_REQUEST, transaction, &[(USERNAME, b"them:us")])
    }

    /// The answer to a check.
    pub(in super::super) fn answer(transaction: u8) -> Vec<u8> {
        message(BINDING_SUCCESS, transaction, &[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::examples::{answer, channel_data, channel_request, check, indication, message};
    use super::*;

    fn server() -> SocketAddr {
        "203.0.113.5:3478".parse().unwrap()
    }

    #[test]
    fn checks_and_answers_are_found() {
        let found = IceMessage::Check {
            transaction: [7; 12],
            username: b"them:us",
            nominates: false,
            controls: false,
        };
        assert_eq!(
            ice_message(server(), &check(7)),
            Some((End::Direct(server()), found))
        );

        let found = IceMessage::Answer {
            transaction: [8; 12],
        };
        assert_eq!(
            ice_message(server(), &answer(8)),
            Some((End::Direct(server()), found))
        );
    }

    #[test]
    fn nominations_are_found() {
        let attributes: [(u16, &[u8]); 3] = [
            (USERNAME, b"them:us"),
            (USE_CANDIDATE, b""),
            (ICE_CONTROLLING, &[7; 8]),
        ];
        let nomination = message(BINDING_REQUEST, 7, &attributes);
        let found = IceMessage::Check {
            transaction: [7; 12],
            username: b"them:us",
            nominates: true,
            controls: true,
        };
        assert_eq!(
            ice_message(server(), &nomination),
            Some((End::Direct(server()), found))
        );
    }

    #[test]
    fn what_goes_through_turn_belongs_to_the_address_behind_it() {
        for peer in ["192.0.2.7:61000", "[2001:db8::7]:61000"] {
            let peer = peer.parse().unwrap();
            let indication = indication(peer, &check(7));
            let (end, found) = ice_message(server(), &indication).expect("a check");
            let expected = End::Relayed {
                server: server(),
                peer,
            };
            assert_eq!(end, expected);
            assert!(
                matches!(found, IceMessage::Check { transaction, .. } if transaction == [7; 12])
            );
        }

        let channel = channel_data(0x4003, &answer(7));
        let (end, found) = ice_message(server(), &channel).expect("an answer");
        let expected = End::Channel {
            server: server(),
            number: 0x4003,
        };
        assert_eq!(end, expected);
        assert!(matches!(found, IceMessage::Answer { .. }));
    }

    #[test]
    fn media_is_taken_out_of_what_turn_put_around_it() {
        let (peer, media) = ("192.0.2.7:61000".parse().unwrap(), [0x80, 96, 0, 1, 7]);
        let server = server();
        for (datagram, end) in [
            (media.to_vec(), End::Direct(server)),
            (indication(peer, &media), End::Relayed { server, peer }),
            (
                channel_data(0x4003, &media),
                End::Channel {
                    server,
                    number: 0x4003,
                },
            ),
        ] {
            assert_eq!(carried(server, &datagram), Some((end, &media[..])));
        }

        let cut = &channel_data(0x4003, &media)[..7];
        assert_eq!(carried(server, cut), None, "shorter than it says");
    }

    #[test]
    fn the_peer_of_a_channel_is_in_the_request_for_it() {
        let peer = "192.0.2.7:61000".parse().unwrap();
        let request = channel_request(0x4003, peer);
        let end = End::Channel {
            server: server(),
            number: 0x4003,
        };
        assert_eq!(channel_request_of(&request), Some((end, peer)));
        assert_eq!(channel_request_of(&indication(peer, &request)), None);
    }

    fn channel_request_of(datagram: &[u8]) -> Option<(End, SocketAddr)> {
        super::channel_request(server(), datagram)
    }

    #[test]
    fn everything_else_is_left_alone() {
        let to_stun_server = message(BINDING_REQUEST, 1, &[]);
        let allocate = message(0x0003, 1, &[(USERNAME, b"user")]);
        let cut = &check(1)[..24];
        let rtp: &[u8] = &[0x80, 96, 0, 1, 0x21, 0x12, 0xa4, 0x42];
        let dtls = [&[22, 0xfe, 0xfd][..], &[0; 30]].concat();
        for datagram in [&to_stun_server, &allocate, cut, rtp, &dtls, &[]] {
            assert_eq!(ice_message(server(), datagram), None, "{datagram:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(
            head in prop_oneof![
                Just(check(1)),
                Just(message(SEND_INDICATION, 1, &[(DATA, &check(2))])),
                Just(vec![0x40, 0, 0, 30]),
            ],
            cut in 0..60_usize,
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = head;
            bytes.truncate(cut);
            bytes.extend(tail);
            let _ = ice_message(server(), &bytes);
        }
    }
}
