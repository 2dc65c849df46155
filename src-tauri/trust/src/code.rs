//! The code of an invite as the key: CPace over its two words, with both fingerprints and the
//! session's id bound in, and a confirmation by each side.

use std::fmt;

use zeroize::Zeroizing;

use crate::cpace::{Confirmation, Inputs, Key, Public, Secret, Share, lv_cat};
use crate::handshake::{Exchange, Mismatch, Outcome, Role, Session};
use crate::message::Message;
use crate::{Certificates, Fingerprint, Word};

/// Says that this is a call by code, and which version of its handshake.
const PURPOSE: &[u8] = b"tandem call by code 1";

/// Which end of an invite a side is. Only an inviter and a guest verify each other: a server that
/// joins two guests with the same link, or two calls of one inviter, gets a mismatch
/// (draft-irtf-cfrg-cpace-21 §10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Made the invite.
    Inviter,
    /// Was given it.
    Guest,
}

impl Party {
    /// The one at the other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Inviter => Self::Guest,
            Self::Guest => Self::Inviter,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Inviter => b"inviter",
            Self::Guest => b"guest",
        }
    }
}

/// The code of an invite: its number, which the server knows, and its two words, which it does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    room: u32,
    words: [Word; 2],
}

impl Code {
    /// The code with the room's number and these words.
    #[must_use]
    pub fn new(room: u32, words: [Word; 2]) -> Self {
        Self { room, words }
    }

    /// The password: `garden-lantern`.
    fn password(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{}-{}",
            self.words[0].as_str(),
            self.words[1].as_str()
        ))
    }

    /// The channel identifier: it also says which end of the invite makes the offer.
    fn channel(&self, offerer: Party) -> Vec<u8> {
        let room = self.room.to_string();
        lv_cat(&[PURPOSE, room.as_bytes(), offerer.name()])
    }
}

impl fmt::Debug for Code {
    /// Hides the words: they do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.room)
    }
}

/// The exchange of one side.
pub(crate) struct CodeExchange {
    role: Role,
    secret: Secret,
    local: Fingerprint,
    /// What the answerer waits for, once it has answered.
    awaited: Option<Awaited>,
    tested: bool,
}

/// The offerer's confirmation, before it has come.
struct Awaited {
    key: Key,
    share: Share,
    remote: Fingerprint,
}

impl CodeExchange {
    /// `None` if the random bytes are all zero.
    pub(crate) fn new(
        code: &Code,
        local: Party,
        session: &Session<'_>,
        random: &[u8; 32],
    ) -> Option<Self> {
        let offerer = match session.role {
            Role::Offerer => local,
            Role::Answerer => local.other(),
        };
        let (password, channel) = (code.password(), code.channel(offerer));
        let inputs = Inputs {
            password: password.as_bytes(),
            channel: &channel,
            session: session.id.as_bytes(),
        };
        Some(Self {
            role: session.role,
            secret: Secret::new(inputs, random)?,
            local: session.local,
            awaited: None,
            tested: false,
        })
    }

    fn key(&self, share: &Share, remote: &Fingerprint) -> Result<Key, Mismatch> {
        if share == self.secret.share() {
            return Err(Mismatch::Reflected);
        }

        let (local_data, remote_data) = (self.local.bound(), remote.bound());
        let local = Public {
            share: self.secret.share(),
            data: &local_data,
        };
        let remote = Public {
            share,
            data: &remote_data,
        };
        let key = match self.role {
            Role::Offerer => self.secret.key(local, remote),
            Role::Answerer => self.secret.key(remote, local),
        };
        key.ok_or(Mismatch::InvalidShare)
    }

    fn verified(&self, remote: Fingerprint) -> Outcome {
        let local = self.local;
        Outcome::Verified(Certificates { local, remote })
    }

    fn confirmation(&self, key: &Key) -> Confirmation {
        key.confirmation(Public {
            share: self.secret.share(),
            data: &self.local.bound(),
        })
    }
}

fn check(
    key: &Key,
    share: &Share,
    remote: &Fingerprint,
    tag: &Confirmation,
) -> Result<(), Mismatch> {
    let side = Public {
        share,
        data: &remote.bound(),
    };
    let is_confirmed = key.confirms(side, tag);
    is_confirmed
        .then_some(())
        .ok_or(Mismatch::WrongConfirmation)
}

impl Exchange for CodeExchange {
    fn offer(&self) -> Message {
        Message::Share(*self.secret.share())
    }

    fn answer(&mut self, offer: &Message, remote: &Fingerprint) -> Result<Message, Mismatch> {
        let Message::Share(share) = offer else {
            return Err(Mismatch::OutOfOrder);
        };
        let key = self.key(share, remote)?;
        let confirmation = self.confirmation(&key);
        self.tested = true;
        self.awaited = Some(Awaited {
            key,
            share: *share,
            remote: *remote,
        });
        Ok(Message::ShareAndConfirmation(
            *self.secret.share(),
            confirmation,
        ))
    }

    fn confirm(
        &mut self,
        answer: &Message,
        remote: &Fingerprint,
    ) -> Result<(Message, Outcome), Mismatch> {
        let Message::ShareAndConfirmation(share, confirmation) = answer else {
            return Err(Mismatch::OutOfOrder);
        };
        self.tested = true;
        let key = self.key(share, remote)?;
        check(&key, share, remote, confirmation)?;
        let confirmation = Message::Confirmation(self.confirmation(&key));
        Ok((confirmation, self.verified(*remote)))
    }

    fn end(&self, candidate: &Message) -> Result<Outcome, Mismatch> {
        let (Message::Confirmation(confirmation), Some(awaited)) = (candidate, &self.awaited)
        else {
            return Err(Mismatch::OutOfOrder);
        };
        check(&awaited.key, &awaited.share, &awaited.remote, confirmation)?;
        Ok(self.verified(awaited.remote))
    }

    fn refusal(&self) -> Message {
        Message::Confirmation(self.secret.refusal())
    }

    fn is_mandatory(&self) -> bool {
        true
    }

    fn tested_a_guess(&self) -> bool {
        self.tested
    }
}
