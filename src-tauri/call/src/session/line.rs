//! A connection to the signaling server that lives longer than a call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_signaling::client::{
    Client, ClientConfig, ClientErrorCode, ClientEvent, ClientEvents, SendError,
};
use tandem_signaling::message::{
    ClaimRoom, ClientMessage, ErrorCode, FormerClaim, RequestId, RoomClaimed, ServerMessage,
    SessionId, UserId, UserRegistered,
};

/// How long [`SignalingLine::leave_search`] waits for the server. Longer than a slow round trip; the
/// user's next call waits for it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

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
    error: Option<ClientErrorCode>,
    search: LastSearch,
    claim: LastClaim,
}

/// The room that the server gave to this client last, with the token that claims it again.
#[derive(Debug, Default)]
struct LastClaim {
    room: Option<FormerClaim>,
    /// The server has registered this client as a new user since.
    is_lost: bool,
}

impl LastClaim {
    fn on_event(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Connected(_) => self.is_lost = self.room.is_some(),
            ClientEvent::Message(ServerMessage::RoomClaimed(claimed)) => {
                *self = Self {
                    room: former_claim(claimed),
                    is_lost: false,
                };
            }
            _ => {}
        }
    }

    /// What to ask for: the same room again if it was lost, else another one.
    fn request(&self) -> ClaimRoom {
        ClaimRoom {
            former: self.room.clone().filter(|_| self.is_lost),
        }
    }
}

/// `None` for a server from before the token.
fn former_claim(claimed: &RoomClaimed) -> Option<FormerClaim> {
    Some(FormerClaim {
        room: claimed.room.clone(),
        claim_token: claimed.claim_token.clone()?,
    })
}

/// What became of the last search, as far as the server has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastSearch {
    /// It is over, or there was none.
    Over,
    /// It runs: a match may arrive.
    Running,
    /// `cancel_search` was sent. A match may have been on its way: the server says so, and in a
    /// cluster, that and the match may come in any order.
    Cancelling {
        /// The match has arrived.
        found: bool,
        /// The server has said that there is one.
        refused: bool,
    },
}

impl LastSearch {
    fn on_sent(&mut self, message: &ClientMessage) {
        match message {
            ClientMessage::FindPartner(_)
            | ClientMessage::Accept(_)
            | ClientMessage::Next { .. } => {
                *self = Self::Running;
            }
            ClientMessage::CancelSearch if *self == Self::Running => {
                *self = Self::Cancelling {
                    found: false,
                    refused: false,
                };
            }
            _ => {}
        }
    }

    fn on_event(&mut self, event: &ClientEvent) {
        match (event, &mut *self) {
            // The server knows nothing of earlier searches.
            (ClientEvent::Connected(_) | ClientEvent::Closed, _)
            | (ClientEvent::Message(ServerMessage::PartnerFound(_)), Self::Running)
            | (ClientEvent::Message(ServerMessage::SearchCancelled), Self::Cancelling { .. }) => {
                *self = Self::Over;
            }
            (
                ClientEvent::Message(ServerMessage::PartnerFound(_)),
                Self::Cancelling { found, .. },
            ) => {
                *found = true;
            }
            (
                ClientEvent::Message(ServerMessage::Error(error)),
                Self::Cancelling { refused, .. },
            ) if error.code == ErrorCode::AlreadyMatched => *refused = true,
            _ => {}
        }

        let both = Self::Cancelling {
            found: true,
            refused: true,
        };
        if *self == both {
            *self = Self::Over;
        }
    }
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
            error: None,
            search: LastSearch::Over,
            claim: LastClaim::default(),
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

    /// Why there is no connection; `None` while there is one, and before the first attempt failed.
    #[must_use]
    pub fn error(&self) -> Option<ClientErrorCode> {
        self.error
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

        self.search.on_event(&event);
        self.claim.on_event(&event);

        match &event {
            ClientEvent::Connected(reply)
            | ClientEvent::Resumed {
                registered: reply, ..
            } => {
                self.registration = Some(Registration {
                    reply: reply.clone(),
                    at: Instant::now(),
                });
                self.error = None;
            }
            ClientEvent::Disconnected { error, .. } => {
                self.registration = None;
                self.error = Some(error.code());
            }
            ClientEvent::Closed => self.registration = None,
            ClientEvent::Message(_) | ClientEvent::Garbage(_) => {}
        }

        Some(event)
    }

