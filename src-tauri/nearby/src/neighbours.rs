//! The people on the same network.
//!
//! A state machine without sockets: it takes what was heard and says who is shown. Anyone on the
//! network can announce anything, so it keeps few people and few addresses, shows nobody twice, and
//! believes an address only if it is on a network of this machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::record::{NeighbourId, Record, id_of};

/// The most people that are shown: more than anyone looks through, and few enough that a flood of
/// announcements needs little memory. Those who come later are not shown then.
pub const MAX_NEIGHBOURS: usize = 100;
/// The most people at one address: users of one computer. One machine cannot fill the list alone.
const MAX_PER_ADDRESS: usize = 4;
/// The most addresses of one person that are tried.
const MAX_ADDRESSES: usize = 8;

/// A person nearby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Stands for this person as long as they are announced.
    pub id: NeighbourId,
    /// The name, if they have one. Foreign text.
    pub name: Option<String>,
    /// The room in which to ring them.
    pub room: String,
    /// The addresses of their signaling server, the likeliest first; at least one.
    pub addresses: Vec<SocketAddr>,
}

/// An address of this machine and the length of its network's prefix, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalNetwork {
    /// The address.
    pub address: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
}

impl LocalNetwork {
    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        fn same_prefix(one: u128, other: u128, bits: u32, prefix: u8) -> bool {
            let rest = bits.saturating_sub(u32::from(prefix));
            one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        }

        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => same_prefix(
                u128::from(own.to_bits()),
                u128::from(ip.to_bits()),
                32,
                self.prefix,
            ),
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                same_prefix(own.to_bits(), ip.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// Who is there.
#[derive(Debug)]
pub struct Neighbours {
    own: NeighbourId,
    people: BTreeMap<NeighbourId, Neighbour>,
    /// This machine's own announcement came back: the network carries multicast, at least here.
    heard_self: bool,
}

impl Neighbours {
    /// Nobody yet. `own` is the id under which this user is announced.
    #[must_use]
    pub fn new(own: NeighbourId) -> Self {
        Self {
            own,
            people: BTreeMap::new(),
            heard_self: false,
        }
    }

    /// Who is there, in an order that does not change while they are.
    #[must_use]
    pub fn people(&self) -> Vec<Neighbour> {
        self.people.values().cloned().collect()
    }

    /// Whether this machine's own announcement came back.
    #[must_use]
    pub fn heard_self(&self) -> bool {
        self.heard_self
    }

    /// Forgets everyone: who is still there is heard again.
    pub fn forget(&mut self) {
        self.people.clear();
    }

    /// Someone announces themselves, for the first time or with a change. Returns whether something
    /// to show has changed. `networks` are those of this machine.
    pub fn heard(&mut self, record: &Record, networks: &[LocalNetwork]) -> bool {
        let Some(announced) = record.read() else {
            return false;
        };

        if announced.id == self.own {
            let is_news = !self.heard_self;
            self.heard_self = true;
            return is_news;
        }

        let addresses = believable(&record.addresses, networks);
        if addresses.is_empty() {
            // The person may have moved to another network.
            return self.people.remove(&announced.id).is_some();
        }

        let is_known = self.people.contains_key(&announced.id);
        let is_full = self.people.len() >= MAX_NEIGHBOURS;
        if !is_known && (is_full || self.people_at(&addresses) >= MAX_PER_ADDRESS) {
            return false;
        }

        let neighbour = Neighbour {
            id: announced.id,
            name: announced.name,
            room: announced.room,
            addresses,
        };
        let before = self.people.insert(announced.id, neighbour.clone());
        before != Some(neighbour)
    }

    /// How many people are at one of these addresses already.
    fn people_at(&self, addresses: &[SocketAddr]) -> usize {
        let is_here = |known: &SocketAddr| addresses.iter().any(|new| new.ip() == known.ip());
        let people = self.people.values();
        people
            .filter(|person| person.addresses.iter().any(is_here))
            .count()
    }

    /// The service of this full name is no longer announced. Returns whether something to show has
    /// changed.
    pub fn gone(&mut self, service: &str) -> bool {
        id_of(service).is_some_and(|id| self.people.remove(&id).is_some())
    }
}

/// The addresses that are on a network of this machine, the likeliest first.
fn believable(announced: &[SocketAddr], networks: &[LocalNetwork]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = announced
        .iter()
        .copied()
        .filter(|address| is_nearby(*address, networks))
        .collect();

    addresses.sort_by_key(|address| (is_link_local(address.ip()), address.is_ipv6(), *address));
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

fn is_nearby(address: SocketAddr, networks: &[LocalNetwork]) -> bool {
    let ip = address.ip();
    // Nobody else has an address of this machine.
    let is_own = networks.iter().any(|network| network.address == ip);
    if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || is_own {
        return false;
    }

    match address {
        // Without its interface, a link-local address leads nowhere.
        SocketAddr::V6(v6) if is_link_local(ip) => v6.scope_id() != 0,
        _ => networks.iter().any(|network| network.contains(ip)),
    }
}

/// RFC 3927 and RFC 4291.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => Ipv6Addr::is_unicast_link_local(&ip),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::record::SERVICE;

    const OWN: u64 = 7;

    fn networks() -> Vec<LocalNetwork> {
        [("192.168.7.1", 24), ("fd00::1", 64), ("169.254.3.4", 16)]
            .map(|(address, prefix)| LocalNetwork {
                address: address.parse().unwrap(),
                prefix,
            })
            .to_vec()
    }

    fn record(id: u64, name: &str, addresses: &[&str]) -> Record {
        let txt = [("v", "1"), ("room", "r"), ("name", name)];
        Record {
            service: format!("{}.{SERVICE}", NeighbourId::from(id)),
            txt: HashMap::from(txt.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    fn names(neighbours: &Neighbours) -> Vec<String> {
        let people = neighbours.people();
        people
            .into_iter()
            .filter_map(|person| person.name)
            .collect()
    }

    #[test]
    fn people_come_change_and_go() {
        let mut here = Neighbours::new(OWN.into());
        let networks = networks();
        assert!(here.heard(&record(1, "Ann", &["192.168.7.2:9"]), &networks));
        assert!(here.heard(&record(2, "Bea", &["192.168.7.3:9"]), &networks));
        assert!(
            !here.heard(&record(2, "Bea", &["192.168.7.3:9"]), &networks),
            "nothing new"
        );
        assert_eq!(names(&here), ["Ann", "Bea"]);

        assert!(here.heard(&record(1, "Anna", &["192.168.7.2:9"]), &networks));
        assert_eq!(names(&here), ["Anna", "Bea"], "in their places");

        let service = record(1, "", &[]).service;
        assert!(here.gone(&service) && !here.gone(&service));
        assert!(!here.gone("nonsense"));
        assert_eq!(names(&here), ["Bea"]);
    }

    #[test]
    fn nobody_meets_themselves() {
        let mut here = Neighbours::new(OWN.into());
        let own = record(OWN, "Me", &["192.168.7.1:9"]);
        assert!(!here.heard_self());
        assert!(here.heard(&own, &networks()), "the network works");
        assert!(here.heard_self() && !here.heard(&own, &networks()));
        assert!(here.people().is_empty());
    }

    #[test]
    fn only_addresses_of_this_machines_networks_are_believed() {
        let mut here = Neighbours::new(OWN.into());
        let announced = [
            "8.8.8.8:9",
            "127.0.0.1:9",
            "0.0.0.0:9",
            "224.0.0.251:9",
            "192.168.8.2:9",
            "192.168.7.1:9",
            "[::1]:9",
            "[fe80::2]:9",
            "[2001:db8::2]:9",
            "[fe80::2%3]:9",
            "[fd00::2]:9",
            "169.254.9.9:9",
            "192.168.7.2:9",
        ];
        here.heard(&record(1, "Ann", &announced), &networks());
        let expected = [
            "192.168.7.2:9",
            "[fd00::2]:9",
            "169.254.9.9:9",
            "[fe80::2%3]:9",
        ];
        assert_eq!(
            here.people()[0].addresses,
            expected.map(|it| it.parse().unwrap()),
            "the likeliest first"
        );

        assert!(
            here.heard(&record(1, "Ann", &announced[..9]), &networks()),
            "a person with none of them left is not here"
        );
        assert!(here.people().is_empty());
    }

    #[test]
    fn a_flood_of_people_and_addresses_costs_little() {
        let mut here = Neighbours::new(OWN.into());
        for id in 100..600 {
            let address = format!("192.168.7.{}:9", id % 250 + 2);
            here.heard(&record(id, "x", &[&address]), &networks());
        }

        assert_eq!(here.people().len(), MAX_NEIGHBOURS);
        assert!(
            here.heard(&record(100, "y", &["192.168.7.102:9"]), &networks()),
            "those who are shown can still change"
        );

        let many: Vec<String> = (2..=254)
            .map(|last| format!("192.168.7.{last}:9"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut here = Neighbours::new(OWN.into());
        assert!(here.heard(&record(1, "x", &many), &networks()));
        assert_eq!(here.people()[0].addresses.len(), MAX_ADDRESSES);
    }

    #[test]
    fn one_computer_does_not_fill_the_list() {
        let mut here = Neighbours::new(OWN.into());
        for id in 100..600 {
            here.heard(&record(id, "x", &["192.168.7.66:9"]), &networks());
        }

        assert_eq!(here.people().len(), MAX_PER_ADDRESS);
        assert!(here.heard(&record(1, "Ann", &["192.168.7.2:9"]), &networks()));
    }

    proptest! {
        #[test]
        fn anything_can_be_announced(
            records in prop::collection::vec(
                (any::<u64>(), ".{0,60}", "[A-Za-z0-9]{0,70}", prop::collection::vec(any::<u8>(), 0..20), any::<u16>()),
                0..300,
            ),
        ) {
            let mut here = Neighbours::new(OWN.into());
            for (id, name, room, last, port) in records {
                let txt = [("v", "1".to_owned()), ("room", room), ("name", name)];
                let record = Record {
                    txt: HashMap::from(txt.map(|(key, value)| (key.to_owned(), value))),
                    addresses: last.iter().map(|last| SocketAddr::from(([192, 168, last % 9, *last], port))).collect(),
                    ..record(id, "", &[])
                };
                here.heard(&record, &networks());
            }

            let people = here.people();
            prop_assert!(people.len() <= MAX_NEIGHBOURS);
            for person in people {
                prop_assert!((1..=MAX_ADDRESSES).contains(&person.addresses.len()));
                prop_assert!(person.addresses.iter().all(|at| networks()[0].contains(at.ip()) && at.port() != 0));
                prop_assert!(person.name.is_none_or(|name| name.chars().count() <= 40));
            }
        }
    }
}
