//! The three moves as a state machine.
//!
//! | move | carried by | the code | safety words |
//! |---|---|---|---|
//! | 1, offerer | offer | share | commitment |
//! | 2, answerer | answer | share and confirmation | nonce |
//! | 3, offerer | candidate | confirmation | opened nonce |
//!
//! The offerer knows the outcome after the second move, the answerer after the third. A side that
//! finds a mismatch still makes its move, as a *refusal*: a third move that the partner does not
//! accept. So both sides end in a mismatch. A refusal is not hidden: only by code, and only as a
//! third move, does it look like a confirmation that another code gave.
//!
//! A machine takes every description that its session applies, not only the first of each side: if a
//! later one names another certificate, verification ends.

use crate::code::CodeExchange;
use crate::message::{Carrier, Message, MessageError};
use crate::safety_words::WordsExchange;
use crate::{Certificates, Code, Fingerprint, Party, SafetyWords};

/// The longest id of a session, in bytes. The server's are UUIDs of 36.
pub const MAX_SESSION_ID_BYTES: usize = 128;

/// Which side makes the offer: the one to which the server says `initiator: true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Makes the offer.
    Offerer,
    /// Answers it.
    Answerer,
}

/// How the partner is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By the code of an invite, of which this side is this end. A partner that does not take part is
    /// a mismatch.
    Code(Code, Party),
    /// By words that the two people compare. A partner that does not take part has none.
    Words,
}

/// What both methods bind in.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The session's id, as the server gave it: 1 to [`MAX_SESSION_ID_BYTES`] bytes.
    pub id: &'a str,
    /// This side's role.
    pub role: Role,
    /// This side's certificate.
    pub local: Fingerprint,
}

/// Why a handshake cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The random bytes are all zero: their source is broken.
    #[error("the random bytes are all zero")]
    NotRandom,
    /// The session's id is empty or too long.
    #[error("the session's id must have 1 to {MAX_SESSION_ID_BYTES} bytes")]
    SessionId,
}

/// What happens to a handshake.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The session applies an offer of the partner.
    Offer {
        /// The JSON of `pake` in its payload, if it has one.
        pake: Option<&'a str>,
        /// The certificate that the description names ([`Fingerprint::in_description`]), if it names
        /// exactly one.
        remote: Option<Fingerprint>,
    },
    /// The session applies an answer of the partner.
    Answer {
        /// As in an offer.
        pake: Option<&'a str>,
        /// As in an offer.
        remote: Option<Fingerprint>,
    },
    /// A candidate arrived whose payload has `pake`.
    Candidate {
        /// The JSON of `pake`.
        pake: &'a str,
    },
    /// The session's deadline for the handshake has passed.
    TimedOut,
}

/// A move to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// What carries it.
    pub carrier: Carrier,
    /// What its `pake` is.
    pub message: Message,
}

/// What a session does next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// A move to send, also beside a mismatch.
    pub send: Option<Move>,
    /// The outcome, if this input has decided or changed it.
    pub outcome: Option<Outcome>,
}

/// What a handshake has found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The partner knows the code, and has these certificates, too.
    Verified(Certificates),
    /// The words to compare. If they are equal, the partner has these certificates, too.
    Words(SafetyWords, Certificates),
    /// The partner has no safety words: an older version, or a server took them out. Words may still
    /// follow, if the partner was only late.
    Unavailable,
    /// The partner does not know the code, or someone changed what passed between the two.
    Mismatch(Mismatch),
}

/// What a mismatch was, for the log. A person need not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A description without `pake` in a call by code.
    #[error("the partner has sent no key exchange")]
    Missing,
    /// A `pake` that cannot be read.
    #[error("the partner has sent something that is no move: {0}")]
    Malformed(MessageError),
    /// A move that is not the next one of this method.
    #[error("the partner has sent a move that is not its next")]
    OutOfOrder,
    /// A description that names no certificate, or several.
    #[error("the partner's description does not name one certificate")]
    NoFingerprint,
    /// A later description names another certificate.
    #[error("the partner's certificate has changed")]
    FingerprintChanged,
    /// What this side has sent came back to it.
    #[error("this side's own move has come back")]
    Reflected,
    /// A share that is no element of the group, or the identity.
    #[error("the partner's share is invalid")]
    InvalidShare,
    /// A confirmation that is not the expected one: another code, or other fingerprints.
    #[error("the partner's confirmation is wrong")]
    WrongConfirmation,
    /// The partner has not finished in time.
    #[error("the partner has not finished the key exchange")]
    TimedOut,
    /// The user has compared the safety words.
    #[error("the user says that the safety words differ")]
    WordsDiffer,
}

