//! CPace over ristretto255 with SHA-512: the suite CPACE-RISTR255-SHA512 of
//! draft-irtf-cfrg-cpace-21 (23 April 2026). Sections and appendices below are those of that text.
//!
//! Two sides that share a password of low entropy get a key of high entropy; someone in between
//! learns nothing but whether one guess was right. The sides have roles, so transcripts are those of
//! the initiator-responder setting (§6.3), and a message that is reflected to its sender gives
//! another key. `tests` has the vectors of appendix B.3 for this setting but for B.3.7, an output that
//! is not used here.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use ring::{digest, hmac};
use zeroize::Zeroizing;

/// `G.DSI` (§8.3).
const DOMAIN: &[u8] = b"CPaceRistretto255";
/// `G.DSI || "_ISK"` (§7.2).
const KEY_DOMAIN: &[u8] = b"CPaceRistretto255_ISK";
/// Domain of the key that confirms (§10.4).
const MAC_DOMAIN: &[u8] = b"CPaceMac";
/// `H.s_in_bytes`: the input block of SHA-512 (§6.2).
const BLOCK_BYTES: usize = 128;

/// Bytes of an encoded group element, and of a scalar.
pub const ELEMENT_BYTES: usize = 32;
/// Bytes of the key, and of a confirmation.
pub const KEY_BYTES: usize = 64;

/// An encoded group element that a side sends: `Ya` or `Yb`.
pub type Share = [u8; ELEMENT_BYTES];
/// What proves that a side has the key: an HMAC-SHA-512 (§10.4).
pub type Confirmation = [u8; KEY_BYTES];

/// What both sides must agree on (§4.1).
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The password-related string, `PRS`.
    pub password: &'a [u8],
    /// The channel identifier, `CI`.
    pub channel: &'a [u8],
    /// The session identifier, `sid`.
    pub session: &'a [u8],
}

/// The secret of one side. It is used for one exchange (§10.9) and overwritten when dropped.
pub struct Secret {
    scalar: Zeroizing<Scalar>,
    session: Vec<u8>,
    share: Share,
}

/// The share of one side and the data that it has authenticated with it (`ADa`, `ADb`).
#[derive(Clone, Copy)]
pub struct Public<'a> {
    /// The share.
    pub share: &'a Share,
    /// The associated data. It is not secret.
    pub data: &'a [u8],
}

/// What both sides have in common if all their inputs are equal. Overwritten when dropped.
pub struct Key {
    mac: Zeroizing<[u8; KEY_BYTES]>,
    #[cfg(test)]
    isk: [u8; KEY_BYTES],
}

impl Secret {
    /// A side's secret, from 32 random bytes: 252 of their bits are used (§8.3). `None` if these are
    /// all zero, which means that the source of randomness is broken.
    #[must_use]
    pub fn new(inputs: Inputs<'_>, random: &[u8; ELEMENT_BYTES]) -> Option<Self> {
        let mut bytes = Zeroizing::new(*random);
        bytes[ELEMENT_BYTES - 1] &= 0x0f;
        let scalar = Zeroizing::new(Scalar::from_canonical_bytes(*bytes).into_option()?);
        if *scalar == Scalar::ZERO {
            return None;
        }

        let share = (generator(inputs) * *scalar).compress().to_bytes();
        Some(Self {
            scalar,
            session: inputs.session.to_vec(),
            share,
        })
    }

    /// What this side sends.
    #[must_use]
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// The key, from the partner's share and both sides' data, in the order of the roles: exactly
    /// one of `initiator` and `responder` has this side's share. `None` if the partner's share is
    /// not the encoding of an element, or is the identity: the exchange must end (§7.2).
    #[must_use]
    pub fn key(&self, initiator: Public<'_>, responder: Public<'_>) -> Option<Key> {
        let remote = if initiator.share == &self.share {
            responder.share
        } else {
            initiator.share
        };
        let point = scalar_mult_vfy(&self.scalar, remote)?;
        let isk = intermediate_key(&self.session, &point, initiator, responder);
        Some(Key::new(&self.session, &isk))
    }

