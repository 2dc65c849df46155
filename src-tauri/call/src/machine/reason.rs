//! Why a call ended: a stable code for programs, a sentence for people.

use serde::Serialize;

/// The stable codes of a call's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndCode {
    /// This side hung up.
    HungUp,
    /// This side stopped searching.
    Cancelled,
    /// Nobody was found in time.
    NoPartner,
    /// The relay could not be reached, or stayed away during the search.
    RelayUnreachable,
    /// The relay refuses to search for a partner.
    RelayRefused,
    /// Media may only go through a TURN server, and the relay offers none.
    NoTurnServer,
    /// The partner was found, but no connection came up in time.
    ConnectTimeout,
    /// No path to the partner was found, or the connection could not be made.
    ConnectionFailed,
    /// The partner's description cannot be understood.
    BadDescription,
    /// The two sides have no video or audio format in common.
    NoCommonCodec,
    /// The partner hung up or moved on.
    PartnerLeft,
    /// The partner fell silent without a word.
    PartnerVanished,
}

impl EndCode {
    /// The code as it is written in reports: `PARTNER_LEFT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HungUp => "HUNG_UP",
            Self::Cancelled => "CANCELLED",
            Self::NoPartner => "NO_PARTNER",
            Self::RelayUnreachable => "RELAY_UNREACHABLE",
            Self::RelayRefused => "RELAY_REFUSED",
            Self::NoTurnServer => "NO_TURN_SERVER",
            Self::ConnectTimeout => "CONNECT_TIMEOUT",
            Self::ConnectionFailed => "CONNECTION_FAILED",
            Self::BadDescription => "BAD_DESCRIPTION",
            Self::NoCommonCodec => "NO_COMMON_CODEC",
            Self::PartnerLeft => "PARTNER_LEFT",
            Self::PartnerVanished => "PARTNER_VANISHED",
        }
    }

    /// What happened, and one thing to do about it where there is one.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::HungUp => "You ended the call.",
            Self::Cancelled => "You stopped the search.",
            Self::NoPartner => "Nobody was found in time. Try again later, or wait longer.",
            Self::RelayUnreachable => {
                "The relay cannot be reached. Check its address and that it is running, then try again."
            }
            Self::RelayRefused => {
                "The relay refuses to search for a partner. Check the profile and the room code."
            }
            Self::NoTurnServer => {
                "Media may only go through a TURN server, but the relay offers none, and nothing was sent. Use a relay with \
                 TURN, or allow direct connections."
            }
            Self::ConnectTimeout => {
                "A partner was found, but no connection came up in time. Try the next partner."
            }
            Self::ConnectionFailed => {
                "No direct path to the partner was found. Check that the firewall lets UDP through, then try again."
            }
            Self::BadDescription => {
                "The partner's app sent a description that cannot be read. Try the next partner."
            }
            Self::NoCommonCodec => {
                "The partner's app has no video and audio format in common with this one. Try the other codec."
            }
            Self::PartnerLeft => "Your partner left the call.",
            Self::PartnerVanished => {
                "Your partner's connection was lost. Try to find each other again."
            }
        }
    }

    /// Whether somebody wanted this end, or it is a fault.
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
}

impl From<EndCode> for EndReason {
    fn from(code: EndCode) -> Self {
        Self {
            code,
            message: code.message().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_code_is_the_serialized_one() {
        for code in [
            EndCode::HungUp,
            EndCode::NoCommonCodec,
            EndCode::PartnerVanished,
            EndCode::NoTurnServer,
        ] {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(
                json,
                format!("\"{}\"", code.as_str()),
                "one spelling in reports and in logs"
            );
        }
    }
}
