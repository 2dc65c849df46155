//! The thread that owns an open device.
//!
//! Opening, starting and closing happen there, so that a driver that hangs holds up nobody: the engine gives up after
//! a while and leaves the thread to itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::bridge::{CaptureBridge, PlaybackBridge};
use super::callback::StreamClock;
use super::meter::MeterBridge;
use super::open::{self, Opened};
use super::{Direction, choose};
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;

/// How long a device may take to open.
pub(super) const OPENING: Duration = Duration::from_secs(5);
/// How long a device may take to be closed before it is left to itself.
const CLOSING: Duration = Duration::from_secs(1);
/// A stream that calls nobody back for this long has died without a word.
const STALLED: Duration = Duration::from_secs(2);
/// How often in a row a dead stream is replaced: on a busy machine the new one may die of the next underrun.
const REOPENINGS: u32 = 4;
/// The pause before the first of them; it doubles with each.
const REOPENING_PAUSE: Duration = Duration::from_millis(50);
/// A new stream that lives this long has replaced the dead one for good.
const PROVEN: Duration = Duration::from_secs(3);
/// Glitches within a second that no working device has.
const GLITCH_BURST: u64 = 50;

/// Opens a device; called anew when its stream has died.
type Open<B> = Arc<dyn Fn() -> Result<Opened<B>, DeviceError> + Send + Sync>;

/// What the audio thread holds of a device: `B` is its end of the ring.
///
/// A stream that dies is opened anew, up to [`REOPENINGS`] times in a row, because streams of sound servers die of an
/// underrun on a busy machine, and because the default device may be another one by now. A device that is gone fails to
/// open and is told at once.
pub(super) struct Owner<B> {
    direction: Direction,
    open: Open<B>,
    device: Device<B>,
    /// How many streams have died in a row before the current one.
    died: u32,
    /// What went wrong with streams before the current one.
    past: DeviceCounts,
}

/// One stream and the thread that owns it.
struct Device<B> {
    since: Instant,
    opened: Receiver<Result<B, DeviceError>>,
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    /// Taken by whoever waits for the end.
    closed: Option<Receiver<()>>,
    bridge: Option<B>,
    /// Start of the current second of watching for glitches, and their number then.
    glitches: (Instant, u64),
}

/// What a device does at the moment.
pub(super) enum State<'a, B> {
    Opening,
    Open(&'a mut B),
}

/// A bridge that tells how its stream is.
pub(super) trait Watched {
    fn stream_clock(&self) -> &StreamClock;
    fn bridge_counts(&self) -> DeviceCounts;
}

impl Watched for CaptureBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl Watched for PlaybackBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl Watched for MeterBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        DeviceCounts {
            glitches: self.clock().glitches(),
            ..DeviceCounts::default()
        }
    }
}

impl Owner<CaptureBridge> {
    /// Opens once the device `before` has closed.
    pub(super) fn open_microphone(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(
            Direction::Capture,
            Arc::new(move || open::microphone(name.as_deref())),
            before,
        )
    }
}

impl Owner<MeterBridge> {
    /// Opens a microphone only for its level.
    pub(super) fn open_meter(name: Option<String>) -> Self {
        Self::new(
            Direction::Capture,
            Arc::new(move || open::meter(name.as_deref())),
            None,
        )
    }
}

impl Owner<PlaybackBridge> {
    /// Opens once the device `before` has closed.
    pub(super) fn open_speaker(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(
            Direction::Playback,
            Arc::new(move || open::speaker(name.as_deref())),
            before,
        )
    }
}

/// A device that is being closed in the background. Dropping it waits for the end, a second at most.
#[derive(Debug)]
pub(crate) struct Closing {
    direction: Direction,
    closed: Option<Receiver<()>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self
            .closed
            .take()
            .is_some_and(|closed| closed.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout))
        {
            tracing::warn!(direction = ?self.direction, "a sound device does not close; it is left to itself");
        }
    }
}

