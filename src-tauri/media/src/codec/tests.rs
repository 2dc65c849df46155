//! What every codec must do, regardless of the library behind it.

use std::collections::HashSet;

use proptest::prelude::*;

use super::testing::{encode_scene, psnr_y, scene, start};
use super::{CodecError, VideoCodec, decoder};
use crate::frame::FramePool;
use crate::video::test_pattern;

const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
const SIZE: (u32, u32) = (640, 360);

#[test]
fn moving_video_keeps_34_db_at_1_5_mbps() {
    for codec in CODECS {
        let mut encoder = start(codec, 1280, 720, 1_500_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let stream = encode_scene(&mut *encoder, (1280, 720), 0..60);

        assert!(
            stream.len() >= 57,
            "{codec:?}: rate control dropped {} of 60 frames",
            60 - stream.len()
        );

        let quality: Vec<f64> = stream
            .iter()
            .map(|(number, frame)| {
                let image = decoder
                    .decode(&frame.data)
                    .unwrap()
                    .expect("each frame comes out at once");
                psnr_y(&scene(1280, 720, *number), &image)
            })
            .collect();

        let mean = quality[10..].iter().sum::<f64>() / (quality.len() - 10) as f64;
        assert!(
            mean >= 34.0,
            "{codec:?}: PSNR-Y is {mean:.1} dB after the first 10 frames: {quality:.1?}"
        );
    }
}

#[test]
fn the_bitrate_follows_within_two_seconds() {
    for codec in CODECS {
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
fn a_forced_keyframe_decodes_alone() {
    for codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let stream = encode_scene(&mut *encoder, SIZE, 0..20);
        assert!(
            stream[0].1.keyframe,
            "{codec:?}: a stream starts with a keyframe"
        );

        assert!(
            stream[1..].iter().all(|(_, frame)| !frame.keyframe),
            "{codec:?}: later keyframes come only on request"
        );

        let frame = encoder
            .encode(&scene(SIZE.0, SIZE.1, 20), 667, true)
            .unwrap()
            .expect("a keyframe is not dropped");
        assert!(frame.keyframe, "{codec:?}: the requested keyframe");

        let image = decoder(codec, FramePool::new())
            .unwrap()
            .decode(&frame.data)
            .unwrap()
            .expect("a frame");
        let quality = psnr_y(&scene(SIZE.0, SIZE.1, 20), &image);

        assert!(
            quality > 25.0,
            "{codec:?}: the frame is recognizable: {quality:.1} dB"
        );
    }
}

#[test]
fn joining_a_stream_in_the_middle_gives_errors_until_a_keyframe() {
    for codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let stream = encode_scene(&mut *encoder, SIZE, 0..30);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();

        for (number, frame) in &stream[5..] {
            let result = decoder.decode(&frame.data);
            assert!(
                matches!(result, Err(CodecError::Decode(_))),
                "{codec:?}: frame {number} gave {result:?}"
            );
        }

        let keyframe = encoder
            .encode(&scene(SIZE.0, SIZE.1, 30), 1000, true)
            .unwrap()
            .expect("a keyframe");

        assert!(
            decoder.decode(&keyframe.data).unwrap().is_some(),
            "{codec:?}: the keyframe recovers the decoder"
        );

        for (_, frame) in encode_scene(&mut *encoder, SIZE, 31..40) {
            assert!(
                decoder.decode(&frame.data).unwrap().is_some(),
                "{codec:?}: the stream continues"
            );
        }
    }
}

#[test]
fn a_size_change_sends_a_keyframe_and_keeps_the_bitrate() {
    for codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 2_000_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        encoder.set_bitrate(400_000);
        let mut number = 0;

        for (width, height) in [SIZE, (320, 180), (1280, 720), (322, 182)] {
            let stream = encode_scene(&mut *encoder, (width, height), number..number + 90);
            assert!(
                stream[0].1.keyframe,
                "{codec:?}: {width}x{height} starts with a keyframe"
            );

            for (_, frame) in &stream {
                let image = decoder.decode(&frame.data).unwrap().expect("a frame");
                assert_eq!(
                    (image.width(), image.height()),
                    (width, height),
                    "{codec:?}: the decoded size"
                );
            }

            let late = stream.iter().filter(|(at, _)| *at >= number + 60);
            let bps = late.map(|(_, frame)| frame.data.len()).sum::<usize>() * 8;
            assert!(
                bps < 600_000,
                "{codec:?}: {bps} bit/s at {width}x{height}: not the initial bitrate again"
            );

            number += 90;
        }
    }
}