    /// Sends a message without waiting: see [`Client::send`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send(&mut self, message: ClientMessage) -> Result<(), SendError> {
        let mut search = self.search;
        search.on_sent(&message);
        self.client.send(message)?;
        self.search = search;

        Ok(())
    }

    /// The same for a message whose answer carries this id. No search begins with it.
    pub(super) fn send_with_id(
        &mut self,
        message: ClientMessage,
        id: RequestId,
    ) -> Result<(), SendError> {
        self.client.send_with_id(message, id)
    }

    /// Asks for a room to invite someone into; [`ServerMessage::RoomClaimed`] follows.
    ///
    /// If the server has registered this client as a new user since it gave the last room, this asks
    /// for that room again. The server gives another one if the claim has ended.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn claim_room(&mut self) -> Result<(), SendError> {
        let request = self.claim.request();
        self.send(ClientMessage::ClaimRoom(request))
    }

    /// Gives up the room that the server gave to this client last, if there is one. People who wait
    /// there are told that it no longer exists.
    pub fn release_room(&mut self) {
        let LastClaim { room, is_lost } = std::mem::take(&mut self.claim);
        let Some(claim) = room.filter(|_| !is_lost) else {
            return;
        };

        let release = ClientMessage::ReleaseRoom { room: claim.room };
        if let Err(error) = self.send(release) {
            tracing::debug!(%error, "cannot give up a room: the server frees it later");
        }
    }

    /// The room that the server gave to this client last, for
    /// [`restore_claim`](Self::restore_claim) on another connection to the same server.
    #[must_use]
    pub fn former_claim(&self) -> Option<&FormerClaim> {
        self.claim.room.as_ref()
    }

    /// Makes the next [`claim_room`](Self::claim_room) ask for this room, which an earlier connection
    /// to the same server had.
    pub fn restore_claim(&mut self, former: FormerClaim) {
        self.claim = LastClaim {
            room: Some(former),
            is_lost: true,
        };
    }

    /// Waits until the server has confirmed that the last search is over, and ends a call that it
    /// found in the last moment.
    ///
    /// Returns whether that is certain. If not, a match of that search may still arrive: the
    /// connection has to be closed, so that no later call takes that match for its own.
    pub(crate) async fn leave_search(&mut self) -> bool {
        let left = async {
            while let LastSearch::Cancelling { .. } = self.search {
                match self.recv().await {
                    Some(ClientEvent::Message(ServerMessage::PartnerFound(found))) => {
                        self.end_session(found.session_id);
                    }
                    Some(ClientEvent::Resumed {
                        session_id: Some(session_id),
                        ..
                    }) => {
                        self.search = LastSearch::Over;
                        self.end_session(session_id);
                    }
                    // The message may be lost with the connection.
                    Some(ClientEvent::Resumed { .. }) => {
                        if self.send(ClientMessage::CancelSearch).is_err() {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        };

        // Over or not: `search` says so.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, left).await;
        self.search == LastSearch::Over
    }

    /// Ends a call that no one on this side takes part in.
    pub fn end_session(&mut self, session_id: SessionId) {
        let message = ClientMessage::EndSession {
            session_id,
            reason: None,
        };
        if let Err(error) = self.send(message) {
            tracing::debug!(%error, "cannot end a call: the server ends it with the connection");
        }
    }

    /// Asks whether the server is still there: see [`Client::probe`].
    pub fn probe(&self) {
        self.client.probe();
    }

    /// When the server was last heard: see [`Client::last_heard`].
    pub(crate) fn last_heard(&self) -> Option<Instant> {
        self.client.last_heard()
    }

    /// Connects again now: see [`Client::network_changed`].
    pub fn network_changed(&self) {
        self.client.network_changed();
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
