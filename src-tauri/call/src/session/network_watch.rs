//! Notices when the addresses of this machine change: another Wi-Fi, a cable, a VPN, a closed lid.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::interfaces::source_address;
use crate::peer::RouteHealth;

/// How often to look. Reading the addresses takes about 0.1 ms.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long after a change a shorter silence than usual is enough to look for another route.
const SUSPICIOUS: Duration = Duration::from_secs(10);

/// Of documentation (RFC 5737, RFC 3849): nothing is sent there, but the way there is that to
/// anywhere.
const ANYWHERE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ANYWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The addresses of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Addresses {
    /// All but those of loopback.
    all: BTreeSet<IpAddr>,
    /// Those from which the system sends to the internet, by IPv4 and by IPv6.
    preferred: [Option<IpAddr>; 2],
}

impl Addresses {
    /// Those of now. `None` if the system does not tell.
    pub(super) fn read() -> Option<Self> {
        let interfaces = if_addrs::get_if_addrs().ok()?;
        let all = interfaces
            .iter()
            .filter(|interface| !interface.is_loopback())
            .map(if_addrs::Interface::ip)
            .collect();
        let preferred = [
            source_address(ANYWHERE_V4.into()),
            source_address(ANYWHERE_V6.into()),
        ];

        Some(Self { all, preferred })
    }
}

/// What a change means for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetworkChange {
    /// The address that media is sent from is gone.
    RouteLost,
    /// Packets may take another way now, or none.
    RouteSuspicious,
    /// Nothing.
    None,
}

/// Watches the addresses during a call.
#[derive(Debug)]
pub(super) struct NetworkWatch {
    known: Addresses,
    next: Instant,
    suspicion: Option<Suspicion>,
}

/// A route that a change of the network has made suspicious.
#[derive(Debug)]
struct Suspicion {
    until: Instant,
    /// The system would now send to the partner from another address, so that what is sent from the old
    /// one may leave through a network to which that does not belong.
    leaves_elsewhere: bool,
}

