//! Who waits for a partner, and who is matched with whom.
//!
//! Sans-IO: the time comes in as an argument, and what two users are to each other through a function. The queue keeps
//! one promise at all times: no two who wait may be matched with each other yet. So a new entry is compared with those
//! who wait, and those who wait with each other only when a hold of one of them runs out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::hub::ClientKey;
use super::tighten::Tighten;

/// What two users are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Nothing: they may be matched.
    Free,
    /// One of them has just left the other: they are matched again only if nobody else comes for a while.
    JustLeft,
    /// One has blocked the other: never.
    Blocked,
}

/// How long some pairs wait for a better partner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holds {
    /// Two who both gave interests and share none, counted from the older entry.
    pub(super) interests: Duration,
    /// Two of whom one has just left the other, counted from the younger entry.
    pub(super) rematch: Duration,
}

/// What somebody looks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// Match only with who names the same room.
    pub(super) room: Option<String>,
    /// No interest twice.
    pub(super) interests: Vec<String>,
}

/// Two who are to meet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Who waited longer.
    pub(super) older: ClientKey,
    /// Who came later.
    pub(super) newer: ClientKey,
    /// In the older entry's order.
    pub(super) interests: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    key: ClientKey,
    since: Instant,
    interests: Vec<String>,
}

/// Entries by rank; a lower rank came earlier. The index keeps a lobby full of interests from being compared with
/// everybody at each entry.
#[derive(Debug, Default)]
struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// Those without interests.
    plain: BTreeSet<u64>,
    /// Those with this interest.
    interested: HashMap<String, BTreeSet<u64>>,
}

impl Queue {
    fn insert(&mut self, rank: u64, entry: Entry) {
        if entry.interests.is_empty() {
            self.plain.insert(rank);
        }

        for interest in &entry.interests {
            self.interested
                .entry(interest.clone())
                .or_default()
                .insert(rank);
        }

        self.entries.insert(rank, entry);
    }

    fn remove(&mut self, rank: u64) -> Option<Entry> {
        let entry = self.entries.remove(&rank)?;
        self.plain.remove(&rank);

        for interest in &entry.interests {
            if let Some(ranks) = self.interested.get_mut(interest) {
                ranks.remove(&rank);
                if ranks.is_empty() {
                    self.interested.remove(interest);
                    self.interested.tighten();
                }
            }
        }

        Some(entry)
    }
}

/// Where somebody waits.
#[derive(Debug)]
struct Place {
    rank: u64,
    room: Option<String>,
}

/// The queue of the lobby and those of the rooms.
#[derive(Debug)]
pub(super) struct Matchmaker {
    holds: Holds,
    lobby: Queue,
    rooms: HashMap<String, Queue>,
    places: HashMap<ClientKey, Place>,
    /// When a hold of somebody in the lobby runs out, with their rank. Rooms have no holds.
    deadlines: BTreeSet<(Instant, u64)>,
    next_rank: u64,
}

impl Matchmaker {
    pub(super) fn new(holds: Holds) -> Self {
        Self {
            holds,
            lobby: Queue::default(),
            rooms: HashMap::new(),
            places: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_rank: 0,
        }
    }

    /// Adds somebody who does not wait yet; the match that this makes, if any, is taken out of the queue.
    pub(super) fn join(
        &mut self,
        key: ClientKey,
        search: Search,
        now: Instant,
        relation: &impl Fn(ClientKey, ClientKey) -> Relation,
    ) -> Option<Match> {
        debug_assert!(!self.contains(key), "{key:?} waits already");
        let Search { room, interests } = search;
        let rank = self.next_rank;
        self.next_rank += 1;

        if room.is_none() {
            if !interests.is_empty() {
                self.deadlines.insert((now + self.holds.interests, rank));
            }

            self.deadlines.insert((now + self.holds.rematch, rank));
        }

        let queue = match &room {
            Some(room) => self.rooms.entry(room.clone()).or_default(),
            None => &mut self.lobby,
        };

        queue.insert(
            rank,
            Entry {
                key,
                since: now,
                interests,
            },
        );
        let in_room = room.is_some();
        let found = best_partner(queue, rank, now, self.holds, in_room, relation);
        self.places.insert(key, Place { rank, room });

        found.map(|found| self.take(found))
    }

