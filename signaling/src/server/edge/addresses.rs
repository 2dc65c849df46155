//! How many connections and upgrades one address may have, and how many rooms it may try.
//!
//! Sans-IO. IPv6 addresses count by their /64, which is what one customer gets. An IPv4 address
//! that comes mapped into IPv6 counts as the IPv4 address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rate::{Meter, Rate};
use super::room_meter::{RoomMeter, tried_rooms};
use super::table::{Usage, UsageTable};
use crate::message::ClientMessage;

/// What counts as one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressKey {
    /// The whole IPv4 address.
    V4(u32),
    /// The upper 64 bits of the IPv6 address.
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(
                u64::try_from(address.to_bits() >> 64).expect("128 bits shifted by 64 leave 64"),
            ),
        }
    }
}

/// The limits of each address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressLimits {
    /// Connections open at the same time; zero: no limit.
    pub(crate) connections: u32,
    /// Upgrades, whether or not they succeed, and visits of the invite page.
    pub(crate) upgrades: Rate,
    /// Different rooms to search for or to listen in.
    pub(crate) rooms: Rate,
}

/// An address is over one of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    /// How long to wait before trying again. A connection that ends may make room earlier.
    pub(crate) retry_after: Duration,
}

/// The `Retry-After` for an address that has too many connections open. When one of them will end
/// is not known.
const CONNECTIONS_RETRY_AFTER: Duration = Duration::from_secs(30);

const MINUTE: Duration = Duration::from_secs(60);
/// Searches for rooms that do not exist: more than people mistype, and far fewer than it takes to
/// find a room in use.
const GUESSES_PER_MINUTE: u32 = 10;
/// Rooms to claim: an office behind one address, each inviting someone.
const CLAIMS_PER_MINUTE: u32 = 20;
/// Reports from one address, over all its connections: several people behind it may meet the same
/// stranger, and a flood of reports costs the operator more than the server.
const REPORTS_PER_HOUR: u32 = 60;

/// What each address has used of its limits.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    table: UsageTable<AddressKey, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    upgrades: Meter,
    guesses: Meter,
    claims: Meter,
    reports: Meter,
    rooms: RoomMeter,
}

