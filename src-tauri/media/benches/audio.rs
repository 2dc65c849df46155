//! The CPU cost of audio: Opus, the jitter buffer and time stretching. Divide by the duration
//! processed for the share of a core: 100 µs for 10 ms is 1 %.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::f32::consts::TAU;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tandem_media::audio::jitter_buffer::{AudioPacket, JitterBuffer, JitterConfig};
use tandem_media::audio::opus::{
    MAX_PACKET_BYTES, MAX_PACKET_SAMPLES, OpusConfig, OpusDecoder, OpusEncoder,
};
use tandem_media::audio::{BLOCK_SAMPLES, PACKET_SAMPLES, time_stretch};

/// A vowel with syllables: 140 Hz and its harmonics, swelling four times per second.
fn voice(from: usize) -> [i16; PACKET_SAMPLES] {
    std::array::from_fn(|i| {
        let t = (from + i) as f32 / 48_000.0;
        let wave: f32 = (1..10)
            .map(|h| (t * 140.0 * h as f32 * TAU).sin() / h as f32)
            .sum();
        (wave * (0.7 + 0.3 * (t * 4.0 * TAU).sin()) * 4_000.0) as i16
    })
}

fn packets_of_pcm() -> Vec<[i16; PACKET_SAMPLES]> {
    (0..100).map(|n| voice(n * PACKET_SAMPLES)).collect()
}

fn packets() -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("default settings are legal");
    let mut out = [0; MAX_PACKET_BYTES];
    packets_of_pcm()
        .iter()
        .map(|frame| {
            let length = encoder
                .encode(frame, &mut out)
                .expect("the buffer holds any packet");
            out[..length].to_vec()
        })
        .collect()
}

fn opus(criterion: &mut Criterion) {
    let packets_of_pcm = packets_of_pcm();
    let mut encoder = OpusEncoder::new(OpusConfig::default()).expect("default settings are legal");
    let mut out = [0; MAX_PACKET_BYTES];
    let mut next = packets_of_pcm.iter().cycle();
    criterion.bench_function("opus encode, 20 ms", |bencher| {
        bencher.iter(|| encoder.encode(next.next().expect("endless"), &mut out));
    });

    let packets = packets();
    let mut decoder = OpusDecoder::new().expect("memory for a decoder");
    let mut pcm = [0; MAX_PACKET_SAMPLES];
    let mut next = packets.iter().cycle();
    criterion.bench_function("opus decode, 20 ms", |bencher| {
        bencher.iter(|| decoder.decode(next.next().expect("endless"), &mut pcm));
    });

    criterion.bench_function("opus conceal, 10 ms", |bencher| {
        bencher.iter(|| decoder.conceal(&mut pcm[..BLOCK_SAMPLES]));
    });
}

/// One packet in and two blocks out, every 20 ms, with and without loss.
fn jitter_buffer(criterion: &mut Criterion) {
    let packets = packets();
    for (name, lose_every) in [
        ("jitter buffer, 20 ms", u64::MAX),
        ("jitter buffer, 20 ms, 10 % loss", 10),
    ] {
        let mut buffer = JitterBuffer::new(JitterConfig::default()).expect("memory for a decoder");
        let start = Instant::now();
        let mut n = 0u64;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let now = start + Duration::from_millis(n * 20);
                if n % lose_every != lose_every - 1 {
                    let packet = AudioPacket {
                        sequence: n as u16,
                        timestamp: (n * PACKET_SAMPLES as u64) as u32,
                        payload: packets[n as usize % packets.len()].clone(),
                    };

                    buffer.insert(now, packet);
                }

                let mut out = [0; BLOCK_SAMPLES];
                buffer.pull(now + Duration::from_millis(1), &mut out);
                buffer.pull(now + Duration::from_millis(11), &mut out);
                n += 1;

                black_box(out[0])
            });
        });
    }
}

fn stretch(criterion: &mut Criterion) {
    let pcm: Vec<i16> = (0..2).flat_map(|n| voice(n * PACKET_SAMPLES)).collect();
    for (name, change) in [
        (
            "accelerate by one pitch period",
            time_stretch::accelerate as fn(&mut Vec<i16>, f32) -> Option<usize>,
        ),
        ("decelerate by one pitch period", time_stretch::decelerate),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || pcm.clone(),
                |pcm| change(pcm, 0.5),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, opus, jitter_buffer, stretch);
criterion_main!(benches);
