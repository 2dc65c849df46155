//! What a benchmark of calls does, what it measures, and the programs that it measures.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::run;
use crate::shell::{Shell, step};

/// How long and how often to call.
pub(super) struct Plan {
    /// Length of one call, from connected to hang-up.
    pub(super) call: Duration,
    /// How many calls each side holds.
    pub(super) rounds: u32,
}

/// What one peer measured in one call, and what its processes used.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures {
    /// Decoded frames per second.
    pub(super) fps: Option<f64>,
    /// From the match to the first decoded frame.
    pub(super) first_frame_ms: Option<f64>,
    pub(super) glass_to_glass_p50_ms: Option<f64>,
    pub(super) glass_to_glass_p95_ms: Option<f64>,
    /// Tandem only: a browser gives a page no timestamps of the audio that it plays.
    pub(super) mouth_to_ear_p50_ms: Option<f64>,
    pub(super) freezes: Option<f64>,
    /// CPU seconds per second of all the peer's processes while the call runs.
    pub(super) cores: Option<f64>,
    /// Peak proportional set size of all the peer's processes.
    pub(super) pss_bytes: Option<f64>,
}

impl Plan {
    pub(super) fn parse(arguments: &[&str]) -> Result<Self> {
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

/// Builds Tandem and the signaling server as users get them.
pub(super) fn release_build() -> Result<()> {
    run::build()?;
    // Separately: in one build, Tandem's dependencies would be compiled again with the features of
    // both.
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
