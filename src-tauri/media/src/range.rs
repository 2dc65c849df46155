//! From full range to limited range. All of Tandem's frames are in limited range, as video usually is:
//! luma from 16 to 235, chroma from 16 to 240. JPEG, some cameras and some encoders use all 256 levels.

use crate::frame::I420;

/// The limited levels of all full ones.
pub(crate) struct Limited {
    /// For luma.
    pub(crate) luma: [u8; 256],
    /// For chroma.
    pub(crate) chroma: [u8; 256],
}

/// The levels, worked out once.
pub(crate) static LIMITED: Limited = Limited {
    luma: limited(0, 16, 219),
    chroma: limited(128, 128, 224),
};

impl Limited {
    /// Changes a frame from full to limited range.
    pub(crate) fn apply(&self, image: &mut I420) {
        let (y, u, v) = image.planes_mut();
        for sample in y {
            *sample = self.luma[usize::from(*sample)];
        }

        for sample in u.iter_mut().chain(v) {
            *sample = self.chroma[usize::from(*sample)];
        }
    }
}

/// The table that maps `zero_in` to `zero_out` and 255 steps to `range`.
const fn limited(zero_in: i32, zero_out: i32, range: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut level = 0;
    while level < 256 {
        let scaled = (level as i32 - zero_in) * range;
        let rounded = (scaled + scaled.signum() * 127) / 255;
        table[level] = (zero_out + rounded) as u8;
        level += 1;
    }

    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_white_and_grey_end_up_where_limited_range_has_them() {
        let mut image = I420::new(4, 2);
        let (y, u, v) = image.planes_mut();
        y.copy_from_slice(&[0, 16, 32, 128, 235, 254, 255, 1]);
        u.copy_from_slice(&[0, 255]);
        v.copy_from_slice(&[128, 129]);
        LIMITED.apply(&mut image);

        let (y, u, v) = image.planes();
        assert_eq!(y, [16, 30, 43, 126, 218, 234, 235, 17]);
        assert_eq!((u, v), (&[16, 240][..], &[128, 129][..]));
    }
}
