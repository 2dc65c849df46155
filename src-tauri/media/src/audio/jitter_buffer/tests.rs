//! Whole streams through simulated networks: minutes in milliseconds, each with a seed.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]

mod rig;

use std::f64::consts::TAU;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rig::{Run, Tone, tone_step};

use super::*;
use crate::audio::opus::{MAX_PACKET_BYTES, OpusConfig, OpusEncoder};
use crate::audio::{BLOCK_SAMPLES, PACKET_SAMPLES};

#[test]
fn timestamps_that_are_a_little_wrong_are_no_loss() {
    let exact = Run::new().stream(0, minutes(1), &mut |_| Some(0.0));
    for error in [
        // Up to 7 samples either way, as after a conversion of clocks.
        (|n| (n.wrapping_mul(7_919) % 15) as i32 - 7) as fn(u32) -> i32,
        // Whole milliseconds, rounded down, from packets of 20.1 ms.
        |n| -((n % 10) as i32 * 4),
        // One sample too many each time.
        |n| n as i32,
    ] {
        let mut run = Run::new();
        run.error = error;
        let stats = run.stream(0, minutes(1), &mut |_| Some(0.0));
        assert_eq!(stats.concealed_ms, exact.concealed_ms, "{stats:?}");
        assert!(
            stats.buffer_ms_p50 <= exact.buffer_ms_p50 + 10,
            "{} ms are held, and {} ms of an exact stream",
            stats.buffer_ms_p50,
            exact.buffer_ms_p50
        );
        let stretched = run
            .kinds
            .iter()
            .filter(|(_, played)| {
                matches!(
                    played.kind,
                    PlayoutKind::Accelerated | PlayoutKind::Decelerated
                )
            })
            .count();
        assert!(stretched < 20, "{stretched} of {} pulls", run.kinds.len());
    }
}

fn minutes(count: u32) -> u32 {
    count * 3_000
}

#[test]
fn a_steady_stream_is_played_completely_with_little_delay() {
    let mut run = Run::new();
    let stats = run.stream(0, minutes(5), &mut |_| Some(40.0));
    println!("steady: {stats:?}");

    assert_eq!(stats.concealed_ms, 0, "nothing is missing");
    assert_eq!(
        (stats.lost, stats.late, stats.duplicates),
        (0, 0, 0),
        "nothing is lost across the sequence wrap"
    );

    assert!(
        stats.buffer_ms_p50 <= 25,
        "a packet waits {} ms",
        stats.buffer_ms_p50
    );

    assert!(
        stats.buffer_ms_mean <= 35,
        "a sample waits {} ms",
        stats.buffer_ms_mean
    );

    assert!(
        run.steepest(0) <= tone_step() * 12 / 10,
        "no click: {}",
        run.steepest(0)
    );
}

/// All lengths that Opus packets have on a call (RFC 6716 §2.1.4, RFC 7587 §4.2).
#[test]
fn packets_of_any_length_are_played_completely() {
    for ms in [10, 20, 40, 60, 80, 100, 120] {
        let mut run = Run::of(48 * ms);
        let mut rng = StdRng::seed_from_u64(ms.into());
        let mut jitter = |_| Some(40.0 + rng.random_range(0.0..5.0));
        let stats = run.stream(0, 60_000 / ms, &mut jitter);
        println!("packets of {ms} ms: {stats:?}");

        assert_eq!((stats.lost, stats.late), (0, 0), "{ms} ms");
        assert!(
            stats.concealed_ms <= 2 * u64::from(ms),
            "{ms} ms: {stats:?}"
        );
        assert!(
            stats.buffer_ms_p50 <= u64::from(ms) + 30,
            "{ms} ms: {stats:?}"
        );
        let steepest = run.steepest(1_000);
        assert!(
            steepest <= tone_step() * 12 / 10,
            "{ms} ms: a click of {steepest}"
        );
    }
}

