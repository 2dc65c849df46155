//! What can go wrong between a client and its server.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::http::{Response, header};

use super::tls::TlsError;
use crate::message::{ErrorCode, MAX_MESSAGE_BYTES, PROTOCOL_VERSION, ServerMessageError};

/// The close code of a connection without a valid bearer token.
const UNAUTHORIZED: u16 = 4001;
/// The close code for a user or an address that the operator banned.
const BANNED: u16 = 4005;
/// The close code for a client that the operator ended.
const KICKED: u16 = 4006;
/// The longest delay that a `Retry-After` can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// Why the server cannot be reached, or why a connection ended.
///
/// [`code`](Self::code) is for programs. The text is for people; it contains neither addresses nor
/// anything that a message said.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's name has no address.
    #[error("no server of this name was found: check its address and your internet connection")]
    UnknownHost(#[source] io::Error),
    /// No TCP connection.
    #[error("the server cannot be reached ({}): check its address and that it is running", .0.kind())]
    Unreachable(#[source] io::Error),
    /// No way through the HTTP or SOCKS proxy of the system's settings or the environment.
    #[error("{0}")]
    Proxy(#[source] ProxyError),
    /// No TLS.
    #[error("{0}")]
    Tls(#[source] TlsError),
    /// The server answered the upgrade with an HTTP status other than 101.
    #[error("{}", describe_status(*.status))]
    Refused {
        /// The status.
        status: u16,
        /// The `Retry-After` of the answer.
        retry_after: Option<Duration>,
    },
    /// TCP, TLS, the upgrade and the registration together took longer than this.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// What answers at this address does not speak the protocol. The source is the message that
    /// could not be read, if there was one.
    #[error("what answers is not a signaling server: check the server's address")]
    NotASignalingServer(#[source] Option<Garbage>),
    /// The server speaks this version of the protocol, and this client another one.
    #[error(
        "the server speaks version {0} of the protocol and this app version {PROTOCOL_VERSION}: update the older one"
    )]
    OtherVersion(u32),
    /// The server requires a bearer token, and the client has none.
    #[error("the server requires a token: ask its operator for one")]
    TokenNeeded,
    /// The server did not accept the client's bearer token.
    #[error(
        "the server does not accept the token: it may have expired. Ask its operator for a new one"
    )]
    TokenRefused,
    /// The client has a bearer token, and the connection would show it to others on the way.
    #[error(
        "the token would be sent without encryption, so nothing was sent: use a wss:// address"
    )]
    TokenExposed,
    /// The operator banned this user or address.
    #[error("the operator of the server has banned you")]
    Banned,
    /// The operator ended this client, which may come back as a new one.
    #[error("the operator of the server has ended your connection")]
    Kicked,
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
}

/// Why no connection came up through a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The proxy asks for a user name and a password, or refuses those it got.
    #[error("the proxy requires a user name and a password: check your system's proxy settings")]
    Unauthorized,
    /// Only HTTP and SOCKS5 proxies are supported.
    #[error("this kind of proxy is not supported: use an HTTP or SOCKS5 proxy")]
    UnsupportedKind,
    /// The proxy cannot be reached, or does not reach the server.
    #[error("the proxy does not connect to the server: check your system's proxy settings")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why [`Client::send`](super::Client::send) did not send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection.
    #[error("there is no connection to the server: wait until it is back")]
    NotConnected,
    /// Messages come faster than the connection takes them.
    #[error("too many messages are waiting to be sent to the server")]
    QueueFull,
    /// Longer than the server accepts: this many bytes.
    #[error("the message has {0} bytes; the server accepts at most {MAX_MESSAGE_BYTES}")]
    MessageTooLarge(usize),
    /// The server is from before this message: it has not announced the
    /// [`Capability`](crate::message::Capability).
    #[error("the server is too old for this: it would not know the message")]
    Unsupported,
}

