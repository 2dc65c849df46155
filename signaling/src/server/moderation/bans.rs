//! The operator's bans by [`PeerHash`], with an expiry each, and what of them the shared store does
//! not know yet. Sans-IO.

use std::collections::HashMap;

use super::key::PeerHash;
use crate::server::shrink::ShrinkIfSparse;

/// The most bans. The list is read as a whole from the store: 100,000 take 5 MB.
const MAX_BANS: usize = 100_000;

/// Until when a ban holds, as Unix time in milliseconds.
pub(crate) type UntilMs = u64;

/// A ban without an end: the year 9999, which JSON and Redis hold exactly.
pub(crate) const FOREVER: UntilMs = 253_402_300_799_000;

/// A ban that was made or lifted.
pub(crate) type Change = (PeerHash, Option<UntilMs>);

/// There are too many bans for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyBans;

/// The bans as one node knows them.
#[derive(Debug, Default)]
pub(crate) struct PeerBans {
    bans: HashMap<PeerHash, UntilMs>,
    /// What the shared store has to be told; `None` without one.
    changes: Option<HashMap<PeerHash, Option<UntilMs>>>,
    /// Which list the store had last: a new one has another id.
    list_id: Option<String>,
}

impl PeerBans {
    /// An empty list. `is_shared`: the changes are collected for a store.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self {
            bans: HashMap::new(),
            changes: is_shared.then(HashMap::new),
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
        if self.bans.len() >= MAX_BANS && !self.bans.contains_key(&peer) {
            self.bans.retain(|_, until| *until > now_ms);
            if self.bans.len() >= MAX_BANS {
                return Err(TooManyBans);
            }
        }

        self.bans.insert(peer, until);
        if let Some(changes) = &mut self.changes {
            changes.insert(peer, Some(until));
        }

        Ok(())
    }

    /// Lifts a ban. False if there was none.
    pub(crate) fn unban(&mut self, peer: PeerHash, now_ms: u64) -> bool {
        let until = self.bans.remove(&peer);
        // Also one that this node has not heard of yet.
        if let Some(changes) = &mut self.changes {
            changes.insert(peer, None);
        }

        self.bans.shrink_if_sparse();
        until.is_some_and(|until| until > now_ms)
    }

    /// Until when this client is banned, if it is.
    pub(crate) fn banned_until(&self, peer: PeerHash, now_ms: u64) -> Option<UntilMs> {
        let until = self.bans.get(&peer).copied();
        until.filter(|until| *until > now_ms)
    }

    /// The bans that hold, the first to end first.
    pub(crate) fn list(&self, now_ms: u64) -> Vec<(PeerHash, UntilMs)> {
        let holding = self.bans.iter().filter(|(_, until)| **until > now_ms);
        let mut list: Vec<_> = holding.map(|(peer, until)| (*peer, *until)).collect();
        list.sort_unstable_by_key(|&(peer, until)| (until, peer));
        list
    }

    /// How many bans hold.
    pub(crate) fn len(&self, now_ms: u64) -> usize {
        let holding = self.bans.values().filter(|until| **until > now_ms);
        holding.count()
    }

    /// What the store has to be told. It counts as told, unless [`restore`](Self::restore) returns it.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.changes
            .as_mut()
            .map(|changes| std::mem::take(changes).into_iter().collect())
            .unwrap_or_default()
    }

    /// The store was not told these changes. Newer ones of the same clients stay.
    pub(crate) fn restore(&mut self, changes: Vec<Change>) {
        if let Some(kept) = &mut self.changes {
            for (peer, change) in changes {
                kept.entry(peer).or_insert(change);
            }
        }
    }

    /// The list of the store has this id; `None` if there is none. If it has lost the one that this
    /// node knew, it has to be told everything.
    pub(crate) fn meet_list(&mut self, id: Option<String>) {
        if id.is_none()
            || self
                .list_id
                .as_ref()
                .is_some_and(|known| Some(known) != id.as_ref())
        {
            self.tell_all();
        }

        self.list_id = id.or(self.list_id.take());
    }

    fn tell_all(&mut self) {
        let all = self.bans.iter().map(|(peer, until)| (*peer, Some(*until)));
        let all: Vec<_> = all.collect();
        self.restore(all);
    }

    /// Takes over the list of the store. What the store has not been told yet goes on top.
    pub(crate) fn replace(&mut self, list: impl IntoIterator<Item = (PeerHash, UntilMs)>) {
        self.bans = list.into_iter().take(MAX_BANS).collect();
        for (peer, change) in self.changes.iter().flatten() {
            match change {
                Some(until) => self.bans.insert(*peer, *until),
                None => self.bans.remove(peer),
            };
        }
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
            1 => node.prop_map(|node| Step::FailedSync { node }),
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
        bans: BTreeMap<PeerHash, UntilMs>,
        list: Option<u32>,
        lists: u32,
    }

    impl Store {
        fn sync(&mut self, node: &mut PeerBans) {
            node.meet_list(self.list.map(|id| id.to_string()));

            for (peer, change) in node.take_changes() {
                self.lists += u32::from(self.list.is_none());
                self.list.get_or_insert(self.lists);
                match change {
                    Some(until) => self.bans.insert(peer, until),
                    None => self.bans.remove(&peer),
                };
            }

            if self.list.is_some() {
                node.replace(self.bans.clone());
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
                prop_assert!(bans.take_changes().is_empty(), "nobody has to be told");
            }
        }

        /// Whatever happened, two nodes that reach the store agree, and on what they were told last.
        #[test]
        fn nodes_that_reach_the_store_agree(steps in steps()) {
            let mut nodes = [PeerBans::new(true), PeerBans::new(true)];
            let mut store = Store::default();
            let mut now = 1_000;

            for step in &steps {
                match *step {
                    Step::Ban { node, peer, for_ms } => {
                        nodes[node].ban(hash(peer), now + for_ms, now).expect("room");
                        prop_assert!(nodes[node].banned_until(hash(peer), now).is_some());
                    }
                    Step::Unban { node, peer } => {
                        nodes[node].unban(hash(peer), now);
                        prop_assert_eq!(nodes[node].banned_until(hash(peer), now), None);
                    }
                    Step::Sync { node } => store.sync(&mut nodes[node]),
                    Step::FailedSync { node } => {
                        let changes = nodes[node].take_changes();
                        nodes[node].restore(changes);
                    }
                    Step::StoreLost => store.lose(),
                    Step::Wait(ms) => now += ms,
                }
            }

            for node in [0, 1, 0, 1] {
                store.sync(&mut nodes[node]);
            }
            prop_assert_eq!(nodes[0].list(now), nodes[1].list(now));

            // From here on nothing gets lost: the last word of either node is what both have.
            nodes[0].ban(hash(9), now + 1_000, now).expect("room");
            nodes[1].unban(hash(1), now);
            for node in [0, 1, 0] {
                store.sync(&mut nodes[node]);
            }
            for node in &nodes {
                prop_assert!(node.banned_until(hash(9), now).is_some());
                prop_assert_eq!(node.banned_until(hash(1), now), None);
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
    fn a_newer_change_is_not_overwritten_by_one_that_failed() {
        let mut bans = PeerBans::new(true);
        bans.ban(hash(1), 500, 0).unwrap();
        let failed = bans.take_changes();
        bans.unban(hash(1), 0);
        bans.restore(failed);
        assert_eq!(bans.take_changes(), [(hash(1), None)]);
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
