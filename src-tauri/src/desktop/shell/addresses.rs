//! The addresses at which other computers reach this one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use tandem_call::interfaces;

/// The IPv4 addresses of this machine with the names of their interfaces, the likeliest first.
pub(super) fn of_this_machine() -> Vec<(String, Ipv4Addr)> {
    let interfaces = interfaces_of_this_machine();
    let addresses = interfaces
        .iter()
        .map(|interface| (interface.name.as_str(), interface.ip()));

    sorted(addresses, routed())
}

/// The IPv6 addresses of this machine that mean the same on every computer, with the names of their
/// interfaces.
pub(super) fn ipv6_of_this_machine() -> Vec<(String, Ipv6Addr)> {
    let interfaces = interfaces_of_this_machine().into_iter();
    interfaces
        .filter_map(|interface| match interface.ip() {
            IpAddr::V6(ip) if !ip.is_loopback() && !ip.is_unicast_link_local() => {
                Some((interface.name, ip))
            }
            _ => None,
        })
        .collect()
}

fn interfaces_of_this_machine() -> Vec<if_addrs::Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("cannot list this machine's network addresses: {error}");
        Vec::new()
    })
}

/// Of `addresses`, each with the name of its interface, those that others can reach: IPv4 only, and
/// the likeliest first. That is `routed`, which leads to the other networks; then private addresses,
/// as home networks have them. Two computers on one cable have link-local ones.
fn sorted<'a>(
    addresses: impl Iterator<Item = (&'a str, IpAddr)>,
    routed: Option<IpAddr>,
) -> Vec<(String, Ipv4Addr)> {
    let mut addresses: Vec<(String, Ipv4Addr)> = addresses
        .filter_map(|(name, ip)| match ip {
            IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => {
                Some((name.to_owned(), ip))
            }
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
}

/// The address from which this machine reaches other networks. Nothing is sent: connecting a UDP
/// socket only asks the system for the route to a documentation address (RFC 5737).
pub(super) fn routed() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_computers_get_addresses_that_they_can_reach() {
        let found = |addresses: &[(&'static str, [u8; 4])], routed: Option<[u8; 4]>| {
            let addresses = addresses
                .iter()
                .map(|(name, ip)| (*name, IpAddr::from(*ip)));
            sorted(addresses, routed.map(IpAddr::from))
                .iter()
                .map(|(_, ip)| ip.to_string())
                .collect::<Vec<_>>()
        };

        assert_eq!(
            found(&[("lo", [127, 0, 0, 1])], None),
            [""; 0],
            "without a network there is none"
        );

        let home = ("wlan0", [192, 168, 1, 7]);
        assert_eq!(
            found(
                &[("eth0", [9, 9, 9, 9]), ("lo", [127, 0, 0, 1]), home],
                None
            ),
            ["192.168.1.7", "9.9.9.9"],
            "the home network first, and never loopback"
        );

        let many = [
            ("docker0", [172, 17, 0, 1]),
            ("wg0", [10, 8, 0, 2]),
            ("eth1", [10, 0, 0, 5]),
            home,
        ];
        assert_eq!(
            found(&many, Some([192, 168, 1, 7])),
            ["192.168.1.7", "10.0.0.5", "10.8.0.2", "172.17.0.1"],
            "where the other networks are, and last what leads to no person"
        );
        assert_eq!(
            found(&[("eth0", [169, 254, 3, 4])], None),
            ["169.254.3.4"],
            "two computers on a cable have no other"
        );
        assert_eq!(
            found(&[("eth0", [169, 254, 3, 4]), home], None)[0],
            "192.168.1.7"
        );
        assert_eq!(
            found(&many, Some([10, 8, 0, 2]))[0],
            "10.0.0.5",
            "a VPN that takes all traffic is not the network at home"
        );
    }
}
