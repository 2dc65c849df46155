//! The microphone outside a call: how loud it is.

use super::BLOCK;
use super::device::Microphone;
use super::level::{AudioLevel, LevelMeter};
use super::schedule::Schedule;
use crate::error::{MediaEvent, MediaEvents, MediaPart};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// A microphone that is open only to show its level. Dropping it releases the device before it returns (a second at
/// most), so that a call can open the microphone right after.
#[derive(Debug)]
pub struct MicrophoneMonitor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The bits of `rms` above those of `peak`.
    level: AtomicU64,
    stopping: AtomicBool,
}

impl MicrophoneMonitor {
    /// Begins to open the microphone with this id or name (see [`super::list_microphones`]), or the default one. What
    /// goes wrong, now or later, is told to `events`; the level is zero from then on.
    #[must_use]
    pub fn start(name: Option<String>, events: MediaEvents) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("level".into()).spawn(move || run(name, &shared, &events))
        };
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no thread for the level meter")).ok();
        Self { shared, thread }
    }

    /// How loud the microphone is now. Zero while it is opening and after it has failed.
    #[must_use]
    pub fn level(&self) -> AudioLevel {
        let bits = self.shared.level.load(Ordering::Relaxed);
        AudioLevel { rms: f32::from_bits((bits >> 32) as u32), peak: f32::from_bits(bits as u32) }
    }
}

impl Drop for MicrophoneMonitor {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the level meter panicked");
            }
        }
    }
}

fn run(name: Option<String>, shared: &Shared, events: &MediaEvents) {
    let mut microphone = Microphone::open(name, None);
    let (mut schedule, mut meter) = (Schedule::new(Instant::now()), LevelMeter::default());
    while !shared.stopping.load(Ordering::Acquire) {
        let now = Instant::now();
        if let Err(wait) = schedule.poll(now) {
            std::thread::park_timeout(wait);
            continue;
        }
        let mut block = [0.0; BLOCK];
        match microphone.pull(now, &mut block) {
            Ok(None) => {}
            Ok(Some(_)) => shared.show(meter.push(&block)),
            Err(error) => {
                shared.show(AudioLevel::default());
                // The device is free before anybody is told.
                drop(microphone);
                events(MediaEvent::Failed { part: MediaPart::Microphone, error });
                return;
            }
        }
    }
}

impl Shared {
    fn show(&self, level: AudioLevel) {
        let bits = u64::from(level.rms.to_bits()) << 32 | u64::from(level.peak.to_bits());
        self.level.store(bits, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_microphone_that_is_not_there_is_told_with_its_code() {
        let (events, told) = channel();
        let monitor = MicrophoneMonitor::start(
            Some("no such microphone".into()),
            Arc::new(move |event| events.send(event).expect("the test listens")),
        );
        let MediaEvent::Failed { part, error } = told.recv_timeout(Duration::from_secs(30)).expect("it fails");
        assert_eq!((part, error.code), (MediaPart::Microphone, "MIC_NOT_FOUND"));
        assert_eq!(monitor.level(), AudioLevel::default(), "nothing is heard");
    }

    #[test]
    fn both_figures_pass_between_the_threads() {
        let shared = Arc::new(Shared::default());
        let monitor = MicrophoneMonitor { shared: Arc::clone(&shared), thread: None };
        let level = AudioLevel { rms: 0.25, peak: 0.75 };
        shared.show(level);
        assert_eq!(monitor.level(), level);
    }
}
