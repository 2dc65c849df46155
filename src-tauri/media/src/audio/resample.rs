//! Conversion between the engine's 48 kHz and any other rate, and the control loop that absorbs the
//! drift between two clocks by converting slightly faster or slower.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction,
};

use super::{BLOCK_SAMPLES, SAMPLE_RATE};

/// Accepted rates in Hz: all that files and devices have.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// The largest correction of the speed: five times the drift between the worst crystals, and 9
/// cents of pitch.
const MAX_CORRECTION: f64 = 0.005;

/// Length of the resampler's filter in samples of the lower rate: −100 dB of aliasing and 1.3 ms of
/// delay.
const SINC_LENGTH: usize = 128;

/// A rate that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rate} Hz cannot be converted (allowed: 4000 to 384000 Hz)")]
pub struct RateError {
    /// The requested rate in Hz.
    pub rate: u32,
}

/// Converts mono audio from one rate to another, block by block, with a ratio that can be adjusted
/// while it runs.
pub struct RateConverter {
    inner: Async<f32>,
}

impl std::fmt::Debug for RateConverter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateConverter")
            .field("ratio", &self.inner.resample_ratio())
            .finish_non_exhaustive()
    }
}

impl RateConverter {
    /// Converts from `rate` Hz to blocks of 480 samples at 48 kHz. Each call takes a different
    /// number of input samples.
    ///
    /// # Errors
    /// The rate is outside [`RATES`].
    pub fn to_blocks(rate: u32) -> Result<Self, RateError> {
        Self::new(
            rate,
            f64::from(SAMPLE_RATE) / f64::from(rate),
            FixedAsync::Output,
        )
    }

    /// Converts from blocks of 480 samples at 48 kHz to `rate` Hz. Each call gives a different
    /// number of output samples.
    ///
    /// # Errors
    /// The rate is outside [`RATES`].
    pub fn from_blocks(rate: u32) -> Result<Self, RateError> {
        Self::new(
            rate,
            f64::from(rate) / f64::from(SAMPLE_RATE),
            FixedAsync::Input,
        )
    }

    fn new(rate: u32, ratio: f64, fixed: FixedAsync) -> Result<Self, RateError> {
        if !RATES.contains(&rate) {
            return Err(RateError { rate });
        }

        let parameters =
            SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
        let inner = Async::new_sinc(
            ratio,
            1.0 + 2.0 * MAX_CORRECTION,
            &parameters,
            BLOCK_SAMPLES,
            1,
            fixed,
        )
        .map_err(|error| {
            tracing::warn!(rate, %error, "no resampler for a rate within the limits");
            RateError { rate }
        })?;
        Ok(Self { inner })
    }

    /// How many samples the next [`convert`](Self::convert) takes.
    pub fn input_len(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// The most samples that any call takes.
    pub fn input_len_max(&self) -> usize {
        self.inner.input_frames_max()
    }

    /// The most samples that any call gives.
    pub fn output_len_max(&self) -> usize {
        self.inner.output_frames_max()
    }

    /// The delay of the filter, in samples of the output.
    pub fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Converts the first [`input_len`](Self::input_len) samples of `input` and returns how many
    /// samples it wrote to `output`. Does not allocate. Returns 0 if a slice is too short.
    pub fn convert(&mut self, input: &[f32], output: &mut [f32]) -> usize {
        let lengths = (input.len(), output.len());
        let Ok(source) = SequentialSlice::new(input, 1, lengths.0) else {
            return 0;
        };

        let Ok(mut target) = SequentialSlice::new_mut(output, 1, lengths.1) else {
            return 0;
        };

        self.inner
            .process_into_buffer(&source, &mut target, None)
            .map_or(0, |(_, written)| written)
    }

    /// Produces `speed` times as much output from the same input. The ratio glides to the new speed
    /// within the next block.
    pub fn set_speed(&mut self, speed: f64) {
        let speed = speed.clamp(1.0 - MAX_CORRECTION, 1.0 + MAX_CORRECTION);
        // Cannot fail: the range was requested at construction.
        let _ = self.inner.set_resample_ratio_relative(speed, true);
    }
}

/// Keeps the fill of a ring between two clocks at a target by correcting the speed of one side: a
/// PI loop over the smoothed fill. The proportional part brings the fill back. The integral part
/// learns the drift, so that no steady error remains.
#[derive(Debug, Clone)]
pub struct DriftController {
    smoothed_s: Option<f64>,
    drift: f64,
}

/// Time constant of the smoothing of the fill, in seconds.
const SMOOTHING_S: f64 = 0.5;
/// Correction per second of error: an error halves in about 4 s.
const PROPORTIONAL: f64 = 0.2;
/// Gain of the integral part in 1/s²: critical damping (PROPORTIONAL² / 4).
const INTEGRAL: f64 = PROPORTIONAL * PROPORTIONAL / 4.0;
/// Time between updates, in seconds.
const INTERVAL_S: f64 = BLOCK_SAMPLES as f64 / SAMPLE_RATE as f64;

impl Default for DriftController {
    fn default() -> Self {
        Self::new()
    }
}

impl DriftController {
    /// A loop that assumes no drift yet.
    pub fn new() -> Self {
        Self {
            smoothed_s: None,
            drift: 0.0,
        }
    }

