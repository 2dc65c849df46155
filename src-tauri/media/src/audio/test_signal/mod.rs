//! A signal that carries the time, so that the delay from mouth to ear can be measured from the
//! audio alone, after Opus, loss and time stretching.
//!
//! Every 500 ms of Unix time starts with a *marker*, an up-chirp that a matched filter locates to a
//! fraction of a millisecond. Five *symbols* follow, up- or down-chirps: four bits that number the
//! half second modulo 16, and a parity bit. One half second is therefore enough to know when it was
//! generated, modulo 8 s, and when it was heard. A quiet, pulsing tone runs under everything, so
//! that the signal never falls silent and discontinuous transmission stays off.

mod reader;

use std::f64::consts::TAU;

pub use reader::{MouthToEar, TestSignalReader};

use super::{BLOCK_SAMPLES, SAMPLE_RATE};

/// Distance between markers in microseconds.
const SLOT_US: i64 = 500_000;
/// Number of half seconds that the bits distinguish.
const SLOTS: i64 = 16;
/// Bits after the marker; the last one is parity.
const SYMBOLS: usize = 5;
/// Length of the marker in seconds.
const MARKER_S: f64 = 0.060;
/// Length of a symbol in seconds.
const SYMBOL_S: f64 = 0.050;
/// Start and end frequency of the chirps in Hz, within what Opus keeps at any bitrate.
const MARKER_HZ: (f64, f64) = (500.0, 3_500.0);
const SYMBOL_HZ: (f64, f64) = (400.0, 1_900.0);
/// Peak of the chirps, relative to full scale.
const CHIRP_LEVEL: f64 = 0.3;
/// Peak of the tone under them, relative to full scale.
const TONE_LEVEL: f64 = 0.02;
/// Frequencies of that tone and of its pulsing. They are whole numbers, so that the tone is
/// continuous from one second to the next.
const TONE_HZ: f64 = 300.0;
const TONE_PULSE_HZ: f64 = 5.0;

/// The value at `t` seconds into a chirp of `length` seconds, as (cosine, sine), under a
/// raised-cosine window.
fn chirp((from, to): (f64, f64), length: f64, t: f64) -> (f64, f64) {
    if !(0.0..length).contains(&t) {
        return (0.0, 0.0);
    }

    let phase = TAU * (from * t + (to - from) * t * t / (2.0 * length));
    // Taper only the outer fifths: the flat middle keeps the energy up.
    let edge = (t.min(length - t) / (length * 0.2)).min(1.0);
    let window = 0.5 - 0.5 * (edge * TAU / 2.0).cos();

    (phase.cos() * window, phase.sin() * window)
}

/// The value at `t` seconds into a symbol: 1 is an up-chirp, 0 a down-chirp.
fn symbol(bit: bool, t: f64) -> (f64, f64) {
    let (low, high) = SYMBOL_HZ;
    chirp(if bit { (low, high) } else { (high, low) }, SYMBOL_S, t)
}

/// The bits of half second `slot` (modulo 16), most significant first, followed by odd parity.
fn bits(slot: u8) -> [bool; SYMBOLS] {
    let bit = |shift: u8| slot >> shift & 1 == 1;
    [
        bit(3),
        bit(2),
        bit(1),
        bit(0),
        slot.count_ones().is_multiple_of(2),
    ]
}

/// Generates the test signal. Each sample depends only on the time, so blocks may be skipped or
/// repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestSignal;

impl TestSignal {
    /// Writes the 10 ms that start at `unix_us_of_first_sample` (microseconds of Unix time).
    pub fn fill(self, out: &mut [i16; BLOCK_SAMPLES], unix_us_of_first_sample: i64) {
        for (n, sample) in out.iter_mut().enumerate() {
            let value = sample_at(unix_us_of_first_sample, n as f64 / f64::from(SAMPLE_RATE));
            *sample = (value * f64::from(i16::MAX)).round() as i16;
        }
    }
}

/// The signal at `offset` seconds after `unix_us`, between −1 and 1.
fn sample_at(unix_us: i64, offset: f64) -> f64 {
    let seconds = unix_us.rem_euclid(1_000_000) as f64 / 1e6 + offset;
    let pulse = 0.6 + 0.4 * (TAU * TONE_PULSE_HZ * seconds).sin();
    let tone = TONE_LEVEL * pulse * (TAU * TONE_HZ * seconds).sin();

    let mut slot = unix_us.div_euclid(SLOT_US);
    let mut t = unix_us.rem_euclid(SLOT_US) as f64 / 1e6 + offset;
    let slot_s = SLOT_US as f64 / 1e6;

    while t >= slot_s {
        t -= slot_s;
        slot += 1;
    }

    if t < MARKER_S {
        return tone + CHIRP_LEVEL * chirp(MARKER_HZ, MARKER_S, t).0;
    }

    let index = ((t - MARKER_S) / SYMBOL_S) as usize;
    let bits = bits(slot.rem_euclid(SLOTS) as u8);
    bits.get(index).map_or(tone, |bit| {
        tone + CHIRP_LEVEL * symbol(*bit, t - MARKER_S - index as f64 * SYMBOL_S).0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_blocks_are_continuous() {
        let mut whole = Vec::new();
        for n in 0..100 {
            let mut block = [0; BLOCK_SAMPLES];
            TestSignal.fill(&mut block, 1_700_000_000_250_000 + n * 10_000);
            whole.extend(block);
        }

        let largest = whole
            .windows(2)
            .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
            .max()
            .unwrap();
        // A 3,500 Hz sine of this level changes by level · 2π · 3500 / 48000 from one sample to the
        // next.
        let steepest = (CHIRP_LEVEL + TONE_LEVEL) * 32_767.0 * TAU * 3_500.0 / 48_000.0;
        assert!(
            f64::from(largest) <= steepest,
            "no step is larger than a chirp's own slope: {largest} > {steepest:.0}"
        );
    }

    #[test]
    fn each_of_sixteen_half_seconds_has_its_own_bits() {
        let all: std::collections::HashSet<_> = (0..16).map(bits).collect();
        assert_eq!(all.len(), 16, "sixteen patterns are distinguishable");

        for slot in 0..16 {
            let ones = bits(slot).iter().filter(|bit| **bit).count();
            assert_eq!(
                ones % 2,
                1,
                "parity detects one wrong bit of pattern {slot}"
            );
        }
    }

    #[test]
    fn the_signal_never_falls_silent() {
        for n in 0..100 {
            let mut block = [0; BLOCK_SAMPLES];
            TestSignal.fill(&mut block, n * 10_000);
            let peak = block
                .iter()
                .map(|sample| sample.unsigned_abs())
                .max()
                .unwrap();

            assert!(
                peak > 100,
                "block {n} of a second is not silent (peak {peak})"
            );
        }
    }
}