    /// Removes somebody; false if they did not wait.
    pub(super) fn leave(&mut self, key: ClientKey) -> bool {
        let Some(Place { rank, room }) = self.places.remove(&key) else {
            return false;
        };

        self.places.tighten();
        match room {
            Some(room) => {
                if let Some(queue) = self.rooms.get_mut(&room) {
                    queue.remove(rank);
                    if queue.entries.is_empty() {
                        self.rooms.remove(&room);
                        self.rooms.tighten();
                    }
                }
            }
            None => {
                if let Some(entry) = self.lobby.remove(rank) {
                    self.deadlines
                        .remove(&(entry.since + self.holds.interests, rank));
                    self.deadlines
                        .remove(&(entry.since + self.holds.rematch, rank));
                }
            }
        }

        true
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, key: ClientKey) -> bool {
        self.places.contains_key(&key)
    }

    /// The next match that a hold has kept back until now. Call it until there is none.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        relation: &impl Fn(ClientKey, ClientKey) -> Relation,
    ) -> Option<Match> {
        while let Some(&(deadline, rank)) = self.deadlines.first() {
            if deadline > now {
                return None;
            }

            self.deadlines.pop_first();
            if let Some(found) = best_partner(&self.lobby, rank, now, self.holds, false, relation) {
                return Some(self.take(found));
            }
        }

        None
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    fn take(&mut self, found: Match) -> Match {
        self.leave(found.older);
        self.leave(found.newer);
        found
    }
}

/// For the entry at `rank`: who may be matched with it now, most interests in common first, then who waited longest.
fn best_partner(
    queue: &Queue,
    rank: u64,
    now: Instant,
    holds: Holds,
    in_room: bool,
    relation: &impl Fn(ClientKey, ClientKey) -> Relation,
) -> Option<Match> {
    let own = queue.entries.get(&rank)?;
    let may = |&other_rank: &u64| {
        let Some(other) = queue
            .entries
            .get(&other_rank)
            .filter(|_| other_rank != rank)
        else {
            return false;
        };

        match relation(own.key, other.key) {
            Relation::Free => true,
            // The younger entry is the one that came later.
            Relation::JustLeft => in_room || now >= own.since.max(other.since) + holds.rematch,
            Relation::Blocked => false,
        }
    };

    let held_over = |entry: &Entry| in_room || now >= entry.since + holds.interests;
    let mut common: HashMap<u64, usize> = HashMap::new();

    for interest in &own.interests {
        for &other in queue.interested.get(interest).into_iter().flatten() {
            *common.entry(other).or_default() += 1;
        }
    }

    let mut sharing: Vec<(Reverse<usize>, u64)> = common
        .iter()
        .map(|(&other, &count)| (Reverse(count), other))
        .collect();
    sharing.sort_unstable();
    let shares = |other: &u64| common.contains_key(other);
    let found = sharing
        .iter()
        .map(|(_, other)| other)
        .copied()
        .find(may)
        .or_else(|| {
            if own.interests.is_empty() || held_over(own) {
                return queue
                    .entries
                    .keys()
                    .copied()
                    .filter(|other| !shares(other))
                    .find(may);
            }

            // A stranger with interests only if it has waited long enough: such entries stand in front.
            let long = queue
                .entries
                .iter()
                .take_while(|(_, entry)| held_over(entry))
                .map(|(&other, _)| other);
            let long = long.filter(|other| !shares(other)).find(may);
            let plain = queue.plain.iter().copied().find(may);

            long.into_iter().chain(plain).min()
        })?;

    let (older, newer) = (
        queue.entries.get(&rank.min(found))?,
        queue.entries.get(&rank.max(found))?,
    );

    let interests = older
        .interests
        .iter()
        .filter(|interest| newer.interests.contains(interest))
        .cloned()
        .collect();

    Some(Match {
        older: older.key,
        newer: newer.key,
        interests,
    })
}

#[cfg(test)]
#[path = "matchmaker_tests.rs"]
mod tests;
