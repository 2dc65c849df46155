//! Converts what cameras deliver to I420 in BT.601 limited range.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{CompInfoExt, Decompress};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix, bgr_to_yuv420, bgra_to_yuv420, rgb_to_yuv420, uyvy422_to_yuv420,
    yuyv422_to_yuv420,
};

use crate::frame::I420;
use crate::range::{LIMITED, Limited};

/// A pixel format that cameras deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// Packed 4:2:2: Y0 U Y1 V, two bytes per pixel.
    Yuyv,
    /// 4:2:0 with a luma plane, followed by interleaved U and V.
    Nv12,
    /// One JPEG per frame.
    Mjpeg,
    /// 4:2:0 with three planes, as [`I420`].
    Yu12,
    /// Packed 4:2:2: U Y0 V Y1.
    Uyvy,
    /// Three bytes per pixel.
    Rgb24,
    /// The same in the other order.
    Bgr24,
    /// Four bytes per pixel, the last one unused.
    Bgra,
    /// Luma alone, in full range.
    Grey,
}

/// The buffer does not hold a frame of the expected format and size. Skip it: the next one may be
/// whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The buffer is shorter than a frame of this size.
    #[error("the camera delivered {got} bytes instead of {expected}")]
    Short {
        /// Bytes in the buffer.
        got: usize,
        /// Bytes of a whole frame.
        expected: usize,
    },
    /// The frame is damaged, or of another size or sampling than expected.
    #[error("the camera delivered a broken frame: {0}")]
    Broken(String),
}

/// Converts one frame after the other and reuses its scratch memory.
#[derive(Debug, Default)]
pub struct Converter {
    jpeg_planes: [Vec<u8>; 3],
}

impl Converter {
    /// A converter. It allocates scratch memory when the first JPEG arrives.
    pub fn new() -> Self {
        Self::default()
    }

    /// Overwrites `image` with the frame in `bytes`, which must have the size of `image`. Surplus
    /// bytes are ignored, because drivers round their buffers up.
    ///
    /// # Errors
    /// See [`ConvertError`]. The contents of `image` are undefined then.
    pub fn convert(
        &mut self,
        format: PixelFormat,
        bytes: &[u8],
        image: &mut I420,
    ) -> Result<(), ConvertError> {
        match format {
            PixelFormat::Yuyv => from_packed(bytes, image, yuyv422_to_yuv420),
            PixelFormat::Uyvy => from_packed(bytes, image, uyvy422_to_yuv420),
            PixelFormat::Rgb24 => from_rgb(bytes, 3, image, rgb_to_yuv420),
            PixelFormat::Bgr24 => from_rgb(bytes, 3, image, bgr_to_yuv420),
            PixelFormat::Bgra => from_rgb(bytes, 4, image, bgra_to_yuv420),
            PixelFormat::Nv12 => from_nv12(bytes, image),
            PixelFormat::Yu12 => from_yu12(bytes, image),
            PixelFormat::Grey => from_grey(bytes, image),
            // mozjpeg reports errors of libjpeg by unwinding.
            PixelFormat::Mjpeg => catch_unwind(AssertUnwindSafe(|| {
                from_jpeg(&mut self.jpeg_planes, bytes, image)
            }))
            .unwrap_or_else(|cause| Err(ConvertError::Broken(panic_text(&*cause)))),
        }
    }
}

fn at_least(bytes: &[u8], expected: usize) -> Result<&[u8], ConvertError> {
    bytes.get(..expected).ok_or(ConvertError::Short {
        got: bytes.len(),
        expected,
    })
}

/// Converts packed 4:2:2 with the function for its order.
fn from_packed(
    bytes: &[u8],
    image: &mut I420,
    convert: fn(&mut YuvPlanarImageMut<'_, u8>, &YuvPackedImage<'_, u8>) -> Result<(), YuvError>,
) -> Result<(), ConvertError> {
    let (width, height) = (image.width(), image.height());
    let yuy_stride = 4 * image.chroma_width();
    let yuy = at_least(bytes, yuy_stride as usize * height as usize)?;
    let packed = YuvPackedImage {
        yuy,
        yuy_stride,
        width,
        height,
    };

    convert(&mut planar(image), &packed).map_err(|error| ConvertError::Broken(error.to_string()))
}

