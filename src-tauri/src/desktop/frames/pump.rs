//! Carries frames from the slot of a media thread to a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tandem_media::{NewestSlot, VideoFrame};

use super::{FrameStream, Streams};

/// How often a pump without frames checks whether to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A thread that carries frames from a slot to a stream. Dropping it stops and joins the thread: no
/// frame passes afterwards.
#[derive(Debug)]
pub struct Pump {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    /// Starts the thread. `stream` selects the stream for the frames.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        name: &str,
        slot: Arc<NewestSlot<VideoFrame>>,
        streams: Arc<Streams>,
        stream: fn(&Streams) -> &FrameStream,
    ) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let should_stop = Arc::clone(&stopping);
        let carry = move || {
            while !should_stop.load(Ordering::Acquire) {
                match slot.take(POLL_INTERVAL) {
                    Some(frame) if !should_stop.load(Ordering::Acquire) => {
                        stream(&streams).show(frame);
                    }
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
            tracing::error!("a display thread panicked: one side of the call is not shown");
        }
    }
}
