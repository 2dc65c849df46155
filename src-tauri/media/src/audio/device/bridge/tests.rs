//! Bridges against simulated devices whose clocks drift against ours: minutes of audio in moments.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]

use std::f64::consts::TAU;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::audio::device::callback::{CaptureCallback, CaptureSink, PlaybackCallback};

const TONE_HZ: f64 = 500.0;
const LEVEL: f64 = 0.5;

/// A simulated device: `rate` frames per second by its own clock, which runs `drift` too fast (a
/// fraction), `period` frames per callback, each callback late by up to `jitter_s`.
#[derive(Debug, Clone, Copy)]
struct SimulatedDevice {
    rate: u32,
    drift: f64,
    period: usize,
    jitter_s: f64,
}

impl SimulatedDevice {
    /// Seconds between two callbacks by our clock.
    fn interval_s(self) -> f64 {
        self.period as f64 / (f64::from(self.rate) * (1.0 + self.drift))
    }

    fn ring(self) -> (Producer<f32>, Consumer<f32>) {
        rtrb::RingBuffer::new((RING_S * f64::from(self.rate)) as usize)
    }
}

/// The result of a simulation.
struct Outcome {
    /// The largest step between two samples after settling.
    step: f32,
    /// The largest delay after settling.
    delay: Duration,
    counts: DeviceCounts,
}

/// The largest step of the tone itself from one sample to the next.
fn steepest(rate: f64) -> f32 {
    (LEVEL * TAU * TONE_HZ / rate) as f32
}

fn largest_step(samples: &[f32], last: &mut f32) -> f32 {
    let mut largest = 0.0f32;
    for sample in samples {
        largest = largest.max((sample - *last).abs());
        *last = *sample;
    }

    largest
}

/// Captures a tone for `seconds`; the first `settling_s` do not count.
fn capture(device: SimulatedDevice, seconds: f64, settling_s: f64) -> Outcome {
    let epoch = Instant::now();
    let mut rng = StdRng::seed_from_u64(7);
    let clock = Arc::new(StreamClock::new(epoch));
    let (producer, consumer) = device.ring();
    let mut callback = CaptureCallback::new(producer, Arc::clone(&clock), 1);
    let mut bridge = CaptureBridge::new(consumer, clock, device.rate).unwrap();
    let (mut captured, mut callbacks) = (0usize, 0u64);
    let mut next_call_s = device.interval_s();
    let mut outcome = Outcome {
        step: 0.0,
        delay: Duration::ZERO,
        counts: DeviceCounts::default(),
    };

    let (mut before, mut last) = (DeviceCounts::default(), 0.0);
    for tick in 0..(seconds / BLOCK_S) as usize {
        let now_s = tick as f64 * BLOCK_S;
        while next_call_s <= now_s {
            let samples: Vec<f32> = (captured..captured + device.period)
                .map(|n| (LEVEL * (TAU * TONE_HZ * n as f64 / f64::from(device.rate)).sin()) as f32)
                .collect();
            callback.run(
                &samples,
                epoch + Duration::from_secs_f64(next_call_s),
                Duration::from_secs_f64(device.interval_s()),
            );
            captured += device.period;
            callbacks += 1;
            next_call_s = (callbacks + 1) as f64 * device.interval_s()
                + rng.random_range(0.0..=device.jitter_s);
        }

        let mut block = [0.0; BLOCK_SAMPLES];
        bridge.pull(epoch + Duration::from_secs_f64(now_s), &mut block);

        let step = largest_step(&block, &mut last);
        if now_s > settling_s {
            outcome.step = outcome.step.max(step);
            outcome.delay = outcome.delay.max(bridge.delay());
        } else {
            before = bridge.counts();
        }
    }

    let after = bridge.counts();
    outcome.counts = DeviceCounts {
        underruns: after.underruns - before.underruns,
        overruns: after.overruns - before.overruns,
        glitches: 0,
    };

    outcome
}

