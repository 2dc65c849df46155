//! The thread of a video source: stops when its owner is dropped, which waits for its end.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: its threads sleep in real time"
)]

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{DeviceError, MediaErrorCode};

/// How long the owner waits for its thread to end. A thread that hangs in a driver is abandoned
/// after that, so that it does not hang its owner, too.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Owns a thread. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub(super) struct Worker {
    /// Never sends anything: dropping it is the signal to stop.
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The thread's end of a [`Worker`].
#[derive(Debug)]
pub(super) struct StopSignal(Receiver<()>);

impl StopSignal {
    /// Sleeps until `due`. Returns `false`, possibly early, when the thread must stop.
    pub(super) fn sleep_until(&self, due: Instant) -> bool {
        let left = due.saturating_duration_since(Instant::now());
        self.0.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
    }

    /// Whether the thread must stop.
    pub(super) fn is_stopped(&self) -> bool {
        !self.sleep_until(Instant::now())
    }
}

impl Worker {
    /// Runs `body` on a thread with this name. `body` must return soon after its signal says so.
    pub(super) fn spawn(
        name: &str,
        body: impl FnOnce(&StopSignal) + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let (stop, stopped) = channel();
        let (end, ended) = channel::<()>();
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                body(&StopSignal(stopped));
                drop(end);
            })
            .map_err(|error| no_thread(&error))?;

        Ok(Self {
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }

    /// Signals the thread to stop without waiting for it, because it is known to hang.
    pub(super) fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else {
            return;
        };

        let hangs = self.ended.recv_timeout(JOIN_TIMEOUT) == Err(RecvTimeoutError::Timeout);
        if hangs {
            tracing::warn!(
                thread = thread.thread().name(),
                "a video thread does not stop: it is abandoned and may keep its device busy"
            );
        } else if thread.join().is_err() {
            tracing::error!("a video thread panicked: its source has stopped");
        }
    }
}

/// The error for a video thread that the system does not start.
pub fn no_thread(error: &io::Error) -> DeviceError {
    DeviceError::new(
        MediaErrorCode::CamTimeout,
        format!("A thread for video could not start: {error}. Close other programs."),
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_owner_wakes_a_sleeping_thread() {
        let (result, slept) = channel();
        let worker = Worker::spawn("sleeper", move |stop| {
            let due = Instant::now() + Duration::from_secs(600);
            result.send(stop.sleep_until(due)).unwrap();
        })
        .unwrap();
        drop(worker);

        assert!(
            !slept.recv().unwrap(),
            "the thread is stopped minutes before the time it sleeps to"
        );
    }
}