/// The stable codes of [`ClientError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum ClientErrorCode {
    /// See [`ClientError::UnknownHost`].
    #[serde(rename = "SIGNALING_UNKNOWN_HOST")]
    UnknownHost,
    /// See [`ClientError::Unreachable`].
    #[serde(rename = "SIGNALING_UNREACHABLE")]
    Unreachable,
    /// See [`ClientError::Proxy`].
    #[serde(rename = "SIGNALING_PROXY")]
    Proxy,
    /// See [`TlsError::NotTls`].
    #[serde(rename = "SIGNALING_TLS_MISSING")]
    TlsMissing,
    /// See [`TlsError::Untrusted`].
    #[serde(rename = "SIGNALING_TLS_UNTRUSTED")]
    TlsUntrusted,
    /// See [`TlsError::Expired`].
    #[serde(rename = "SIGNALING_TLS_EXPIRED")]
    TlsExpired,
    /// See [`TlsError::WrongName`].
    #[serde(rename = "SIGNALING_TLS_WRONG_NAME")]
    TlsWrongName,
    /// Any other [`TlsError`].
    #[serde(rename = "SIGNALING_TLS_FAILED")]
    TlsFailed,
    /// HTTP status 403: the server does not serve clients of this kind.
    #[serde(rename = "SIGNALING_FORBIDDEN")]
    Forbidden,
    /// HTTP status 404 or 410: the path is wrong.
    #[serde(rename = "SIGNALING_WRONG_PATH")]
    WrongPath,
    /// An HTTP redirection, which is never followed.
    #[serde(rename = "SIGNALING_REDIRECTED")]
    Redirected,
    /// HTTP status 429: too many connections from this network.
    #[serde(rename = "SIGNALING_BUSY")]
    Busy,
    /// HTTP status 503: the server is full or being restarted.
    #[serde(rename = "SIGNALING_FULL")]
    Full,
    /// Another HTTP status.
    #[serde(rename = "SIGNALING_REFUSED")]
    Refused,
    /// See [`ClientError::Timeout`].
    #[serde(rename = "SIGNALING_TIMEOUT")]
    Timeout,
    /// See [`ClientError::NotASignalingServer`].
    #[serde(rename = "SIGNALING_NOT_A_RELAY")]
    NotASignalingServer,
    /// See [`ClientError::OtherVersion`].
    #[serde(rename = "SIGNALING_OTHER_VERSION")]
    OtherVersion,
    /// See [`ClientError::TokenNeeded`].
    #[serde(rename = "SIGNALING_TOKEN_NEEDED")]
    TokenNeeded,
    /// See [`ClientError::TokenRefused`].
    #[serde(rename = "SIGNALING_TOKEN_REFUSED")]
    TokenRefused,
    /// See [`ClientError::TokenExposed`].
    #[serde(rename = "SIGNALING_TOKEN_EXPOSED")]
    TokenExposed,
    /// See [`ClientError::Banned`].
    #[serde(rename = "SIGNALING_BANNED")]
    Banned,
    /// See [`ClientError::Kicked`].
    #[serde(rename = "SIGNALING_KICKED")]
    Kicked,
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
}

impl ClientErrorCode {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 28] = [
        Self::UnknownHost,
        Self::Unreachable,
        Self::Proxy,
        Self::TlsMissing,
        Self::TlsUntrusted,
        Self::TlsExpired,
        Self::TlsWrongName,
        Self::TlsFailed,
        Self::Forbidden,
        Self::WrongPath,
        Self::Redirected,
        Self::Busy,
        Self::Full,
        Self::Refused,
        Self::Timeout,
        Self::NotASignalingServer,
        Self::OtherVersion,
        Self::TokenNeeded,
        Self::TokenRefused,
        Self::TokenExposed,
        Self::Banned,
        Self::Kicked,
        Self::Rejected,
        Self::Closed,
        Self::Broken,
        Self::Silent,
        Self::Stalled,
        Self::Garbage,
    ];

    /// The code as programs and the user interface know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownHost => "SIGNALING_UNKNOWN_HOST",
            Self::Unreachable => "SIGNALING_UNREACHABLE",
            Self::Proxy => "SIGNALING_PROXY",
            Self::TlsMissing => "SIGNALING_TLS_MISSING",
            Self::TlsUntrusted => "SIGNALING_TLS_UNTRUSTED",
            Self::TlsExpired => "SIGNALING_TLS_EXPIRED",
            Self::TlsWrongName => "SIGNALING_TLS_WRONG_NAME",
            Self::TlsFailed => "SIGNALING_TLS_FAILED",
            Self::Forbidden => "SIGNALING_FORBIDDEN",
            Self::WrongPath => "SIGNALING_WRONG_PATH",
            Self::Redirected => "SIGNALING_REDIRECTED",
            Self::Busy => "SIGNALING_BUSY",
            Self::Full => "SIGNALING_FULL",
            Self::Refused => "SIGNALING_REFUSED",
            Self::Timeout => "SIGNALING_TIMEOUT",
            Self::NotASignalingServer => "SIGNALING_NOT_A_RELAY",
            Self::OtherVersion => "SIGNALING_OTHER_VERSION",
            Self::TokenNeeded => "SIGNALING_TOKEN_NEEDED",
            Self::TokenRefused => "SIGNALING_TOKEN_REFUSED",
            Self::TokenExposed => "SIGNALING_TOKEN_EXPOSED",
            Self::Banned => "SIGNALING_BANNED",
            Self::Kicked => "SIGNALING_KICKED",
            Self::Rejected => "SIGNALING_REJECTED",
            Self::Closed => "SIGNALING_CLOSED",
            Self::Broken => "SIGNALING_BROKEN",
            Self::Silent => "SIGNALING_SILENT",
            Self::Stalled => "SIGNALING_STALLED",
            Self::Garbage => "SIGNALING_GARBAGE",
        }
    }

    /// Whether the server let this client in and then would not serve it, or turned it away by
    /// name: no fault of the connection.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::TokenNeeded
                | Self::TokenRefused
                | Self::TokenExposed
                | Self::Banned
                | Self::Rejected
        )
    }
}

