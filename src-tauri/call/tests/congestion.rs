//! Congestion control as a whole: two interceptor chains over simulated links, in virtual time.
//! Each test is a plan (conditions, media, run, check) and runs with four seeds.

use std::time::Duration;

use tandem_call::internals::BitrateBounds;
use tandem_call::simnet::{Conditions, Loss, Pair, PairConfig};

const SEEDS: std::ops::Range<u64> = 1..5;

/// The delay in each direction: half of the round trip.
const ONE_WAY: Duration = Duration::from_millis(25);

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A call whose media takes `link`; feedback comes back over a perfect link with the same delay.
fn call(link: Conditions, bounds: BitrateBounds, seed: u64) -> Pair {
    let paths = [link, Conditions::delayed(link.delay)];
    Pair::new(PairConfig {
        bounds,
        paths,
        both_ways: true,
        seed,
    })
    .expect("the bounds are in order")
}

fn bounds(start_bps: u64, max_bps: u64) -> BitrateBounds {
    BitrateBounds {
        start_bps,
        min_bps: 60_000,
        max_bps,
    }
}

fn megabits(rate: f64) -> u64 {
    (rate * 1e6) as u64
}

fn mean_queue(pair: &Pair, from: Duration, to: Duration) -> f64 {
    let queue: Vec<f64> = pair
        .between(from, to)
        .map(|sample| sample.queue_ms)
        .collect();
    queue.iter().sum::<f64>() / queue.len() as f64
}

fn target(pair: &Pair) -> f64 {
    pair.link_state(0).target_bps() as f64
}

/// The longest time between two packets of the audio that was made from `from` on.
fn longest_audio_gap(pair: &Pair, from: Duration) -> Duration {
    let times: Vec<Duration> = pair
        .received
        .iter()
        .filter(|p| p.audio && p.made >= from)
        .map(|p| p.arrived)
        .collect();

    times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max()
        .expect("audio arrived")
}

#[test]
fn after_a_step_down_the_queue_drains_within_1_5_seconds() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3)),
            bounds(300_000, megabits(5.0)),
            seed,
        );
        pair.run(secs(20.0));
        pair.change(0, |link| link.rate_bps = Some(megabits(1.0)));
        pair.run(secs(20.0));
        let mean = mean_queue(&pair, secs(0.0), secs(40.0));

        assert!(
            mean <= 60.0,
            "seed {seed}: mean queue at most 60 ms, got {mean:.1}"
        );

        let back = pair
            .queue_settles_after(secs(20.0), 100.0)
            .expect("the queue drains")
            - secs(20.0);

        assert!(
            back <= secs(1.5),
            "seed {seed}: under 100 ms within 1.5 s of the step, took {back:?}"
        );

        let used = pair.goodput_bps(secs(23.0), secs(40.0)) / 1e6;
        assert!(
            used >= 0.8,
            "seed {seed}: at least 0.8 Mbit/s of the narrower link, got {used:.2}"
        );
    }
}

#[test]
fn the_estimate_reaches_2_mbit_within_five_seconds() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(4.0), ONE_WAY, secs(0.3)),
            bounds(300_000, megabits(3.0)),
            seed,
        );
        pair.run(secs(5.0));
        assert!(
            target(&pair) >= 2e6,
            "seed {seed}: 0.3 → 2 Mbit/s in 5 s, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_link_that_widens_is_used() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(0.8), ONE_WAY, secs(0.3)),
            bounds(300_000, megabits(2.5)),
            seed,
        );
        pair.run(secs(20.0));
        pair.change(0, |link| link.rate_bps = Some(megabits(2.5)));
        pair.run(secs(20.0));

        assert!(
            target(&pair) >= 1.6e6,
            "seed {seed}: 0.8 → 2.5 Mbit/s, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_narrow_link_is_used_with_a_short_queue_and_steady_audio() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(0.5), ONE_WAY, secs(0.5)),
            bounds(300_000, megabits(2.5)),
            seed,
        );
        pair.run(secs(40.0));
        let used = pair.goodput_bps(secs(10.0), secs(40.0)) / 0.5e6;

        assert!(
            used >= 0.8,
            "seed {seed}: at least 80 % of 500 kbit/s, got {used:.2}"
        );

        let mean = mean_queue(&pair, secs(5.0), secs(40.0));
        assert!(
            mean <= 100.0,
            "seed {seed}: mean queue at most 100 ms, got {mean:.1}"
        );

        let gap = longest_audio_gap(&pair, secs(5.0));
        assert!(
            gap < secs(0.2),
            "seed {seed}: no gap of 200 ms in the audio, longest {gap:?}"
        );
    }
}

#[test]
fn random_loss_does_not_starve_the_call() {
    for (loss, least) in [(0.05, 1.0e6), (0.10, 0.7e6), (0.20, 0.4e6)] {
        for seed in SEEDS {
            let link = Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3))
                .with_loss(Loss::Random(loss));
            let mut pair = call(link, bounds(1_000_000, megabits(2.0)), seed);
            pair.run(secs(30.0));

            assert!(
                target(&pair) >= least,
                "seed {seed}: at loss {loss} at least {least} bit/s, got {}",
                target(&pair)
            );

            let repair = pair.link_state(1).repair();
            let lost = repair.recovered + repair.lost;
            let recovered = repair.recovered as f64 / lost as f64;

            assert!(
                recovered > 0.7,
                "seed {seed}: at loss {loss} NACK repairs most video, got {recovered:.2} of {lost}"
            );
        }
    }
}

