//! Answers in the name of a TURN server that there is no connection to.
//!
//! The library asks each TURN server from each of its sockets, and its candidates are complete only once
//! all have answered. A server that is reached by one socket, or not at all, answers the others like one
//! that has no more room (RFC 8656 §7.2).

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
/// Allocation Quota Reached.
const QUOTA_REACHED: u16 = 486;

/// What answers a datagram to the server. `None` for everything that is not a request for an
/// allocation.
pub(super) fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    let request = Message::parse(datagram).filter(|message| message.kind == ALLOCATE_REQUEST)?;
    let code = match request.attribute(USERNAME) {
        Some(_) => QUOTA_REACHED,
        None => UNAUTHENTICATED,
    };

    Some(error(&request.transaction, code))
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
    use rtc::turn::client::{Client, ClientConfig, Event};

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    fn the_library_gives_up_after_both_answers() {
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
        let allocation = client.allocate(now).expect("a request");

        let mut answered = 0;
        while let Some(request) = client.poll_write() {
            let answer = answer(&request.message).expect("an answer to each request");
            answered += 1;
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
        }

        assert_eq!(answered, 2, "without and with credentials");
        assert!(
            matches!(client.poll_event(), Some(Event::AllocateError(id, _)) if id == allocation),
            "which ends the allocation"
        );
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
