//! A connection to a relay that comes back by itself.
//!
//! [`Client::connect`] spawns one task, which registers with the relay, passes messages both ways and, when the
//! connection is lost, connects again after a pause given by [`Backoff`]. What happens comes out as [`ClientEvent`]s.
//! A connection that breaks is resumed, if the relay keeps its place long enough: [`ClientEvent::Resumed`], the call goes
//! on, and no message of the partner is lost or comes twice. Otherwise the new connection is a new user for the relay, and
//! the calls and searches of the old one are gone. Messages that were not yet sent are dropped in both cases. After
//! [`ClientEvent::Connected`] the program starts its search again if it wants one.

mod backoff;
mod error;
mod resume;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

pub use backoff::Backoff;
pub use error::{ClientError, Garbage};

use crate::message::{ClientMessage, MAX_MESSAGE_BYTES, ServerMessage, SessionId, UserRegistered};

/// A longer message of the relay becomes [`Garbage::TooLarge`]. (The protocol allows 64 KiB and 512 bytes.)
pub const MAX_INCOMING_BYTES: usize = 128 * 1024;

/// How many messages may wait for the connection to take them.
const SEND_QUEUE: usize = 256;

/// Where the relay is, and how to come back to it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `ws://HOST[:PORT][/PATH]`; without a path it is `/ws`.
    pub url: String,
    /// The pauses between attempts.
    pub backoff: Backoff,
}

impl ClientConfig {
    /// The relay at `url`, with the usual pauses (300 ms doubled up to 7 s, full jitter).
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            backoff: Backoff::default(),
        }
    }
}

/// What happens on the connection, in order.
#[derive(Debug)]
pub enum ClientEvent {
    /// Registered, for the first time or again: a new user without a search or a call.
    Connected(Box<UserRegistered>),
    /// The connection is back as the user it was, without a search. The messages that were missed follow.
    Resumed {
        /// What the relay says of the new connection. `user_id` and `socket_id` are not ours: the old ones stay.
        registered: Box<UserRegistered>,
        /// How many of the partner's messages follow.
        missed: u64,
        /// The call that goes on, if there is one.
        session_id: Option<SessionId>,
    },
    /// The relay says something (`user_registered` is [`ClientEvent::Connected`]).
    Message(ServerMessage),
    /// The relay sent something unreadable; the connection goes on.
    Garbage(Garbage),
    /// There is no connection, or it is lost; the next attempt comes in `retry_in`.
    Disconnected {
        /// Why.
        error: ClientError,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
    /// [`Client::close`] was called or the client dropped. Nothing follows.
    Closed,
}

/// A handle to the connection. Dropping it says `bye` to the relay and closes, in the background.
#[derive(Debug)]
pub struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    /// Counts connections from 1; 0 while there is none. Ties a message to the connection it was meant for.
    connection: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// A message as JSON text, for one connection only.
#[derive(Debug)]
struct Outgoing {
    connection: u64,
    text: String,
}

impl Client {
    /// Starts connecting. Must be called inside a tokio runtime. What becomes of it is told by events; a relay that is
    /// not there is [`ClientEvent::Disconnected`], again and again.
    ///
    /// # Errors
    /// Only for a URL that can never work: [`ClientError::InvalidUrl`], [`ClientError::UnsupportedUrl`],
    /// [`ClientError::TlsUnsupported`].
    pub fn connect(
        config: ClientConfig,
    ) -> Result<(Self, mpsc::UnboundedReceiver<ClientEvent>), ClientError> {
        let url = relay_url(&config.url)?;
        let (outgoing, commands) = mpsc::channel(SEND_QUEUE);
        let (events, receiver) = mpsc::unbounded_channel();
        let connection = Arc::new(AtomicU64::new(0));
        let task = task::ClientTask::new(url, config.backoff, commands, events, connection.clone());

        Ok((
            Self {
                outgoing,
                connection,
                task: tokio::spawn(task.run()),
            },
            receiver,
        ))
    }

    /// Sends `message` on the present connection, without waiting. If the connection is lost before the message is
    /// written, it is dropped; [`ClientEvent::Disconnected`] tells so.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`] before [`ClientEvent::Connected`] and after a loss,
    /// [`ClientError::MessageTooLarge`] over 64 KiB, [`ClientError::QueueFull`] if 256 messages wait.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a message is made to be sent: callers have no more use for it"
    )]
    pub fn send(&self, message: ClientMessage) -> Result<(), ClientError> {
        let connection = self.connection.load(Ordering::Acquire);
        if connection == 0 {
            return Err(ClientError::NotConnected);
        }

        let text = serde_json::to_string(&message)
            .expect("a client message has only string keys and JSON values");
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(ClientError::MessageTooLarge(text.len()));
        }

        self.outgoing
            .try_send(Outgoing { connection, text })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ClientError::QueueFull,
                mpsc::error::TrySendError::Closed(_) => ClientError::NotConnected,
            })
    }

    /// Sends what waits, says `bye`, closes the connection and waits until that is done (2 s at most). The last event
    /// is [`ClientEvent::Closed`].
    pub async fn close(self) {
        let Self { outgoing, task, .. } = self;
        drop(outgoing);
        // A panic in the task has been reported by its own thread; there is nothing left to close.
        let _ = task.await;
    }
}

fn relay_url(text: &str) -> Result<Url, ClientError> {
    let mut url = Url::parse(text).map_err(|_| ClientError::InvalidUrl)?;
    match url.scheme() {
        "ws" => {}
        "wss" => return Err(ClientError::TlsUnsupported),
        _ => return Err(ClientError::UnsupportedUrl),
    }

    if url.host_str().is_none_or(str::is_empty) {
        return Err(ClientError::UnsupportedUrl);
    }

    if matches!(url.path(), "" | "/") {
        url.set_path("/ws");
    }

    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let ok = |text: &str| relay_url(text).expect(text).to_string();
        assert_eq!(
            ok("ws://127.0.0.1:9000"),
            "ws://127.0.0.1:9000/ws",
            "the endpoint is the default path"
        );
        assert_eq!(ok("ws://[::1]:9000/ws"), "ws://[::1]:9000/ws");
        assert_eq!(
            ok("WS://relay.example/other?x=1#y"),
            "ws://relay.example/other?x=1"
        );

        let code = |text: &str| relay_url(text).expect_err(text).code();
        assert_eq!(code("wss://relay.example/ws"), "SIGNALING_TLS_UNSUPPORTED");
        assert_eq!(code("http://relay.example/ws"), "SIGNALING_URL_UNSUPPORTED");
        assert_eq!(
            code("127.0.0.1:9000"),
            "SIGNALING_URL_INVALID",
            "a scheme is needed"
        );

        for text in ["", "ws://", "relay", "ws://:9000", "ws://a b/"] {
            assert_eq!(code(text), "SIGNALING_URL_INVALID", "{text:?} is not a URL");
        }
    }
}
