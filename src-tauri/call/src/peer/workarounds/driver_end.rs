//! Notices that the driver of a connection has stopped.
//!
//! **The library** runs each connection on one task, its driver. If that ends with an error (all its
//! sockets fail, or none can be bound when ICE restarts; webrtc 0.21.1, `peer_connection/mod.rs`,
//! `run_driver`), it writes a line into the log. The connection's state stays what it was, and nothing
//! is sent or received any more.
//!
//! **We** tell when that task ends: it is the first one that the library spawns.
//!
//! **Upstream:** no upstream issue known; to be filed: "a connection whose driver has failed stays
//! connected".
//!
//! **It can go** when the connection's state becomes *closed* or *failed* then.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use parking_lot::Mutex;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;
type Tell = Box<dyn FnOnce() + Send>;

/// Tells once when the first task that it watches has ended, or was dropped.
pub(in crate::peer) struct DriverEnd(Mutex<Option<Tell>>);

impl fmt::Debug for DriverEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DriverEnd").finish_non_exhaustive()
    }
}

impl DriverEnd {
    /// Calls `tell`.
    pub(in crate::peer) fn new(tell: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(tell))))
    }

    /// Watches `task` if it is the first one.
    pub(super) fn watch(&self, task: Boxed) -> Boxed {
        let Some(tell) = self.0.lock().take() else {
            return task;
        };

        let ended = Ended(Some(tell));
        Box::pin(async move {
            let _ended = ended;
            task.await;
        })
    }
}

struct Ended(Option<Tell>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_first_task_is_told_once_however_it_comes() {
        for is_dropped in [false, true] {
            let told = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&told);
            let end = DriverEnd::new(move || {
                count.fetch_add(1, Relaxed);
            });

            let first = end.watch(Box::pin(async {}));
            end.watch(Box::pin(async {})).await;
            assert_eq!(told.load(Relaxed), 0, "the second task is another one");
            if is_dropped {
                drop(first);
            } else {
                first.await;
            }
            assert_eq!(told.load(Relaxed), 1);
        }
    }
}