/// Plays a tone for `seconds`; the first `settling_s` do not count.
fn play(device: SimulatedDevice, seconds: f64, settling_s: f64) -> Outcome {
    let epoch = Instant::now();
    let mut rng = StdRng::seed_from_u64(8);
    let clock = Arc::new(StreamClock::new(epoch));
    let (producer, consumer) = device.ring();
    let mut callback = PlaybackCallback::new(consumer, Arc::clone(&clock), 1);
    let mut bridge = PlaybackBridge::new(producer, clock, device.rate).unwrap();
    let mut callbacks = 0u64;
    let mut next_call_s = 0.0;
    let mut outcome = Outcome {
        step: 0.0,
        delay: Duration::ZERO,
        counts: DeviceCounts::default(),
    };

    let (mut before, mut last) = (DeviceCounts::default(), 0.0);
    for tick in 0..(seconds / BLOCK_S) as usize {
        let now_s = tick as f64 * BLOCK_S;
        let block = std::array::from_fn(|n| {
            (LEVEL
                * (TAU * TONE_HZ * (tick * BLOCK_SAMPLES + n) as f64 / f64::from(SAMPLE_RATE))
                    .sin()) as f32
        });

        while next_call_s <= now_s {
            let mut heard = vec![0.0f32; device.period];
            callback.run(
                &mut heard,
                epoch + Duration::from_secs_f64(next_call_s),
                Duration::from_millis(20),
            );

            let step = largest_step(&heard, &mut last);
            if now_s > settling_s {
                outcome.step = outcome.step.max(step);
            }

            callbacks += 1;
            next_call_s =
                callbacks as f64 * device.interval_s() + rng.random_range(0.0..=device.jitter_s);
        }

        bridge.push(epoch + Duration::from_secs_f64(now_s), &block);
        if now_s > settling_s {
            outcome.delay = outcome.delay.max(bridge.delay());
        } else {
            before = bridge.counts();
        }
    }

    let after = bridge.counts();
    outcome.counts = DeviceCounts {
        underruns: after.underruns - before.underruns,
        overruns: after.overruns - before.overruns,
        glitches: 0,
    };

    outcome
}

const DEVICES: [SimulatedDevice; 5] = [
    SimulatedDevice {
        rate: 48_000,
        drift: 0.0,
        period: 960,
        jitter_s: 0.0,
    },
    SimulatedDevice {
        rate: 48_000,
        drift: 200e-6,
        period: 960,
        jitter_s: 0.002,
    },
    SimulatedDevice {
        rate: 44_100,
        drift: -200e-6,
        period: 882,
        jitter_s: 0.002,
    },
    SimulatedDevice {
        rate: 16_000,
        drift: 100e-6,
        period: 1024,
        jitter_s: 0.0,
    },
    SimulatedDevice {
        rate: 96_000,
        drift: -300e-6,
        period: 512,
        jitter_s: 0.001,
    },
];

#[test]
fn captured_audio_has_no_click_in_minutes_of_drift() {
    for device in DEVICES {
        let outcome = capture(device, 180.0, 60.0);
        assert_eq!(
            outcome.counts,
            DeviceCounts::default(),
            "no gap and no cut: {device:?}"
        );

        let limit = steepest(48_000.0) * 1.1;
        assert!(
            outcome.step < limit,
            "the tone stays smooth: a step of {} with {device:?}",
            outcome.step
        );

        let limit = device.interval_s() + 0.030;
        assert!(
            outcome.delay.as_secs_f64() < limit,
            "the delay stays bounded: {:?} with {device:?}",
            outcome.delay
        );
    }
}

#[test]
fn played_audio_has_no_click_in_minutes_of_drift() {
    for device in DEVICES {
        let outcome = play(device, 180.0, 60.0);
        assert_eq!(
            outcome.counts,
            DeviceCounts::default(),
            "no gap and no cut: {device:?}"
        );

        let limit = steepest(f64::from(device.rate)) * 1.1;
        assert!(
            outcome.step < limit,
            "the tone stays smooth: a step of {} with {device:?}",
            outcome.step
        );

        // 20 ms of that are the simulated device's latency.
        let limit = device.interval_s() + 0.050;
        assert!(
            outcome.delay.as_secs_f64() < limit,
            "the delay stays bounded: {:?} with {device:?}",
            outcome.delay
        );
    }
}

#[test]
fn the_margin_grows_until_an_unsteady_device_no_longer_runs_dry() {
    let device = SimulatedDevice {
        rate: 48_000,
        drift: 50e-6,
        period: 960,
        jitter_s: 0.045,
    };

    let early = capture(device, 60.0, 0.5).counts.underruns;
    assert!(
        early > 0,
        "the simulated device is unsteady enough to run dry at first"
    );

    let late = capture(device, 120.0, 60.0).counts.underruns;
    assert!(
        late <= 2,
        "once the margin has grown, it hardly runs dry any more: {late} times in a minute"
    );
}
