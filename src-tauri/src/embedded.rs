//! The relay inside the app: for calls on one machine or one network.

use tandem_signaling::server::{Relay, RelayBuilder};

/// A household or an office, and fewer than the open files that any system grants a process.
const CONNECTIONS: usize = 128;

/// A relay that will listen on `address`.
pub(crate) fn relay(address: impl Into<String>) -> RelayBuilder {
    Relay::builder()
        .listen(address)
        .max_connections(CONNECTIONS)
}
