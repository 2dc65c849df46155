//! Tables that give their memory back when most of what was in them is gone.
//!
//! A hash table never shrinks by itself: one that has held 20,000 clients keeps the room for them when the last is gone.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Room for so few is not worth the work.
const SMALL: usize = 256;

/// Call it after something was removed.
pub(super) trait Tighten {
    /// Gives memory back once less than an eighth is in use. Half of what is left stays free, so removing costs constant
    /// time all the same: as much has to be removed before the next time as is moved now.
    fn tighten(&mut self);
}

/// To how much a container of this capacity is to shrink.
fn target(len: usize, capacity: usize) -> Option<usize> {
    (capacity >= SMALL && len < capacity / 8).then_some(len * 2)
}

impl<K: Eq + Hash, V> Tighten for HashMap<K, V> {
    fn tighten(&mut self) {
        if let Some(target) = target(self.len(), self.capacity()) {
            self.shrink_to(target);
        }
    }
}

impl<T> Tighten for VecDeque<T> {
    fn tighten(&mut self) {
        if let Some(target) = target(self.len(), self.capacity()) {
            self.shrink_to(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_full_and_is_nearly_empty_gives_its_memory_back() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let mut queue: VecDeque<u32> = (0..10_000).collect();

        for n in 0..9_990 {
            map.remove(&n);
            map.tighten();
            queue.pop_front();
            queue.tighten();
        }

        assert!(
            map.capacity() < SMALL,
            "a table for {} entries holds {}",
            map.capacity(),
            map.len()
        );

        assert!(
            queue.capacity() < SMALL,
            "a queue for {} entries holds {}",
            queue.capacity(),
            queue.len()
        );

        let mut left: Vec<_> = map.into_values().collect();
        left.sort_unstable();
        let wanted: Vec<u32> = (9_990..10_000).collect();

        assert_eq!(
            (&left, Vec::from(queue)),
            (&wanted, wanted.clone()),
            "what was not removed is still there"
        );
    }

    #[test]
    fn shrinking_costs_no_more_than_removing_did() {
        let mut map: HashMap<u32, ()> = HashMap::new();
        let (mut moved, mut removed) = (0, 0);

        // Up and down, and to and fro around each size at which it could shrink or grow.
        for round in 0..20 {
            map.extend((0..10_000).map(|n| (n, ())));
            for n in 0..10_000 {
                for (key, again) in [(n, true), (n, false)] {
                    map.remove(&key);
                    removed += 1;
                    let before = map.capacity();
                    map.tighten();
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
    fn small_and_well_filled_ones_stay_as_they_are() {
        for (len, capacity) in [
            (0, SMALL - 1),
            (SMALL, SMALL),
            (1_000, 8_000),
            (4_000, 7_168),
        ] {
            assert_eq!(target(len, capacity), None, "{len} of {capacity}");
        }

        assert_eq!(target(999, 8_000), Some(1_998));
    }
}
