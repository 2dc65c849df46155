//! Helpers of the codec tests: a moving scene, a quality measure and encoded streams.

use super::{EncodedFrame, EncoderConfig, VideoCodec, VideoEncoder, encoder};
use crate::frame::I420;
use crate::video::test_pattern;

/// Starts an encoder for `width` x `height` at 30 frames per second.
pub(super) fn start(
    codec: VideoCodec,
    width: u32,
    height: u32,
    bitrate_bps: u32,
) -> Box<dyn VideoEncoder> {
    encoder(
        codec,
        EncoderConfig {
            width,
            height,
            fps: 30.0,
            bitrate_bps,
            max_nal_bytes: None,
        },
    )
    .expect("the encoder starts")
}

/// Frame `number` of a moving scene.
pub(super) fn scene(width: u32, height: u32, number: u16) -> I420 {
    let mut image = I420::new(width, height);
    test_pattern::draw(&mut image, number, u32::from(number) * 33);
    image
}

/// Encodes the frames `numbers` of the scene at 30 frames per second and returns those that rate
/// control did not drop.
pub(super) fn encode_scene(
    encoder: &mut dyn VideoEncoder,
    (width, height): (u32, u32),
    numbers: std::ops::Range<u16>,
) -> Vec<(u16, EncodedFrame)> {
    numbers
        .filter_map(|number| {
            let time = u64::from(number) * 1000 / 30;
            let frame = encoder
                .encode(&scene(width, height, number), time, false)
                .expect("the frame is encoded");
            frame.map(|frame| (number, frame))
        })
        .collect()
}

/// Peak signal-to-noise ratio of the luma planes, in dB.
pub(super) fn psnr_y(a: &I420, b: &I420) -> f64 {
    assert_eq!(
        (a.width(), a.height()),
        (b.width(), b.height()),
        "only frames of the same size can be compared"
    );

    let (a, b) = (a.planes().0, b.planes().0);
    let squares: f64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(f64::MIN_POSITIVE)).log10()
}
