//! Finds the test signal in received audio and measures how old it is.

use std::collections::VecDeque;
use std::f64::consts::PI;

use super::{MARKER_HZ, MARKER_S, SLOT_US, SLOTS, SYMBOL_S, SYMBOLS, bits, chirp, symbol};
use crate::audio::{BLOCK_SAMPLES, SAMPLE_RATE};

/// Samples per sample searched: a quarter of the rate is enough, because the chirps end at 3.5 kHz.
const DECIMATION: usize = 4;
const RATE: f64 = SAMPLE_RATE as f64 / DECIMATION as f64;
/// Taps of the low-pass filter before decimation. An odd number, so that the delay is a whole
/// number of samples.
const TAPS: usize = 65;
const FILTER_DELAY: f64 = (TAPS as f64 - 1.0) / 2.0;
const CUTOFF_HZ: f64 = 4_800.0;

/// Smallest share of a window's amplitude that must be the marker. Opus at 24 kbit/s with FEC
/// leaves 0.5 to 0.7 of it, and noise stays far below.
const MARKER_LIKENESS: f32 = 0.4;
const SYMBOL_LIKENESS: f32 = 0.2;
/// How many times better the better symbol must fit.
const SYMBOL_MARGIN: f32 = 1.4;
/// A better fit within this many decimated samples (20 ms) replaces the marker found.
const PEAK_SAMPLES: usize = (RATE * 0.02) as usize;
/// Mean square, relative to full scale 1.0, below which nothing is searched.
const SILENCE: f64 = 1e-7;
/// The earliest delay of the 8 s range that can be distinguished: from −1 s (clocks that disagree)
/// to 7 s.
const EARLIEST_US: i64 = -1_000_000;
/// Number of blocks whose time is remembered: more than a marker and its symbols span.
const BLOCK_WINDOW: usize = 64;

/// One measurement: a half second of the test signal was recognized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MouthToEar {
    /// Time from generating to hearing the signal, in milliseconds. Negative if the two clocks
    /// disagree.
    pub latency_ms: f64,
    /// Unix time in milliseconds at which it was generated: a multiple of 500.
    pub emitted_unix_ms: i64,
}

/// A quadrature pair to correlate with. The magnitude does not depend on the signal's phase.
#[derive(Debug)]
struct Template {
    cosine: Vec<f32>,
    sine: Vec<f32>,
    norm: f32,
}

impl Template {
    fn new(length_s: f64, wave: impl Fn(f64) -> (f64, f64)) -> Self {
        let (cosine, sine): (Vec<f32>, Vec<f32>) = (0..(length_s * RATE) as usize)
            .map(|n| wave(n as f64 / RATE))
            .map(|(cosine, sine)| (cosine as f32, sine as f32))
            .unzip();
        let norm = cosine.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { cosine, sine, norm }
    }

    fn len(&self) -> usize {
        self.cosine.len()
    }

    /// Similarity of `signal` (as long as the template, with energy `energy`) to the template: 0 to
    /// about 1.
    fn likeness(&self, signal: &[f32], energy: f64) -> f32 {
        let (mut cosine, mut sine) = (0.0f32, 0.0f32);
        for ((sample, c), s) in signal.iter().zip(&self.cosine).zip(&self.sine) {
            cosine += sample * c;
            sine += sample * s;
        }

        cosine.hypot(sine) / (self.norm * (energy as f32).sqrt())
    }
}

/// A position that looks like a marker.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    position: u64,
    /// Likeness one sample before, at, and one sample after the position.
    likeness: [f32; 3],
}

/// Finds the test signal in a stream of blocks.
#[derive(Debug)]
pub struct TestSignalReader {
    filter: [f32; TAPS],
    /// The latest input samples, for the filter.
    history: VecDeque<f32>,
    marker: Template,
    symbols: [Template; 2],
    /// Filtered samples still needed. The first has index `base`.
    low: Vec<f32>,
    base: u64,
    /// The next position to check for a marker, and the energy of the window there.
    scan: u64,
    energy: Option<f64>,
    previous_likeness: f32,
    candidate: Option<Candidate>,
    /// Heard-at times of the latest blocks. The last belongs to block `blocks − 1`.
    heard: VecDeque<i64>,
    blocks: u64,
}

