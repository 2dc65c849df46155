//! Who waits for a partner, and who is matched with whom.
//!
//! Sans-IO: the time comes in as an argument, and what two users are to each other through a function. The queue keeps
//! one promise at all times: no two who wait may be matched with each other yet. So a new entry is compared with those
//! who wait, and those who wait with each other only when a hold of one of them runs out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::hub::ClientKey;

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

/// Entries by rank; a lower rank came earlier.
type Queue = BTreeMap<u64, Entry>;

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
            lobby: Queue::new(),
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
        queue.insert(rank, Entry { key, since: now, interests });
        let in_room = room.is_some();
        let found = best_partner(queue, rank, now, self.holds, in_room, relation);
        self.places.insert(key, Place { rank, room });
        found.map(|found| self.take(found))
    }

    /// Removes somebody; false if they did not wait.
    pub(super) fn leave(&mut self, key: ClientKey) -> bool {
        let Some(Place { rank, room }) = self.places.remove(&key) else { return false };
        match room {
            Some(room) => {
                if let Some(queue) = self.rooms.get_mut(&room) {
                    queue.remove(&rank);
                    if queue.is_empty() {
                        self.rooms.remove(&room);
                    }
                }
            }
            None => {
                if let Some(entry) = self.lobby.remove(&rank) {
                    self.deadlines.remove(&(entry.since + self.holds.interests, rank));
                    self.deadlines.remove(&(entry.since + self.holds.rematch, rank));
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
    pub(super) fn poll(&mut self, now: Instant, relation: &impl Fn(ClientKey, ClientKey) -> Relation) -> Option<Match> {
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
    let own = queue.get(&rank)?;
    let mut best: Option<(usize, u64)> = None;
    for (&other_rank, other) in queue.iter().filter(|&(&other_rank, _)| other_rank != rank) {
        let common = own.interests.iter().filter(|interest| other.interests.contains(interest)).count();
        if best.is_some_and(|(most, _)| common <= most) {
            continue;
        }
        let (older, younger) = if other_rank < rank { (other, own) } else { (own, other) };
        let both_interested = !own.interests.is_empty() && !other.interests.is_empty();
        let held = !in_room && both_interested && common == 0 && now < older.since + holds.interests;
        let may = !held
            && match relation(own.key, other.key) {
                Relation::Free => true,
                Relation::JustLeft => in_room || now >= younger.since + holds.rematch,
                Relation::Blocked => false,
            };
        if may {
            best = Some((common, other_rank));
            if own.interests.is_empty() {
                break;
            }
        }
    }
    let (_, other_rank) = best?;
    let (older, newer) = (queue.get(&rank.min(other_rank))?, queue.get(&rank.max(other_rank))?);
    let interests = older.interests.iter().filter(|interest| newer.interests.contains(interest)).cloned().collect();
    Some(Match { older: older.key, newer: newer.key, interests })
}

#[cfg(test)]
#[path = "matchmaker_tests.rs"]
mod tests;
