//! What a call says about who is at the other end.

use serde::Serialize;
use tandem_trust::Badge;
use ts_rs::TS;

/// What is known about who the partner of a call is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What the badge says.
    pub badge: BadgeKind,
    /// Four words to compare with those on the other screen, in this order; `null` if the partner
    /// has none, or none yet, or the code of the invite has verified it.
    pub words: Option<[String; 4]>,
    /// Which end of an invite the user is, if its code is checked.
    pub by_invite: Option<InviteEnd>,
}

/// The badge of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum BadgeKind {
    /// Someone in between would not be noticed.
    #[default]
    NotVerified,
    /// The partner knows the words of the invite.
    VerifiedByCode,
    /// The user has compared the safety words.
    VerifiedByUser,
    /// The user had compared the safety words, and the call was connected again with another
    /// certificate. Nothing is sent or shown until the user has compared the new ones.
    NoLongerVerified,
}

impl From<Badge> for BadgeKind {
    fn from(badge: Badge) -> Self {
        match badge {
            Badge::NotVerified => Self::NotVerified,
            Badge::VerifiedByCode => Self::VerifiedByCode,
            Badge::VerifiedByUser => Self::VerifiedByUser,
            Badge::NoLongerVerified => Self::NoLongerVerified,
        }
    }
}

/// An end of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum InviteEnd {
    /// Made it.
    Inviter,
    /// Was given it.
    Guest,
}

/// What did not match in a call that ended with `CODE_MISMATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Mismatch {
    /// The safety words: the user said so, or what arrived contradicts them.
    SafetyWords,
    /// The other person did not have the words of the user's invite, which still works.
    Invite,
    /// The same, once too often: that invite no longer works.
    SpentInvite,
    /// The code that the user entered.
    Code,
    /// The same, once too often: Tandem does not use that code any more.
    SpentCode,
}