impl Default for TestSignalReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TestSignalReader {
    /// A reader that has heard nothing yet.
    pub fn new() -> Self {
        let mut filter = [0.0f32; TAPS];
        for (n, tap) in filter.iter_mut().enumerate() {
            let x = n as f64 - FILTER_DELAY;
            let angle = 2.0 * PI * CUTOFF_HZ / f64::from(SAMPLE_RATE);
            let sinc = if x == 0.0 {
                angle / PI
            } else {
                (angle * x).sin() / (PI * x)
            };

            let window = 0.54 + 0.46 * (PI * x / (FILTER_DELAY + 1.0)).cos();
            *tap = (sinc * window) as f32;
        }

        Self {
            filter,
            history: std::iter::repeat_n(0.0, TAPS).collect(),
            marker: Template::new(MARKER_S, |t| chirp(MARKER_HZ, MARKER_S, t)),
            symbols: [
                Template::new(SYMBOL_S, |t| symbol(false, t)),
                Template::new(SYMBOL_S, |t| symbol(true, t)),
            ],
            low: Vec::new(),
            base: 0,
            scan: 0,
            energy: None,
            previous_likeness: 0.0,
            candidate: None,
            heard: VecDeque::with_capacity(BLOCK_WINDOW),
            blocks: 0,
        }
    }

    /// Takes the next 10 ms of played audio, whose first sample is heard at `heard_at_unix_us`.
    /// Returns a measurement when a half second of the test signal is complete.
    pub fn push(
        &mut self,
        block: &[i16; BLOCK_SAMPLES],
        heard_at_unix_us: i64,
    ) -> Option<MouthToEar> {
        if self.heard.len() == BLOCK_WINDOW {
            self.heard.pop_front();
        }

        self.heard.push_back(heard_at_unix_us);
        self.blocks += 1;
        self.decimate(block);
        let found = self.search();
        self.forget();

        found
    }

    fn decimate(&mut self, block: &[i16; BLOCK_SAMPLES]) {
        for chunk in block.chunks_exact(DECIMATION) {
            for sample in chunk {
                self.history.pop_front();
                self.history.push_back(f32::from(*sample) / 32_768.0);
            }

            self.low.push(
                self.history
                    .iter()
                    .zip(&self.filter)
                    .map(|(sample, tap)| sample * tap)
                    .sum(),
            );
        }
    }

    /// Checks every position for which there is enough audio.
    fn search(&mut self) -> Option<MouthToEar> {
        loop {
            if let Some(candidate) = self.candidate
                && self.scan >= candidate.position + PEAK_SAMPLES as u64
            {
                let pattern = self.marker.len() + SYMBOLS * self.symbols[0].len() + 1;
                let complete = self.window(candidate.position, pattern).is_some();

                if !complete {
                    return None;
                }

                self.candidate = None;
                if let Some(found) = self.read(candidate) {
                    self.jump(candidate.position + pattern as u64);
                    return Some(found);
                }
            }

            self.step()?;
        }
    }

    /// Checks one position; `None` if there is not enough audio yet.
    fn step(&mut self) -> Option<()> {
        let length = self.marker.len();
        let start = (self.scan - self.base) as usize;
        let window = self.low.get(start..start + length)?;
        let energy = match self.energy {
            // The window slides by one sample: one leaves, one enters.
            Some(energy) => {
                let leaving =
                    f64::from(self.low.get(start.wrapping_sub(1)).copied().unwrap_or(0.0));
                let entering = f64::from(window[length - 1]);
                (energy - leaving * leaving + entering * entering).max(0.0)
            }
            None => window.iter().map(|sample| f64::from(*sample).powi(2)).sum(),
        };

        self.energy = Some(energy);
        let likeness = if energy < SILENCE * length as f64 {
            0.0
        } else {
            self.marker.likeness(window, energy)
        };

        match &mut self.candidate {
            Some(candidate)
                if self.scan == candidate.position + 1 && likeness <= candidate.likeness[1] =>
            {
                candidate.likeness[2] = likeness;
            }
            best => {
                if likeness > MARKER_LIKENESS && best.is_none_or(|best| likeness > best.likeness[1])
                {
                    *best = Some(Candidate {
                        position: self.scan,
                        likeness: [self.previous_likeness, likeness, likeness],
                    });
                }
            }
        }

        self.previous_likeness = likeness;
        self.scan += 1;
        Some(())
    }

