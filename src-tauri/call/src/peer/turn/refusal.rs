//! Answers in the name of a TURN server that there is no connection to.
//!
//! The library asks each TURN server from each of its sockets, and its candidates are complete only once
//! it has heard of all. What cannot be sent it gives up, and forgets: so requests to a server without
//! a connection fail. One that was taken, and then found no connection, is answered as every server
//! answers at first (RFC 8656 §7.2): the next one follows at once, and fails. The library takes no other
//! error from a request without credentials, and would wait for the end of its time.

use crate::peer::checks::{Message, Transaction};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const ALLOCATE_REQUEST: u16 = 0x0003;
const ALLOCATE_ERROR: u16 = 0x0113;

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;

/// The credentials are missing: the library takes no other error from a request without them.
const UNAUTHENTICATED: u16 = 401;

/// What answers a datagram to the server. `None` for everything that is not a first request for an
/// allocation.
pub(super) fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    let request = Message::parse(datagram).filter(|message| message.kind == ALLOCATE_REQUEST)?;
    let is_first = request.attribute(USERNAME).is_none();
    is_first.then(|| error(&request.transaction, UNAUTHENTICATED))
}

/// The answer to a request for an allocation that ends with `code`.
pub(super) fn error(transaction: &Transaction, code: u16) -> Vec<u8> {
    let [class, number] = [code / 100, code % 100].map(|part| part as u8);
    let mut attributes = Vec::new();
    for (kind, value) in [
        (ERROR_CODE, &[0, 0, class, number][..]),
        (REALM, b"none"),
        (NONCE, b"none"),
    ] {
        attributes.extend_from_slice(&kind.to_be_bytes());
        attributes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        attributes.extend_from_slice(value);
    }

    [
        &ALLOCATE_ERROR.to_be_bytes()[..],
        &(attributes.len() as u16).to_be_bytes(),
        &COOKIE,
        transaction,
        &attributes,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use bytes::BytesMut;
    use rtc::crypto::RTCCryptoProvider;
    use rtc::sansio::Protocol;
    use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
    use rtc::turn::client::{Client, ClientConfig};

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    fn the_library_asks_again_at_once() {
        let server = "240.0.0.1:3478";
        let local = "192.0.2.1:5000".parse().unwrap();
        let config = ClientConfig {
            turn_serv_addr: server.into(),
            local_addr: local,
            username: "1:u".into(),
            password: "secret".into(),
            ..ClientConfig::default()
        };
        let provider: Arc<dyn RTCCryptoProvider> =
            rtc::crypto::default_provider().expect("the crypto that the program has");
        let mut client = Client::new(config, provider).expect("a client");
        let now = Instant::now();
        client.allocate(now).expect("a request");

        let first = client.poll_write().expect("a request");
        let answer = answer(&first.message).expect("an answer");
        client
            .handle_read(TaggedBytesMut {
                now,
                transport: TransportContext {
                    local_addr: local,
                    peer_addr: server.parse().unwrap(),
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                },
                message: BytesMut::from(&answer[..]),
            })
            .expect("an answer that it can read");

        let second = client.poll_write().expect("a request with credentials");
        assert_eq!(super::answer(&second.message), None, "which fails");
    }

    #[test]
    fn nothing_else_is_answered() {
        assert_eq!(answer(&[0x40, 0, 0, 1, 7]), None, "channel data");
        assert_eq!(answer(&[]), None);
        let mut refresh = vec![0, 4, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        refresh.resize(20, 0);
        assert_eq!(answer(&refresh), None);
    }
}