#[test]
fn a_sound_card_that_pulls_in_bursts_is_served() {
    for burst in [2, 4] {
        let mut run = Run::new();
        run.burst = burst;
        let stats = run.stream(0, minutes(2), &mut |_| Some(40.0));
        println!("bursts of {burst}: {stats:?}");

        assert!(
            stats.concealed_ms <= 80,
            "{burst} pulls at a time conceal {} ms",
            stats.concealed_ms
        );

        assert!(
            stats.buffer_ms_p50 <= 60,
            "packets wait {} ms",
            stats.buffer_ms_p50
        );
    }
}

#[test]
fn uniform_jitter_and_reordering_are_absorbed() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut run = Run::new();
    run.fec = false;
    run.stream(0, minutes(1), &mut |_| {
        Some(50.0 + rng.random_range(-30.0..30.0))
    });

    let before = run.buffer.stats();
    let stats = run.stream(minutes(1), minutes(5), &mut |_| {
        Some(50.0 + rng.random_range(-30.0..30.0))
    });

    println!("jitter 30: {stats:?}");
    assert!(
        stats.concealed_ms - before.concealed_ms <= 240,
        "at most 0.1 % of 4 min is concealed: {} ms",
        stats.concealed_ms
    );

    assert!(
        stats.target_ms <= 85,
        "the spread is 60 ms, the target {} ms",
        stats.target_ms
    );
    assert_eq!(stats.lost, 0, "reordered packets are not lost");
}

#[test]
fn bursts_of_a_busy_access_point_are_absorbed() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut run = Run::new();
    let mut stall_until = 0.0f64;
    let stats = run.stream(0, minutes(5), &mut |n| {
        let sent = f64::from(n) * 20.0;
        if rng.random_bool(0.01) {
            stall_until = sent + rng.random_range(100.0..200.0);
        }

        Some(10.0 + (stall_until - sent).max(0.0) + rng.random_range(0.0..3.0))
    });

    println!("bursts 100-200: {stats:?}");
    assert!(
        stats.concealed_ms <= 3_000,
        "at most 1 % of 5 min is concealed: {} ms",
        stats.concealed_ms
    );

    assert!(
        (100..=250).contains(&stats.target_ms),
        "the target covers a burst: {} ms",
        stats.target_ms
    );
}

#[test]
fn fec_restores_most_of_random_loss() {
    for (percent, seed) in [(5, 3), (10, 4), (20, 5)] {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut run = Run::new();
        let mut lost = 0u64;
        let stats = run.stream(0, minutes(5), &mut |_| {
            if rng.random_bool(f64::from(percent) / 100.0) {
                lost += 1;
                return None;
            }

            Some(20.0 + rng.random_range(0.0..5.0))
        });

        println!("loss {percent} %: {stats:?}");
        assert!(
            stats.lost.abs_diff(lost) <= 3,
            "{lost} packets were lost, {} were counted",
            stats.lost
        );

        assert!(
            stats.concealed_ms <= lost * 20 / 2,
            "{percent} %: of {} ms lost, {} concealed",
            lost * 20,
            stats.concealed_ms
        );

        assert!(
            stats.recovered_by_fec * 2 >= lost,
            "FEC restores at least half of {lost} packets: {}",
            stats.recovered_by_fec
        );
    }
}

#[test]
fn without_fec_loss_is_concealed_once_and_costs_no_delay() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut run = Run::new();
    run.fec = false;
    let mut lost = 0u64;
    let stats = run.stream(0, minutes(5), &mut |_| {
        let gone = rng.random_bool(0.1);
        lost += u64::from(gone);
        (!gone).then_some(20.0)
    });

    println!("no fec: {stats:?}");
    assert!(
        stats.concealed_ms.abs_diff(lost * 20) <= lost,
        "{} ms lost, {} concealed",
        lost * 20,
        stats.concealed_ms
    );

    assert!(
        stats.buffer_ms_p95 <= 45,
        "loss does not add delay: {} ms",
        stats.buffer_ms_p95
    );
}

