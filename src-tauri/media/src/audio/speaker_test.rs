//! "Can you hear this?": a short chime on a speaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::AudioSink;
use super::device::Speaker;
use super::schedule::Schedule;
use super::{BLOCK, SAMPLE_RATE};
use crate::error::DeviceError;

/// Told once how it went; not if the test was cut short by dropping it.
pub type SpeakerTestDone = Box<dyn FnOnce(Result<(), DeviceError>) + Send>;

/// A chime that is being played. Dropping it stops the sound and releases the speaker.
#[derive(Debug)]
pub struct SpeakerTest {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SpeakerTest {
    /// Plays the chime on `sink` (1.2 s once the device is open) and then tells `done`, from a thread of its own:
    /// `Ok` when the device has taken all of it, a `SPEAKER_…` code otherwise. [`AudioSink::None`] is done at once.
    #[must_use]
    pub fn start(sink: AudioSink, done: SpeakerTestDone) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopping = Arc::clone(&stopping);
            std::thread::Builder::new()
                .name("speaker-test".into())
                .spawn(move || {
                    let played = play(sink, &stopping);
                    if !stopping.load(Ordering::Acquire) {
                        done(played);
                    }
                })
        };

        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "no thread for the speaker test"))
            .ok();
        Self { stopping, thread }
    }
}

impl Drop for SpeakerTest {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();

            // Whoever is told may let go of the test: then this is its own thread.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the speaker test panicked");
            }
        }
    }
}

fn play(sink: AudioSink, stopping: &AtomicBool) -> Result<(), DeviceError> {
    let mut speaker = match sink {
        AudioSink::None => return Ok(()),
        AudioSink::Default => Speaker::open(None, None),
        AudioSink::Named(name) => Speaker::open(Some(name), None),
    };

    let mut schedule = Schedule::new(Instant::now());
    let mut played = 0;
    let mut end = None;

    while !stopping.load(Ordering::Acquire) {
        let now = Instant::now();
        if let Err(wait) = schedule.poll(now) {
            std::thread::park_timeout(wait);
            continue;
        }

        if end.is_some_and(|end| now >= end) {
            break;
        }

        let block = std::array::from_fn(|n| (chime(played + n) * 32_767.0) as i16);
        let heard_at = speaker.push(now, &block)?;

        // A device that is opening takes nothing, and the chime waits for it.
        if speaker.delay().is_some_and(|delay| !delay.is_zero()) {
            played += BLOCK;
            if played >= CHIME && end.is_none() {
                end = Some(heard_at + Duration::from_millis(50));
            }
        }
    }

    Ok(())
}

/// Samples in the chime: 1.2 s at 48 kHz.
const CHIME: usize = SAMPLE_RATE as usize * 12 / 10;

/// The notes: when they begin in seconds, and their pitch in Hz. A fourth, E5 to A5.
const NOTES: [(f32, f32); 2] = [(0.0, 659.26), (0.28, 880.0)];

/// Sample `n` of the chime, ±1 at full scale; silence before and after.
fn chime(n: usize) -> f32 {
    let t = n as f32 / SAMPLE_RATE as f32;
    let note = |(begin, pitch): (f32, f32)| {
        let age = t - begin;
        if age < 0.0 {
            return 0.0;
        }

        let attack = (age / 0.008).min(1.0);
        let ring = (-age * 5.0).exp();
        let phase = std::f32::consts::TAU * pitch * age;

        // A little of the octave makes it a bell rather than a whistle.
        attack * ring * (phase.sin() + 0.25 * (2.0 * phase).sin())
    };

    let end = (1.0 - (n as f32 / CHIME as f32)).clamp(0.0, 1.0);
    0.25 * end.min(0.1) * 10.0 * NOTES.into_iter().map(note).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_chime_is_soft_and_does_not_click() {
        let sound: Vec<f32> = (0..CHIME + BLOCK).map(chime).collect();
        let peak = sound
            .iter()
            .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        assert!(
            (0.15..0.6).contains(&peak),
            "loud enough and not too loud: {peak}"
        );

        let step = sound
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0_f32, f32::max);

        assert!(
            step < 0.06,
            "a 0.3 sine of 880 Hz moves by 0.035 a sample; a click by more than {step}"
        );

        assert!(
            sound[0] == 0.0 && sound[CHIME..].iter().all(|sample| *sample == 0.0),
            "silence around it"
        );
    }

    #[test]
    fn the_notes_are_there() {
        // Goertzel's power at a pitch, over a tenth of a second.
        let power = |from: f32, pitch: f32| {
            let from = (from * 48_000.0) as usize;
            let (mut re, mut im) = (0.0, 0.0);

            for n in 0..4_800 {
                let phase = std::f32::consts::TAU * pitch * n as f32 / 48_000.0;
                re += chime(from + n) * phase.cos();
                im += chime(from + n) * phase.sin();
            }

            re * re + im * im
        };

        assert!(
            power(0.05, 659.26) > 100.0 * power(0.05, 880.0),
            "first the lower one alone"
        );

        assert!(
            power(0.4, 880.0) > power(0.4, 659.26),
            "then the higher one above it"
        );
    }

    #[test]
    fn a_speaker_that_is_not_there_is_told_with_its_code() {
        let (done, told) = channel();
        let _test = SpeakerTest::start(
            AudioSink::Named("no such speaker".into()),
            Box::new(move |result| done.send(result).expect("the test listens")),
        );

        let error = told
            .recv_timeout(Duration::from_secs(30))
            .expect("told")
            .expect_err("there is none");
        assert_eq!(error.code, "SPEAKER_NOT_FOUND");
    }

    #[test]
    fn a_test_that_is_dropped_tells_nothing() {
        let (done, told) = channel::<()>();
        drop(SpeakerTest::start(
            AudioSink::None,
            Box::new(move |_| {
                // Unless it was faster than the drop.
                let _ = done.send(());
            }),
        ));
        let _ = told.try_recv();

        assert!(told.recv().is_err(), "and its thread is gone with it");
    }
}
