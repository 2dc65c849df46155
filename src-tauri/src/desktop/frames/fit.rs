//! Scales a frame down to the size at which the page shows it.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use tandem_media::I420;

/// The sides of a frame that the page may request, in pixels; others are clamped.
const SIDES: std::ops::RangeInclusive<u32> = 16..=3840;

/// The size at which a frame of `width` x `height` fits into `max_width` x `max_height`: the same
/// aspect ratio, even sides, never enlarged.
pub(super) fn fit(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    let (max_width, max_height) = (clamp(max_width), clamp(max_height));
    let even = |side: u32| (side & !1).max(2);

    if width <= max_width && height <= max_height {
        return (even(width), even(height));
    }

    // The smaller of both ratios. 64 bits cannot overflow.
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (across, down) = (u64::from(max_width) * height, u64::from(max_height) * width);
    let (num, den) = if across <= down {
        (u64::from(max_width), width)
    } else {
        (u64::from(max_height), height)
    };

    let scaled = |side: u64| even(u32::try_from(side * num / den).unwrap_or(*SIDES.end()));
    (scaled(width), scaled(height))
}

fn clamp(side: u32) -> u32 {
    side.clamp(*SIDES.start(), *SIDES.end())
}

/// Scales frames, and keeps its buffers from one to the next.
#[derive(Default)]
pub(super) struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// Appends the planes of `image` to `out`, scaled to `width` x `height` (both even) and without
    /// padding.
    pub(super) fn append(&mut self, image: &I420, (width, height): (u32, u32), out: &mut Vec<u8>) {
        if (image.width(), image.height()) == (width, height) {
            out.extend_from_slice(image.data());
            return;
        }

        let (y, u, v) = image.planes();
        let luma = (image.width(), image.height());
        let chroma = (image.chroma_width(), image.chroma_height());

        for (plane, from, to) in [
            (y, luma, (width, height)),
            (u, chroma, (width / 2, height / 2)),
            (v, chroma, (width / 2, height / 2)),
        ] {
            self.append_plane(plane, from, to, out);
        }
    }

    fn append_plane(&mut self, plane: &[u8], from: (u32, u32), to: (u32, u32), out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + to.0 as usize * to.1 as usize, 0);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false);

        // Typed images: `Resizer::resize` would compile the code of all 15 pixel types into this
        // crate.
        let scaled = TypedImageRef::<U8>::from_buffer(from.0, from.1, plane)
            .ok()
            .and_then(|source| {
                let mut target =
                    TypedImage::<U8>::from_buffer(to.0, to.1, &mut out[start..]).ok()?;
                self.resizer
                    .resize_typed(&source, &mut target, &options)
                    .ok()
            });

        // The sizes agree by construction. If they ever did not, a grey plane would be shown.
        if scaled.is_none() {
            out[start..].fill(128);
            tracing::debug!("cannot scale a frame, showing grey instead");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_shrink_to_fit_and_never_grow() {
        assert_eq!(fit(1280, 720, 640, 640), (640, 360), "limited by the width");
        assert_eq!(
            fit(1280, 720, 1280, 180),
            (320, 180),
            "limited by the height"
        );
        assert_eq!(fit(640, 480, 4000, 4000), (640, 480), "not enlarged");
        assert_eq!(
            fit(641, 481, 4000, 4000),
            (640, 480),
            "rounded to even sides"
        );
        assert_eq!(fit(720, 1280, 640, 640), (360, 640), "portrait");
    }

    #[test]
    fn scaling_averages_and_a_frame_that_fits_is_unchanged() {
        let mut image = I420::new(64, 64);
        for (index, sample) in image.planes_mut().0.iter_mut().enumerate() {
            *sample = if (index / 64 + index) % 2 == 0 {
                0
            } else {
                200
            };
        }

        let mut scaler = Scaler::default();
        let mut same = Vec::new();
        scaler.append(&image, (64, 64), &mut same);

        assert_eq!(same, image.data(), "unchanged");
        let mut small = Vec::new();
        scaler.append(&image, (16, 16), &mut small);

        assert_eq!(small.len(), 16 * 16 * 3 / 2, "all three planes");
        assert!(
            small[..256]
                .iter()
                .all(|sample| (85..=115).contains(sample)),
            "a fine grid becomes grey"
        );

        assert!(
            small[256..].iter().all(|sample| *sample == 128),
            "the colors stay"
        );
    }

    proptest! {
        #[test]
        fn any_frame_fits_any_limits(width in 1_u32..4000, height in 1_u32..4000, max: (u32, u32)) {
            let (w, h) = fit(width, height, max.0, max.1);
            prop_assert!(w % 2 == 0 && h % 2 == 0 && w >= 2 && h >= 2, "{w} x {h}");
            prop_assert!(w <= width.max(2) && h <= height.max(2), "{w} x {h} is larger than {width} x {height}");
            prop_assert!(w <= clamp(max.0).max(2) && h <= clamp(max.1).max(2), "{w} x {h} is larger than the limit");
        }
    }
}
