//! The watch on Linux: the sound server's events, or else the kernel's list of sound cards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::DevicesChanged;
use crate::audio::device::sound_server::{ServerWatch, Stopper};

/// How often to look where nothing reports changes.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The thread that waits for changes. Dropping it ends it.
#[derive(Debug)]
pub(super) struct WatchThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What ends the thread.
#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    /// Ends the wait for the server's events, while there is a server.
    stopper: Mutex<Option<Stopper>>,
}

impl WatchThread {
    pub(super) fn start(changed: DevicesChanged) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("device watch".into())
                .spawn(move || shared.run(changed))
        };

        let thread = thread
            .inspect_err(|error| {
                tracing::error!(%error, "no thread to watch audio devices: the menus keep those they have");
            })
            .ok();
        Self { shared, thread }
    }
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(stopper) = &*self.shared.stopper.lock() {
            stopper.stop();
        }

        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the watch over audio devices panicked: nothing was reported");
            }
        }
    }
}

impl Shared {
    fn run(&self, mut changed: DevicesChanged) {
        let mut server = ServerWatch::start();
        let mut cards = cards();

        while !self.is_stopping() {
            if let Some(watch) = server.take() {
                self.follow(watch, &mut changed);
                continue;
            }

            std::thread::park_timeout(POLL_INTERVAL);
            server = ServerWatch::start();
            let cards_now = self::cards();

            // A server that has started replaces ALSA's devices with its own.
            if (server.is_some() || cards_now != cards) && !self.is_stopping() {
                changed();
            }

            cards = cards_now;
        }
    }

    /// Passes on the server's events until it is gone.
    fn follow(&self, mut server: ServerWatch, changed: &mut DevicesChanged) {
        match server.stopper() {
            Some(stopper) => *self.stopper.lock() = Some(stopper),
            // Nothing could end the wait.
            None => return,
        }

        // The watch may have been dropped just before it could see the stopper.
        while !self.is_stopping() && server.wait() {
            changed();
        }

        *self.stopper.lock() = None;

        // ALSA's devices take the place of those that are gone with the server.
        if !self.is_stopping() {
            changed();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The kernel's names for the devices of all sound cards.
fn cards() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/snd")
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();

    names
}
