//! The connection to the signaling server while no call has it.

use tandem_call::{Profile, SignalingLine};
use tandem_signaling::client::{ClientEvent, SendError};
use tandem_signaling::message::{
    Capability, ClientMessage, ErrorCode, ErrorReport, Knock, KnockId, ServerMessage,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::Handle;
use crate::desktop::app::{Input, LineEvent, LineId, LineUse};

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
        let listener = Listener {
            id,
            handle,
            line,
            wanted: LineUse::default(),
            listens_in: Vec::new(),
            claims: false,
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
    wanted: LineUse,
    /// The rooms of the last `listen` that was sent.
    listens_in: Vec<String>,
    /// A `claim_room` was sent and not answered yet.
    claims: bool,
}

impl Listener {
    /// Returns the connection when the commands end.
    async fn run(mut self, mut commands: UnboundedReceiver<LineCommand>) -> SignalingLine {
        if self.line.registration().is_some() {
            self.on_connected();
        }

        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return self.line,
                    Some(LineCommand::Use(wanted)) => {
                        self.wanted = wanted;
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
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected(_) | ClientEvent::Resumed { .. } => self.on_connected(),
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
                    random: rand::random(),
                });
            }
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
            // A search was stopped in the moment in which it found somebody.
            ServerMessage::PartnerFound(found) => self.send(ClientMessage::EndSession {
                session_id: found.session_id,
                reason: None,
            }),
            ServerMessage::Error(error) => self.on_error(&error),
            _ => {}
        }
    }

    fn on_error(&mut self, error: &ErrorReport) {
        let is_about_claim = matches!(
            error.code,
            ErrorCode::RateLimited
                | ErrorCode::Unavailable
                | ErrorCode::Draining
                | ErrorCode::Internal
                | ErrorCode::UnknownType
        );

        if is_about_claim && std::mem::take(&mut self.claims) {
            tracing::info!(code = ?error.code, "the signaling server gives no invite");
            self.notify(LineEvent::ClaimRefused {
                never: error.code == ErrorCode::UnknownType,
            });
        }
    }

    /// Asks the server for what is wanted and not there yet.
    fn ask(&mut self) {
        let Some(registration) = self.line.registration() else {
            return;
        };

        let can_claim = registration.reply.can(Capability::ClaimRoom);
        if self.wanted.claim && !can_claim {
            self.notify(LineEvent::ClaimRefused { never: true });
        } else if self.wanted.claim && !self.claims {
            self.claims = true;
            self.send(ClientMessage::ClaimRoom);
        }

        if self.listens_in != self.wanted.rooms {
            let rooms = self.wanted.rooms.clone();
            match self.line.send(ClientMessage::Listen { rooms }) {
                Ok(()) => self.listens_in.clone_from(&self.wanted.rooms),
                Err(SendError::Unsupported) => {
                    self.listens_in.clone_from(&self.wanted.rooms);
                    self.notify(LineEvent::CannotRing);
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for callers: trying again later");
                }
            }
        }
    }

    fn send(&self, message: ClientMessage) {
        let kind = message.kind();
        if let Err(error) = self.line.send(message) {
            tracing::debug!(%error, kind, "cannot send a message to the signaling server: dropped it");
        }
    }

    fn notify(&self, event: LineEvent) {
        self.handle.notify(Input::Line(self.id, event));
    }
}
