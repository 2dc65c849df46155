//! The example settings for coturn deny the same peers as this server.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SETTINGS: &str = include_str!("../../../deploy/turnserver.conf");

/// The values of a setting.
fn values(name: &str) -> impl Iterator<Item = &'static str> {
    let lines = SETTINGS.lines();
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

fn value(name: &str) -> u64 {
    let values: Vec<_> = values(name).collect();
    let [value] = values[..] else {
        panic!("{name} is there once: {values:?}");
    };

    value.parse().unwrap()
}

/// The first and the last address of each range that coturn denies.
fn ranges() -> Vec<(IpAddr, IpAddr)> {
    let ranges = values("denied-peer-ip").map(|range| {
        let (first, last) = range.split_once('-').expect("two addresses");
        (first.parse().unwrap(), last.parse().unwrap())
    });

    ranges.collect()
}

/// How coturn 4.6 compares addresses (`addr_less_eq`): any of IPv4 is less than any of IPv6, and of two of
/// IPv6, every byte has to be less or equal.
fn is_less_or_equal(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one <= other,
        (IpAddr::V4(_), IpAddr::V6(_)) => true,
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let bytes = one.octets().into_iter().zip(other.octets());
            bytes.into_iter().all(|(one, other)| one <= other)
        }
    }
}

/// Whether coturn 4.6 sends nothing to this address with these settings (`good_peer_addr`).
fn is_denied(ranges: &[(IpAddr, IpAddr)], peer: IpAddr) -> bool {
    // The unspecified address is no bound (`ioa_addr_in_range`).
    let is_in = |&(first, last): &(IpAddr, IpAddr)| {
        (first.is_unspecified() || is_less_or_equal(first, peer))
            && (last.is_unspecified() || is_less_or_equal(peer, last))
    };

    peer.is_unspecified() || ranges.iter().any(is_in)
}

/// The address in this network whose other bits are those of `host`.
fn address_in(net: IpNet, host: u128) -> IpAddr {
    match (net.network(), net.hostmask()) {
        (IpAddr::V4(net), IpAddr::V4(mask)) => {
            let host = u32::try_from(host & u128::from(u32::MAX)).unwrap();
            Ipv4Addr::from(u32::from(net) | (host & u32::from(mask))).into()
        }
        (IpAddr::V6(net), IpAddr::V6(mask)) => {
            Ipv6Addr::from(u128::from(net) | (host & u128::from(mask))).into()
        }
        _ => unreachable!("a network is of one family"),
    }
}

/// Addresses of all kinds, mostly in and next to networks that are denied.
fn peer() -> impl Strategy<Value = IpAddr> {
    let net = (0..DENIED.len()).prop_map(|n| DENIED[n].parse::<IpNet>().unwrap());
    let inside = (net.clone(), any::<u128>()).prop_map(|(net, host)| address_in(net, host));
    let edge = (net, any::<bool>(), any::<bool>()).prop_map(|(net, is_first, is_outside)| {
        let by = u128::from(is_outside);
        match (net.network(), net.broadcast()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let by = u32::from(is_outside);
                let (first, last) = (u32::from(first), u32::from(last));
                let edge = match is_first {
                    true => first.wrapping_sub(by),
                    false => last.wrapping_add(by),
                };
                Ipv4Addr::from(edge).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let (first, last) = (u128::from(first), u128::from(last));
                let edge = match is_first {
                    true => first.wrapping_sub(by),
                    false => last.wrapping_add(by),
                };
                Ipv6Addr::from(edge).into()
            }
            _ => unreachable!("a network is of one family"),
        }
    });

    prop_oneof![
        4 => inside,
        4 => edge,
        1 => any::<Ipv4Addr>().prop_map(IpAddr::from),
        1 => any::<Ipv6Addr>().prop_map(IpAddr::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn coturn_denies_what_this_server_denies_and_nothing_else(peer in peer()) {
        let is_special = DENIED
            .iter()
            .any(|net| net.parse::<IpNet>().unwrap().contains(&peer));
        prop_assert_eq!(is_denied(&ranges(), peer), is_special);
    }
}

#[test]
fn coturn_has_room_for_all_allocations_that_it_may_make() {
    let (quota, per_allocation) = (value("total-quota"), value("max-bps"));
    assert_eq!(
        value("bps-capacity"),
        quota * per_allocation,
        "coturn sets max-bps aside for each"
    );
    assert!(
        per_allocation * 8 >= 2 * 2_500_000,
        "a call has room for its media and retransmissions"
    );
    assert!(value("user-quota") >= 4 && value("user-quota") * 10 < quota);
}
