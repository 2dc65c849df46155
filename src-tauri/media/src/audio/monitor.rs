//! Shows the level of a microphone outside a call.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that samples in real time"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::device::Meter;
use super::level::AudioLevel;
use crate::error::{DeviceError, MediaEvent, MediaEvents, MediaPart};

/// Time between level updates: 12.5 per second, few enough for an idle window to stay idle.
const INTERVAL: Duration = Duration::from_millis(80);

/// Receives the level of a microphone, on the monitor's thread. It must not block.
pub type LevelCallback = Box<dyn FnMut(AudioLevel) + Send>;

/// A microphone that is open only to show its level. Dropping it releases the device before it
/// returns (within a second), so that a call can open the microphone right after. Neither callback
/// runs after that.
#[derive(Debug)]
pub struct MicrophoneMonitor {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MicrophoneMonitor {
    /// Starts opening the microphone with this id or name (see [`super::list_microphones`]), or the
    /// default one, and reports its level to `on_level` 12.5 times per second: zero while it opens.
    /// An error, now or later, sends a last level of zero and then an event to `events`.
    #[must_use]
    pub fn start(name: Option<String>, on_level: LevelCallback, events: MediaEvents) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopping = Arc::clone(&stopping);
            std::thread::Builder::new()
                .name("level".into())
                .spawn(move || run(name, &stopping, on_level, &events))
        };

        let thread = thread
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for the level meter: no level is shown");
            })
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
                tracing::error!("the level meter panicked: no microphone level is shown");
            }
        }
    }
}

fn run(
    name: Option<String>,
    stopping: &AtomicBool,
    mut on_level: LevelCallback,
    events: &MediaEvents,
) {
    // `show_levels` has closed the device by the time anyone is notified of a failure.
    if let Err(error) = show_levels(Meter::open(name), stopping, &mut on_level) {
        on_level(AudioLevel::default());
        events(MediaEvent::Failed {
            part: MediaPart::Microphone,
            error,
        });
    }
}

fn show_levels(
    mut meter: Meter,
    stopping: &AtomicBool,
    on_level: &mut LevelCallback,
) -> Result<(), DeviceError> {
    while !stopping.load(Ordering::Acquire) {
        on_level(meter.level(Instant::now())?);
        std::thread::park_timeout(INTERVAL);
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn a_missing_microphone_is_reported_with_its_code() {
        let (events, failures) = channel();
        let (levels, received_levels) = channel();
        let _monitor = MicrophoneMonitor::start(
            Some("no such microphone".into()),
            Box::new(move |level| levels.send(level).expect("the test receives")),
            Arc::new(move |event| events.send(event).expect("the test receives")),
        );
        let (part, error) = failures
            .recv_timeout(Duration::from_secs(30))
            .expect("opening a missing microphone fails")
            .into_failure()
            .expect("a failure");

        assert_eq!(
            (part, error.code),
            (MediaPart::Microphone, MediaErrorCode::MicNotFound)
        );
        let received_levels: Vec<_> = received_levels.iter().collect();
        assert!(
            received_levels
                .iter()
                .all(|level| *level == AudioLevel::default()),
            "a missing microphone has no level: {received_levels:?}"
        );
        assert!(
            !received_levels.is_empty(),
            "the last level is reported before the failure"
        );
    }
}
