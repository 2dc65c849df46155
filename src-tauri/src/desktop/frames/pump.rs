//! Carries pictures from a media thread's slot to a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tandem_media::{NewestSlot, VideoFrame};

use super::{FrameStream, Streams};

/// How soon a pump without pictures notices that it is no longer wanted.
const PATIENCE: Duration = Duration::from_millis(50);

/// A thread between a slot and a stream. Dropping it stops it; nothing comes through afterwards.
#[derive(Debug)]
pub struct Pump {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    /// Starts the thread. `stream` picks where the pictures go.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        name: &str,
        slot: Arc<NewestSlot<VideoFrame>>,
        streams: Arc<Streams>,
        stream: fn(&Streams) -> &FrameStream,
    ) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let carry = move || {
            while !stop.load(Ordering::Acquire) {
                match slot.take(PATIENCE) {
                    Some(frame) if !stop.load(Ordering::Acquire) => stream(&streams).show(frame),
                    None if slot.is_closed() => return,
                    _ => {}
                }
            }
        };

        let thread = Builder::new().name(format!("show-{name}")).spawn(carry)?;
        Ok(Self {
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread that carries pictures panicked");
        }
    }
}
