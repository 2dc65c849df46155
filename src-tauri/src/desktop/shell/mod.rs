//! What stands around the app's state machine: one task that feeds it, one that carries out what it wants.

mod calls;
mod devices;
mod executor;
mod host;
mod preview;
mod sound;

pub use devices::{list, watch};
pub use executor::{Executor, Media};

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::app::{App, Effect, Input, Now};
use super::command::{Command, CommandError, CommandErrorCode};
use super::state::{AppState, StateChange};

/// The way into the app, for commands, devices and calls alike. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Input(Input),
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    State(oneshot::Sender<AppState>),
}

/// The other end of the [`Handle`].
#[derive(Debug)]
pub struct Inbox(mpsc::UnboundedReceiver<Message>);

/// A way in, and where it leads. Who may send without limit is known: everything that comes from the page is
/// rate-limited before.
#[must_use]
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), Inbox(receiver))
}

impl Handle {
    /// Tells what happened.
    pub fn tell(&self, input: Input) {
        // After the end nobody is interested.
        let _ = self.0.send(Message::Input(input));
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// The app's own, or `CLOSING` when it is gone.
    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        // If nobody takes it, nobody answers either.
        let _ = self.0.send(Message::Command(command, reply));
        answer
            .await
            .unwrap_or(Err(CommandErrorCode::Closing.into()))
    }

    /// The state now.
    ///
    /// # Errors
    /// `CLOSING` when the app is gone.
    pub async fn state(&self) -> Result<AppState, CommandError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::State(reply));
        answer.await.map_err(|_| CommandErrorCode::Closing.into())
    }
}

/// Feeds `app` until the program ends. Effects go to `effects`, changes to `tell_page`.
pub async fn run(
    mut app: App,
    mut inbox: Inbox,
    effects: mpsc::UnboundedSender<Effect>,
    tell_page: impl Fn(StateChange) + Send,
) {
    loop {
        while let Some(effect) = app.poll_effect() {
            // The executor ends with the program.
            let _ = effects.send(effect);
        }

        if let Some(change) = app.poll_change() {
            tell_page(change);
        }

        let due = app.poll_timeout();
        let time = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };

        let message = tokio::select! {
            message = inbox.0.recv() => message,
            () = time => {
                app.handle_timeout(now());
                continue;
            }
        };

        match message {
            Some(Message::Input(input)) => app.handle(now(), input),
            // Whoever asked may have gone meanwhile.
            Some(Message::Command(command, reply)) => drop(reply.send(app.command(now(), command))),
            Some(Message::State(reply)) => drop(reply.send(app.state().clone())),
            None => return,
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        at: Instant::now(),
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
    }
}
