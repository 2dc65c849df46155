//! What a camera driver delivers: YUYV, NV12 or MJPEG of any size, with any content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_media::I420;
use tandem_media::video::convert::{Converter, PixelFormat};

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (format, width, height, bytes) = input;
    let format =
        [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Mjpeg][usize::from(format) % 3];
    let mut frame = I420::new(u32::from(width) + 1, u32::from(height) + 1);
    let _ = Converter::new().convert(format, bytes, &mut frame);
});
