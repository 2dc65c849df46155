//! Why no connection came up, as far as this side can tell.

use serde::Serialize;

/// Why no connection to a partner came up, as a stable code beside that of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectProblem {
    /// There is no direct route, and the signaling server offers no TURN server that can be used.
    NoTurnOffered,
    /// The TURN server refuses the credentials that the signaling server gave.
    TurnRefused,
    /// The TURN server has no room, or answers with another error.
    TurnFailed,
    /// The TURN servers are all reached over UDP, and none answers.
    UdpBlocked,
    /// No TURN server answers, over whatever transport.
    TurnUnreachable,
    /// The partner has given no address, so that it has no route itself.
    PartnerHasNoRoute,
}

impl ConnectProblem {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::NoTurnOffered,
        Self::TurnRefused,
        Self::TurnFailed,
        Self::UdpBlocked,
        Self::TurnUnreachable,
        Self::PartnerHasNoRoute,
    ];

    /// The code as reports spell it. The same as its serialized form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTurnOffered => "NO_TURN_OFFERED",
            Self::TurnRefused => "TURN_REFUSED",
            Self::TurnFailed => "TURN_FAILED",
            Self::UdpBlocked => "UDP_BLOCKED",
            Self::TurnUnreachable => "TURN_UNREACHABLE",
            Self::PartnerHasNoRoute => "PARTNER_HAS_NO_ROUTE",
        }
    }

    /// What is wrong, and the one thing to do about it, with who has to do it.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::NoTurnOffered => {
                "The two networks let no direct connection through, and the signaling server offers no \
                 TURN server. Ask its operator to add one, or use another network."
            }
            Self::TurnRefused => {
                "The TURN server refused the signaling server's credentials. Its operator has to give \
                 both servers the same secret."
            }
            Self::TurnFailed => {
                "The TURN server has no room for another call. Try again later, or tell its operator."
            }
            Self::UdpBlocked => {
                "No TURN server answers over UDP, and the signaling server offers none over TCP or TLS. \
                 Use a network that lets UDP through, or ask the server's operator for TURN over TLS."
            }
            Self::TurnUnreachable => {
                "No TURN server answers. Use another network, or ask the server's operator whether the \
                 TURN server runs."
            }
            Self::PartnerHasNoRoute => {
                "The other person's app found no way out of its network. They should use another \
                 network."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_spelled_the_same_everywhere() {
        for problem in ConnectProblem::ALL {
            let json = serde_json::to_string(&problem).expect("a plain value");
            assert_eq!(json, format!("\"{}\"", problem.as_str()));
        }
    }

    #[test]
    fn each_says_what_to_do_in_two_sentences_at_most() {
        for problem in ConnectProblem::ALL {
            let sentences = problem.message().matches(". ").count() + 1;
            assert_eq!(sentences, 2, "what is wrong, and what to do: {problem:?}");
        }
    }
}
