//! Folders with a `package.json`: installing from their lock files, and running their scripts.

use std::fs;
use std::path::Path;

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
    if !is_installed(folder) {
        step("Installing the npm packages", || install(folder))?;
    }

    npm(["run", "--silent", script]).dir(folder).run()
}

fn npm<const N: usize>(arguments: [&str; N]) -> Shell {
    Shell::new(if cfg!(windows) { "npm.cmd" } else { "npm" }, arguments)
}
