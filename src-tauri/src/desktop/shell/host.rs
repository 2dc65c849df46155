//! The signaling server inside the app, for people who have none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_signaling::ServerUrl;
use tandem_signaling::server::{SignalingServer, StartError};

use crate::embedded;

/// The preferred port, because it is easy to remember. If it is taken, the system picks one.
const PORT: u16 = 9000;

/// A running signaling server and its addresses.
pub(super) struct Host {
    pub(super) server: SignalingServer,
    /// The URL for this app.
    pub(super) local_url: ServerUrl,
    /// The URLs for other people. Empty with `lan` if this machine is on no network.
    pub(super) addresses: Vec<ServerUrl>,
}

/// Starts a server for this machine, or with `lan` for the network.
pub(super) async fn start(lan: bool) -> Result<Host, StartError> {
    let ip = if lan {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };

    let start = |port: u16| embedded::server(SocketAddr::from((ip, port)).to_string()).start();
    let server = match start(PORT).await {
        Ok(server) => server,
        Err(error) => {
            tracing::info!("cannot use port {PORT}, so the system picks one: {error}");
            start(0).await?
        }
    };

    let port = server.local_addr().port();
    let local_url = ServerUrl::listening_on(server.local_addr());
    let addresses = if lan {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!("cannot list this machine's network addresses: {error}");
            Vec::new()
        });
        lan_urls(interfaces.iter().map(if_addrs::Interface::ip), port)
    } else {
        vec![local_url.clone()]
    };

    Ok(Host {
        server,
        local_url,
        addresses,
    })
}

/// The URLs at which other computers reach this one, which has `addresses`: IPv4 only. Private ones
/// come first, as home networks have them.
fn lan_urls(addresses: impl Iterator<Item = IpAddr>, port: u16) -> Vec<ServerUrl> {
    let mut addresses: Vec<Ipv4Addr> = addresses
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() => {
                Some(ip)
            }
            _ => None,
        })
        .collect();

    addresses.sort_by_key(|ip| (!ip.is_private(), *ip));
    addresses.dedup();
    addresses
        .into_iter()
        .map(|ip| ServerUrl::listening_on((ip, port).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn other_computers_get_addresses_that_they_can_reach() {
        let urls = |addresses: &[[u8; 4]]| {
            let addresses = addresses.iter().map(|ip| IpAddr::from(*ip));
            lan_urls(addresses, 9000)
                .iter()
                .map(ServerUrl::to_string)
                .collect::<Vec<_>>()
        };

        assert_eq!(
            urls(&[[127, 0, 0, 1]]),
            [""; 0],
            "without a network there is none"
        );
        assert_eq!(
            urls(&[[9, 9, 9, 9], [127, 0, 0, 1], [192, 168, 1, 7]]),
            ["ws://192.168.1.7:9000/ws", "ws://9.9.9.9:9000/ws"],
            "the home network first, and never loopback"
        );
    }

    #[tokio::test]
    async fn a_server_for_this_machine_has_one_address() {
        let first = start(false).await.unwrap();
        let url = first.local_url.as_str();
        assert!(
            url.starts_with("ws://127.0.0.1:") && url.ends_with("/ws"),
            "on loopback: {url}"
        );
        assert_eq!(
            first.addresses,
            std::slice::from_ref(&first.local_url),
            "and nowhere else"
        );

        let second = start(false).await.unwrap();
        assert_ne!(
            second.server.local_addr().port(),
            first.server.local_addr().port(),
            "a taken port is replaced by another"
        );

        second.server.shutdown_within(Duration::ZERO).await;
        first.server.shutdown_within(Duration::ZERO).await;
    }
}
