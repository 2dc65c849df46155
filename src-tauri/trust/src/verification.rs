//! What a call says about its partner: *Encrypted, not verified*, *verified by your code*, or
//! *verified by you*.
//!
//! A handshake says what the two sides have proved; the DTLS connection says which certificate it
//! uses; the user says whether the safety words were equal. [`Verification`] puts them together, for
//! one call with all its connections.

use crate::{Fingerprint, Outcome, SafetyWords};

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

/// How a call may be verified. It does not change during the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// A call by invite: no media before the code has verified the partner.
    Code,
    /// Any other call: media at once, and safety words if the partner has them.
    Nothing,
}

/// The certificates of both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificates {
    /// This side's.
    pub local: Fingerprint,
    /// The partner's, which DTLS has checked.
    pub remote: Fingerprint,
}

/// What is known about the partner of one call.
#[derive(Debug, Clone)]
pub struct Verification {
    requirement: Requirement,
    badge: Badge,
    /// The certificate that the handshake is about, until the next handshake.
    proved: Option<Fingerprint>,
    words: Option<SafetyWords>,
    /// The certificates of the current connection.
    connected: Option<Certificates>,
    is_mismatch: bool,
}

impl Verification {
    /// A call that has just been matched.
    #[must_use]
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement,
            badge: Badge::NotVerified,
            proved: None,
            words: None,
            connected: None,
            is_mismatch: false,
        }
    }

    /// What the badge says. Nothing is verified before the connection uses the certificate that was
    /// proved.
    #[must_use]
    pub fn badge(&self) -> Badge {
        if self.is_mismatch || !self.uses_what_was_proved() {
            return Badge::NotVerified;
        }

        self.badge
    }

    /// The safety words to show, if both sides have them and no mismatch was found.
    #[must_use]
    pub fn words(&self) -> Option<SafetyWords> {
        self.words
            .filter(|_| !self.is_mismatch && self.uses_what_was_proved())
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

    /// Whether someone may be in between: the call must end, with `CODE_MISMATCH`. It stays so.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        self.is_mismatch
    }

    /// A handshake has an outcome, or another one than before.
    pub fn decided(&mut self, outcome: Outcome) {
        match (outcome, self.requirement) {
            (Outcome::Verified(remote), Requirement::Code) => {
                self.prove(remote);
                self.badge = Badge::VerifiedByCode;
            }
            (Outcome::Words(words, remote), Requirement::Nothing) => {
                // The same certificates again: what the user has compared stays compared.
                self.prove(remote);
                self.words = Some(words);
            }
            (Outcome::Unavailable, Requirement::Nothing) => {}
            _ => self.is_mismatch = true,
        }

        self.compare_certificates();
    }

    /// A connection is up, the first of this call or another one: what was verified stays verified
    /// only if both certificates are the same as before.
    pub fn connected(&mut self, certificates: Certificates) {
        let is_same = self.connected.is_none_or(|before| before == certificates);
        self.connected = Some(certificates);
        if !is_same {
            self.forget();
        }

        self.compare_certificates();
    }

    /// The other end of this call is being connected again, with a handshake of its own: what the
    /// last one has proved does not speak for a certificate that may be another.
    pub fn reconnecting(&mut self, remote: Fingerprint) {
        if self.proved.is_some_and(|proved| proved != remote) {
            self.forget();
            self.connected = None;
        }
    }

    /// The user has compared the words that were shown. `shown` is what they saw: if the words
    /// have changed meanwhile, it says nothing about the new ones.
    pub fn compared(&mut self, shown: SafetyWords, are_equal: bool) {
        if self.words() != Some(shown) {
            return;
        }

        if are_equal {
            self.badge = Badge::VerifiedByUser;
        } else {
            self.is_mismatch = true;
        }
    }

    fn prove(&mut self, remote: Fingerprint) {
        if self.proved.is_some_and(|proved| proved != remote) {
            self.forget();
        }

        self.proved = Some(remote);
    }

    fn forget(&mut self) {
        self.badge = Badge::NotVerified;
        self.proved = None;
        self.words = None;
    }

    /// A connection with another certificate than the one that was proved is not the partner's.
    fn compare_certificates(&mut self) {
        if let (Some(proved), Some(connected)) = (self.proved, self.connected) {
            self.is_mismatch |= proved != connected.remote;
        }
    }

    fn uses_what_was_proved(&self) -> bool {
        let used = self.connected.map(|certificates| certificates.remote);
        self.proved.is_some() && self.proved == used
    }
}

#[cfg(test)]
mod tests;
