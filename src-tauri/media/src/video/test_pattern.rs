//! A moving pattern whose frames carry their number and capture time in their pixels, so that a
//! receiver can measure latency, loss and order behind any codec and network.
//!
//! With u = width / 32, a grid of 16 x 4 blocks of u x u pixels starts at (u, u), on a mid-grey
//! border that is u / 2 wide. Read row by row, most significant bit first, white is 1 and black is
//! 0:
//!
//! | bits | contents |
//! |---|---|
//! | 16 | frame number |
//! | 32 | Unix time in ms, modulo 2^32 |
//! | 16 | CRC-16/CCITT-FALSE over the six bytes before |
//!
//! ```
//! use tandem_media::I420;
//! use tandem_media::video::test_pattern;
//!
//! let mut image = I420::new(640, 360);
//! test_pattern::draw(&mut image, 7, 123_456);
//!
//! let code = test_pattern::read(&image).ok_or("unreadable")?;
//! assert_eq!((code.frame, code.unix_ms), (7, 123_456));
//! # Ok::<(), &str>(())
//! ```

use crc::{CRC_16_IBM_3740, Crc};

use crate::frame::I420;

const COLUMNS: usize = 16;
const ROWS: usize = 4;
/// CRC-16/CCITT-FALSE is `CRC_16_IBM_3740` in the CRC catalogue.
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

// Luma levels in limited range.
const BLACK: u8 = 16;
const GREY: u8 = 126;
const WHITE: u8 = 235;
/// The narrowest block, in pixels, that has an inside to average.
const MIN_UNIT: usize = 2;
/// The period of the background, in luma samples.
const PERIOD: usize = 512;

/// What the pixels of a frame say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternCode {
    /// Frame number, modulo 2^16.
    pub frame: u16,
    /// Capture time: Unix time in ms, modulo 2^32.
    pub unix_ms: u32,
}

impl PatternCode {
    fn to_bits(self) -> u64 {
        let payload = (u64::from(self.frame) << 32) | u64::from(self.unix_ms);
        (payload << 16) | u64::from(CRC.checksum(&payload.to_be_bytes()[2..]))
    }

    fn from_bits(bits: u64) -> Option<Self> {
        let code = Self {
            frame: (bits >> 48) as u16,
            unix_ms: (bits >> 16) as u32,
        };

        (code.to_bits() == bits).then_some(code)
    }
}

/// Where the code is in a frame of a given size.
struct Layout {
    /// Side of a block in pixels: the u of the module's description.
    unit: usize,
    stride: usize,
}

impl Layout {
    /// `None`: the frame is too small for a code.
    fn of(image: &I420) -> Option<Self> {
        let unit = image.width() as usize / 32;
        let fits = unit >= MIN_UNIT && image.height() as usize >= (ROWS + 2) * unit;
        fits.then_some(Self {
            unit,
            stride: image.width() as usize,
        })
    }

    /// The top left corner of the block of bit `index`. Bit 0 is the first block.
    fn corner(&self, index: usize) -> (usize, usize) {
        (
            (1 + index % COLUMNS) * self.unit,
            (1 + index / COLUMNS) * self.unit,
        )
    }
}

/// Draws frame number `frame`, captured at `unix_ms`, over all of `image`. A frame that is too
/// small for blocks of 2 x 2 pixels carries no code.
pub fn draw(image: &mut I420, frame: u16, unix_ms: u32) {
    draw_background(image, frame);
    draw_square(image, frame);

    if let Some(layout) = Layout::of(image) {
        draw_code(image, &layout, PatternCode { frame, unix_ms });
    }
}

/// Reads the code in `image`. `None`: there is none, or coding and loss have damaged it.
pub fn read(image: &I420) -> Option<PatternCode> {
    let layout = Layout::of(image)?;
    let (luma, ..) = image.planes();
    let bits = (0..COLUMNS * ROWS).fold(0, |bits, index| {
        bits << 1 | u64::from(is_white(luma, &layout, index))
    });

    PatternCode::from_bits(bits)
}

/// Whether the inside of a block is light on average. Its edges are left out, because they blur
/// into their neighbors.
fn is_white(luma: &[u8], layout: &Layout, index: usize) -> bool {
    let (left, top) = layout.corner(index);
    let (margin, side) = (layout.unit / 4, layout.unit.div_ceil(2));
    let sum: usize = (top + margin..top + margin + side)
        .flat_map(|row| &luma[row * layout.stride + left + margin..][..side])
        .map(|&sample| usize::from(sample))
        .sum();

    sum > usize::from(GREY) * side * side
}

fn draw_code(image: &mut I420, layout: &Layout, code: PatternCode) {
    let border = layout.unit / 2;
    let (width, height) = (
        COLUMNS * layout.unit + 2 * border,
        ROWS * layout.unit + 2 * border,
    );
    let start = layout.unit - border;
    fill(image, (start, start), (width, height), [GREY, 128, 128]);

    let bits = code.to_bits();
    let (luma, ..) = image.planes_mut();
    for index in 0..COLUMNS * ROWS {
        let (left, top) = layout.corner(index);
        let level = if bits >> (COLUMNS * ROWS - 1 - index) & 1 == 1 {
            WHITE
        } else {
            BLACK
        };

        for row in top..top + layout.unit {
            luma[row * layout.stride + left..][..layout.unit].fill(level);
        }
    }
}

