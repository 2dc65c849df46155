//! The thread that owns an open device.
//!
//! Devices open, start and close on that thread, so that a driver that hangs does not block the
//! engine: after a timeout the engine gives up and abandons the thread.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it spawns threads that open devices"
)]

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::bridge::{CaptureBridge, PlaybackBridge};
use super::callback::StreamClock;
use super::meter::MeterBridge;
use super::open::{self, Opened};
use super::{Direction, OPEN_TIMEOUT, choose, find};
use crate::audio::stats::DeviceCounts;
use crate::error::DeviceError;
use crate::recovery::Recovery;

/// Longest time a device may take to close before its thread is abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream without a callback for this long is dead, even if it has reported no error.
const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to look whether a device is back for which the default one stands in.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// More glitches than this within a second mean a dead stream: no working device has that many.
const GLITCH_BURST: u64 = 50;

/// Opens the device with this id or name, or the default one; called again when its stream has died.
type Open<B> = Arc<dyn Fn(Option<&str>) -> Result<Opened<B>, DeviceError> + Send + Sync>;
/// Whether a device with this id or name is there. May take as long as a driver takes.
type IsThere = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The audio thread's handle of a device. `B` is its end of the ring.
///
/// [`Recovery`] says when a stream that died is opened again: streams of sound servers die of an
/// underrun on a busy machine, devices are unplugged and come back. While a device that was named is
/// gone, the default one stands in for it.
pub(super) struct DeviceOwner<B> {
    direction: Direction,
    /// The device that was asked for; `None`: the default one.
    name: Option<String>,
    open: Open<B>,
    is_there: IsThere,
    device: DeviceThread<B>,
    recovery: Recovery,
    /// A device that was reported works again.
    is_back: bool,
    /// The default device stands in for the named one.
    stands_in: Option<StandIn>,
    /// Glitches of the streams before the current one.
    past: DeviceCounts,
}

/// The search for the device that the default one stands in for.
struct StandIn {
    look_at: Instant,
    /// Receives whether it is there.
    look: Option<Receiver<bool>>,
}

/// One stream and the thread that owns it.
struct DeviceThread<B> {
    /// When opening begins, then when the device was open.
    since: Instant,
    /// The driver has taken too long to open it. It may still do so.
    is_late: bool,
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
        Self::of_system(Direction::Capture, name, open::microphone, before)
    }
}

impl DeviceOwner<MeterBridge> {
    /// Starts opening a microphone only for its level.
    pub(super) fn open_meter(name: Option<String>) -> Self {
        Self::of_system(Direction::Capture, name, open::meter, None)
    }
}

impl DeviceOwner<PlaybackBridge> {
    /// Starts opening a speaker once the device `before` has closed.
    pub(super) fn open_speaker(name: Option<String>, before: Option<Closing>) -> Self {
        Self::of_system(Direction::Playback, name, open::speaker, before)
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
    /// Opens a device of this machine.
    fn of_system(
        direction: Direction,
        name: Option<String>,
        open: fn(Option<&str>) -> Result<Opened<B>, DeviceError>,
        before: Option<Closing>,
    ) -> Self {
        let is_there = move |name: &str| find::find(Some(name), direction).is_ok();
        Self::new(direction, name, Arc::new(open), Arc::new(is_there), before)
    }

    fn new(
        direction: Direction,
        name: Option<String>,
        open: Open<B>,
        is_there: IsThere,
        before: Option<Closing>,
    ) -> Self {
        let before = before.and_then(|mut closing| closing.closed.take());
        let device = DeviceThread::spawn(Arc::clone(&open), name.clone(), before, Duration::ZERO);
        Self {
            direction,
            name,
            open,
            is_there,
            device,
            recovery: Recovery::default(),
            is_back: false,
            stands_in: None,
            past: DeviceCounts::default(),
        }
    }

    /// Starts closing the device and returns without waiting.
    pub(super) fn close(mut self) -> Closing {
        self.begin_closing()
    }

    /// Checks whether the device has opened and whether it still works, and opens it again if not.
    ///
    /// # Errors
    /// Why the device does not work, once. It is tried again afterwards, so go on polling:
    /// [`take_is_back`](Self::take_is_back) says when it works.
    pub(super) fn poll(&mut self, now: Instant) -> Result<DeviceState<'_, B>, DeviceError> {
        if self.device.bridge.is_none() {
            self.poll_opening(now)?;
        } else if self.device.has_died(now) {
            tracing::warn!(direction = ?self.direction, "an audio stream died: it is opened again");
            let retry = self.recovery.on_death();
            self.reopen(retry.after);
            if retry.report {
                return Err(choose::error_codes(self.direction).unplugged());
            }
        } else {
            self.is_back |= self.recovery.is_back(now);
            self.look_for_named(now);
        }

        Ok(self
            .device
            .bridge
            .as_mut()
            .map_or(DeviceState::Opening, DeviceState::Open))
    }

