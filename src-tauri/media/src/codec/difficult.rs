//! Video that is hard to encode: a noisy sensor, a dark room, cuts, and a camera at half its rate.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::testing::{psnr_y, scene, start};
use super::{VideoCodec, decoder};
use crate::frame::{FramePool, I420};

const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
const SIZE: (u32, u32) = (640, 360);
const SECONDS: u16 = 5;

/// What makes it hard.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Difficulty {
    Noise,
    Dark,
    /// Another scene every second.
    Cuts,
    /// 15 frames a second, from an encoder that was told 30.
    HalfRate,
}

impl Difficulty {
    const ALL: [Self; 4] = [Self::Noise, Self::Dark, Self::Cuts, Self::HalfRate];

    fn frame(self, number: u16) -> I420 {
        let mut image = scene(SIZE.0, SIZE.1, number);
        let mut random = StdRng::seed_from_u64(number.into());
        // The sum of three is nearly normal, as a sensor's noise is.
        let mut noise = |most: i32| {
            (0..3)
                .map(|_| random.random_range(-most..=most))
                .sum::<i32>()
        };
        let clamp = |value: i32| value.clamp(0, 255) as u8;
        match self {
            Self::Noise => {
                for luma in image.planes_mut().0 {
                    *luma = clamp(i32::from(*luma) + noise(6));
                }
            }
            Self::Dark => {
                for luma in image.planes_mut().0 {
                    *luma = clamp(16 + i32::from(*luma) / 6 + noise(4));
                }
            }
            Self::Cuts if number / 30 % 2 == 1 => {
                for luma in image.planes_mut().0 {
                    *luma = 255 - *luma;
                }
            }
            Self::Cuts | Self::HalfRate => {}
        }

        image
    }

    fn frames_per_second(self) -> u16 {
        if self == Self::HalfRate { 15 } else { 30 }
    }
}

/// What came out of an encoder.
struct Encoded {
    /// Bytes in each second.
    seconds: Vec<usize>,
    frames: usize,
    /// Mean quality after the first second, dB.
    quality: f64,
}

fn encode(codec: VideoCodec, difficulty: Difficulty, bitrate_bps: u32) -> Encoded {
    let mut encoder = start(codec, SIZE.0, SIZE.1, bitrate_bps);
    let mut decoder = decoder(codec, FramePool::new()).expect("a decoder");
    let rate = difficulty.frames_per_second();
    let mut seconds = vec![0; SECONDS.into()];
    let (mut frames, mut quality) = (0, Vec::new());

    for number in 0..SECONDS * rate {
        let image = difficulty.frame(number);
        let time = u64::from(number) * 1_000 / u64::from(rate);
        let Some(frame) = encoder.encode(&image, time, false).expect("it encodes") else {
            continue;
        };

        frames += 1;
        seconds[usize::from(number / rate)] += frame.data.len();
        let decoded = decoder.decode(&frame.data).expect("it decodes");
        if number >= rate {
            quality.push(psnr_y(&image, &decoded.expect("a frame")));
        }
    }

    Encoded {
        seconds,
        frames,
        quality: quality.iter().sum::<f64>() / quality.len() as f64,
    }
}

#[test]
fn the_bitrate_holds_for_difficult_video() {
    for codec in CODECS {
        for difficulty in Difficulty::ALL {
            for target in [300_000_u32, 1_200_000] {
                let encoded = encode(codec, difficulty, target);
                let second = |bytes: &usize| *bytes as f64 * 8.0 / f64::from(target);
                let ratios: Vec<f64> = encoded.seconds[1..].iter().map(second).collect();
                let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
                let found = format!(
                    "{codec:?}, {difficulty:?}, {target} bit/s: {mean:.2} of it, by seconds \
                     {ratios:.2?}, {} frames, {:.1} dB",
                    encoded.frames, encoded.quality
                );
                println!("{found}");

                assert!(mean <= 1.1, "{found}");
                assert!(ratios.iter().all(|ratio| *ratio <= 1.2), "{found}");
                // Less is enough where the video is nearly perfect.
                assert!(mean >= 0.9 || encoded.quality > 44.0, "{found}");
                let made = usize::from(SECONDS * difficulty.frames_per_second());
                assert!(encoded.frames * 100 >= made * 90, "{found}");
            }
        }
    }
}
