//! Congestion control as a whole: two interceptor chains over simulated links, in virtual time. Each test is a plan:
//! conditions, media, run, check.

use std::time::Duration;

use tandem_call::congestion::LinkConfig;
use tandem_call::simnet::{Conditions, Loss, Pair, PairConfig};

const SEEDS: std::ops::Range<u64> = 1..5;
const WAY: Duration = Duration::from_millis(25);

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A call over `path` with a clean way back of the same delay.
fn call(path: Conditions, bounds: LinkConfig, seed: u64) -> Pair {
    let paths = [path, Conditions::delayed(path.delay)];
    Pair::new(PairConfig {
        bounds,
        paths,
        both_ways: true,
        seed,
    })
    .expect("the bounds are in order")
}

fn bounds(start_bps: u64, max_bps: u64) -> LinkConfig {
    LinkConfig {
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

/// The longest time without a fresh packet of audio, made from `from` on.
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
fn a_step_down_drains_within_a_second_and_a_half() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)),
            bounds(300_000, megabits(5.0)),
            seed,
        );
        pair.run(secs(20.0));
        pair.change(0, |path| path.rate_bps = Some(megabits(1.0)));
        pair.run(secs(20.0));
        let mean = mean_queue(&pair, secs(0.0), secs(40.0));

        assert!(
            mean <= 60.0,
            "seed {seed}: average queue at most 60 ms, got {mean:.1}"
        );

        let back = pair
            .calm_after(secs(20.0), 100.0)
            .expect("the queue drains")
            - secs(20.0);

        assert!(
            back <= secs(1.5),
            "seed {seed}: under 100 ms within 1.5 s of the step, took {back:?}"
        );

        let used = pair.goodput_bps(secs(23.0), secs(40.0)) / 1e6;
        assert!(
            used >= 0.8,
            "seed {seed}: the narrower link is used, got {used:.2}"
        );
    }
}

#[test]
fn a_wide_link_is_found_within_five_seconds() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(4.0), WAY, secs(0.3)),
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
fn a_link_that_widens_is_used_again() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(0.8), WAY, secs(0.3)),
            bounds(300_000, megabits(2.5)),
            seed,
        );
        pair.run(secs(20.0));
        pair.change(0, |path| path.rate_bps = Some(megabits(2.5)));
        pair.run(secs(20.0));

        assert!(
            target(&pair) >= 1.6e6,
            "seed {seed}: 0.8 → 2.5 Mbit/s, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_narrow_link_is_used_without_a_queue_and_audio_flows() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(0.5), WAY, secs(0.5)),
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
            "seed {seed}: at most 100 ms of added queue, got {mean:.1}"
        );

        let gap = longest_audio_gap(&pair, secs(5.0));
        assert!(
            gap < secs(0.2),
            "seed {seed}: audio is never starved, longest gap {gap:?}"
        );
    }
}

#[test]
fn random_loss_does_not_starve_the_call() {
    for (loss, least) in [(0.05, 1.0e6), (0.10, 0.7e6), (0.20, 0.4e6)] {
        for seed in SEEDS {
            let path =
                Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)).with_loss(Loss::Random(loss));
            let mut pair = call(path, bounds(1_000_000, megabits(2.0)), seed);
            pair.run(secs(30.0));

            assert!(
                target(&pair) >= least,
                "seed {seed}: {loss} of loss, at least {least}, got {}",
                target(&pair)
            );

            let repair = pair.link_state(1).repair();
            let lost = repair.recovered + repair.lost;
            let recovered = repair.recovered as f64 / lost as f64;

            assert!(
                recovered > 0.7,
                "seed {seed}: NACK repairs video at {loss} of loss, {recovered:.2} of {lost}"
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

        let path = Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)).with_loss(loss);
        let mut pair = call(path, bounds(1_000_000, megabits(2.0)), seed);
        pair.run(secs(30.0));

        assert!(
            target(&pair) >= 0.6e6,
            "seed {seed}: 5 % in bursts, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_source_that_idles_neither_inflates_nor_kills_the_estimate() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)),
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
            "seed {seed}: nothing proves more than {before}, got {idle}"
        );

        assert!(
            idle >= before * 0.5,
            "seed {seed}: nothing speaks against {before}, got {idle}"
        );

        pair.video_mut(0).set_active(true);
        pair.run(secs(5.0));
        assert!(
            target(&pair) >= before * 0.5,
            "seed {seed}: the picture returns at {before}, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_source_that_sends_little_does_not_run_the_estimate_away() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::delayed(WAY),
            bounds(300_000, megabits(50.0)),
            seed,
        );
        pair.video_mut(0).set_max(250_000);
        pair.run(secs(60.0));

        assert!(
            target(&pair) < 0.7e6,
            "seed {seed}: 0.3 Mbit/s on the wire prove 0.45, got {}",
            target(&pair)
        );
    }
}

