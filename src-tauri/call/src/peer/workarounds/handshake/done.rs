//! Whether the handshake of a connection is over.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;

use parking_lot::Mutex;

/// Whether the handshake is over: the connection is up, or it has ended. Shared by the connection's
/// handler, which sets it, and by the workarounds, which stop then.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct HandshakeDone(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_done: AtomicBool,
    leaves_silently: AtomicBool,
    first: Mutex<FirstHandshake>,
}

/// The handshake that makes the keys: where ICE restarts, the connection is not up and still has them.
#[derive(Debug, Default)]
struct FirstHandshake {
    is_done: bool,
    /// The tasks that wait for its end, by their sockets.
    waiting: HashMap<SocketAddr, Waker>,
}

impl HandshakeDone {
    /// Records whether the handshake is over.
    pub(in crate::peer) fn set(&self, done: bool) {
        self.0.is_done.store(done, Relaxed);
        if !done {
            return;
        }

        let waiting = {
            let mut first = self.0.first.lock();
            first.is_done = true;
            std::mem::take(&mut first.waiting)
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Whether the handshake is over.
    pub(in crate::peer) fn get(&self) -> bool {
        self.0.is_done.load(Relaxed)
    }

    /// Another connection takes this one's place: its partner must not be told that it closes, which would
    /// end the call there.
    pub(in crate::peer) fn leave_silently(&self) {
        self.0.leaves_silently.store(true, Relaxed);
    }

    /// Whether nothing of DTLS may leave any more.
    pub(super) fn leaves_silently(&self) -> bool {
        self.0.leaves_silently.load(Relaxed)
    }

    /// Whether it has been over once, so that there are keys.
    pub(super) fn has_been(&self) -> bool {
        self.0.first.lock().is_done
    }

    /// The same. If not, the task that reads the socket `local` is woken when it is.
    pub(super) fn wait(&self, local: SocketAddr, task: &Waker) -> bool {
        let mut first = self.0.first.lock();
        if !first.is_done {
            first.waiting.insert(local, task.clone());
        }

        first.is_done
    }
}
