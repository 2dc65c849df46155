//! What can go wrong between a client and its relay.

use std::io;
use std::time::Duration;

use tokio_tungstenite::tungstenite;

use crate::message::{ErrorCode, MAX_MESSAGE_BYTES, ServerMessageError};

/// Why a relay cannot be reached, or a connection to it has ended. [`code`](Self::code) is stable; the text is for
/// people and holds neither addresses nor anything that a message said.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The text is not a URL.
    #[error("the relay's address is not a URL: write it like ws://127.0.0.1:9000/ws")]
    InvalidUrl,
    /// The URL is neither `ws://` nor `wss://`, or has no host.
    #[error(
        "the relay's address must begin with ws:// and name a host, like ws://127.0.0.1:9000/ws"
    )]
    UnsupportedUrl,
    /// `wss://` was asked for.
    #[error("this version cannot connect to a relay over TLS: use ws:// or a local TLS proxy")]
    TlsUnsupported,
    /// No TCP connection.
    #[error("the relay cannot be reached ({0}): check its address and that it is running")]
    Unreachable(io::ErrorKind),
    /// The server's HTTP answer is not an upgrade.
    #[error("the server refused the connection with HTTP status {0}")]
    Refused(u16),
    /// The connection or the registration took too long.
    #[error("the relay did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// What answers at this address is not a relay that this version understands.
    #[error("the server does not speak the signaling protocol: check the relay's address")]
    NotARelay,
    /// The relay does not want this client.
    #[error("the relay refused this client ({0:?})")]
    Rejected(ErrorCode),
    /// The relay closed the connection; the code is that of RFC 6455 §7.4 or of the protocol.
    #[error("the relay closed the connection (code {0})")]
    Closed(u16),
    /// The connection broke.
    #[error("the connection to the relay broke: {0}")]
    Broken(String),
    /// No frame, not even a ping, for the time that the relay had promised.
    #[error("nothing was heard from the relay for {} s", .0.as_secs())]
    Silent(Duration),
    /// The relay takes nothing in.
    #[error("the relay does not read what it is sent")]
    Stalled,
    /// Too many unreadable messages in a short time.
    #[error("the relay sends unreadable messages")]
    TooMuchGarbage,
    /// [`Client::send`](super::Client::send) without a connection.
    #[error("there is no connection to the relay: wait until it is back")]
    NotConnected,
    /// [`Client::send`](super::Client::send) faster than the connection takes messages.
    #[error("too many messages wait to be sent to the relay")]
    QueueFull,
    /// [`Client::send`](super::Client::send) with a message that the relay would not take.
    #[error("the message has {0} bytes; the relay takes at most {MAX_MESSAGE_BYTES}")]
    MessageTooLarge(usize),
}

impl ClientError {
    /// A stable name for programs and for the user interface.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl => "SIGNALING_URL_INVALID",
            Self::UnsupportedUrl => "SIGNALING_URL_UNSUPPORTED",
            Self::TlsUnsupported => "SIGNALING_TLS_UNSUPPORTED",
            Self::Unreachable(_) => "SIGNALING_UNREACHABLE",
            Self::Refused(_) => "SIGNALING_REFUSED",
            Self::Timeout(_) => "SIGNALING_TIMEOUT",
            Self::NotARelay => "SIGNALING_NOT_A_RELAY",
            Self::Rejected(_) => "SIGNALING_REJECTED",
            Self::Closed(_) => "SIGNALING_CLOSED",
            Self::Broken(_) => "SIGNALING_BROKEN",
            Self::Silent(_) => "SIGNALING_SILENT",
            Self::Stalled => "SIGNALING_STALLED",
            Self::TooMuchGarbage => "SIGNALING_GARBAGE",
            Self::NotConnected => "SIGNALING_NOT_CONNECTED",
            Self::QueueFull => "SIGNALING_QUEUE_FULL",
            Self::MessageTooLarge(_) => "SIGNALING_MESSAGE_TOO_LARGE",
        }
    }
}

impl From<tungstenite::Error> for ClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => Self::Refused(response.status().as_u16()),
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed(1006)
            }
            tungstenite::Error::Io(error) => Self::Broken(error.kind().to_string()),
            tungstenite::Error::Protocol(error) => Self::Broken(error.to_string()),
            tungstenite::Error::Capacity(_) => Self::Broken("a message of more than 16 MiB".into()),
            tungstenite::Error::Utf8(_) => Self::Broken("a text frame that is not UTF-8".into()),
            _ => Self::Broken("WebSocket error".into()),
        }
    }
}

/// Something from the relay that is not a message; the connection goes on.
#[derive(Debug, thiserror::Error)]
pub enum Garbage {
    /// More than [`MAX_INCOMING_BYTES`](super::MAX_INCOMING_BYTES).
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// A binary frame.
    #[error("a binary frame of {0} bytes")]
    Binary(usize),
    /// Text that does not keep to the protocol.
    #[error(transparent)]
    Unreadable(#[from] ServerMessageError),
}
