//! How the rest of the program reaches a server on its thread: commands that wait in a queue, so that
//! signaling never waits for media.

use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::yield_now;

use crate::revoked::Revocation;
use crate::runner::Shared;

/// Commands that may wait. The thread carries out thousands in a millisecond.
const MAX_COMMANDS: usize = 65_536;
/// Commands that are carried out together.
const BATCH: usize = 1024;

/// What the rest of the program tells a server, without waiting for it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TurnControl {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Revoke(Revocation),
    SetOwn(Vec<IpNet>),
}

/// Too many commands wait, or the server has ended: nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// The handle, and what [`carry_out`] takes its commands from.
pub(crate) fn control() -> (TurnControl, mpsc::Receiver<Command>) {
    let (commands, to_thread) = mpsc::channel(MAX_COMMANDS);
    (TurnControl { commands }, to_thread)
}

impl TurnControl {
    /// Ends what was given to this call or user, and refuses their credentials from now on.
    ///
    /// # Errors
    /// If the server cannot take it.
    pub fn revoke(&self, revocation: Revocation) -> Result<(), NotTaken> {
        self.command(Command::Revoke(revocation))
    }

    /// This machine has these addresses now, as [`RunnerConfig::own`](crate::RunnerConfig::own) has them.
    ///
    /// # Errors
    /// If the server cannot take it.
    pub fn set_own(&self, own: Vec<IpNet>) -> Result<(), NotTaken> {
        self.command(Command::SetOwn(own))
    }

    fn command(&self, command: Command) -> Result<(), NotTaken> {
        self.commands.try_send(command).map_err(|_| NotTaken)
    }
}

/// Carries out commands until nobody can send any more.
pub(crate) async fn carry_out(shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let mut batch = Vec::new();
    while commands.recv_many(&mut batch, BATCH).await > 0 {
        let mut revocations = Vec::with_capacity(batch.len());
        for command in batch.drain(..) {
            match command {
                Command::Revoke(revocation) => revocations.push(revocation),
                Command::SetOwn(own) => shared.set_own(&own),
            }
        }

        if !revocations.is_empty() {
            shared.revoke(&revocations);
        }
        yield_now().await;
    }
}
