//! Who may use the server: credentials that expire, and nonces that need no memory.
//!
//! The credentials are those of coturn's `use-auth-secret` ("TURN REST API",
//! draft-uberti-behave-turn-rest-00 §2.2): the user name is `EXPIRY:USER` or `EXPIRY:USER:SESSION`,
//! the password its HMAC-SHA1 in base64. The server therefore knows no users.
//!
//! A nonce is bound to the client's address and port, and says when it was made. A client that
//! sends one back receives at that address, so a flood from invented addresses costs no more than
//! the nonce's own HMAC, and a request that was recorded is of no use from elsewhere.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest, Md5};
use ring::hmac;
use subtle::ConstantTimeEq;

/// As short as the answer to an unknown client should be.
pub(crate) const REALM: &str = "turn";
/// How long a nonce can be used.
const NONCE_LIFETIME: Duration = Duration::from_secs(600);
/// Base64 of three bytes of time and six of HMAC.
const NONCE_LEN: usize = 12;
/// User names of the signaling server have at most 84 characters.
const MAX_USERNAME: usize = 256;

/// The password for a user name.
#[must_use]
pub fn password(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

/// The key of a user's messages (RFC 8489 §9.2.2).
#[must_use]
pub fn message_key(username: &str, realm: &str, password: &str) -> hmac::Key {
    let digest = Md5::new()
        .chain_update(username)
        .chain_update(":")
        .chain_update(realm)
        .chain_update(":")
        .chain_update(password)
        .finalize();

    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &digest)
}

/// The user in a user name, if it has not expired. `unix` is the time of day in seconds.
pub(crate) fn user_of(username: &str, unix: u64) -> Option<&str> {
    let (expiry, rest) = username.split_once(':')?;
    let user = rest.split(':').next().filter(|user| !user.is_empty())?;
    let is_valid = username.len() <= MAX_USERNAME && expiry.parse::<u64>().ok()? > unix;

    is_valid.then_some(user)
}

/// How long an allocation with this user name may last from now on. Without a session, the name is for a
/// call that is about to begin, and nothing outlives it; a session may last longer than its name.
pub(crate) fn longest_lifetime(username: &str, unix: u64) -> Duration {
    if is_of_session(username) {
        return Duration::MAX;
    }

    let expiry: Option<u64> = username
        .split(':')
        .next()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(expiry.unwrap_or(0).saturating_sub(unix))
}

/// Whether a user name is `EXPIRY:USER:SESSION`.
pub(crate) fn is_of_session(username: &str) -> bool {
    username
        .split(':')
        .nth(2)
        .is_some_and(|session| !session.is_empty())
}

/// Makes and checks nonces.
pub(crate) struct Nonces {
    key: hmac::Key,
    started: Instant,
}

impl Nonces {
    pub(crate) fn new(key: &[u8; 32], started: Instant) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            started,
        }
    }

    /// A nonce for the client at this address.
    pub(crate) fn make(&self, client: SocketAddr, now: Instant) -> String {
        self.at(client, self.seconds(now))
    }

    /// Whether this nonce was made for this client and not too long ago.
    pub(crate) fn is_valid(&self, nonce: &[u8], client: SocketAddr, now: Instant) -> bool {
        let mut bytes = [0; NONCE_LEN / 4 * 3];
        if nonce.len() != NONCE_LEN || URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes).is_err() {
            return false;
        }

        let made = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        // 24 bits of seconds wrap after half a year.
        let age = self.seconds(now).wrapping_sub(made) & 0x00FF_FFFF;
        let expected = self.at(client, made);

        u64::from(age) <= NONCE_LIFETIME.as_secs() && bool::from(expected.as_bytes().ct_eq(nonce))
    }

    fn seconds(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        u32::try_from(seconds & 0x00FF_FFFF).unwrap_or_default()
    }

    fn at(&self, client: SocketAddr, seconds: u32) -> String {
        let ip = match client.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&ip.octets());
        context.update(&client.port().to_be_bytes());
        context.update(&seconds.to_be_bytes());

        let tag = context.sign();
        URL_SAFE_NO_PAD.encode([&seconds.to_be_bytes()[1..], &tag.as_ref()[..6]].concat())
    }
}

impl fmt::Debug for Nonces {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_password_is_what_openssl_computes() {
        // printf 1700000600:x | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            password("north", "1700000600:x"),
            "sBE/FOZj4klWwcaVssvogqbt/AM="
        );
    }

    #[test]
    fn a_user_name_counts_until_it_expires() {
        assert_eq!(user_of("100:ann", 99), Some("ann"));
        assert_eq!(
            user_of("100:ann:call", 99),
            Some("ann"),
            "bound to a session"
        );

        for (bad, why) in [
            ("99:ann", "expired this second"),
            ("ann", "without an expiry"),
            (":ann", "without an expiry"),
            ("x:ann", "no number"),
            ("-1:ann", "no number"),
            ("100:", "without a user"),
            ("100::call", "without a user"),
            ("100", "without a user"),
            ("99999999999999999999999:ann", "no 64-bit number"),
        ] {
            assert_eq!(user_of(bad, 99), None, "{why}");
        }

        assert_eq!(
            user_of(&format!("100:{}", "x".repeat(260)), 99),
            None,
            "too long"
        );
    }

    #[test]
    fn only_a_session_outlives_its_user_name() {
        let seconds = Duration::from_secs;
        assert_eq!(longest_lifetime("100:ann", 40), seconds(60));
        assert_eq!(longest_lifetime("100:ann", 100), Duration::ZERO);
        assert_eq!(longest_lifetime("100:ann", 101), Duration::ZERO);
        assert_eq!(longest_lifetime("100:ann:", 40), seconds(60));
        assert_eq!(longest_lifetime("100:ann:call", 101), Duration::MAX);
    }

    #[test]
    fn a_nonce_is_good_at_its_address_for_ten_minutes() {
        let start = Instant::now();
        let (one, other) = (address("192.0.2.1:5000"), address("192.0.2.1:5001"));
        let nonces = Nonces::new(&[1; 32], start);
        let made = start + Duration::from_secs(20_000_000);
        let nonce = nonces.make(one, made);
        let is_valid = |client, after| {
            let now = made + Duration::from_secs(after);
            nonces.is_valid(nonce.as_bytes(), client, now)
        };

        assert!(is_valid(one, 0) && is_valid(one, 600));
        assert!(!is_valid(one, 601), "too old");
        assert!(!is_valid(other, 0), "another port is another client");
        assert!(
            !nonces.is_valid(nonce.as_bytes(), one, made - Duration::from_secs(5)),
            "from the future"
        );

        let foreign = Nonces::new(&[2; 32], start).make(one, made);
        assert!(
            !nonces.is_valid(foreign.as_bytes(), one, made),
            "made elsewhere"
        );
        for bad in [
            &b""[..],
            b"short",
            b"!!!!!!!!!!!!",
            b"AAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(!nonces.is_valid(bad, one, made), "{bad:?}");
        }
    }
}
