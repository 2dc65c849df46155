//! The relay in this app, for those who have none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_signaling::server::{Relay, RelayError};

use crate::embedded;

/// Easy to tell somebody; another one if it is taken.
const PORT: u16 = 9000;

/// Starts a relay for this machine, or for the network. Gives it, its address for this app, and those for others.
pub(super) async fn start(lan: bool) -> Result<(Relay, String, Vec<String>), RelayError> {
    let ip = if lan {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };

    let start = |port: u16| embedded::relay(SocketAddr::from((ip, port)).to_string()).start();
    let relay = match start(PORT).await {
        Ok(relay) => relay,
        Err(_) => start(0).await?,
    };

    let port = relay.local_addr().port();
    let own = url(Ipv4Addr::LOCALHOST.into(), port);
    let mut others: Vec<String> = if lan {
        lan_addresses()
            .into_iter()
            .map(|ip| url(ip, port))
            .collect()
    } else {
        Vec::new()
    };

    if others.is_empty() {
        others.push(own.clone());
    }

    Ok((relay, own, others))
}

fn url(ip: IpAddr, port: u16) -> String {
    format!("ws://{}/ws", SocketAddr::new(ip, port))
}

/// This machine's IPv4 addresses in its networks; those that people have at home come first.
fn lan_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<Ipv4Addr> = interfaces
        .iter()
        .filter_map(|interface| match interface.ip() {
            IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() => {
                Some(ip)
            }
            _ => None,
        })
        .collect();
    addresses.sort_by_key(|ip| (!ip.is_private(), *ip));
    addresses.dedup();

    addresses.into_iter().map(IpAddr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_relay_for_this_machine_has_one_address() {
        let (relay, own, others) = start(false).await.unwrap();
        assert!(
            own.starts_with("ws://127.0.0.1:") && own.ends_with("/ws"),
            "reached on loopback: {own}"
        );
        assert_eq!(others, [own], "and nowhere else");
        let (second, own, _) = start(false).await.unwrap();

        assert!(
            !own.contains(&relay.local_addr().port().to_string()),
            "a taken port is no reason to fail"
        );

        second.shutdown_within(std::time::Duration::ZERO).await;
        relay.shutdown_within(std::time::Duration::ZERO).await;
    }
}
