//! The loudness of audio, for a meter on the screen.

use std::sync::atomic::{AtomicU64, Ordering};

/// A linear loudness: 1 is full scale.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AudioLevel {
    /// Root mean square of the latest 10 ms, 0 to 1; falls back slowly.
    pub rms: f32,
    /// The largest sample, 0 to 1; falls back slowly.
    pub peak: f32,
}

/// The level at which a meter shows empty, in dB of full scale.
const METER_FLOOR_DB: f32 = -60.0;

impl AudioLevel {
    /// The position of a meter: 0 at −60 dB of full scale and below, 1 at full scale. It is linear
    /// in decibels, as hearing is.
    #[must_use]
    pub fn meter(self) -> f32 {
        (1.0 - 20.0 * self.rms.max(1e-9).log10() / METER_FLOOR_DB).clamp(0.0, 1.0)
    }
}

/// Factor applied to a level every 10 ms: it falls by 20 dB in half a second.
const FALL: f32 = 0.955;

/// Updates of a meter per second.
const STEPS_PER_SECOND: u32 = 100;

/// Follows loudness in steps of 10 ms: rises at once, falls slowly.
#[derive(Debug, Clone, Copy)]
pub struct LevelMeter {
    /// Samples in one step.
    step: u32,
    /// Samples of the current step so far, the sum of their squares and their largest magnitude.
    seen: u32,
    squares: f32,
    peak: f32,
    level: AudioLevel,
}

impl LevelMeter {
    /// A meter for audio of `rate` samples per second.
    pub fn new(rate: u32) -> Self {
        let step = (rate / STEPS_PER_SECOND).max(1);
        Self {
            step,
            seen: 0,
            squares: 0.0,
            peak: 0.0,
            level: AudioLevel::default(),
        }
    }

    /// Takes the next sample; full scale is ±1.
    pub fn push(&mut self, sample: f32) {
        self.squares += sample * sample;
        self.peak = self.peak.max(sample.abs());
        self.seen += 1;

        if self.seen == self.step {
            let rms = (self.squares / self.step as f32).sqrt();
            // The order of `min` and `max` also turns NaN into a number.
            let follow = |old: f32, new: f32| new.min(1.0).max(old * FALL);
            self.level = AudioLevel {
                rms: follow(self.level.rms, rms),
                peak: follow(self.level.peak, self.peak),
            };

            (self.seen, self.squares, self.peak) = (0, 0.0, 0.0);
        }
    }

    /// The level after the last complete step.
    pub fn level(&self) -> AudioLevel {
        self.level
    }
}

/// A level that one thread sets and others read, without a lock.
#[derive(Debug, Default)]
pub struct SharedLevel {
    /// The bits of `rms` above those of `peak`, so that both change in one store.
    bits: AtomicU64,
}

impl SharedLevel {
    /// The level last set, or zero.
    pub fn get(&self) -> AudioLevel {
        let bits = self.bits.load(Ordering::Relaxed);
        AudioLevel {
            rms: f32::from_bits((bits >> 32) as u32),
            peak: f32::from_bits(bits as u32),
        }
    }

    /// Sets both figures at once.
    pub fn set(&self, level: AudioLevel) {
        let bits = u64::from(level.rms.to_bits()) << 32 | u64::from(level.peak.to_bits());
        self.bits.store(bits, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_rises_at_once_and_falls_slowly() {
        let mut meter = LevelMeter::new(8_000);
        for sample in 0..80 {
            assert_eq!(
                meter.level(),
                AudioLevel::default(),
                "10 ms are not complete before sample {sample}"
            );

            meter.push(if sample == 7 { -0.8 } else { 0.5 });
        }

        let level = meter.level();
        assert!(
            (level.rms - 0.5).abs() < 0.01 && (level.peak - 0.8).abs() < 1e-6,
            "{level:?}"
        );

        for _ in 0..50 * 80 {
            meter.push(0.0);
        }

        let fallen_db = 20.0 * (meter.level().rms / level.rms).log10();
        assert!(
            (-21.0..-19.0).contains(&fallen_db),
            "a level falls 20 dB in half a second, not {fallen_db}"
        );
    }

    #[test]
    fn a_meter_is_linear_in_decibels() {
        let at = |rms| AudioLevel { rms, peak: rms }.meter();
        assert_eq!((at(0.0), at(1e-4), at(1.0)), (0.0, 0.0, 1.0), "the ends");
        assert!(
            (at(0.001) - 0.0).abs() < 1e-5 && (at(0.0316) - 0.5).abs() < 0.001,
            "−30 dB is the middle of the scale"
        );
    }

    #[test]
    fn samples_out_of_range_keep_the_level_in_range() {
        for sample in [f32::INFINITY, f32::NAN, -1e30, 7.0] {
            // At a rate below any device's, every sample is a step.
            let mut meter = LevelMeter::new(50);
            meter.push(sample);

            let level = meter.level();
            assert!(
                (0.0..=1.0).contains(&level.rms) && (0.0..=1.0).contains(&level.peak),
                "{sample}: {level:?}"
            );
            assert!((0.0..=1.0).contains(&level.meter()), "{sample}");
        }
    }

    #[test]
    fn a_shared_level_returns_both_figures() {
        let shared = SharedLevel::default();
        assert_eq!(shared.get(), AudioLevel::default());
        let level = AudioLevel {
            rms: 0.25,
            peak: 0.75,
        };

        shared.set(level);
        assert_eq!(shared.get(), level);
    }
}
