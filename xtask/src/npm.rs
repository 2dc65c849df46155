//! Folders with a `package.json`: installing from their lock files, and running their scripts.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Result, bail};

use crate::shell::{Shell, step, which};

/// Whether the packages of the lock file are installed.
pub(crate) fn is_installed(folder: &Path) -> bool {
    // npm writes this file last: after a complete installation it exists and is not older than the
    // lock file.
    let modified = |path: &str| {
        fs::metadata(folder.join(path))
            .and_then(|metadata| metadata.modified())
            .ok()
    };

    match (
        modified("node_modules/.package-lock.json"),
        modified("package-lock.json"),
    ) {
        (Some(installed), Some(locked)) => installed >= locked,
        _ => false,
    }
}

/// Installs exactly the versions in the lock file.
pub(crate) fn install(folder: &Path) -> Result<()> {
    if which("npm").is_none() && !cfg!(windows) {
        bail!("npm is missing: install Node 20 or newer");
    }

    npm(["ci", "--no-audit", "--no-fund"])
        .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
        .dir(folder)
        .run()
}

/// Runs a script of the folder's `package.json`, after installing missing packages.
pub(crate) fn run(folder: &Path, script: &str) -> Result<()> {
    install_if_missing(folder)?;
    npm(["run", "--silent", script]).dir(folder).run()
}

/// Runs two scripts at the same time, because each uses one core. What the second prints appears
/// after the first has ended.
pub(crate) fn run_both(folder: &Path, first: &str, second: &str) -> Result<()> {
    install_if_missing(folder)?;
    let shell = npm(["run", "--silent", second]).dir(folder);
    let line = shell.line();
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| shell.transcript());
        let first = npm(["run", "--silent", first]).dir(folder).run();
        (first, second.join())
    });

    let (printed, status) = second.expect("starting a program does not panic")?;
    println!("  $ {line}\n{printed}");
    first?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }

    Ok(())
}

fn install_if_missing(folder: &Path) -> Result<()> {
    if is_installed(folder) {
        return Ok(());
    }

    step("Installing the npm packages", || install(folder))
}

fn npm<const N: usize>(arguments: [&str; N]) -> Shell {
    Shell::new(if cfg!(windows) { "npm.cmd" } else { "npm" }, arguments)
}
