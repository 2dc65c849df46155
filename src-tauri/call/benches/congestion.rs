//! What congestion control costs per packet: the pacer alone, the estimator alone, and both whole
//! interceptor chains of a call.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark chooses its own epoch"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rtc::interceptor::{BandwidthEstimator, PacketReport};
use tandem_call::internals::{
    Bitrate, BitrateBounds, Class, Estimator, LinkState, Pacer, PacerConfig,
};
use tandem_call::simnet::{Conditions, Pair, PairConfig};

/// Packets per iteration.
const BATCH: u32 = 20;

fn pacer(c: &mut Criterion) {
    let mut group = c.benchmark_group("pacer");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let rate = Bitrate::from_bps(5e6);
    let (mut pacer, mut now) = (Pacer::new(PacerConfig::default(), rate), Instant::now());
    group.bench_function("20 packets in and out", |b| {
        b.iter(|| {
            for i in 0..BATCH {
                pacer.enqueue(
                    now,
                    if i % 5 == 0 {
                        Class::Audio
                    } else {
                        Class::Video
                    },
                    1200,
                    i,
                );
            }

            while pacer.next_release().is_some() {
                now += Duration::from_millis(1);
                while let Some(packet) = pacer.poll(now) {
                    black_box(packet);
                }
            }
        });
    });

    group.finish();
}

fn estimator(c: &mut Criterion) {
    let mut group = c.benchmark_group("estimator");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let bounds = BitrateBounds::default();
    let link = LinkState::new(Bitrate::from_bps(bounds.start_bps as f64));
    let mut estimator = Estimator::new(bounds, Arc::new(link));
    let (start, mut sent) = (Instant::now(), 0_u64);
    group.bench_function("feedback on 20 packets", |b| {
        b.iter(|| {
            let reports: Vec<PacketReport> = (0..u64::from(BATCH))
                .map(|i| report(start, sent + i))
                .collect();
            sent += u64::from(BATCH);
            let now =
                start + Duration::from_micros(2_500) * u32::try_from(sent % 1_000_000).unwrap_or(0);
            estimator.on_reports(now, &reports);

            black_box(estimator.target_bitrate())
        });
    });

    group.finish();
}

/// The report on packet `id`: one every 2.5 ms, of which one in fifty is lost.
fn report(start: Instant, id: u64) -> PacketReport {
    let departure = Duration::from_micros(2_500 * id);
    PacketReport {
        ssrc: 1,
        id,
        rtp_sequence_number: id as u16,
        is_twcc: true,
        twcc_sequence_number: id as u16,
        size: 1200,
        arrived: !id.is_multiple_of(50),
        departure: start + departure,
        arrival: (!id.is_multiple_of(50)).then_some(departure + Duration::from_millis(20)),
        ecn: Default::default(),
    }
}

fn chains(c: &mut Criterion) {
    let mut group = c.benchmark_group("both chains");
    group.sample_size(10);
    let delay = Duration::from_millis(25);
    let path = Conditions::bottleneck(2_500_000, delay, Duration::from_millis(300));
    let bounds = BitrateBounds {
        start_bps: 2_000_000,
        min_bps: 60_000,
        max_bps: 2_000_000,
    };

    group.bench_function("10 s of call at 2 Mbit/s both ways", |b| {
        b.iter(|| {
            let config = PairConfig {
                bounds,
                paths: [path; 2],
                both_ways: true,
                seed: 1,
            };

            let mut pair = Pair::new(config).expect("the bounds are in order");
            pair.run(Duration::from_secs(10));
            black_box(pair.received.len())
        });
    });

    group.finish();
}

criterion_group!(benches, pacer, estimator, chains);
criterion_main!(benches);