#[test]
fn drifting_clocks_neither_starve_nor_flood_the_buffer() {
    for skew in [200e-6, -200e-6] {
        let mut run = Run::new();
        run.skew = skew;
        let stats = run.stream(0, minutes(10), &mut |_| Some(30.0));
        println!("skew {skew}: {stats:?}");

        assert_eq!(
            stats.concealed_ms, 0,
            "the buffer does not starve at {skew}"
        );
        assert!(
            stats.buffer_ms_p95 <= 40,
            "the delay does not grow at {skew}: {} ms",
            stats.buffer_ms_p95
        );

        let corrected = if skew > 0.0 {
            stats.decelerated_ms
        } else {
            stats.accelerated_ms
        };

        assert!(
            (100..=160).contains(&corrected),
            "10 min × 200 ppm = 120 ms, corrected {corrected}"
        );

        assert!(
            run.steepest(0) <= tone_step() * 12 / 10,
            "no click: {}",
            run.steepest(0)
        );
    }
}

#[test]
fn a_falling_delay_is_followed_within_seconds() {
    let mut run = Run::new();
    run.stream(0, minutes(1), &mut |_| Some(250.0));
    run.stream(minutes(1), minutes(1) + 150, &mut |_| Some(30.0));
    let heard: Vec<f64> = (0..20)
        .filter_map(|i| {
            let (at, playout) = run.kinds[run.kinds.len() - 1 - i];
            let timestamp = playout.rtp_timestamp?;
            Some(at - f64::from(timestamp.wrapping_sub(run.first_timestamp)) / 48.0)
        })
        .collect();
    let latest = heard.iter().copied().fold(0.0, f64::max);
    println!("step down: {latest:.0} ms, {:?}", run.buffer.stats());

    assert!(
        latest <= 75.0,
        "3 s after the step from 250 to 30 ms audio is heard {latest:.0} ms after it was sent"
    );
}

#[test]
fn after_an_outage_audio_is_back_at_once() {
    for queued in [false, true] {
        let mut run = Run::new();
        run.stream(0, 500, &mut |_| Some(30.0));
        // 5 s without arrivals: the network loses them all, or delivers them all at the end.
        let stats = run.stream(500, 1_000, &mut |n| match n {
            500..750 if queued => Some(f64::from(750 - n) * 20.0 + 30.0),
            500..750 => None,
            _ => Some(30.0),
        });

        let back = run
            .kinds
            .iter()
            .find(|(at, playout)| *at > 15_030.0 && playout.rtp_timestamp.is_some())
            .map(|(at, _)| at - 15_030.0);
        println!("outage, queued {queued}: back after {back:?} ms, {stats:?}");
        assert!(
            back.is_some_and(|ms| ms <= 200.0),
            "audio is back {back:?} ms after the network"
        );

        let (at, playout) = run.kinds[run.kinds.len() - 1];
        let heard = playout
            .rtp_timestamp
            .map(|t| at - f64::from(t.wrapping_sub(run.first_timestamp)) / 48.0);

        let accounted = stats.lost + stats.discarded;
        assert!(
            accounted.abs_diff(250) <= 3,
            "250 packets were not played, {accounted} are accounted for"
        );

        assert!(
            heard.is_some_and(|ms| ms < 150.0),
            "playback is live, not {heard:?} ms behind"
        );
    }
}

