//! STUN messages (RFC 8489), as a side of a call that is not Tandem would write and read them.

use std::net::IpAddr;

use ring::hmac;

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const BINDING_REQUEST: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const ICE_CONTROLLED: u16 = 0x8029;
const FINGERPRINT: u16 = 0x8028;

/// What CRC-32 is combined with in a fingerprint (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// A check as ICE makes them (RFC 8445 §7.1), for the side whose password is `password`. `username` has
/// the fragments of both sides, that side's first.
#[must_use]
pub fn ice_check(transaction: [u8; 12], username: &str, password: &str) -> Vec<u8> {
    let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
    message.extend([0, 0]);
    message.extend(COOKIE);
    message.extend(transaction);
    push(&mut message, USERNAME, username.as_bytes());
    push(&mut message, PRIORITY, &0x6e7f_00ff_u32.to_be_bytes());
    push(&mut message, ICE_CONTROLLED, &1_u64.to_be_bytes());

    // Each of these covers a length that includes it.
    set_length(&mut message, 24);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let integrity = hmac::sign(&key, &message);
    push(&mut message, MESSAGE_INTEGRITY, integrity.as_ref());
    set_length(&mut message, 8);
    let fingerprint = crc32(&message) ^ FINGERPRINT_MASK;
    push(&mut message, FINGERPRINT, &fingerprint.to_be_bytes());
    message
}

/// Whether these bytes are a STUN message with this transaction.
#[must_use]
pub fn is_about(datagram: &[u8], transaction: [u8; 12]) -> bool {
    datagram.get(4..8) == Some(&COOKIE) && datagram.get(8..HEADER) == Some(&transaction)
}

/// Whether these bytes are a STUN message that contains the address, as it is or combined with the cookie,
/// at any place.
#[must_use]
pub fn names(datagram: &[u8], address: IpAddr) -> bool {
    if datagram.get(4..8) != Some(&COOKIE) {
        return false;
    }

    let plain = match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mask = datagram.get(4..HEADER).unwrap_or_default();
    let masked: Vec<u8> = plain.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    datagram[HEADER.min(datagram.len())..]
        .windows(plain.len())
        .any(|bytes| bytes == plain || bytes == masked)
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    set_length(message, 0);
}

/// Writes the length of what follows the header, with `more` bytes that are to come.
fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - HEADER + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// CRC-32 of ITU-T V.42, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    };
    !bytes.iter().fold(!0, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn an_address_is_found_in_both_forms() {
        let mut message = vec![1, 1, 0, 8];
        message.extend(COOKIE);
        message.extend([0; 12]);
        let plain = [message.clone(), vec![203, 0, 113, 5]].concat();
        let masked = [message, vec![203 ^ 0x21, 0x12, 113 ^ 0xa4, 5 ^ 0x42]].concat();
        for datagram in [&plain, &masked] {
            assert!(names(datagram, "203.0.113.5".parse().unwrap()));
            assert!(!names(datagram, "203.0.113.6".parse().unwrap()));
        }
    }
}
