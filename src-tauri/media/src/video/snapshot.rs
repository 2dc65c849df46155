//! Saves one frame as a PNG file, or makes a small JPEG of it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use mozjpeg::{ColorSpace, Compress};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_rgb};

use super::scale::scale;
use super::y4m::unwritable;
use crate::error::DeviceError;
use crate::frame::I420;

/// Writes `image` (BT.601, limited range) as an 8-bit RGB PNG. Replaces a file that exists at
/// `path`.
///
/// # Errors
/// `FileUnwritable`, `DiskFull`.
pub fn write_png(path: &Path, image: &I420) -> Result<(), DeviceError> {
    let (width, height) = (image.width(), image.height());
    let rgb = to_rgb(image).map_err(|error| unwritable(&io::Error::other(error)))?;
    let file = File::create(path).map_err(|error| unwritable(&error))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);

    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&rgb)?;
        writer.finish()
    });

    written.map_err(|error| match error {
        png::EncodingError::IoError(error) => unwritable(&error),
        other => unwritable(&io::Error::other(other)),
    })
}

/// The longer side of a small JPEG, pixels: enough to see what a frame shows.
const SMALL: u32 = 640;
/// The qualities that are tried, in percent of libjpeg's scale.
const QUALITIES: [f32; 4] = [75.0, 55.0, 35.0, 15.0];

/// `image` as a JPEG of at most `max_bytes`, at most 640 pixels wide and high. `None` if that is too
/// little for it.
#[must_use]
pub fn small_jpeg(image: &I420, max_bytes: usize) -> Option<Vec<u8>> {
    let (mut width, mut height) = (image.width(), image.height());
    let longer = width.max(height);
    if longer > SMALL {
        width = (width * SMALL / longer).max(2);
        height = (height * SMALL / longer).max(2);
    }

    let mut small = I420::new(width, height);
    scale(image, &mut small);
    let rgb = to_rgb(&small).ok()?;

    QUALITIES
        .into_iter()
        .filter_map(|quality| jpeg(&rgb, width, height, quality).ok())
        .find(|jpeg| jpeg.len() <= max_bytes)
}

fn jpeg(rgb: &[u8], width: u32, height: u32, quality: f32) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    compress.set_size(width as usize, height as usize);
    compress.set_quality(quality);
    let mut started = compress.start_compress(Vec::new())?;
    started.write_scanlines(rgb)?;
    started.finish()
}

fn to_rgb(image: &I420) -> Result<Vec<u8>, yuv::YuvError> {
    let (y_plane, u_plane, v_plane) = image.planes();
    let planar = YuvPlanarImage {
        y_plane,
        y_stride: image.width(),
        u_plane,
        u_stride: image.chroma_width(),
        v_plane,
        v_stride: image.chroma_width(),
        width: image.width(),
        height: image.height(),
    };

    let stride = image.width() * 3;
    let mut rgb = vec![0; stride as usize * image.height() as usize];
    yuv420_to_rgb(
        &planar,
        &mut rgb,
        stride,
        YuvRange::Limited,
        YuvStandardMatrix::Bt601,
    )?;

    Ok(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MediaErrorCode;

    #[test]
    fn red_stays_red() {
        let mut image = I420::new(33, 17);
        let (y, u, v) = image.planes_mut();
        // Pure red in BT.601, limited range.
        y.fill(81);
        u.fill(90);
        v.fill(240);

        let file = tempfile::NamedTempFile::new().unwrap();
        write_png(file.path(), &image).unwrap();

        let decoder = png::Decoder::new(io::BufReader::new(file.as_file()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();

        assert_eq!((info.width, info.height), (33, 17), "an odd size is kept");

        assert!(
            pixels
                .chunks(3)
                .all(|rgb| rgb[0] > 250 && rgb[1] < 5 && rgb[2] < 5),
            "the pixels are red: {:?}",
            &pixels[..3]
        );
    }

    #[test]
    fn a_small_jpeg_is_small_whatever_the_frame_shows() {
        // Noise is the worst case for a JPEG.
        let mut noise = I420::new(1_280, 720);
        let mut state = 1_u32;
        let (y, u, v) = noise.planes_mut();
        for byte in y.iter_mut().chain(u).chain(v) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }

        let limit = 32 * 1_024;
        for (image, name) in [(noise, "noise"), (I420::new(33, 17), "an odd size")] {
            let jpeg = small_jpeg(&image, limit).unwrap_or_else(|| panic!("{name} does not fit"));
            assert!(jpeg.len() <= limit, "{name}: {} bytes", jpeg.len());
            assert_eq!(jpeg[..3], [0xFF, 0xD8, 0xFF], "{name}");

            let read = mozjpeg::Decompress::new_mem(&jpeg).unwrap();
            let (width, height) = (image.width() as usize, image.height() as usize);
            let expected = if width > 640 {
                (640, 360)
            } else {
                (width, height)
            };
            assert_eq!(read.size(), expected, "{name}");
        }
    }

    #[test]
    fn a_missing_folder_is_reported_as_unwritable() {
        let error = write_png(Path::new("/nowhere/at/all.png"), &I420::new(16, 16)).unwrap_err();
        assert_eq!(error.code, MediaErrorCode::FileUnwritable, "{error}");
    }
}
