//! The shell around the app's state machine: one task passes in what happens, another carries out
//! the effects.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: passes the time to the state machine"
)]

mod addresses;
mod call;
mod desktop;
mod devices;
mod executor;
mod host;
mod line;
mod lobby_audio;
mod nearby;
mod preview;

pub use desktop::WindowControl;
pub use devices::{list, watch};
pub use executor::{Executor, Files};

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::app::{App, Effect, Input, Now};
use super::command::{Command, CommandError, CommandErrorCode};
use super::state::{AppState, StateChange};

/// Sends commands and inputs to the app. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Message>);

#[derive(Debug)]
enum Message {
    Input(Input),
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    State(oneshot::Sender<AppState>),
}

/// Receives what a [`Handle`] sends.
#[derive(Debug)]
pub struct Inbox(mpsc::UnboundedReceiver<Message>);

/// A handle and its inbox. The queue is unbounded: all senders but the page belong to this program,
/// and commands of the page are rate-limited before they get here.
#[must_use]
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), Inbox(receiver))
}

impl Handle {
    /// Notifies the app of what happened.
    pub fn notify(&self, input: Input) {
        // Fails only once the app is gone.
        let _ = self.0.send(Message::Input(input));
    }

    /// Sends a command and waits for the result.
    ///
    /// # Errors
    /// The reason why the app refused it, or `CLOSING` when the app is gone.
    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        // If the app is gone, so is the reply.
        let _ = self.0.send(Message::Command(command, reply));
        answer
            .await
            .unwrap_or(Err(CommandErrorCode::Closing.into()))
    }

    /// The present state.
    ///
    /// # Errors
    /// `CLOSING` when the app is gone.
    pub async fn state(&self) -> Result<AppState, CommandError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::State(reply));
        answer.await.map_err(|_| CommandErrorCode::Closing.into())
    }
}

/// Runs `app` until every [`Handle`] is gone. Effects go to `effects`, changes to `notify_page`.
pub async fn run(
    mut app: App,
    mut inbox: Inbox,
    effects: mpsc::UnboundedSender<Effect>,
    notify_page: impl Fn(StateChange) + Send,
) {
    loop {
        while let Some(effect) = app.poll_effect() {
            // The executor is gone after `Effect::Exit`.
            let _ = effects.send(effect);
        }

        if let Some(change) = app.poll_change() {
            notify_page(change);
        }

        let deadline = app.poll_timeout();
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };

        let message = tokio::select! {
            message = inbox.0.recv() => message,
            () = timeout => {
                app.handle_timeout(now());
                continue;
            }
        };

        match message {
            Some(Message::Input(input)) => app.handle(now(), input),
            // A sender that no longer waits ignores the reply.
            Some(Message::Command(command, reply)) => drop(reply.send(app.command(now(), command))),
            Some(Message::State(reply)) => drop(reply.send(app.state().clone())),
            None => return,
        }
    }
}

/// Drops `value` off the runtime's threads, because that waits for a thread or a device.
async fn drop_blocking<T: Send + 'static>(what: &'static str, value: T) {
    if spawn_blocking(move || drop(value)).await.is_err() {
        tracing::error!(what, "panicked while closing: its device may stay in use");
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
