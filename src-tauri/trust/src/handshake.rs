//! The three moves as a state machine.
//!
//! | move | carried by | the code | safety words |
//! |---|---|---|---|
//! | 1, offerer | offer | share | commitment |
//! | 2, answerer | answer | share and confirmation | number |
//! | 3, offerer | candidate | confirmation | opened number |
//!
//! The offerer knows the outcome after the second move, the answerer after the third. A side that
//! finds a mismatch still makes its move, as a *refusal*: a confirmation that no key gives. So its
//! partner ends in a mismatch, too, and someone in between cannot tell a refusal from a confirmation
//! that a wrong code gave.
//!
//! A machine takes every description that its session applies, not only the first of each side: if a
//! later one names another certificate, verification ends.

use crate::code::CodeExchange;
use crate::message::{Carrier, Message, MessageError};
use crate::safety_words::WordsExchange;
use crate::{Code, Fingerprint, SafetyWords};

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
    /// By the code of an invite. A partner that does not take part is a mismatch.
    Code(Code),
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
    /// The partner knows the code, and its certificate is this one.
    Verified(Fingerprint),
    /// The words to compare. If they are equal, the partner's certificate is this one.
    Words(SafetyWords, Fingerprint),
    /// The partner has no safety words: an older version, or a server took them out.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The answerer, before the first move.
    AwaitsOffer,
    /// The offerer, before the second move.
    AwaitsAnswer,
    /// The answerer, before the third move.
    AwaitsConfirmation,
    /// There is an outcome.
    Done,
}

/// One side of a handshake.
pub struct Handshake {
    exchange: Box<dyn Exchange>,
    role: Role,
    stage: Stage,
    local: Fingerprint,
    /// The partner's certificate, from its first description.
    remote: Option<Fingerprint>,
    /// The third move that the answerer has accepted: the same again changes nothing.
    accepted: Option<Message>,
    outcome: Option<Outcome>,
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
        let exchange: Option<Box<dyn Exchange>> = match method {
            Method::Code(code) => {
                CodeExchange::new(&code, session, &random).map(|e| Box::new(e) as _)
            }
            Method::Words => WordsExchange::new(session, &random).map(|e| Box::new(e) as _),
        };
        let exchange = exchange.ok_or(StartError::NotRandom)?;
        let (stage, offer) = match session.role {
            Role::Offerer => {
                let first = Move {
                    carrier: Carrier::Offer,
                    message: exchange.offer(),
                };
                (Stage::AwaitsAnswer, Some(first))
            }
            Role::Answerer => (Stage::AwaitsOffer, None),
        };

        let handshake = Self {
            exchange,
            role: session.role,
            stage,
            local: session.local,
            remote: None,
            accepted: None,
            outcome: None,
        };
        Ok((handshake, offer))
    }

    /// What has been found out so far. A mismatch is final; everything else can become one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether the partner could try a code and has not been verified. An inviter counts these, also
    /// when the partner left without its last move, and withdraws the invite after a few.
    #[must_use]
    pub fn spent_a_guess(&self) -> bool {
        self.exchange.tested_a_guess() && !matches!(self.outcome, Some(Outcome::Verified(_)))
    }

    /// Takes an input.
    pub fn handle(&mut self, input: &Input<'_>) -> Step {
        if matches!(self.outcome, Some(Outcome::Mismatch(_))) {
            return Step::default();
        }

        match *input {
            Input::Offer { pake, remote } => self.description(Stage::AwaitsOffer, pake, remote),
            Input::Answer { pake, remote } => self.description(Stage::AwaitsAnswer, pake, remote),
            Input::Candidate { pake } => self.candidate(pake),
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
        let remote = match self.certificate(remote) {
            Ok(remote) => remote,
            Err(mismatch) => return self.refuse(mismatch, kind),
        };

        match self.stage {
            Stage::Done | Stage::AwaitsConfirmation => Step::default(),
            stage if stage != kind => self.refuse(Mismatch::OutOfOrder, kind),
            _ => match pake {
                None if self.exchange.is_mandatory() => self.refuse(Mismatch::Missing, kind),
                None => self.decide(Outcome::Unavailable),
                Some(pake) => self.first_description(kind, pake, remote),
            },
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

    fn first_description(&mut self, kind: Stage, pake: &str, remote: Fingerprint) -> Step {
        let step = read(pake).and_then(|message| match kind {
            Stage::AwaitsOffer => {
                let answer = self.exchange.answer(&message, &remote)?;
                self.stage = Stage::AwaitsConfirmation;
                Ok(Step {
                    send: Some(Move {
                        carrier: Carrier::Answer,
                        message: answer,
                    }),
                    outcome: None,
                })
            }
            _ => {
                let (confirmation, outcome) = self.exchange.confirm(&message, &remote)?;
                Ok(Step {
                    send: Some(Move {
                        carrier: Carrier::Candidate,
                        message: confirmation,
                    }),
                    ..self.decide(outcome)
                })
            }
        });
        step.unwrap_or_else(|mismatch| self.refuse(mismatch, kind))
    }

    /// The third move. The offerer expects none: one that comes is the answerer's refusal.
    fn candidate(&mut self, pake: &str) -> Step {
        let outcome = read(pake).and_then(|message| match self.stage {
            Stage::AwaitsConfirmation => {
                let outcome = self.exchange.end(&message)?;
                self.accepted = Some(message);
                Ok(Some(outcome))
            }
            Stage::Done if self.accepted == Some(message) => Ok(None),
            _ => Err(Mismatch::OutOfOrder),
        });

        match outcome {
            Ok(Some(outcome)) => self.decide(outcome),
            Ok(None) => Step::default(),
            Err(mismatch) => self.refuse(mismatch, Stage::Done),
        }
    }

    fn timed_out(&mut self) -> Step {
        match self.stage {
            Stage::Done => Step::default(),
            _ if self.exchange.is_mandatory() => self.refuse(Mismatch::TimedOut, Stage::Done),
            _ => self.decide(Outcome::Unavailable),
        }
    }

    fn decide(&mut self, outcome: Outcome) -> Step {
        self.stage = Stage::Done;
        self.outcome = Some(outcome);
        Step {
            outcome: Some(outcome),
            ..Step::default()
        }
    }

    /// Ends in a mismatch and sees to it that the partner does, too. What an offer caused, the
    /// answer to it carries, if there has been none.
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
                message: self.exchange.refusal(),
            }),
            ..self.decide(Outcome::Mismatch(mismatch))
        }
    }
}

fn read(pake: &str) -> Result<Message, Mismatch> {
    Message::parse(pake).map_err(Mismatch::Malformed)
}

#[cfg(test)]
mod tests;
