//! Who the partner of a call is: drives the handshake of `tandem-trust` with what the call sends and
//! receives, and says what the user is shown.
//!
//! Sans-IO: the driver hands it descriptions, moves, certificates and the time, and sends what it
//! returns.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tandem_trust::{
    Badge, Carrier, Certificates, Code, Fingerprint, Guesses, Handshake, Input, Message, Method,
    Outcome, Party, Requirement, Role, SafetyWords, Session, StartError, Step, Verification,
    WordsState,
};

/// The code of an invite, which the two sides prove to each other: then the call has no media before
/// it has verified the partner, and otherwise ends with
/// [`EndCode::CodeMismatch`](crate::EndCode::CodeMismatch). It is never sent.
#[derive(Debug, Clone)]
pub struct CallCode {
    /// The number and the words.
    pub code: Code,
    /// Whether this side made the invite.
    pub party: Party,
    /// The guesses at this code, in all calls with it. When they are spent, the call ends before it
    /// sends anything that could be tried against the code.
    pub guesses: SharedGuesses,
}

impl CallCode {
    /// A code that no call has used yet.
    #[must_use]
    pub fn new(code: Code, party: Party) -> Self {
        Self {
            code,
            party,
            guesses: SharedGuesses::default(),
        }
    }
}

/// The guesses at one code. Clones count together. Keep one for as long as the code lasts,
/// and give a clone to each call.
#[derive(Debug, Clone, Default)]
pub struct SharedGuesses(Arc<Mutex<Guesses>>);

impl SharedGuesses {
    /// Whether the code must not be used any more.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.0.lock().is_void()
    }

    /// How many were spent.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.0.lock().spent()
    }

    /// Counts a guess. A call counts its own.
    pub fn spend(&self) {
        self.0.lock().spend();
    }
}

/// What the user is shown about the partner's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationState {
    /// What the badge says.
    pub badge: Badge,
    /// The words to compare, or why there are none.
    pub words: WordsState,
}

/// What to send, and whether the call ends.
#[derive(Debug, Default)]
pub(super) struct Reaction {
    /// A move for the answer to the offer that caused this.
    pub(super) answer: Option<Message>,
    /// The JSON of a move for a candidate of its own.
    pub(super) candidate: Option<String>,
    /// A mismatch was found just now.
    pub(super) is_mismatch: bool,
}

impl Reaction {
    /// Nothing to send. `is_mismatch`: the call ends.
    pub(super) fn ended(is_mismatch: bool) -> Self {
        Self {
            is_mismatch,
            ..Self::default()
        }
    }
}

/// The verification of one partner.
pub(super) struct Verifier {
    handshake: Handshake,
    verification: Verification,
    /// The first move, for the offerer's first offer.
    first: Option<Message>,
    code: Option<CallCode>,
    local: Fingerprint,
    /// The certificate that the partner's first description named.
    remote: Option<Fingerprint>,
    /// A connection has used other certificates than those that the two sides have described.
    uses_others: bool,
    /// This call's guess is among the spent ones.
    counted: bool,
    /// When the handshake must be finished. `None`: that has been noticed.
    deadline: Option<Instant>,
    /// What the user was last shown.
    shown: Option<VerificationState>,
}

impl Verifier {
    /// A partner who has just been found, in the session with this id. `initiator`: this side makes
    /// the offer. `random` is used for nothing else.
    ///
    /// # Errors
    /// If the handshake cannot start.
    pub(super) fn new(
        code: Option<CallCode>,
        session_id: &str,
        initiator: bool,
        local: Fingerprint,
        deadline: Instant,
        random: [u8; 32],
    ) -> Result<Self, StartError> {
        let (method, requirement) = match &code {
            Some(code) => (Method::Code(code.code, code.party), Requirement::Code),
            None => (Method::Words, Requirement::Nothing),
        };
        let role = if initiator {
            Role::Offerer
        } else {
            Role::Answerer
        };
        let session = Session {
            id: session_id,
            role,
            local,
        };

        let (handshake, first) = Handshake::start(method, &session, random)?;
        Ok(Self {
            handshake,
            verification: Verification::new(requirement),
            first: first.map(|first| first.message),
            code,
            local,
            remote: None,
            uses_others: false,
            counted: false,
            deadline: Some(deadline),
            shown: None,
        })
    }

    /// This side's first offer, with the first move.
    pub(super) fn first_offer(&self, offer: String) -> String {
        match &self.first {
            Some(first) => with_move(&offer, first),
            None => offer,
        }
    }

    /// An offer of the partner is about to be applied. After a mismatch without an answer to make,
    /// it must not be.
    pub(super) fn offer(&mut self, offer: &str) -> Reaction {
        let (pake, remote) = read(offer);
        let pake = pake.as_deref();
        self.remote = self.remote.or(remote);
        self.handle(&Input::Offer { pake, remote })
    }

    /// The same for an answer.
    pub(super) fn answer(&mut self, answer: &str) -> Reaction {
        let (pake, remote) = read(answer);
        let pake = pake.as_deref();
        self.remote = self.remote.or(remote);
        self.handle(&Input::Answer { pake, remote })
    }

