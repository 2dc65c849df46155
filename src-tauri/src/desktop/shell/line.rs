//! The connection to the signaling server while no call has it.

use std::time::Duration;

use tandem_call::{Profile, SignalingLine};
use tandem_signaling::client::{ClientEvent, SendError};
use tandem_signaling::message::{
    Capability, ClientMessage, ErrorCode, ErrorReport, Knock, KnockId, ServerMessage,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Handle;
use crate::desktop::app::{Input, LineEvent, LineId, LineUse, RoomClaim};

/// A connection that a task listens on.
pub(super) struct IdleLine {
    id: LineId,
    commands: UnboundedSender<LineCommand>,
    task: JoinHandle<SignalingLine>,
}

enum LineCommand {
    Use(LineUse),
    Decline(KnockId),
}

impl IdleLine {
    /// Listens on `line` and reports what happens there.
    pub(super) fn start(id: LineId, line: SignalingLine, handle: Handle) -> Self {
        let (commands, receiver) = unbounded_channel();
        // A call gives the connection back as the listener before it left it.
        let listens_in = line.user_id().is_none().then(Vec::new);
        let listener = Listener {
            id,
            handle,
            line,
            wanted: None,
            listens_in,
            claims: false,
            asked_to_listen: false,
            listen_again_at: None,
        };

        Self {
            id,
            commands,
            task: tokio::spawn(listener.run(receiver)),
        }
    }

    pub(super) fn id(&self) -> LineId {
        self.id
    }

    /// Uses the connection for this from now on.
    pub(super) fn use_for(&self, wanted: LineUse) {
        self.command(LineCommand::Use(wanted));
    }

    /// Declines the person who rings.
    pub(super) fn decline(&self, knock: KnockId) {
        self.command(LineCommand::Decline(knock));
    }

    /// Returns the connection, to be used by a call or closed. `None` if the task panicked.
    pub(super) async fn stop(self) -> Option<SignalingLine> {
        drop(self.commands);
        self.task.await.ok()
    }

    fn command(&self, command: LineCommand) {
        // Fails only after a panic of the task.
        let _ = self.commands.send(command);
    }
}

struct Listener {
    id: LineId,
    handle: Handle,
    line: SignalingLine,
    /// What the app uses the connection for; `None` before it has said so.
    wanted: Option<LineUse>,
    /// The rooms in which the server rings this app; `None` if that is not certain.
    listens_in: Option<Vec<String>>,
    /// A `claim_room` was sent and not answered yet.
    claims: bool,
    /// A `listen` was sent and not answered yet.
    asked_to_listen: bool,
    /// When to repeat a `listen` that the server refused.
    listen_again_at: Option<Instant>,
}

/// For when the server does not say when to ask again.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(2);

impl Listener {
    /// Returns the connection when the commands end.
    async fn run(mut self, mut commands: UnboundedReceiver<LineCommand>) -> SignalingLine {
        if self.line.registration().is_some() {
            self.on_connected();
        } else if let Some(cause) = self.line.error() {
            self.notify(LineEvent::Lost { cause });
        }

        let mut is_open = true;
        loop {
            let listen_again_at = self.listen_again_at;
            let time_to_listen = async {
                match listen_again_at {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };

            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return self.line,
                    Some(LineCommand::Use(wanted)) => {
                        self.wanted = Some(wanted);
                        self.ask();
                    }
                    Some(LineCommand::Decline(knock_id)) => {
                        self.send(ClientMessage::Decline { knock_id });
                    }
                },
                event = self.line.recv(), if is_open => match event {
                    Some(event) => self.on_event(event),
                    None => is_open = false,
                },
                () = time_to_listen => {
                    self.listen_again_at = None;
                    self.listens_in = None;
                    self.ask();
                }
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected(_) => self.on_connected(),
            ClientEvent::Resumed { session_id, .. } => {
                // A call that ended while the connection was lost.
                if let Some(session_id) = session_id {
                    self.line.end_session(session_id);
                }

                self.on_connected();
            }
            ClientEvent::Disconnected { error, .. } => {
                self.claims = false;
                self.notify(LineEvent::Lost {
                    cause: error.code(),
                });
            }
            ClientEvent::Message(message) => self.on_message(message),
            ClientEvent::Garbage(garbage) => {
                tracing::debug!(%garbage, "unreadable message from the signaling server: ignored");
            }
            ClientEvent::Closed => {}
        }
    }

    fn on_connected(&mut self) {
        self.claims = false;
        self.asked_to_listen = false;
        self.listen_again_at = None;
        if let Some(user) = self.line.user_id() {
            let user = user.clone();
            self.notify(LineEvent::Connected { user });
        }

        self.ask();
    }

    fn on_message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::RoomClaimed(claimed) => {
                self.claims = false;
                self.notify(LineEvent::Claimed {
                    room: claimed.room,
                    former: self.line.former_claim().cloned(),
                    random: rand::random(),
                });

                if let Some(wanted) = &mut self.wanted
                    && let RoomClaim::Ask(_) = wanted.claim
                {
                    wanted.claim = RoomClaim::Hold;
                }

                // The user may not want it any more.
                self.ask();
            }
            ServerMessage::Listening(_) => self.asked_to_listen = false,
            ServerMessage::Knock(knock) => {
                let Knock {
                    knock_id,
                    room,
                    user_name,
                    user_picture,
                } = *knock;
                self.notify(LineEvent::Knock {
                    id: knock_id,
                    room,
                    profile: Box::new(Profile {
                        user_name: Some(user_name),
                        user_picture,
                        ..Profile::default()
                    }),
                });
            }
            ServerMessage::KnockEnded(ended) => {
                self.notify(LineEvent::KnockEnded { id: ended.knock_id });
            }
            // No search runs here.
            ServerMessage::PartnerFound(found) => self.line.end_session(found.session_id),
            ServerMessage::Error(error) => self.on_error(&error),
            _ => {}
        }
    }

    /// The server answers in order, and the claim is asked for first.
    fn on_error(&mut self, error: &ErrorReport) {
        // The end of the last call has not reached every server of a cluster yet.
        let is_early = matches!(
            error.code,
            ErrorCode::AlreadyMatched | ErrorCode::AlreadySearching
        );
        let is_refusal = matches!(
            error.code,
            ErrorCode::RateLimited
                | ErrorCode::Unavailable
                | ErrorCode::Draining
                | ErrorCode::Internal
                | ErrorCode::UnknownType
        );

        if !is_refusal && !is_early {
            return;
        }

        if !is_early && std::mem::take(&mut self.claims) {
            tracing::info!(code = ?error.code, "the signaling server gives no invite");
            self.notify(LineEvent::ClaimRefused {
                never: error.code == ErrorCode::UnknownType,
            });
        } else if error.code != ErrorCode::UnknownType && std::mem::take(&mut self.asked_to_listen)
        {
            let wait = error
                .retry_after_ms
                .map_or(DEFAULT_RETRY_AFTER, Duration::from_millis);
            tracing::debug!(code = ?error.code, ?wait, "cannot be rung yet: asking again later");
            self.listen_again_at = Some(Instant::now() + wait);
        }
    }

    /// Asks the server for what is wanted and not there yet.
    fn ask(&mut self) {
        let (Some(registration), Some(wanted)) = (self.line.registration(), &self.wanted) else {
            return;
        };

        match &wanted.claim {
            RoomClaim::Ask(_) if !registration.reply.can(Capability::ClaimRoom) => {
                self.notify(LineEvent::ClaimRefused { never: true });
            }
            RoomClaim::Ask(former) if !self.claims => {
                if let Some(former) = former {
                    self.line.restore_claim(former.clone());
                }

                self.claims = self.line.claim_room().is_ok();
            }
            // The answer to a claim that is no longer wanted is still to come.
            RoomClaim::None if !self.claims => self.line.release_room(),
            RoomClaim::None | RoomClaim::Ask(_) | RoomClaim::Hold => {}
        }

        if self.listens_in.as_ref() != Some(&wanted.rooms) {
            let rooms = wanted.rooms.clone();
            let is_silent = rooms.is_empty();
            let listen = ClientMessage::Listen {
                rooms: rooms.clone(),
            };
            match self.line.send(listen) {
                Ok(()) => {
                    self.listens_in = Some(rooms);
                    self.asked_to_listen = true;
                    self.listen_again_at = None;
                }
                Err(SendError::Unsupported) => {
                    self.listens_in = Some(rooms);
                    if !is_silent {
                        self.notify(LineEvent::CannotRing);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for callers: trying again later");
                }
            }
        }
    }

    /// Returns whether the message is on its way.
    fn send(&mut self, message: ClientMessage) -> bool {
        let kind = message.kind();
        let sent = self.line.send(message);
        if let Err(error) = &sent {
            tracing::debug!(%error, kind, "cannot send a message to the signaling server: dropped it");
        }

        sent.is_ok()
    }

    fn notify(&self, event: LineEvent) {
        self.handle.notify(Input::Line(self.id, event));
    }
}
