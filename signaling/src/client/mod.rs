//! A connection to a signaling server that reconnects and resumes by itself.
//!
//! [`Client::connect`] spawns one task. It registers with the server, passes messages both ways
//! and, when the connection is lost, connects again after a delay from [`Backoff`]. Everything that
//! happens arrives as a [`ClientEvent`].
//!
//! After a loss the task tries to resume. If the server still keeps the client's place,
//! [`ClientEvent::Resumed`] follows: the call continues, and none of the partner's messages is lost
//! or comes twice. Otherwise [`ClientEvent::Connected`] follows: the server sees a new user, the
//! old call and search are gone, the program starts a search again if it wants one, and messages
//! that were not sent before the loss are dropped. Only what the client listens in
//! ([`Client::listen`]) is sent again by itself.
//!
//! Where trying again cannot help (an untrusted certificate, a token that is missing), the client
//! stays disconnected: [`ClientEvent::Disconnected`] has no `retry_in` then.
//!
//! ```
//! # #[cfg(not(feature = "server"))]
//! # fn main() {}
//! # #[cfg(feature = "server")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tandem_signaling::client::{Client, ClientConfig, ClientEvent};
//! use tandem_signaling::message::{ClientMessage, FindPartner, ServerMessage};
//!
//! # let server = tandem_signaling::server::SignalingServer::builder().listen("127.0.0.1:0").start().await?;
//! # let address = server.url();
//! // Such as "ws://127.0.0.1:9000/ws".
//! let (client, mut events) = Client::connect(ClientConfig::new(address.parse()?));
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         ClientEvent::Connected(registered) => {
//!             println!("registered as {}", registered.user_id);
//!             client.send(ClientMessage::FindPartner(FindPartner {
//!                 room: Some("blue-otter".into()),
//!                 ..FindPartner::default()
//!             }))?;
//!         }
//!         ClientEvent::Message(ServerMessage::Searching(_)) => break,
//!         ClientEvent::Disconnected { error, retry_in } => {
//!             println!("{error} ({}); next attempt: {retry_in:?}", error.code());
//!         }
//!         other => println!("{other:?}"),
//!     }
//! }
//!
//! client.close().await;
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod error;
mod listening;
mod resume;
mod task;
mod tls;
mod token;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

pub use backoff::Backoff;
pub use error::{ClientError, ClientErrorCode, Garbage, ProxyError, SendError};
pub use tls::{TlsError, TrustedRoots, TrustedRootsError};
pub use token::{BearerToken, BearerTokenError, MAX_TOKEN_BYTES};
pub use transport::{Stream, TurnConnection, connect_to_turn};

use self::listening::Listening;
use crate::ServerUrl;
use crate::message::{
    Accept, Capability, ClientEnvelope, ClientMessage, KnockId, MAX_MESSAGE_BYTES,
    RELAY_OVERHEAD_BYTES, RequestId, ServerMessage, SessionId, UserRegistered,
};

/// A longer message from the server becomes [`Garbage::TooLarge`]. Twice what the protocol allows
/// for a relayed message, which leaves room for additions.
pub const MAX_INCOMING_BYTES: usize = 2 * (MAX_MESSAGE_BYTES + RELAY_OVERHEAD_BYTES);

/// How many messages may wait to be sent: a burst of candidates is about 20.
const SEND_QUEUE: usize = 256;
/// How many events may wait for the program. While there is no room, nothing more is read, so that a
/// server that floods its clients fills the network's buffers and not this machine's memory.
const EVENT_QUEUE: usize = 64;
/// How long attempts to connect follow each other quickly: see [`Client::probe`].
const HURRY: Duration = Duration::from_secs(60);

/// Where the server is, how to prove who connects, and how to return to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// The server's address.
    pub url: ServerUrl,
    /// The server's addresses, the likeliest first, if they are known. The client then connects to
    /// them, without a proxy, and not to the host of `url`.
    pub addresses: Vec<SocketAddr>,
    /// The token for this server, sent as `Authorization: Bearer`. A client with a token does not
    /// connect to an address that [is exposed](ServerUrl::is_exposed). Redirections are never
    /// followed, so the token goes to the host of `url` alone.
    pub token: Option<BearerToken>,
    /// Whose certificates to trust.
    pub roots: TrustedRoots,
    /// The delays between attempts.
    pub backoff: Backoff,
}

impl ClientConfig {
    /// The server at `url`, without a token, with the operating system's trusted certificates and
    /// the usual delays (300 ms doubled up to 7 s, full jitter).
    #[must_use]
    pub fn new(url: ServerUrl) -> Self {
        Self {
            url,
            addresses: Vec::new(),
            token: None,
            roots: TrustedRoots::default(),
            backoff: Backoff::default(),
        }
    }
}