impl Usage for Entry {
    fn is_idle(&self, now: Instant) -> bool {
        self.connections == 0
            && self.rooms.is_idle(now)
            && [self.upgrades, self.guesses, self.claims, self.reports]
                .iter()
                .all(|meter| meter.is_idle(now))
    }
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            table: UsageTable::new(),
        }
    }

    /// Counts one more connection of this address, until [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`OverLimit`] if the address has too many, or asks for them too fast. A refused attempt
    /// counts for nothing.
    pub(crate) fn enter(&mut self, key: AddressKey, now: Instant) -> Result<(), OverLimit> {
        if self.limits.connections == 0 && self.limits.upgrades.is_unlimited() {
            return Ok(());
        }

        let entry = self.table.entry(&key, now);
        if self.limits.connections > 0 && entry.connections >= self.limits.connections {
            return Err(OverLimit {
                retry_after: CONNECTIONS_RETRY_AFTER,
            });
        }

        entry
            .upgrades
            .take(self.limits.upgrades, 1, now)
            .map_err(|retry_after| OverLimit { retry_after })?;

        entry.connections += 1;
        Ok(())
    }

    /// Counts a visit of the invite page as an upgrade.
    ///
    /// # Errors
    /// [`OverLimit`] if the address asks for them too fast.
    pub(crate) fn visit(&mut self, key: AddressKey, now: Instant) -> Result<(), OverLimit> {
        if self.limits.upgrades.is_unlimited() {
            return Ok(());
        }

        let upgrades = &mut self.table.entry(&key, now).upgrades;
        upgrades
            .take(self.limits.upgrades, 1, now)
            .map_err(|retry_after| OverLimit { retry_after })
    }

    /// Counts the rooms that a message tries.
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(crate) fn rooms(
        &mut self,
        key: AddressKey,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        if self.limits.rooms.is_unlimited() {
            return Ok(());
        }

        let rooms = &mut self.table.entry(&key, now).rooms;
        rooms.take(self.limits.rooms, tried_rooms(message), now)
    }

    /// Counts a search that may be a failed guess at a room in use, until
    /// [`give_back_guess`](Self::give_back_guess).
    ///
    /// # Errors
    /// How long to wait before the next one.
    pub(crate) fn guess(&mut self, key: AddressKey, now: Instant) -> Result<(), Duration> {
        let rate = Rate::new(GUESSES_PER_MINUTE, MINUTE, GUESSES_PER_MINUTE);
        self.table.entry(&key, now).guesses.take(rate, 1, now)
    }

    /// One of the guesses found its room.
    pub(crate) fn give_back_guess(&mut self, key: AddressKey) {
        let rate = Rate::new(GUESSES_PER_MINUTE, MINUTE, GUESSES_PER_MINUTE);
        if let Some(entry) = self.table.get_mut(&key) {
            entry.guesses.give_back(rate, 1);
        }
    }

    /// Counts a room that is to be claimed.
    ///
    /// # Errors
    /// How long to wait before the next one.
    pub(crate) fn claim(&mut self, key: AddressKey, now: Instant) -> Result<(), Duration> {
        let rate = Rate::new(CLAIMS_PER_MINUTE, MINUTE, CLAIMS_PER_MINUTE);
        self.table.entry(&key, now).claims.take(rate, 1, now)
    }

    /// Counts a report, over all connections of the address.
    ///
    /// # Errors
    /// How long to wait before the next one.
    pub(crate) fn report(&mut self, key: AddressKey, now: Instant) -> Result<(), Duration> {
        let rate = Rate::new(REPORTS_PER_HOUR, 60 * MINUTE, REPORTS_PER_HOUR);
        self.table.entry(&key, now).reports.take(rate, 1, now)
    }

    /// A connection that [`enter`](Self::enter) counted has ended.
    pub(crate) fn leave(&mut self, key: AddressKey, now: Instant) {
        if let Some(entry) = self.table.get_mut(&key) {
            entry.connections = entry.connections.saturating_sub(1);
            if entry.is_idle(now) {
                self.table.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use proptest::prelude::*;

    use super::super::room_meter::RoomLimits;
    use super::super::table::MIN_SWEEP;
    use super::*;
    use crate::message::FindPartner;

    fn key(text: &str) -> AddressKey {
        AddressKey::from(text.parse::<IpAddr>().unwrap())
    }

    fn addresses(connections: u32, upgrades: u32) -> Addresses {
        let upgrades = Rate::new(upgrades, Duration::from_secs(60), upgrades);
        Addresses::new(AddressLimits {
            connections,
            upgrades,
            rooms: RoomLimits::new(60).address,
        })
    }

    fn search(room: String) -> ClientMessage {
        ClientMessage::FindPartner(FindPartner {
            room: Some(room),
            ..FindPartner::default()
        })
    }

    #[test]
    fn an_address_tries_sixty_rooms_a_minute_over_all_its_connections() {
        let (mut addresses, now) = (addresses(0, 0), Instant::now());
        let own = key("2001:db8:1:2::1");
        let mut tried = 0;
        for n in 0..200_u32 {
            // Each room from another address of the same customer.
            let from = key(&format!("2001:db8:1:2::{n:x}"));
            tried += u32::from(addresses.rooms(from, &search(n.to_string()), now).is_ok());
        }

        assert_eq!(tried, 60);
        assert!(addresses.rooms(own, &search("59".into()), now).is_ok());
        assert_eq!(
            addresses.rooms(own, &search("60".into()), now),
            Err(Duration::from_secs(1))
        );
        let other = key("2001:db8:1:3::1");
        assert!(addresses.rooms(other, &search("60".into()), now).is_ok());
    }

    #[test]
    fn ipv6_addresses_count_by_their_64() {
        assert_eq!(
            key("2001:db8:1:2::1"),
            key("2001:db8:1:2:ffff::9"),
            "one customer"
        );

        assert_ne!(
            key("2001:db8:1:2::1"),
            key("2001:db8:1:3::1"),
            "another customer"
        );

        assert_eq!(
            key("::ffff:192.0.2.1"),
            key("192.0.2.1"),
            "mapped or not, it is the same address"
        );
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn connections_are_counted_and_given_back() {
        let (mut table, now) = (addresses(2, 0), Instant::now());
        let (one, other) = (key("192.0.2.1"), key("192.0.2.2"));
        assert!(
            table.enter(one, now).is_ok() && table.enter(one, now).is_ok(),
            "two are allowed"
        );
        assert!(table.enter(one, now).is_err(), "a third is not");
        assert!(
            table.enter(other, now).is_ok(),
            "another address has its own limit"
        );

        table.leave(one, now);
        assert!(
            table.enter(one, now).is_ok(),
            "an ended connection makes room"
        );
    }

    #[test]
    fn upgrades_count_even_after_their_connection_ended() {
        let (mut table, now) = (addresses(0, 3), Instant::now());
        let one = key("2001:db8::1");

        for n in 0..3 {
            assert!(table.enter(one, now).is_ok(), "upgrade {n}");
            table.leave(one, now);
        }

        let over = table.enter(one, now).expect_err("the fourth in a minute");
        assert_eq!(
            over.retry_after,
            Duration::from_secs(20),
            "a third of a minute each"
        );

        assert!(
            table.enter(one, now + over.retry_after).is_ok(),
            "then it is allowed again"
        );
    }

    #[test]
    fn idle_addresses_are_forgotten() {
        let (mut table, mut now) = (addresses(5, 60), Instant::now());
        for n in 0..100_000u32 {
            now += Duration::from_millis(10);
            let key = AddressKey::V4(n);
            table.enter(key, now).unwrap();
            table.leave(key, now);
        }

        assert!(
            table.table.entries().len() <= 2 * MIN_SWEEP,
            "{} entries for 100,000 addresses",
            table.table.entries().len()
        );
    }

    proptest! {
        #[test]
        fn it_counts_like_a_plain_list(steps in prop::collection::vec((any::<bool>(), 0u32..4), 0..300)) {
            let (mut table, now) = (addresses(3, 0), Instant::now());
            let mut counts = [0u32; 4];

            for (enter, n) in steps {
                let (key, count) = (AddressKey::V4(n), &mut counts[n as usize]);
                if enter {
                    prop_assert_eq!(table.enter(key, now).is_ok(), *count < 3);
                    *count = (*count + 1).min(3);
                } else if *count > 0 {
                    table.leave(key, now);
                    *count -= 1;
                }
            }

            let open = counts.iter().filter(|count| **count > 0).count();
            prop_assert!(table.table.entries().values().filter(|entry| entry.connections > 0).count() == open);
        }
    }

    #[test]
    fn reports_count_for_all_connections_of_an_address() {
        let none = Rate::new(0, MINUTE, 0);
        let mut addresses = Addresses::new(AddressLimits {
            connections: 0,
            upgrades: none,
            rooms: none,
        });
        let now = Instant::now();
        let [ann, ben] = ["192.0.2.1", "192.0.2.2"]
            .map(|address| AddressKey::from(address.parse::<IpAddr>().unwrap()));

        for _ in 0..REPORTS_PER_HOUR {
            assert_eq!(addresses.report(ann, now), Ok(()));
        }
        assert_eq!(addresses.report(ann, now), Err(MINUTE));
        assert_eq!(addresses.report(ben, now), Ok(()), "another address");

        addresses.leave(ann, now);
        assert!(addresses.report(ann, now).is_err(), "a new connection");
        assert_eq!(addresses.report(ann, now + MINUTE), Ok(()));
    }
}
