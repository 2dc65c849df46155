//! STUN messages (RFC 8489 §5) and TURN's ChannelData (RFC 8656 §12.4): reading and writing.
//!
//! Reading never copies and never allocates. A message that is not exactly as long as its header
//! says, or whose attributes overrun it, is none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ring::hmac;
use subtle::ConstantTimeEq;

/// The bytes that every STUN message has at offset 4.
const MAGIC_COOKIE: u32 = 0x2112_A442;
/// Type, length, cookie, transaction id.
pub(crate) const HEADER_LEN: usize = 20;
/// Type and length.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// An HMAC-SHA1.
const INTEGRITY_LEN: usize = 20;
/// Channel number and length.
pub(crate) const CHANNEL_HEADER_LEN: usize = 4;

/// Identifies a request and its response.
pub type TransactionId = [u8; 12];

/// What a message is about (RFC 8656 §17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks for the sender's address.
    Binding,
    /// Asks for a relayed address.
    Allocate,
    /// Prolongs or ends an allocation.
    Refresh,
    /// Data from the client to a peer.
    Send,
    /// Data from a peer to the client.
    Data,
    /// Lets peers at some addresses send to the client.
    CreatePermission,
    /// Binds a channel number to a peer.
    ChannelBind,
}

impl Method {
    const ALL: [(Self, u16); 7] = [
        (Self::Binding, 0x001),
        (Self::Allocate, 0x003),
        (Self::Refresh, 0x004),
        (Self::Send, 0x006),
        (Self::Data, 0x007),
        (Self::CreatePermission, 0x008),
        (Self::ChannelBind, 0x009),
    ];

    fn code(self) -> u16 {
        Self::ALL
            .iter()
            .find(|(method, _)| *method == self)
            .map_or(0, |(_, code)| *code)
    }
}

/// The four kinds of messages (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// The response to a request that succeeded.
    Success,
    /// The response to a request that failed.
    Error,
}

impl Class {
    const ALL: [(Self, u16); 4] = [
        (Self::Request, 0x000),
        (Self::Indication, 0x010),
        (Self::Success, 0x100),
        (Self::Error, 0x110),
    ];

    fn bits(self) -> u16 {
        Self::ALL
            .iter()
            .find(|(class, _)| *class == self)
            .map_or(0, |(_, bits)| *bits)
    }
}

/// The types of attributes that this server knows.
pub mod attribute {
    /// Who sends the request.
    pub const USERNAME: u16 = 0x0006;
    /// HMAC-SHA1 over everything before it.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// Why a request failed.
    pub const ERROR_CODE: u16 = 0x0009;
    /// The attributes that the server had to understand and does not.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// The channel to bind.
    pub const CHANNEL_NUMBER: u16 = 0x000C;
    /// In seconds.
    pub const LIFETIME: u16 = 0x000D;
    /// A peer, as the server sees it.
    pub const XOR_PEER_ADDRESS: u16 = 0x0012;
    /// What a peer sent or gets.
    pub const DATA: u16 = 0x0013;
    /// What the credentials are for.
    pub const REALM: u16 = 0x0014;
    /// Proves that the client receives at its address.
    pub const NONCE: u16 = 0x0015;
    /// The relayed address.
    pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    /// IPv4 or IPv6.
    pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    /// Asks for a pair of ports.
    pub const EVEN_PORT: u16 = 0x0018;
    /// UDP is the only one here.
    pub const REQUESTED_TRANSPORT: u16 = 0x0019;
    /// The client's address, as the server sees it.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// Asks for a port that was reserved.
    pub const RESERVATION_TOKEN: u16 = 0x0022;

    /// Those that a request may hold. Others below 0x8000 must be refused (RFC 8489 §15).
    pub(super) const KNOWN_IN_REQUESTS: [u16; 12] = [
        USERNAME,
        MESSAGE_INTEGRITY,
        CHANNEL_NUMBER,
        LIFETIME,
        XOR_PEER_ADDRESS,
        DATA,
        REALM,
        NONCE,
        REQUESTED_ADDRESS_FAMILY,
        EVEN_PORT,
        REQUESTED_TRANSPORT,
        RESERVATION_TOKEN,
    ];
}

