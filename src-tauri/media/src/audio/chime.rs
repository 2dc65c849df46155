//! The app's own sounds, computed from formulas: bells and held tones at 48 kHz mono.

use std::f64::consts::{PI, TAU};

use super::{BLOCK_SAMPLES, SAMPLE_RATE};

/// The partials of a note: multiple of its pitch, and level. Together they make a bell rather than
/// a whistle. Their levels add up to 1.
const PARTIALS: [(f64, f64); 3] = [(1.0, 0.75), (2.0, 0.19), (3.0, 0.06)];

/// How long a note takes to fall silent at its end, in seconds.
const RELEASE_S: f64 = 0.08;

/// One note. Its level rises smoothly, decays, and is zero at its end.
#[derive(Debug, Clone, Copy)]
struct Note {
    /// When it starts, in seconds.
    at_s: f64,
    length_s: f64,
    pitch_hz: f64,
    /// Its peak, where 1 is full scale.
    level: f64,
    /// How long it takes to rise, in seconds.
    attack_s: f64,
    /// How fast it decays: by 8.7 dB times this every second. 0 holds it.
    decay: f64,
}

impl Note {
    /// A soft bell.
    const fn bell(at_s: f64, pitch_hz: f64, level: f64, length_s: f64, decay: f64) -> Self {
        Self {
            at_s,
            length_s,
            pitch_hz,
            level,
            attack_s: 0.008,
            decay,
        }
    }

    /// A tone that is held.
    const fn held(at_s: f64, pitch_hz: f64, level: f64, length_s: f64) -> Self {
        Self {
            at_s,
            length_s,
            pitch_hz,
            level,
            attack_s: 0.06,
            decay: 0.0,
        }
    }

    /// Its value at `time_s`.
    fn at(&self, time_s: f64) -> f64 {
        let age = time_s - self.at_s;
        if age <= 0.0 || age >= self.length_s {
            return 0.0;
        }

        let rise = smooth(age / self.attack_s);
        let fall = smooth((self.length_s - age) / RELEASE_S);
        let partial = |(multiple, level): (f64, f64)| {
            // As in a bell, the higher partials are gone sooner.
            let decay = (-self.decay * multiple * age).exp();
            level * decay * (TAU * self.pitch_hz * multiple * age).sin()
        };

        self.level * rise * fall * PARTIALS.into_iter().map(partial).sum::<f64>()
    }
}

/// From 0 to 1 without a corner at either end.
fn smooth(x: f64) -> f64 {
    0.5 - 0.5 * (PI * x.clamp(0.0, 1.0)).cos()
}

/// Notes, and the time after which they start again. Notes that sound together have levels that add
/// up to at most 1.
#[derive(Debug)]
pub(super) struct Melody {
    notes: &'static [Note],
    /// In samples. The last note has ended by then.
    period: usize,
}

/// A call comes in: two chimes, each a pair of bells (A4 and E5, then C#5 and A5), every 3 s.
pub(super) const INCOMING: Melody = Melody {
    notes: &[
        Note::bell(0.0, 440.0, 0.28, 1.1, 4.0),
        Note::bell(0.09, 659.26, 0.28, 1.1, 4.0),
        Note::bell(0.62, 554.37, 0.32, 1.6, 3.2),
        Note::bell(0.71, 880.0, 0.32, 1.6, 3.2),
    ],
    period: 3 * SAMPLE_RATE as usize,
};

/// It rings at the other end: two held tones (G4 and B4), one second in four, 12 dB quieter.
pub(super) const RINGBACK: Melody = Melody {
    notes: &[
        Note::held(0.0, 392.0, 0.08, 1.0),
        Note::held(0.0, 493.88, 0.08, 1.0),
    ],
    period: 4 * SAMPLE_RATE as usize,
};

/// A search found someone: one chime.
pub(super) const FOUND: Melody = Melody {
    notes: &[
        Note::bell(0.0, 587.33, 0.28, 1.4, 3.5),
        Note::bell(0.07, 880.0, 0.28, 1.4, 3.5),
    ],
    period: SAMPLE_RATE as usize * 15 / 10,
};

/// "Can you hear this?": a fourth, E5 to A5.
pub(super) const SPEAKER_TEST: Melody = Melody {
    notes: &[
        Note::bell(0.0, 659.26, 0.3, 0.9, 5.0),
        Note::bell(0.28, 880.0, 0.3, 0.9, 5.0),
    ],
    period: SAMPLE_RATE as usize * 12 / 10,
};

impl Melody {
    /// Sample `n` of one period, ±1 at full scale; silence after it.
    fn sample(&self, n: usize) -> f32 {
        let time_s = n as f64 / f64::from(SAMPLE_RATE);
        self.notes.iter().map(|note| note.at(time_s)).sum::<f64>() as f32
    }

    /// The melody once, times `gain` (0 to 1).
    pub(super) fn once(&'static self, gain: f32) -> Blocks {
        Blocks {
            melody: self,
            gain,
            next: 0,
            repeats: false,
        }
    }

    /// The melody again and again, times `gain` (0 to 1).
    pub(super) fn repeated(&'static self, gain: f32) -> Blocks {
        Blocks {
            repeats: true,
            ..self.once(gain)
        }
    }
}

