//! Waits for changes of the sound server's devices.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::ServerDevice;
use super::connection::{Connection, ConnectionError};
use crate::audio::device::Direction;

/// How long events are collected before the devices are compared: a headset that appears causes
/// several, and turning a volume knob causes dozens per second.
const SETTLE: Duration = Duration::from_millis(100);

/// The devices of a server, and two connections: one for events, one for lists.
#[derive(Debug)]
pub(in crate::audio::device) struct ServerWatch {
    events: Connection,
    lists: Connection,
    known: [Vec<ServerDevice>; 2],
}

impl ServerWatch {
    /// Starts watching. `None` if no server answers.
    pub(in crate::audio::device) fn start() -> Option<Self> {
        Self::connect()
            .inspect_err(|error| {
                if !matches!(error, ConnectionError::Absent) {
                    tracing::debug!(%error, "the sound server cannot be watched yet");
                }
            })
            .ok()
    }

    fn connect() -> Result<Self, ConnectionError> {
        let mut events = Connection::open()?;
        // What changes from here on is an event.
        events.subscribe()?;
        let mut lists = Connection::open()?;
        let known = devices(&mut lists)?;

        Ok(Self {
            events,
            lists,
            known,
        })
    }

    /// Shutting this socket down ends a wait in another thread.
    pub(in crate::audio::device) fn stopper(&self) -> Option<Stopper> {
        self.events.socket().ok().map(Stopper)
    }

    /// Waits until devices come, go, are renamed, or become the default. `false` when the server is
    /// gone or the wait was ended.
    pub(in crate::audio::device) fn wait(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(false) => {}
                Ok(true) => return true,
                Err(error) => {
                    tracing::debug!(%error, "no more events from the sound server");
                    return false;
                }
            }
        }
    }

    /// Waits for events; whether the devices changed.
    fn next(&mut self) -> Result<bool, ConnectionError> {
        self.events.wait_for_event()?;
        std::thread::sleep(SETTLE);
        self.events.take_events()?;

        let now = devices(&mut self.lists)?;
        let changed = now != self.known;
        self.known = now;
        Ok(changed)
    }
}

/// Ends a [`ServerWatch::wait`].
#[derive(Debug)]
pub(in crate::audio::device) struct Stopper(UnixStream);

impl Stopper {
    /// Ends it, now or as soon as it begins.
    pub(in crate::audio::device) fn stop(&self) {
        // It fails only if the server has already hung up.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn devices(server: &mut Connection) -> Result<[Vec<ServerDevice>; 2], ConnectionError> {
    Ok([
        server.devices(Direction::Capture)?,
        server.devices(Direction::Playback)?,
    ])
}
