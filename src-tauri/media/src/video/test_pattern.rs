//! A moving picture that carries its number and its capture time, so that a receiver can measure latency, loss and
//! order by looking at pixels, whatever codec and network were in between.
//!
//! With u = width / 32, 16 x 4 blocks of u x u lie from (u, u) on a mid-grey border of u / 2. Read row by row, most
//! significant bit first, white is 1 and black is 0: 16 bits frame counter, 32 bits Unix time in ms modulo 2^32, 16 bits
//! CRC-16/CCITT-FALSE over those six bytes.

use crc::{CRC_16_IBM_3740, Crc};

use crate::frame::I420;

const COLUMNS: usize = 16;
const ROWS: usize = 4;
/// The CRC catalogue's name for CRC-16/CCITT-FALSE.
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

const BLACK: u8 = 16;
const GREY: u8 = 126;
const WHITE: u8 = 235;
/// A block must be this wide to have an inside that can be averaged.
const MIN_UNIT: usize = 2;
/// Luma samples after which the background repeats.
const PERIOD: usize = 512;

/// What a picture says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternCode {
    /// Number of the picture, modulo 2^16.
    pub frame: u16,
    /// When it was made: Unix time in ms, modulo 2^32.
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

/// Where the code lies in a picture of a given size.
struct Layout {
    unit: usize,
    stride: usize,
}

impl Layout {
    /// `None`: the picture is too small for a code.
    fn of(image: &I420) -> Option<Self> {
        let unit = image.width() as usize / 32;
        let fits = unit >= MIN_UNIT && image.height() as usize >= (ROWS + 2) * unit;
        fits.then_some(Self {
            unit,
            stride: image.width() as usize,
        })
    }

    /// Bit `index` (0: the first block) as the top left corner of its block.
    fn corner(&self, index: usize) -> (usize, usize) {
        (
            (1 + index % COLUMNS) * self.unit,
            (1 + index / COLUMNS) * self.unit,
        )
    }
}

/// Draws picture `frame`, made at `unix_ms`, over all of `image`. Pictures too small for blocks of 2 x 2 carry no code.
pub fn draw(image: &mut I420, frame: u16, unix_ms: u32) {
    draw_background(image, frame);
    draw_ball(image, frame);

    if let Some(layout) = Layout::of(image) {
        draw_code(image, &layout, PatternCode { frame, unix_ms });
    }
}

/// Reads the code of `image`. `None`: there is none, or it did not survive.
pub fn read(image: &I420) -> Option<PatternCode> {
    let layout = Layout::of(image)?;
    let (luma, ..) = image.planes();
    let bits = (0..COLUMNS * ROWS).fold(0, |bits, index| {
        bits << 1 | u64::from(is_white(luma, &layout, index))
    });

    PatternCode::from_bits(bits)
}

/// Whether the inner half of a block is light on average: its edges blur with the neighbours.
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

/// Diagonal waves that drift by two pixels a picture: motion everywhere, for the price of a copy a row.
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

/// A coloured square that wanders through the picture: motion against the background's.
fn draw_ball(image: &mut I420, frame: u16) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let side = height / 6;
    let bounce = |room: usize, step: usize| {
        let place = (usize::from(frame) * step) % (2 * room).max(1);
        place.min(2 * room - place)
    };

    let corner = (
        bounce(width.saturating_sub(side), 6),
        bounce(height.saturating_sub(side), 4),
    );
    fill(image, corner, (side.min(width), side), [180, 60, 200]);
}

/// Fills a rectangle, whose chroma edges are rounded outwards.
fn fill(
    image: &mut I420,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    colour: [u8; 3],
) {
    let (stride, chroma_stride) = (image.width() as usize, image.chroma_width() as usize);
    let (y, u, v) = image.planes_mut();

    for row in top..top + height {
        y[row * stride + left..][..width].fill(colour[0]);
    }

    for (plane, level) in [(u, colour[1]), (v, colour[2])] {
        for row in top / 2..(top + height).div_ceil(2) {
            plane[row * chroma_stride + left / 2..row * chroma_stride + (left + width).div_ceil(2)]
                .fill(level);
        }
    }
}

/// A wave between 0 and `height` with the given period.
fn triangle(x: usize, period: usize, height: usize) -> u8 {
    let place = x % period;
    (place.min(period - place) * 2 * height / period) as u8
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
    fn the_layout_is_the_published_one() {
        let mut image = I420::new(1280, 720);
        draw(&mut image, 0x8001, 0);
        let at = |x: usize, y: usize| image.planes().0[y * 1280 + x];

        assert_eq!(
            at(40, 40),
            WHITE,
            "the first bit of 0x8001 is set, its block begins at (u, u)"
        );
        assert_eq!(at(79, 79), WHITE, "blocks are u x u");
        assert_eq!(at(80, 40), BLACK, "the second bit is clear");
        assert_eq!(
            at(16 * 40, 40),
            WHITE,
            "the sixteenth bit is the last of the first row"
        );
        assert_eq!(at(39, 60), GREY, "left of the blocks is the border");
        assert_eq!(at(20, 20), GREY, "the border is u / 2 wide");
        assert_eq!(at(17 * 40 + 19, 5 * 40 + 19), GREY, "the border goes round");
    }

    #[test]
    fn a_picture_without_code_reads_as_none() {
        assert_eq!(
            read(&I420::new(1280, 720)),
            None,
            "black: the checksum of zeros is not zero"
        );

        let mut small = I420::new(48, 36);
        draw(&mut small, 1, 1);
        assert_eq!(read(&small), None, "no room for a code");
    }

    #[test]
    fn pictures_differ_all_over() {
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
            "only {changed} of {} samples moved",
            640 * 360
        );
    }

    proptest! {
        #[test]
        fn what_is_drawn_can_be_read(frame: u16, unix_ms: u32, width in 1_u32..700, height in 1_u32..500) {
            let mut image = I420::new(width, height);
            draw(&mut image, frame, unix_ms);
            let expected = Layout::of(&image).map(|_| PatternCode { frame, unix_ms });
            prop_assert_eq!(read(&image), expected, "at {}x{}", width, height);
        }
    }
}