/// The moves of a method, without their order.
pub(crate) trait Exchange: Send + Sync {
    /// The first move.
    fn offer(&self) -> Message;
    /// The second move, after the first.
    fn answer(&mut self, offer: &Message, remote: &Fingerprint) -> Result<Message, Mismatch>;
    /// The third move, after the second, and the offerer's outcome.
    fn confirm(
        &mut self,
        answer: &Message,
        remote: &Fingerprint,
    ) -> Result<(Message, Outcome), Mismatch>;
    /// The answerer's outcome, after the third move.
    fn end(&self, candidate: &Message) -> Result<Outcome, Mismatch>;
    /// A third move that the partner will not accept.
    fn refusal(&self) -> Message;
    /// Whether a partner that does not take part is a mismatch.
    fn is_mandatory(&self) -> bool;
    /// Whether the partner could try a code.
    fn tested_a_guess(&self) -> bool;
}

/// The secrets of a handshake, as long as they are needed.
type Secrets = Box<dyn Exchange>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The answerer, before the first move.
    AwaitsOffer,
    /// The offerer, before the second move.
    AwaitsAnswer,
    /// The answerer, before the third move.
    AwaitsConfirmation,
    /// There is an outcome, and no move is awaited.
    Done,
}

/// One side of a handshake.
pub struct Handshake {
    /// Overwritten and dropped once no move is awaited.
    secrets: Option<Secrets>,
    /// Made at the start: it may be needed after the secrets are gone.
    refusal: Message,
    is_mandatory: bool,
    role: Role,
    stage: Stage,
    local: Fingerprint,
    /// The partner's certificate, from its first description.
    remote: Option<Fingerprint>,
    /// The answerer's second move, for an offer that comes again.
    answer: Option<Message>,
    /// The third move that the answerer has accepted: the same again changes nothing.
    accepted: Option<Message>,
    outcome: Option<Outcome>,
    /// The partner could try a code.
    tested_a_guess: bool,
    /// The partner's code was the right one, whatever has happened since.
    knew_the_code: bool,
}

impl Handshake {
    /// Starts a handshake. The offerer also gets the first move, which its offer carries. `random`
    /// is 32 bytes from a cryptographic source, used for nothing else.
    ///
    /// # Errors
    /// If the session's id or the random bytes cannot be used.
    pub fn start(
        method: Method,
        session: &Session<'_>,
        random: [u8; 32],
    ) -> Result<(Self, Option<Move>), StartError> {
        if session.id.is_empty() || session.id.len() > MAX_SESSION_ID_BYTES {
            return Err(StartError::SessionId);
        }

        let random = zeroize::Zeroizing::new(random);
        let secrets: Option<Secrets> = match method {
            Method::Code(code, party) => {
                CodeExchange::new(&code, party, session, &random).map(|e| Box::new(e) as _)
            }
            Method::Words => WordsExchange::new(session, &random).map(|e| Box::new(e) as _),
        };
        let secrets = secrets.ok_or(StartError::NotRandom)?;
        let (stage, offer) = match session.role {
            Role::Offerer => {
                let first = Move {
                    carrier: Carrier::Offer,
                    message: secrets.offer(),
                };
                (Stage::AwaitsAnswer, Some(first))
            }
            Role::Answerer => (Stage::AwaitsOffer, None),
        };

        let handshake = Self {
            refusal: secrets.refusal(),
            is_mandatory: secrets.is_mandatory(),
            secrets: Some(secrets),
            role: session.role,
            stage,
            local: session.local,
            remote: None,
            answer: None,
            accepted: None,
            outcome: None,
            tested_a_guess: false,
            knew_the_code: false,
        };
        Ok((handshake, offer))
    }