    /// Takes the fill and its target at one tick, both in seconds of audio, and returns how much
    /// faster the ring must be emptied (or slower be filled) as a fraction: 0.001 is 0.1 %.
    pub fn update(&mut self, fill_s: f64, target_s: f64) -> f64 {
        let smoothed = self.smoothed_s.map_or(fill_s, |old| {
            old + (fill_s - old) * (INTERVAL_S / SMOOTHING_S)
        });

        self.smoothed_s = Some(smoothed);
        let error = smoothed - target_s;
        self.drift =
            (self.drift + INTEGRAL * error * INTERVAL_S).clamp(-MAX_CORRECTION, MAX_CORRECTION);

        (PROPORTIONAL * error + self.drift).clamp(-MAX_CORRECTION, MAX_CORRECTION)
    }

    /// Forgets the fill but keeps the drift. Call it after filling or emptying the ring in one
    /// step.
    pub fn restart(&mut self) {
        self.smoothed_s = None;
    }

    /// The drift learned so far, as a fraction.
    pub fn drift(&self) -> f64 {
        self.drift
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Ratio in dB of a sine's power to that of everything else in `samples` after the first `skip`
    /// samples.
    fn purity_db(samples: &[f32], hz: f64, rate: f64, skip: usize) -> f64 {
        let samples = &samples[skip..];
        let (mut c, mut s) = (0.0, 0.0);

        for (n, x) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / rate;
            c += f64::from(*x) * angle.cos();
            s += f64::from(*x) * angle.sin();
        }

        let (c, s) = (
            2.0 * c / samples.len() as f64,
            2.0 * s / samples.len() as f64,
        );

        let mut rest = 0.0;
        for (n, x) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / rate;
            rest += (f64::from(*x) - c * angle.cos() - s * angle.sin()).powi(2);
        }

        10.0 * ((c * c + s * s) / 2.0 * samples.len() as f64 / rest).log10()
    }

    fn sine(hz: f64, rate: f64, n: usize) -> f32 {
        (0.5 * (TAU * hz * n as f64 / rate).sin()) as f32
    }

    fn to_blocks(rate: u32, hz: f64) -> Vec<f32> {
        let mut converter = RateConverter::to_blocks(rate).unwrap();
        let (mut sent, mut samples) = (0, Vec::new());

        for _ in 0..100 {
            let input: Vec<f32> = (sent..sent + converter.input_len())
                .map(|n| sine(hz, f64::from(rate), n))
                .collect();
            sent += input.len();

            let mut block = [0.0; BLOCK_SAMPLES];
            assert_eq!(
                converter.convert(&input, &mut block),
                BLOCK_SAMPLES,
                "a block is always complete"
            );

            samples.extend(block);
        }

        samples
    }

    #[test]
    fn a_tone_stays_pure_from_any_rate() {
        for rate in [
            8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000,
        ] {
            let hz = f64::from(rate).min(48_000.0) * 0.2;
            // A whole number of cycles in the 0.9 s under test.
            let hz = (hz * 0.9).round() / 0.9;
            let purity = purity_db(&to_blocks(rate, hz), hz, 48_000.0, 4_800);
            assert!(
                purity > 75.0,
                "a tone of {hz:.0} Hz from {rate} Hz has a purity of {purity:.1} dB"
            );
        }
    }

    #[test]
    fn a_tone_stays_pure_to_any_rate() {
        for rate in [16_000u32, 44_100, 48_000, 96_000] {
            let hz = 1_000.0;
            let mut converter = RateConverter::from_blocks(rate).unwrap();
            let mut samples = Vec::new();
            let mut out = vec![0.0; converter.output_len_max()];

            for block in 0..100 {
                let input: Vec<f32> = (0..BLOCK_SAMPLES)
                    .map(|n| sine(hz, 48_000.0, block * BLOCK_SAMPLES + n))
                    .collect();
                let written = converter.convert(&input, &mut out);
                samples.extend_from_slice(&out[..written]);
            }

            let expected = rate as usize;
            assert!(
                samples.len().abs_diff(expected) < expected / 50,
                "a second of audio stays a second at {rate} Hz"
            );

            samples.truncate(expected / 10 * 9);
            let purity = purity_db(&samples, hz, f64::from(rate), expected / 10);
            assert!(
                purity > 75.0,
                "1 kHz at {rate} Hz has a purity of {purity:.1} dB"
            );
        }
    }

    #[test]
    fn frequencies_above_the_lower_rate_are_removed() {
        let samples = to_blocks(96_000, 30_000.0);
        let peak = samples[4_800..]
            .iter()
            .fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        assert!(
            peak < 1e-3,
            "30 kHz does not alias into 48 kHz (peak {peak})"
        );
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for rate in [0, 1, 3_999, 384_001, u32::MAX] {
            assert_eq!(
                RateConverter::to_blocks(rate).unwrap_err(),
                RateError { rate },
                "{rate} Hz is refused"
            );
        }
    }

    #[test]
    fn the_controller_learns_the_drift_and_keeps_the_fill() {
        for drift in [-300e-6, -20e-6, 0.0, 100e-6, 300e-6] {
            let mut controller = DriftController::new();
            let (mut fill, target) = (0.050f64, 0.030);
            let mut largest_late: f64 = 0.0;

            for tick in 0..12_000 {
                let correction = controller.update(fill, target);
                fill += INTERVAL_S * (drift - correction);

                if tick > 9_000 {
                    largest_late = largest_late.max((fill - target).abs());
                }
            }

            assert!(
                largest_late < 2e-4,
                "after 90 s the fill stays within 0.2 ms at a drift of {drift}, not {largest_late}"
            );

            assert!(
                (controller.drift() - drift).abs() < 2e-6,
                "a drift of {drift} is learned: {}",
                controller.drift()
            );
        }
    }
}