    /// Reads the symbols after a marker.
    fn read(&self, candidate: Candidate) -> Option<MouthToEar> {
        let length = self.symbols[0].len();
        let mut read = [false; SYMBOLS];

        for (n, bit) in read.iter_mut().enumerate() {
            let signal = self.window(
                candidate.position + (self.marker.len() + n * length) as u64,
                length,
            )?;

            let energy = signal
                .iter()
                .map(|sample| f64::from(*sample).powi(2))
                .sum::<f64>();
            if energy < SILENCE * length as f64 {
                return None;
            }

            let [zero, one] = [0, 1].map(|bit: usize| self.symbols[bit].likeness(signal, energy));
            *bit = one > zero;

            if zero.max(one) < SYMBOL_LIKENESS || zero.max(one) < SYMBOL_MARGIN * zero.min(one) {
                return None;
            }
        }

        let slot = (0..SLOTS as u8).find(|slot| bits(*slot) == read)?;
        let heard_us = self.heard_at(candidate)?;
        let period = SLOTS * SLOT_US;
        let latency_us =
            (heard_us - i64::from(slot) * SLOT_US - EARLIEST_US).rem_euclid(period) + EARLIEST_US;

        Some(MouthToEar {
            latency_ms: latency_us as f64 / 1e3,
            emitted_unix_ms: (heard_us - latency_us) / 1000,
        })
    }

    /// When the first sample of a marker was heard, to a fraction of a sample.
    fn heard_at(&self, candidate: Candidate) -> Option<i64> {
        let [before, at, after] = candidate.likeness;
        let curvature = before - 2.0 * at + after;
        let shift = if curvature < 0.0 {
            (0.5 * (before - after) / curvature).clamp(-0.5, 0.5)
        } else {
            0.0
        };

        // Low-pass sample n was computed when input sample 4 n + 3 came in, and shows the input of
        // FILTER_DELAY earlier.
        let newest = (candidate.position as f64 + f64::from(shift) + 1.0) * DECIMATION as f64 - 1.0;
        let position = newest - FILTER_DELAY;
        let block = (position / BLOCK_SAMPLES as f64).max(0.0) as u64;
        let oldest = self.blocks - self.heard.len() as u64;
        let heard = *self
            .heard
            .get(usize::try_from(block.checked_sub(oldest)?).ok()?)?;

        let within = position - block as f64 * BLOCK_SAMPLES as f64;
        Some(heard + (within * 1e6 / f64::from(SAMPLE_RATE)).round() as i64)
    }

    fn window(&self, position: u64, length: usize) -> Option<&[f32]> {
        let start = usize::try_from(position.checked_sub(self.base)?).ok()?;
        self.low.get(start..start + length)
    }

    fn jump(&mut self, position: u64) {
        self.scan = position;
        self.energy = None;
        self.previous_likeness = 0.0;
    }