#[test]
fn the_test_pattern_stays_readable_at_300_kbps_and_720p() {
    for codec in CODECS {
        let mut encoder = start(codec, 1280, 720, 300_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let stream = encode_scene(&mut *encoder, (1280, 720), 0..90);
        let mut readable = 0;

        for (number, frame) in &stream {
            let image = decoder.decode(&frame.data).unwrap().expect("a frame");
            if let Some(code) = test_pattern::read(&image) {
                assert_eq!(
                    code.frame, *number,
                    "{codec:?}: a readable code has the right number"
                );

                readable += 1;
            }
        }

        assert_eq!(
            readable,
            stream.len(),
            "{codec:?}: every frame that was sent is readable"
        );

        assert!(
            stream.len() >= 30,
            "{codec:?}: only {} of 90 frames were sent",
            stream.len()
        );
    }
}

#[test]
fn frames_that_are_too_large_never_reach_the_decoder() {
    let sps = super::sps::testing::sps;
    let keyframe = encode_scene(
        &mut *start(VideoCodec::H264, 320, 180, 500_000),
        (320, 180),
        0..1,
    );
    let keyframe = &keyframe[0].1.data;
    let mut decoder = decoder(VideoCodec::H264, FramePool::new()).unwrap();
    assert!(decoder.decode(keyframe).unwrap().is_some());

    for (width, height, references) in [(256, 144, 16), (240, 135, 16)] {
        let data = [
            vec![0, 0, 0, 1],
            sps(width, height, references),
            keyframe.clone(),
        ]
        .concat();
        let refused = decoder.decode(&data);
        let Err(CodecError::Decode(reason)) = &refused else {
            panic!("{width}x{height} macroblocks: {refused:?}");
        };
        assert!(reason.contains("too large"), "{reason}");
    }

    assert!(
        decoder.decode(keyframe).unwrap().is_some(),
        "others still do"
    );
}

#[test]
fn a_running_decoder_reuses_its_buffers() {
    for codec in CODECS {
        let mut encoder = start(codec, SIZE.0, SIZE.1, 800_000);
        let mut decoder = decoder(codec, FramePool::new()).unwrap();
        let mut addresses = HashSet::new();

        for (_, frame) in encode_scene(&mut *encoder, SIZE, 0..60) {
            let image = decoder.decode(&frame.data).unwrap().expect("a frame");
            addresses.insert(image.data().as_ptr() as usize);
        }

        assert_eq!(
            addresses.len(),
            1,
            "{codec:?}: one buffer is enough for a reader that holds one frame at a time"
        );
    }
}

#[test]
fn tiny_frames_are_refused_and_odd_sizes_lose_at_most_one_line() {
    for codec in CODECS {
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
            .expect("a frame");
        let size = (image.width() & !1, image.height() & !1);
        assert_eq!(
            size,
            (320, 180),
            "{codec:?}: an odd size loses at most the last column and row"
        );
    }
}

/// Frames of three sizes, as three encoders made them.
fn streams(codec: VideoCodec) -> Vec<Vec<Vec<u8>>> {
    let encode = |size: (u32, u32)| {
        let mut encoder = start(codec, size.0, size.1, 500_000);
        let stream = encode_scene(&mut *encoder, size, 0..6);
        stream.into_iter().map(|(_, frame)| frame.data).collect()
    };

    [(320, 180), (64, 48), (640, 96)].map(encode).into()
}

/// A part of a frame of one of the streams, with damage.
#[derive(Debug, Clone)]
struct Piece {
    stream: usize,
    frame: prop::sample::Index,
    from: prop::sample::Index,
    to: prop::sample::Index,
    whole: bool,
    /// Where to change a byte, and by which bits.
    damage: Vec<(prop::sample::Index, u8)>,
    with_noise: bool,
    ends_frame: bool,
}

impl Piece {
    fn append(&self, streams: &[Vec<Vec<u8>>], noise: &[u8], data: &mut Vec<u8>) {
        let frame = self.frame.get(&streams[self.stream]);
        let (a, b) = (self.from.index(frame.len()), self.to.index(frame.len()));
        let range = if self.whole {
            0..frame.len()
        } else {
            a.min(b)..a.max(b)
        };

        let mut part = frame[range].to_vec();
        for (at, bits) in &self.damage {
            if !part.is_empty() {
                let at = at.index(part.len());
                part[at] ^= bits;
            }
        }

        data.append(&mut part);
        if self.with_noise {
            data.extend_from_slice(noise);
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    (
        (0_usize..3, any::<prop::sample::Index>()),
        any::<(prop::sample::Index, prop::sample::Index)>(),
        prop::bool::weighted(0.7),
        prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.8),
    )
        .prop_map(
            |((stream, frame), (from, to), whole, damage, with_noise, ends_frame)| Piece {
                stream,
                frame,
                from,
                to,
                whole,
                damage,
                with_noise,
                ends_frame,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streams_put_together_from_pieces_never_crash(
        pieces in prop::collection::vec(piece(), 1..40),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for codec in CODECS {
            let streams = streams(codec);
            let mut decoder = decoder(codec, FramePool::new()).unwrap();
            let mut data = Vec::new();

            for piece in &pieces {
                piece.append(&streams, &noise, &mut data);
                if piece.ends_frame {
                    // Both a frame and an error are fine; a crash is not.
                    let _ = decoder.decode(&std::mem::take(&mut data));
                }
            }

            let keyframe = &streams[0][0];
            let decoded = decoder.decode(keyframe).map(|frame| frame.is_some());
            prop_assert!(
                matches!(decoded, Ok(true)),
                "{:?}: a keyframe recovers the decoder: {:?}", codec, decoded
            );
        }
    }

    #[test]
    fn a_damaged_stream_never_crashes_and_recovers_at_a_keyframe(
        damage in prop::collection::vec((0_usize..12, any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in 0_usize..12,
    ) {
        for codec in CODECS {
            let mut encoder = start(codec, 320, 180, 500_000);
            let mut stream: Vec<_> = encode_scene(&mut *encoder, (320, 180), 0..12)
                .into_iter()
                .map(|(_, frame)| frame.data)
                .collect();

            for (frame, at, byte) in &damage {
                if let Some(data) = stream.get_mut(*frame) {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
            }

            if let Some(data) = stream.get_mut(cut) {
                data.truncate(data.len() / 2);
            }

            let mut decoder = decoder(codec, FramePool::new()).unwrap();
            for data in &stream {
                // Both a frame and an error are fine; a crash is not.
                let _ = decoder.decode(data);
            }

            let keyframe = encoder.encode(&scene(320, 180, 12), 400, true).unwrap().expect("a keyframe");
            let decoded = decoder.decode(&keyframe.data);
            prop_assert!(
                matches!(decoded, Ok(Some(_))),
                "{:?}: a keyframe recovers the decoder: {:?}", codec, decoded.map(|_| ())
            );
        }
    }
}
