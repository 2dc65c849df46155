//! A connection to the signaling server that lives longer than a call.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tandem_signaling::client::{Client, ClientConfig, ClientEvent, ClientEvents, SendError};
use tandem_signaling::message::{ClientMessage, UserId, UserRegistered};

/// A connection to a signaling server, and how the server registered this client.
///
/// A program that wants to be rung keeps one open between its calls. The holder receives its
/// events: a call while it runs, the program before and after (see [`SharedLine`]).
#[derive(Debug)]
pub struct SignalingLine {
    client: Client,
    events: ClientEvents,
    registration: Option<Registration>,
    user_id: Option<UserId>,
}

/// How the signaling server registered this client.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The server's message.
    pub reply: Box<UserRegistered>,
    /// When it arrived.
    pub at: Instant,
}

impl SignalingLine {
    /// Starts connecting and returns at once: see [`Client::connect`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn connect(config: ClientConfig) -> Self {
        let (client, events) = Client::connect(config);

        Self {
            client,
            events,
            registration: None,
            user_id: None,
        }
    }

    /// How the server registered this client; `None` while there is no connection, as far as the
    /// events have been received.
    #[must_use]
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// As whom the server knew this client last, from the first registration on.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        self.user_id.as_ref()
    }

    /// The next event; `None` after the last. Safe to drop and call again.
    #[expect(
        clippy::disallowed_methods,
        reason = "a shell: TURN credentials expire from the time of arrival on"
    )]
    pub async fn recv(&mut self) -> Option<ClientEvent> {
        let event = self.events.recv().await?;

        if let ClientEvent::Connected(registered) = &event {
            self.user_id = Some(registered.user_id.clone());
        }

        match &event {
            ClientEvent::Connected(reply)
            | ClientEvent::Resumed {
                registered: reply, ..
            } => {
                self.registration = Some(Registration {
                    reply: reply.clone(),
                    at: Instant::now(),
                });
            }
            ClientEvent::Disconnected { .. } | ClientEvent::Closed => self.registration = None,
            ClientEvent::Message(_) | ClientEvent::Garbage(_) => {}
        }

        Some(event)
    }

    /// Sends a message without waiting: see [`Client::send`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send(&self, message: ClientMessage) -> Result<(), SendError> {
        self.client.send(message)
    }

    /// Sends what is waiting and closes the connection: see [`Client::close`].
    pub async fn close(self) {
        drop(self.events);
        self.client.close().await;
    }
}

/// A place for a [`SignalingLine`], through which the program and its calls pass it to each other.
/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SharedLine(Arc<Mutex<Option<SignalingLine>>>);

impl SharedLine {
    /// Leaves `line` for the next to take it. One that was left before is closed.
    pub fn put(&self, line: SignalingLine) {
        *self.0.lock() = Some(line);
    }

    /// Takes the line, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<SignalingLine> {
        self.0.lock().take()
    }
}