/// What happens on the connection, in order.
#[derive(Debug)]
pub enum ClientEvent {
    /// Registered as a new user, without a search or a call; the first time or after a loss.
    Connected(Box<UserRegistered>),
    /// The connection is back and the server knows this client as the user it was, without a
    /// search. The messages that were missed follow.
    Resumed {
        /// How the server registered the new connection. Its `user_id` and `socket_id` do not
        /// count: those of the resumed client stay valid.
        registered: Box<UserRegistered>,
        /// How many of the partner's messages follow.
        missed: u64,
        /// The call that continues, if there is one.
        session_id: Option<SessionId>,
    },
    /// A message from the server. `user_registered` and `resumed` are not among them: see
    /// [`ClientEvent::Connected`] and [`ClientEvent::Resumed`].
    Message(ServerMessage),
    /// The server sent something unreadable; the connection stays open.
    Garbage(Garbage),
    /// The connection is lost, or an attempt failed.
    Disconnected {
        /// Why.
        error: ClientError,
        /// The delay before the next attempt. `None`: there will be none, because it could not help.
        retry_in: Option<Duration>,
    },
    /// The client was closed or dropped. No event follows. Missing if the program has not read the
    /// events before.
    Closed,
}

/// The events of one client, in order.
#[derive(Debug)]
pub struct ClientEvents {
    events: mpsc::Receiver<ClientEvent>,
    shared: Arc<Shared>,
    /// How many users the program has read of.
    users: u64,
}

impl ClientEvents {
    /// The next event; `None` after the last. Safe to drop and call again.
    ///
    /// From then on, [`Client::send`] sends as the user that this event is about. An answer to an
    /// old call therefore never reaches the server under a new user's name.
    pub async fn recv(&mut self) -> Option<ClientEvent> {
        let event = self.events.recv().await?;

        match &event {
            ClientEvent::Connected(registered) => {
                self.users += 1;
                self.shared.on_registered(self.users, registered);
            }
            ClientEvent::Resumed { registered, .. } => {
                self.shared.on_registered(self.users, registered);
            }
            ClientEvent::Disconnected { .. } => self.shared.user.store(0, Ordering::Release),
            ClientEvent::Message(_) | ClientEvent::Garbage(_) | ClientEvent::Closed => {}
        }

        Some(event)
    }
}

/// What the handle, the events and the task share.
#[derive(Debug, Default)]
struct Shared {
    /// The number of the user as which the server knows this client, from 1, as far as the program
    /// has read the events; 0 while there is no connection. It ties a message to the user that it
    /// was meant for.
    user: AtomicU64,
    /// Whether that server knows `listen`.
    can_ring: AtomicBool,
    listening: Listening,
    /// See [`Client::network_changed`].
    network_changed: Notify,
    probe: Probe,
}

/// A question to the server whether it is still there: see [`Client::probe`].
#[derive(Debug, Default)]
struct Probe {
    /// A ping is to be sent.
    ping: Notify,
    /// A ping is to be answered.
    answer: Notify,
    /// When the last frame arrived.
    heard: Mutex<Option<tokio::time::Instant>>,
    /// Until then, attempts to connect follow each other quickly.
    hurry_until: Mutex<Option<tokio::time::Instant>>,
}

impl Shared {
    fn on_registered(&self, user: u64, registered: &UserRegistered) {
        let can_ring = registered.can(Capability::Ring);
        self.can_ring.store(can_ring, Ordering::Release);
        self.user.store(user, Ordering::Release);
    }
}

/// A handle to the connection. Dropping it sends `bye` to the server and closes the connection in
/// the background.
#[derive(Debug)]
pub struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
    /// Dropped with the handle.
    alive: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A message as JSON text, of one user only.
#[derive(Debug)]
struct Outgoing {
    user: u64,
    text: String,
}

impl Client {
    /// Starts connecting and returns at once. A server that cannot be reached is
    /// [`ClientEvent::Disconnected`] after each attempt.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn connect(config: ClientConfig) -> (Self, ClientEvents) {
        let (outgoing, commands) = mpsc::channel(SEND_QUEUE);
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (alive, handle) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let task = task::ClientTask::new(config, commands, events, handle, shared.clone());

        let client = Self {
            outgoing,
            shared: shared.clone(),
            alive,
            task: tokio::spawn(task.run()),
        };

