//! A room in which the two sides of a call can meet again, known to nobody else.
//!
//! Each side contributes a [`Share`] over the encrypted data channel. The room is a hash of both,
//! so neither side can choose it, and the signaling server cannot guess it.

use std::fmt;
use std::str::FromStr;

use ring::digest::{self, SHA256};

/// Separates this hash from every other use of the shares.
const CONTEXT: &[u8] = b"tandem: meet again";

/// How many bytes of the hash name the room: 128 bits cannot be guessed.
const ROOM_BYTES: usize = 16;

/// What one side contributes: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Share([u8; ROOM_BYTES]);

impl Share {
    /// A share of these random bytes.
    pub fn new(random: [u8; ROOM_BYTES]) -> Self {
        Self(random)
    }

    /// The room of this share and the partner's. Both sides get the same one.
    pub fn room(self, partner: Self) -> String {
        let (low, high) = if self.0 <= partner.0 {
            (self.0, partner.0)
        } else {
            (partner.0, self.0)
        };

        let hash = digest::digest(&SHA256, &[CONTEXT, &low, &high].concat());
        hex(&hash.as_ref()[..ROOM_BYTES])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Share {
    /// Leaves the digits out: with both shares, anyone can ring the two people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(…)")
    }
}

/// A text that is not a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub struct NotAShare;

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let is_hex = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 2 * ROOM_BYTES || !is_hex {
            return Err(NotAShare);
        }

        u128::from_str_radix(text, 16)
            .map(|bits| Self(bits.to_be_bytes()))
            .map_err(|_| NotAShare)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_room_of_two_shares_stays_the_same_in_every_version() {
        let (one, two) = (Share::new([1; 16]), Share::new([2; 16]));
        // SHA-256 of "tandem: meet again", sixteen bytes 01 and sixteen bytes 02.
        assert_eq!(one.room(two), "24ad9305f052be80d9c0793e8c0c9b36");
    }

    #[test]
    fn other_texts_are_not_shares() {
        for text in [
            "",
            "0",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789ABCDEF0123456789ABCDEF",
            "+123456789abcdef0123456789abcdef",
            "0123456789abcdef 123456789abcdef",
            "é123456789abcdef0123456789abcde",
        ] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn both_sides_get_one_room_that_a_third_does_not(a: [u8; 16], b: [u8; 16], c: [u8; 16]) {
            let (a, b, c) = (Share::new(a), Share::new(b), Share::new(c));
            prop_assert_eq!(a.room(b), b.room(a));
            prop_assert_eq!(a.room(b).len(), 32);

            if c != a && c != b {
                prop_assert_ne!(a.room(b), a.room(c));
            }
        }

        #[test]
        fn what_is_printed_is_read_back(random: [u8; 16]) {
            let share = Share::new(random);
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}
