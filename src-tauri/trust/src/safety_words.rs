//! Safety words: four words that both sides show and the two people compare.
//!
//! They depend on both fingerprints, the session's id and a nonce of each side. The offerer first
//! sends a commitment to its nonce, then the answerer sends its nonce, then the offerer opens the
//! commitment. Someone between the two must choose a nonce towards each side before it knows that
//! side's nonce, so it cannot try many certificates until the words agree: it has one chance in 2^44
//! for each call. ZRTP's short authentication strings work the same way (RFC 6189
//! §4.4.1.1).

use std::fmt;

use zeroize::Zeroizing;

use crate::cpace::{hash, lv_cat};
use crate::handshake::{Exchange, Mismatch, Outcome, Role, Session};
use crate::message::Message;
use crate::{Certificates, Fingerprint, Word};

/// Say what is hashed, and which version of it.
const COMMITMENT_DOMAIN: &[u8] = b"tandem safety words 1 commitment";
const WORDS_DOMAIN: &[u8] = b"tandem safety words 1";
const REFUSAL_DOMAIN: &[u8] = b"tandem safety words 1 refusal";

/// 32 random bytes of one side.
pub type Nonce = [u8; 32];
/// What the offerer commits to its nonce with: the first half of a SHA-512.
pub type Commitment = [u8; 32];

/// Four words, 44 bits. Prints as `garden lantern kayak otter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafetyWords([Word; 4]);

/// What the words depend on, of one side.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The certificate.
    pub fingerprint: &'a Fingerprint,
    /// The nonce.
    pub nonce: &'a Nonce,
}

impl SafetyWords {
    /// The words of this session (its id), the same on both sides if each has the other's
    /// fingerprint.
    #[must_use]
    pub fn new(session: &[u8], offerer: Side<'_>, answerer: Side<'_>) -> Self {
        let text = lv_cat(&[
            WORDS_DOMAIN,
            session,
            &offerer.fingerprint.bound(),
            offerer.nonce,
            &answerer.fingerprint.bound(),
            answerer.nonce,
        ]);
        let hash = hash(&[&text]);
        let bits = hash[..6]
            .iter()
            .fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));

        // The first 44 of these 48 bits, most significant first.
        Self([37, 26, 15, 4].map(|below| Word::from_bits((bits >> below) as u32 & 0x7ff)))
    }

    /// The words, in the order in which people read them out.
    #[must_use]
    pub fn words(&self) -> [&'static str; 4] {
        self.0.map(Word::as_str)
    }
}

impl fmt::Display for SafetyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// What the offerer commits to its nonce with.
#[must_use]
pub fn commitment(session: &[u8], offerer: Side<'_>) -> Commitment {
    first_half(&[
        COMMITMENT_DOMAIN,
        session,
        &offerer.fingerprint.bound(),
        offerer.nonce,
    ])
}

fn first_half(parts: &[&[u8]]) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&hash(&[&lv_cat(parts)])[..32]);
    half
}

/// The exchange of one side.
pub(crate) struct WordsExchange {
    role: Role,
    session: Vec<u8>,
    local: Fingerprint,
    nonce: Zeroizing<Nonce>,
    /// The offerer's commitment and fingerprint, once the answerer has answered.
    awaited: Option<(Commitment, Fingerprint)>,
}

impl WordsExchange {
    /// `None` if the random bytes are all zero.
    pub(crate) fn new(session: &Session<'_>, random: &[u8; 32]) -> Option<Self> {
        (*random != [0; 32]).then(|| Self {
            role: session.role,
            session: session.id.as_bytes().to_vec(),
            local: session.local,
            nonce: Zeroizing::new(*random),
            awaited: None,
        })
    }

    fn outcome(&self, remote: &Fingerprint, nonce: &Nonce) -> Outcome {
        let local = Side {
            fingerprint: &self.local,
            nonce: &self.nonce,
        };
        let partner = Side {
            fingerprint: remote,
            nonce,
        };
        let words = match self.role {
            Role::Offerer => SafetyWords::new(&self.session, local, partner),
            Role::Answerer => SafetyWords::new(&self.session, partner, local),
        };
        Outcome::Words(
            words,
            Certificates {
                local: self.local,
                remote: *remote,
            },
        )
    }
}

impl Exchange for WordsExchange {
    fn offer(&self) -> Message {
        let local = Side {
            fingerprint: &self.local,
            nonce: &self.nonce,
        };
        Message::Commitment(commitment(&self.session, local))
    }

