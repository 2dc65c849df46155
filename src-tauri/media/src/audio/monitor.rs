//! The microphone outside a call: how loud it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::device::Meter;
use super::level::AudioLevel;
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};

/// How often the level is told: 12.5 times a second, so that an idle window stays idle.
const INTERVAL: Duration = Duration::from_millis(80);

/// Told how loud a microphone is, on a thread that may not be held up.
pub type TellLevel = Box<dyn FnMut(AudioLevel) + Send>;

/// A microphone that is open only to show its level. Dropping it releases the device before it returns (a second at
/// most), so that a call can open the microphone right after; nothing is told after that.
#[derive(Debug)]
pub struct MicrophoneMonitor {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MicrophoneMonitor {
    /// Begins to open the microphone with this id or name (see [`super::list_microphones`]), or the default one, and
    /// tells its level 12.5 times a second: zero while it is opening. What goes wrong, now or later, is told to
    /// `events`, after a last level of zero.
    #[must_use]
    pub fn start(name: Option<String>, tell_level: TellLevel, events: MediaEvents) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopping = Arc::clone(&stopping);
            std::thread::Builder::new()
                .name("level".into())
                .spawn(move || run(name, &stopping, tell_level, &events))
        };

        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "no thread for the level meter"))
            .ok();
        Self { stopping, thread }
    }
}

impl Drop for MicrophoneMonitor {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the level meter panicked");
            }
        }
    }
}

fn run(
    name: Option<String>,
    stopping: &AtomicBool,
    mut tell_level: TellLevel,
    events: &MediaEvents,
) {
    // The device is free before anybody is told of a failure.
    if let Err(error) = show_levels(Meter::open(name), stopping, &mut tell_level) {
        tell_level(AudioLevel::default());
        events(MediaEvent::Failed {
            part: MediaPart::Microphone,
            error,
        });
    }
}

fn show_levels(
    mut meter: Meter,
    stopping: &AtomicBool,
    tell_level: &mut TellLevel,
) -> Result<(), DeviceError> {
    while !stopping.load(Ordering::Acquire) {
        tell_level(meter.level(Instant::now())?);
        std::thread::park_timeout(INTERVAL);
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_microphone_that_is_not_there_is_told_with_its_code() {
        let (events, told) = channel();
        let (levels, shown) = channel();
        let _monitor = MicrophoneMonitor::start(
            Some("no such microphone".into()),
            Box::new(move |level| levels.send(level).expect("the test listens")),
            Arc::new(move |event| events.send(event).expect("the test listens")),
        );
        let MediaEvent::Failed { part, error } = told
            .recv_timeout(Duration::from_secs(30))
            .expect("it fails");

        assert_eq!((part, error.code), (MediaPart::Microphone, "MIC_NOT_FOUND"));
        let shown: Vec<_> = shown.iter().collect();
        assert!(
            shown.iter().all(|level| *level == AudioLevel::default()),
            "nothing is heard: {shown:?}"
        );
        assert!(!shown.is_empty(), "and that is told");
    }
}
