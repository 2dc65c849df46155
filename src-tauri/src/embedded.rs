//! The signaling servers inside the app, for calls on one machine or one network.

#[cfg(feature = "desktop")]
use std::time::Duration;

use tandem_signaling::server::{SignalingServer, SignalingServerBuilder};

/// The most connections at a time: enough for a household or an office, and below the number of
/// open files that any system allows a process.
const MAX_CONNECTIONS: usize = 128;

/// How often a ring-only server shows that it is there, and after how much silence it counts as gone:
/// the laptop that is rung may fall asleep, and the caller should not wait a minute to learn it.
#[cfg(feature = "desktop")]
const HEARTBEAT: Duration = Duration::from_secs(5);
#[cfg(feature = "desktop")]
const SILENT: Duration = Duration::from_secs(20);

/// A signaling server that will listen on `address` (`IP:PORT`) once it is started.
pub(crate) fn server(address: impl Into<String>) -> SignalingServerBuilder {
    SignalingServer::builder()
        .listen(address)
        .max_connections(MAX_CONNECTIONS)
        // Browsers give a page no camera without TLS.
        .guest_page(false)
}

/// One on which people on the same network can ring its owner, who connects with the token `owner`.
/// It gives little to each address. (For limits, all link-local IPv6 addresses count as one.)
#[cfg(feature = "desktop")]
pub(crate) fn ring_only(address: impl Into<String>, owner: &str) -> SignalingServerBuilder {
    server(address)
        .ring_only(owner, |address| {
            tandem_nearby::is_on_local_network(address, tandem_call::interfaces::is_virtual)
        })
        .heartbeat(HEARTBEAT)
        .silent(SILENT)
        .limit_address(32, 240)
        .limit_traffic(100, 256 * 1024)
        .limit_requests(30, 10)
}
