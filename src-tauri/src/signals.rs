//! Ctrl-C, SIGTERM and SIGHUP, which ask the program to end. On Windows only Ctrl-C.

use std::io;

/// Why the program should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Someone wants it: the second time at once.
    Asked,
    /// The terminal is gone. Several may say so, each for itself: the kernel, the shell.
    #[cfg(unix)]
    HungUp,
}

/// A subscription to the signals. From its creation on, they no longer end the process.
#[cfg(unix)]
pub(crate) struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None`: the program was started with `nohup`, to outlive its terminal.
    hang_up: Option<tokio::signal::unix::Signal>,
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
            hang_up: if is_ignored(libc::SIGHUP) {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Waits for the next signal. `None`: no more can arrive.
    pub(crate) async fn next(&mut self) -> Option<Stop> {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };

        tokio::select! {
            signal = self.interrupt.recv() => signal.map(|()| Stop::Asked),
            signal = self.terminate.recv() => signal.map(|()| Stop::Asked),
            signal = hung_up => signal.map(|()| Stop::HungUp),
        }
    }
}

/// Whether the process was started with this signal ignored.
#[cfg(unix)]
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: without a new action, sigaction(2) only writes the present one, for which zeros are a
    // valid value.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let read = libc::sigaction(signal, std::ptr::null(), &mut action);
        (read == 0).then_some(action.sa_sigaction)
    };

    action == Some(libc::SIG_IGN)
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
    pub(crate) async fn next(&mut self) -> Option<Stop> {
        self.0.recv().await.map(|()| Stop::Asked)
    }
}