        let events = ClientEvents {
            events: receiver,
            shared,
            users: 0,
        };
        (client, events)
    }

    /// Sends `message` on the current connection, without waiting. If the connection is lost before
    /// the message is written, it is written after [`ClientEvent::Resumed`], or dropped at the next
    /// [`ClientEvent::Connected`].
    ///
    /// # Errors
    /// [`SendError::NotConnected`] until the program has read [`ClientEvent::Connected`], and again
    /// after [`ClientEvent::Disconnected`],
    /// [`SendError::MessageTooLarge`] above [`MAX_MESSAGE_BYTES`],
    /// [`SendError::QueueFull`] if 256 messages are waiting,
    /// [`SendError::Unsupported`] for `listen`, `accept` and `decline` if the server is from before
    /// them.
    pub fn send(&self, message: ClientMessage) -> Result<(), SendError> {
        self.send_envelope(&message.into())
    }

    /// The same for a message whose reply, or whose [`ErrorReport`](crate::message::ErrorReport),
    /// carries this id.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_with_id(&self, message: ClientMessage, id: RequestId) -> Result<(), SendError> {
        self.send_envelope(&ClientEnvelope {
            message,
            id: Some(id),
        })
    }

    fn send_envelope(&self, envelope: &ClientEnvelope) -> Result<(), SendError> {
        let message = &envelope.message;
        let user = self.shared.user.load(Ordering::Acquire);
        if user == 0 {
            return Err(SendError::NotConnected);
        }

        let is_about_ring = matches!(
            message,
            ClientMessage::Listen { .. } | ClientMessage::Accept(_) | ClientMessage::Decline { .. }
        );
        if is_about_ring && !self.shared.can_ring.load(Ordering::Acquire) {
            return Err(SendError::Unsupported);
        }

        let text = serde_json::to_string(envelope)
            .expect("a client message has only string keys and JSON values");
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(SendError::MessageTooLarge(text.len()));
        }

        self.outgoing
            .try_send(Outgoing { user, text })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::QueueFull,
                mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
            })?;

        self.shared.listening.on_sent(message);
        Ok(())
    }

    /// Asks the server whether it is still there. If it does not answer within 2 s, the client
    /// connects again; for the next minute, its attempts follow each other quickly. For programs
    /// that cannot wait until the connection's own heartbeat notices, such as one in a call that has
    /// fallen silent.
    #[expect(clippy::disallowed_methods, reason = "a shell: the minute begins now")]
    pub fn probe(&self) {
        let until = tokio::time::Instant::now() + HURRY;
        *self.shared.probe.hurry_until.lock() = Some(until);
        self.shared.probe.ping.notify_one();
        self.shared.probe.answer.notify_one();
    }

    /// When the server was last heard, on this connection or one before.
    #[must_use]
    pub fn last_heard(&self) -> Option<std::time::Instant> {
        let heard = *self.shared.probe.heard.lock();
        heard.map(tokio::time::Instant::into_std)
    }

    /// The addresses of this machine have changed, so that the connection may lead nowhere, which
    /// would only be noticed after a while: connects again now. The server resumes this client.
    #[expect(clippy::disallowed_methods, reason = "a shell: the minute begins now")]
    pub fn network_changed(&self) {
        let until = tokio::time::Instant::now() + HURRY;
        *self.shared.probe.hurry_until.lock() = Some(until);
        // One that nobody waits for yet is remembered, which is once too often at most.
        self.shared.network_changed.notify_one();
    }

    /// Asks the server to be rung by those who search for one of these rooms, instead of those of
    /// the last call of this function. None: stop listening. The answer is
    /// [`ServerMessage::Listening`]; who rings is a [`ServerMessage::Knock`].
    ///
    /// Listening ends with a search of this client and with a call. It survives a lost connection:
    /// the server keeps it for a client that resumes, and for one that becomes a new user
    /// ([`ClientEvent::Connected`]) the list is sent again.
    ///
    /// # Errors
    /// As [`send`](Self::send). On [`SendError::Unsupported`] the server cannot ring this client:
    /// search for the room instead.
    pub fn listen(&self, rooms: Vec<String>) -> Result<(), SendError> {
        self.send(ClientMessage::Listen { rooms })
    }

    /// Accepts a knock: its id, or an [`Accept`] with what the caller will see of the user.
    /// [`ServerMessage::PartnerFound`] follows, or an error with
    /// [`ErrorCode::NoSuchKnock`](crate::message::ErrorCode::NoSuchKnock).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn accept(&self, knock: impl Into<Accept>) -> Result<(), SendError> {
        self.send(ClientMessage::Accept(knock.into()))
    }

    /// Declines a knock. The caller is notified.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn decline(&self, knock_id: KnockId) -> Result<(), SendError> {
        self.send(ClientMessage::Decline { knock_id })
    }

    /// Sends what is waiting, sends `bye`, closes the connection and waits until that is done, at
    /// most 2 s. The last event is [`ClientEvent::Closed`].
    pub async fn close(self) {
        let Self {
            outgoing,
            alive,
            task,
            ..
        } = self;
        drop((outgoing, alive));
        // A panic in the task was reported by the thread that ran it; there is nothing left to
        // close.
        let _ = task.await;
    }
}
