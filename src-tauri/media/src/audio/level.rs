//! How loud sound is, for a meter on the screen.

use super::BLOCK;

/// A loudness, linear: 1 is full scale.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AudioLevel {
    /// Root mean square of the newest sound, 0 to 1; falls back slowly.
    pub rms: f32,
    /// The largest sample, 0 to 1; falls back slowly.
    pub peak: f32,
}

/// What a meter shows as empty, in dB of full scale.
const METER_FLOOR_DB: f32 = -60.0;

impl AudioLevel {
    /// For a meter: 0 is −60 dB of full scale and below, 1 is full scale, in between it follows decibels as the ear does.
    #[must_use]
    pub fn meter(self) -> f32 {
        (1.0 - 20.0 * self.rms.max(1e-9).log10() / METER_FLOOR_DB).clamp(0.0, 1.0)
    }
}

/// What is left of a level after 10 ms: it falls by 20 dB in half a second.
const FALL: f32 = 0.955;

/// Follows the loudness block by block: rises at once, falls slowly.
#[derive(Debug, Clone, Copy, Default)]
pub struct LevelMeter {
    level: AudioLevel,
}

impl LevelMeter {
    /// Takes the next 10 ms; full scale is ±1.
    pub fn push(&mut self, block: &[f32; BLOCK]) -> AudioLevel {
        let rms = (block.iter().map(|sample| sample * sample).sum::<f32>() / BLOCK as f32).sqrt();
        let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        // `min` and `max` also turn what is not a number into one.
        let follow = |old: f32, new: f32| new.min(1.0).max(old * FALL);
        self.level = AudioLevel { rms: follow(self.level.rms, rms), peak: follow(self.level.peak, peak) };
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_rises_at_once_and_falls_slowly() {
        let mut meter = LevelMeter::default();
        let mut loud = [0.5; BLOCK];
        loud[7] = -0.8;
        let level = meter.push(&loud);
        assert!((level.rms - 0.5).abs() < 0.01 && (level.peak - 0.8).abs() < 1e-6, "{level:?}");
        let mut after = level;
        for _ in 0..50 {
            after = meter.push(&[0.0; BLOCK]);
        }
        let fallen_db = 20.0 * (after.rms / level.rms).log10();
        assert!((-21.0..-19.0).contains(&fallen_db), "20 dB in half a second, not {fallen_db}");
    }

    #[test]
    fn the_meter_follows_decibels() {
        let at = |rms| AudioLevel { rms, peak: rms }.meter();
        assert_eq!((at(0.0), at(1e-4), at(1.0)), (0.0, 0.0, 1.0), "the ends");
        assert!((at(0.001) - 0.0).abs() < 1e-5 && (at(0.0316) - 0.5).abs() < 0.001, "−30 dB is the middle");
    }

    #[test]
    fn wild_samples_stay_in_range() {
        for sample in [f32::INFINITY, f32::NAN, -1e30, 7.0] {
            let level = LevelMeter::default().push(&[sample; BLOCK]);
            assert!((0.0..=1.0).contains(&level.rms) && (0.0..=1.0).contains(&level.peak), "{sample}: {level:?}");
            assert!((0.0..=1.0).contains(&level.meter()), "{sample}");
        }
    }
}
