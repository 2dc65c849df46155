//! A thread of a video source: told to stop by its owner, joined when the owner goes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A driver that hangs may not take the owner with it: after this long the thread is left to itself.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);

/// Owns a thread; dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub(super) struct Worker {
    /// Never sends: its end is the message.
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The thread's side of a [`Worker`].
#[derive(Debug)]
pub(super) struct StopSignal(Receiver<()>);

impl StopSignal {
    /// Sleeps until `due`. `false`: stop now.
    pub(super) fn sleep_until(&self, due: Instant) -> bool {
        let left = due.saturating_duration_since(Instant::now());
        self.0.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
    }

    /// Whether the owner wants the thread to end.
    pub(super) fn is_stopped(&self) -> bool {
        !self.sleep_until(Instant::now())
    }
}

impl Worker {
    /// Starts `body` on a thread called `name`. The body must end soon after its signal says so.
    pub(super) fn spawn(
        name: &str,
        body: impl FnOnce(&StopSignal) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (end, ended) = channel::<()>();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            body(&StopSignal(stopped));
            drop(end);
        })?;

        Ok(Self {
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }

    /// Tells the thread to stop without waiting for it: it is known to hang.
    pub(super) fn leave_behind(mut self) {
        self.thread = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else {
            return;
        };

        let hangs = self.ended.recv_timeout(JOIN_PATIENCE) == Err(RecvTimeoutError::Timeout);
        if hangs {
            tracing::warn!(
                thread = thread.thread().name(),
                "a video thread hangs and is left behind"
            );
        } else if thread.join().is_err() {
            tracing::error!("a video thread panicked");
        }
    }
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
            "the sleeper is told to stop, minutes before it is due"
        );
    }
}