type FromRgb = fn(
    &mut YuvPlanarImageMut<'_, u8>,
    &[u8],
    u32,
    YuvRange,
    YuvStandardMatrix,
    YuvConversionMode,
) -> Result<(), YuvError>;

/// Converts pixels of some bytes each with the function for their order.
fn from_rgb(
    bytes: &[u8],
    per_pixel: u32,
    image: &mut I420,
    convert: FromRgb,
) -> Result<(), ConvertError> {
    let stride = per_pixel * image.width();
    let rgb = at_least(bytes, stride as usize * image.height() as usize)?;
    convert(
        &mut planar(image),
        rgb,
        stride,
        YuvRange::Limited,
        YuvStandardMatrix::Bt601,
        YuvConversionMode::Balanced,
    )
    .map_err(|error| ConvertError::Broken(error.to_string()))
}

/// The planes of `image`, to write to.
fn planar(image: &mut I420) -> YuvPlanarImageMut<'_, u8> {
    let (width, height, chroma_width) = (image.width(), image.height(), image.chroma_width());
    let (y, u, v) = image.planes_mut();
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma_width,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma_width,
        width,
        height,
    }
}

fn from_yu12(bytes: &[u8], image: &mut I420) -> Result<(), ConvertError> {
    let size = image.data().len();
    image.data_mut().copy_from_slice(at_least(bytes, size)?);
    Ok(())
}

fn from_grey(bytes: &[u8], image: &mut I420) -> Result<(), ConvertError> {
    let luma = image.width() as usize * image.height() as usize;
    let source = at_least(bytes, luma)?;
    let (y, u, v) = image.planes_mut();
    for (sample, level) in y.iter_mut().zip(source) {
        *sample = LIMITED.luma[usize::from(*level)];
    }

    u.fill(128);
    v.fill(128);
    Ok(())
}

fn from_nv12(bytes: &[u8], image: &mut I420) -> Result<(), ConvertError> {
    let luma = image.width() as usize * image.height() as usize;
    let chroma = 2 * image.chroma_width() as usize * image.chroma_height() as usize;
    let (source_y, source_uv) = at_least(bytes, luma + chroma)?.split_at(luma);
    let (y, u, v) = image.planes_mut();
    y.copy_from_slice(source_y);

    for ((pair, u), v) in source_uv.chunks_exact(2).zip(u).zip(v) {
        (*u, *v) = (pair[0], pair[1]);
    }

    Ok(())
}

/// The layout of a decoded JPEG plane.
#[derive(Clone, Copy)]
struct JpegPlane {
    stride: usize,
    /// How many samples, across and down, become one sample of I420.
    step: (usize, usize),
}

fn from_jpeg(
    planes: &mut [Vec<u8>; 3],
    bytes: &[u8],
    image: &mut I420,
) -> Result<(), ConvertError> {
    let broken = |error: std::io::Error| ConvertError::Broken(error.to_string());
    let mut jpeg = Decompress::new_mem(bytes).map_err(broken)?;
    jpeg.dct_method(mozjpeg::DctMethod::IntegerFast);

    if jpeg.size() != (image.width() as usize, image.height() as usize) {
        let (width, height) = jpeg.size();
        return Err(ConvertError::Broken(format!(
            "it is {width}x{height}, not {}x{}",
            image.width(),
            image.height()
        )));
    }

    let layout = jpeg_layout(&jpeg)?;
    let mut started = jpeg.raw().map_err(broken)?;

    for plane in planes.iter_mut() {
        plane.clear();
    }

    let [y, u, v] = planes;
    started.read_raw_data(&mut [y, u, v]);

    let (width, chroma_width) = (image.width() as usize, image.chroma_width() as usize);
    let (to_y, to_u, to_v) = image.planes_mut();
    // JPEG uses all levels (JFIF).
    let Limited { luma, chroma } = &LIMITED;

    for (source, target) in y.chunks(layout[0].stride).zip(to_y.chunks_exact_mut(width)) {
        for (source, target) in source.iter().zip(target) {
            *target = luma[usize::from(*source)];
        }
    }

    for (source, target, layout) in [(u, to_u, layout.get(1)), (v, to_v, layout.get(2))] {
        let Some(&layout) = layout else {
            target.fill(128);
            continue;
        };

        subsample(source, layout, target, chroma_width, chroma);
    }

    Ok(())
}

