//! The network interfaces of this machine, its networks, and its way to others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Names of interfaces to containers, virtual machines and VPNs begin like this.
const VIRTUAL: [&str; 30] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "vmnet",
    "vmenet",
    "vmware",
    "vbox",
    "virtualbox",
    "hyper-v",
    "vethernet",
    "lxc",
    "lxdbr",
    "podman",
    "cni",
    "cali",
    "flannel",
    "tun",
    "tap",
    "wg",
    "utun",
    "ipsec",
    "ppp",
    "tailscale",
    "zt",
    "zerotier",
    "openvpn",
    // Apple's links to phones and watches, and its virtual machines.
    "awdl",
    "llw",
];

/// Whether the interface of this name leads to containers, virtual machines or a VPN: the people
/// nearby are not behind it.
#[must_use]
pub fn is_virtual(name: &str) -> bool {
    let name = name.to_lowercase();
    VIRTUAL.iter().any(|start| name.starts_with(start))
}

/// A network as wide as that or wider is not one of neighbors: an interface leads to everything.
const WIDEST_NETWORK: u8 = 7;

/// The addresses of a network that this machine is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    address: IpAddr,
    /// Bits that all its addresses share.
    length: u8,
}

impl Prefix {
    pub(crate) const fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length }
    }

    /// Whether `address` is one of its addresses.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = u32::from(own) ^ u32::from(other);
                differs.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = u128::from(own) ^ u128::from(other);
                differs.leading_zeros() >= u32::from(self.length)
            }
            _ => false,
        }
    }
}

/// The networks that this machine is in. Empty if the system does not tell.
pub(crate) fn networks() -> Vec<Prefix> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let prefixes = interfaces.iter().map(|interface| match &interface.addr {
        if_addrs::IfAddr::V4(v4) => Prefix::new(v4.ip.into(), v4.prefixlen),
        if_addrs::IfAddr::V6(v6) => Prefix::new(v6.ip.into(), v6.prefixlen),
    });
    prefixes
        .filter(|prefix| prefix.length > WIDEST_NETWORK)
        .collect()
}

/// From where the system sends to `to`. `None` if it has no way there.
pub(crate) fn source_address(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    // Connecting a UDP socket sends nothing.
    socket.connect(SocketAddr::new(to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_of_containers_and_vpns_are_virtual() {
        for name in [
            "docker0",
            "br-5f3c",
            "veth1a2b",
            "VirBr0",
            "tun0",
            "wg0",
            "utun4",
            "vEthernet (Default Switch)",
            "VMware Network Adapter VMnet8",
            "tailscale0",
            "zt5u4y6ejv",
            "awdl0",
        ] {
            assert!(is_virtual(name), "{name}");
        }

        for name in [
            "eth0",
            "enp3s0",
            "wlan0",
            "en0",
            "Wi-Fi",
            "Ethernet 2",
            "br0",
        ] {
            assert!(!is_virtual(name), "{name}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_its_own() {
        for (address, length, inside, outside) in [
            ("192.0.2.5", 24, "192.0.2.255", "192.0.3.0"),
            ("192.0.2.5", 31, "192.0.2.4", "192.0.2.6"),
            ("192.0.2.5", 32, "192.0.2.5", "192.0.2.4"),
            ("2001:db8::5", 64, "2001:db8::9:1", "2001:db8:0:1::5"),
            ("2001:db8::5", 128, "2001:db8::5", "2001:db8::4"),
            ("192.0.2.5", 24, "::ffff:192.0.2.7", "2001:db8::5"),
        ] {
            let network = Prefix::new(address.parse().unwrap(), length);
            assert!(network.contains(inside.parse().unwrap()), "{inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn this_machine_is_in_the_networks_of_its_addresses() {
        let networks = networks();
        for interface in if_addrs::get_if_addrs().unwrap() {
            let is_there = networks
                .iter()
                .any(|network| network.contains(interface.ip()));
            assert!(is_there, "{}", interface.name);
        }
    }

    #[test]
    fn what_goes_to_this_machine_is_sent_from_there() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert_eq!(source_address(loopback), Some(loopback));
    }
}