#[test]
fn bursts_of_loss_do_not_starve_the_call() {
    for seed in SEEDS {
        let loss = Loss::GilbertElliott {
            to_bad: 0.01,
            to_good: 0.15,
            bad_loss: 0.8,
        };

        let link = Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3)).with_loss(loss);
        let mut pair = call(link, bounds(1_000_000, megabits(2.0)), seed);
        pair.run(secs(30.0));

        assert!(
            target(&pair) >= 0.6e6,
            "seed {seed}: 5 % of loss in bursts, got {}",
            target(&pair)
        );
    }
}

#[test]
fn an_idle_source_neither_raises_nor_lowers_the_estimate_much() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3)),
            bounds(1_000_000, megabits(10.0)),
            seed,
        );
        pair.run(secs(10.0));
        let before = target(&pair);
        pair.video_mut(0).set_active(false);
        pair.run(secs(30.0));
        let idle = target(&pair);

        assert!(
            idle <= before * 1.05,
            "seed {seed}: no evidence for more than {before}, got {idle}"
        );

        assert!(
            idle >= before * 0.5,
            "seed {seed}: no evidence for much less than {before}, got {idle}"
        );

        pair.video_mut(0).set_active(true);
        pair.run(secs(5.0));
        assert!(
            target(&pair) >= before * 0.5,
            "seed {seed}: video resumes near {before}, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_source_that_sends_little_does_not_inflate_the_estimate() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::delayed(ONE_WAY),
            bounds(300_000, megabits(50.0)),
            seed,
        );
        pair.video_mut(0).set_max(250_000);
        pair.run(secs(60.0));

        assert!(
            target(&pair) < 0.7e6,
            "seed {seed}: 0.3 Mbit/s sent justify about 0.45, got {}",
            target(&pair)
        );
    }
}

#[test]
fn after_a_five_second_outage_the_rate_recovers_within_two_seconds() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3)),
            bounds(1_000_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(15.0));
        let before = target(&pair);

        for direction in 0..2 {
            pair.change(direction, |link| link.up = false);
        }

        pair.run(secs(5.0));
        assert!(
            target(&pair) < before / 4.0,
            "seed {seed}: without feedback the rate falls below a quarter of {before}"
        );

        for direction in 0..2 {
            pair.change(direction, |link| link.up = true);
        }

        let audio = time_until_audio(&mut pair, secs(20.0));
        assert!(
            audio <= secs(1.0),
            "seed {seed}: audio is back within a second, took {audio:?}"
        );

        pair.run(secs(2.0) - audio);
        assert!(
            target(&pair) >= before * 0.7,
            "seed {seed}: {before} before the outage, {} two seconds after it",
            target(&pair)
        );
    }
}

/// Runs until audio that was made after `from` arrives. Returns how long after `from` that was.
fn time_until_audio(pair: &mut Pair, from: Duration) -> Duration {
    for _ in 0..200 {
        pair.run(Duration::from_millis(10));
        if pair
            .received
            .iter()
            .any(|packet| packet.audio && packet.made >= from)
        {
            return pair.elapsed() - from;
        }
    }

    panic!("no audio within two seconds");
}

#[test]
fn lost_and_late_feedback_does_not_break_the_estimate() {
    for seed in SEEDS {
        let link = Conditions::bottleneck(megabits(1.5), ONE_WAY, secs(0.3));
        let mut pair = call(link, bounds(600_000, megabits(2.5)), seed);
        pair.change(1, |back| {
            back.loss = Loss::Random(0.2);
            back.jitter = Duration::from_millis(50);
        });

        pair.run(secs(30.0));
        assert!(
            target(&pair) >= 0.45e6,
            "seed {seed}: four fifths of the feedback is enough, got {}",
            target(&pair)
        );

        let mean = mean_queue(&pair, secs(5.0), secs(30.0));
        assert!(
            mean <= 100.0,
            "seed {seed}: the queue is still noticed, mean {mean:.1} ms"
        );
    }
}

#[test]
fn jitter_and_reordering_are_not_mistaken_for_congestion() {
    for seed in SEEDS {
        let link = Conditions {
            jitter: Duration::from_millis(15),
            ..Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3))
        };

        let mut pair = call(
            Conditions {
                reorder: 0.01,
                ..link
            },
            bounds(300_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(30.0));
        assert!(
            target(&pair) >= 0.8e6,
            "seed {seed}: 15 ms of jitter at 2.5 Mbit/s, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_route_that_becomes_longer_does_not_starve_the_call() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), ONE_WAY, secs(0.3)),
            bounds(1_000_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(10.0));
        pair.change(0, |link| link.delay = ONE_WAY * 5);
        pair.run(secs(20.0));

        assert!(
            target(&pair) >= 0.8e6,
            "seed {seed}: 100 ms of extra delay is not a queue, got {}",
            target(&pair)
        );
    }
}
