//! The key under which the hub, the matchmaker and the shell know a client.

/// A client's key on this node. Each new connection registers a client under a new key, and a client
/// that resumes moves to the key of its new connection. The hub counts up and never reuses a key, so
/// an event that arrives late, after its connection is gone, cannot hit another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientKey(u64);

impl ClientKey {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }
}
