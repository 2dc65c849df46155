//! `cargo xtask bench signaling`: the signaling server under the load of
//! `signaling/examples/signaling_load`.

use anyhow::Result;

use super::table;
use crate::shell::{Shell, heading, step};
use crate::workspace;

/// Builds the server and its load (release), and prints the table. Arguments go to the load: names
/// of parts (`relay`, `latency`, `idle`, `match`, `slow`, `redis`), or `churn SECONDS [redis]`.
///
/// # Errors
/// When something does not build, or the server does not do what the load expects.
pub(crate) fn signaling(arguments: &[&str]) -> Result<()> {
    step(
        "Building the signaling server and its load (release)",
        || {
            Shell::cargo([
                "build",
                "--locked",
                "--release",
                "--package",
                "tandem-signaling",
                "--all-features",
            ])
            .args(["--bins", "--example", "signaling_load"])
            .run()
        },
    )?;

    heading("The server on one core, its clients on another; limits and metrics on");
    let server = workspace::binary("release", "tandem-signaling")?;
    Shell::new(
        workspace::binary("release", "examples/signaling_load")?,
        [server],
    )
    .args(arguments)
    .run()?;
    println!("\n{}", table::machine());

    Ok(())
}
