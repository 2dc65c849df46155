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
    /// What there is to compare with the other screen.
    pub words: WordsState,
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
}

impl From<Badge> for BadgeKind {
    fn from(badge: Badge) -> Self {
        match badge {
            Badge::NotVerified => Self::NotVerified,
            Badge::VerifiedByCode => Self::VerifiedByCode,
            Badge::VerifiedByUser => Self::VerifiedByUser,
        }
    }
}

/// The safety words of a call, or why it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(tag = "status", rename_all = "camelCase")]
pub enum WordsState {
    /// They may still come.
    #[default]
    Awaited,
    /// They can be compared.
    Ready {
        /// Four words, in this order.
        words: [String; 4],
    },
    /// The partner's app has none, or a server took them out.
    Unavailable,
    /// The code of the invite verifies the partner.
    ByCode,
}

impl From<tandem_trust::WordsState> for WordsState {
    fn from(state: tandem_trust::WordsState) -> Self {
        match state {
            tandem_trust::WordsState::Awaited => Self::Awaited,
            tandem_trust::WordsState::Ready(words) => Self::Ready {
                words: words.words().map(str::to_owned),
            },
            tandem_trust::WordsState::Unavailable => Self::Unavailable,
            tandem_trust::WordsState::ByCode => Self::ByCode,
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
    /// The safety words, as the user said.
    SafetyWords,
    /// The safety words, as the partner said, or what arrived contradicts them.
    PartnersSafetyWords,
    /// The other person did not have the words of the user's invite, which still works.
    Invite,
    /// The same, once too often: that invite no longer works.
    SpentInvite,
    /// The code that the user entered.
    Code,
    /// The same, once too often: Tandem does not use that code any more.
    SpentCode,
}
