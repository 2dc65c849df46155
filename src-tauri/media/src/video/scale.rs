//! Scales frames with a triangle filter. It interpolates when enlarging, and widens when reducing
//! so that fine detail does not alias.

use crate::frame::I420;

/// The sum of a filter's weights: 1.0 with 14 fractional bits.
const ONE: u32 = 1 << 14;

/// Scales `source` to the size of `target`.
///
/// Allocates its filters and an intermediate plane on every call.
pub fn scale(source: &I420, target: &mut I420) {
    let luma = (
        (source.width(), source.height()),
        (target.width(), target.height()),
    );
    let chroma = (
        (source.chroma_width(), source.chroma_height()),
        (target.chroma_width(), target.chroma_height()),
    );

    let from = source.planes();
    let to = target.planes_mut();
    for (from, to, (old, new)) in [
        (from.0, to.0, luma),
        (from.1, to.1, chroma),
        (from.2, to.2, chroma),
    ] {
        scale_plane(from, old, to, new);
    }
}

fn scale_plane(source: &[u8], old: (u32, u32), target: &mut [u8], new: (u32, u32)) {
    if old == new {
        target.copy_from_slice(source);
        return;
    }

    if source.is_empty() || target.is_empty() {
        return;
    }

    let (columns, rows) = (taps(old.0, new.0), taps(old.1, new.1));
    let (old_width, new_width) = (old.0 as usize, new.0 as usize);

    let mut narrow = vec![0_u8; new_width * old.1 as usize];
    for (source, narrow) in source
        .chunks_exact(old_width)
        .zip(narrow.chunks_exact_mut(new_width))
    {
        for (target, tap) in narrow.iter_mut().zip(&columns) {
            *target = tap.apply(source.iter().skip(tap.first));
        }
    }

    let mut sums = vec![0_u32; new_width];
    for (target, tap) in target.chunks_exact_mut(new_width).zip(&rows) {
        sums.fill(ONE / 2);

        for (row, &weight) in narrow
            .chunks_exact(new_width)
            .skip(tap.first)
            .zip(&tap.weights)
        {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += u32::from(sample) * weight;
            }
        }

        for (target, sum) in target.iter_mut().zip(&sums) {
            *target = (sum / ONE) as u8;
        }
    }
}

/// The source samples, from `first` on, that make one target sample. The weights add up to [`ONE`].
struct Tap {
    first: usize,
    weights: Vec<u32>,
}

impl Tap {
    fn apply<'a>(&self, samples: impl Iterator<Item = &'a u8>) -> u8 {
        let sum: u32 = samples
            .zip(&self.weights)
            .map(|(&sample, &weight)| u32::from(sample) * weight)
            .sum();
        ((sum + ONE / 2) / ONE) as u8
    }
}

fn taps(old: u32, new: u32) -> Vec<Tap> {
    let ratio = f64::from(old) / f64::from(new);
    let radius = ratio.max(1.0);

    (0..new)
        .map(|index| {
            // Sample centers are at half coordinates.
            let center = (f64::from(index) + 0.5) * ratio - 0.5;
            let first = (center - radius).ceil().max(0.0) as u32;
            let last = ((center + radius).floor() as u32).min(old - 1);
            let raw: Vec<f64> = (first..=last)
                .map(|at| (1.0 - (f64::from(at) - center).abs() / radius).max(0.0))
                .collect();

            let sum: f64 = raw.iter().sum();
            let mut weights: Vec<u32> = raw
                .iter()
                .map(|weight| (weight / sum * f64::from(ONE)) as u32)
                .collect();

            // Rounding down loses a little, which the middle weight gets.
            let lost = ONE - weights.iter().sum::<u32>();
            let middle = weights.len() / 2;
            weights[middle] += lost;

            Tap {
                first: first as usize,
                weights,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ramp_keeps_its_shape() {
        let mut source = I420::new(256, 4);
        for (index, sample) in source.planes_mut().0.iter_mut().enumerate() {
            *sample = (index % 256) as u8;
        }

        let mut target = I420::new(128, 8);
        scale(&source, &mut target);

        for (x, &sample) in target.planes().0[..128]
            .iter()
            .enumerate()
            .skip(2)
            .take(124)
        {
            let ideal = 2.0 * x as f64 + 0.5;
            assert!(
                (f64::from(sample) - ideal).abs() <= 1.0,
                "at {x}: {sample} instead of {ideal}"
            );
        }
    }

    #[test]
    fn fine_stripes_become_grey_without_aliasing() {
        let mut source = I420::new(300, 300);
        for (index, sample) in source.planes_mut().0.iter_mut().enumerate() {
            *sample = if index % 2 == 0 { 0 } else { 200 };
        }

        let mut target = I420::new(70, 70);
        scale(&source, &mut target);
        assert!(
            target
                .planes()
                .0
                .iter()
                .all(|sample| (85..=115).contains(sample)),
            "the mean of the stripes is 100"
        );
    }

    proptest! {
        #[test]
        fn a_flat_frame_stays_flat_between_any_two_sizes(
            old in (1_u32..70, 1_u32..70), new in (1_u32..70, 1_u32..70), level: u8,
        ) {
            let mut source = I420::new(old.0, old.1);
            source.data_mut().fill(level);
            let mut target = I420::new(new.0, new.1);
            scale(&source, &mut target);
            prop_assert!(target.data().iter().all(|&sample| sample == level));
        }
    }
}
