//! How much each user, each address and all together may use.
//!
//! Everything here is bounded: users and addresses are remembered only while they have an
//! allocation, and answers to unknown clients are counted in a table of a fixed size.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use slab::Slab;

/// What media may bring at once, as time at the full rate: a keyframe and what waits in a pacer.
const BURST: Duration = Duration::from_millis(500);
/// The same for answers to unknown clients: 85 browsers, as in an office that comes back online.
const GREETING_BURST: Duration = Duration::from_secs(4);
/// What a packet costs at least, in bytes: however small, it takes the machine as long as a larger one.
/// At 20 Mbit/s, this is 12,500 packets a second; a call sends about 520.
const MIN_COST: usize = 200;
/// Counters of answers to clients that are not known yet. Prefixes that share one share its limit.
const GREETING_SLOTS: usize = 4096;
/// Bytes per second that such answers may be larger than their requests, for each prefix. A browser
/// sends 28 bytes and gets 52, so this is 20 clients a second.
const GREETING_EXCESS: u32 = 512;

/// The operator's limits; zero stands for no limit.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Allocations of one user.
    pub per_user: u32,
    /// Allocations from one address (IPv6: one /64).
    pub per_address: u32,
    /// Allocations of all.
    pub total: u32,
    /// Bits per second of one user, both directions together.
    pub user_bandwidth: u64,
    /// Bits per second of one address (IPv6: one /64), both directions together: whoever registers again is
    /// another user, but comes from the same address.
    pub address_bandwidth: u64,
    /// Bits per second of all, each packet counted once.
    pub total_bandwidth: u64,
}

/// A rate in bytes (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    /// When everything that was taken is paid for.
    busy_until: Option<Instant>,
}

impl Meter {
    /// Takes bytes, if the rate (bits per second; zero: no limit) has room for them. `burst` is what
    /// may come at once.
    pub(crate) fn take(
        &mut self,
        bits_per_second: u64,
        burst: Duration,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let has_room = self.has_room(bits_per_second, burst, now);
        if has_room {
            self.charge(bits_per_second, bytes, now);
        }

        has_room
    }

    /// Whether [`take`](Self::take) would succeed.
    fn has_room(&self, bits_per_second: u64, burst: Duration, now: Instant) -> bool {
        let waiting = self
            .busy_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));

        bits_per_second == 0 || waiting <= burst
    }

    fn charge(&mut self, bits_per_second: u64, bytes: usize, now: Instant) {
        if let Some(time) = (bytes as u64 * 8_000_000_000).checked_div(bits_per_second) {
            let from = self.busy_until.map_or(now, |until| until.max(now));
            self.busy_until = Some(from + Duration::from_nanos(time));
        }
    }
}

/// What counts as one address, as everywhere in the signaling server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey(u64, bool);

impl From<SocketAddr> for AddressKey {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits()), false),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64, true),
        }
    }
}

/// A user with at least one allocation.
#[derive(Debug)]
struct User {
    name: Box<str>,
    allocations: u32,
    meter: Meter,
}

/// An address with at least one allocation.
#[derive(Debug, Default)]
struct Address {
    allocations: u32,
    meter: Meter,
}

/// Who pays for a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payer {
    pub(crate) user: UserKey,
    pub(crate) address: AddressKey,
}

/// Identifies a user while they have an allocation. Later users get their place, but never their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserKey(usize, u64);

/// What is in use.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: Quotas,
    users: Slab<User>,
    by_name: HashMap<Box<str>, UserKey>,
    addresses: HashMap<AddressKey, Address>,
    total: u32,
    meter: Meter,
    /// Numbers users.
    next: u64,
}

impl Usage {
    pub(crate) fn new(limits: Quotas) -> Self {
        Self {
            limits,
            users: Slab::new(),
            by_name: HashMap::new(),
            addresses: HashMap::new(),
            total: 0,
            meter: Meter::default(),
            next: 0,
        }
    }

    /// Counts an allocation until [`leave`](Self::leave); `None` if that is one too many.
    pub(crate) fn enter(&mut self, user: &str, client: SocketAddr) -> Option<UserKey> {
        let is_over = |count: u32, limit: u32| limit > 0 && count >= limit;
        let address = AddressKey::from(client);
        let key = self.by_name.get(user).copied();
        let of_user = key.map_or(0, |key| self.users[key.0].allocations);
        let known = self.addresses.get(&address);
        let of_address = known.map_or(0, |address| address.allocations);

        if is_over(self.total, self.limits.total)
            || is_over(of_user, self.limits.per_user)
            || is_over(of_address, self.limits.per_address)
        {
            return None;
        }

        let key = key.unwrap_or_else(|| self.add(user));
        self.users[key.0].allocations += 1;
        self.addresses.entry(address).or_default().allocations += 1;
        self.total += 1;

        Some(key)
    }

    /// A user's name.
    pub(crate) fn name(&self, key: UserKey) -> &str {
        &self.users[key.0].name
    }

    fn add(&mut self, user: &str) -> UserKey {
        self.next += 1;
        let index = self.users.insert(User {
            name: user.into(),
            allocations: 0,
            meter: Meter::default(),
        });
        let key = UserKey(index, self.next);
        self.by_name.insert(user.into(), key);

        key
    }

    /// An allocation that [`enter`](Self::enter) counted has ended.
    pub(crate) fn leave(&mut self, key: UserKey, client: SocketAddr) {
        self.total -= 1;
        let address = AddressKey::from(client);
        if let Some(known) = self.addresses.get_mut(&address) {
            known.allocations -= 1;
            if known.allocations == 0 {
                self.addresses.remove(&address);
            }
        }

        let user = &mut self.users[key.0];
        user.allocations -= 1;
        if user.allocations == 0 {
            let user = self.users.remove(key.0);
            self.by_name.remove(&user.name);
        }
    }

