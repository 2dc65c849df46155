//! `cargo xtask bench` measures and never judges: a busy machine makes figures worse, and nothing fails because of that.

mod chromium;
mod processes;
mod signaling;
mod soak;
mod table;
mod tandem;
mod window;

use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use signaling::signaling;
pub(crate) use soak::soak;
pub(crate) use window::window;

use crate::shell::{Shell, heading, step};
use crate::{run, setup, workspace};

/// How long and how often to call.
struct Plan {
    /// Length of one call, from connected to hang-up.
    call: Duration,
    /// How many calls each side holds.
    rounds: u32,
}

/// What one peer measured in one call, and what its processes used.
#[derive(Debug, Default, Clone)]
struct Figures {
    /// Decoded frames per second.
    fps: Option<f64>,
    /// From the match to the first decoded frame.
    first_frame_ms: Option<f64>,
    glass_to_glass_p50_ms: Option<f64>,
    glass_to_glass_p95_ms: Option<f64>,
    /// Tandem only: a browser gives a page no timestamps of the audio that it plays.
    mouth_to_ear_p50_ms: Option<f64>,
    freezes: Option<f64>,
    /// CPU seconds per second of all the peer's processes while the call runs.
    cores: Option<f64>,
    /// Peak proportional set size of all the peer's processes.
    pss_bytes: Option<f64>,
}

/// `cargo xtask bench call [--seconds N] [--rounds N]`: Tandem and Chromium in turns, so that other load on
/// the machine affects both.
///
/// # Errors
/// When Tandem cannot be built, or a call between two Tandems fails. Without Chromium its column stays empty.
pub(crate) fn call(arguments: &[&str]) -> Result<()> {
    let plan = Plan::parse(arguments)?;
    setup::test()?;
    release_build()?;
    let mut tandem = Vec::new();
    let mut chromium = Vec::new();

    for round in 1..=plan.rounds {
        heading(&format!(
            "Round {round} of {}: Tandem <-> Tandem",
            plan.rounds
        ));
        tandem.extend(tandem::call(&plan)?);
        heading(&format!(
            "Round {round} of {}: Chromium <-> Chromium",
            plan.rounds
        ));

        match chromium::call(&plan) {
            Ok(figures) => chromium.extend(figures),
            Err(error) => println!("  no figures: {error:#}"),
        }
    }

    heading("720p30 both ways, both peers on this machine, median of all peers and rounds");
    print!("{}", table::table(&tandem, &chromium));
    println!("\n{}", table::machine());

    link_step()
}

/// Builds Tandem and the signaling server as users get them.
fn release_build() -> Result<()> {
    run::build()?;
    // Separately: in one build, Tandem's dependencies would be compiled again with the features of both.
    step("Building the signaling server (release)", || {
        Shell::cargo([
            "build",
            "--locked",
            "--release",
            "--package",
            "tandem-signaling",
            "--all-features",
            "--bins",
        ])
        .run()
    })
}

/// Congestion control on a simulated link that narrows and widens. Virtual time makes it the same on every machine.
fn link_step() -> Result<()> {
    step("Building the simulated link", || {
        Shell::cargo(["build", "--locked", "--workspace", "--example", "link_step"])
            .args(workspace::features())
            .run()
    })?;

    heading("A link that steps down and back up");
    Shell::new(workspace::binary("debug", "examples/link_step")?, [""; 0]).run()
}

/// `cargo xtask bench micro [ARGS]`: all criterion benchmarks of the workspace; `ARGS` go to criterion.
///
/// # Errors
/// When one of them fails to build or run.
pub(crate) fn micro(arguments: &[&str]) -> Result<()> {
    setup::build()?;
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;

    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        for target in package["targets"].as_array().into_iter().flatten() {
            let is_bench = target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bench"));
            let bench = target["name"].as_str().unwrap_or_default();

            if !is_bench {
                continue;
            }

            step(&format!("{name}: {bench}"), || {
                Shell::cargo(["bench", "--locked", "--package", name, "--bench", bench])
                    .args(workspace::features())
                    .args(["--"])
                    .args(arguments)
                    .run()
            })?;
        }
    }

    Ok(())
}

impl Plan {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut plan = Self {
            call: Duration::from_secs(20),
            rounds: 3,
        };

        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let number = words
                .next()
                .and_then(|value| value.parse::<u32>().ok())
                .filter(|number| *number > 0);

            match (*word, number) {
                // The first seconds are the call's start, which is not measured.
                ("--seconds", Some(seconds)) if seconds >= 8 => {
                    plan.call = Duration::from_secs(seconds.into());
                }
                ("--rounds", Some(rounds)) => plan.rounds = rounds,
                _ => bail!("`bench call` takes --seconds N (8 or more) and --rounds N (1 or more)"),
            }
        }

        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_what_was_asked_for() {
        let plan = Plan::parse(&["--rounds", "5", "--seconds", "60"]).expect("both are known");
        assert_eq!(
            (plan.rounds, plan.call),
            (5, Duration::from_secs(60)),
            "each option sets its own figure"
        );

        assert!(
            Plan::parse(&["--seconds", "2"]).is_err(),
            "a call needs time to settle before it is measured"
        );

        assert!(
            Plan::parse(&["--minutes", "2"]).is_err(),
            "an unknown option is refused"
        );
    }
}