/// A message inside a datagram.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its kind.
    pub class: Class,
    /// `None`: a method that is not TURN's.
    pub method: Option<Method>,
    /// Repeated in the response.
    pub transaction: TransactionId,
    /// The header and all attributes.
    bytes: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins, if there is one. What follows it is not protected, and ignored.
    integrity_at: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a message that fills `bytes`; `None` if it is not one.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_stun = kind & 0xC000 == 0
            && header[4..8] == MAGIC_COOKIE.to_be_bytes()
            && length.is_multiple_of(4)
            && length + HEADER_LEN == bytes.len();
        if !is_stun {
            return None;
        }

        let (class, _) = *Class::ALL.iter().find(|(_, bits)| kind & 0x110 == *bits)?;
        let method = Method::ALL
            .iter()
            .find(|(_, code)| kind & !0x110 == *code)
            .map(|(method, _)| *method);
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..]);

        let mut integrity_at = None;
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let (kind, length) = attribute_header(bytes, at)?;
            if kind == attribute::MESSAGE_INTEGRITY && integrity_at.is_none() {
                integrity_at = (length == INTEGRITY_LEN).then_some(at);
                integrity_at?;
            }

            at += ATTRIBUTE_HEADER_LEN + length.next_multiple_of(4);
        }

        (at == bytes.len()).then_some(Self {
            class,
            method,
            transaction,
            bytes,
            integrity_at,
        })
    }

    /// The attributes up to MESSAGE-INTEGRITY, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = &self.bytes[..self.integrity_at.unwrap_or(self.bytes.len())];
        let mut at = HEADER_LEN;

        std::iter::from_fn(move || {
            let (kind, length) = attribute_header(bytes, at)?;
            let from = at + ATTRIBUTE_HEADER_LEN;
            at = from + length.next_multiple_of(4);
            Some((kind, &bytes[from..from + length]))
        })
    }

    /// The first attribute of this type (RFC 8489 §14: of repeated ones only the first counts).
    #[must_use]
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// An attribute that holds a 32-bit number.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        let value = self.attribute(kind)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    /// An attribute that holds text.
    #[must_use]
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.attribute(kind)?).ok()
    }

    /// An attribute that holds an address, XORed as RFC 8489 §14.2 has it.
    #[must_use]
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        read_address(self.attribute(kind)?, &self.transaction)
    }

    /// All peers that the message names; the inner `None` stands for one that cannot be read.
    pub fn peers(&self) -> impl Iterator<Item = Option<SocketAddr>> {
        let transaction = self.transaction;
        self.attributes()
            .filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS)
            .map(move |(_, value)| read_address(value, &transaction))
    }

    /// The code of an error response, as in `401`.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        let value = self.attribute(attribute::ERROR_CODE)?;
        Some(u16::from(*value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    /// The first attribute of a request that must be understood and is not.
    pub(crate) fn unknown_attribute(&self) -> Option<u16> {
        self.attributes()
            .map(|(kind, _)| kind)
            .find(|kind| *kind < 0x8000 && !attribute::KNOWN_IN_REQUESTS.contains(kind))
    }

    /// Whether the message has a MESSAGE-INTEGRITY.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY was made with `key` (RFC 8489 §14.5). In constant time.
    #[must_use]
    pub fn is_signed_with(&self, key: &hmac::Key) -> bool {
        let Some(at) = self.integrity_at else {
            return false;
        };
        let tag = &self.bytes[at + ATTRIBUTE_HEADER_LEN..][..INTEGRITY_LEN];
        let signed = sign(&self.bytes[..at], key);

        signed.as_ref().ct_eq(tag).into()
    }
}

/// The HMAC of a message whose MESSAGE-INTEGRITY comes next. The length in the header counts it.
fn sign(before: &[u8], key: &hmac::Key) -> hmac::Tag {
    let length = before.len() - HEADER_LEN + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN;
    let mut context = hmac::Context::with_key(key);
    context.update(&before[..2]);
    context.update(&be16(length));
    context.update(&before[4..]);

    context.sign()
}

/// Type and length of the attribute at an offset, if it fits.
fn attribute_header(bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let rest = bytes.get(at..)?;
    let header = rest.first_chunk::<ATTRIBUTE_HEADER_LEN>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fits = rest.len() >= ATTRIBUTE_HEADER_LEN + length.next_multiple_of(4);

    fits.then_some((u16::from_be_bytes([header[0], header[1]]), length))
}

fn read_address(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let (head, ip) = value.split_at_checked(4)?;
    let cookie = MAGIC_COOKIE.to_be_bytes();
    let port = u16::from_be_bytes([head[2] ^ cookie[0], head[3] ^ cookie[1]]);

    let ip: IpAddr = match head[1] {
        1 => {
            let ip: [u8; 4] = ip.try_into().ok()?;
            Ipv4Addr::from_bits(u32::from_be_bytes(ip) ^ MAGIC_COOKIE).into()
        }
        2 => {
            let mut ip: [u8; 16] = ip.try_into().ok()?;
            xor_v6(&mut ip, transaction);
            Ipv6Addr::from(ip).into()
        }
        _ => return None,
    };

    Some(SocketAddr::new(ip, port))
}

fn xor_v6(ip: &mut [u8; 16], transaction: &TransactionId) {
    let mask = MAGIC_COOKIE.to_be_bytes().into_iter().chain(*transaction);
    ip.iter_mut()
        .zip(mask)
        .for_each(|(byte, mask)| *byte ^= mask);
}

/// A length that fits 16 bits, because the buffers that it counts do.
fn be16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// Writes a message into a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    transaction: TransactionId,
}

