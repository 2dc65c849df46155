//! What packetizing a frame and assembling it again costs.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark chooses its own epoch"
)]

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tandem_call::internals::{
    AssemblerConfig, FrameAssembler, PacketPayload, Packetizer, VideoPacket,
};
use tandem_media::I420;
use tandem_media::codec::{self, EncoderConfig, VideoCodec};
use tandem_media::video::test_pattern;

/// A keyframe of the test pattern: the largest kind of frame in a call, and one that a receiver can
/// start with.
fn keyframe() -> Vec<u8> {
    let config = EncoderConfig {
        width: 1280,
        height: 720,
        fps: 30.0,
        bitrate_bps: 2_500_000,
        max_nal_bytes: None,
    };

    let mut encoder = codec::encoder(VideoCodec::H264, config).expect("openh264 is built in");
    let mut image = I420::new(config.width, config.height);
    test_pattern::draw(&mut image, 0, 0);

    encoder
        .encode(&image, 0, true)
        .expect("the size is legal")
        .expect("a forced keyframe is not dropped")
        .data
}

/// The packets of `payloads`, numbered from `first`.
fn packets(payloads: &[PacketPayload], first: u16, timestamp: u32) -> Vec<VideoPacket> {
    let packet = |(index, payload): (u16, &PacketPayload)| VideoPacket {
        sequence: first.wrapping_add(index),
        timestamp,
        marker: payload.marker,
        payload: payload.data.clone(),
    };

    (0..).zip(payloads).map(packet).collect()
}

fn rtp(c: &mut Criterion) {
    let frame = keyframe();
    let mut packetizer = Packetizer::new(VideoCodec::H264);
    let payloads = packetizer.packetize(frame.clone());
    let mut group = c.benchmark_group("rtp");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function(
        format!("packetize a keyframe of {} packets", payloads.len()),
        |b| {
            b.iter_batched(
                || frame.clone(),
                |frame| black_box(packetizer.packetize(frame)),
                BatchSize::SmallInput,
            );
        },
    );
    let mut assembler = FrameAssembler::new(VideoCodec::H264, AssemblerConfig::default());
    let (now, mut sequence, mut timestamp) = (Instant::now(), 0u16, 0u32);
    group.bench_function("assemble it again", |b| {
        b.iter_batched(
            || {
                let batch = packets(&payloads, sequence, timestamp);
                sequence = sequence.wrapping_add(batch.len() as u16);
                timestamp = timestamp.wrapping_add(3_000);

                batch
            },
            |batch| {
                for packet in batch {
                    assembler.insert(now, packet);
                }

                assert_eq!(
                    assembler.poll_frame().map(|it| it.data.len()),
                    Some(frame.len()),
                    "the frame is whole"
                );
            },
            BatchSize::PerIteration,
        );
    });

    group.finish();
}

criterion_group!(benches, rtp);
criterion_main!(benches);