    /// Drops filtered audio that is no longer needed.
    fn forget(&mut self) {
        let needed = self
            .candidate
            .map_or(self.scan, |candidate| candidate.position)
            .saturating_sub(1);

        let unneeded = (needed.saturating_sub(self.base) as usize).min(self.low.len());
        // Moving the rest is cheap, but not worth doing for every block.
        if unneeded >= BLOCK_SAMPLES {
            self.low.drain(..unneeded);
            self.base += unneeded as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::TestSignal;
    use super::*;

    const START_US: i64 = 1_763_800_000_123_456;

    /// The signal from START_US on, `blocks` blocks long.
    fn signal(blocks: usize) -> Vec<i16> {
        let mut samples = Vec::new();
        for n in 0..blocks {
            let mut block = [0; BLOCK_SAMPLES];
            TestSignal.fill(&mut block, START_US + n as i64 * 10_000);
            samples.extend(block);
        }

        samples
    }

    /// Feeds `samples` to a reader, heard from `heard_us` on.
    fn read(samples: &[i16], heard_us: i64) -> Vec<MouthToEar> {
        let mut reader = TestSignalReader::new();
        samples
            .as_chunks::<BLOCK_SAMPLES>()
            .0
            .iter()
            .enumerate()
            .filter_map(|(n, block)| reader.push(block, heard_us + n as i64 * 10_000))
            .collect()
    }

    #[test]
    fn a_known_delay_is_measured_to_a_tenth_of_a_millisecond() {
        let samples = signal(1000);
        for delay_us in [-900_000, 0, 33_377, 80_000, 3_999_123, 6_500_000] {
            let found = read(&samples, START_US + delay_us);
            assert!(
                (19..=20).contains(&found.len()),
                "every complete half second of 10 s is found, not {}",
                found.len()
            );

            for measured in found {
                let error = measured.latency_ms - delay_us as f64 / 1e3;
                assert!(
                    error.abs() < 0.1,
                    "a delay of {delay_us} us was measured {error} ms wrong"
                );

                assert_eq!(
                    measured.emitted_unix_ms % 500,
                    0,
                    "signals are generated at multiples of 500 ms"
                );
            }
        }
    }

    #[test]
    fn noise_does_not_distort_the_measurement() {
        let mut rng = StdRng::seed_from_u64(1);
        let noisy: Vec<i16> = signal(1000)
            .into_iter()
            // White noise 10 dB below the chirps over the whole band.
            .map(|sample| sample.saturating_add((rng.random_range(-1.0..1.0) * 3_800.0) as i16))
            .collect();

        let found = read(&noisy, START_US + 50_000);
        assert!(
            found.len() >= 18,
            "most half seconds are found in noise, not {}",
            found.len()
        );

        for measured in found {
            assert!(
                (measured.latency_ms - 50.0).abs() < 0.3,
                "noise moved the delay of 50 ms to {measured:?}"
            );
        }
    }

    #[test]
    fn noise_tone_and_silence_are_not_the_test_signal() {
        let mut rng = StdRng::seed_from_u64(2);
        let noise: Vec<i16> = (0..48_000 * 20)
            .map(|_| rng.random_range(-8_000..8_000))
            .collect();
        assert_eq!(read(&noise, START_US), [], "noise is not the test signal");
        let tone: Vec<i16> = (0..48_000 * 5)
            .map(|n| ((f64::from(n) * 0.13).sin() * 9_000.0) as i16)
            .collect();

        assert_eq!(read(&tone, START_US), [], "a tone is not the test signal");
        assert_eq!(
            read(&vec![0; 48_000 * 5], START_US),
            [],
            "silence is not the test signal"
        );
    }

    #[test]
    fn gaps_and_repeats_never_give_a_wrong_delay() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut reader = TestSignalReader::new();
        let (mut found, mut silent) = (0, 0);

        for n in 0..6000 {
            let mut block = [0; BLOCK_SAMPLES];
            TestSignal.fill(&mut block, START_US + n * 10_000);

            if rng.random_bool(0.05) {
                block.fill(0);
                silent += 1;
            }

            if let Some(measured) = reader.push(&block, START_US + n * 10_000 + 70_000) {
                found += 1;
                let error = (measured.latency_ms - 70.0).abs();
                assert!(error < 1.0, "a gap moved the delay by {error} ms");
            }
        }

        assert!(silent > 200, "the signal under test has gaps: {silent}");
        assert!(
            found > 30,
            "many of 120 half seconds survive 5 % gaps: {found}"
        );
    }

    #[test]
    fn opus_adds_only_its_own_delay_to_the_measurement() {
        use crate::audio::PACKET_SAMPLES;
        use crate::audio::opus::{
            MAX_PACKET_BYTES, MAX_PACKET_SAMPLES, OpusConfig, OpusDecoder, OpusEncoder,
        };
        // The encoder's look-ahead for voice at 48 kHz: 6.5 ms (RFC 6716 §2, RFC 7587 §4.2).
        const LOOKAHEAD_MS: f64 = 6.5;

        for (bitrate_bps, fec) in [
            (16_000, true),
            (24_000, true),
            (24_000, false),
            (64_000, false),
        ] {
            let config = OpusConfig {
                bitrate_bps,
                fec,
                dtx: true,
                expected_loss_percent: if fec { 10 } else { 0 },
            };
            let mut encoder = OpusEncoder::new(config).unwrap();
            let mut decoder = OpusDecoder::new().unwrap();
            let mut samples = Vec::new();
            let mut unsent = 0;
            for pcm in signal(2000).as_chunks::<PACKET_SAMPLES>().0 {
                let mut packet = [0; MAX_PACKET_BYTES];
                let length = encoder.encode(pcm, &mut packet).unwrap();
                unsent += u32::from(length <= 2);
                let mut out = [0; MAX_PACKET_SAMPLES];
                let decoded = decoder.decode(&packet[..length], &mut out).unwrap();
                samples.extend_from_slice(&out[..decoded]);
            }
            assert_eq!(
                unsent, 0,
                "the tone keeps discontinuous transmission off at {bitrate_bps} bit/s"
            );
            let found = read(&samples, START_US + 40_000);
            println!(
                "{bitrate_bps} bit/s, FEC {fec}: {} of 40 half seconds",
                found.len()
            );
            assert!(
                found.len() >= 38,
                "the signal survives {bitrate_bps} bit/s: {} of 40",
                found.len()
            );
            for measured in found {
                let error = measured.latency_ms - 40.0 - LOOKAHEAD_MS;
                assert!(
                    error.abs() < 0.5,
                    "at {bitrate_bps} bit/s the delay is {error:.2} ms off: {measured:?}"
                );
            }
        }
    }
}
