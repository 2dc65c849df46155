//! A slot for the newest item only: how frames pass between threads without queueing.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: waiting for a real thread takes real time"
)]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Holds the newest item until a reader takes it. A slow reader misses older items.
///
/// A slot can also be observed: then a second user gets every item at once, on the thread that puts
/// it there, no matter how slow the reader is.
#[derive(Debug)]
pub struct NewestSlot<T> {
    /// Locked before `contents`, and while the observer runs.
    observer: Mutex<Option<Arc<Observe<T>>>>,
    contents: Mutex<Contents<T>>,
    changed: Condvar,
}

/// What an observer does with an item.
struct Observe<T>(Box<dyn Fn(&T) + Send + Sync>);

impl<T> fmt::Debug for Observe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe").finish_non_exhaustive()
    }
}

/// The observation of a slot. It ends when this is dropped: after that, no item passes.
#[derive(Debug)]
#[must_use = "dropping it ends the observation"]
pub struct Observer<T> {
    slot: Arc<NewestSlot<T>>,
    observe: Arc<Observe<T>>,
}

impl<T> Drop for Observer<T> {
    fn drop(&mut self) {
        let mut observer = self.slot.observer.lock();
        if matches!(&*observer, Some(current) if Arc::ptr_eq(current, &self.observe)) {
            *observer = None;
        }
    }
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
            observer: Mutex::default(),
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

    /// Stores `item`, replacing one that no reader has taken. Never waits for a reader, only for the
    /// observer.
    pub fn put(&self, item: T) {
        let observer = self.observer.lock();
        if let Some(observe) = &*observer {
            observe.0(&item);
        }

        let mut contents = self.contents.lock();
        if contents.item.replace(item).is_some() {
            contents.overwritten += 1;
        }

        drop(contents);
        drop(observer);
        self.changed.notify_one();
    }

    /// Calls `observe` with the item that is in the slot now, if any, and with each one that
    /// [`put`](Self::put) brings, before a reader can take it. Replaces the observer before.
    ///
    /// `observe` runs on the thread that puts items, so it must be quick, and must not use this
    /// slot.
    pub fn observe(self: &Arc<Self>, observe: impl Fn(&T) + Send + Sync + 'static) -> Observer<T> {
        let observe = Arc::new(Observe(Box::new(observe)));
        let mut observer = self.observer.lock();
        *observer = Some(Arc::clone(&observe));
        if let Some(item) = &self.contents.lock().item {
            observe.0(item);
        }

        drop(observer);
        Observer {
            slot: Arc::clone(self),
            observe,
        }
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
    fn an_observer_sees_every_item_and_takes_none() {
        let slot = Arc::new(NewestSlot::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let observe = || {
            let seen = Arc::clone(&seen);
            slot.observe(move |item| seen.lock().push(*item))
        };

        slot.put(1);
        let observer = observe();
        slot.put(2);
        slot.put(3);
        assert_eq!(*seen.lock(), [1, 2, 3], "also the one that was there");
        assert_eq!(slot.take(Duration::ZERO), Some(3), "the reader's item");

        drop(observer);
        slot.put(4);
        assert_eq!(*seen.lock(), [1, 2, 3], "nothing after the end");
    }

    #[test]
    fn the_end_of_a_former_observer_does_not_end_the_present_one() {
        let slot = Arc::new(NewestSlot::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let former = slot.observe(|_| ());
        let present = {
            let seen = Arc::clone(&seen);
            slot.observe(move |item| seen.lock().push(*item))
        };

        drop(former);
        slot.put(1);
        assert_eq!(*seen.lock(), [1]);
        drop(present);
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
