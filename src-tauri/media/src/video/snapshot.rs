//! Saves one frame as a PNG file.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_rgb};

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
    fn a_missing_folder_is_reported_as_unwritable() {
        let error = write_png(Path::new("/nowhere/at/all.png"), &I420::new(16, 16)).unwrap_err();
        assert_eq!(error.code, MediaErrorCode::FileUnwritable, "{error}");
    }
}
