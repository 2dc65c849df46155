//! What a camera driver delivers: frames of any format and size, with any content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_media::I420;
use tandem_media::video::convert::{Converter, PixelFormat};

const FORMATS: [PixelFormat; 8] = [
    PixelFormat::Yuyv,
    PixelFormat::Nv12,
    PixelFormat::Mjpeg,
    PixelFormat::Yu12,
    PixelFormat::Uyvy,
    PixelFormat::Rgb24,
    PixelFormat::Bgr24,
    PixelFormat::Grey,
];

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (format, width, height, bytes) = input;
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let mut frame = I420::new(u32::from(width) + 1, u32::from(height) + 1);
    let _ = Converter::new().convert(format, bytes, &mut frame);
});
