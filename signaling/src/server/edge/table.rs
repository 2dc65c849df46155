//! A table of what addresses or persons have used of their limits. It forgets those whose limits
//! have recovered.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use crate::server::shrink::ShrinkIfSparse;

/// Entries. The table is swept when it has twice as many entries as the last sweep left, but not
/// below this number.
pub(super) const MIN_SWEEP: usize = 1024;

/// What the table holds for each key.
pub(super) trait Usage: Default {
    /// Whether this allows as much as a new entry, so that it can be forgotten.
    fn is_idle(&self, now: Instant) -> bool;
}

/// Entries by key. Idle entries are swept out now and then, so that removing costs constant time on
/// average.
#[derive(Debug)]
pub(super) struct UsageTable<K, U> {
    entries: HashMap<K, U>,
    sweep_at: usize,
}

impl<K: Eq + Hash, U: Usage> UsageTable<K, U> {
    pub(super) fn new() -> Self {
        Self {
            entries: HashMap::new(),
            sweep_at: MIN_SWEEP,
        }
    }

    /// The entry of `key`, new if there is none.
    pub(super) fn entry(&mut self, key: &K, now: Instant) -> &mut U
    where
        K: Clone,
    {
        if !self.entries.contains_key(key) && self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, usage| !usage.is_idle(now));
            self.entries.shrink_if_sparse();
            self.sweep_at = MIN_SWEEP.max(self.entries.len() * 2);
        }

        self.entries.entry(key.clone()).or_default()
    }

    /// The entry of `key`, if there is one.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut U> {
        self.entries.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
        self.entries.shrink_if_sparse();
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> &HashMap<K, U> {
        &self.entries
    }
}
