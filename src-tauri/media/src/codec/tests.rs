//! What every codec must do, whichever library is behind it.

use std::collections::HashSet;

use proptest::prelude::*;

use super::testing::{encode_scene, psnr_y, scene, start};
use super::{CodecError, VideoCodec, decoder};
use crate::frame::FramePool;
use crate::video::test_pattern;

const CODECS: &[VideoCodec] = &[
    VideoCodec::H264,
    #[cfg(feature = "vp8")]
    VideoCodec::Vp8,
];
const SIZE: (u32, u32) = (640, 360);

#[test]
fn moving_pictures_keep_34_db_at_1_5_mbps() {
    for &codec in CODECS {
        let mut encoder = start(codec, 1280, 720, 1_500_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let stream = encode_scene(&mut *encoder, (1280, 720), 0..60);

        assert!(
            stream.len() >= 57,
            "{codec:?}: rate control dropped {} of 60 pictures",
            60 - stream.len()
        );

        let quality: Vec<f64> = stream
            .iter()
            .map(|(number, frame)| {
                let image = decoder
                    .decode(&frame.data)
                    .unwrap()
                    .expect("each picture comes out at once");
                psnr_y(&scene(1280, 720, *number), &image)
            })
            .collect();
        let mean = quality[10..].iter().sum::<f64>() / (quality.len() - 10) as f64;
        assert!(
            mean >= 34.0,
            "{codec:?}: PSNR-Y is {mean:.1} dB after the first 10 pictures: {quality:.1?}"
        );
    }
}

#[test]
fn the_bitrate_follows_within_two_seconds() {
    for &codec in CODECS {
        let mut encoder = start(codec, 1280, 720, 1_000_000);
        encode_scene(&mut *encoder, (1280, 720), 0..60);
        let mut first = 60;

        for target in [300_000_u32, 1_500_000, 600_000] {
            encoder.set_bitrate(target);
            encode_scene(&mut *encoder, (1280, 720), first..first + 60);
            let stream = encode_scene(&mut *encoder, (1280, 720), first + 60..first + 150);
            let bps = stream
                .iter()
                .map(|(_, frame)| frame.data.len())
                .sum::<usize>() as f64
                * 8.0
                / 3.0;
            let ratio = bps / f64::from(target);

            assert!(
                (0.8..=1.2).contains(&ratio),
                "{codec:?}: {bps:.0} bit/s instead of {target}: {ratio:.2}"
            );

            first += 150;
        }
    }
}

#[test]
fn a_forced_keyframe_is_decodable_alone() {
    for &codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let stream = encode_scene(&mut *encoder, SIZE, 0..20);
        assert!(
            stream[0].1.keyframe,
            "{codec:?}: a stream begins with a keyframe"
        );

        assert!(
            stream[1..].iter().all(|(_, frame)| !frame.keyframe),
            "{codec:?}: keyframes come on request only"
        );

        let frame = encoder
            .encode(&scene(SIZE.0, SIZE.1, 20), 667, true)
            .unwrap()
            .expect("a keyframe is not dropped");
        assert!(frame.keyframe, "{codec:?}: the request was heard");
        let image = decoder(codec, FramePool::new())
            .unwrap()
            .decode(&frame.data)
            .unwrap()
            .expect("a picture");
        let quality = psnr_y(&scene(SIZE.0, SIZE.1, 20), &image);

        assert!(
            quality > 25.0,
            "{codec:?}: the picture is recognizable: {quality:.1} dB"
        );
    }
}

#[test]
fn a_stream_entered_in_the_middle_gives_errors_until_a_keyframe() {
    for &codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let stream = encode_scene(&mut *encoder, SIZE, 0..30);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();

        for (number, frame) in &stream[5..] {
            let result = decoder.decode(&frame.data);
            assert!(
                matches!(result, Err(CodecError::Decode(_))),
                "{codec:?}: picture {number} gave {result:?}"
            );
        }

        let keyframe = encoder
            .encode(&scene(SIZE.0, SIZE.1, 30), 1000, true)
            .unwrap()
            .expect("a keyframe");

        assert!(
            decoder.decode(&keyframe.data).unwrap().is_some(),
            "{codec:?}: the keyframe heals the decoder"
        );

        for (_, frame) in encode_scene(&mut *encoder, SIZE, 31..40) {
            assert!(
                decoder.decode(&frame.data).unwrap().is_some(),
                "{codec:?}: the stream goes on"
            );
        }
    }
}

