//! What a call says about its partner: *Encrypted, not verified*, *verified by your code*, or
//! *verified by you*.
//!
//! A handshake says what the two sides have proved; the DTLS connection says which certificate it
//! uses; the user says whether the safety words were equal. [`Verification`] puts them together, for
//! one call with all its connections.

use crate::{Certificates, Fingerprint, Outcome, SafetyWords};

/// What the badge of a call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    /// Encrypted, not verified: a server in between would not be noticed.
    NotVerified,
    /// Encrypted, verified by the code: the partner knows the words of the invite.
    VerifiedByCode,
    /// Encrypted, verified by the user, who has compared the safety words.
    VerifiedByUser,
    /// The user had compared the safety words, and the call was connected again with another
    /// certificate. There is no media until the user has compared the new words, or has agreed to go
    /// on without: [`Verification::accepted_unverified`].
    NoLongerVerified,
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
    badge: Badge,
    /// The certificates that the handshake is about, until the next handshake.
    proved: Option<Certificates>,
    words: Option<SafetyWords>,
    /// The certificates of the current connection.
    connected: Option<Certificates>,
    is_mismatch: bool,
    /// The user had verified another certificate, and has not agreed to this one.
    was_replaced: bool,
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
            was_replaced: false,
        }
    }

    /// What the badge says. Nothing is verified before the connection uses the certificate that was
    /// proved.
    #[must_use]
    pub fn badge(&self) -> Badge {
        match self.badge {
            _ if self.is_mismatch => Badge::NotVerified,
            _ if self.was_replaced => Badge::NoLongerVerified,
            badge if self.uses_what_was_proved() => badge,
            _ => Badge::NotVerified,
        }
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
                Requirement::Nothing => !self.was_replaced,
            }
    }

    /// Whether someone may be in between: the call must end, with `CODE_MISMATCH`. This is final.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        self.is_mismatch
    }

    /// A handshake has an outcome, or another one than before.
    pub fn decided(&mut self, outcome: Outcome) {
        match (outcome, self.requirement) {
            (Outcome::Verified(certificates), Requirement::Code) => {
                self.prove(certificates);
                self.badge = Badge::VerifiedByCode;
            }
            (Outcome::Words(words, certificates), Requirement::Nothing) => {
                // The same certificates again: what the user has compared stays compared.
                self.prove(certificates);
                self.words = Some(words);
            }
            (Outcome::Unavailable, Requirement::Nothing) => {}
            _ => self.is_mismatch = true,
        }

        self.compare_certificates();
    }

    /// A connection is up, the first of this call or another one, and DTLS has checked these
    /// certificates. What was proved before stays proved only if both certificates are the same as
    /// before; what a handshake has proved about these certificates counts, also if it came first.
    pub fn connected(&mut self, certificates: Certificates) {
        let before = self.connected.replace(certificates);
        let is_new = before.is_some_and(|before| before != certificates);
        if is_new && self.proved != Some(certificates) {
            self.forget();
        }

        // The first connection uses what this call's handshake was about.
        let is_other = before.is_none() && self.proved.is_some_and(|proved| proved != certificates);
        self.is_mismatch |= is_other;
        self.compare_certificates();
    }

    /// The other end of this call is being connected again, with a handshake of its own: what the
    /// last one has proved does not speak for a certificate that may be another.
    pub fn reconnecting(&mut self, remote: Fingerprint) {
        if self.proved.is_some_and(|proved| proved.remote != remote) {
            self.forget();
            self.connected = None;
        }
    }

    /// The user goes on without verification, after the badge was [`Badge::NoLongerVerified`].
    pub fn accepted_unverified(&mut self) {
        self.was_replaced = false;
    }

    /// The user has compared the words that were shown. `shown` is what they saw: if the words
    /// have changed meanwhile, it says nothing about the new ones.
    pub fn compared(&mut self, shown: SafetyWords, are_equal: bool) {
        if self.words() != Some(shown) {
            return;
        }

        if are_equal {
            self.badge = Badge::VerifiedByUser;
            self.was_replaced = false;
        } else {
            self.is_mismatch = true;
        }
    }

    fn prove(&mut self, certificates: Certificates) {
        if self.proved.is_some_and(|proved| proved != certificates) {
            self.forget();
        }

        self.proved = Some(certificates);
    }

    fn forget(&mut self) {
        self.was_replaced |= self.badge == Badge::VerifiedByUser;
        self.badge = Badge::NotVerified;
        self.proved = None;
        self.words = None;
    }

    /// A connection with another certificate than the proved one is not the partner's.
    fn compare_certificates(&mut self) {
        if let (Some(proved), Some(connected)) = (self.proved, self.connected) {
            self.is_mismatch |= proved.remote != connected.remote;
        }
    }

    fn uses_what_was_proved(&self) -> bool {
        self.proved.is_some() && self.proved == self.connected
    }
}

#[cfg(test)]
mod tests;
