//! The signaling server inside the app, for people who have none.

use std::net::{Ipv4Addr, SocketAddr};

use tandem_signaling::ServerUrl;
use tandem_signaling::server::{SignalingServer, StartError};

use super::addresses;
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
        let addresses = addresses::of_this_machine().into_iter();
        let urls = addresses.map(|(_, ip)| ServerUrl::listening_on((ip, port).into()));
        urls.collect()
    } else {
        vec![local_url.clone()]
    };

    Ok(Host {
        server,
        local_url,
        addresses,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_server_for_the_network_answers_at_every_address_that_it_names() {
        let host = start(true).await.unwrap();
        let bound = host.server.local_addr();
        assert!(bound.ip().is_unspecified(), "on every network: {bound}");

        // A machine without a network names none, but still has its own.
        for url in host.addresses.iter().chain([&host.local_url]) {
            tokio::net::TcpStream::connect(url.authority())
                .await
                .unwrap_or_else(|error| panic!("{url}: {error}"));
        }

        if let Some(IpAddr::V4(ip)) = addresses::routed()
            && !ip.is_loopback()
        {
            let url = ServerUrl::listening_on((ip, bound.port()).into());
            assert!(
                host.addresses.contains(&url),
                "{url} is missing in {:?}",
                host.addresses
            );
        }

        assert!(
            !host.addresses.contains(&host.local_url),
            "no other computer reaches this one at {}",
            host.local_url
        );
        host.server.shutdown_within(Duration::ZERO).await;
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
