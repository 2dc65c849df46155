//! Comfort noise: fills a pause at the loudness of the speaker's background.

/// Loudest comfort noise, RMS of 16-bit samples (about −55 dBFS), so that it is never mistaken for
/// a voice.
const MAX_RMS: f32 = 58.0;
/// How fast the estimate follows a louder background: a factor per packet.
const RISE: f32 = 1.02;

/// Estimates the background level and imitates it.
#[derive(Debug)]
pub(super) struct ComfortNoise {
    /// RMS of the quietest recent audio.
    floor: f32,
    state: u32,
    smoothed: f32,
}

impl ComfortNoise {
    pub(super) fn new() -> Self {
        Self {
            floor: MAX_RMS / 4.0,
            state: 0x9E37_79B9,
            smoothed: 0.0,
        }
    }

    /// Updates the estimate from the samples of a decoded packet.
    pub(super) fn learn(&mut self, pcm: &[i16]) {
        if pcm.is_empty() {
            return;
        }

        let power = pcm
            .iter()
            .map(|&s| f32::from(s) * f32::from(s))
            .sum::<f32>()
            / pcm.len() as f32;
        self.floor = power.sqrt().min(self.floor * RISE + 0.01).min(MAX_RMS);
    }

    /// The next sample: white noise from an xorshift generator through a one-pole low-pass at about
    /// 4 kHz.
    pub(super) fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let white = (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        self.smoothed += 0.4 * (white - self.smoothed);

        // Uniform noise has an RMS of 1/√3, and this filter passes a quarter of the power.
        self.smoothed * self.floor * 3.46
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_is_as_loud_as_the_background() {
        let mut noise = ComfortNoise::new();
        for _ in 0..1_000 {
            noise.learn(&[20, -20, 20, -20]);
        }

        let rms = ((0..48_000).map(|_| noise.next().powi(2)).sum::<f32>() / 48_000.0).sqrt();
        assert!(
            (15.0..25.0).contains(&rms),
            "a background with an RMS of 20 is imitated at {rms}"
        );

        for _ in 0..1_000 {
            noise.learn(&[9_000, -9_000]);
        }

        assert!(
            (0..48_000).all(|_| noise.next().abs() < MAX_RMS * 3.5),
            "speech does not raise the noise above its limit"
        );
    }
}