    /// What has been found out so far. A mismatch is final; everything else can become one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether the partner could try a code that was not the right one, as far as is known. Both
    /// sides count these for each code ([`Guesses`](crate::Guesses)), from the moment when the
    /// partner could try one: it may leave without its last move. A guess is taken back when the
    /// partner turns out to know the code, and stays so even if the call ends in a mismatch later.
    #[must_use]
    pub fn spent_a_guess(&self) -> bool {
        self.tested_a_guess && !self.knew_the_code
    }

    /// Takes an input.
    pub fn handle(&mut self, input: &Input<'_>) -> Step {
        if matches!(self.outcome, Some(Outcome::Mismatch(_))) {
            return Step::default();
        }

        match *input {
            Input::Offer { pake, remote } => self.description(Stage::AwaitsOffer, pake, remote),
            Input::Answer { pake, remote } => self.description(Stage::AwaitsAnswer, pake, remote),
            Input::Candidate { pake } => {
                present(pake).map_or_else(Step::default, |pake| self.candidate(pake))
            }
            Input::TimedOut => self.timed_out(),
        }
    }

    /// A description of the kind that is awaited in this stage.
    fn description(
        &mut self,
        kind: Stage,
        pake: Option<&str>,
        remote: Option<Fingerprint>,
    ) -> Step {
        // A partner without safety words: the call is as it would be without this crate.
        let is_without = self.stage == Stage::Done && self.outcome == Some(Outcome::Unavailable);
        if is_without {
            return Step::default();
        }

        let pake = pake.and_then(present);
        let is_first = self.remote.is_none() && !self.is_mandatory;
        if is_first && pake.is_none() && remote.is_none() {
            return self.decide(Outcome::Unavailable);
        }

        let remote = match self.certificate(remote) {
            Ok(remote) => remote,
            Err(mismatch) => return self.refuse(mismatch, kind),
        };

        match self.stage {
            Stage::Done => Step::default(),
            Stage::AwaitsConfirmation => self.repeat_answer(kind),
            stage if stage != kind => self.refuse(Mismatch::OutOfOrder, kind),
            _ => match pake.map(read) {
                None if self.is_mandatory => self.refuse(Mismatch::Missing, kind),
                None => self.decide(Outcome::Unavailable),
                // Another version's method: as if the partner had none.
                Some(Err(Mismatch::Malformed(MessageError::UnknownMethod)))
                    if !self.is_mandatory =>
                {
                    self.decide(Outcome::Unavailable)
                }
                Some(Err(mismatch)) => self.refuse(mismatch, kind),
                Some(Ok(message)) => self.first_description(kind, &message, remote),
            },
        }
    }

    /// The same offer again, because the offerer does not know whether it arrived: the answer to it
    /// needs the second move, too.
    fn repeat_answer(&self, kind: Stage) -> Step {
        let answer = self.answer.filter(|_| kind == Stage::AwaitsOffer);
        Step {
            send: answer.map(|message| Move {
                carrier: Carrier::Answer,
                message,
            }),
            outcome: None,
        }
    }

    /// The partner's certificate: one, always the same, and not this side's.
    fn certificate(&mut self, remote: Option<Fingerprint>) -> Result<Fingerprint, Mismatch> {
        let remote = remote.ok_or(Mismatch::NoFingerprint)?;
        if remote == self.local {
            return Err(Mismatch::Reflected);
        }

        if *self.remote.get_or_insert(remote) != remote {
            return Err(Mismatch::FingerprintChanged);
        }

        Ok(remote)
    }

    /// The secrets while a move is awaited.
    fn secrets(&mut self) -> Result<&mut Secrets, Mismatch> {
        self.secrets.as_mut().ok_or(Mismatch::OutOfOrder)
    }

    fn first_description(&mut self, kind: Stage, message: &Message, remote: Fingerprint) -> Step {
        let step = match kind {
            Stage::AwaitsOffer => self.second_move(message, remote),
            _ => self.third_move(message, remote),
        };
        step.unwrap_or_else(|mismatch| self.refuse(mismatch, kind))
    }

