//! Checks that run no product code: format, lints, licenses and sources of what we depend on, the browser pages.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::shell::{Shell, which};
use crate::test::Checks;
use crate::{page, workspace};

/// `cargo xtask lint`.
pub(crate) fn lint() -> Result<ExitCode> {
    setup::build()?;
    let deny = setup::cargo_tool("deny", "0.20.2");
    let mut checks = Checks::default();
    checks.check("format", || Shell::cargo(["fmt", "--all", "--check"]).run());
    checks.check("lints", clippy);
    licenses(&mut checks, deny);
    checks.check("browser pages", browser_pages);
    checks.check("the page", page::check);

    Ok(checks.summary())
}

/// Every warning is an error, in every target with every feature.
pub(crate) fn clippy() -> Result<()> {
    Shell::cargo(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(workspace::features())
        .args(["--", "-D", "warnings"])
        .run()
}

/// `cargo deny`; where it cannot be had that is told, except in CI, where it is a failure.
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
        checks.skip("licenses and sources", "cargo-deny could not be built here");
    }
}

/// That every script of the browser's side parses, and that its unit tests pass.
pub(crate) fn browser_pages() -> Result<()> {
    let folder = workspace::root().join("tests/browser");
    if which("node").is_none() {
        bail!("node is missing: install Node 20 or newer");
    }

    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry.context("cannot read the browser folder")?.path();
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