impl fmt::Display for ClientErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether connecting again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Yes, after this time at the earliest; usually zero.
    After(Duration),
    /// No: the user has to do something first.
    Never,
}

impl ClientError {
    /// A stable code for programs and for the user interface.
    #[must_use]
    pub fn code(&self) -> ClientErrorCode {
        match self {
            Self::UnknownHost(_) => ClientErrorCode::UnknownHost,
            Self::Unreachable(_) => ClientErrorCode::Unreachable,
            Self::Proxy(_) => ClientErrorCode::Proxy,
            Self::Tls(error) => match error {
                TlsError::NotTls(_) => ClientErrorCode::TlsMissing,
                TlsError::Untrusted(_) => ClientErrorCode::TlsUntrusted,
                TlsError::Expired(_) => ClientErrorCode::TlsExpired,
                TlsError::WrongName(_) => ClientErrorCode::TlsWrongName,
                TlsError::Broken(_) | TlsError::Failed(_) | TlsError::Setup(_) => {
                    ClientErrorCode::TlsFailed
                }
            },
            Self::Refused { status, .. } => match status {
                300..=399 => ClientErrorCode::Redirected,
                403 => ClientErrorCode::Forbidden,
                404 | 410 => ClientErrorCode::WrongPath,
                429 => ClientErrorCode::Busy,
                503 => ClientErrorCode::Full,
                _ => ClientErrorCode::Refused,
            },
            Self::Timeout(_) => ClientErrorCode::Timeout,
            Self::NotASignalingServer(_) => ClientErrorCode::NotASignalingServer,
            Self::OtherVersion(_) => ClientErrorCode::OtherVersion,
            Self::TokenNeeded => ClientErrorCode::TokenNeeded,
            Self::TokenRefused => ClientErrorCode::TokenRefused,
            Self::TokenExposed => ClientErrorCode::TokenExposed,
            Self::Banned => ClientErrorCode::Banned,
            Self::Kicked => ClientErrorCode::Kicked,
            Self::Rejected(_) => ClientErrorCode::Rejected,
            Self::Closed(_) => ClientErrorCode::Closed,
            Self::Broken(_) => ClientErrorCode::Broken,
            Self::Silent(_) => ClientErrorCode::Silent,
            Self::Stalled => ClientErrorCode::Stalled,
            Self::TooMuchGarbage => ClientErrorCode::Garbage,
        }
    }

    /// Whether to connect again. `was_registered`: the server has let this client in before. What
    /// answers instead of it now may then be the sign-in page of a network, or a proxy in front of
    /// a server that is being updated, and will not stay.
    pub(super) fn retry(&self, was_registered: bool) -> Retry {
        let soon = Retry::After(Duration::ZERO);

        match self {
            Self::TokenNeeded | Self::TokenRefused | Self::TokenExposed | Self::Banned => {
                Retry::Never
            }
            Self::Refused {
                status: 408 | 425 | 429 | 500..,
                retry_after,
            } => Retry::After(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)),
            Self::Tls(error) if error.may_pass() => soon,
            Self::Proxy(ProxyError::Failed(_)) => soon,
            Self::Tls(_)
            | Self::Proxy(_)
            | Self::Refused { .. }
            | Self::NotASignalingServer(_)
            | Self::OtherVersion(_)
                if !was_registered =>
            {
                Retry::Never
            }
            _ => soon,
        }
    }

    /// The error for an `error` message that the server sent instead of `user_registered`.
    pub(super) fn rejected(code: ErrorCode, had_token: bool) -> Self {
        match code {
            ErrorCode::Unauthorized => Self::unauthorized(had_token),
            ErrorCode::Banned => Self::Banned,
            code => Self::Rejected(code),
        }
    }

    /// The error for a close frame with this code.
    pub(super) fn closed(code: u16, had_token: bool) -> Self {
        match code {
            UNAUTHORIZED => Self::unauthorized(had_token),
            BANNED => Self::Banned,
            KICKED => Self::Kicked,
            code => Self::Closed(code),
        }
    }

    /// The error for an answer to the upgrade that is not 101.
    pub(super) fn refused<T>(response: &Response<T>, had_token: bool) -> Self {
        let status = response.status().as_u16();
        if status == 401 {
            return Self::unauthorized(had_token);
        }

        // A web server that knows no WebSocket at this address.
        if matches!(status, 200..=299 | 400 | 405 | 426) {
            return Self::NotASignalingServer(None);
        }

        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);

        Self::Refused {
            status,
            retry_after,
        }
    }

    fn unauthorized(had_token: bool) -> Self {
        if had_token {
            Self::TokenRefused
        } else {
            Self::TokenNeeded
        }
    }
}