    /// Whether a description of a fresh connection names the certificate of the call. Of a partner
    /// without safety words, [`offer`](Self::offer) and [`answer`](Self::answer) do not say it.
    pub(super) fn is_same_partner(&self, description: &str) -> bool {
        let (_, remote) = read(description);
        remote == self.remote
    }

    /// A move arrived in a candidate.
    pub(super) fn candidate(&mut self, pake: &str) -> Reaction {
        self.handle(&Input::Candidate { pake })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the handshake if it is not finished in time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Reaction {
        if self.deadline.take_if(|due| *due <= now).is_none() {
            return Reaction::default();
        }

        self.handle(&Input::TimedOut)
    }

    /// DTLS is up, with these certificates. Returns whether that is a mismatch: they are not those of the
    /// call. The partner's first description has named its one, and this side has always had its own.
    pub(super) fn connected(&mut self, certificates: Certificates) -> bool {
        let before = self.is_mismatch();
        self.verification.connected(certificates);
        let is_described = self
            .remote
            .is_none_or(|remote| remote == certificates.remote);
        if !is_described || certificates.local != self.local {
            tracing::warn!("the connection uses other certificates than the call: ending it");
            self.uses_others = true;
        }

        self.is_mismatch() && !before
    }

    /// Whether the partner is not who it should be.
    fn is_mismatch(&self) -> bool {
        self.verification.is_mismatch() || self.uses_others
    }

    /// The user has compared the words that were shown. If they differ, the partner is told.
    pub(super) fn compared(&mut self, shown: SafetyWords, are_equal: bool) -> Reaction {
        let before = self.is_mismatch();
        self.verification.compared(shown, are_equal);
        if before || !self.is_mismatch() {
            return Reaction::default();
        }

        let refusal = self.handshake.words_differ().send;
        Reaction {
            candidate: refusal.map(|refusal| refusal.message.to_json()),
            ..Reaction::ended(true)
        }
    }

    /// Whether there is no media before the partner is verified.
    pub(super) fn must_verify(&self) -> bool {
        self.code.is_some()
    }

    /// Whether media may be sent and shown.
    pub(super) fn admits_media(&self) -> bool {
        self.verification.admits_media() && !self.uses_others
    }

    /// What to show the user, if that has changed since it was last returned.
    pub(super) fn new_state(&mut self) -> Option<VerificationState> {
        let state = VerificationState {
            badge: self.verification.badge(),
            words: self.verification.words(),
        };
        (self.shown.replace(state) != Some(state)).then_some(state)
    }

    fn handle(&mut self, input: &Input<'_>) -> Reaction {
        let Step { send, outcome } = self.handshake.handle(input);
        self.count();
        let before = self.is_mismatch();
        if let Some(outcome) = outcome {
            self.deadline = None;
            self.verification.decided(outcome);
            if let Outcome::Mismatch(mismatch) = outcome {
                tracing::warn!(%mismatch, "the partner could not be verified: ending the call");
            }
        }

        let mut reaction = Reaction {
            is_mismatch: self.is_mismatch() && !before,
            ..Reaction::default()
        };
        if let Some(send) = send {
            match send.carrier {
                Carrier::Offer | Carrier::Answer => reaction.answer = Some(send.message),
                Carrier::Candidate => reaction.candidate = Some(send.message.to_json()),
            }
        }
        reaction
    }

    /// Counts the guess of this call, or takes it back.
    fn count(&mut self) {
        let spent = self.handshake.spent_a_guess();
        let Some(code) = self.code.as_ref().filter(|_| spent != self.counted) else {
            return;
        };

        self.counted = spent;
        let mut guesses = code.guesses.0.lock();
        if spent {
            guesses.spend();
        } else {
            guesses.take_back();
        }
    }
}

/// A payload's `pake`, and the certificate that its description names.
fn read(description: &str) -> (Option<String>, Option<Fingerprint>) {
    let fields = fields(description);
    let sdp: Option<String> = fields
        .get("sdp")
        .and_then(|sdp| serde_json::from_str(sdp.get()).ok());
    let remote = sdp.and_then(|sdp| Fingerprint::in_description(&sdp).ok());
    let pake = fields.get("pake").map(|pake| pake.get().to_owned());
    (pake, remote)
}

/// The `pake` of a payload. `None`: it has none, or `null`.
pub(super) fn move_in(payload: &str) -> Option<String> {
    let fields = fields(payload);
    let pake = fields.get("pake")?.get();
    (pake != "null").then(|| pake.to_owned())
}

/// This side's description, with a move.
pub(super) fn with_move(description: &str, message: &Message) -> String {
    let pake = RawValue::from_string(message.to_json()).expect("a move is JSON");
    let mut fields = fields(description);
    fields.insert("pake".into(), &pake);
    serde_json::to_string(&fields).expect("texts and JSON are JSON")
}

/// The fields of a JSON object; none of anything else.
fn fields(json: &str) -> HashMap<String, &RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
mod tests;
