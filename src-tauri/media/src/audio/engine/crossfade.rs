//! Joins one audio source to the next without a click.

use crate::audio::BLOCK_SAMPLES;

/// Factor applied to the old audio at each sample of the new: −60 dB in 3 ms.
const TAIL_DECAY: f32 = 0.95;
/// Samples over which new audio fades in: 2.5 ms.
const FADE_IN_SAMPLES: usize = 120;
/// Blocks of silence to send while a new source opens: 100 ms. The old audio fades out in them, and
/// a quick switch leaves no gap in the packet stream.
const MAX_GAP_BLOCKS: u32 = 10;

/// Processes all audio that is sent. After a [`cut`](Self::cut) the old audio fades out under the
/// new, which fades in.
#[derive(Debug, Default)]
pub(super) struct Crossfade {
    /// The last sample sent.
    last: f32,
    /// What remains of the last sample before a cut, until it is added to the next block.
    tail: f32,
    fade_in: bool,
    /// Silent blocks that may still be sent while a new source opens.
    gap_blocks_left: u32,
}

impl Crossfade {
    /// Declares that the next block does not continue the last one.
    pub(super) fn cut(&mut self) {
        self.tail = self.last;
        self.fade_in = true;
        self.gap_blocks_left = MAX_GAP_BLOCKS;
    }

    /// Processes the next block of the current source in place.
    pub(super) fn apply(&mut self, block: &mut [f32; BLOCK_SAMPLES]) {
        if std::mem::take(&mut self.fade_in) {
            for (n, sample) in block.iter_mut().take(FADE_IN_SAMPLES).enumerate() {
                *sample *= n as f32 / FADE_IN_SAMPLES as f32;
            }
        }

        self.gap_blocks_left = 0;
        self.fade_out_tail(block);
    }

    /// A block of silence for a source that has no audio yet; `None` once [`MAX_GAP_BLOCKS`] have
    /// been sent.
    pub(super) fn fill_gap(&mut self) -> Option<[f32; BLOCK_SAMPLES]> {
        self.gap_blocks_left = self.gap_blocks_left.checked_sub(1)?;
        let mut block = [0.0; BLOCK_SAMPLES];
        self.fade_out_tail(&mut block);

        Some(block)
    }

    fn fade_out_tail(&mut self, block: &mut [f32; BLOCK_SAMPLES]) {
        if self.tail != 0.0 {
            for sample in block.iter_mut() {
                self.tail *= TAIL_DECAY;
                *sample += self.tail;
            }

            self.tail = 0.0;
        }

        self.last = block[BLOCK_SAMPLES - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest step between neighboring samples of these blocks.
    fn largest_step(blocks: &[[f32; BLOCK_SAMPLES]]) -> f32 {
        let samples: Vec<f32> = blocks.iter().flatten().copied().collect();
        samples
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn a_switch_between_opposite_levels_does_not_click() {
        let mut crossfade = Crossfade::default();
        let mut before = [0.8; BLOCK_SAMPLES];
        crossfade.apply(&mut before);
        crossfade.cut();
        let mut after = [-0.8; BLOCK_SAMPLES];
        crossfade.apply(&mut after);

        assert!(
            (before[0] - 0.8).abs() < 1e-6 && (after[BLOCK_SAMPLES - 1] + 0.8).abs() < 1e-6,
            "both sources keep their level away from the cut"
        );

        let step = largest_step(&[before, after]);
        assert!(
            step < 0.06,
            "a hard switch has a step of 1.6; this one has {step}"
        );
    }

    #[test]
    fn without_a_cut_audio_is_unchanged() {
        let mut crossfade = Crossfade::default();
        for value in [0.5, -0.25] {
            let mut block = [value; BLOCK_SAMPLES];
            crossfade.apply(&mut block);
            assert_eq!(block, [value; BLOCK_SAMPLES]);
        }

        assert_eq!(
            crossfade.fill_gap(),
            None,
            "a source that pauses without a cut is not filled with silence"
        );
    }

    #[test]
    fn a_slow_source_is_silence_for_100_ms_and_then_nothing() {
        let mut crossfade = Crossfade::default();
        let mut blocks = vec![[0.8; BLOCK_SAMPLES]];
        crossfade.apply(&mut blocks[0]);
        crossfade.cut();

        while let Some(block) = crossfade.fill_gap() {
            blocks.push(block);
        }

        assert_eq!(
            blocks.len(),
            11,
            "one block of audio, then 100 ms of silence"
        );
        let mut late = [0.8; BLOCK_SAMPLES];
        crossfade.apply(&mut late);
        blocks.push(late);

        assert!(
            largest_step(&blocks) < 0.06,
            "neither the end nor the start clicks"
        );
    }
}
