//! Repeats requests to TURN servers with the nonce that they want. Sans-IO.
//!
//! A nonce is valid for some minutes; then a request is refused with 438, and has to be made again with the
//! nonce of the refusal (RFC 8489 §9.2.5). webrtc 0.21.1 does that for the first request of an allocation
//! only. A refresh or a permission that is refused is left out until its next turn, and a channel is
//! forgotten (rtc-turn, `handle_channel_bind_response`), though the server still uses it: it refuses the next
//! channel for the same partner, and what it sends through the old one is dropped. With a nonce of ten
//! minutes, nothing came through TURN any more after ten minutes.
//!
//! So the library does not see the refusal. It repeats the request, as one that was lost, and each request
//! leaves with the newest nonce that the server has named, and signed anew.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use rtc::crypto::RTCCryptoProvider;
use rtc::stun::attributes::{ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message as StunMessage, Setter};

use crate::peer::checks::{Message, Transaction};

/// Allocate, Refresh, CreatePermission and ChannelBind (RFC 8656 §17).
const METHODS: [u8; 4] = [0x03, 0x04, 0x08, 0x09];
/// The bit that makes an error of a method's number; with the one in the upper byte.
const ERROR: u8 = 0x10;

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;

/// The nonce is too old: class and number.
const STALE_NONCE: [u8; 2] = [4, 38];

/// Requests to one server that may still be answered.
const MAX_REQUESTS: usize = 64;
/// More servers than this are left to the library. A signaling server names a few.
const MAX_SERVERS: usize = 32;
/// Names and passwords to remember; the oldest are from before ICE last restarted.
const MAX_PASSWORDS: usize = 64;

/// The passwords of the TURN servers, by user name, in the order in which they came.
#[derive(Default)]
pub(super) struct Passwords(VecDeque<(String, String)>);

impl Passwords {
    pub(super) fn add(&mut self, username: &str, password: &str) {
        if self.of(username) == Some(password) {
            return;
        }

        if self.0.len() == MAX_PASSWORDS {
            self.0.pop_front();
        }

        self.0.push_back((username.to_owned(), password.to_owned()));
    }

    fn of(&self, username: &str) -> Option<&str> {
        let mut newest_first = self.0.iter().rev();
        newest_first
            .find(|(name, _)| name == username)
            .map(|(_, password)| password.as_str())
    }
}

/// The nonces of the servers that one socket talks to.
#[derive(Debug, Default)]
pub(super) struct StaleNonces {
    servers: HashMap<SocketAddr, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// From the newest refusal that the library did not see.
    nonce: Option<Vec<u8>>,
    /// Requests that can be signed anew, and the nonce that each last left with.
    requests: VecDeque<(Transaction, Vec<u8>)>,
}

impl Known {
    /// A request leaves with this nonce, perhaps not for the first time.
    fn note(&mut self, transaction: Transaction, nonce: &[u8]) {
        let mut requests = self.requests.iter_mut();
        if let Some((_, last)) = requests.find(|(known, _)| *known == transaction) {
            nonce.clone_into(last);
            return;
        }

        if self.requests.len() == MAX_REQUESTS {
            self.requests.pop_front();
        }

        self.requests.push_back((transaction, nonce.to_owned()));
    }

    fn nonce_of(&self, transaction: Transaction) -> Option<&[u8]> {
        let mut requests = self.requests.iter();
        let (_, nonce) = requests.find(|(known, _)| *known == transaction)?;
        Some(nonce)
    }
}

/// Whether a datagram can be a request that this is about: most are media.
pub(super) fn can_be_request(datagram: &[u8]) -> bool {
    matches!(datagram, [0, method, ..] if METHODS.contains(method))
}

/// Whether a datagram can be a refusal that this is about.
pub(super) fn can_be_refusal(datagram: &[u8]) -> bool {
    matches!(datagram, [1, kind, ..] if kind & ERROR != 0 && METHODS.contains(&(kind ^ ERROR)))
}