/// Draws diagonal waves that move by two pixels per frame: motion everywhere, at the cost of one
/// copy per row.
fn draw_background(image: &mut I420, frame: u16) {
    let (width, chroma_width) = (image.width() as usize, image.chroma_width() as usize);
    let wave: Vec<u8> = (0..width + PERIOD)
        .map(|x| 60 + triangle(x, 512, 90) + triangle(x, 64, 40))
        .collect();

    let shift = 2 * usize::from(frame);
    let (y, u, v) = image.planes_mut();
    for (row, luma) in y.chunks_exact_mut(width.max(1)).enumerate() {
        let phase = (shift + row) % PERIOD;
        luma.copy_from_slice(&wave[phase..phase + width]);
    }

    for (plane, offset) in [(u, 0), (v, 170)] {
        for (row, chroma) in plane.chunks_exact_mut(chroma_width.max(1)).enumerate() {
            chroma.fill(96 + triangle(row + offset + usize::from(frame), 512, 64));
        }
    }
}

/// Draws a colored square that bounces around, against the motion of the background.
fn draw_square(image: &mut I420, frame: u16) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let side = height / 6;
    let bounce = |range: usize, step: usize| {
        let at = (usize::from(frame) * step) % (2 * range).max(1);
        at.min(2 * range - at)
    };

    let corner = (
        bounce(width.saturating_sub(side), 6),
        bounce(height.saturating_sub(side), 4),
    );
    fill(image, corner, (side.min(width), side), [180, 60, 200]);
}

/// Fills a rectangle. Its chroma edges are rounded outwards.
fn fill(
    image: &mut I420,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    color: [u8; 3],
) {
    let (stride, chroma_stride) = (image.width() as usize, image.chroma_width() as usize);
    let (y, u, v) = image.planes_mut();

    for row in top..top + height {
        y[row * stride + left..][..width].fill(color[0]);
    }

    for (plane, level) in [(u, color[1]), (v, color[2])] {
        for row in top / 2..(top + height).div_ceil(2) {
            plane[row * chroma_stride + left / 2..row * chroma_stride + (left + width).div_ceil(2)]
                .fill(level);
        }
    }
}

/// A triangle wave between 0 and `height` with the given period.
fn triangle(x: usize, period: usize, height: usize) -> u8 {
    let at = x % period;
    (at.min(period - at) * 2 * height / period) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_ccitt_false() {
        assert_eq!(
            CRC.checksum(b"123456789"),
            0x29b1,
            "the check value of CRC-16/CCITT-FALSE"
        );
    }

    #[test]
    fn the_layout_is_as_documented() {
        let mut image = I420::new(1280, 720);
        draw(&mut image, 0x8001, 0);
        let at = |x: usize, y: usize| image.planes().0[y * 1280 + x];

        assert_eq!(
            at(40, 40),
            WHITE,
            "the first bit of 0x8001 is set, and its block starts at (u, u)"
        );
        assert_eq!(at(79, 79), WHITE, "a block is u x u pixels");
        assert_eq!(at(80, 40), BLACK, "the second bit is clear");
        assert_eq!(
            at(16 * 40, 40),
            WHITE,
            "the sixteenth bit is the last of the first row"
        );
        assert_eq!(at(39, 60), GREY, "the border is left of the blocks");
        assert_eq!(at(20, 20), GREY, "the border is u / 2 wide");
        assert_eq!(
            at(17 * 40 + 19, 5 * 40 + 19),
            GREY,
            "the border surrounds the blocks"
        );
    }

    #[test]
    fn a_frame_without_a_code_reads_as_none() {
        assert_eq!(
            read(&I420::new(1280, 720)),
            None,
            "black pixels: the checksum of zeros is not zero"
        );

        let mut small = I420::new(48, 36);
        draw(&mut small, 1, 1);
        assert_eq!(read(&small), None, "no room for a code");
    }

    #[test]
    fn most_pixels_change_between_frames() {
        let (mut first, mut second) = (I420::new(640, 360), I420::new(640, 360));
        draw(&mut first, 10, 0);
        draw(&mut second, 11, 33);
        let changed = first
            .planes()
            .0
            .iter()
            .zip(second.planes().0)
            .filter(|(a, b)| a != b)
            .count();

        assert!(
            changed > 640 * 360 / 2,
            "only {changed} of {} samples changed",
            640 * 360
        );
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_read_back(frame: u16, unix_ms: u32, width in 1_u32..700, height in 1_u32..500) {
            let mut image = I420::new(width, height);
            draw(&mut image, frame, unix_ms);
            let expected = Layout::of(&image).map(|_| PatternCode { frame, unix_ms });
            prop_assert_eq!(read(&image), expected, "at {}x{}", width, height);
        }
    }
}
