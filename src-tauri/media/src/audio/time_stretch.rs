//! Plays audio slightly faster or slower without changing its pitch and without a click.
//!
//! Both directions work on whole pitch periods (time-domain pitch-synchronous overlap-add): find
//! the lag at which the audio is most like itself, then drop or repeat exactly that much under a
//! cross-fade. The gain of the fade is corrected by how alike the two parts are, so that neither a
//! tone (coherent) nor noise (incoherent) dips or swells.

/// Shortest lag in samples: 2.5 ms at 48 kHz, a pitch of 400 Hz.
pub const MIN_LAG: usize = 120;
/// Longest lag in samples: 15 ms at 48 kHz, a pitch of 67 Hz.
pub const MAX_LAG: usize = 720;
/// Samples needed to search the whole range of lags.
pub const FULL_SEARCH: usize = 2 * MAX_LAG;
/// Length of the cross-fade in [`merge`], in samples.
pub const MERGE_OVERLAP: usize = 240;
/// Samples over which [`merge`] searches for the best splice.
pub const MERGE_SEARCH: usize = 480;
/// Step of the coarse search, in samples.
const COARSE: usize = 8;
/// Mean square below which a signal counts as silence and may be cut anywhere (about −66 dBFS).
const SILENCE_POWER: f32 = 300.0;

/// Shortens `pcm` (48 kHz mono) by one pitch period near its start. Returns the number of samples
/// removed ([`MIN_LAG`] to [`MAX_LAG`]). Returns `None`, with `pcm` untouched, if it is shorter
/// than 2 × [`MIN_LAG`], or nowhere more like itself than `min_correlation` (−1 to 1). The first
/// and the last sample stay.
pub fn accelerate(pcm: &mut Vec<i16>, min_correlation: f32) -> Option<usize> {
    let (lag, correlation) = best_lag(pcm, min_correlation)?;
    for i in 0..lag {
        pcm[i] = cross_fade(pcm[i], pcm[i + lag], i, lag, correlation);
    }

    pcm.drain(lag..2 * lag);
    Some(lag)
}

/// Lengthens `pcm` (48 kHz mono) by one pitch period near its start: the counterpart of
/// [`accelerate`], with the same conditions. Returns the number of samples inserted.
pub fn decelerate(pcm: &mut Vec<i16>, min_correlation: f32) -> Option<usize> {
    let (lag, correlation) = best_lag(pcm, min_correlation)?;
    // What follows the first period fades back into the first period; then the second comes as
    // before.
    let mut bridge = [0i16; MAX_LAG];

    for (i, sample) in bridge[..lag].iter_mut().enumerate() {
        *sample = cross_fade(pcm[i + lag], pcm[i], i, lag, correlation);
    }

    pcm.splice(lag..lag, bridge[..lag].iter().copied());
    Some(lag)
}

/// Joins concealment to received audio. Appends the end of `tail` (how concealment would continue,
/// at least [`MERGE_OVERLAP`] samples) to `out`, cut where its waveform is most like the start of
/// `fresh`, and cross-fades to `fresh`. If `fresh` is shorter than [`MERGE_OVERLAP`], the fade
/// takes its whole length. All of `fresh` is kept. Returns the number of extra samples played
/// before it (at most [`MERGE_SEARCH`]).
pub fn merge(tail: &[i16], fresh: &[i16], out: &mut Vec<i16>) -> usize {
    let overlap = MERGE_OVERLAP.min(fresh.len()).min(tail.len());
    let last = (tail.len() - overlap).min(MERGE_SEARCH);
    let mut best = (0, f32::MIN);

    for offset in (0..=last).step_by(4) {
        let likeness = correlation(&tail[offset..offset + overlap], &fresh[..overlap]);
        if likeness > best.1 {
            best = (offset, likeness);
        }
    }

    let (offset, likeness) = best;
    out.extend_from_slice(&tail[..offset]);
    out.extend((0..overlap).map(|i| cross_fade(tail[offset + i], fresh[i], i, overlap, likeness)));
    out.extend_from_slice(&fresh[overlap..]);

    offset
}

