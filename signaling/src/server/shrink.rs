//! Collections that return memory once most of their content is gone.
//!
//! A hash table never shrinks by itself: one that held 20,000 clients keeps the room for them after
//! the last has left.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Entries. A smaller capacity is not worth shrinking.
const MIN_CAPACITY: usize = 256;

/// Call it after removing something.
pub(super) trait ShrinkIfSparse {
    /// Shrinks once less than an eighth of the capacity is in use, to twice the length.
    ///
    /// Removing stays constant time on average: before the next shrink moves n entries, at least n
    /// must have been removed.
    fn shrink_if_sparse(&mut self);
}

/// The capacity to shrink to, or `None` if the collection is small or well filled.
fn target(len: usize, capacity: usize) -> Option<usize> {
    (capacity >= MIN_CAPACITY && len < capacity / 8).then_some(len * 2)
}

impl<K: Eq + Hash, V> ShrinkIfSparse for HashMap<K, V> {
    fn shrink_if_sparse(&mut self) {
        if let Some(target) = target(self.len(), self.capacity()) {
            self.shrink_to(target);
        }
    }
}

impl<T> ShrinkIfSparse for VecDeque<T> {
    fn shrink_if_sparse(&mut self) {
        if let Some(target) = target(self.len(), self.capacity()) {
            self.shrink_to(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_collection_returns_its_memory() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let mut queue: VecDeque<u32> = (0..10_000).collect();

        for n in 0..9_990 {
            map.remove(&n);
            map.shrink_if_sparse();
            queue.pop_front();
            queue.shrink_if_sparse();
        }

        assert!(
            map.capacity() < MIN_CAPACITY,
            "a table with {} entries has room for {}",
            map.len(),
            map.capacity()
        );

        assert!(
            queue.capacity() < MIN_CAPACITY,
            "a queue with {} entries has room for {}",
            queue.len(),
            queue.capacity()
        );

        let mut left: Vec<_> = map.into_values().collect();
        left.sort_unstable();
        let expected: Vec<u32> = (9_990..10_000).collect();

        assert_eq!(
            (&left, Vec::from(queue)),
            (&expected, expected.clone()),
            "what was not removed is still there"
        );
    }

    #[test]
    fn shrinking_moves_fewer_entries_than_were_removed() {
        let mut map: HashMap<u32, ()> = HashMap::new();
        let (mut moved, mut removed) = (0, 0);

        // Fill and empty, with a removal and an insertion around every size at which it could
        // shrink or grow.
        for round in 0..20 {
            map.extend((0..10_000).map(|n| (n, ())));

            for n in 0..10_000 {
                for (key, again) in [(n, true), (n, false)] {
                    map.remove(&key);
                    removed += 1;

                    let before = map.capacity();
                    map.shrink_if_sparse();
                    moved += if map.capacity() < before {
                        map.len()
                    } else {
                        0
                    };

                    if again {
                        map.insert(key, ());
                    }
                }
            }

            assert!(map.is_empty(), "round {round}");
        }

        assert!(
            moved < removed / 2,
            "{moved} entries moved for {removed} removed"
        );
    }

    #[test]
    fn small_and_well_filled_collections_stay_as_they_are() {
        for (len, capacity) in [
            (0, MIN_CAPACITY - 1),
            (MIN_CAPACITY, MIN_CAPACITY),
            (1_000, 8_000),
            (4_000, 7_168),
        ] {
            assert_eq!(target(len, capacity), None, "{len} of {capacity}");
        }

        assert_eq!(target(999, 8_000), Some(1_998));
    }
}
