//! Which peers an allocation may exchange packets with.
//!
//! A TURN server stands in its operator's network, behind their firewall, and on the machine itself.
//! Without these rules, anyone with credentials could reach what is there.

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

/// Wider prefixes of IPv4 are no network that a machine is in. /16 is the widest that providers give to
/// a LAN; with the /8 of an old class A, or a /1 of a VPN, a mistake or a route written as an address
/// would deny much of the internet.
const WIDEST_V4: u8 = 16;
/// The same for IPv6, where a LAN is a /64 (RFC 7421) and a whole site gets a /48 at most (RFC 6177).
const WIDEST_V6: u8 = 48;

/// Which peers are permitted. The first of these that holds decides:
///
/// 1. `denied`, the operator's: no.
/// 2. `allowed`, the operator's: yes.
/// 3. Not the public internet, an address of this machine, or in a network that it is in: no.
/// 4. Any other: yes.
#[derive(Debug, Clone)]
pub struct PeerRules {
    special: Vec<IpNet>,
    denied: Vec<IpNet>,
    allowed: Vec<IpNet>,
    own: Vec<IpNet>,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new(), &[])
    }
}

impl PeerRules {
    /// `own` are the addresses of this machine, each with the prefix length of its network.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>, denied: Vec<IpNet>, own: &[IpNet]) -> Self {
        let special = DENIED
            .iter()
            .map(|net| net.parse().expect("a constant that a test parses"))
            .collect();
        let mut rules = Self {
            special,
            denied,
            allowed,
            own: Vec::new(),
        };
        rules.set_own(own);

        rules
    }

    /// This machine has these addresses now, as for [`new`](Self::new).
    pub fn set_own(&mut self, own: &[IpNet]) {
        self.own = own.iter().map(|address| denied_around(*address)).collect();
    }

    /// Whether packets may go to this address and come from it.
    #[must_use]
    pub fn permits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&peer));

        !is_in(&self.denied)
            && (is_in(&self.allowed) || !(is_in(&self.special) || is_in(&self.own)))
    }
}

/// What an address of this machine denies: its network, or the address alone if the prefix cannot be that
/// of a network.
fn denied_around(address: IpNet) -> IpNet {
    let ip = address.addr().to_canonical();
    // An IPv4 address in its IPv6 form has the prefix of that form.
    let prefix = match (address.addr(), ip) {
        (IpAddr::V6(_), IpAddr::V4(_)) => address.prefix_len().saturating_sub(96),
        _ => address.prefix_len(),
    };
    let widest = match ip {
        IpAddr::V4(_) => WIDEST_V4,
        IpAddr::V6(_) => WIDEST_V6,
    };

    IpNet::new(ip, prefix)
        .ok()
        .filter(|_| prefix >= widest)
        .unwrap_or_else(|| IpNet::from(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn private_local_and_own_addresses_are_denied_however_they_are_written() {
        let own = [ip("8.8.4.4").into(), ip("2600::7").into()];
        let rules = PeerRules::new(Vec::new(), Vec::new(), &own);
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
        let rules = PeerRules::new(nets(&["10.7.0.0/16"]), Vec::new(), &nets(&["10.7.0.1/24"]));
        assert!(rules.permits(ip("10.7.9.9")) && rules.permits(ip("10.7.0.1")));
        assert!(rules.permits(ip("10.7.0.2")), "a neighbor");
        assert!(!rules.permits(ip("10.8.0.1")), "only that network");
    }

    #[test]
    fn what_the_operator_denies_is_denied_though_it_is_public_or_allowed() {
        let rules = PeerRules::new(
            nets(&["10.7.0.0/16", "8.8.0.0/16"]),
            nets(&["10.7.3.0/24", "8.8.8.8/32", "9.0.0.0/8", "2600::/32"]),
            &[],
        );
        for denied in [
            "10.7.3.4",
            "8.8.8.8",
            "9.9.9.9",
            "2600::1",
            "::ffff:9.9.9.9",
        ] {
            assert!(!rules.permits(ip(denied)), "{denied}");
        }
        for permitted in ["10.7.4.4", "8.8.8.9", "2601::1"] {
            assert!(rules.permits(ip(permitted)), "{permitted}");
        }
    }

    #[test]
    fn neighbors_in_the_networks_of_this_machine_are_denied() {
        let own = [
            "81.2.69.142/24",
            "::ffff:82.3.4.5/120",
            "2a02:db8:1:2::5/64",
            // One address alone, as clouds give them, and the other end of a line.
            "83.4.5.6/32",
            "2a03:db8::1/128",
            "84.5.6.6/31",
            // What cannot be a network that a machine is in.
            "85.6.7.8/0",
            "86.7.8.9/15",
            "2a04:db8::1/0",
            "2a05:db8::1/47",
        ];
        let rules = PeerRules::new(Vec::new(), Vec::new(), &nets(&own));
        for denied in [
            "81.2.69.1",
            "81.2.69.142",
            "82.3.4.9",
            "2a02:db8:1:2:ffff::1",
            "83.4.5.6",
            "2a03:db8::1",
            "84.5.6.7",
            "85.6.7.8",
            "86.7.8.9",
            "2a04:db8::1",
            "2a05:db8::1",
        ] {
            assert!(!rules.permits(ip(denied)), "{denied}");
        }
        for permitted in [
            "81.2.70.1",
            "82.3.5.9",
            "2a02:db8:1:3::1",
            "83.4.5.7",
            "2a03:db8::2",
            "84.5.6.8",
            "85.6.7.9",
            "86.7.8.10",
            "2a04:db8::2",
            "2a05:db8::2",
        ] {
            assert!(rules.permits(ip(permitted)), "{permitted}");
        }
    }

    #[test]
    fn a_machine_that_moves_denies_its_new_network_and_no_longer_the_old_one() {
        let mut rules = PeerRules::new(Vec::new(), Vec::new(), &nets(&["81.2.69.142/24"]));
        rules.set_own(&nets(&["91.2.69.142/24"]));
        assert!(rules.permits(ip("81.2.69.1")) && !rules.permits(ip("91.2.69.1")));
    }
}

#[cfg(test)]
mod coturn_tests;
