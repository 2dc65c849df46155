//! `cargo xtask bench` measures and never judges: a busy machine makes figures worse, and nothing
//! fails because of that.

mod call;
mod chromium;
mod plan;
mod processes;
mod signaling;
mod soak;
mod table;
mod tandem;
mod window;

use anyhow::{Context, Result};

pub(crate) use call::call;
pub(crate) use signaling::signaling;
pub(crate) use soak::soak;
pub(crate) use window::window;

use crate::shell::{Shell, step};
use crate::{setup, workspace};

/// `cargo xtask bench micro [ARGS]`: all criterion benchmarks of the workspace; `ARGS` go to
/// criterion.
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
                    .args(["--all-features", "--"])
                    .args(arguments)
                    .run()
            })?;
        }
    }

    Ok(())
}
