//! Ctrl-C and SIGTERM, which ask the program to end. On Windows only Ctrl-C.

use std::io;

/// A subscription to both signals. From its creation on, they no longer end the process.
#[cfg(unix)]
pub(crate) struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    /// Subscribes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the system does not allow the handlers.
    pub(crate) fn subscribe() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. `None`: no more can arrive.
    pub(crate) async fn next(&mut self) -> Option<()> {
        tokio::select! {
            signal = self.interrupt.recv() => signal,
            signal = self.terminate.recv() => signal,
        }
    }
}

/// A subscription to Ctrl-C. From its creation on, it no longer ends the process.
#[cfg(windows)]
pub(crate) struct StopSignals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl StopSignals {
    /// Subscribes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the system does not allow the handler.
    pub(crate) fn subscribe() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    /// Waits for the next Ctrl-C. `None`: no more can arrive.
    pub(crate) async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}