    /// Whether a device whose failure was reported works again; `true` once.
    pub(super) fn take_is_back(&mut self) -> bool {
        std::mem::take(&mut self.is_back)
    }

    /// Tries a device that does not work again at once.
    pub(super) fn retry(&mut self) {
        if self.device.bridge.is_none() && !self.device.is_late {
            self.recovery.start_over();
            self.stands_in = None;
            self.reopen(Duration::ZERO);
        }
    }

    /// Takes the device if it has opened, or plans the next attempt.
    fn poll_opening(&mut self, now: Instant) -> Result<(), DeviceError> {
        let codes = choose::error_codes(self.direction);
        let refusal = match self.device.opened.try_recv() {
            Ok(Ok(bridge)) => {
                self.device.bridge = Some(bridge);
                self.device.since = now;
                self.recovery.on_open(now);
                return Ok(());
            }
            Ok(Err(error)) if self.recovery.has_worked() => codes.unplugged().caused_by(&error),
            Ok(Err(error)) => error,
            Err(TryRecvError::Empty) => {
                let waited = now.saturating_duration_since(self.device.since);
                if waited < OPEN_TIMEOUT || self.device.is_late {
                    return Ok(());
                }

                // A thread that hangs in a driver cannot be stopped, and another one would hang too.
                self.device.is_late = true;
                let report = self.recovery.on_refusal().report;
                return if report { Err(codes.timeout()) } else { Ok(()) };
            }
            Err(TryRecvError::Disconnected) => codes.timeout(),
        };

        let retry = self.recovery.on_refusal();
        self.stands_in = match self.stands_in {
            // Perhaps the named one is back.
            Some(_) => None,
            None => (self.name.is_some() && self.recovery.has_worked()).then_some(StandIn {
                look_at: now + LOOK_INTERVAL,
                look: None,
            }),
        };
        self.reopen(retry.after);

        if retry.report { Err(refusal) } else { Ok(()) }
    }

    /// Opens the named device again if it is back.
    fn look_for_named(&mut self, now: Instant) {
        let (Some(stand_in), Some(name)) = (&mut self.stands_in, &self.name) else {
            return;
        };

        match stand_in.look.as_ref().map(Receiver::try_recv) {
            Some(Ok(true)) => {
                tracing::info!(direction = ?self.direction, "the chosen audio device is back");
                self.stands_in = None;
                self.reopen(Duration::ZERO);
            }
            Some(Ok(false) | Err(TryRecvError::Disconnected)) => {
                stand_in.look = None;
                stand_in.look_at = now + LOOK_INTERVAL;
            }
            None if now >= stand_in.look_at => {
                let (sender, look) = channel();
                let (is_there, name) = (Arc::clone(&self.is_there), name.clone());
                stand_in.look = Some(look);
                // If the thread does not start, the channel is closed, and the next look is later.
                let _ = std::thread::Builder::new()
                    .name("audio device".into())
                    .spawn(move || sender.send(is_there(&name)));
            }
            // Not yet, or still looking: a driver may take its time.
            None | Some(Err(TryRecvError::Empty)) => {}
        }
    }

    fn reopen(&mut self, delay: Duration) {
        let counts = self.counts();
        // The new stream counts from zero. The death itself counts as a glitch.
        self.past = DeviceCounts {
            glitches: self.past.glitches + 1,
            ..counts
        };

        let name = self.name.clone().filter(|_| self.stands_in.is_none());
        let closed = self.device.closed.take();
        self.device = DeviceThread::spawn(Arc::clone(&self.open), name, closed, delay);
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
    fn spawn(
        open: Open<B>,
        name: Option<String>,
        closed: Option<Receiver<()>>,
        delay: Duration,
    ) -> Self {
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

            match open(name.as_deref()) {
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
            since: now + delay,
            is_late: false,
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
            .field("recovery", &self.recovery)
            .finish_non_exhaustive()
    }
}