#[test]
fn a_change_of_size_is_a_keyframe_and_keeps_the_bitrate() {
    for &codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 2_000_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        encoder.set_bitrate(400_000);
        let mut number = 0;

        for (width, height) in [SIZE, (320, 180), (1280, 720), (322, 182)] {
            let stream = encode_scene(&mut *encoder, (width, height), number..number + 90);
            assert!(
                stream[0].1.keyframe,
                "{codec:?}: {width}x{height} begins with a keyframe"
            );

            for (_, frame) in &stream {
                let image = decoder.decode(&frame.data).unwrap().expect("a picture");
                assert_eq!(
                    (image.width(), image.height()),
                    (width, height),
                    "{codec:?}: the new size comes through"
                );
            }

            let late = stream.iter().filter(|(at, _)| *at >= number + 60);
            let bps = late.map(|(_, frame)| frame.data.len()).sum::<usize>() * 8;
            assert!(
                bps < 600_000,
                "{codec:?}: {bps} bit/s at {width}x{height}: the bitrate is not the first one"
            );

            number += 90;
        }
    }
}

#[test]
fn the_test_pattern_survives_300_kbps_at_720p() {
    for &codec in CODECS {
        let mut encoder = start(codec, 1280, 720, 300_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let stream = encode_scene(&mut *encoder, (1280, 720), 0..90);
        let mut readable = 0;

        for (number, frame) in &stream {
            let image = decoder.decode(&frame.data).unwrap().expect("a picture");
            if let Some(code) = test_pattern::read(&image) {
                assert_eq!(
                    code.frame, *number,
                    "{codec:?}: a code that reads is the right one"
                );

                readable += 1;
            }
        }

        assert_eq!(
            readable,
            stream.len(),
            "{codec:?}: every picture that was sent is readable"
        );

        assert!(
            stream.len() >= 30,
            "{codec:?}: only {} of 90 pictures were sent",
            stream.len()
        );
    }
}

#[test]
fn a_running_decoder_allocates_no_images() {
    for &codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let mut addresses = HashSet::new();

        for (_, frame) in encode_scene(&mut *encoder, SIZE, 0..60) {
            let image = decoder.decode(&frame.data).unwrap().expect("a picture");
            addresses.insert(image.data().as_ptr() as usize);
        }

        assert_eq!(
            addresses.len(),
            1,
            "{codec:?}: one image is enough for a reader that holds one at a time"
        );
    }
}

#[test]
fn pictures_too_small_or_odd_are_clear() {
    for &codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let refused = encoder.encode(&scene(8, 8, 0), 0, false);
        assert!(
            matches!(refused, Err(CodecError::Encode(_))),
            "{codec:?}: 8x8 is refused"
        );

        let frame = encoder
            .encode(&scene(321, 181, 1), 33, false)
            .unwrap()
            .expect("a keyframe");

        let image = decoder(codec, FramePool::new())
            .unwrap()
            .decode(&frame.data)
            .unwrap()
            .expect("a picture");
        let size = (image.width() & !1, image.height() & !1);
        assert_eq!(
            size,
            (320, 180),
            "{codec:?}: an odd size loses at most the last column and row"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn byte_soup_gives_no_picture_and_no_crash(soup in prop::collection::vec(any::<u8>(), 0..4096)) {
        for &codec in CODECS {
            let mut decoder = decoder(codec, FramePool::new()).unwrap();
            let picture = decoder.decode(&soup).ok().flatten();
            prop_assert!(picture.is_none(), "{:?}: noise is no picture", codec);
        }
    }

    #[test]
    fn a_damaged_stream_never_crashes_and_heals(
        damage in prop::collection::vec((0_usize..12, any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in 0_usize..12,
    ) {
        for &codec in CODECS {
            let mut encoder = start(codec, 320, 180, 500_000);
            let mut stream: Vec<_> =
                encode_scene(&mut *encoder, (320, 180), 0..12).into_iter().map(|(_, frame)| frame.data).collect();

            for (picture, place, byte) in &damage {
                if let Some(data) = stream.get_mut(*picture) {
                    let place = place.index(data.len());
                    data[place] = *byte;
                }
            }

            if let Some(data) = stream.get_mut(cut) {
                data.truncate(data.len() / 2);
            }

            let mut decoder = decoder(codec, FramePool::new()).unwrap();
            for data in &stream {
                // Whatever comes out, it may only be a picture or an error.
                let _ = decoder.decode(data);
            }

            let keyframe = encoder.encode(&scene(320, 180, 12), 400, true).unwrap().expect("a keyframe");
            let picture = decoder.decode(&keyframe.data);
            prop_assert!(matches!(picture, Ok(Some(_))), "{:?}: a keyframe heals: {:?}", codec, picture.map(|_| ()));
        }
    }
}
