//! Joins one source of sound to the next without a click.

use crate::audio::BLOCK;

/// What is left of the old sound after each sample of the new: −60 dB in 3 ms.
const FADE_OUT: f32 = 0.95;
/// Samples over which new sound fades in: 2.5 ms.
const FADE_IN: usize = 120;
/// Blocks of silence that are sent while a new source is opening, so that the old one dies away and the stream of
/// packets shows no hole for a switch that is quick: 100 ms.
const FILLED_BLOCKS: u32 = 10;

/// Follows the sound that is sent. After a [`cut`](Self::cut) the old sound dies away under the new, which fades in.
#[derive(Debug, Default)]
pub(super) struct Seam {
    last: f32,
    tail: f32,
    fade_in: bool,
    to_fill: u32,
}

impl Seam {
    /// What comes next does not continue what was.
    pub(super) fn cut(&mut self) {
        self.tail = self.last;
        self.fade_in = true;
        self.to_fill = FILLED_BLOCKS;
    }

    /// The next block of sound.
    pub(super) fn join(&mut self, block: &mut [f32; BLOCK]) {
        if std::mem::take(&mut self.fade_in) {
            for (n, sample) in block.iter_mut().take(FADE_IN).enumerate() {
                *sample *= n as f32 / FADE_IN as f32;
            }
        }

        self.to_fill = 0;
        self.let_die(block);
    }

    /// A block of silence for a source that has nothing yet; `None` when that has lasted long enough.
    pub(super) fn fill(&mut self) -> Option<[f32; BLOCK]> {
        self.to_fill = self.to_fill.checked_sub(1)?;
        let mut block = [0.0; BLOCK];
        self.let_die(&mut block);

        Some(block)
    }

    fn let_die(&mut self, block: &mut [f32; BLOCK]) {
        if self.tail != 0.0 {
            for sample in block.iter_mut() {
                self.tail *= FADE_OUT;
                *sample += self.tail;
            }

            self.tail = 0.0;
        }

        self.last = block[BLOCK - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest step between neighbouring samples of these blocks.
    fn largest_step(blocks: &[[f32; BLOCK]]) -> f32 {
        let sound: Vec<f32> = blocks.iter().flatten().copied().collect();
        sound
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn a_switch_between_opposite_sounds_does_not_click() {
        let mut seam = Seam::default();
        let mut before = [0.8; BLOCK];
        seam.join(&mut before);
        seam.cut();
        let mut after = [-0.8; BLOCK];
        seam.join(&mut after);

        assert!(
            (before[0] - 0.8).abs() < 1e-6 && (after[BLOCK - 1] + 0.8).abs() < 1e-6,
            "both are heard as they are"
        );

        let step = largest_step(&[before, after]);
        assert!(
            step < 0.06,
            "an abrupt switch has a step of 1.6, this one of {step}"
        );
    }

    #[test]
    fn without_a_cut_nothing_is_changed() {
        let mut seam = Seam::default();
        for value in [0.5, -0.25] {
            let mut block = [value; BLOCK];
            seam.join(&mut block);
            assert_eq!(block, [value; BLOCK]);
        }

        assert_eq!(
            seam.fill(),
            None,
            "a source that pauses by itself is not filled up"
        );
    }

    #[test]
    fn a_source_that_opens_slowly_is_silence_for_a_while_and_then_nothing() {
        let mut seam = Seam::default();
        let mut blocks = vec![[0.8; BLOCK]];
        seam.join(&mut blocks[0]);
        seam.cut();

        while let Some(block) = seam.fill() {
            blocks.push(block);
        }

        assert_eq!(blocks.len(), 11, "100 ms of silence");
        let mut late = [0.8; BLOCK];
        seam.join(&mut late);
        blocks.push(late);

        assert!(
            largest_step(&blocks) < 0.06,
            "neither going nor coming clicks"
        );
    }
}
