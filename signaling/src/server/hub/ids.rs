//! Names inside the server that must not be mixed up: persons, resume tokens, hashes of
//! claims, tickets.

use std::borrow::Borrow;
use std::fmt;

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::message::{ClaimToken, UserId};

/// Who blocks and the re-match rule apply to: the `sub` of the bearer token, or, without a token,
/// the user itself. One person can be several users at once, one for each device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::server) struct PersonId(UserId);

impl PersonId {
    pub(in crate::server) fn new(user: &UserId, subject: Option<&str>) -> Self {
        Self(subject.map_or_else(|| user.clone(), UserId::from))
    }

    pub(in crate::server) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The `sub` of the bearer token with which `user` connected, if it had one.
    pub(in crate::server) fn subject_of(&self, user: &UserId) -> Option<String> {
        (self.0 != *user).then(|| self.0.as_str().to_owned())
    }

    /// Whether this is `user` itself: a person without a bearer token, who is gone for good once
    /// the user is.
    pub(in crate::server) fn is_user(&self, user: &UserId) -> bool {
        self.0 == *user
    }
}

/// What a client shows to resume: a secret, good for one resume. In a cluster it begins with the
/// id of the node that issued it and a dot, so any other node knows where to ask for the client.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::server) struct ResumeToken(String);

impl ResumeToken {
    pub(in crate::server) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ResumeToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// For looking up the text that a client sent, without a copy.
impl Borrow<str> for ResumeToken {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeToken {
    /// Without the secret: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(…)")
    }
}

/// The SHA-256 of a claim's token, or of a guest's.
///
/// The server keeps this instead of the token: what is in memory or in Redis then claims no room.
/// The token is random, so it needs no salt. And comparing hashes tells nothing about the token,
/// however long it takes: no one can choose a token by the beginning of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::server) struct ClaimHash([u8; 32]);

impl ClaimHash {
    pub(in crate::server) fn of(token: &ClaimToken) -> Self {
        let hash = digest::digest(&digest::SHA256, token.reveal().as_bytes());
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Whether both are the same. Takes the same time for any two.
    pub(in crate::server) fn matches(self, other: Self) -> bool {
        let pairs = self.0.iter().zip(other.0);
        pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Display for ClaimHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One takeover of a client from another node, by the number that the asking node gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::server) struct Ticket(u64);

impl Ticket {
    pub(in crate::server) const fn new(number: u64) -> Self {
        Self(number)
    }
}
