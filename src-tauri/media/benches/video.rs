//! The cost of each step of the video path for a 1280x720 frame:
//! `cargo bench -p tandem-media --bench video`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tandem_media::codec::{EncoderConfig, VideoCodec, decoder, encoder};
use tandem_media::frame::{FramePool, I420};
use tandem_media::video::convert::{Converter, PixelFormat};
use tandem_media::video::{scale, test_pattern};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const CONFIG: EncoderConfig = EncoderConfig {
    width: WIDTH,
    height: HEIGHT,
    fps: 30.0,
    bitrate_bps: 1_500_000,
    max_nal_bytes: None,
};
const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];

fn scene(number: u16) -> I420 {
    let mut image = I420::new(WIDTH, HEIGHT);
    test_pattern::draw(&mut image, number, u32::from(number) * 33);
    image
}

fn encoding(criterion: &mut Criterion) {
    let scenes: Vec<I420> = (0..60).map(scene).collect();
    for codec in CODECS {
        let mut encoder = encoder(codec, CONFIG).expect("the encoder starts");
        let mut number = 0_usize;
        criterion.bench_function(&format!("encode/{codec:?}"), |bencher| {
            bencher.iter(|| {
                let frame = encoder.encode(
                    &scenes[number % scenes.len()],
                    number as u64 * 1000 / 30,
                    false,
                );
                number += 1;
                frame.expect("the frame is encoded")
            });
        });
    }
}

fn decoding(criterion: &mut Criterion) {
    for codec in CODECS {
        let mut encoder = encoder(codec, CONFIG).expect("the encoder starts");
        let stream: Vec<_> = (0..60)
            .filter_map(|number| {
                encoder
                    .encode(&scene(number), u64::from(number) * 1000 / 30, false)
                    .expect("the frame is encoded")
            })
            .collect();
        let mut decoder = decoder(codec, FramePool::new()).expect("the decoder starts");
        // The stream repeats, and each repetition starts with its keyframe.
        let mut number = 0_usize;
        criterion.bench_function(&format!("decode/{codec:?}"), |bencher| {
            bencher.iter(|| {
                let image = decoder.decode(&stream[number % stream.len()].data);
                number += 1;
                image.expect("the frame is decoded")
            });
        });
    }
}

fn converting(criterion: &mut Criterion) {
    let pixels = (WIDTH * HEIGHT) as usize;
    let mut image = I420::new(WIDTH, HEIGHT);
    let mut converter = Converter::new();

    for (format, bytes) in [
        (PixelFormat::Yuyv, vec![90; 2 * pixels]),
        (PixelFormat::Nv12, vec![90; 3 * pixels / 2]),
        (PixelFormat::Mjpeg, jpeg()),
    ] {
        criterion.bench_function(&format!("convert/{format:?}"), |bencher| {
            bencher.iter(|| {
                converter
                    .convert(format, black_box(&bytes), &mut image)
                    .expect("it converts");
            });
        });
    }

    let mut smaller = I420::new(640, 360);
    criterion.bench_function("scale/640x360", |bencher| {
        bencher.iter_batched_ref(
            || scene(1),
            |scene| scale::scale(scene, &mut smaller),
            BatchSize::LargeInput,
        );
    });
}

/// The test pattern as a webcam sends it: JPEG with 4:2:2 and quality 85.
fn jpeg() -> Vec<u8> {
    let scene = scene(1);
    let rgb: Vec<u8> = scene
        .planes()
        .0
        .iter()
        .flat_map(|&y| [y, y / 2, 255 - y])
        .collect();
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    compress.set_size(WIDTH as usize, HEIGHT as usize);
    compress.set_quality(85.0);
    compress.set_chroma_sampling_pixel_sizes((2, 1), (2, 1));
    compress.set_fastest_defaults();
    let mut started = compress
        .start_compress(Vec::new())
        .expect("the JPEG starts");
    started.write_scanlines(&rgb).expect("the rows are written");

    started.finish().expect("the JPEG is complete")
}

fn drawing(criterion: &mut Criterion) {
    let mut image = I420::new(WIDTH, HEIGHT);
    let mut number = 0_u16;
    criterion.bench_function("test_pattern/draw", |bencher| {
        bencher.iter(|| {
            number = number.wrapping_add(1);
            test_pattern::draw(&mut image, number, 0);
        });
    });

    criterion.bench_function("test_pattern/read", |bencher| {
        bencher.iter(|| test_pattern::read(black_box(&image)));
    });
}

criterion_group!(benches, encoding, decoding, converting, drawing);
criterion_main!(benches);