    fn answer(&mut self, offer: &Message, remote: &Fingerprint) -> Result<Message, Mismatch> {
        let Message::Commitment(commitment) = offer else {
            return Err(Mismatch::OutOfOrder);
        };
        self.awaited = Some((*commitment, *remote));
        Ok(Message::Nonce(*self.nonce))
    }

    fn confirm(
        &mut self,
        answer: &Message,
        remote: &Fingerprint,
    ) -> Result<(Message, Outcome), Mismatch> {
        let Message::Nonce(nonce) = answer else {
            return Err(Mismatch::OutOfOrder);
        };
        Ok((Message::Opening(*self.nonce), self.outcome(remote, nonce)))
    }

    fn end(&self, candidate: &Message) -> Result<Outcome, Mismatch> {
        let (Message::Opening(nonce), Some((committed, remote))) = (candidate, &self.awaited)
        else {
            return Err(Mismatch::OutOfOrder);
        };
        let partner = Side {
            fingerprint: remote,
            nonce,
        };
        if commitment(&self.session, partner) != *committed {
            return Err(Mismatch::WrongConfirmation);
        }

        Ok(self.outcome(remote, nonce))
    }

    fn refusal(&self) -> Message {
        Message::Opening(first_half(&[REFUSAL_DOMAIN, &*self.nonce]))
    }

    fn is_mandatory(&self) -> bool {
        false
    }

    fn tested_a_guess(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const A: Fingerprint = Fingerprint::from_digest([0xA1; 32]);
    const B: Fingerprint = Fingerprint::from_digest([0xB2; 32]);
    const M: Fingerprint = Fingerprint::from_digest([0xC3; 32]);

    fn side<'a>(fingerprint: &'a Fingerprint, nonce: &'a Nonce) -> Side<'a> {
        Side { fingerprint, nonce }
    }

    #[test]
    fn every_input_changes_the_words_and_the_commitment() {
        let (one, two, three) = ([1; 32], [2; 32], [3; 32]);
        let all = [
            SafetyWords::new(b"s", side(&A, &one), side(&B, &two)),
            SafetyWords::new(b"t", side(&A, &one), side(&B, &two)),
            SafetyWords::new(b"s", side(&M, &one), side(&B, &two)),
            SafetyWords::new(b"s", side(&A, &three), side(&B, &two)),
            SafetyWords::new(b"s", side(&A, &one), side(&M, &two)),
            SafetyWords::new(b"s", side(&A, &one), side(&B, &three)),
            SafetyWords::new(b"s", side(&B, &two), side(&A, &one)),
        ];
        let different: HashSet<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(different.len(), all.len());

        let all = [
            commitment(b"s", side(&A, &one)),
            commitment(b"t", side(&A, &one)),
            commitment(b"s", side(&M, &one)),
            commitment(b"s", side(&A, &two)),
        ];
        assert_eq!(HashSet::from(all).len(), all.len());
    }

    #[test]
    fn every_word_takes_every_value() {
        // 2,048 words and 40,000 draws: a value that could occur is missing with a chance of 3e-9.
        let mut seen: [HashSet<&str>; 4] = Default::default();
        for number in 0..40_000_u32 {
            let mut nonce = [0; 32];
            nonce[..4].copy_from_slice(&number.to_be_bytes());
            let words = SafetyWords::new(b"s", side(&A, &nonce), side(&B, &nonce));
            for (seen, word) in seen.iter_mut().zip(words.words()) {
                seen.insert(word);
            }
        }

        for seen in seen {
            assert_eq!(seen.len(), crate::WORDS);
        }
    }

    #[test]
    fn the_words_are_the_first_bits_of_the_hash() {
        let (one, two) = ([1; 32], [2; 32]);
        let words = SafetyWords::new(b"s", side(&A, &one), side(&B, &two));
        let parts: [&[u8]; 6] = [WORDS_DOMAIN, b"s", &A.bound(), &one, &B.bound(), &two];
        let hash = hash(&[&lv_cat(&parts)]);
        let bits: String = hash.iter().map(|byte| format!("{byte:08b}")).collect();
        for (at, word) in words.words().iter().enumerate() {
            let number = u32::from_str_radix(&bits[11 * at..11 * (at + 1)], 2).unwrap();
            assert_eq!(*word, Word::from_bits(number).as_str(), "word {at}");
        }
    }
}
