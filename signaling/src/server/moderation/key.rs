//! The keyed hash by which the operator knows a client: what a report says and a ban takes, instead
//! of the address or the `sub` of a token.
//!
//! Two reports of one person have the same hash, and a ban holds against it. Without the key nobody
//! can find the address behind a hash by trying all of them, as is done in minutes with plain hashes
//! of IPv4 addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use crate::server::key_file::{self, KEY_BYTES, from_hex};

/// Who a client is to the operator: 32 hexadecimal digits, the first half of the HMAC-SHA-256 of the
/// `sub` of its bearer token or, without one, of the /24 or /64 of its address.
///
/// A hash of the whole address would name a person, and change with every IPv6 address of a
/// computer. A /24 may be 256 customers: a ban is to expire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PeerHash([u8; 16]);

impl PeerHash {
    #[cfg(test)]
    pub(crate) const fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PeerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerHash({self})")
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub(crate) struct NoPeerHash;

impl FromStr for PeerHash {
    type Err = NoPeerHash;

    fn from_str(text: &str) -> Result<Self, NoPeerHash> {
        from_hex(text).map(Self).ok_or(NoPeerHash)
    }
}

impl TryFrom<String> for PeerHash {
    type Error = NoPeerHash;

    fn try_from(text: String) -> Result<Self, NoPeerHash> {
        text.parse()
    }
}

impl From<PeerHash> for String {
    fn from(hash: PeerHash) -> Self {
        hash.to_string()
    }
}

/// The secret in every [`PeerHash`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PeerKey {
    key: Arc<hmac::Key>,
    /// The same for the same key, so that nodes can compare theirs.
    fingerprint: PeerHash,
    is_kept: bool,
}

impl PeerKey {
    /// A new key, for a server that is given no file: its hashes mean nothing to another server, or
    /// after a restart.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn random() -> Result<Self, String> {
        Ok(Self::new(&key_file::random()?, false))
    }

    /// Reads the key in this file. If there is no file, makes one with a new key, readable by its
    /// owner only.
    ///
    /// # Errors
    /// A sentence with the name of the file and what is wrong.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, String> {
        let (bytes, is_new) = key_file::read_or_make(path, "peer key")?;
        if is_new {
            tracing::info!("made a new peer key: reports and bans are tied to it");
        }

        Ok(Self::new(&bytes, true))
    }

    fn new(bytes: &[u8; KEY_BYTES], is_kept: bool) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self {
            fingerprint: PeerHash(first_half(&hmac::sign(&key, b"fingerprint"))),
            key: Arc::new(key),
            is_kept,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self::new(&bytes, true)
    }

    /// What nodes may compare to see whether they have the same key.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "only with Redis are there other nodes")
    )]
    pub(crate) fn fingerprint(&self) -> PeerHash {
        self.fingerprint
    }

    /// Whether the key is in a file, so that its hashes outlive this server.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The hash of a client: of its token's `sub`, or else of where it comes from.
    pub(crate) fn hash(&self, address: IpAddr, subject: Option<&str>) -> PeerHash {
        match subject {
            Some(subject) => self.of_subject(subject),
            None => self.of_address(address),
        }
    }

    /// The hash of whoever has a token with this `sub`.
    pub(crate) fn of_subject(&self, subject: &str) -> PeerHash {
        self.sign(b"sub", subject.as_bytes())
    }

    fn of_address(&self, address: IpAddr) -> PeerHash {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let prefix = Ipv4Addr::from_bits(address.to_bits() & !0xFF);
                self.sign(b"v4", &prefix.octets())
            }
            IpAddr::V6(address) => {
                let prefix = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
                self.sign(b"v6", &prefix.octets())
            }
        }
    }

    /// `kind` keeps a `sub` from having the hash of an address.
    fn sign(&self, kind: &[u8], of: &[u8]) -> PeerHash {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind);
        context.update(&[0]);
        context.update(of);

        PeerHash(first_half(&context.sign()))
    }
}

impl fmt::Debug for PeerKey {
    /// Without the secret: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey(…)")
    }
}

fn first_half(tag: &hmac::Tag) -> [u8; 16] {
    let bytes: [u8; digest::SHA256_OUTPUT_LEN] =
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes");
    *bytes.first_chunk().expect("16 of 32")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hash_stands_for_a_network_or_a_subject_and_hangs_on_the_key() {
        let key = PeerKey::of_bytes([7; 32]);
        let of = |text| key.hash(address(text), None);

        assert_eq!(of("192.0.2.7"), of("192.0.2.200"), "the same /24");
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.9"), "mapped into IPv6");
        assert_ne!(of("192.0.2.7"), of("192.0.3.7"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"), "the same /64");
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));

        let ann = key.hash(address("192.0.2.7"), Some("ann"));
        assert_eq!(
            ann,
            key.hash(address("198.51.100.1"), Some("ann")),
            "anywhere"
        );
        assert_ne!(ann, of("192.0.2.7"));
        assert_ne!(ann, PeerKey::of_bytes([8; 32]).of_subject("ann"));
        assert_ne!(
            key.of_subject("192.0.2.0"),
            of("192.0.2.0"),
            "a `sub` cannot be made to look like an address"
        );
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_nothing_else_is() {
        let hash = PeerKey::of_bytes([7; 32]).of_subject("ann");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));

        for bad in ["", "12", "g".repeat(32).as_str(), "é".repeat(16).as_str()] {
            assert_eq!(bad.parse::<PeerHash>(), Err(NoPeerHash), "{bad}");
        }
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_one_has_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        let made = PeerKey::read_or_make(&path).unwrap();
        let again = PeerKey::read_or_make(&path).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        assert_ne!(made.fingerprint(), PeerKey::random().unwrap().fingerprint());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        fs::write(&path, "hunter2").unwrap();
        let error = PeerKey::read_or_make(&path).unwrap_err();
        assert!(
            error.contains("peer.key") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
