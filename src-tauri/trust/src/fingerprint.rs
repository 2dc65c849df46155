//! The fingerprint of a DTLS certificate, as descriptions carry it (RFC 8122 §5).

use std::fmt;
use std::str::FromStr;

/// Bytes of a SHA-256 digest.
const DIGEST_BYTES: usize = 32;

/// The SHA-256 digest of a certificate. Prints as in a description: `sha-256 0A:1B:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; DIGEST_BYTES]);

/// The certificates of both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificates {
    /// This side's.
    pub local: Fingerprint,
    /// The partner's.
    pub remote: Fingerprint,
}

/// Why a description names no certificate that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// There is no fingerprint.
    #[error("no fingerprint")]
    Missing,
    /// A fingerprint that is no SHA-256 digest. Browsers and webrtc-rs use no other.
    #[error("a fingerprint that is no SHA-256 digest")]
    Unreadable,
    /// Fingerprints of several certificates: the connection might use any of them.
    #[error("different fingerprints")]
    Ambiguous,
}

impl Fingerprint {
    /// The fingerprint with this SHA-256 digest of the certificate (DER).
    #[must_use]
    pub const fn from_digest(digest: [u8; DIGEST_BYTES]) -> Self {
        Self(digest)
    }

    /// The one certificate that this session description (SDP) names, however many of its sections
    /// repeat it.
    ///
    /// # Errors
    /// When it names none or several, or when any line has the word in it and is not exactly a
    /// fingerprint: another parser might read that line differently.
    pub fn in_description(sdp: &str) -> Result<Self, FingerprintError> {
        let mut found = None;
        for line in sdp.split(['\r', '\n']) {
            let fingerprint = match line.strip_prefix("a=fingerprint:") {
                Some(value) => value.parse()?,
                None if line.to_ascii_lowercase().contains("fingerprint") => {
                    return Err(FingerprintError::Unreadable);
                }
                None => continue,
            };
            if *found.get_or_insert(fingerprint) != fingerprint {
                return Err(FingerprintError::Ambiguous);
            }
        }

        found.ok_or(FingerprintError::Missing)
    }

    /// What the handshakes bind in: `sha-256`, a space, and the digest's 32 bytes.
    pub(crate) fn bound(&self) -> Vec<u8> {
        [b"sha-256 ".as_slice(), &self.0].concat()
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Upper and lower case are the same.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let unreadable = FingerprintError::Unreadable;
        let (function, digits) = text.split_once(' ').ok_or(unreadable)?;
        if !function.eq_ignore_ascii_case("sha-256") || digits.len() != 3 * DIGEST_BYTES - 1 {
            return Err(unreadable);
        }

        // With 31 separators and pairs of two digits, the length leaves room for exactly 32 pairs.
        let mut digest = [0; DIGEST_BYTES];
        let mut pairs = digits.split(':');
        for byte in &mut digest {
            let pair = pairs.next().ok_or(unreadable)?;
            let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !is_pair {
                return Err(unreadable);
            }

            *byte = u8::from_str_radix(pair, 16).map_err(|_| unreadable)?;
        }

        Ok(Self(digest))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (at, byte) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02X}")?;
        }

        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
    const B: Fingerprint = Fingerprint::from_digest([0x0B; 32]);

    #[test]
    fn a_description_names_one_certificate_however_often() {
        for sdp in [
            format!("v=0\r\na=fingerprint:{A}\r\nm=audio 9 X\r\n"),
            format!("v=0\nm=audio 9 X\na=fingerprint:{A}\nm=video 9 X\na=fingerprint:{A}\n"),
            format!("a=fingerprint:{}", A.to_string().to_lowercase()),
            format!("a=fingerprint:{}", A.to_string().to_uppercase()),
        ] {
            assert_eq!(Fingerprint::in_description(&sdp), Ok(A), "{sdp}");
        }
    }

    #[test]
    fn a_description_that_could_be_read_in_two_ways_is_refused() {
        use FingerprintError::{Ambiguous, Missing, Unreadable};

        let digits = "A1:".repeat(32);
        for (sdp, error) in [
            (String::new(), Missing),
            ("v=0\r\nm=audio 9 X\r\n".into(), Missing),
            (format!("a=fingerprint:{A}\r\na=fingerprint:{B}"), Ambiguous),
            (format!("a=fingerprint:{A}\ra=fingerprint:{B}"), Ambiguous),
            (
                format!("a=fingerprint:{A}\r\na=fingerprint:sha-512 {digits}"),
                Unreadable,
            ),
            (
                format!("a=fingerprint:{A}\r\na=fingerprint:sha-1 A1:A1"),
                Unreadable,
            ),
            (
                format!("a=fingerprint:{A}\r\n a=fingerprint:{B}"),
                Unreadable,
            ),
            (
                format!("a=fingerprint:{A}\r\na=Fingerprint:{B}"),
                Unreadable,
            ),
            (
                format!("a=fingerprint:{A}\r\na=fingerprint :{B}"),
                Unreadable,
            ),
            (format!("a=fingerprint:{A} "), Unreadable),
            (format!("a=fingerprint: {A}"), Unreadable),
            (
                format!("a=fingerprint:sha-256  {}", &digits[..94]),
                Unreadable,
            ),
            (format!("a=fingerprint:sha-256 {digits}"), Unreadable),
            (
                format!("a=fingerprint:sha-256 {}", digits.replace("A1", "+1")),
                Unreadable,
            ),
            (
                format!("a=fingerprint:sha-256 {}", &digits.replace(':', "-")[..95]),
                Unreadable,
            ),
        ] {
            assert_eq!(Fingerprint::in_description(&sdp), Err(error), "{sdp}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(digest: [u8; 32]) {
            let made = Fingerprint::from_digest(digest);
            prop_assert_eq!(made.to_string().parse(), Ok(made));
            prop_assert_eq!(made.to_string().to_lowercase().parse(), Ok(made));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Fingerprint::in_description(&text);
            let _ = text.parse::<Fingerprint>();
        }
    }
}
