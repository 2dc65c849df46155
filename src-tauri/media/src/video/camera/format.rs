//! Picks the camera format nearest to the requested one.

use super::super::VideoFormat;
use super::super::convert::PixelFormat;
use super::CameraFormat;

/// The one of `formats` that is nearest to `wanted`.
///
/// A wrong size weighs most, then a rate that is too low, then pixels that take longer to convert.
/// For example, a webcam on USB 2 offers 720p uncompressed at 10 fps and as MJPEG at 30 fps: at 30
/// fps it is MJPEG.
pub(super) fn closest(formats: &[CameraFormat], wanted: VideoFormat) -> Option<CameraFormat> {
    formats
        .iter()
        .copied()
        .min_by(|a, b| cost(*a, wanted).total_cmp(&cost(*b, wanted)))
}

fn cost(format: CameraFormat, wanted: VideoFormat) -> f32 {
    let off = |has: u32, wanted: u32| (has as f32 / wanted as f32).ln().abs();
    let size = off(format.width, wanted.width) + off(format.height, wanted.height);
    let rate = (format.fps as f32 / wanted.fps).ln();
    let rate = if rate < 0.0 { -rate * 2.0 } else { rate * 0.2 };
    let pixels = match format.pixels {
        PixelFormat::Nv12 | PixelFormat::Yu12 => 0.0,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 0.01,
        PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Bgra => 0.03,
        PixelFormat::Mjpeg => 0.05,
        // Better than nothing, but without colors.
        PixelFormat::Grey => 0.5,
    };

    4.0 * size + rate + pixels
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Mjpeg, Nv12, Yuyv};

    use super::*;

    fn format(width: u32, height: u32, fps: u32, pixels: PixelFormat) -> CameraFormat {
        CameraFormat {
            width,
            height,
            fps,
            pixels,
        }
    }

    fn chosen(formats: &[CameraFormat], width: u32, height: u32, fps: f32) -> CameraFormat {
        closest(formats, VideoFormat { width, height, fps }).expect("a format")
    }

    #[test]
    fn a_usb_2_webcam_delivers_720p_as_mjpeg() {
        let webcam = [
            format(640, 480, 30, Yuyv),
            format(1280, 720, 10, Yuyv),
            format(1280, 720, 30, Mjpeg),
            format(1920, 1080, 30, Mjpeg),
        ];

        assert_eq!(
            chosen(&webcam, 1280, 720, 30.0),
            webcam[2],
            "the rate outweighs the conversion"
        );

        assert_eq!(
            chosen(&webcam, 640, 480, 30.0),
            webcam[0],
            "uncompressed where it is fast enough"
        );

        assert_eq!(
            chosen(&webcam, 1920, 1080, 60.0),
            webcam[3],
            "the size outweighs the rate"
        );
    }

    #[test]
    fn the_pixels_that_convert_fastest_win_a_tie() {
        let formats = [
            format(640, 480, 30, Mjpeg),
            format(640, 480, 30, Yuyv),
            format(640, 480, 30, Nv12),
        ];

        assert_eq!(
            chosen(&formats, 640, 480, 30.0).pixels,
            Nv12,
            "NV12 only needs a copy"
        );
    }

    #[test]
    fn without_formats_there_is_no_nearest_one() {
        assert_eq!(
            closest(
                &[],
                VideoFormat {
                    width: 640,
                    height: 480,
                    fps: 30.0
                }
            ),
            None,
            "an empty list"
        );
    }
}
