//! Which peers an allocation may exchange packets with.
//!
//! A TURN server stands in its operator's network, behind their firewall, and on the machine itself.
//! Without this list, anyone with credentials could reach what is there.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are not the public internet, or lead back to one that is not: IANA's registries of
/// special-purpose addresses (RFC 6890), multicast, and the ways to write an IPv4 address as IPv6.
const DENIED: [&str; 32] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Unspecified, loopback, and IPv4-compatible.
    "::/96",
    "::ffff:0:0/96",
    // NAT64.
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    // Teredo, benchmarking, ORCHID.
    "2001::/23",
    "2001:db8::/32",
    // 6to4.
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The operator's rules about peers.
#[derive(Debug, Clone)]
pub struct PeerRules {
    denied: Vec<IpNet>,
    allowed: Vec<IpNet>,
    own: Vec<IpAddr>,
}

impl PeerRules {
    /// `own` are the addresses of this machine, denied like private ones. `allowed` beats both: it is
    /// for tests, and for a server inside a company.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>, own: &[IpAddr]) -> Self {
        let denied = DENIED
            .iter()
            .map(|net| net.parse().expect("a constant that a test parses"))
            .collect();
        Self {
            denied,
            allowed,
            own: own.iter().map(IpAddr::to_canonical).collect(),
        }
    }

    /// Whether packets may go to this address and come from it.
    #[must_use]
    pub fn permits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&peer));

        is_in(&self.allowed) || !(is_in(&self.denied) || self.own.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_local_and_own_addresses_are_denied_however_they_are_written() {
        let rules = PeerRules::new(Vec::new(), &[ip("8.8.4.4"), ip("2600::7")]);
        for denied in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "8.8.4.4",
            "2600::7",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.4.4",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fd12::1",
            "fe80::1",
            "ff02::fb",
        ] {
            assert!(!rules.permits(ip(denied)), "{denied}");
        }

        for permitted in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2600::8", "2a00::1"] {
            assert!(rules.permits(ip(permitted)), "{permitted}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_permitted() {
        let allowed = vec!["10.7.0.0/16".parse().unwrap()];
        let rules = PeerRules::new(allowed, &[ip("10.7.0.1")]);
        assert!(rules.permits(ip("10.7.9.9")) && rules.permits(ip("10.7.0.1")));
        assert!(!rules.permits(ip("10.8.0.1")), "only that network");
    }
}