#[test]
fn after_an_outage_of_five_seconds_the_rate_is_back_within_two() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)),
            bounds(1_000_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(15.0));
        let before = target(&pair);

        for direction in 0..2 {
            pair.change(direction, |path| path.up = false);
        }

        pair.run(secs(5.0));
        assert!(
            target(&pair) < before / 4.0,
            "seed {seed}: nobody sends at full rate into the void"
        );

        for direction in 0..2 {
            pair.change(direction, |path| path.up = true);
        }

        let audio = longest_audio_gap_after(&mut pair, secs(20.0));
        assert!(
            audio <= secs(1.0),
            "seed {seed}: audio is back within a second, took {audio:?}"
        );

        pair.run(secs(2.0) - audio);
        assert!(
            target(&pair) >= before * 0.7,
            "seed {seed}: {before} before, {} two seconds after",
            target(&pair)
        );
    }
}

/// Runs until audio made after `from` arrives; returns how long that took.
fn longest_audio_gap_after(pair: &mut Pair, from: Duration) -> Duration {
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
fn feedback_that_is_lost_or_late_does_not_break_the_estimate() {
    for seed in SEEDS {
        let path = Conditions::bottleneck(megabits(1.5), WAY, secs(0.3));
        let mut pair = call(path, bounds(600_000, megabits(2.5)), seed);
        pair.change(1, |back| {
            back.loss = Loss::Random(0.2);
            back.jitter = Duration::from_millis(50);
        });

        pair.run(secs(30.0));
        assert!(
            target(&pair) >= 0.45e6,
            "seed {seed}: four fifths of the feedback are enough, got {}",
            target(&pair)
        );

        let mean = mean_queue(&pair, secs(5.0), secs(30.0));
        assert!(
            mean <= 100.0,
            "seed {seed}: and it still sees the queue, {mean:.1} ms"
        );
    }
}

#[test]
fn jitter_and_reordering_are_not_taken_for_congestion() {
    for seed in SEEDS {
        let path = Conditions {
            jitter: Duration::from_millis(15),
            ..Conditions::bottleneck(megabits(2.5), WAY, secs(0.3))
        };

        let mut pair = call(
            Conditions {
                reorder: 0.01,
                ..path
            },
            bounds(300_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(30.0));
        assert!(
            target(&pair) >= 0.8e6,
            "seed {seed}: 15 ms of jitter on 2.5 Mbit/s, got {}",
            target(&pair)
        );
    }
}

#[test]
fn a_longer_route_does_not_starve_the_call() {
    for seed in SEEDS {
        let mut pair = call(
            Conditions::bottleneck(megabits(2.5), WAY, secs(0.3)),
            bounds(1_000_000, megabits(2.0)),
            seed,
        );
        pair.run(secs(10.0));
        pair.change(0, |path| path.delay = WAY * 5);
        pair.run(secs(20.0));

        assert!(
            target(&pair) >= 0.8e6,
            "seed {seed}: 100 ms more delay are no queue, got {}",
            target(&pair)
        );
    }
}
