//! A mailbox that holds only the newest item: how pictures pass between threads without ever queueing.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A single place for the newest item; a slow reader misses older ones.
#[derive(Debug)]
pub struct NewestSlot<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    item: Option<T>,
    overwritten: u64,
    closed: bool,
}

impl<T> Default for NewestSlot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                item: None,
                overwritten: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }
}

impl<T> NewestSlot<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `item` in place of whatever was there.
    pub fn put(&self, item: T) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.item.replace(item).is_some() {
            state.overwritten += 1;
        }

        drop(state);
        self.filled.notify_one();
    }

    /// Takes the newest item, waiting for one until `timeout` has passed. `None`: nothing came, or the slot is closed
    /// and empty.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);

        loop {
            if let Some(item) = state.item.take() {
                return Some(item);
            }

            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }

            state = self
                .filled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Wakes every reader: no more items will come.
    pub fn close(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.filled.notify_all();
    }

    /// Whether the writer has closed the slot.
    pub fn is_closed(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    /// How many items were replaced before anybody took them.
    pub fn overwritten(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .overwritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_item_wins() {
        let slot = NewestSlot::new();
        slot.put(1);
        slot.put(2);

        assert_eq!(slot.take(Duration::ZERO), Some(2), "the older item is gone");
        assert_eq!(
            slot.take(Duration::ZERO),
            None,
            "an item is handed out once"
        );
        assert_eq!(slot.overwritten(), 1, "the lost item is counted");
    }

    #[test]
    fn closing_wakes_a_waiting_reader() {
        let slot = NewestSlot::<u8>::new();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| slot.take(Duration::from_secs(60)));
            slot.close();
            assert_eq!(reader.join().unwrap(), None, "a closed slot gives nothing");
        });
    }
}
