//! Rooms that clients have claimed: short numbers, each of which one client may give to another
//! person. Sans-IO.
//!
//! In a cluster, the store keeps them instead (`claim` in `operations.lua`, with the same rules).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ids::ClaimHash;
use crate::message::{MAX_ROOM_NUMBER, UserId};
use crate::server::shrink::ShrinkIfSparse;

/// How long a room stays claimed after its owner has left, so that an invite that is still on its way
/// leads to no one else. `cluster.lua` has the same figure (`CLAIM_HOLD`).
pub(super) const CLAIM_HOLD: Duration = Duration::from_secs(600);
/// How long a room stays claimed after a call of its owner in it. The server cannot see whether the
/// two ever heard each other, so both get the time for a second attempt. `cluster.lua` has the same
/// figure (`AFTER_CALL`).
pub(super) const AFTER_CALL: Duration = Duration::from_secs(60);
/// How many rooms one client may hold; the oldest goes first. `cluster.lua` has the same figure.
pub(super) const CLAIMS_PER_CLIENT: usize = 8;
/// How many guests may wait in one claimed room: whatever changes there visits each of them. More
/// people than share an invite in earnest. `cluster.lua` has the same figure.
pub(super) const MAX_GUESTS: usize = 8;
/// How many rooms may be claimed on a server, some 25 MB.
const MAX_CLAIMS: usize = 200_000;

/// The claimed rooms of a server.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    claims: HashMap<u32, Claim>,
    /// The rooms of each owner that is here, oldest first.
    of_owner: HashMap<UserId, VecDeque<u32>>,
    /// When rooms become free: those of owners that have left, and those whose call is over.
    ends: BTreeSet<(Instant, u32)>,
    /// How many rooms of one digit, of two, … are claimed.
    by_digits: [u32; DIGITS],
    /// The rooms that have become free and not been [taken](Rooms::take_freed).
    freed: Vec<u32>,
}

/// The digits of [`MAX_ROOM_NUMBER`].
const DIGITS: usize = 9;

#[derive(Debug)]
struct Claim {
    owner: UserId,
    /// Of the token that claims it again.
    hash: ClaimHash,
    /// Set once the owner has left, or its call in this room is over.
    until: Option<Instant>,
}

impl Rooms {
    /// Claims a room of the fewest digits of which one is free: not claimed, and not `in_use`.
    /// Which one of them, `random` decides. `None` if the server has no room left.
    pub(super) fn claim(
        &mut self,
        owner: &UserId,
        hash: ClaimHash,
        random: u32,
        in_use: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        if self.claims.len() >= MAX_CLAIMS {
            return None;
        }

        let number = (0..DIGITS).find_map(|digits| self.free_number(digits, random, &in_use))?;
        self.by_digits[digits_of(number)] += 1;
        let claim = Claim {
            owner: owner.clone(),
            hash,
            until: None,
        };
        self.claims.insert(number, claim);
        self.own(owner, number);

        Some(number)
    }

    /// Gives a claimed room to `owner`, if the hash is that of its token. Returns whether it is.
    pub(super) fn claim_again(&mut self, number: u32, hash: ClaimHash, owner: &UserId) -> bool {
        let Some(claim) = self
            .claims
            .get_mut(&number)
            .filter(|claim| claim.hash.matches(hash))
        else {
            return false;
        };

        let former = std::mem::replace(&mut claim.owner, owner.clone());
        self.disown(&former, number);
        self.own(owner, number);
        self.hold(number, owner);
        true
    }

    /// The first free number with this many digits (0: one), from a random one on.
    fn free_number(
        &self,
        digits: usize,
        random: u32,
        in_use: &impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let first = 10_u32.pow(digits as u32);
        let count = (first * 9).min(MAX_ROOM_NUMBER - first + 1);
        if self.by_digits[digits] >= count {
            return None;
        }

        let start = random % count;
        (0..count)
            .map(|step| first + (start + step) % count)
            .find(|number| !self.claims.contains_key(number) && !in_use(*number))
    }