impl<B: Watched + Send + 'static> Owner<B> {
    fn new(direction: Direction, open: Open<B>, before: Option<Closing>) -> Self {
        let before = before.and_then(|mut closing| closing.closed.take());
        let device = Device::spawn(Arc::clone(&open), before, Duration::ZERO);
        Self {
            direction,
            open,
            device,
            died: 0,
            past: DeviceCounts::default(),
        }
    }

    /// Begins to close the device, without waiting for it.
    pub(super) fn close(mut self) -> Closing {
        self.begin_closing()
    }

    /// Looks after the device: whether it has opened, and whether it still works.
    pub(super) fn poll(&mut self, now: Instant) -> Result<State<'_, B>, DeviceError> {
        let codes = choose::error_codes(self.direction);
        if self.device.bridge.is_none() {
            match self.device.opened.try_recv() {
                Ok(Ok(bridge)) => {
                    self.device.bridge = Some(bridge);
                    self.device.since = now;
                }
                Ok(Err(_)) if self.died > 0 => return Err(codes.unplugged()),
                Ok(Err(error)) => return Err(error),
                Err(TryRecvError::Empty)
                    if now.saturating_duration_since(self.device.since) < OPENING => {}
                Err(_) if self.died > 0 => return Err(codes.unplugged()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                    return Err(codes.timeout());
                }
            }
        }

        if self.device.has_died(now) {
            tracing::warn!(direction = ?self.direction, before = self.died, "the stream of a sound device has died");
            if self.died == REOPENINGS {
                return Err(codes.unplugged());
            }

            self.reopen();
        } else if self.died > 0
            && self.device.bridge.is_some()
            && now.saturating_duration_since(self.device.since) > PROVEN
        {
            self.died = 0;
        }

        Ok(self
            .device
            .bridge
            .as_mut()
            .map_or(State::Opening, State::Open))
    }

    fn reopen(&mut self) {
        let counts = self.counts();
        // The new stream's own glitches begin at zero; its death is one more.
        self.past = DeviceCounts {
            glitches: self.past.glitches + 1,
            ..counts
        };

        let closed = self.device.closed.take();
        let pause = REOPENING_PAUSE * 2u32.pow(self.died);
        self.device = Device::spawn(Arc::clone(&self.open), closed, pause);
        self.died += 1;
    }

    /// What went wrong since the device was first opened.
    pub(super) fn counts(&self) -> DeviceCounts {
        let current = self
            .device
            .bridge
            .as_ref()
            .map(B::bridge_counts)
            .unwrap_or_default();

        DeviceCounts {
            underruns: self.past.underruns + current.underruns,
            overruns: self.past.overruns + current.overruns,
            glitches: self.past.glitches + current.glitches,
        }
    }
}

impl<B> Owner<B> {
    pub(super) fn bridge(&self) -> Option<&B> {
        self.device.bridge.as_ref()
    }
}

impl<B: Watched + Send + 'static> Device<B> {
    /// Opens on a thread of its own, once the device's former stream has `closed` and a `pause` is over.
    fn spawn(open: Open<B>, closed: Option<Receiver<()>>, pause: Duration) -> Self {
        let (opened_sender, opened) = channel();
        let (stop, stopped) = channel::<()>();
        let (closed_sender, is_closed) = channel();
        let body = move || {
            if let Some(closed) = closed {
                // Whether it has closed or hangs: more cannot be done.
                let _ = closed.recv_timeout(CLOSING);
            }

            // The engine says nothing on this channel; it closes it when the device is not wanted any more.
            if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }

            match open() {
                Ok((stream, bridge)) => {
                    // If the engine is gone already, the device is closed again.
                    if opened_sender.send(Ok(bridge)).is_ok() {
                        // Ends when the other end is dropped.
                        let _ = stopped.recv();
                    }

                    drop(stream);
                }
                Err(error) => {
                    let _ = opened_sender.send(Err(error));
                }
            }

            let _ = closed_sender.send(());
        };

        // Without a thread both channels are closed, and the first poll tells.
        let thread = std::thread::Builder::new()
            .name("sound device".into())
            .spawn(body);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for a sound device");
        }

        let now = Instant::now();
        Self {
            since: now,
            opened,
            stop: Some(stop),
            closed: Some(is_closed),
            bridge: None,
            glitches: (now, 0),
        }
    }

    /// Whether an open stream has failed, calls nobody back any more, or reports nothing but glitches.
    fn has_died(&mut self, now: Instant) -> bool {
        let Some(bridge) = &self.bridge else {
            return false;
        };

        let clock = bridge.stream_clock();
        let last_life = clock.last_call().map_or(self.since, |call| call.at);
        let (since, before) = self.glitches;
        let glitches = clock.glitches();

        if now.saturating_duration_since(since) >= Duration::from_secs(1) {
            self.glitches = (now, glitches);
        }

        clock.failure().is_some()
            || now.saturating_duration_since(last_life) > STALLED
            || glitches.saturating_sub(before) > GLITCH_BURST
    }
}

impl<B> Owner<B> {
    fn begin_closing(&mut self) -> Closing {
        self.device.stop = None;
        Closing {
            direction: self.direction,
            closed: self.device.closed.take(),
        }
    }
}

impl<B> Drop for Owner<B> {
    fn drop(&mut self) {
        drop(self.begin_closing());
    }
}

impl<B> std::fmt::Debug for Owner<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner")
            .field("direction", &self.direction)
            .field("died", &self.died)
            .finish_non_exhaustive()
    }
}