impl From<tungstenite::Error> for ClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed(1006)
            }
            // The error holds the message, which may be private.
            tungstenite::Error::WriteBufferFull(_) => Self::Stalled,
            error => Self::Broken(Box::new(error)),
        }
    }
}

fn describe_status(status: u16) -> String {
    match status {
        300..=399 => {
            "the server sends this app to another address, which it does not follow: enter the new \
             address"
                .into()
        }
        403 => "the server does not accept this app".into(),
        404 | 410 => {
            "there is no signaling server at this path: check the address behind the host".into()
        }
        429 => {
            "the server has too many connections from your network: try again in a minute".into()
        }
        503 => "the server is full or being restarted: try again in a minute".into(),
        _ => format!("the server refused the connection with HTTP status {status}"),
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

    fn answered(status: u16, retry_after: Option<&str>) -> ClientError {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(header::RETRY_AFTER, value);
        }

        ClientError::refused(&response.body(()).expect("a response"), false)
    }

    #[test]
    fn a_code_is_the_same_text_in_rust_and_in_json() {
        for code in ClientErrorCode::ALL {
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

    #[test]
    fn each_answer_to_the_upgrade_has_its_code_and_sentence() {
        use ClientErrorCode::{
            Busy, Forbidden, Full, NotASignalingServer, Redirected, Refused, TokenNeeded, WrongPath,
        };

        let mut sentences = Vec::new();
        for (status, code) in [
            (200, NotASignalingServer),
            (301, Redirected),
            (401, TokenNeeded),
            (403, Forbidden),
            (404, WrongPath),
            (429, Busy),
            (502, Refused),
            (503, Full),
        ] {
            let error = answered(status, None);
            assert_eq!(error.code(), code, "{status}");
            sentences.push(error.to_string());
        }

        sentences.sort();
        sentences.dedup();
        assert_eq!(sentences.len(), 8, "a sentence each: {sentences:?}");
    }

    #[test]
    fn what_the_user_has_to_mend_is_not_retried() {
        for status in [200, 301, 401, 403, 404] {
            assert_eq!(
                answered(status, None).retry(false),
                Retry::Never,
                "{status}"
            );
        }

        let soon = Retry::After(Duration::ZERO);
        for status in [301, 404] {
            assert_eq!(answered(status, None).retry(true), soon, "{status}");
        }

        for error in [
            ClientError::closed(4001, true),
            ClientError::closed(4005, true),
        ] {
            assert_eq!(error.retry(true), Retry::Never, "{error}");
        }

        let kicked = ClientError::closed(4006, true);
        assert_eq!(kicked.code(), ClientErrorCode::Kicked);
        assert_eq!(kicked.retry(true), soon, "as a new client");
        assert_eq!(ClientError::closed(1001, true).retry(false), soon);
        assert_eq!(ClientError::TokenExposed.retry(true), Retry::Never);
    }

    #[test]
    fn a_busy_server_says_when_to_return() {
        for (value, seconds) in [
            (None, 0),
            (Some("7"), 7),
            (Some(" 7 "), 7),
            (Some("99999999"), 300),
            (Some("-1"), 0),
            (Some("Sat, 28 Nov 2026 10:00:00 GMT"), 0),
        ] {
            for status in [429, 503] {
                let expected = Retry::After(Duration::from_secs(seconds));
                assert_eq!(answered(status, value).retry(false), expected, "{value:?}");
            }
        }
    }

    #[test]
    fn a_token_that_is_missing_is_not_one_that_is_refused() {
        let codes = [false, true].map(|had_token| {
            [
                ClientError::closed(4001, had_token).code(),
                ClientError::rejected(ErrorCode::Unauthorized, had_token).code(),
            ]
        });

        assert_eq!(codes[0], [ClientErrorCode::TokenNeeded; 2]);
        assert_eq!(codes[1], [ClientErrorCode::TokenRefused; 2]);
    }
}