    pub(super) fn is_claimed(&self, number: u32) -> bool {
        self.claims.contains_key(&number)
    }

    /// The user who has claimed this room, and may have left.
    pub(super) fn owner_of(&self, number: u32) -> Option<&UserId> {
        self.claims.get(&number).map(|claim| &claim.owner)
    }

    pub(super) fn is_claimed_by(&self, number: u32, user: &UserId) -> bool {
        self.owner_of(number) == Some(user)
    }

    /// The rooms that have become free since the last time.
    pub(super) fn take_freed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.freed)
    }

    /// The owner is back in its room after a call: the room is claimed as before. Nothing if it
    /// belongs to someone else.
    pub(super) fn hold(&mut self, number: u32, owner: &UserId) {
        let is_here = |rooms: &VecDeque<u32>| rooms.contains(&number);
        if self.of_owner.get(owner).is_some_and(is_here)
            && let Some(claim) = self.claims.get_mut(&number)
            && let Some(until) = claim.until.take()
        {
            self.ends.remove(&(until, number));
        }
    }

    /// The owner's call in this room is over: it is held for [`AFTER_CALL`] more. Nothing if it
    /// belongs to someone else.
    pub(super) fn call_over(&mut self, number: u32, owner: &UserId, now: Instant) {
        if self.is_claimed_by(number, owner) {
            self.end_at(number, now + AFTER_CALL);
        }
    }

    /// Frees a room. False if it belongs to someone else or no one.
    pub(super) fn release(&mut self, number: u32, owner: &UserId) -> bool {
        let is_own = self.is_claimed_by(number, owner);
        if is_own {
            self.remove(number);
        }

        is_own
    }

    /// A client has left for good: its rooms are held for [`CLAIM_HOLD`] more, unless they become
    /// free before.
    pub(super) fn owner_left(&mut self, owner: &UserId, now: Instant) {
        for number in self.of_owner.remove(owner).into_iter().flatten() {
            self.end_at(number, now + CLAIM_HOLD);
        }

        self.of_owner.shrink_if_sparse();
    }

    /// Frees the rooms whose hold is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(at, number)) = self.ends.first().filter(|(at, _)| *at <= now) {
            self.ends.remove(&(at, number));
            self.remove(number);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.ends.first().map(|&(at, _)| at)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn remove(&mut self, number: u32) {
        let Some(claim) = self.claims.remove(&number) else {
            return;
        };

        self.freed.push(number);
        self.by_digits[digits_of(number)] -= 1;
        self.claims.shrink_if_sparse();

        if let Some(until) = claim.until {
            self.ends.remove(&(until, number));
        }

        self.disown(&claim.owner, number);
    }

    /// The claim ends at `at`, or when it would have ended before.
    fn end_at(&mut self, number: u32, at: Instant) {
        if let Some(claim) = self.claims.get_mut(&number)
            && claim.until.is_none_or(|until| until > at)
        {
            if let Some(until) = claim.until.replace(at) {
                self.ends.remove(&(until, number));
            }

            self.ends.insert((at, number));
        }
    }

    /// Lists a room as the newest of an owner that is here.
    fn own(&mut self, owner: &UserId, number: u32) {
        let rooms = self.of_owner.entry(owner.clone()).or_default();
        rooms.push_back(number);
        let oldest = (rooms.len() > CLAIMS_PER_CLIENT)
            .then(|| rooms.pop_front())
            .flatten();

        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
    }

    fn disown(&mut self, owner: &UserId, number: u32) {
        if let Some(rooms) = self.of_owner.get_mut(owner) {
            rooms.retain(|room| *room != number);
            if rooms.is_empty() {
                self.of_owner.remove(owner);
            }
        }
    }
}

