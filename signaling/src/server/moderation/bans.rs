//! The operator's bans by [`PeerHash`], with an expiry each, and what of them the shared store does
//! not know yet. Sans-IO.
//!
//! Every change carries the time at which it was made, and the latest one of a client wins: on each
//! node and in the store, in whatever order and however often they arrive. So a node may repeat what
//! it knows, and does when the store has lost its list. Bans that were lifted or have ended are kept for [`LIFTED_KEPT_MS`],
//! so that a node which was away does not bring them back.

use std::collections::{HashMap, HashSet};

use super::key::PeerHash;
use crate::server::shrink::ShrinkIfSparse;

/// The most bans. The list is read as a whole from the store: 100,000 take 5 MB.
const MAX_BANS: usize = 100_000;
/// How long it is known that a ban was lifted or has ended, since its last change: longer than a node is cut off from the store.
pub(crate) const LIFTED_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Until when a ban holds, as Unix time in milliseconds.
pub(crate) type UntilMs = u64;

/// A ban without an end: the year 9999, which JSON and Redis hold exactly.
pub(crate) const FOREVER: UntilMs = 253_402_300_799_000;

/// A ban that was made or lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) peer: PeerHash,
    /// `None`: lifted.
    pub(crate) until: Option<UntilMs>,
    /// When it was made or lifted, as Unix time in milliseconds.
    pub(crate) at_ms: u64,
}

/// There are too many bans for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyBans;

/// The last change of a client's ban.
#[derive(Debug, Clone, Copy)]
struct Entry {
    until: Option<UntilMs>,
    at_ms: u64,
}

impl Entry {
    fn holds_until(self, now_ms: u64) -> Option<UntilMs> {
        self.until.filter(|until| *until > now_ms)
    }

    /// Whether it says anything that the absence of an entry does not: one that has ended or was lifted
    /// keeps older ones from coming back.
    fn is_needed(self, now_ms: u64) -> bool {
        self.holds_until(now_ms).is_some() || self.at_ms.saturating_add(LIFTED_KEPT_MS) > now_ms
    }
}

/// The bans as one node knows them.
#[derive(Debug, Default)]
pub(crate) struct PeerBans {
    entries: HashMap<PeerHash, Entry>,
    /// Whose last change the shared store has not confirmed; `None` without one.
    unconfirmed: Option<HashSet<PeerHash>>,
    /// Which list the store had last: a new one has another id.
    list_id: Option<String>,
}

