//! Prints what the estimator and the pacer do when a link steps down from 2.5 to 1 Mbit/s and up
//! again, for several seeds, in virtual time. The link has a round trip of 50 ms and a queue of 300
//! ms. `--trace` also prints the first seed's samples.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::time::Duration;

use tandem_call::internals::{BitrateBounds, CongestionError};
use tandem_call::simnet::{Conditions, Pair, PairConfig};

/// When the link steps down.
const STEP_DOWN: Duration = Duration::from_secs(20);

/// When it steps up again.
const STEP_UP: Duration = Duration::from_secs(40);

const END: Duration = Duration::from_secs(60);

/// How long after a step the queue has settled.
const SETTLED: Duration = Duration::from_secs(3);

const SEEDS: u64 = 5;

fn main() -> Result<(), CongestionError> {
    println!(
        "2.5 → 1 → 2.5 Mbit/s, 50 ms round trip, queue of 300 ms at 2.5 Mbit/s (750 ms at 1 Mbit/s)"
    );
    println!(
        "| seed | mean queue ms | max queue ms | max once settled ms | back under 100 ms after ms | used at 2.5M | used at 1M | used again | dropped |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");

    for seed in 1..=SEEDS {
        let pair = run(seed)?;
        let queue: Vec<f64> = pair.samples.iter().map(|sample| sample.queue_ms).collect();
        let mean = queue.iter().sum::<f64>() / queue.len() as f64;
        let max = queue.iter().copied().fold(0.0, f64::max);
        let back = pair.queue_settles_after(STEP_DOWN, 100.0).map_or_else(
            || "never".into(),
            |at| (at - STEP_DOWN).as_millis().to_string(),
        );
        let settled = pair
            .between(STEP_DOWN + SETTLED, STEP_UP)
            .map(|sample| sample.queue_ms)
            .fold(0.0, f64::max);
        let used = |from: u64, to: u64, bps: f64| {
            100.0 * pair.goodput_bps(Duration::from_secs(from), Duration::from_secs(to)) / bps
        };

        println!(
            "| {seed} | {mean:.1} | {max:.0} | {settled:.0} | {back} | {:.0} % | {:.0} % | {:.0} % | {} |",
            used(8, 20, 2.5e6),
            used(22, 40, 1e6),
            used(48, 60, 2.5e6),
            pair.link(0).counters().dropped,
        );

        if seed == 1 && std::env::args().any(|argument| argument == "--trace") {
            for sample in pair.samples.iter().step_by(20) {
                let (at, target, acked) = (
                    sample.at.as_secs_f64(),
                    sample.target_bps / 1e3,
                    sample.acked_bps / 1e3,
                );

                println!(
                    "{at:6.2} s  target {target:5.0}  acked {acked:5.0} kbit/s  queue {:4.0}  pacer {:4.0} ms",
                    sample.queue_ms, sample.pacer_ms
                );
            }
        }
    }

    Ok(())
}

fn run(seed: u64) -> Result<Pair, CongestionError> {
    let one_way = Duration::from_millis(25);
    let link = Conditions::bottleneck(2_500_000, one_way, Duration::from_millis(300));
    let bounds = BitrateBounds {
        start_bps: 300_000,
        min_bps: 60_000,
        max_bps: 5_000_000,
    };

    let mut pair = Pair::new(PairConfig {
        bounds,
        paths: [link, Conditions::delayed(one_way)],
        both_ways: true,
        seed,
    })?;

    pair.run(STEP_DOWN);
    pair.change(0, |link| link.rate_bps = Some(1_000_000));
    pair.run(STEP_UP - STEP_DOWN);
    pair.change(0, |link| link.rate_bps = Some(2_500_000));
    pair.run(END - STEP_UP);

    Ok(pair)
}