/// How many digits a number has, less one.
fn digits_of(number: u32) -> usize {
    number.ilog10() as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::from(name)
    }

    fn hash(token: u32) -> ClaimHash {
        ClaimHash::of(&token.to_string().into())
    }

    #[test]
    fn the_shortest_free_numbers_are_claimed_first() {
        let mut rooms = Rooms::default();
        let mut claimed = HashSet::new();

        for n in 0..9 + 90 + 5 {
            let owner = user(&format!("owner {n}"));
            let number = rooms
                .claim(&owner, hash(0), n * 7_919, |_| false)
                .expect("a room");
            assert!(claimed.insert(number), "{number} twice");

            let digits = match n {
                0..9 => 1,
                9..99 => 2,
                _ => 3,
            };
            assert_eq!(number.to_string().len(), digits, "claim {n} got {number}");
        }
    }

    #[test]
    fn a_room_in_use_is_not_claimed() {
        let mut rooms = Rooms::default();
        let number = rooms.claim(&user("a"), hash(0), 3, |number| number != 7);
        assert_eq!(number, Some(7), "the only one that is free");

        let number = rooms.claim(&user("a"), hash(0), 3, |number| number < 10);
        assert!(number.is_some_and(|number| number >= 10), "{number:?}");
    }

    #[test]
    fn a_room_is_held_for_ten_minutes_after_its_owner_has_left() {
        let (mut rooms, now) = (Rooms::default(), Instant::now());
        let number = rooms
            .claim(&user("a"), hash(0), 0, |_| false)
            .expect("a room");
        rooms.expire(now + 2 * CLAIM_HOLD);
        assert!(rooms.is_claimed(number), "while the owner is here");

        rooms.owner_left(&user("a"), now);
        assert_eq!(rooms.next_deadline(), Some(now + CLAIM_HOLD));
        rooms.expire(now + CLAIM_HOLD - Duration::from_millis(1));
        assert!(rooms.is_claimed(number));

        rooms.expire(now + CLAIM_HOLD);
        assert!(!rooms.is_claimed(number));
        assert_eq!(rooms.next_deadline(), None);
    }

    #[test]
    fn only_the_owner_releases_a_room_and_the_ninth_frees_the_first() {
        let mut rooms = Rooms::default();
        let first = rooms
            .claim(&user("a"), hash(0), 0, |_| false)
            .expect("a room");
        assert!(
            !rooms.release(first, &user("b")),
            "it belongs to another client"
        );
        assert!(rooms.is_claimed(first));

        assert!(rooms.release(first, &user("a")));
        assert!(!rooms.is_claimed(first));

        let claimed: Vec<u32> = (0..9)
            .map(|n| {
                rooms
                    .claim(&user("a"), hash(0), n, |_| false)
                    .expect("a room")
            })
            .collect();
        assert!(!rooms.is_claimed(claimed[0]), "the oldest");
        assert!(claimed[1..].iter().all(|number| rooms.is_claimed(*number)));
    }

    #[test]
    fn a_room_is_held_for_a_minute_after_its_call_unless_its_owner_comes_back() {
        let (mut rooms, now) = (Rooms::default(), Instant::now());
        let (owner, second) = (user("a"), Duration::from_secs(1));
        let number = rooms.claim(&owner, hash(0), 0, |_| false).expect("a room");

        rooms.call_over(number, &user("b"), now);
        assert_eq!(rooms.next_deadline(), None, "the call was not the owner's");
        rooms.call_over(number, &owner, now);
        rooms.expire(now + AFTER_CALL - second);
        assert!(rooms.is_claimed(number));
        rooms.hold(number, &user("b"));
        assert_eq!(rooms.next_deadline(), Some(now + AFTER_CALL));

        rooms.hold(number, &owner);
        rooms.expire(now + 2 * AFTER_CALL);
        assert!(rooms.is_claimed(number), "the owner has come back");

        // Leaving does not make the minute longer.
        let later = now + 2 * AFTER_CALL;
        rooms.call_over(number, &owner, later);
        rooms.owner_left(&owner, later + second);
        rooms.expire(later + AFTER_CALL);
        assert!(!rooms.is_claimed(number));
    }

    #[test]
    fn the_token_gives_a_room_back_and_takes_it_from_the_former_user() {
        let (mut rooms, now) = (Rooms::default(), Instant::now());
        let number = rooms
            .claim(&user("a"), hash(1), 0, |_| false)
            .expect("a room");
        assert!(!rooms.claim_again(number, hash(2), &user("b")));
        assert!(!rooms.claim_again(number + 1, hash(1), &user("b")));
        assert_eq!(rooms.owner_of(number), Some(&user("a")));

        rooms.owner_left(&user("a"), now);
        assert!(rooms.claim_again(number, hash(1), &user("b")));
        assert_eq!(rooms.owner_of(number), Some(&user("b")));
        assert_eq!(rooms.next_deadline(), None, "it is held again");

        // The former user may still be here, too.
        assert!(rooms.claim_again(number, hash(1), &user("c")));
        rooms.owner_left(&user("b"), now);
        assert_eq!(
            rooms.next_deadline(),
            None,
            "it is no longer the former user's"
        );
        rooms.owner_left(&user("c"), now);
        rooms.expire(now + CLAIM_HOLD);
        assert!(
            !rooms.claim_again(number, hash(1), &user("d")),
            "the claim is over"
        );
    }

    #[test]
    fn a_server_has_room_for_two_hundred_thousand_claims() {
        let mut rooms = Rooms::default();
        let mut random = 1_u32;

        for n in 0..MAX_CLAIMS as u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let owner = user(&format!("{}", n / 8));
            assert!(
                rooms.claim(&owner, hash(0), random, |_| false).is_some(),
                "{n}"
            );
        }

        assert_eq!(rooms.claim(&user("late"), hash(0), 0, |_| false), None);
    }

    proptest! {
        #[test]
        fn the_tables_stay_in_step(steps in prop::collection::vec((0..8_u8, 0..5_u8, any::<u32>()), 0..200)) {
            let (mut rooms, mut now) = (Rooms::default(), Instant::now());

            for (what, who, random) in steps {
                let owner = user(&who.to_string());
                match what {
                    0 => {
                        let number = rooms.claim(&owner, hash(random % 2), random, |_| false);
                        prop_assert!(number.is_some_and(|number| rooms.is_claimed(number)));
                    }
                    1 => rooms.owner_left(&owner, now),
                    2 => {
                        rooms.release(random % 20, &owner);
                    }
                    3 => rooms.call_over(random % 20, &owner, now),
                    4 => rooms.hold(random % 20, &owner),
                    5 => {
                        rooms.claim_again(random % 20, hash(random % 2), &owner);
                    }
                    _ => {
                        now += Duration::from_secs(u64::from(random % 700));
                        rooms.expire(now);
                    }
                }

                let owned: usize = rooms.of_owner.values().map(VecDeque::len).sum();
                let mut here = 0;
                for (number, claim) in &rooms.claims {
                    let is_listed = rooms
                        .of_owner
                        .get(&claim.owner)
                        .is_some_and(|numbers| numbers.contains(number));
                    here += usize::from(is_listed);
                    prop_assert!(is_listed || claim.until.is_some(), "its owner has left");
                    prop_assert!(claim.until.is_none_or(|until| rooms.ends.contains(&(until, *number))));
                }

                let ending = rooms.claims.values().filter(|claim| claim.until.is_some()).count();
                prop_assert_eq!((owned, ending), (here, rooms.ends.len()));
                prop_assert_eq!(rooms.claims.len() as u32, rooms.by_digits.iter().sum::<u32>());
                prop_assert!(rooms.of_owner.values().all(|rooms| rooms.len() <= CLAIMS_PER_CLIENT));
            }
        }
    }
}