/// The lag at which the start of `pcm` is most like itself, with the normalized correlation at that
/// lag.
fn best_lag(pcm: &[i16], min_correlation: f32) -> Option<(usize, f32)> {
    let window = &pcm[..pcm.len().min(FULL_SEARCH)];
    let longest = window.len() / 2;

    if longest < MIN_LAG {
        return None;
    }

    if power(window) < SILENCE_POWER {
        return Some((longest, 1.0));
    }

    // Search coarsely at 6 kHz, then try every lag around the winner.
    let mut coarse = [0.0f32; FULL_SEARCH / COARSE];
    let coarse_len = window.len() / COARSE;

    for (mean, chunk) in coarse.iter_mut().zip(window.chunks_exact(COARSE)) {
        *mean = chunk.iter().map(|&s| f32::from(s)).sum::<f32>() / COARSE as f32;
    }

    let span = coarse_len - longest / COARSE;
    let likeness = |lag: usize| {
        normalized(
            coarse[..span]
                .iter()
                .zip(&coarse[lag..lag + span])
                .map(|(&a, &b)| (a, b)),
        )
    };

    let winner = (MIN_LAG / COARSE..=longest / COARSE)
        .max_by(|&a, &b| likeness(a).total_cmp(&likeness(b)))?;

    let around = winner * COARSE;
    let span = window.len() - longest;
    let fine = (around.saturating_sub(COARSE).max(MIN_LAG)..=(around + COARSE).min(longest))
        .map(|lag| (lag, correlation(&window[..span], &window[lag..lag + span])))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;

    (fine.1 >= min_correlation).then_some(fine)
}

fn power(pcm: &[i16]) -> f32 {
    pcm.iter()
        .map(|&s| f32::from(s) * f32::from(s))
        .sum::<f32>()
        / pcm.len() as f32
}

fn correlation(a: &[i16], b: &[i16]) -> f32 {
    normalized(a.iter().zip(b).map(|(&a, &b)| (f32::from(a), f32::from(b))))
}

/// Normalized cross-correlation, −1 to 1; 0 if either side is silent.
fn normalized(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (a, b) in pairs {
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }

    if aa > 0.0 && bb > 0.0 {
        ab / (aa.sqrt() * bb.sqrt())
    } else {
        0.0
    }
}

