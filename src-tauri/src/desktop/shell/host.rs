//! The signaling server inside the app, for people who have none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tandem_call::interfaces;
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
        let addresses = interfaces
            .iter()
            .map(|interface| (interface.name.as_str(), interface.ip()));
        lan_urls(addresses, routed_address(), port)
    } else {
        vec![local_url.clone()]
    };

    Ok(Host {
        server,
        local_url,
        addresses,
    })
}

/// The URLs at which other computers reach this one, which has `addresses` on these interfaces: IPv4
/// only, and the likeliest first. That is `routed`, which leads to the other networks; then private
/// addresses, as home networks have them. Two computers on one cable have link-local ones.
fn lan_urls<'a>(
    addresses: impl Iterator<Item = (&'a str, IpAddr)>,
    routed: Option<IpAddr>,
    port: u16,
) -> Vec<ServerUrl> {
    let mut addresses: Vec<(&str, Ipv4Addr)> = addresses
        .filter_map(|(name, ip)| match ip {
            IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some((name, ip)),
            _ => None,
        })
        .collect();

    addresses.sort_by_key(|(name, ip)| {
        (
            interfaces::is_virtual(name),
            Some(IpAddr::V4(*ip)) != routed,
            !ip.is_private(),
            ip.is_link_local(),
            *ip,
        )
    });
    addresses.dedup_by_key(|(_, ip)| *ip);
    addresses
        .into_iter()
        .map(|(_, ip)| ServerUrl::listening_on((ip, port).into()))
        .collect()
}

/// The address from which this machine reaches other networks. Nothing is sent: connecting a UDP
/// socket only asks the system for the route to a documentation address (RFC 5737).
fn routed_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn other_computers_get_addresses_that_they_can_reach() {
        let urls = |addresses: &[(&'static str, [u8; 4])], routed: Option<[u8; 4]>| {
            let addresses = addresses
                .iter()
                .map(|(name, ip)| (*name, IpAddr::from(*ip)));
            lan_urls(addresses, routed.map(IpAddr::from), 9000)
                .iter()
                .map(|url| url.authority().to_owned())
                .collect::<Vec<_>>()
        };

        assert_eq!(
            urls(&[("lo", [127, 0, 0, 1])], None),
            [""; 0],
            "without a network there is none"
        );

        let home = ("wlan0", [192, 168, 1, 7]);
        assert_eq!(
            urls(
                &[("eth0", [9, 9, 9, 9]), ("lo", [127, 0, 0, 1]), home],
                None
            ),
            ["192.168.1.7:9000", "9.9.9.9:9000"],
            "the home network first, and never loopback"
        );

        let many = [
            ("docker0", [172, 17, 0, 1]),
            ("wg0", [10, 8, 0, 2]),
            ("eth1", [10, 0, 0, 5]),
            home,
        ];
        assert_eq!(
            urls(&many, Some([192, 168, 1, 7])),
            [
                "192.168.1.7:9000",
                "10.0.0.5:9000",
                "10.8.0.2:9000",
                "172.17.0.1:9000"
            ],
            "where the other networks are, and last what leads to no person"
        );
        assert_eq!(
            urls(&[("eth0", [169, 254, 3, 4])], None),
            ["169.254.3.4:9000"],
            "two computers on a cable have no other"
        );
        assert_eq!(
            urls(&[("eth0", [169, 254, 3, 4]), home], None)[0],
            "192.168.1.7:9000"
        );
        assert_eq!(
            urls(&many, Some([10, 8, 0, 2]))[0],
            "10.0.0.5:9000",
            "a VPN that takes all traffic is not the network at home"
        );
    }

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

        if let Some(IpAddr::V4(ip)) = routed_address()
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
