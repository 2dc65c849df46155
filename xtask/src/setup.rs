//! Finding what is missing, and getting it.

use anyhow::{Result, bail};

use crate::assets;
use crate::needs::{self, Need};
use crate::packages::Manager;
use crate::shell::{Shell, heading, step};

/// What `cargo build` takes.
///
/// # Errors
/// When something is missing and cannot be had without asking: the message says what to type.
pub(crate) fn build() -> Result<()> {
    let missing = missing(needs::BUILD);
    if !missing.is_empty() {
        step("Getting what the build needs", || install(&missing))?;
    }

    Ok(())
}

/// What the whole-system tests take on top. What cannot be had is told, and the tests that need it will skip.
pub(crate) fn test() -> Result<()> {
    let missing = missing(needs::TEST);
    if !missing.is_empty()
        && let Err(error) = step("Getting what the tests need", || install(&missing))
    {
        println!("  {error:#}\n  The tests that need these will say so and be skipped.");
    }

    let missing = missing(needs::CROSS);
    if !missing.is_empty()
        && let Err(error) = step("Getting what the checks for Windows and macOS need", || {
            install(&missing)
        })
    {
        println!("  {error:#}\n  These checks will be skipped.");
    }

    assets::fetch();
    Ok(())
}

/// A cargo subcommand of exactly this version, or any that is there already. Gives whether it can be used.
pub(crate) fn cargo_tool(name: &str, version: &str) -> bool {
    let here = || Shell::cargo([name, "--version"]).succeeds();
    if here() {
        return true;
    }

    let package = format!("cargo-{name}");
    let built = step(&format!("Building {package} {version} (once)"), || {
        Shell::cargo(["install", "--locked", "--version", version, &package])
            .without_env("CARGO_TARGET_DIR")
            .run()
    });

    if let Err(error) = &built {
        println!("  {error:#}");
    }

    here()
}

/// All of it: `cargo xtask setup`.
pub(crate) fn everything() -> Result<()> {
    heading("Looking for what is missing");
    build()?;
    test()?;
    tools();
    println!(
        "\nEverything that could be had is there: `cargo xtask run` or `cargo xtask test` is next."
    );

    Ok(())
}

/// The cargo subcommands of the checks: whether nextest and deny can be used.
pub(crate) fn tools() -> (bool, bool) {
    (
        cargo_tool("nextest", "0.9.143"),
        cargo_tool("deny", "0.20.2"),
    )
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    let Some(manager) = Manager::detect() else {
        return needs.iter().filter(|need| !need.met()).collect();
    };

    // Where a system has no package for it, it either needs none or a test skips itself.
    needs
        .iter()
        .filter(|need| !manager.packages(&[need]).is_empty() && !need.met())
        .collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    for need in missing {
        println!("  missing: {}", need.what);
    }

    let Some(manager) = Manager::detect() else {
        bail!(
            "no package manager known here (apt, dnf, Homebrew, winget): please install the above yourself"
        );
    };

    manager.install(&manager.packages(missing))?;
    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !need.met())
        .map(|need| need.what)
        .collect();

    if !still.is_empty() {
        bail!(
            "installed, but still not found: {}; a new terminal may be needed",
            still.join(", ")
        );
    }

    Ok(())
}
