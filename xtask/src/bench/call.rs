//! `cargo xtask bench call`: Tandem beside Chromium, then congestion control on a simulated link.

use anyhow::Result;

use super::plan::{Plan, release_build};
use super::{chromium, table, tandem};
use crate::shell::{Shell, heading, step};
use crate::{setup, workspace};

/// `cargo xtask bench call [--seconds N] [--rounds N]`: Tandem and Chromium in turns, so that other
/// load on the machine affects both.
///
/// # Errors
/// When Tandem cannot be built, or a call between two Tandems fails. Without Chromium its column
/// stays empty.
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

/// Congestion control on a simulated link that narrows and widens. Virtual time makes it the same
/// on every machine.
fn link_step() -> Result<()> {
    step("Building the simulated link", || {
        Shell::cargo(["build", "--locked", "--workspace", "--all-features"])
            .args(["--example", "link_step"])
            .run()
    })?;

    heading("A link that steps down and back up");
    Shell::new(workspace::binary("debug", "examples/link_step")?, [""; 0]).run()
}