    /// Takes the bandwidth of a packet that these clients send or get. Both clients of a packet that
    /// stays inside the server pay for it, the total is counted once. All limits are asked before any is
    /// charged: what a user sends beyond their own limit must not use up the total.
    pub(crate) fn take(&mut self, payers: &[Payer], bytes: usize, now: Instant) -> bool {
        let Quotas {
            user_bandwidth,
            address_bandwidth,
            total_bandwidth,
            ..
        } = self.limits;
        let may = |payer: &Payer| {
            let user = &self.users[payer.user.0].meter;
            let address = self.addresses.get(&payer.address);
            user.has_room(user_bandwidth, BURST, now)
                && address.is_none_or(|it| it.meter.has_room(address_bandwidth, BURST, now))
        };
        if !self.meter.has_room(total_bandwidth, BURST, now) || !payers.iter().all(may) {
            return false;
        }

        let bytes = bytes.max(MIN_COST);
        self.meter.charge(total_bandwidth, bytes, now);
        for payer in payers {
            let user = &mut self.users[payer.user.0].meter;
            user.charge(user_bandwidth, bytes, now);
            if let Some(address) = self.addresses.get_mut(&payer.address) {
                address.meter.charge(address_bandwidth, bytes, now);
            }
        }

        true
    }

    /// Users, addresses and allocations that are counted now.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, u32) {
        (self.users.len(), self.addresses.len(), self.total)
    }
}

/// Limits what clients that are not known yet get more than they sent, so that nobody can have this
/// server send large answers to an address that is not theirs.
#[derive(Debug)]
pub(crate) struct Greetings {
    slots: Box<[Meter]>,
    hasher: RandomState,
}

impl Greetings {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![Meter::default(); GREETING_SLOTS].into(),
            hasher: RandomState::new(),
        }
    }

    /// Whether an answer may be sent.
    pub(crate) fn take(
        &mut self,
        client: SocketAddr,
        request: usize,
        answer: usize,
        now: Instant,
    ) -> bool {
        let excess = answer.saturating_sub(request);
        let hash = self.hasher.hash_one(prefix(client)) as usize;
        let slot = &mut self.slots[hash % GREETING_SLOTS];

        excess == 0 || slot.take(u64::from(GREETING_EXCESS) * 8, GREETING_BURST, excess, now)
    }
}

/// What is attacked is a network: a /24, or a /64 of IPv6.
fn prefix(client: SocketAddr) -> AddressKey {
    let AddressKey(bits, is_v6) = client.into();
    AddressKey(if is_v6 { bits } else { bits & !0xFF }, is_v6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use proptest::prelude::*;

    use super::*;

    const LIMITS: Quotas = Quotas {
        per_user: 2,
        per_address: 3,
        total: 5,
        user_bandwidth: 8_000_000,
        address_bandwidth: 0,
        total_bandwidth: 0,
    };

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 5000))
    }

    #[test]
    fn users_addresses_and_all_together_have_a_limit() {
        let mut usage = Usage::new(LIMITS);
        let ann = usage.enter("ann", address(1)).unwrap();
        assert_eq!(usage.enter("ann", address(2)), Some(ann));
        assert_eq!(usage.enter("ann", address(3)), None, "two for each user");

        assert!(usage.enter("bob", address(1)).is_some());
        assert!(usage.enter("cem", address(1)).is_some());
        assert_eq!(
            usage.enter("dan", address(1)),
            None,
            "three for each address"
        );

        assert!(usage.enter("dan", address(4)).is_some());
        assert_eq!(usage.enter("eve", address(5)), None, "five in total");

        usage.leave(ann, address(1));
        assert!(usage.enter("eve", address(5)).is_some(), "one has ended");
    }

    #[test]
    fn a_second_carries_the_rate_and_half_a_second_more_at_once() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let bytes: usize = (0..10_000)
            .filter(|n| {
                meter.take(
                    8_000_000,
                    BURST,
                    1000,
                    start + Duration::from_micros(n * 100),
                )
            })
            .count()
            * 1000;
        assert!(
            (1_000_000..=1_502_000).contains(&bytes),
            "{bytes} bytes in a second"
        );
    }

    #[test]
    fn an_answer_that_is_no_larger_is_free_and_others_are_few() {
        let (mut greetings, now) = (Greetings::new(), Instant::now());
        assert!((0..10_000).all(|_| greetings.take(address(1), 60, 60, now)));

        // From invented addresses of the network that is to be flooded, for ten seconds.
        let answers = (0u64..10_000)
            .filter(|n| {
                let now = now + Duration::from_millis(*n);
                greetings.take(address((n % 256) as u8), 28, 52, now)
            })
            .count();
        let excess = answers * 24;
        assert!(
            excess <= 14 * 512 + 24,
            "{excess} bytes more than came in 10 s"
        );
        assert!(answers >= 100, "{answers} clients were answered");
    }

    proptest! {
        #[test]
        fn nothing_is_remembered_once_all_have_left(steps in prop::collection::vec((any::<bool>(), 0u8..4, 0u8..4), 0..200)) {
            let mut usage = Usage::new(LIMITS);
            let mut inside = Vec::new();
            for (enter, user, host) in steps {
                if enter {
                    if let Some(key) = usage.enter(&user.to_string(), address(host)) {
                        inside.push((key, address(host)));
                    }
                    prop_assert!(inside.len() <= 5);
                } else if let Some((key, client)) = inside.pop() {
                    usage.leave(key, client);
                }
            }

            for (key, client) in inside {
                usage.leave(key, client);
            }
            prop_assert_eq!(usage.counts(), (0, 0, 0));
        }
    }
}
