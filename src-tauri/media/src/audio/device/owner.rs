//! The thread that owns an open device.
//!
//! Devices open, start and close on that thread, so that a driver that hangs does not block the
//! engine: after a timeout the engine gives up and abandons the thread.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it spawns threads that open devices"
)]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::bridge::{CaptureBridge, PlaybackBridge};
use super::callback::StreamClock;
use super::meter::MeterBridge;
use super::open::{self, Opened};
use super::{Direction, OPEN_TIMEOUT, choose};
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;

/// Longest time a device may take to close before its thread is abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream without a callback for this long is dead, even if it has reported no error.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often in a row a dead stream is reopened: on a busy machine the new one may die of the next
/// underrun.
const MAX_REOPENS: u32 = 4;
/// Delay before the first reopening; it doubles with each.
const REOPEN_DELAY: Duration = Duration::from_millis(50);
/// A new stream that lives this long has replaced the dead one for good.
const STABLE_AFTER: Duration = Duration::from_secs(3);
/// More glitches than this within a second mean a dead stream: no working device has that many.
const GLITCH_BURST: u64 = 50;

/// Opens a device; called again when its stream has died.
type Open<B> = Arc<dyn Fn() -> Result<Opened<B>, DeviceError> + Send + Sync>;

/// The audio thread's handle of a device. `B` is its end of the ring.
///
/// A stream that dies is reopened up to [`MAX_REOPENS`] times in a row, because streams of sound
/// servers die of an underrun on a busy machine, and because another device may have become the
/// default. A device that is gone fails to open and is reported at once.
pub(super) struct DeviceOwner<B> {
    direction: Direction,
    open: Open<B>,
    device: DeviceThread<B>,
    /// How many streams in a row have died before the current one.
    died: u32,
    /// Glitches of the streams before the current one.
    past: DeviceCounts,
}

/// One stream and the thread that owns it.
struct DeviceThread<B> {
    /// When opening began, then when the device was open.
    since: Instant,
    opened: Receiver<Result<B, DeviceError>>,
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    /// Receives once the thread has closed the device. The next device, or `Closing`, takes it to
    /// wait for that.
    closed: Option<Receiver<()>>,
    bridge: Option<B>,
    /// Start of the current one-second window of the glitch count, and the count at that time.
    glitches: (Instant, u64),
}

/// Whether the device is ready for use.
pub(super) enum DeviceState<'a, B> {
    Opening,
    Open(&'a mut B),
}

/// A bridge whose stream can be watched for faults.
pub(super) trait DeviceBridge {
    fn stream_clock(&self) -> &StreamClock;
    fn bridge_counts(&self) -> DeviceCounts;
}

impl DeviceBridge for CaptureBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl DeviceBridge for PlaybackBridge {
    fn stream_clock(&self) -> &StreamClock {
        self.clock()
    }

    fn bridge_counts(&self) -> DeviceCounts {
        self.counts()
    }
}

impl DeviceBridge for MeterBridge {
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

impl DeviceOwner<CaptureBridge> {
    /// Starts opening a microphone once the device `before` has closed.
    pub(super) fn open_microphone(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(
            Direction::Capture,
            Arc::new(move || open::microphone(name.as_deref())),
            before,
        )
    }
}

impl DeviceOwner<MeterBridge> {
    /// Starts opening a microphone only for its level.
    pub(super) fn open_meter(name: Option<String>) -> Self {
        Self::new(
            Direction::Capture,
            Arc::new(move || open::meter(name.as_deref())),
            None,
        )
    }
}

impl DeviceOwner<PlaybackBridge> {
    /// Starts opening a speaker once the device `before` has closed.
    pub(super) fn open_speaker(name: Option<String>, before: Option<Closing>) -> Self {
        Self::new(
            Direction::Playback,
            Arc::new(move || open::speaker(name.as_deref())),
            before,
        )
    }
}

/// A device that is closing in the background. Dropping it waits until the device is closed, at
/// most a second.
#[derive(Debug)]
pub(crate) struct Closing {
    direction: Direction,
    closed: Option<Receiver<()>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.closed.take().is_some_and(|closed| {
            closed.recv_timeout(CLOSE_TIMEOUT) == Err(RecvTimeoutError::Timeout)
        }) {
            tracing::warn!(
                direction = ?self.direction,
                "an audio device does not close: its thread is abandoned"
            );
        }
    }
}

