//! Compares audio and frames: level, delay, similarity.

/// Root mean square level in dB relative to full scale; silence is -200.
pub fn rms_db(samples: &[f32]) -> f64 {
    let energy: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    10.0 * (energy / samples.len().max(1) as f64).max(1e-20).log10()
}

/// The position of a signal in a recording, and how similar they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// First sample of the signal in the recording.
    pub offset: usize,
    /// Normalized cross-correlation: 1 for the same waveform at any level, about 0 for unrelated
    /// audio.
    pub correlation: f64,
    /// Level of the signal in the recording, relative to the original: 1 for equal.
    pub gain: f64,
}

/// Finds `sound` in `recording` by the highest normalized cross-correlation.
///
/// First searches both at an eighth of the rate, which keeps the waveform below 3 kHz, then sample by
/// sample around the best positions.
///
/// # Panics
/// When the recording is shorter than the sound.
pub fn find(sound: &[f32], recording: &[f32]) -> Match {
    assert!(
        recording.len() >= sound.len(),
        "a recording of {} samples cannot hold {}",
        recording.len(),
        sound.len()
    );

    let lags = recording.len() - sound.len();
    let (short, long) = (decimated(sound), decimated(recording));
    let mut coarse: Vec<(f64, usize)> = long
        .windows(short.len())
        .enumerate()
        .map(|(index, window)| (correlate(&short, window).0, index * STEP))
        .collect();
    coarse.sort_by(|a, b| b.0.total_cmp(&a.0));
    let candidates = coarse
        .iter()
        .take(CANDIDATES)
        .flat_map(|(_, lag)| lag.saturating_sub(STEP)..=(lag + STEP).min(lags));

    let mut best = Match {
        offset: 0,
        correlation: f64::MIN,
        gain: 0.0,
    };

    let mut seen = std::collections::HashSet::new();
    for offset in candidates.filter(|offset| seen.insert(*offset)) {
        let (correlation, gain) = correlate(sound, &recording[offset..offset + sound.len()]);
        if correlation > best.correlation {
            best = Match {
                offset,
                correlation,
                gain,
            };
        }
    }

    best
}

/// Samples that become one in the coarse search.
const STEP: usize = 8;
/// The positions of the coarse search that are searched sample by sample.
const CANDIDATES: usize = 32;

/// The mean of each [`STEP`] samples.
fn decimated(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks(STEP)
        .map(|chunk| chunk.iter().sum::<f32>() / chunk.len() as f32)
        .collect()
}

/// Normalized correlation of two signals of equal length, and the gain that brings the first
/// closest to the second.
fn correlate(sound: &[f32], recording: &[f32]) -> (f64, f64) {
    let (mut product, mut ours, mut theirs) = (0.0, 0.0, 0.0);
    for (a, b) in sound.iter().zip(recording) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        product += a * b;
        ours += a * a;
        theirs += b * b;
    }

    (
        product / (ours * theirs).sqrt().max(1e-12),
        product / ours.max(1e-12),
    )
}

/// Peak signal-to-noise ratio of two luma planes in dB; 100 for equal ones.
///
/// # Panics
/// When they differ in size.
pub fn psnr(reference: &[u8], frame: &[u8]) -> f64 {
    assert_eq!(
        reference.len(),
        frame.len(),
        "only frames of equal size can be compared"
    );

    let squares: u64 = reference
        .iter()
        .zip(frame)
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    let mean = squares as f64 / reference.len().max(1) as f64;

    if mean == 0.0 {
        100.0
    } else {
        (10.0 * (255.0 * 255.0 / mean).log10()).min(100.0)
    }
}

/// The median, or `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// White noise between ±0.5, 10.8 dB below full scale, determined by `seed`, which must not be 0
/// (xorshift).
pub fn noise(length: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;

        state as f32 / u32::MAX as f32 - 0.5
    };

    (0..length).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise in bursts like speech.
    fn bursts(length: usize, seed: u32) -> Vec<f32> {
        let noise = noise(length, seed).into_iter().enumerate();
        noise
            .map(|(index, sample)| sample * (index as f32 / 4000.0).sin().abs())
            .collect()
    }

    #[test]
    fn a_full_scale_sine_is_3_db_below_full_scale() {
        let sine: Vec<f32> = (0..48_000)
            .map(|index| (index as f32 * 0.1).sin())
            .collect();
        assert!(
            (rms_db(&sine) + 3.01).abs() < 0.01,
            "the level of a sine is -3.01 dB, not {}",
            rms_db(&sine)
        );

        assert!(
            rms_db(&[0.0; 480]) < -190.0,
            "silence is far below everything"
        );
    }

    #[test]
    fn a_delayed_and_quieter_signal_is_found_to_the_sample() {
        let sound = bursts(24_000, 1);
        let mut recording = bursts(60_000, 7)
            .iter()
            .map(|sample| sample * 0.05)
            .collect::<Vec<_>>();

        for (index, sample) in sound.iter().enumerate() {
            recording[12_345 + index] += 0.5 * sample;
        }

        let found = find(&sound, &recording);
        assert_eq!(found.offset, 12_345, "the delay");
        assert!(
            (found.gain - 0.5).abs() < 0.02 && found.correlation > 0.95,
            "gain and correlation: {found:?}"
        );
    }

    #[test]
    fn a_sound_without_an_envelope_is_found() {
        let sweep: Vec<f32> = (0..96_000_u32)
            .map(|index| {
                let t = f64::from(index) / 48_000.0;
                (0.4 * (std::f64::consts::TAU * (300.0 * t + 400.0 * t * t)).sin()) as f32
            })
            .collect();

        // The noise hides the ripple that is left in the envelope of a sweep.
        let recording: Vec<f32> = sweep
            .iter()
            .zip(noise(sweep.len(), 3))
            .map(|(sample, noise)| sample + noise)
            .collect();

        // Also at the very beginning and the very end.
        for offset in [0, 7_001, 30_000, 96_000 - 24_000] {
            let found = find(&sweep[offset..offset + 24_000], &recording);
            assert_eq!(found.offset, offset, "{found:?}");
        }
    }

    #[test]
    fn unrelated_signals_do_not_correlate() {
        let found = find(&bursts(24_000, 1), &bursts(60_000, 99));
        assert!(
            found.correlation < 0.2,
            "two different noises do not correlate: {found:?}"
        );
    }

    #[test]
    fn psnr_follows_its_definition() {
        assert!(
            (psnr(&[100; 64], &[110; 64]) - 28.13).abs() < 0.01,
            "10 levels off everywhere is 28.13 dB"
        );
        assert!(psnr(&[7; 64], &[7; 64]) >= 100.0, "equal frames");
    }
}