#[test]
fn a_silent_sender_is_not_loss() {
    let mut run = Run::new();
    let mut sent = 0;
    // One second of talk and one of pause with a refresh every 400 ms; the sequence numbers do not
    // jump.
    let mut sequence = vec![None; minutes(2) as usize];

    for n in 0..minutes(2) {
        let phase = n % 100;
        if phase < 50 || phase % 20 == 0 {
            sequence[n as usize] = Some(sent);
            sent += 1;
        }
    }

    let start = run.start;
    let mut stalls = 0;

    for n in 0..minutes(2) {
        let at = start + Duration::from_millis(u64::from(n) * 20);
        if let Some(sequence) = sequence[n as usize] {
            run.buffer.insert(
                at,
                AudioPacket {
                    sequence,
                    timestamp: n * 960,
                    payload: Tone::packet(i64::from(n) * 960, false),
                },
            );
        }

        for half in 0..2 {
            let mut out = [0; BLOCK_SAMPLES];
            let playout = run
                .buffer
                .pull(at + Duration::from_millis(5 + half * 10), &mut out);
            let talking = (5..45).contains(&(n % 100)) && n > 100;
            stalls += u32::from(talking && playout.rtp_timestamp.is_none());
        }
    }

    let stats = run.buffer.stats();
    println!("dtx: {stats:?}");
    assert_eq!(stats.lost, 0, "no packet is missing");
    assert_eq!(stalls, 0, "talk is played completely");
    assert!(
        stats.dtx_ms > 40_000,
        "the pauses count as DTX: {} ms",
        stats.dtx_ms
    );

    assert!(
        stats.concealed_ms < 3_000,
        "the pauses do not count as loss: {} ms",
        stats.concealed_ms
    );
}

#[test]
fn duplicates_late_packets_and_restarts_are_counted() {
    let mut run = Run::new();
    run.fec = false;
    run.stream(0, 500, &mut |_| Some(20.0));
    let now = run.start + Duration::from_secs(10);
    let old = AudioPacket {
        sequence: run.first_sequence.wrapping_add(495),
        timestamp: 0,
        payload: vec![0; 9],
    };

    run.buffer.insert(now, old);
    assert_eq!(
        run.buffer.stats().duplicates,
        1,
        "packet 495 had been played"
    );
    run.stream(500, 1_000, &mut |n| {
        Some(if n == 700 { 400.0 } else { 20.0 })
    });

    let stats = run.buffer.stats();
    assert_eq!(
        (stats.late, stats.lost),
        (1, 0),
        "one packet arrived too late"
    );

    // The same sender starts over with other numbers.
    run.first_sequence = run.first_sequence.wrapping_add(20_000);
    run.first_timestamp = run.first_timestamp.wrapping_add(1 << 30);
    run.stream(1_000, 1_100, &mut |_| Some(20.0));
    let real = run.kinds[run.kinds.len() - 150..]
        .iter()
        .filter(|(_, playout)| playout.rtp_timestamp.is_some());

    assert!(real.count() >= 148, "the restarted stream is heard");
    run.buffer.reset();
    let mut out = [1; BLOCK_SAMPLES];
    let playout = run.buffer.pull(now + Duration::from_secs(20), &mut out);

    assert_eq!(
        (playout.kind, out),
        (PlayoutKind::Silence, [0; BLOCK_SAMPLES]),
        "a reset buffer is silent until the new sender's first packet"
    );
}

#[test]
fn lip_sync_can_request_more_delay_and_release_it() {
    let mut run = Run::new();
    run.stream(0, 500, &mut |_| Some(20.0));
    run.buffer.set_minimum_delay(Duration::from_millis(120));
    let delay = |run: &Run<Tone>| {
        let (at, playout) = run.kinds[run.kinds.len() - 1];
        at - 20.0
            - f64::from(
                playout
                    .rtp_timestamp
                    .expect("audio was played")
                    .wrapping_sub(run.first_timestamp),
            ) / 48.0
    };

    run.stream(500, 1_000, &mut |_| Some(20.0));
    assert!(
        (105.0..150.0).contains(&delay(&run)),
        "audio is delayed by 120 ms: {:.0}",
        delay(&run)
    );

    run.buffer.set_minimum_delay(Duration::ZERO);
    run.stream(1_000, 1_500, &mut |_| Some(20.0));
    assert!(
        delay(&run) < 45.0,
        "audio is no longer delayed: {:.0}",
        delay(&run)
    );
    assert_eq!(
        run.buffer.stats().concealed_ms,
        0,
        "the delay changed by stretching alone"
    );
    assert!(
        run.steepest(0) <= tone_step() * 12 / 10,
        "no click: {}",
        run.steepest(0)
    );
}

