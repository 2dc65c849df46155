//! The queue of clients that wait for a partner, and the choice of pairs from it.
//!
//! Sans-IO: the time is an argument, and so is the function that says what keeps two clients apart.
//!
//! The queue has one invariant: no two entries in it may be matched with each other now. So a new
//! entry only needs to be compared with those that wait already, and two that wait are only
//! compared again when a hold of one of them runs out. The hub keeps it true when a relation changes:
//! the end of a claim, which would let guests meet, ends their searches.
//!
//! `cluster.lua` has the same rules for the nodes of a cluster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::client_key::ClientKey;
use super::shrink::ShrinkIfSparse;

/// What keeps two clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Nothing: they may be matched.
    Free,
    /// The last call of one of them was with the other: only after [`Holds::rematch`].
    JustLeft,
    /// One has blocked the other, or both are the same person: never.
    Blocked,
    /// Both are guests in a claimed room, where they wait for its owner: not while it is claimed.
    Guests,
}

/// How long some pairs are kept apart, in case a better partner comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holds {
    /// Both have interests but share none. Counted from the older entry.
    pub(super) interests: Duration,
    /// The last call of one of them was with the other. Counted from the younger entry.
    pub(super) rematch: Duration,
}

/// What a client searches for.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// Only match with a client in the same room.
    pub(super) room: Option<String>,
    /// Without duplicates.
    pub(super) interests: Vec<String>,
}

/// Two clients that the matchmaker has paired.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The one that has waited longer.
    pub(super) older: ClientKey,
    /// The one that came later.
    pub(super) newer: ClientKey,
    /// What both have in common, in the older entry's order.
    pub(super) interests: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    key: ClientKey,
    since: Instant,
    interests: Vec<String>,
}

/// Entries by rank; a lower rank came earlier. With the two indexes, a new entry need not be
/// compared with every other in an open queue full of interests.
#[derive(Debug, Default)]
struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// The ranks of entries without interests.
    plain: BTreeSet<u64>,
    /// The ranks of entries with each interest.
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
                    self.interested.shrink_if_sparse();
                }
            }
        }

        Some(entry)
    }
}

/// Where a client waits.
#[derive(Debug)]
struct Position {
    rank: u64,
    room: Option<String>,
}

/// The queues: one for clients without a room (the open queue), and one for each room in which a
/// client waits.
#[derive(Debug)]
pub(super) struct Matchmaker {
    holds: Holds,
    open: Queue,
    rooms: HashMap<String, Queue>,
    positions: HashMap<ClientKey, Position>,
    /// When a hold of an entry in the open queue runs out, with its rank. Rooms have no holds.
    deadlines: BTreeSet<(Instant, u64)>,
    next_rank: u64,
}

impl Matchmaker {
    pub(super) fn new(holds: Holds) -> Self {
        Self {
            holds,
            open: Queue::default(),
            rooms: HashMap::new(),
            positions: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_rank: 0,
        }
    }

    /// Adds a client that does not wait yet. If it can be matched now, both leave the queue again.
    pub(super) fn join(
        &mut self,
        key: ClientKey,
        search: Search,
        now: Instant,
        relation: &impl Fn(ClientKey, ClientKey) -> Relation,
    ) -> Option<Match> {
        debug_assert!(!self.contains(key), "{key:?} is waiting already");

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
            None => &mut self.open,
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
        self.positions.insert(key, Position { rank, room });

        found.map(|found| self.take(found))
    }

    /// Removes a client. False if it was not waiting.
    pub(super) fn leave(&mut self, key: ClientKey) -> bool {
        let Some(Position { rank, room }) = self.positions.remove(&key) else {
            return false;
        };

        self.positions.shrink_if_sparse();
        match room {
            Some(room) => {
                if let Some(queue) = self.rooms.get_mut(&room) {
                    queue.remove(rank);
                    if queue.entries.is_empty() {
                        self.rooms.remove(&room);
                        self.rooms.shrink_if_sparse();
                    }
                }
            }
            None => {
                if let Some(entry) = self.open.remove(rank) {
                    self.deadlines
                        .remove(&(entry.since + self.holds.interests, rank));
                    self.deadlines
                        .remove(&(entry.since + self.holds.rematch, rank));
                }
            }
        }

        true
    }

    /// Whether anyone waits in this room.
    pub(super) fn has_room(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// Who waits in this room, by rank.
    pub(super) fn waiting_in(&self, room: &str) -> impl Iterator<Item = (u64, ClientKey)> {
        let entries = self.rooms.get(room).map(|queue| &queue.entries);
        entries
            .into_iter()
            .flatten()
            .map(|(&rank, entry)| (rank, entry.key))
    }

    /// The room in which this client waits.
    pub(super) fn room_of(&self, key: ClientKey) -> Option<&str> {
        self.positions.get(&key)?.room.as_deref()
    }

    /// How many clients wait.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(super) fn contains(&self, key: ClientKey) -> bool {
        self.positions.contains_key(&key)
    }

    /// The next match that a hold has prevented until now. Call it until it returns `None`.
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
            if let Some(found) = best_partner(&self.open, rank, now, self.holds, false, relation) {
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

/// The best entry that may be matched with the one at `rank` now: the one with most interests in
/// common, and of those the one that has waited longest.
fn best_partner(
    queue: &Queue,
    rank: u64,
    now: Instant,
    holds: Holds,
    in_room: bool,
    relation: &impl Fn(ClientKey, ClientKey) -> Relation,
) -> Option<Match> {
    let searcher = queue.entries.get(&rank)?;

    let may_match = |&other_rank: &u64| {
        let Some(other) = queue
            .entries
            .get(&other_rank)
            .filter(|_| other_rank != rank)
        else {
            return false;
        };

        match relation(searcher.key, other.key) {
            Relation::Free => true,
            Relation::JustLeft => in_room || now >= searcher.since.max(other.since) + holds.rematch,
            Relation::Blocked | Relation::Guests => false,
        }
    };

    let mut common: HashMap<u64, usize> = HashMap::new();
    for interest in &searcher.interests {
        for &other in queue.interested.get(interest).into_iter().flatten() {
            *common.entry(other).or_default() += 1;
        }
    }

    let mut sharing: Vec<(Reverse<usize>, u64)> = common
        .iter()
        .map(|(&other, &count)| (Reverse(count), other))
        .collect();
    sharing.sort_unstable();

    let best_sharing = sharing
        .iter()
        .map(|(_, other)| other)
        .copied()
        .find(may_match);

    let shares = |other: &u64| common.contains_key(other);
    let hold_is_over = |entry: &Entry| in_room || now >= entry.since + holds.interests;

    let found = best_sharing.or_else(|| {
        // No interest keeps this one from an entry that shares none with it.
        if searcher.interests.is_empty() || hold_is_over(searcher) {
            return queue
                .entries
                .keys()
                .copied()
                .filter(|other| !shares(other))
                .find(may_match);
        }

        // Otherwise the hold counts from the older of the two. So the candidates are the entries
        // whose own hold is over, which stand at the front, and those without interests.
        let unheld = queue
            .entries
            .iter()
            .take_while(|(_, entry)| hold_is_over(entry))
            .map(|(&other, _)| other)
            .filter(|other| !shares(other))
            .find(may_match);
        let plain = queue.plain.iter().copied().find(may_match);

        unheld.into_iter().chain(plain).min()
    })?;

    let older = queue.entries.get(&rank.min(found))?;
    let newer = queue.entries.get(&rank.max(found))?;
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
mod tests;