impl<'a> Writer<'a> {
    /// Begins a message; what was in the buffer is gone.
    pub fn new(
        bytes: &'a mut Vec<u8>,
        class: Class,
        method: Method,
        transaction: TransactionId,
    ) -> Self {
        bytes.clear();
        bytes.extend_from_slice(&(class.bits() | method.code()).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction);

        Self { bytes, transaction }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&be16(value.len()));
        self.bytes.extend_from_slice(value);
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
        let length = be16(padded - HEADER_LEN);
        self.bytes[2..4].copy_from_slice(&length);

        self
    }

    /// Adds an attribute that holds a 32-bit number.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds an attribute that holds an address, XORed.
    #[must_use]
    pub fn address(self, kind: u16, address: SocketAddr) -> Self {
        let cookie = MAGIC_COOKIE.to_be_bytes();
        let port = address.port().to_be_bytes();
        let port = [port[0] ^ cookie[0], port[1] ^ cookie[1]];

        match address.ip() {
            IpAddr::V4(ip) => {
                let ip = (ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes();
                self.attribute(kind, &[&[0, 1], &port[..], &ip].concat())
            }
            IpAddr::V6(ip) => {
                let mut ip = ip.octets();
                xor_v6(&mut ip, &self.transaction);
                self.attribute(kind, &[&[0, 2], &port[..], &ip].concat())
            }
        }
    }

    /// Adds an ERROR-CODE without words, to keep the answer small.
    #[must_use]
    pub fn error(self, code: u16) -> Self {
        let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or(0));
        self.attribute(attribute::ERROR_CODE, &[0, 0, class, number])
    }

    /// Ends the message with a MESSAGE-INTEGRITY.
    pub fn sign(self, key: &hmac::Key) {
        let tag = sign(self.bytes, key);
        let _ = self.attribute(attribute::MESSAGE_INTEGRITY, tag.as_ref());
    }

    /// Ends the message without one.
    pub fn finish(self) {}
}

/// Reads ChannelData: the channel and what is in it. Over UDP, padding after the data is allowed.
#[must_use]
pub fn read_channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (header, data) = bytes.split_first_chunk::<CHANNEL_HEADER_LEN>()?;
    let channel = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));

    is_channel(channel)
        .then(|| data.get(..length))
        .flatten()
        .map(|data| (channel, data))
}

/// Writes ChannelData without padding; what was in the buffer is gone. `data` is at most 65,535 bytes.
pub fn write_channel_data(bytes: &mut Vec<u8>, channel: u16, data: &[u8]) {
    bytes.clear();
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&be16(data.len()));
    bytes.extend_from_slice(data);
}

