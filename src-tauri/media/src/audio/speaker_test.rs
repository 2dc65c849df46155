//! "Can you hear this?": plays a short chime on a speaker.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: a thread that plays in real time"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::AudioSink;
use super::device::Speaker;
use super::schedule::Schedule;
use super::{BLOCK_SAMPLES, SAMPLE_RATE};
use crate::error::DeviceError;

/// Called once with the result, unless dropping the test cuts it short.
pub type SpeakerTestDone = Box<dyn FnOnce(Result<(), DeviceError>) + Send>;

/// A chime that is playing. Dropping it stops the chime and releases the speaker.
#[derive(Debug)]
pub struct SpeakerTest {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SpeakerTest {
    /// Plays the chime on `sink` (1.2 s once the device is open), then calls `done` from its own
    /// thread: `Ok` when the device has played all of it, otherwise an error with a `SPEAKER_…`
    /// code. With [`AudioSink::None`] it is done at once.
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
            .inspect_err(|error| {
                tracing::error!(%error, "no thread for the speaker test: no chime is played");
            })
            .ok();
        Self { stopping, thread }
    }
}

impl Drop for SpeakerTest {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();

            // `done` may drop the test itself. Then this is the test's own thread, which cannot
            // join itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the speaker test panicked: its result is not reported");
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

        // The chime waits for a device that is still opening: until then the device takes nothing.
        if speaker.delay().is_some_and(|delay| !delay.is_zero()) {
            played += BLOCK_SAMPLES;
            if played >= CHIME_SAMPLES && end.is_none() {
                end = Some(heard_at + Duration::from_millis(50));
            }
        }
    }

    Ok(())
}

/// Samples in the chime: 1.2 s at 48 kHz.
const CHIME_SAMPLES: usize = SAMPLE_RATE as usize * 12 / 10;

/// The notes: start in seconds, and pitch in Hz. A fourth, E5 to A5.
const NOTES: [(f32, f32); 2] = [(0.0, 659.26), (0.28, 880.0)];

/// Sample `n` of the chime, ±1 at full scale; silence before and after.
fn chime(n: usize) -> f32 {
    let t = n as f32 / SAMPLE_RATE as f32;
    let note = |(start, pitch): (f32, f32)| {
        let age = t - start;
        if age < 0.0 {
            return 0.0;
        }

        let attack = (age / 0.008).min(1.0);
        let ring = (-age * 5.0).exp();
        let phase = std::f32::consts::TAU * pitch * age;

        // A little of the octave makes it sound like a bell rather than a whistle.
        attack * ring * (phase.sin() + 0.25 * (2.0 * phase).sin())
    };

    let end = (1.0 - (n as f32 / CHIME_SAMPLES as f32)).clamp(0.0, 1.0);
    0.25 * end.min(0.1) * 10.0 * NOTES.into_iter().map(note).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn the_chime_is_soft_and_does_not_click() {
        let chime_samples: Vec<f32> = (0..CHIME_SAMPLES + BLOCK_SAMPLES).map(chime).collect();
        let peak = chime_samples
            .iter()
            .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        assert!(
            (0.15..0.6).contains(&peak),
            "the chime is audible but not loud: {peak}"
        );

        let step = chime_samples
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0_f32, f32::max);

        assert!(
            step < 0.06,
            "a 0.3 sine of 880 Hz moves by 0.035 per sample; a step of {step} is a click"
        );

        assert!(
            chime_samples[0] == 0.0
                && chime_samples[CHIME_SAMPLES..]
                    .iter()
                    .all(|sample| *sample == 0.0),
            "silence surrounds the chime"
        );
    }

    #[test]
    fn the_chime_holds_both_notes_in_order() {
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
            "the lower note starts alone"
        );

        assert!(
            power(0.4, 880.0) > power(0.4, 659.26),
            "the higher note then dominates"
        );
    }

    #[test]
    fn a_missing_speaker_is_reported_with_its_code() {
        let (done, results) = channel();
        let _test = SpeakerTest::start(
            AudioSink::Named("no such speaker".into()),
            Box::new(move |result| done.send(result).expect("the test receives")),
        );

        let error = results
            .recv_timeout(Duration::from_secs(30))
            .expect("the result is reported")
            .expect_err("no speaker has this name");
        assert_eq!(error.code, MediaErrorCode::SpeakerNotFound);
    }

    #[test]
    fn a_dropped_test_reports_nothing() {
        let (done, results) = channel::<()>();
        drop(SpeakerTest::start(
            AudioSink::None,
            Box::new(move |_| {
                // The test may finish before it is dropped.
                let _ = done.send(());
            }),
        ));
        let _ = results.try_recv();

        assert!(results.recv().is_err(), "the thread ends with the test");
    }
}
