//! The streams of the partner, told by SSRC.

use crate::peer::formats::MediaKind;

/// Where a stream of the partner is looked for.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    /// Stand-ins while only the packets can tell, for audio and video: the library refuses a section
    /// without SSRC if there is more than one.
    stand_ins: [u32; 2],
    /// SSRCs that packets had, beside what was announced in their section then.
    learned: [Option<(u32, Option<u32>)>; 2],
}

impl Default for Streams {
    fn default() -> Self {
        let audio: u32 = rand::random();
        Self {
            stand_ins: [audio, audio.wrapping_add(1)],
            learned: [None; 2],
        }
    }
}

impl Streams {
    /// The SSRC to tell the library for a section that announces `announced`.
    pub(super) fn ssrc(&self, kind: MediaKind, announced: Option<u32>) -> u32 {
        let index = kind as usize;
        match self.learned[index] {
            Some((ssrc, then)) if then == announced => ssrc,
            _ => announced.unwrap_or(self.stand_ins[index]),
        }
    }

    /// Packets of this kind have `ssrc`, while their section announces `announced`.
    pub(super) fn learn(&mut self, kind: MediaKind, ssrc: u32, announced: Option<u32>) {
        self.learned[kind as usize] = Some((ssrc, announced));
    }
}
