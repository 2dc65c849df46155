//! Checks that run no product code: format, lints, the dependencies' licenses and sources, the
//! browser pages.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::checks::Checks;
use crate::setup;
use crate::shell::{Shell, which};
use crate::{page, workflows, workspace};

/// `cargo xtask lint`.
pub(crate) fn lint() -> Result<ExitCode> {
    setup::build()?;
    let deny = setup::cargo_tool("deny", "0.20.2");
    let mut checks = Checks::default();
    checks.check("format", || Shell::cargo(["fmt", "--all", "--check"]).run());
    checks.check("lints", clippy);
    licenses(&mut checks, deny);
    checks.check("the fuzz targets' lock file", fuzz_lock);
    checks.check("browser pages", browser_pages);
    checks.check("the page", page::check);
    workflows::check(&mut checks);

    Ok(checks.summary())
}

/// Clippy over all targets and features; warnings are errors.
pub(crate) fn clippy() -> Result<()> {
    Shell::cargo(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(["--all-features", "--", "-D", "warnings"])
        .run()
}

/// `cargo deny`. Where it cannot be installed the check is skipped, except in CI, where that is a
/// failure.
pub(crate) fn licenses(checks: &mut Checks, deny: bool) {
    if deny || std::env::var_os("CI").is_some() {
        checks.check("licenses and sources", || {
            Shell::cargo([
                "deny",
                "--locked",
                "--log-level",
                "error",
                "check",
                "licenses",
                "bans",
                "sources",
            ])
            .run()
        });
    } else {
        checks.skip(
            "licenses and sources",
            "cargo-deny could not be built on this machine",
        );
    }
}

/// Checks that the fuzz targets' lock file, which is one of their own, agrees with the crates that they use.
pub(crate) fn fuzz_lock() -> Result<()> {
    Shell::cargo(["metadata", "--locked", "--format-version=1"])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        .output()
        .map(drop)
}

/// Checks that the scripts of `tests/browser` parse and that their unit tests pass.
pub(crate) fn browser_pages() -> Result<()> {
    let folder = workspace::root().join("tests/browser");
    if which("node").is_none() {
        bail!("node is missing: install Node 20 or newer");
    }

    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry.context("cannot read tests/browser")?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mjs" || extension == "js")
        {
            Shell::new("node", ["--check"]).args([&path]).run()?;
        }
    }

    Shell::new("node", ["--test", "--test-reporter=dot"])
        .dir(folder)
        .run()
}
