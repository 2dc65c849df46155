//! What a call says about its partner: *Encrypted, not verified*, *verified by your code*, or
//! *verified by you*.
//!
//! A handshake says what the two sides have proved; the DTLS connection says which certificate it
//! uses; the user says whether the safety words were equal. [`Verification`] puts them together, for
//! one call.

use crate::{Certificates, Outcome, SafetyWords};

/// What the badge of a call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    /// Encrypted, not verified: a server in between would not be noticed.
    NotVerified,
    /// Encrypted, verified by the code: the partner knows the words of the invite.
    VerifiedByCode,
    /// Encrypted, verified by the user, who has compared the safety words.
    VerifiedByUser,
}

/// What the two people of a call can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordsState {
    /// Nothing yet: the handshake, or the connection, is not done.
    Awaited,
    /// These words.
    Ready(SafetyWords),
    /// Nothing: the partner's app has no words, or a server took them out. Words that come late
    /// are still shown.
    Unavailable,
    /// Nothing, and nothing is missing: the code of an invite verifies the partner.
    ByCode,
}

impl WordsState {
    /// The words, if there are any.
    #[must_use]
    pub fn ready(self) -> Option<SafetyWords> {
        match self {
            Self::Ready(words) => Some(words),
            Self::Awaited | Self::Unavailable | Self::ByCode => None,
        }
    }
}

/// How a call may be verified. It does not change during the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// A call by invite: no media before the code has verified the partner.
    Code,
    /// Any other call: media at once, and safety words if the partner has them.
    Nothing,
}

/// What is known about the partner of one call.
#[derive(Debug, Clone)]
pub struct Verification {
    requirement: Requirement,
    /// The certificates that the handshake is about.
    proved: Option<Certificates>,
    words: Option<SafetyWords>,
    /// The handshake has found that the partner has no words.
    has_no_words: bool,
    /// The user has said that the words are equal.
    are_equal: bool,
    /// The certificates of the connection.
    connected: Option<Certificates>,
    is_mismatch: bool,
}

impl Verification {
    /// A call that has just been matched.
    #[must_use]
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement,
            proved: None,
            words: None,
            has_no_words: false,
            are_equal: false,
            connected: None,
            is_mismatch: false,
        }
    }

    /// What the badge says. Nothing is verified before the connection uses the certificate that was
    /// proved.
    #[must_use]
    pub fn badge(&self) -> Badge {
        match self.requirement {
            _ if self.is_mismatch || !self.uses_what_was_proved() => Badge::NotVerified,
            Requirement::Code => Badge::VerifiedByCode,
            Requirement::Nothing if self.are_equal => Badge::VerifiedByUser,
            Requirement::Nothing => Badge::NotVerified,
        }
    }

    /// The safety words to show, or why there are none.
    #[must_use]
    pub fn words(&self) -> WordsState {
        match (self.requirement, self.words) {
            (Requirement::Code, _) => WordsState::ByCode,
            _ if self.is_mismatch => WordsState::Unavailable,
            (_, Some(words)) if self.uses_what_was_proved() => WordsState::Ready(words),
            (_, None) if self.has_no_words => WordsState::Unavailable,
            _ => WordsState::Awaited,
        }
    }

    /// Whether media may be sent and shown.
    #[must_use]
    pub fn admits_media(&self) -> bool {
        !self.is_mismatch
            && self.connected.is_some()
            && match self.requirement {
                Requirement::Code => self.badge() == Badge::VerifiedByCode,
                Requirement::Nothing => true,
            }
    }

    /// Whether someone may be in between: the call must end, with `CODE_MISMATCH`. This is final.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        self.is_mismatch
    }

    /// The handshake has an outcome, or another one than before.
    pub fn decided(&mut self, outcome: Outcome) {
        match (outcome, self.requirement) {
            (Outcome::Verified(certificates), Requirement::Code) => self.prove(certificates),
            (Outcome::Words(words, certificates), Requirement::Nothing) => {
                // The same certificates again: what the user has compared stays compared.
                self.prove(certificates);
                self.words = Some(words);
            }
            (Outcome::Unavailable, Requirement::Nothing) => self.has_no_words = true,
            _ => self.is_mismatch = true,
        }
    }

    /// A connection is up, and DTLS has checked these certificates. A call has one pair of
    /// certificates: others are a mismatch, on the first connection and on each later one.
    pub fn connected(&mut self, certificates: Certificates) {
        let before = self.connected.replace(certificates);
        self.is_mismatch |= before.is_some_and(|before| before != certificates);
        self.compare_certificates();
    }

    /// The user has compared the words that were shown. `shown` is what they saw: if the words
    /// have changed meanwhile, it says nothing about the new ones.
    pub fn compared(&mut self, shown: SafetyWords, are_equal: bool) {
        if self.words() != WordsState::Ready(shown) {
            return;
        }

        self.are_equal |= are_equal;
        self.is_mismatch |= !are_equal;
    }

    fn prove(&mut self, certificates: Certificates) {
        let before = self.proved.replace(certificates);
        self.is_mismatch |= before.is_some_and(|before| before != certificates);
        self.compare_certificates();
    }

    /// A connection with another certificate than the proved one is not the partner's.
    fn compare_certificates(&mut self) {
        if let (Some(proved), Some(connected)) = (self.proved, self.connected) {
            self.is_mismatch |= proved != connected;
        }
    }

    fn uses_what_was_proved(&self) -> bool {
        self.proved.is_some() && self.proved == self.connected
    }
}

#[cfg(test)]
mod tests;