impl<B: DeviceBridge + Send + 'static> DeviceOwner<B> {
    fn new(direction: Direction, open: Open<B>, before: Option<Closing>) -> Self {
        let before = before.and_then(|mut closing| closing.closed.take());
        let device = DeviceThread::spawn(Arc::clone(&open), before, Duration::ZERO);
        Self {
            direction,
            open,
            device,
            died: 0,
            past: DeviceCounts::default(),
        }
    }

    /// Starts closing the device and returns without waiting.
    pub(super) fn close(mut self) -> Closing {
        self.begin_closing()
    }

    /// Checks whether the device has opened and whether it still works, and reopens it if not.
    pub(super) fn poll(&mut self, now: Instant) -> Result<DeviceState<'_, B>, DeviceError> {
        let codes = choose::error_codes(self.direction);
        if self.device.bridge.is_none() {
            match self.device.opened.try_recv() {
                Ok(Ok(bridge)) => {
                    self.device.bridge = Some(bridge);
                    self.device.since = now;
                }
                Ok(Err(error)) if self.died > 0 => {
                    return Err(codes.unplugged().caused_by(&error));
                }
                Ok(Err(error)) => return Err(error),
                Err(TryRecvError::Empty)
                    if now.saturating_duration_since(self.device.since) < OPEN_TIMEOUT => {}
                Err(_) if self.died > 0 => return Err(codes.unplugged()),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                    return Err(codes.timeout());
                }
            }
        }

        if self.device.has_died(now) {
            tracing::warn!(
                direction = ?self.direction,
                before = self.died,
                "an audio stream died: it is reopened, unless that has failed too often"
            );
            if self.died == MAX_REOPENS {
                return Err(codes.unplugged());
            }

            self.reopen();
        } else if self.died > 0
            && self.device.bridge.is_some()
            && now.saturating_duration_since(self.device.since) > STABLE_AFTER
        {
            self.died = 0;
        }

        Ok(self
            .device
            .bridge
            .as_mut()
            .map_or(DeviceState::Opening, DeviceState::Open))
    }

    fn reopen(&mut self) {
        let counts = self.counts();
        // The new stream counts from zero. The death itself counts as a glitch.
        self.past = DeviceCounts {
            glitches: self.past.glitches + 1,
            ..counts
        };

        let closed = self.device.closed.take();
        let delay = REOPEN_DELAY * 2u32.pow(self.died);
        self.device = DeviceThread::spawn(Arc::clone(&self.open), closed, delay);
        self.died += 1;
    }

    /// Glitches since the device was first opened.
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

impl<B> DeviceOwner<B> {
    pub(super) fn bridge(&self) -> Option<&B> {
        self.device.bridge.as_ref()
    }
}

impl<B: DeviceBridge + Send + 'static> DeviceThread<B> {
    /// Opens the device on a new thread, once its former stream has `closed` and `delay` has
    /// passed.
    fn spawn(open: Open<B>, closed: Option<Receiver<()>>, delay: Duration) -> Self {
        let (opened_sender, opened) = channel();
        let (stop, stopped) = channel::<()>();
        let (closed_sender, closed_receiver) = channel();
        let body = move || {
            if let Some(closed) = closed {
                // If it hangs instead, there is nothing more to wait for.
                let _ = closed.recv_timeout(CLOSE_TIMEOUT);
            }

            // The engine never sends on this channel. It closes it when the device is no longer
            // needed.
            if stopped.recv_timeout(delay) == Err(RecvTimeoutError::Disconnected) {
                return;
            }

            match open() {
                Ok((stream, bridge)) => {
                    // If the engine has already gone, the device closes again.
                    if opened_sender.send(Ok(bridge)).is_ok() {
                        // Returns when the engine drops its end.
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

        // If the thread could not start, both channels are closed and the first poll reports it.
        let thread = std::thread::Builder::new()
            .name("audio device".into())
            .spawn(body);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for an audio device: the device is not opened");
        }

        let now = Instant::now();
        Self {
            since: now,
            opened,
            stop: Some(stop),
            closed: Some(closed_receiver),
            bridge: None,
            glitches: (now, 0),
        }
    }

    /// Whether an open stream has failed, has stopped its callbacks, or reports nothing but
    /// glitches.
    fn has_died(&mut self, now: Instant) -> bool {
        let Some(bridge) = &self.bridge else {
            return false;
        };

        let clock = bridge.stream_clock();
        let last_callback = clock.last_call().map_or(self.since, |call| call.at);
        let (since, before) = self.glitches;
        let glitches = clock.glitches();

        if now.saturating_duration_since(since) >= Duration::from_secs(1) {
            self.glitches = (now, glitches);
        }

        clock.failure().is_some()
            || now.saturating_duration_since(last_callback) > STALL_TIMEOUT
            || glitches.saturating_sub(before) > GLITCH_BURST
    }
}

impl<B> DeviceOwner<B> {
    fn begin_closing(&mut self) -> Closing {
        self.device.stop = None;
        Closing {
            direction: self.direction,
            closed: self.device.closed.take(),
        }
    }
}

impl<B> Drop for DeviceOwner<B> {
    fn drop(&mut self) {
        drop(self.begin_closing());
    }
}

impl<B> std::fmt::Debug for DeviceOwner<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner")
            .field("direction", &self.direction)
            .field("died", &self.died)
            .finish_non_exhaustive()
    }
}
