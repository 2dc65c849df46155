//! Finds out what is missing, and installs it.

use anyhow::{Result, bail};

use crate::needs::{self, Need};
use crate::packages::Manager;
use crate::shell::{Shell, heading, step};
use crate::{assets, cross, vpx};

/// Installs what `cargo build` needs.
///
/// # Errors
/// When something is missing and cannot be installed without a password. The message has the
/// command to run.
pub(crate) fn build() -> Result<()> {
    let missing = missing(needs::BUILD);
    if !missing.is_empty() {
        step("Installing what the build needs", || install(&missing))?;
    }

    vpx::check()
}

/// Also installs what the whole-system tests and the cross-checks need, and fetches their downloads.
/// What cannot be installed is reported, and the checks that depend on it are skipped.
pub(crate) fn test() -> Result<()> {
    install_if_possible("the test run", needs::TEST);
    install_if_possible("the test of the setup for Windows", needs::WINE);
    cross();
    windows_setup();

    assets::fetch();
    Ok(())
}

/// Installs what the cross-checks need. What cannot be installed is reported, and the checks that
/// depend on it are skipped.
pub(crate) fn cross() {
    if !cross::rustup_has_all_targets() {
        install_if_possible("the check for Windows and macOS", needs::CROSS_RUST);
    }

    install_if_possible("the check for Windows", needs::CROSS_C);
}

/// Installs what packs the setup for Windows. If it cannot be installed, that is reported.
pub(crate) fn windows_setup() {
    install_if_possible("the setup for Windows", needs::WINDOWS_SETUP);
}

/// Installs whatever of `needs` is missing. If that fails, the checks that depend on it are skipped.
fn install_if_possible(whose: &str, needs: &'static [Need]) {
    let missing = missing(needs);
    if !missing.is_empty()
        && let Err(error) = step(&format!("Installing what {whose} needs"), || {
            install(&missing)
        })
    {
        println!("  {error:#}\n  The checks that depend on it will be skipped.");
    }
}

/// Builds a cargo subcommand at this version, unless any version is already installed. Returns
/// whether it can be used.
///
/// With little optimization, which shortens the build: both tools mostly wait for others.
pub(crate) fn cargo_tool(name: &str, version: &str) -> bool {
    let installed = || Shell::cargo([name, "--version"]).succeeds();
    if installed() {
        return true;
    }

    let package = format!("cargo-{name}");
    let built = step(&format!("Building {package} {version} (once)"), || {
        Shell::cargo(["install", "--locked", "--version", version, &package])
            .args(["--debug"])
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .without_env("CARGO_TARGET_DIR")
            .run()
    });

    if let Err(error) = &built {
        println!("  {error:#}");
    }

    installed()
}

/// `cargo xtask setup`: installs everything.
pub(crate) fn everything() -> Result<()> {
    heading("Looking for what is missing");
    build()?;
    test()?;
    tools();
    println!("\nDone. Next: `cargo xtask run` or `cargo xtask test`.");

    Ok(())
}

/// Installs the cargo subcommands of the checks. Returns whether nextest and deny can be used.
pub(crate) fn tools() -> (bool, bool) {
    (
        cargo_tool("nextest", "0.9.143"),
        cargo_tool("deny", "0.20.2"),
    )
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    let manager = Manager::detect();
    // Where the package manager has nothing for it, a test skips itself.
    let can_be_had =
        |need: &&Need| manager.is_none_or(|manager| !manager.packages(&[need]).is_empty());
    needs
        .iter()
        .filter(|need| need.belongs_here() && can_be_had(need) && !need.met())
        .collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    for need in missing {
        println!("  missing: {}", need.what);
    }

    let Some(manager) = Manager::detect() else {
        bail!(
            "found no package manager that Tandem knows (apt, dnf, Homebrew, winget); please install the above by hand"
        );
    };

    manager.install(&manager.packages(missing))?;
    let missing: Vec<&str> = missing
        .iter()
        .filter(|need| !need.met())
        .map(|need| need.what)
        .collect();

    if !missing.is_empty() {
        bail!(
            "installed, but still not found: {}; try again in a new terminal",
            missing.join(", ")
        );
    }

    Ok(())
}
