//! Plays a computed sound on a speaker, outside a call.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that plays in real time"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::BLOCK_SAMPLES;
use super::chime::Blocks;
use super::config::AudioSink;
use super::device::Speaker;
use super::schedule::Schedule;
use crate::error::DeviceError;

/// Called once with the result, from the sound's own thread: `Ok` when the speaker has played all
/// of it, otherwise an error with a `SPEAKER_…` code. Never called after the sound was stopped.
pub type SoundDone = Box<dyn FnOnce(Result<(), DeviceError>) + Send>;

/// Added to the time when the last sound is heard, because the device's delay is an estimate.
const DRAIN_MARGIN: Duration = Duration::from_millis(50);

/// A sound that is playing. Dropping it stops the sound and releases the speaker before it returns.
#[derive(Debug)]
pub(super) struct SoundPlayer {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SoundPlayer {
    /// Plays `blocks` on `sink`, then calls `done`. The sound begins once the device is open. With
    /// [`AudioSink::None`] it is done at once.
    pub(super) fn start(sink: AudioSink, blocks: Blocks, done: SoundDone) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopping = Arc::clone(&stopping);
            std::thread::Builder::new()
                .name("sound".into())
                .spawn(move || {
                    let played = play(sink, blocks, &stopping);
                    if !stopping.load(Ordering::Acquire) {
                        done(played);
                    }
                })
        };

        let thread = thread
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for a sound: nothing is played");
            })
            .ok();
        Self { stopping, thread }
    }

    /// Starts fading the sound out and returns at once.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for SoundPlayer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // `done` may drop the player itself. Then this is the player's own thread, which cannot
            // join itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the thread of a sound panicked: its result is not reported");
            }
        }
    }
}

fn play(sink: AudioSink, blocks: Blocks, stopping: &AtomicBool) -> Result<(), DeviceError> {
    let mut speaker = match sink {
        AudioSink::None => return Ok(()),
        AudioSink::Default => Speaker::open(None, None),
        AudioSink::Named(name) => Speaker::open(Some(name), None),
    };

    let mut schedule = Schedule::new(Instant::now());
    let mut blocks = blocks.peekable();
    let mut end = None;

    while !stopping.load(Ordering::Acquire) {
        let now = Instant::now();
        if let Err(wait) = schedule.poll(now) {
            std::thread::park_timeout(wait);
            continue;
        }

        if end.is_some_and(|end| now >= end) {
            return Ok(());
        }

        let heard_at = speaker.push(now, blocks.peek().unwrap_or(&[0; BLOCK_SAMPLES]))?;

        // The sound waits for a device that is still opening: until then the device takes nothing.
        if speaker.delay().is_some_and(|delay| !delay.is_zero()) {
            blocks.next();
            if blocks.peek().is_none() && end.is_none() {
                end = Some(heard_at + DRAIN_MARGIN);
            }
        }
    }

    // Closing the device cuts off what it holds, so it closes when that is silence.
    std::thread::sleep(speaker.silence() + DRAIN_MARGIN);
    Ok(())
}