/// Whether a number is a channel's (RFC 8656 §12).
pub(crate) fn is_channel(number: u16) -> bool {
    (0x4000..=0x4FFF).contains(&number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 5769 §2.1: a request with a short-term credential.
    const SAMPLE_REQUEST: [u8; 108] = [
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74,
        0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e,
        0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
        0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20,
        0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
        0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5,
        0x7a, 0x3b, 0xcf,
    ];

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret)
    }

    #[test]
    fn the_integrity_of_the_rfcs_sample_is_accepted_and_of_a_changed_one_is_not() {
        let message = Message::read(&SAMPLE_REQUEST).unwrap();
        assert_eq!(message.method, Some(Method::Binding));
        assert_eq!(message.text(attribute::USERNAME), Some("evtj:h6vY"));
        assert!(message.is_signed_with(&key(b"VOkJxbRl1RmTxUk/WvJxBt")));
        assert!(!message.is_signed_with(&key(b"another password")));

        for at in 0..76 {
            let mut changed = SAMPLE_REQUEST;
            changed[at] ^= 1;
            let accepted = Message::read(&changed)
                .is_some_and(|message| message.is_signed_with(&key(b"VOkJxbRl1RmTxUk/WvJxBt")));
            assert!(!accepted, "byte {at} is protected");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut bytes = Vec::new();
        let (v4, v6) = (
            "192.0.2.1:32853",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        );
        let (v4, v6) = (v4.parse().unwrap(), v6.parse().unwrap());
        Writer::new(&mut bytes, Class::Success, Method::Allocate, [7; 12])
            .address(attribute::XOR_RELAYED_ADDRESS, v4)
            .address(attribute::XOR_MAPPED_ADDRESS, v6)
            .number(attribute::LIFETIME, 600)
            .error(438)
            .sign(&key(b"k"));

        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.class, Class::Success);
        assert_eq!(message.transaction, [7; 12]);
        assert_eq!(message.address(attribute::XOR_RELAYED_ADDRESS), Some(v4));
        assert_eq!(message.address(attribute::XOR_MAPPED_ADDRESS), Some(v6));
        assert_eq!(message.number(attribute::LIFETIME), Some(600));
        assert_eq!(message.error_code(), Some(438));
        assert!(message.is_signed_with(&key(b"k")));
    }

    #[test]
    fn attributes_after_the_integrity_do_not_count() {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, Class::Request, Method::Refresh, [1; 12])
            .number(attribute::CHANNEL_NUMBER, 1)
            .sign(&key(b"k"));
        let signed = bytes.clone();
        // What someone on the way could append: a lifetime of zero ends the allocation.
        bytes.extend_from_slice(&[0x00, 0x0D, 0x00, 0x04, 0, 0, 0, 0]);
        let length = be16(bytes.len() - HEADER_LEN);
        bytes[2..4].copy_from_slice(&length);

        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.number(attribute::LIFETIME), None);
        assert!(message.is_signed_with(&key(b"k")));
        assert!(Message::read(&signed).is_some());
    }

    #[test]
    fn channel_data_must_hold_what_its_header_says() {
        let mut bytes = Vec::new();
        write_channel_data(&mut bytes, 0x4001, b"hello");
        assert_eq!(read_channel_data(&bytes), Some((0x4001, &b"hello"[..])));

        bytes.extend_from_slice(&[0; 3]);
        assert_eq!(
            read_channel_data(&bytes),
            Some((0x4001, &b"hello"[..])),
            "padded"
        );
        assert_eq!(read_channel_data(&bytes[..8]), None, "cut off");
        assert_eq!(read_channel_data(&[0x50, 0, 0, 0]), None, "no channel");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_channel_data(&bytes);
            if let Some(message) = Message::read(&bytes) {
                let _ = message.peers().count();
            }
        }

        #[test]
        fn a_damaged_message_is_read_without_a_panic(at in 0usize..108, to in any::<u8>(), cut in 0usize..108) {
            let mut bytes = SAMPLE_REQUEST.to_vec();
            bytes[at] = to;
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Some(message) = Message::read(bytes) {
                    let _ = (message.peers().count(), message.is_signed_with(&key(b"k")));
                    let _ = (message.unknown_attribute(), message.error_code());
                }
            }
        }
    }
}
