//! Whether the handshake of a connection is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the handshake is over: the connection is up, or it has ended. Shared by the connection's
/// handler, which sets it, and by the workarounds, which stop then.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct HandshakeDone(Arc<AtomicBool>);

impl HandshakeDone {
    /// Records whether the handshake is over.
    pub(in crate::peer) fn set(&self, done: bool) {
        self.0.store(done, Relaxed);
    }

    /// Whether the handshake is over.
    pub(in crate::peer) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}