impl NetworkWatch {
    /// `known` are the addresses of now.
    pub(super) fn new(now: Instant, known: Addresses) -> Self {
        Self {
            known,
            next: now + INTERVAL,
            suspicion: None,
        }
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// The addresses are `addresses` now, media is sent from `used` if that is known, and `ends` are
    /// the addresses between which it is sent.
    pub(super) fn on_addresses(
        &mut self,
        now: Instant,
        addresses: Addresses,
        used: Option<IpAddr>,
        ends: Option<(IpAddr, IpAddr)>,
    ) -> NetworkChange {
        self.next = now + INTERVAL;
        if addresses == self.known {
            return NetworkChange::None;
        }

        let before = std::mem::replace(&mut self.known, addresses);
        let mut gone = before.all.difference(&self.known.all);
        if gone.any(|address| Some(*address) == used) {
            self.suspicion = None;
            return NetworkChange::RouteLost;
        }

        if before.preferred == self.known.preferred {
            return NetworkChange::None;
        }

        self.suspicion = Some(Suspicion {
            until: now + SUSPICIOUS,
            leaves_elsewhere: ends.is_some_and(leaves_elsewhere),
        });
        NetworkChange::RouteSuspicious
    }

    /// Whether a route that a change made suspicious has turned out to be lost. True once for each
    /// change.
    pub(super) fn is_lost(&mut self, now: Instant, route: RouteHealth) -> bool {
        let Some(suspicion) = &self.suspicion else {
            return false;
        };

        if now >= suspicion.until {
            self.suspicion = None;
            return false;
        }

        // What comes back says nothing about the way there: it may still come through the old network.
        let is_lost = route.is_silent || (suspicion.leaves_elsewhere && route.is_unanswered);
        if is_lost {
            self.suspicion = None;
        }

        is_lost
    }
}

/// Whether the system would send to the second address through another interface than that of the
/// first. An interface gets a new temporary address every day (RFC 8981), which changes nothing for
/// the old one.
fn leaves_elsewhere((local, remote): (IpAddr, IpAddr)) -> bool {
    source_address(remote).is_some_and(|source| source != local && !share_interface(source, local))
}

/// Whether both addresses belong to one interface.
fn share_interface(one: IpAddr, other: IpAddr) -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let name = |address| {
        let mut all = interfaces.iter();
        all.find(|interface| interface.ip() == address)
            .map(|interface| &interface.name)
    };
    name(one).is_some() && name(one) == name(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;

    const WIFI: &str = "192.168.1.5";
    const CABLE: &str = "10.0.0.7";
    const VPN: &str = "10.8.0.2";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addresses(all: &[&str], preferred: Option<&str>) -> Addresses {
        Addresses {
            all: all.iter().map(|text| ip(text)).collect(),
            preferred: [preferred.map(ip), None],
        }
    }

    const WELL: RouteHealth = RouteHealth {
        is_silent: false,
        is_unanswered: false,
    };
    const UNANSWERED: RouteHealth = RouteHealth {
        is_silent: false,
        is_unanswered: true,
    };
    const SILENT: RouteHealth = RouteHealth {
        is_silent: true,
        is_unanswered: true,
    };

    fn watch(now: Instant) -> NetworkWatch {
        NetworkWatch::new(now, addresses(&[WIFI, "172.17.0.1"], Some(WIFI)))
    }

    #[test]
    fn the_loss_of_the_used_address_is_the_loss_of_the_route() {
        let now = Instant::now();
        let cable = addresses(&[CABLE], Some(CABLE));
        for (used, expected) in [
            (Some(WIFI), NetworkChange::RouteLost),
            (None, NetworkChange::RouteSuspicious),
            (Some("203.0.113.9"), NetworkChange::RouteSuspicious),
        ] {
            let change = watch(now).on_addresses(now, cable.clone(), used.map(ip), None);
            assert_eq!(change, expected, "{used:?}");
        }
    }

    #[test]
    fn an_adapter_that_is_not_used_may_come_and_go() {
        let now = Instant::now();
        let mut watch = watch(now);
        for all in [&[WIFI][..], &[WIFI, "172.18.0.1"]] {
            let change = watch.on_addresses(now, addresses(all, Some(WIFI)), Some(ip(WIFI)), None);
            assert_eq!(change, NetworkChange::None);
        }

        assert!(!watch.is_lost(now + Duration::from_secs(1), SILENT));
    }

    #[test]
    fn a_vpn_makes_a_short_silence_suspicious() {
        let now = Instant::now();
        let mut watch = watch(now);
        let with_vpn = addresses(&[WIFI, "172.17.0.1", VPN], Some(VPN));
        let change = watch.on_addresses(now, with_vpn.clone(), Some(ip(WIFI)), None);
        assert_eq!(change, NetworkChange::RouteSuspicious);
        assert_eq!(
            watch.on_addresses(now, with_vpn, Some(ip(WIFI)), None),
            NetworkChange::None
        );

        let later = now + Duration::from_secs(1);
        assert!(!watch.is_lost(later, WELL), "so far");
        assert!(watch.is_lost(later, SILENT));
        assert!(!watch.is_lost(later, SILENT), "once");
    }

    #[test]
    fn a_lost_check_is_enough_only_where_the_system_sends_from_another_address() {
        let now = Instant::now();
        // From 127.0.0.1 to there, nothing else is used.
        let there = ip("127.0.0.2");
        for (local, is_lost) in [("127.0.0.1", false), (WIFI, true)] {
            let mut watch = watch(now);
            let with_vpn = addresses(&[WIFI, "172.17.0.1", VPN], Some(VPN));
            let ends = Some((ip(local), there));
            watch.on_addresses(now, with_vpn, Some(ip(local)), ends);
            let later = now + Duration::from_secs(1);
            assert_eq!(watch.is_lost(later, UNANSWERED), is_lost, "{local}");
        }
    }

    #[test]
    fn a_route_that_survives_a_change_is_not_suspicious_for_ever() {
        let now = Instant::now();
        let mut watch = watch(now);
        watch.on_addresses(now, addresses(&[WIFI], Some(VPN)), Some(ip(WIFI)), None);
        let later = now + SUSPICIOUS;
        assert!(!watch.is_lost(later, SILENT));
        assert!(!watch.is_lost(later + Duration::from_secs(1), SILENT));
    }

    #[test]
    fn this_machine_tells_its_addresses() {
        let addresses = Addresses::read().expect("it has a list");
        assert!(addresses.all.iter().all(|address| !address.is_loopback()));
    }
}