    fn second_move(&mut self, offer: &Message, remote: Fingerprint) -> Result<Step, Mismatch> {
        let secrets = self.secrets()?;
        let answer = secrets.answer(offer, &remote)?;
        self.tested_a_guess = secrets.tested_a_guess();
        self.answer = Some(answer);
        self.stage = Stage::AwaitsConfirmation;
        Ok(self.repeat_answer(Stage::AwaitsOffer))
    }

    fn third_move(&mut self, answer: &Message, remote: Fingerprint) -> Result<Step, Mismatch> {
        let secrets = self.secrets()?;
        let confirmed = secrets.confirm(answer, &remote);
        self.tested_a_guess = secrets.tested_a_guess();
        let (message, outcome) = confirmed?;
        Ok(Step {
            send: Some(Move {
                carrier: Carrier::Candidate,
                message,
            }),
            ..self.decide(outcome)
        })
    }

    /// The third move. The offerer expects none: one that comes is the answerer's refusal.
    fn candidate(&mut self, pake: &str) -> Step {
        let outcome = read(pake).and_then(|message| match self.stage {
            Stage::AwaitsConfirmation => {
                let outcome = self.secrets()?.end(&message)?;
                self.accepted = Some(message);
                Ok(Some(outcome))
            }
            Stage::Done if self.accepted == Some(message) => Ok(None),
            _ => Err(Mismatch::OutOfOrder),
        });

        match outcome {
            Ok(Some(outcome)) => self.decide(outcome),
            Ok(None) => Step::default(),
            // The partner goes on with a method of its own version.
            Err(Mismatch::Malformed(MessageError::UnknownMethod))
                if self.outcome == Some(Outcome::Unavailable) =>
            {
                Step::default()
            }
            Err(mismatch) => self.refuse(mismatch, Stage::Done),
        }
    }

    /// By code, a partner that has had its guess has to show that it knows the code. One from which
    /// nothing has come may be away: that ends the call for another reason. Without a code, the
    /// partner may still be late: the stage stays.
    fn timed_out(&mut self) -> Step {
        match self.stage {
            Stage::Done => Step::default(),
            Stage::AwaitsConfirmation if self.is_mandatory => {
                self.refuse(Mismatch::TimedOut, Stage::Done)
            }
            _ if self.is_mandatory => Step::default(),
            _ if self.outcome == Some(Outcome::Unavailable) => Step::default(),
            _ => {
                self.outcome = Some(Outcome::Unavailable);
                Step {
                    outcome: self.outcome,
                    ..Step::default()
                }
            }
        }
    }

    /// The user says that the safety words differ. The partner ends in a mismatch, too.
    pub fn words_differ(&mut self) -> Step {
        match self.outcome {
            Some(Outcome::Words(..)) => self.refuse(Mismatch::WordsDiffer, Stage::Done),
            _ => Step::default(),
        }
    }

    fn decide(&mut self, outcome: Outcome) -> Step {
        self.stage = Stage::Done;
        self.secrets = None;
        self.knew_the_code |= matches!(outcome, Outcome::Verified(_));
        self.outcome = Some(outcome);
        Step {
            outcome: Some(outcome),
            ..Step::default()
        }
    }

    /// Ends in a mismatch, and makes the partner end in one. If an offer is the cause and has no
    /// answer yet, the answer carries the refusal.
    fn refuse(&mut self, mismatch: Mismatch, cause: Stage) -> Step {
        let can_answer = self.role == Role::Answerer
            && self.stage == Stage::AwaitsOffer
            && cause == Stage::AwaitsOffer;
        let carrier = if can_answer {
            Carrier::Answer
        } else {
            Carrier::Candidate
        };
        Step {
            send: Some(Move {
                carrier,
                message: self.refusal,
            }),
            ..self.decide(Outcome::Mismatch(mismatch))
        }
    }
}

/// `null` is a missing field.
fn present(pake: &str) -> Option<&str> {
    let text = pake.trim_matches([' ', '\t', '\n', '\r']);
    (text != "null").then_some(text)
}

fn read(pake: &str) -> Result<Message, Mismatch> {
    Message::parse(pake).map_err(Mismatch::Malformed)
}

#[cfg(test)]
mod tests;
