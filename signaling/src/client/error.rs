//! What can go wrong between a client and its server.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite;

use crate::message::{ErrorCode, MAX_MESSAGE_BYTES, ServerMessageError};

/// Why the server cannot be reached, why a connection ended, or why a message was not sent.
///
/// [`code`](Self::code) is for programs. The text is for people; it contains neither addresses nor
/// anything that a message said.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No TCP connection.
    #[error("the server cannot be reached ({}): check its address and that it is running", .0.kind())]
    Unreachable(#[source] io::Error),
    /// The server answered the upgrade with this HTTP status.
    #[error("the server refused the connection with HTTP status {0}")]
    Refused(u16),
    /// TCP, the upgrade and the registration together took longer than this.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// What answers at this address does not speak the protocol, or another version of it. The
    /// source is the message that could not be read, if there was one.
    #[error("what answers is not a signaling server: check the server's address")]
    NotASignalingServer(#[source] Option<Garbage>),
    /// The server turned this client away before it was registered.
    #[error("the server refused this client ({0:?})")]
    Rejected(ErrorCode),
    /// The server closed the connection with this code (RFC 6455 §7.4, or the protocol's own).
    #[error("the server closed the connection (code {0})")]
    Closed(u16),
    /// The connection broke.
    #[error("the connection to the server broke: {}", describe(.0))]
    Broken(#[source] Box<tungstenite::Error>),
    /// No frame came, not even a ping, for the `silentMs` of `user_registered`.
    #[error("the server was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The server does not read, so nothing can be sent.
    #[error("the server does not read what it is sent")]
    Stalled,
    /// Too many unreadable messages in a short time.
    #[error("the server sends unreadable messages")]
    TooMuchGarbage,
    /// [`Client::send`](super::Client::send) without a connection.
    #[error("there is no connection to the server: wait until it is back")]
    NotConnected,
    /// [`Client::send`](super::Client::send) faster than the connection takes messages.
    #[error("too many messages are waiting to be sent to the server")]
    QueueFull,
    /// [`Client::send`](super::Client::send) with a message longer than the server accepts.
    #[error("the message has {0} bytes; the server accepts at most {MAX_MESSAGE_BYTES}")]
    MessageTooLarge(usize),
}

/// The stable codes of [`ClientError`] and [`ServerUrlError`](crate::ServerUrlError).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientErrorCode {
    /// The server's address is not a URL.
    #[serde(rename = "SIGNALING_URL_INVALID")]
    UrlInvalid,
    /// The server's address is a URL of a kind that the client does not support.
    #[serde(rename = "SIGNALING_URL_UNSUPPORTED")]
    UrlUnsupported,
    /// The server's address asks for TLS.
    #[serde(rename = "SIGNALING_TLS_UNSUPPORTED")]
    TlsUnsupported,
    /// See [`ClientError::Unreachable`].
    #[serde(rename = "SIGNALING_UNREACHABLE")]
    Unreachable,
    /// See [`ClientError::Refused`].
    #[serde(rename = "SIGNALING_REFUSED")]
    Refused,
    /// See [`ClientError::Timeout`].
    #[serde(rename = "SIGNALING_TIMEOUT")]
    Timeout,
    /// See [`ClientError::NotASignalingServer`].
    #[serde(rename = "SIGNALING_NOT_A_RELAY")]
    NotASignalingServer,
    /// See [`ClientError::Rejected`].
    #[serde(rename = "SIGNALING_REJECTED")]
    Rejected,
    /// See [`ClientError::Closed`].
    #[serde(rename = "SIGNALING_CLOSED")]
    Closed,
    /// See [`ClientError::Broken`].
    #[serde(rename = "SIGNALING_BROKEN")]
    Broken,
    /// See [`ClientError::Silent`].
    #[serde(rename = "SIGNALING_SILENT")]
    Silent,
    /// See [`ClientError::Stalled`].
    #[serde(rename = "SIGNALING_STALLED")]
    Stalled,
    /// See [`ClientError::TooMuchGarbage`].
    #[serde(rename = "SIGNALING_GARBAGE")]
    Garbage,
    /// See [`ClientError::NotConnected`].
    #[serde(rename = "SIGNALING_NOT_CONNECTED")]
    NotConnected,
    /// See [`ClientError::QueueFull`].
    #[serde(rename = "SIGNALING_QUEUE_FULL")]
    QueueFull,
    /// See [`ClientError::MessageTooLarge`].
    #[serde(rename = "SIGNALING_MESSAGE_TOO_LARGE")]
    MessageTooLarge,
}

impl ClientErrorCode {
    /// The code as programs and the user interface know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UrlInvalid => "SIGNALING_URL_INVALID",
            Self::UrlUnsupported => "SIGNALING_URL_UNSUPPORTED",
            Self::TlsUnsupported => "SIGNALING_TLS_UNSUPPORTED",
            Self::Unreachable => "SIGNALING_UNREACHABLE",
            Self::Refused => "SIGNALING_REFUSED",
            Self::Timeout => "SIGNALING_TIMEOUT",
            Self::NotASignalingServer => "SIGNALING_NOT_A_RELAY",
            Self::Rejected => "SIGNALING_REJECTED",
            Self::Closed => "SIGNALING_CLOSED",
            Self::Broken => "SIGNALING_BROKEN",
            Self::Silent => "SIGNALING_SILENT",
            Self::Stalled => "SIGNALING_STALLED",
            Self::Garbage => "SIGNALING_GARBAGE",
            Self::NotConnected => "SIGNALING_NOT_CONNECTED",
            Self::QueueFull => "SIGNALING_QUEUE_FULL",
            Self::MessageTooLarge => "SIGNALING_MESSAGE_TOO_LARGE",
        }
    }
}