impl PeerBans {
    /// An empty list. `is_shared`: the changes are collected for a store.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self {
            entries: HashMap::new(),
            unconfirmed: is_shared.then(HashSet::new),
            list_id: None,
        }
    }

    /// Bans this client until then, instead of whatever its ban was before.
    ///
    /// # Errors
    /// If the list is full.
    pub(crate) fn ban(
        &mut self,
        peer: PeerHash,
        until: UntilMs,
        now_ms: u64,
    ) -> Result<(), TooManyBans> {
        if self.entries.len() >= MAX_BANS && !self.entries.contains_key(&peer) {
            self.entries.retain(|_, entry| entry.is_needed(now_ms));
            if self.entries.len() >= MAX_BANS && !self.forget_an_ended_ban(now_ms) {
                return Err(TooManyBans);
            }
        }

        self.change(peer, Some(until), now_ms);
        Ok(())
    }

    /// Lifts a ban. False if there was none.
    pub(crate) fn unban(&mut self, peer: PeerHash, now_ms: u64) -> bool {
        let was_banned = self.banned_until(peer, now_ms).is_some();
        if self.unconfirmed.is_some() {
            // Also one that this node has not heard of yet.
            self.change(peer, None, now_ms);
        } else {
            self.entries.remove(&peer);
        }

        self.entries.retain(|_, entry| entry.is_needed(now_ms));
        self.entries.shrink_if_sparse();
        was_banned
    }

    /// Notes a change of this node's operator. It is later than what it replaces, even if the clock
    /// of the node that made that one is ahead.
    fn change(&mut self, peer: PeerHash, until: Option<UntilMs>, now_ms: u64) {
        let before = self
            .entries
            .get(&peer)
            .map_or(0, |entry| entry.at_ms.saturating_add(1));
        let at_ms = now_ms.max(before);
        self.entries.insert(peer, Entry { until, at_ms });
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.insert(peer);
        }
    }

    /// Makes room for a ban. False if all of them hold.
    fn forget_an_ended_ban(&mut self, now_ms: u64) -> bool {
        let ended = |entry: &Entry| entry.holds_until(now_ms).is_none();
        let ended = self.entries.iter().filter(|(_, entry)| ended(entry));
        let oldest = ended
            .min_by_key(|(_, entry)| entry.at_ms)
            .map(|(peer, _)| *peer);
        oldest.is_some_and(|peer| self.entries.remove(&peer).is_some())
    }

    /// Until when this client is banned, if it is.
    pub(crate) fn banned_until(&self, peer: PeerHash, now_ms: u64) -> Option<UntilMs> {
        self.entries.get(&peer)?.holds_until(now_ms)
    }

    /// The bans that hold, the first to end first.
    pub(crate) fn list(&self, now_ms: u64) -> Vec<(PeerHash, UntilMs)> {
        let holding =
            |(peer, entry): (&PeerHash, &Entry)| Some((*peer, entry.holds_until(now_ms)?));
        let mut list: Vec<_> = self.entries.iter().filter_map(holding).collect();
        list.sort_unstable_by_key(|&(peer, until)| (until, peer));
        list
    }

    /// How many bans hold.
    pub(crate) fn len(&self, now_ms: u64) -> usize {
        let holding = |entry: &&Entry| entry.holds_until(now_ms).is_some();
        self.entries.values().filter(holding).count()
    }

    /// What the store has to be told. It stays until [`confirm`](Self::confirm).
    pub(crate) fn changes(&self) -> Vec<Change> {
        let changes = self.unconfirmed.iter().flatten();
        changes.filter_map(|peer| self.last_change(*peer)).collect()
    }

    fn last_change(&self, peer: PeerHash) -> Option<Change> {
        let Entry { until, at_ms } = *self.entries.get(&peer)?;
        Some(Change { peer, until, at_ms })
    }

    /// The store has these changes. Newer ones of the same clients stay.
    pub(crate) fn confirm(&mut self, changes: &[Change]) {
        for change in changes {
            if self
                .last_change(change.peer)
                .is_none_or(|last| last == *change)
                && let Some(unconfirmed) = &mut self.unconfirmed
            {
                unconfirmed.remove(&change.peer);
            }
        }
    }

    /// The list of the store has this id; `None` if there is none. If it has lost the one that this
    /// node knew, it has to be told everything.
    pub(crate) fn meet_list(&mut self, id: Option<String>) {
        let is_other = self.list_id.is_some() && self.list_id != id;
        if (id.is_none() || is_other)
            && let Some(unconfirmed) = &mut self.unconfirmed
        {
            unconfirmed.extend(self.entries.keys());
        }

        self.list_id = id.or(self.list_id.take());
    }

    /// This node has begun the list with this id.
    pub(crate) fn began_list(&mut self, id: String) {
        self.list_id = Some(id);
    }

    /// Takes over the list of the store, with what the store has not been told yet. Of too many bans,
    /// those that end last stay.
    pub(crate) fn replace(&mut self, list: impl IntoIterator<Item = Change>) {
        let mut entries: HashMap<PeerHash, Entry> = list
            .into_iter()
            .map(|Change { peer, until, at_ms }| (peer, Entry { until, at_ms }))
            .collect();
        if entries.len() > MAX_BANS {
            let mut ends: Vec<_> = entries.iter().map(|(peer, e)| (e.until, *peer)).collect();
            ends.sort_unstable();
            for (_, peer) in &ends[..ends.len() - MAX_BANS] {
                entries.remove(peer);
            }
        }

        // What the store has in a later state needs no word any more.
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.retain(|peer| {
                let own = self.entries.get(peer);
                let other = entries.get(peer).map(|entry| entry.at_ms);
                own.is_some_and(|own| other.is_none_or(|other| other < own.at_ms))
            });
            entries.extend(unconfirmed.iter().map(|peer| (*peer, self.entries[peer])));
        }

        self.entries = entries;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What an operator, the clock and the network do to two nodes and their store.
    #[derive(Debug, Clone)]
    enum Step {
        Ban {
            node: usize,
            peer: u8,
            for_ms: u64,
        },
        Unban {
            node: usize,
            peer: u8,
        },
        /// The node tells the store its changes, then reads the list.
        Sync {
            node: usize,
        },
        /// The store does not answer.
        FailedSync {
            node: usize,
            arrives: bool,
        },
        /// The store is empty again.
        StoreLost,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (node, peer) = (0..2_usize, 0..4_u8);
        let step = prop_oneof![
            4 => (node.clone(), peer.clone(), 1..50_u64)
                .prop_map(|(node, peer, for_ms)| Step::Ban { node, peer, for_ms }),
            3 => (node.clone(), peer).prop_map(|(node, peer)| Step::Unban { node, peer }),
            6 => node.clone().prop_map(|node| Step::Sync { node }),
            1 => (node, any::<bool>())
                .prop_map(|(node, arrives)| Step::FailedSync { node, arrives }),
            1 => Just(Step::StoreLost),
            2 => (1..30_u64).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..60)
    }

    fn hash(peer: u8) -> PeerHash {
        PeerHash::of_bytes([peer; 16])
    }

    /// The store, as `store/bans.rs` uses Redis.
    #[derive(Default)]
    struct Store {
        bans: BTreeMap<PeerHash, Change>,
        list: Option<u32>,
        lists: u32,
    }

    impl Store {
        fn sync(&mut self, node: &mut PeerBans) {
            self.write(node);
            if self.list.is_some() {
                node.replace(self.bans.values().copied());
            }
        }

        fn write(&mut self, node: &mut PeerBans) {
            node.meet_list(self.list.map(|id| id.to_string()));

            let is_new = self.list.is_none();
            let changes = node.changes();
            for change in &changes {
                self.lists += u32::from(self.list.is_none());
                self.list.get_or_insert(self.lists);
                let known = self.bans.get(&change.peer);
                if known.is_none_or(|known| known.at_ms < change.at_ms) {
                    self.bans.insert(change.peer, *change);
                }
            }
            node.confirm(&changes);
            if let Some(id) = self.list.filter(|_| is_new) {
                node.began_list(id.to_string());
            }
        }

        fn lose(&mut self) {
            self.bans.clear();
            self.list = None;
        }
    }

    proptest! {
        /// One node, against a list that is searched from the end.
        #[test]
        fn a_ban_holds_until_it_ends_or_is_lifted(steps in steps()) {
            let mut bans = PeerBans::new(false);
            let mut log: Vec<(PeerHash, u64)> = Vec::new();
            let mut now = 1_000;

            for step in steps {
                match step {
                    Step::Ban { peer, for_ms, .. } => {
                        prop_assert_eq!(bans.ban(hash(peer), now + for_ms, now), Ok(()));
                        log.push((hash(peer), now + for_ms));
                    }
                    Step::Unban { peer, .. } => {
                        let held = log.iter().rfind(|entry| entry.0 == hash(peer));
                        let held = held.is_some_and(|entry| entry.1 > now);
                        prop_assert_eq!(bans.unban(hash(peer), now), held);
                        log.push((hash(peer), 0));
                    }
                    Step::Wait(ms) => now += ms,
                    _ => {}
                }

                let mut holding = 0;
                for peer in 0..4 {
                    let last = log.iter().rfind(|entry| entry.0 == hash(peer));
                    let until = last.map(|entry| entry.1).filter(|until| *until > now);
                    prop_assert_eq!(bans.banned_until(hash(peer), now), until);
                    holding += usize::from(until.is_some());
                }
                prop_assert_eq!(bans.list(now).len(), holding);
                prop_assert_eq!(bans.len(now), holding);
                prop_assert!(bans.changes().is_empty(), "nobody has to be told");
            }
        }

        /// Whatever happened, two nodes that reach the store have the operator's last word on every
        /// client: nothing is lost, and nothing older comes back.
        #[test]
        fn nodes_that_reach_the_store_have_the_last_word(steps in steps()) {
            let mut nodes = [PeerBans::new(true), PeerBans::new(true)];
            let mut store = Store::default();
            let mut last = BTreeMap::new();
            let mut now = 1_000;

            for step in &steps {
                now += 1;
                match *step {
                    Step::Ban { node, peer, for_ms } => {
                        nodes[node].ban(hash(peer), now + for_ms, now).expect("room");
                        prop_assert!(nodes[node].banned_until(hash(peer), now).is_some());
                        last.insert(hash(peer), now + for_ms);
                    }
                    Step::Unban { node, peer } => {
                        nodes[node].unban(hash(peer), now);
                        prop_assert_eq!(nodes[node].banned_until(hash(peer), now), None);
                        last.remove(&hash(peer));
                    }
                    Step::Sync { node } => store.sync(&mut nodes[node]),
                    // The store may have got the changes before the link broke.
                    Step::FailedSync { node, arrives } => {
                        let knew = (nodes[node].unconfirmed.clone(), nodes[node].list_id.clone());
                        if arrives {
                            store.write(&mut nodes[node]);
                            (nodes[node].unconfirmed, nodes[node].list_id) = knew;
                        }
                    }
                    Step::StoreLost => store.lose(),
                    Step::Wait(ms) => now += ms,
                }
            }

            for node in [0, 1, 0, 1] {
                store.sync(&mut nodes[node]);
            }
            last.retain(|_, until| *until > now);
            for node in &nodes {
                let list: BTreeMap<_, _> = node.list(now).into_iter().collect();
                prop_assert_eq!(&list, &last);
                prop_assert!(node.changes().is_empty(), "all are confirmed");
            }
        }
    }

    #[test]
    fn a_store_that_lost_its_list_gets_it_back_from_every_node() {
        let (mut store, mut nodes) = (Store::default(), [true; 2].map(PeerBans::new));
        nodes[0].ban(hash(1), 500, 0).unwrap();
        store.sync(&mut nodes[0]);
        store.sync(&mut nodes[1]);
        nodes[1].ban(hash(2), 500, 0).unwrap();
        store.sync(&mut nodes[1]);
        // Node 0 has not read the second ban yet.
        store.lose();
        for node in [0, 1, 0] {
            store.sync(&mut nodes[node]);
        }

        for node in &nodes {
            assert_eq!(node.list(0), [(hash(1), 500), (hash(2), 500)]);
        }
    }

    #[test]
    fn a_change_stays_until_the_store_has_confirmed_it() {
        let mut bans = PeerBans::new(true);
        bans.ban(hash(1), 500, 0).unwrap();
        let sent = bans.changes();
        assert_eq!(bans.changes(), sent, "the link broke before the answer");

        bans.unban(hash(1), 0);
        bans.confirm(&sent);
        let lifted = Change {
            peer: hash(1),
            until: None,
            at_ms: 1,
        };
        assert_eq!(
            bans.changes(),
            [lifted],
            "later than the ban, on the same clock"
        );
        bans.confirm(&[lifted]);
        assert_eq!(bans.changes(), []);
    }

    #[test]
    fn a_lifted_ban_is_remembered_for_a_week() {
        let mut bans = PeerBans::new(true);
        bans.unban(hash(1), 0);
        bans.unban(hash(2), LIFTED_KEPT_MS - 1);
        assert!(bans.entries.contains_key(&hash(1)));
        bans.unban(hash(2), LIFTED_KEPT_MS);
        assert!(!bans.entries.contains_key(&hash(1)));
    }

    #[test]
    fn of_too_many_bans_in_the_store_those_that_end_last_stay() {
        let numbered = |n: usize| PeerHash::of_bytes((n as u128).to_be_bytes());
        let list = (0..MAX_BANS + 5).rev().map(|n| Change {
            peer: numbered(n),
            until: Some(1 + n as u64),
            at_ms: 0,
        });
        let mut bans = PeerBans::new(true);
        bans.replace(list);
        assert_eq!(bans.len(0), MAX_BANS);
        assert_eq!(bans.list(0)[0], (numbered(5), 6));
    }

    #[test]
    fn the_list_has_an_end_and_expired_bans_make_room() {
        let mut bans = PeerBans::new(false);
        let numbered = |n: usize| PeerHash::of_bytes((n as u128).to_be_bytes());
        for n in 0..MAX_BANS {
            bans.ban(numbered(n), 10, 0).unwrap();
        }

        assert_eq!(bans.ban(numbered(MAX_BANS), 10, 0), Err(TooManyBans));
        assert_eq!(bans.ban(numbered(3), 20, 0), Ok(()), "a longer one");
        assert_eq!(bans.ban(numbered(MAX_BANS), 99, 10), Ok(()));
        assert_eq!(bans.list(10).len(), 2);
    }
}
