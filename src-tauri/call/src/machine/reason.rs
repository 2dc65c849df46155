//! The published codes of a call: a stable code for programs, a sentence for people.

use serde::Serialize;
use tandem_signaling::client::ClientErrorCode;

use super::ConnectProblem;

/// Why a call ended, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndCode {
    /// This side hung up.
    HungUp,
    /// This side stopped searching.
    Cancelled,
    /// The search found no partner in time.
    NoPartner,
    /// The signaling server could not be reached, or did not come back during the search.
    RelayUnreachable,
    /// The signaling server refuses to search for a partner.
    RelayRefused,
    /// Nobody has claimed the room of an invite or waits in it: the invite is wrong or used.
    NoSuchRoom,
    /// The person who was called declined.
    Declined,
    /// The person who was called did not answer.
    NoAnswer,
    /// Media may only go through a TURN server, and the signaling server offers none.
    NoTurnServer,
    /// The partner must learn no address of this machine that servers do not see, and the signaling server
    /// names no server that would say which one that is.
    NoStunServer,
    /// A partner was found, but no connection came up in time.
    ConnectTimeout,
    /// No route to the partner was found, or the peer connection failed.
    ConnectionFailed,
    /// The partner's description cannot be understood.
    BadDescription,
    /// The two sides share no video or audio format.
    NoCommonCodec,
    /// The partner hung up or moved on.
    PartnerLeft,
    /// The partner's packets stopped without a message that ends the call.
    PartnerVanished,
    /// The partner's app did what no honest one does, and what would harm this machine or others.
    PartnerMisbehaved,
    /// The partner does not know the code of the invite, the two sides show different safety words, or
    /// someone changed what passed between them. Nothing of the partner was shown by code.
    CodeMismatch,
    /// The people who run the signaling server have banned this user.
    Banned,
    /// The people who run the signaling server have ended the call.
    Kicked,
}

impl EndCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 20] = [
        Self::HungUp,
        Self::Cancelled,
        Self::NoPartner,
        Self::RelayUnreachable,
        Self::RelayRefused,
        Self::NoSuchRoom,
        Self::Declined,
        Self::NoAnswer,
        Self::NoTurnServer,
        Self::NoStunServer,
        Self::ConnectTimeout,
        Self::ConnectionFailed,
        Self::BadDescription,
        Self::NoCommonCodec,
        Self::PartnerLeft,
        Self::PartnerVanished,
        Self::PartnerMisbehaved,
        Self::CodeMismatch,
        Self::Banned,
        Self::Kicked,
    ];

    /// The code as reports and logs spell it: `PARTNER_LEFT`. The same as its serialized form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HungUp => "HUNG_UP",
            Self::Cancelled => "CANCELLED",
            Self::NoPartner => "NO_PARTNER",
            Self::RelayUnreachable => "RELAY_UNREACHABLE",
            Self::RelayRefused => "RELAY_REFUSED",
            Self::NoSuchRoom => "NO_SUCH_ROOM",
            Self::Declined => "DECLINED",
            Self::NoAnswer => "NO_ANSWER",
            Self::NoTurnServer => "NO_TURN_SERVER",
            Self::NoStunServer => "NO_STUN_SERVER",
            Self::ConnectTimeout => "CONNECT_TIMEOUT",
            Self::ConnectionFailed => "CONNECTION_FAILED",
            Self::BadDescription => "BAD_DESCRIPTION",
            Self::NoCommonCodec => "NO_COMMON_CODEC",
            Self::PartnerLeft => "PARTNER_LEFT",
            Self::PartnerVanished => "PARTNER_VANISHED",
            Self::PartnerMisbehaved => "PARTNER_MISBEHAVED",
            Self::CodeMismatch => "CODE_MISMATCH",
            Self::Banned => "BANNED",
            Self::Kicked => "KICKED",
        }
    }

    /// What happened, and one thing to do about it where there is one.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::HungUp => "You ended the call.",
            Self::Cancelled => "You stopped the search.",
            Self::NoPartner => "No one was found in time. Try again later, or wait longer.",
            Self::RelayUnreachable => {
                "The signaling server can't be reached. Check its address and that it is running, \
                 then try again."
            }
            Self::RelayRefused => {
                "The signaling server refused the search. Check your name and the code."
            }
            Self::NoSuchRoom => {
                "There is no such invite any more. Check the number, or ask for a new invite."
            }
            Self::Declined => "The other person can't talk now.",
            Self::NoAnswer => "No one answered. Try again later.",
            Self::NoTurnServer => {
                "The signaling server offers no TURN server, so nothing was sent. Use another signaling \
                 server, or allow direct connections."
            }
            Self::NoStunServer => {
                "The signaling server offers neither a STUN nor a TURN server, so it cannot connect \
                 strangers. Use another signaling server."
            }
            Self::ConnectTimeout => {
                "Someone was found, but connecting took too long. Search again."
            }
            Self::ConnectionFailed => {
                "No route to the other person was found. Check that the firewall lets UDP through, \
                 then try again."
            }
            Self::BadDescription => {
                "The other person's app sent something that can't be read. Search again."
            }
            Self::NoCommonCodec => {
                "The other person's app shares no video or audio format with this one. Try the other \
                 codec."
            }
            Self::PartnerLeft => "The other person left the call.",
            Self::PartnerVanished => {
                "The connection to the other person was lost. Try calling again."
            }
            Self::PartnerMisbehaved => {
                "The other person's app did something that could have harmed this computer, so the call \
                 was ended."
            }
            Self::CodeMismatch => {
                "The code didn't match, so this may not be the person you want to talk to. Check the \
                 code with them, then try again."
            }
            Self::Banned => {
                "You have been banned from the signaling server, so the call ended. Ask the people who \
                 run it."
            }
            Self::Kicked => "The people who run the signaling server ended the call.",
        }
    }

    /// Whether one of the two sides ended the call on purpose. Every other end is a failure.
    #[must_use]
    pub fn is_orderly(self) -> bool {
        matches!(self, Self::HungUp | Self::Cancelled | Self::PartnerLeft)
    }
}

/// Why a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndReason {
    /// The stable code.
    pub code: EndCode,
    /// What happened, and one thing to do about it where there is one.
    pub message: String,
    /// For [`EndCode::RelayUnreachable`] and [`EndCode::RelayRefused`]: what is wrong with the
    /// signaling server.
    pub cause: Option<ClientErrorCode>,
    /// For [`EndCode::ConnectTimeout`] and [`EndCode::ConnectionFailed`]: why no connection came up, as
    /// far as that is known. The message is then about this.
    pub problem: Option<ConnectProblem>,
}

impl From<EndCode> for EndReason {
    fn from(code: EndCode) -> Self {
        Self {
            code,
            message: code.message().to_owned(),
            cause: None,
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_spelled_the_same_everywhere() {
        let ends = EndCode::ALL.map(|code| (serde_json::to_string(&code), code.as_str()));

        for (json, spelled) in ends {
            assert_eq!(
                json.unwrap(),
                format!("\"{spelled}\""),
                "one spelling in reports and logs"
            );
        }
    }

    #[cfg(feature = "typescript")]
    #[test]
    fn all_lists_every_code() {
        use ts_rs::TS;

        let union = |codes: &[&str]| {
            let quoted: Vec<String> = codes.iter().map(|code| format!("\"{code}\"")).collect();
            quoted.join(" | ")
        };

        let config = ts_rs::Config::default();
        let ends = EndCode::ALL.map(EndCode::as_str);
        assert_eq!(EndCode::inline(&config), union(&ends), "every EndCode");
    }
}