/// Sample `i` of a fade from `a` to `b` over `length` samples. The fade keeps the power of two
/// signals whose correlation is `correlation`.
fn cross_fade(a: i16, b: i16, i: usize, length: usize, correlation: f32) -> i16 {
    let phase = (i as f32 + 0.5) / length as f32;
    let rise = 0.5 - 0.5 * (phase * std::f32::consts::PI).cos();
    let fall = 1.0 - rise;
    let gain = (fall * fall + rise * rise + 2.0 * fall * rise * correlation.clamp(0.0, 1.0)).sqrt();

    // A cast from float to integer saturates.
    ((fall * f32::from(a) + rise * f32::from(b)) / gain).round() as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| ((i as f64 * hz / 48_000.0 * TAU).sin() * 10_000.0) as i16)
            .collect()
    }

    /// A vowel-like signal: harmonics of a slowly falling 120 Hz, shaped by one formant.
    fn vowel(samples: usize) -> Vec<i16> {
        let mut phase = 0.0;
        (0..samples)
            .map(|i| {
                phase += (120.0 - i as f64 / 4_000.0) / 48_000.0;
                let wave: f64 = (1..25)
                    .map(|h| {
                        let hz = 120.0 * f64::from(h);
                        (phase * f64::from(h) * TAU).sin() / (1.0 + ((hz - 700.0) / 300.0).powi(2))
                    })
                    .sum();
                (wave * 4_000.0) as i16
            })
            .collect()
    }

    fn noise(samples: usize) -> Vec<i16> {
        let mut state = 1u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) as i32 - 32_768) as i16 / 4
            })
            .collect()
    }

    fn steepest(pcm: &[i16]) -> i32 {
        pcm.windows(2)
            .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
            .max()
            .unwrap_or(0)
    }

    /// Share of the power that is not at `hz`, in dB.
    fn impurity_db(pcm: &[i16], hz: f64) -> f64 {
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (i, &s) in pcm.iter().enumerate() {
            // A Hann window keeps the tone's own side lobes out of the result.
            let hann = 0.5 - 0.5 * (i as f64 / pcm.len() as f64 * TAU).cos();
            let value = f64::from(s);
            re += value * hann * (i as f64 * hz / 48_000.0 * TAU).cos();
            im += value * hann * (i as f64 * hz / 48_000.0 * TAU).sin();
            all += value * value;
        }

        let n = pcm.len() as f64;
        let tone = 2.0 * (re * re + im * im) / (0.25 * n * n);
        10.0 * ((all / n - tone).abs() / (all / n)).log10()
    }

    /// Stretches `pcm` every 60 ms, as the jitter buffer does.
    fn repeat(pcm: &[i16], stretch: fn(&mut Vec<i16>, f32) -> Option<usize>) -> (Vec<i16>, usize) {
        let (mut out, mut moved) = (Vec::new(), 0);
        for block in pcm.chunks(2_880) {
            let mut block = block.to_vec();
            moved += stretch(&mut block, 0.5).unwrap_or(0);
            out.extend(block);
        }

        (out, moved)
    }

    #[test]
    fn stretched_tones_do_not_click() {
        for hz in [97.0, 220.0, 440.0, 1_000.0, 3_170.0] {
            for stretch in [accelerate, decelerate] {
                let pcm = sine(hz, 48_000);
                let (out, moved) = repeat(&pcm, stretch);
                assert!(
                    moved > 1_500,
                    "{hz} Hz: the tone was stretched: {moved} samples"
                );

                assert_eq!(
                    out.len().abs_diff(pcm.len()),
                    moved,
                    "the length changed by the reported number of samples"
                );

                let (before, after) = (steepest(&pcm), steepest(&out));
                assert!(
                    after * 10 <= before * 11 + 10,
                    "{hz} Hz: no click: steepest {after}, was {before}"
                );
            }
        }
    }

    #[test]
    fn a_stretched_tone_stays_pure() {
        for hz in [150.0, 440.0, 1_000.0] {
            for stretch in [accelerate, decelerate] {
                let mut pcm = sine(hz, 4_800);
                stretch(&mut pcm, 0.9).expect("a tone is like itself");

                let impurity = impurity_db(&pcm, hz);
                assert!(
                    impurity < -25.0,
                    "{hz} Hz: everything but the tone is at {impurity:.1} dB"
                );
            }
        }
    }

    #[test]
    fn a_vowel_is_cut_by_one_pitch_period() {
        let pcm = vowel(4_800);
        for stretch in [accelerate, decelerate] {
            let mut out = pcm.clone();
            let lag = stretch(&mut out, 0.9).expect("a vowel is periodic");
            assert!(
                (380..=425).contains(&lag),
                "one period of 120 Hz is 400 samples: {lag}"
            );
            assert!(steepest(&out) <= steepest(&pcm) * 11 / 10, "no click");
            assert_eq!(
                (out[0], out.last()),
                (pcm[0], pcm.last()),
                "the ends still join the audio before and after"
            );
        }
    }

    #[test]
    fn noise_is_stretched_only_on_request_and_keeps_its_power() {
        let pcm = noise(48_000);
        assert_eq!(
            accelerate(&mut pcm.clone(), 0.5),
            None,
            "noise is not periodic"
        );

        let (mut out, mut rest) = (Vec::new(), pcm.as_slice());
        while rest.len() >= 1_440 {
            let mut block = rest[..1_440].to_vec();
            let lag = accelerate(&mut block, -1.0).expect("a correlation of −1 accepts any lag");
            out.extend_from_slice(&block[..lag]);
            rest = &rest[1_440..];
        }

        let change = 10.0 * (power(&out) / power(&pcm)).log10();
        assert!(
            change.abs() < 1.0,
            "the power inside the fades changed by {change:.2} dB"
        );
    }

    #[test]
    fn silence_is_cut_anywhere_and_short_audio_is_not_cut() {
        let mut silence = vec![3i16; 1_440];
        assert_eq!(
            accelerate(&mut silence, 0.9),
            Some(MAX_LAG),
            "silence is cut by the longest lag"
        );
        assert_eq!(silence.len(), MAX_LAG, "the rest is left");
        assert_eq!(
            accelerate(&mut vec![0; 2 * MIN_LAG - 1], -1.0),
            None,
            "too short to cut"
        );
        assert_eq!(
            decelerate(&mut Vec::new(), -1.0),
            None,
            "empty audio is not stretched"
        );
    }

    #[test]
    fn merge_joins_in_phase() {
        let tail = sine(200.0, 720);
        let fresh: Vec<i16> = sine(200.0, 2_000)[100..].to_vec();
        let mut out = Vec::new();
        let extra = merge(&tail, &fresh, &mut out);

        assert_eq!(out.len(), fresh.len() + extra, "all received audio is kept");
        assert!(
            extra.abs_diff(100) <= 4 || extra.abs_diff(340) <= 4,
            "the parts join in phase: {extra}"
        );
        assert!(steepest(&out) <= steepest(&tail) * 11 / 10 + 2, "no click");

        let mut short = Vec::new();
        assert_eq!(merge(&tail, &[], &mut short), 0, "there is nothing to join");
    }
}