fn jpeg_layout<R>(jpeg: &Decompress<R>) -> Result<Vec<JpegPlane>, ConvertError> {
    let components = jpeg.components();
    let unusual = || {
        ConvertError::Broken(
            "its JPEG is neither grey nor YUV 4:2:0, 4:2:2, 4:4:0 or 4:4:4".to_owned(),
        )
    };

    if !matches!(components.len(), 1 | 3) {
        return Err(unusual());
    }

    let (luma_h, luma_v) = components[0].sampling();
    components
        .iter()
        .enumerate()
        .map(|(index, component)| {
            let (h, v) = component.sampling();
            // I420 has half the luma samples each way: two chroma samples of the JPEG become one
            // where it has as many as luma, and one stays one where it has half as many.
            let step = |luma: u8, chroma: u8| {
                if luma == 0 {
                    None
                } else if luma == chroma {
                    Some(2)
                } else if u16::from(luma) == 2 * u16::from(chroma) {
                    Some(1)
                } else {
                    None
                }
            };

            let step = match index {
                0 => (1, 1),
                _ => (
                    step(luma_h, h).ok_or_else(unusual)?,
                    step(luma_v, v).ok_or_else(unusual)?,
                ),
            };

            Ok(JpegPlane {
                stride: component.row_stride(),
                step,
            })
        })
        .collect()
}

/// Averages `step` samples into each sample of `target`, and maps the result through `levels`.
fn subsample(
    source: &[u8],
    layout: JpegPlane,
    target: &mut [u8],
    width: usize,
    levels: &[u8; 256],
) {
    let (across, down) = layout.step;
    let count = across * down;

    for (row, target) in target.chunks_exact_mut(width).enumerate() {
        let top = row * down * layout.stride;
        for (column, target) in target.iter_mut().enumerate() {
            let sum: usize = (0..down)
                .flat_map(|line| &source[top + line * layout.stride + column * across..][..across])
                .map(|&sample| usize::from(sample))
                .sum();
            *target = levels[(sum + count / 2) / count];
        }
    }
}

fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    text.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jpeg(width: usize, height: usize, chroma: (u8, u8), rgb: [u8; 3]) -> Vec<u8> {
        let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        compress.set_size(width, height);
        compress.set_quality(90.0);
        compress.set_chroma_sampling_pixel_sizes(chroma, chroma);
        let mut started = compress.start_compress(Vec::new()).unwrap();
        started
            .write_scanlines(&rgb.repeat(width * height))
            .unwrap();

        started.finish().unwrap()
    }

    #[test]
    fn yuyv_and_nv12_end_up_in_the_right_planes() {
        let mut image = I420::new(6, 4);
        Converter::new()
            .convert(
                PixelFormat::Yuyv,
                &[50, 90, 60, 200].repeat(3 * 4),
                &mut image,
            )
            .unwrap();
        let (y, u, v) = image.planes();

        assert!(
            y.chunks(2).all(|pair| pair == [50, 60]),
            "luma keeps its order: {y:?}"
        );

        assert!(
            u.iter().all(|&u| u == 90) && v.iter().all(|&v| v == 200),
            "chroma is separated: {u:?} {v:?}"
        );

        let nv12: Vec<u8> = (0..24).chain([90, 200].repeat(6)).collect();
        Converter::new()
            .convert(PixelFormat::Nv12, &nv12, &mut image)
            .unwrap();
        let (y, u, v) = image.planes();

        assert!(y.iter().copied().eq(0..24), "luma is copied");
        assert!(
            u.iter().all(|&u| u == 90) && v.iter().all(|&v| v == 200),
            "chroma is separated"
        );
    }

    #[test]
    fn one_color_is_the_same_in_every_uncompressed_format() {
        // Pure red: 81, 90, 240 in BT.601 limited range. An odd size has chroma of its own at the edge.
        const RED: [u8; 3] = [81, 90, 240];
        let planes = [vec![81; 7 * 5], vec![90; 4 * 3], vec![240; 4 * 3]].concat();
        for (format, (width, height), bytes, expected) in [
            (PixelFormat::Yu12, (7, 5), planes, RED),
            // Pixels come in pairs.
            (PixelFormat::Uyvy, (8, 6), [90, 81, 240, 81].repeat(24), RED),
            (PixelFormat::Rgb24, (7, 5), [255, 0, 0].repeat(35), RED),
            (PixelFormat::Bgr24, (7, 5), [0, 0, 255].repeat(35), RED),
            (PixelFormat::Bgra, (7, 5), [0, 0, 255, 9].repeat(35), RED),
            (PixelFormat::Grey, (7, 5), vec![255; 35], [235, 128, 128]),
        ] {
            let mut image = I420::new(width, height);
            let mut converter = Converter::new();
            converter.convert(format, &bytes, &mut image).unwrap();
            let (y, u, v) = image.planes();
            for (plane, expected) in [y, u, v].into_iter().zip(expected) {
                let off = plane.iter().map(|&sample| sample.abs_diff(expected)).max();
                assert!(off <= Some(1), "{format:?}: off by {off:?} from {expected}");
            }

            let short = converter.convert(format, &bytes[1..], &mut image);
            assert!(
                matches!(short, Err(ConvertError::Short { .. })),
                "{format:?}: {short:?}"
            );
        }
    }

    #[test]
    fn jpegs_of_all_common_samplings_become_limited_range() {
        // Pure red: 81, 90, 240 in BT.601 limited range.
        for chroma in [(1, 1), (2, 1), (2, 2)] {
            let mut image = I420::new(34, 18);
            Converter::new()
                .convert(
                    PixelFormat::Mjpeg,
                    &jpeg(34, 18, chroma, [255, 0, 0]),
                    &mut image,
                )
                .unwrap();
            let (y, u, v) = image.planes();

            for (plane, expected) in [(y, 81_u8), (u, 90), (v, 240)] {
                let off = plane.iter().map(|&sample| sample.abs_diff(expected)).max();
                assert!(off <= Some(2), "{chroma:?}: off by {off:?} from {expected}");
            }
        }
    }

    #[test]
    fn short_and_broken_buffers_are_errors() {
        let mut image = I420::new(64, 48);
        let mut converter = Converter::new();

        for format in [PixelFormat::Yuyv, PixelFormat::Nv12] {
            let error = converter
                .convert(format, &[0; 100], &mut image)
                .unwrap_err();
            assert!(
                matches!(error, ConvertError::Short { got: 100, .. }),
                "{format:?}: {error}"
            );
        }

        let other_size = jpeg(32, 32, (2, 2), [9, 9, 9]);
        for bytes in [b"".as_slice(), b"no jpeg", &other_size] {
            let error = converter
                .convert(PixelFormat::Mjpeg, bytes, &mut image)
                .unwrap_err();
            assert!(matches!(error, ConvertError::Broken(_)), "{error}");
        }

        let whole = jpeg(64, 48, (2, 1), [200, 100, 50]);
        assert!(
            converter
                .convert(PixelFormat::Mjpeg, &whole, &mut image)
                .is_ok(),
            "the next whole frame converts"
        );
    }

    proptest! {
        #[test]
        fn damaged_jpegs_do_not_crash(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut: prop::sample::Index,
        ) {
            let mut bytes = jpeg(48, 32, (2, 1), [10, 200, 30]);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }

            bytes.truncate(cut.index(bytes.len()));
            let _ = Converter::new().convert(PixelFormat::Mjpeg, &bytes, &mut I420::new(48, 32));
        }
    }
}