impl StaleNonces {
    /// A request leaves for `server`. Returns what to send in its place, if its nonce is not the newest.
    pub(super) fn on_sent(
        &mut self,
        server: SocketAddr,
        datagram: &[u8],
        passwords: &Passwords,
    ) -> Option<Vec<u8>> {
        let request = Message::parse(datagram)?;
        let used = request.attribute(NONCE)?;
        let text = |kind| std::str::from_utf8(request.attribute(kind)?).ok();
        let (username, realm) = (text(USERNAME)?, text(REALM)?);
        let password = passwords.of(username)?;

        let is_full = self.servers.len() >= MAX_SERVERS;
        if is_full && !self.servers.contains_key(&server) {
            return None;
        }

        let known = self.servers.entry(server).or_default();
        let newest = known.nonce.clone().filter(|newest| *newest != used);
        let renewed = newest
            .as_deref()
            .and_then(|newest| with_nonce(datagram, newest, [username, realm, password]));
        let left_with = newest.filter(|_| renewed.is_some());
        known.note(request.transaction, left_with.as_deref().unwrap_or(used));

        renewed
    }

    /// A refusal has come from `server`. Returns whether the library must not see it, because its
    /// repetition of the request will have another nonce.
    pub(super) fn on_refused(&mut self, server: SocketAddr, datagram: &[u8]) -> bool {
        let (Some(refusal), Some(known)) =
            (Message::parse(datagram), self.servers.get_mut(&server))
        else {
            return false;
        };

        let code = refusal.attribute(ERROR_CODE);
        let is_stale = code.is_some_and(|code| code.get(2..4) == Some(&STALE_NONCE[..]));
        let nonce = refusal.attribute(NONCE).filter(|_| is_stale);
        let (Some(nonce), Some(used)) = (nonce, known.nonce_of(refusal.transaction)) else {
            return false;
        };

        if nonce == used {
            // Another attempt would be of no use.
            return false;
        }

        known.nonce = Some(nonce.to_owned());
        true
    }
}

