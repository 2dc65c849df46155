//! Frames as drivers leave them in memory: with padding between the rows, or from the bottom up.

use super::super::convert::PixelFormat;

/// Where the rows of a frame are.
#[derive(Debug)]
pub(super) struct Rows {
    planes: Vec<Plane>,
    /// The last row comes first.
    bottom_up: bool,
    /// The frame without what is between its rows; reused.
    packed: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plane {
    rows: usize,
    /// Bytes of one row.
    bytes: usize,
    /// Bytes from one row to the next.
    stride: usize,
}

impl Rows {
    /// `stride`: bytes from one row of the first plane to the next, negative if the last row comes
    /// first; 0 if nothing is between the rows. `None` if rows of this size cannot lie like that.
    pub(super) fn new(pixels: PixelFormat, width: u32, height: u32, stride: i32) -> Option<Self> {
        let (width, rows) = (width as usize, height as usize);
        let (half, half_rows) = (width.div_ceil(2), rows.div_ceil(2));
        let given = stride.unsigned_abs() as usize;
        let plane = |rows, bytes, stride: usize| Plane {
            rows,
            bytes,
            stride: if given == 0 { bytes } else { stride },
        };
        // All planes are in one buffer, and the rows of half a width are half as far apart.
        let planes = match pixels {
            PixelFormat::Mjpeg => Vec::new(),
            PixelFormat::Nv12 => vec![plane(rows, width, given), plane(half_rows, 2 * half, given)],
            PixelFormat::Yu12 => vec![
                plane(rows, width, given),
                plane(2 * half_rows, half, given / 2),
            ],
            PixelFormat::Grey => vec![plane(rows, width, given)],
            PixelFormat::Yuyv | PixelFormat::Uyvy => vec![plane(rows, 4 * half, given)],
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => vec![plane(rows, 3 * width, given)],
            PixelFormat::Bgra => vec![plane(rows, 4 * width, given)],
        };

        let bottom_up = stride < 0 && !planes.is_empty();
        let fits = planes.iter().all(|plane| plane.stride >= plane.bytes);
        (fits && !(bottom_up && planes.len() > 1)).then_some(Self {
            planes,
            bottom_up,
            packed: Vec::new(),
        })
    }

    /// Bytes of a whole frame in memory; `None` if each frame has a size of its own.
    #[cfg(any(windows, test))]
    pub(super) fn size(&self) -> Option<usize> {
        let sizes = self.planes.iter().map(|plane| plane.rows * plane.stride);
        (!self.planes.is_empty()).then(|| sizes.sum())
    }

    /// The frame in `bytes` with one row right after the other, the first one first. Of too few
    /// bytes comes too short a frame.
    pub(super) fn pack<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        let is_tight = |plane: &Plane| plane.stride == plane.bytes;
        if !self.bottom_up && self.planes.iter().all(is_tight) {
            return bytes;
        }

        self.packed.clear();
        let mut rest = bytes;
        for plane in &self.planes {
            // The last row may end without its padding.
            let size = (plane.rows * plane.stride).min(rest.len());
            let (own, behind) = rest.split_at(size);
            let rows = own.chunks(plane.stride).map(|row| row.get(..plane.bytes));
            if self.bottom_up {
                rows.rev()
                    .map_while(|row| row)
                    .for_each(|row| self.packed.extend_from_slice(row));
            } else {
                rows.map_while(|row| row)
                    .for_each(|row| self.packed.extend_from_slice(row));
            }
            rest = behind;
        }

        &self.packed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [PixelFormat; 8] = [
        PixelFormat::Nv12,
        PixelFormat::Yu12,
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Rgb24,
        PixelFormat::Bgr24,
        PixelFormat::Bgra,
        PixelFormat::Grey,
    ];

    /// A frame whose rows are all different, and the same with padding of 0xEE.
    fn frame(rows: &Rows, tight: &Rows) -> (Vec<u8>, Vec<u8>) {
        let (mut packed, mut padded) = (Vec::new(), Vec::new());
        let mut next = 0_u8;
        for (plane, wide) in tight.planes.iter().zip(&rows.planes) {
            for _ in 0..plane.rows {
                let row: Vec<u8> = (0..plane.bytes)
                    .map(|at| next.wrapping_add(at as u8))
                    .collect();
                next = next.wrapping_add(41);
                packed.extend_from_slice(&row);
                padded.extend_from_slice(&row);
                padded.resize(padded.len() + wide.stride - plane.bytes, 0xEE);
            }
        }
        (packed, padded)
    }

    proptest! {
        #[test]
        fn padding_is_left_out(
            format in prop::sample::select(&FORMATS[..]),
            width in 1_u32..40,
            height in 1_u32..20,
            padding in 0_i32..33,
        ) {
            let tight = Rows::new(format, width, height, 0).expect("any size");
            let stride = tight.planes[0].bytes as i32 + 2 * padding + 2;
            let mut rows = Rows::new(format, width, height, stride).expect("wide enough");
            let (packed, padded) = frame(&rows, &tight);
            prop_assert_eq!(rows.size(), Some(padded.len()));
            prop_assert_eq!(rows.pack(&padded), &packed[..]);
        }

        #[test]
        fn any_bytes_can_come(
            format in prop::sample::select(&FORMATS[..]),
            width in 1_u32..40,
            height in 1_u32..20,
            stride in -200_i32..200,
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            if let Some(mut rows) = Rows::new(format, width, height, stride) {
                prop_assert!(rows.pack(&bytes).len() <= bytes.len());
            }
        }
    }

    #[test]
    fn an_image_from_the_bottom_up_is_turned() {
        let mut rows = Rows::new(PixelFormat::Bgr24, 2, 3, -8).expect("wide enough");
        let bytes: Vec<u8> = (0..24).collect();
        let upright = [
            16, 17, 18, 19, 20, 21, 8, 9, 10, 11, 12, 13, 0, 1, 2, 3, 4, 5,
        ];
        assert_eq!(rows.pack(&bytes), upright);
    }

    #[test]
    fn rows_that_overlap_are_refused() {
        assert!(Rows::new(PixelFormat::Yuyv, 640, 480, 1_279).is_none());
        assert!(
            Rows::new(PixelFormat::Nv12, 640, 480, -640).is_none(),
            "planes never are"
        );
        assert!(
            Rows::new(PixelFormat::Mjpeg, 640, 480, -3).is_some(),
            "it has no rows"
        );
    }

    #[test]
    fn a_frame_without_padding_is_not_copied() {
        let mut rows = Rows::new(PixelFormat::Nv12, 4, 2, 4).expect("wide enough");
        let bytes = [7; 12];
        assert_eq!(rows.pack(&bytes).as_ptr(), bytes.as_ptr());
    }
}
