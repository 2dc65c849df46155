//! How many connections and upgrades an address may have.
//!
//! Sans-IO. An IPv6 address counts by its /64, which is what one customer gets; an IPv4 address that came mapped into
//! IPv6 counts as itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rate::{Meter, Rate};
use crate::server::tighten::Tighten;

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
                u64::try_from(address.to_bits() >> 64)
                    .expect("64 bits are left of 128 after the shift"),
            ),
        }
    }
}

/// The limits of each address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressLimits {
    /// Connections at a time; zero: no limit.
    pub(crate) connections: u32,
    /// Upgrades.
    pub(crate) upgrades: Rate,
}

/// Over one of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    /// When to try again; a connection that ends may make room earlier.
    pub(crate) retry_after: Duration,
}

/// Told to a client whose address has too many connections: when one of them ends cannot be known.
const RETRY_CONNECTIONS: Duration = Duration::from_secs(30);
/// The table is swept when it has grown to twice what the last sweep left, and never below this.
const SWEEP_FROM: usize = 1024;

/// Counts by address.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    entries: HashMap<AddressKey, Entry>,
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    upgrades: Meter,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            sweep_at: SWEEP_FROM,
        }
    }

    /// One more connection of this address; [`leave`](Self::leave) gives it back.
    ///
    /// # Errors
    /// [`OverLimit`] if there are too many, or came too fast. Nothing is counted then, the attempt apart.
    pub(crate) fn enter(&mut self, key: AddressKey, now: Instant) -> Result<(), OverLimit> {
        if self.limits.connections == 0 && self.limits.upgrades.is_unlimited() {
            return Ok(());
        }

        if self.entries.len() >= self.sweep_at {
            self.entries
                .retain(|_, entry| entry.connections > 0 || !entry.upgrades.is_idle(now));
            self.entries.tighten();
            self.sweep_at = SWEEP_FROM.max(self.entries.len() * 2);
        }

        let entry = self.entries.entry(key).or_default();
        if self.limits.connections > 0 && entry.connections >= self.limits.connections {
            return Err(OverLimit {
                retry_after: RETRY_CONNECTIONS,
            });
        }

        entry
            .upgrades
            .take(self.limits.upgrades, 1, now)
            .map_err(|retry_after| OverLimit { retry_after })?;
        entry.connections += 1;
        Ok(())
    }

    /// A connection that [`enter`](Self::enter) let in has ended.
    pub(crate) fn leave(&mut self, key: AddressKey, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.connections = entry.connections.saturating_sub(1);
            if entry.connections == 0 && entry.upgrades.is_idle(now) {
                self.entries.remove(&key);
                self.entries.tighten();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::from(text.parse::<IpAddr>().unwrap())
    }

    fn addresses(connections: u32, upgrades: u32) -> Addresses {
        let upgrades = Rate::new(upgrades, Duration::from_secs(60), upgrades);
        Addresses::new(AddressLimits {
            connections,
            upgrades,
        })
    }

    #[test]
    fn ipv6_counts_by_64_bits() {
        assert_eq!(
            key("2001:db8:1:2::1"),
            key("2001:db8:1:2:ffff::9"),
            "one customer"
        );

        assert_ne!(
            key("2001:db8:1:2::1"),
            key("2001:db8:1:3::1"),
            "another one"
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
            "another address is not concerned"
        );

        table.leave(one, now);
        assert!(table.enter(one, now).is_ok(), "who leaves makes room");
    }

    #[test]
    fn upgrades_are_counted_though_connections_end() {
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
            "a third of a minute for each"
        );

        assert!(
            table.enter(one, now + over.retry_after).is_ok(),
            "then it works again"
        );
    }

    #[test]
    fn addresses_that_are_gone_are_forgotten() {
        let (mut table, mut now) = (addresses(5, 60), Instant::now());
        for n in 0..100_000u32 {
            now += Duration::from_millis(10);
            let key = AddressKey::V4(n);
            table.enter(key, now).unwrap();
            table.leave(key, now);
        }

        assert!(
            table.entries.len() <= 2 * SWEEP_FROM,
            "{} entries of 100,000 addresses",
            table.entries.len()
        );
    }

    proptest! {
        #[test]
        fn the_count_is_that_of_a_plain_list(steps in prop::collection::vec((any::<bool>(), 0u32..4), 0..300)) {
            let (mut table, now) = (addresses(3, 0), Instant::now());
            let mut there = [0u32; 4];

            for (enter, n) in steps {
                let (key, count) = (AddressKey::V4(n), &mut there[n as usize]);
                if enter {
                    prop_assert_eq!(table.enter(key, now).is_ok(), *count < 3);
                    *count = (*count + 1).min(3);
                } else if *count > 0 {
                    table.leave(key, now);
                    *count -= 1;
                }
            }

            let open = there.iter().filter(|count| **count > 0).count();
            prop_assert!(table.entries.values().filter(|entry| entry.connections > 0).count() == open);
        }
    }
}