    /// A confirmation that no key gives. It looks like any other to someone without the secret.
    #[must_use]
    pub fn refusal(&self) -> Confirmation {
        let key = hmac::Key::new(hmac::HMAC_SHA512, self.scalar.as_bytes());
        bytes_of(&hmac::sign(&key, b"refusal"))
    }
}

impl Key {
    fn new(session: &[u8], isk: &[u8; KEY_BYTES]) -> Self {
        Self {
            mac: hash(&[MAC_DOMAIN, session, isk]),
            #[cfg(test)]
            isk: *isk,
        }
    }

    /// Made for each use: ring does not overwrite its keys.
    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA512, &*self.mac)
    }

    /// The confirmation of the side with this share and data (§10.4).
    #[must_use]
    pub fn confirmation(&self, side: Public<'_>) -> Confirmation {
        bytes_of(&hmac::sign(
            &self.mac_key(),
            &lv_cat(&[side.share, side.data]),
        ))
    }

    /// Whether this is the confirmation of that side. The comparison takes the same time for every
    /// confirmation.
    #[must_use]
    pub fn confirms(&self, side: Public<'_>, confirmation: &Confirmation) -> bool {
        hmac::verify(
            &self.mac_key(),
            &lv_cat(&[side.share, side.data]),
            confirmation,
        )
        .is_ok()
    }
}

/// `G.calculate_generator` (§8.3).
fn generator(inputs: Inputs<'_>) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&hash(&[&generator_string(inputs)]))
}

/// `generator_string` (§8.1): the padding makes the first block independent of the password's length.
fn generator_string(inputs: Inputs<'_>) -> Zeroizing<Vec<u8>> {
    let used = prefixed_len(inputs.password) + prefixed_len(DOMAIN) + 1;
    let padding = [0; BLOCK_BYTES];
    let padding = &padding[..BLOCK_BYTES.saturating_sub(used)];
    let parts = [
        DOMAIN,
        inputs.password,
        padding,
        inputs.channel,
        inputs.session,
    ];
    Zeroizing::new(lv_cat(&parts))
}

/// `G.scalar_mult_vfy` (§8.3), with `None` for `G.I`.
fn scalar_mult_vfy(scalar: &Scalar, element: &Share) -> Option<Zeroizing<[u8; ELEMENT_BYTES]>> {
    let point = CompressedRistretto(*element).decompress()? * scalar;
    (!point.is_identity()).then(|| Zeroizing::new(point.compress().to_bytes()))
}

/// The intermediate session key, `ISK` (§7.2), with `transcript_ir` (§6.3).
fn intermediate_key(
    session: &[u8],
    point: &[u8; ELEMENT_BYTES],
    initiator: Public<'_>,
    responder: Public<'_>,
) -> Zeroizing<[u8; KEY_BYTES]> {
    let secret = Zeroizing::new(lv_cat(&[KEY_DOMAIN, session, point]));
    let transcript = lv_cat(&[
        initiator.share,
        initiator.data,
        responder.share,
        responder.data,
    ]);
    hash(&[&secret, &transcript])
}

/// SHA-512 of these parts, one after the other.
pub(crate) fn hash(parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut context = digest::Context::new(&digest::SHA512);
    for part in parts {
        context.update(part);
    }

    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// `lv_cat` (§6.3): each part after its length, so that no two lists of parts give the same bytes.
pub(crate) fn lv_cat(parts: &[&[u8]]) -> Vec<u8> {
    // Never grows, which would leave copies of secret parts behind.
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| prefixed_len(part)).sum());
    for part in parts {
        let mut len = part.len();
        while len >= 0x80 {
            bytes.push((len % 0x80) as u8 | 0x80);
            len /= 0x80;
        }

        bytes.push(len as u8);
        bytes.extend_from_slice(part);
    }

    bytes
}

/// The length of `prepend_len` (§6.3): LEB128 before the part.
fn prefixed_len(part: &[u8]) -> usize {
    let bits = usize::BITS - part.len().leading_zeros();
    bits.div_ceil(7).max(1) as usize + part.len()
}

fn bytes_of(tag: &hmac::Tag) -> Confirmation {
    let mut bytes = [0; KEY_BYTES];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

#[cfg(test)]
mod tests;