#[test]
fn opus_through_loss_and_jitter_has_no_quiet_gaps() {
    let config = OpusConfig {
        expected_loss_percent: 10,
        dtx: false,
        ..OpusConfig::default()
    };

    let mut encoder = OpusEncoder::new(config).expect("an encoder");
    let packets: Vec<Vec<u8>> = (0..3_000)
        .map(|n| {
            let pcm: [i16; PACKET_SAMPLES] = std::array::from_fn(|i| {
                let t = (n * PACKET_SAMPLES + i) as f64 / 48_000.0;
                let syllables = 0.6 + 0.4 * (t * 4.0 * TAU).sin();
                let wave: f64 = (1..10)
                    .map(|h| (t * 140.0 * f64::from(h) * TAU).sin() / f64::from(h))
                    .sum();

                (wave * syllables * 4_000.0) as i16
            });

            let mut out = [0; MAX_PACKET_BYTES];
            let length = encoder.encode(&pcm, &mut out).expect("a packet");
            out[..length].to_vec()
        })
        .collect();
    let mut rng = StdRng::seed_from_u64(7);
    let mut run = Run::over(OpusDecoder::new().expect("a decoder"));
    let mut lost = 0u64;
    let stats = run.stream_of(
        0,
        3_000,
        &mut |_| {
            let gone = rng.random_bool(0.1);
            lost += u64::from(gone);
            (!gone).then(|| 20.0 + rng.random_range(0.0..15.0))
        },
        &mut |n| packets[n as usize].clone(),
    );
    println!("opus: {stats:?}");

    assert!(
        stats.concealed_ms <= lost * 10,
        "{} ms lost, {} concealed",
        lost * 20,
        stats.concealed_ms
    );

    let quiet = run.played[48_000..]
        .chunks(960)
        .filter(|block| {
            block.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 960.0 < 300f64.powi(2)
        })
        .count();
    assert!(
        quiet <= 15,
        "of 2,950 stretches of 20 ms, {quiet} are quiet"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_packets_neither_panic_nor_accumulate(
        packets in proptest::collection::vec(
            (
                any::<u16>(),
                any::<u32>(),
                proptest::collection::vec(any::<u8>(), 0..40),
                0u64..60,
                any::<bool>(),
            ),
            1..400,
        ),
    ) {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(JitterConfig::default()).expect("a buffer");
        let mut ms = 0;
        let (mut sequence, mut timestamp) = (0u16, 0u32);

        for (any_sequence, any_timestamp, payload, step, sane) in packets {
            ms += step;
            let now = start + Duration::from_millis(ms);
            sequence = if sane {
                sequence.wrapping_add(1 + any_sequence % 3)
            } else {
                any_sequence
            };
            timestamp = if sane { timestamp.wrapping_add(960) } else { any_timestamp };
            buffer.insert(now, AudioPacket { sequence, timestamp, payload });

            for _ in 0..step / 10 {
                buffer.pull(now, &mut [0; BLOCK_SAMPLES]);
            }

            prop_assert!(buffer.store.len() <= packets::MAX_PACKETS, "packets are bounded");
            prop_assert!(
                buffer.pending.len() <= 3 * MAX_PACKET_SAMPLES,
                "samples are bounded: {}",
                buffer.pending.len()
            );
        }

        for n in 0..100 {
            // No sound has this value in every sample, not even one that is clipped.
            let mut out = [12_345; BLOCK_SAMPLES];
            buffer.pull(start + Duration::from_millis(ms + n * 10), &mut out);
            prop_assert!(out.iter().any(|&sample| sample != 12_345), "the block is filled");
        }
    }
}
