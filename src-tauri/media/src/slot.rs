//! A slot for the newest item only: how frames pass between threads without queueing.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: waiting for a real thread takes real time"
)]

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Holds the newest item until a reader takes it. A slow reader misses older items.
#[derive(Debug)]
pub struct NewestSlot<T> {
    contents: Mutex<Contents<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Contents<T> {
    item: Option<T>,
    overwritten: u64,
    closed: bool,
}

impl<T> Default for NewestSlot<T> {
    fn default() -> Self {
        Self {
            contents: Mutex::new(Contents {
                item: None,
                overwritten: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> NewestSlot<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `item`, replacing one that no reader has taken. Never waits for a reader.
    pub fn put(&self, item: T) {
        let mut contents = self.contents.lock();
        if contents.item.replace(item).is_some() {
            contents.overwritten += 1;
        }

        drop(contents);
        self.changed.notify_one();
    }

    /// Takes the newest item, waiting up to `timeout` for one. `None` when none came in time, or
    /// when the slot is closed and empty.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut contents = self.contents.lock();

        loop {
            if let Some(item) = contents.item.take() {
                return Some(item);
            }

            if contents.closed || Instant::now() >= deadline {
                return None;
            }

            self.changed.wait_until(&mut contents, deadline);
        }
    }

    /// Wakes all readers: no more items will come. An item that is still inside can be taken.
    pub fn close(&self) {
        self.contents.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.contents.lock().closed
    }

    /// How many items were replaced before a reader took them.
    pub fn overwritten(&self) -> u64 {
        self.contents.lock().overwritten
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

        assert_eq!(
            slot.take(Duration::ZERO),
            Some(2),
            "it replaced the older item"
        );
        assert_eq!(slot.take(Duration::ZERO), None, "an item is taken once");
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
