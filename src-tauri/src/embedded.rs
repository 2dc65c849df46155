//! The signaling server inside the app, for calls on one machine or one network.

use tandem_signaling::server::{SignalingServer, SignalingServerBuilder};

/// The most connections at a time: enough for a household or an office, and below the number of
/// open files that any system allows a process.
const MAX_CONNECTIONS: usize = 128;

/// A signaling server that will listen on `address` (`IP:PORT`) once it is started.
pub(crate) fn server(address: impl Into<String>) -> SignalingServerBuilder {
    SignalingServer::builder()
        .listen(address)
        .max_connections(MAX_CONNECTIONS)
}