/// A melody in blocks of 10 ms.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    melody: &'static Melody,
    gain: f32,
    /// The next sample.
    next: usize,
    repeats: bool,
}

impl Iterator for Blocks {
    type Item = [i16; BLOCK_SAMPLES];

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.melody.period {
            return None;
        }

        Some(std::array::from_fn(|_| {
            let sample = self.gain * self.melody.sample(self.next);
            self.next += 1;

            if self.repeats {
                self.next %= self.melody.period;
            }

            (sample * f32::from(i16::MAX)).round() as i16
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &Melody); 4] = [
        ("incoming", &INCOMING),
        ("ringback", &RINGBACK),
        ("found", &FOUND),
        ("speaker test", &SPEAKER_TEST),
    ];

    fn period(melody: &Melody) -> Vec<f32> {
        (0..melody.period).map(|n| melody.sample(n)).collect()
    }

    fn peak(samples: &[f32]) -> f32 {
        samples
            .iter()
            .fold(0.0, |peak, sample| sample.abs().max(peak))
    }

    /// Power at a pitch in a tenth of a second that starts at `from_s` (Goertzel).
    fn power(samples: &[f32], from_s: f64, pitch_hz: f64) -> f64 {
        let from = (from_s * f64::from(SAMPLE_RATE)) as usize;
        let (mut re, mut im) = (0.0, 0.0);

        for (n, sample) in samples[from..from + 4_800].iter().enumerate() {
            let phase = TAU * pitch_hz * n as f64 / f64::from(SAMPLE_RATE);
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }

        re * re + im * im
    }

    #[test]
    fn every_sound_starts_and_ends_at_zero_and_does_not_click() {
        for (name, melody) in ALL {
            let samples = period(melody);
            assert_eq!(samples[0], 0.0, "{name} starts at zero");
            assert_eq!(
                samples.last(),
                Some(&0.0),
                "{name} ends before its period, so that it can repeat"
            );

            // A sine of 880 Hz moves by 0.115 of its level per sample.
            let step = samples
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).abs())
                .fold(0.0, f32::max);
            assert!(step < 0.07, "{name}: a step of {step} is a click");
        }
    }

    #[test]
    fn every_sound_keeps_to_its_level_and_has_no_direct_current() {
        for (name, melody) in ALL {
            let samples = period(melody);
            let sum: f64 = samples.iter().copied().map(f64::from).sum();
            let mean = sum / samples.len() as f64;
            assert!(mean.abs() < 1e-5, "{name} has a mean of {mean}");

            let levels: f64 = melody.notes.iter().map(|note| note.level).sum();
            assert!(levels <= 1.3, "{name}: overlapping notes may clip");
            assert!(
                peak(&samples) <= 0.8,
                "{name} leaves headroom: {}",
                peak(&samples)
            );
        }

        let (ring, ringback) = (peak(&period(&INCOMING)), peak(&period(&RINGBACK)));
        assert!(
            ring > 0.35,
            "the ring is heard across a room: its peak is {ring}"
        );
        assert!(
            ringback < 0.45 * ring,
            "the ringback is quieter: {ringback} beside {ring}"
        );
    }

    #[test]
    fn the_gain_bounds_the_peak() {
        for gain in [0.0, 0.1, 0.5, 1.0] {
            let loudest = INCOMING
                .once(gain)
                .flatten()
                .map(i16::unsigned_abs)
                .max()
                .expect("samples");
            assert!(
                f32::from(loudest) <= gain * 32_767.0,
                "a gain of {gain} gives {loudest}"
            );
            assert_eq!(loudest > 0, gain > 0.0, "a gain of {gain} is heard");
        }
    }

    #[test]
    fn a_repeated_sound_has_exactly_its_period() {
        for (name, melody) in ALL {
            let twice: Vec<i16> = melody
                .repeated(0.7)
                .flatten()
                .take(2 * melody.period)
                .collect();
            let (first, second) = twice.split_at(melody.period);
            assert!(first == second, "{name} repeats to the sample");

            let once: Vec<i16> = melody.once(0.7).flatten().collect();
            assert!(
                once.len() - melody.period < BLOCK_SAMPLES && once[..melody.period] == *first,
                "{name} once is one period"
            );
            assert!(
                once[melody.period..].iter().all(|sample| *sample == 0),
                "{name} is followed by silence"
            );
        }
    }

    #[test]
    fn the_ring_is_two_chimes_and_a_pause() {
        let ring = period(&INCOMING);
        assert!(
            power(&ring, 0.15, 440.0) > 20.0 * power(&ring, 0.15, 554.37),
            "the first chime holds A4"
        );
        assert!(
            power(&ring, 0.8, 554.37) > 20.0 * power(&ring, 0.8, 440.0),
            "the second one holds C#5"
        );

        let pause = &ring[24 * SAMPLE_RATE as usize / 10..];
        assert_eq!(peak(pause), 0.0, "the last 0.6 s are silent");
    }

    #[test]
    fn the_speaker_test_holds_both_notes_in_order() {
        let test = period(&SPEAKER_TEST);
        assert!(
            power(&test, 0.05, 659.26) > 100.0 * power(&test, 0.05, 880.0),
            "the lower note starts alone"
        );
        assert!(
            power(&test, 0.4, 880.0) > power(&test, 0.4, 659.26),
            "the higher note then dominates"
        );
    }
}