impl fmt::Display for ClientErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ClientError {
    /// A stable code for programs and for the user interface.
    #[must_use]
    pub fn code(&self) -> ClientErrorCode {
        match self {
            Self::Unreachable(_) => ClientErrorCode::Unreachable,
            Self::Refused(_) => ClientErrorCode::Refused,
            Self::Timeout(_) => ClientErrorCode::Timeout,
            Self::NotASignalingServer(_) => ClientErrorCode::NotASignalingServer,
            Self::Rejected(_) => ClientErrorCode::Rejected,
            Self::Closed(_) => ClientErrorCode::Closed,
            Self::Broken(_) => ClientErrorCode::Broken,
            Self::Silent(_) => ClientErrorCode::Silent,
            Self::Stalled => ClientErrorCode::Stalled,
            Self::TooMuchGarbage => ClientErrorCode::Garbage,
            Self::NotConnected => ClientErrorCode::NotConnected,
            Self::QueueFull => ClientErrorCode::QueueFull,
            Self::MessageTooLarge(_) => ClientErrorCode::MessageTooLarge,
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
            // The error holds the message, which may be private.
            tungstenite::Error::WriteBufferFull(_) => Self::Stalled,
            error => Self::Broken(Box::new(error)),
        }
    }
}

/// How a connection broke, without anything that was received.
fn describe(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Io(error) => error.kind().to_string(),
        tungstenite::Error::Protocol(error) => error.to_string(),
        tungstenite::Error::Capacity(_) => "a message of more than 16 MiB".into(),
        tungstenite::Error::Utf8(_) => "a text frame that is not UTF-8".into(),
        _ => "WebSocket error".into(),
    }
}

/// Something from the server that is not a message. The connection stays open.
#[derive(Debug, thiserror::Error)]
pub enum Garbage {
    /// Longer than [`MAX_INCOMING_BYTES`](super::MAX_INCOMING_BYTES).
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// A binary frame of this length, in bytes.
    #[error("a binary frame of {0} bytes")]
    Binary(usize),
    /// Text that breaks the protocol.
    #[error(transparent)]
    Unreadable(#[from] ServerMessageError),
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_code_is_the_same_text_in_rust_and_in_json() {
        use ClientErrorCode::*;
        for code in [
            UrlInvalid,
            UrlUnsupported,
            TlsUnsupported,
            Unreachable,
            Refused,
            Timeout,
            NotASignalingServer,
            Rejected,
            Closed,
            Broken,
            Silent,
            Stalled,
            Garbage,
            NotConnected,
            QueueFull,
            MessageTooLarge,
        ] {
            let json = serde_json::to_string(&code).expect("a string");
            assert_eq!(json, format!("\"{code}\""), "{code:?}");
            assert_eq!(
                serde_json::from_str::<ClientErrorCode>(&json).expect("the same code"),
                code
            );
        }
    }

    #[test]
    fn causes_are_kept_and_the_text_holds_no_address() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "192.0.2.7 said no");
        let unreachable = ClientError::Unreachable(refused);
        assert!(!unreachable.to_string().contains("192.0.2.7"));
        assert!(
            unreachable
                .source()
                .is_some_and(|cause| cause.to_string().contains("192.0.2.7"))
        );

        let reset = tungstenite::Error::Io(io::ErrorKind::ConnectionReset.into());
        let broken = ClientError::from(reset);
        assert_eq!(broken.code(), ClientErrorCode::Broken);
        assert!(broken.source().is_some(), "the library's error is kept");
        assert_eq!(
            broken.to_string(),
            "the connection to the server broke: connection reset"
        );
    }
}