/// The same request with another nonce, signed with the key of a long-term credential (RFC 8489 §9.2.2).
fn with_nonce(datagram: &[u8], nonce: &[u8], credential: [&str; 3]) -> Option<Vec<u8>> {
    let mut before = StunMessage::new();
    before.raw = datagram.to_vec();
    before.decode().ok()?;

    let mut request = StunMessage::new();
    (request.typ, request.transaction_id) = (before.typ, before.transaction_id);
    request.write_header();
    for attribute in &before.attributes.0 {
        match attribute.typ {
            ATTR_MESSAGE_INTEGRITY | ATTR_FINGERPRINT => {}
            ATTR_NONCE => request.add(ATTR_NONCE, nonce),
            other => request.add(other, &attribute.value),
        }
    }

    let provider: Arc<dyn RTCCryptoProvider> = rtc::crypto::default_provider().ok()?;
    let [username, realm, password] = credential.map(str::to_owned);
    let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
        username,
        realm,
        password,
        provider.crypto(),
    )
    .ok()?;
    integrity.add_to(&mut request).ok()?;
    FINGERPRINT.add_to(&mut request).ok()?;

    Some(request.raw)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SERVER: &str = "192.0.2.9:3478";
    pub(in crate::peer::turn) const CREDENTIAL: [&str; 3] = ["1:ann", "turn", "secret"];
    const REFRESH: u16 = 0x0004;
    const REFRESH_ERROR: u16 = 0x0114;

    fn server() -> SocketAddr {
        SERVER.parse().unwrap()
    }

    fn passwords() -> Passwords {
        let mut passwords = Passwords::default();
        passwords.add(CREDENTIAL[0], CREDENTIAL[2]);
        passwords
    }

    fn message(kind: u16, number: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }

        let length = body.len() as u16;
        let cookie = [0x21, 0x12, 0xa4, 0x42];
        let head = [kind.to_be_bytes(), length.to_be_bytes()].concat();
        [&head[..], &cookie, &[number; 12], &body].concat()
    }

    /// Not signed: nobody looks at the signature of what is signed anew.
    pub(in crate::peer::turn) fn request(number: u8, nonce: &[u8]) -> Vec<u8> {
        let [username, realm, _] = CREDENTIAL.map(str::as_bytes);
        let attributes = [(USERNAME, username), (REALM, realm), (NONCE, nonce)];
        message(REFRESH, number, &attributes)
    }

    pub(in crate::peer::turn) fn stale(number: u8, nonce: &[u8]) -> Vec<u8> {
        refusal(number, STALE_NONCE, nonce)
    }

    fn refusal(number: u8, code: [u8; 2], nonce: &[u8]) -> Vec<u8> {
        let code = [0, 0, code[0], code[1]];
        message(
            REFRESH_ERROR,
            number,
            &[(ERROR_CODE, &code), (NONCE, nonce)],
        )
    }

    pub(in crate::peer::turn) fn nonce_of(datagram: &[u8]) -> Vec<u8> {
        let message = Message::parse(datagram).expect("a STUN message");
        message.attribute(NONCE).expect("a nonce").to_vec()
    }

    #[test]
    fn a_stale_nonce_is_replaced_and_the_request_signed_with_the_password() {
        let mut nonces = StaleNonces::default();
        let first = request(1, b"old");
        assert!(can_be_request(&first) && !can_be_refusal(&first));
        assert_eq!(nonces.on_sent(server(), &first, &passwords()), None);
        let refused = refusal(1, STALE_NONCE, b"new");
        assert!(can_be_refusal(&refused) && !can_be_request(&refused));
        assert!(nonces.on_refused(server(), &refused));

        for number in [1, 2] {
            let repeated = nonces.on_sent(server(), &request(number, b"old"), &passwords());
            let repeated = repeated.expect("another nonce");
            assert_eq!(nonce_of(&repeated), b"new");

            let mut signed = StunMessage::new();
            signed.raw = repeated;
            signed.decode().expect("a message");
            let provider = rtc::crypto::default_provider().expect("crypto");
            let [username, realm, password] = CREDENTIAL.map(str::to_owned);
            let key = MessageIntegrity::long_term_integrity_key(
                username,
                realm,
                password,
                provider.crypto(),
            )
            .expect("a key");
            FINGERPRINT.check(&signed).expect("a fingerprint");
            MessageIntegrity::check(&mut signed, &key, provider.crypto()).expect("its signature");
        }
    }

    #[test]
    fn two_requests_may_be_refused_with_the_same_nonce() {
        let mut nonces = StaleNonces::default();
        for number in [1, 2] {
            nonces.on_sent(server(), &request(number, b"old"), &passwords());
        }

        for number in [1, 2] {
            assert!(nonces.on_refused(server(), &refusal(number, STALE_NONCE, b"new")));
        }

        nonces.on_sent(server(), &request(1, b"old"), &passwords());
        assert!(
            !nonces.on_refused(server(), &refusal(1, STALE_NONCE, b"new")),
            "it left with that one"
        );
    }

    #[test]
    fn the_library_sees_everything_else() {
        let mut nonces = StaleNonces::default();
        let stale = refusal(1, STALE_NONCE, b"new");
        assert!(!nonces.on_refused(server(), &stale), "nothing was asked");
        nonces.on_sent(server(), &request(1, b"old"), &Passwords::default());
        assert!(!nonces.on_refused(server(), &stale), "no password");

        nonces.on_sent(server(), &request(1, b"old"), &passwords());
        let other: SocketAddr = "192.0.2.8:3478".parse().unwrap();
        assert!(!nonces.on_refused(other, &stale), "another server");
        for (number, code) in [(2, STALE_NONCE), (1, [4, 41]), (1, [5, 8])] {
            let refused = refusal(number, code, b"new");
            assert!(!nonces.on_refused(server(), &refused), "{number} {code:?}");
        }
        let nameless = message(REFRESH_ERROR, 1, &[(ERROR_CODE, &[0, 0, 4, 38])]);
        assert!(!nonces.on_refused(server(), &nameless), "without a nonce");
        assert!(nonces.on_refused(server(), &stale), "and now it is hidden");
    }

    #[test]
    fn any_datagrams_keep_it_small() {
        let mut nonces = StaleNonces::default();
        for number in 0..10_000u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let from = SocketAddr::from(([10, b, c, d], 3478));
            nonces.on_sent(from, &request(a, b"old"), &passwords());
            nonces.on_sent(server(), &request(d, &[c]), &passwords());
            nonces.on_refused(server(), &number.to_be_bytes());
        }
        assert!(nonces.servers.len() <= MAX_SERVERS);
        let requests = nonces.servers.values().map(|known| known.requests.len());
        assert!(requests.max() <= Some(MAX_REQUESTS));

        let mut passwords = Passwords::default();
        for number in 0..1_000 {
            passwords.add(&number.to_string(), "secret");
        }
        assert_eq!(passwords.0.len(), MAX_PASSWORDS);
        assert_eq!(passwords.of("999"), Some("secret"));
    }
}
