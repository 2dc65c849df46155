//! Building and checking the window's page in `ui/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;

use crate::checks::Checks;
use crate::shell::{step, which};
use crate::{npm, workspace};

fn folder() -> PathBuf {
    workspace::root().join("ui")
}

/// Builds `ui/dist`, which the desktop program embeds.
fn build() -> Result<()> {
    npm::run(&folder(), "build")
}

/// Builds `ui/dist` unless it is newer than all of its sources.
pub(crate) fn build_if_changed() -> Result<()> {
    if is_new(&folder()) {
        return Ok(());
    }

    step("Building the window's page", build)
}

/// Checks types, lints and format, and runs the unit tests.
pub(crate) fn check() -> Result<()> {
    npm::run_both(&folder(), "check", "test")
}

/// Runs the browser tests of the built page in Chromium: accessibility, keyboard, hostile text,
/// content security policy.
pub(crate) fn in_browser(checks: &mut Checks) {
    let chosen = std::env::var_os("TANDEM_CHROMIUM").is_some();
    if chosen || which("chromium").is_some() {
        checks.check("the page in a browser", || {
            npm::run(&folder(), "test:browser")
        });
    } else {
        checks.skip("the page in a browser", "chromium is not installed");
    }
}

/// Whether the page was built after the last change to its sources.
fn is_new(folder: &Path) -> bool {
    let built = modified(&folder.join("dist/index.html"));
    let sources = [
        "src",
        "public",
        "index.html",
        "package-lock.json",
        "vite.config.ts",
        "tsconfig.json",
    ];
    let icons = workspace::root().join("icons");
    let changed = sources
        .iter()
        .map(|name| folder.join(name))
        .chain([icons])
        .filter_map(|path| newest(&path))
        .max();

    matches!((built, changed), (Some(built), Some(changed)) if built >= changed)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// When anything in `path` was last changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let itself = modified(path)?;
    let Ok(entries) = fs::read_dir(path) else {
        return Some(itself);
    };

    entries
        .flatten()
        .filter_map(|entry| newest(&entry.path()))
        .chain([itself])
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_new_as_the_newest_in_it() {
        let folder = std::env::temp_dir().join(format!("tandem-newest-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep/down")).unwrap();
        let file = folder.join("deep/down/file");
        fs::write(&file, "x").unwrap();
        let future = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(future)
            .unwrap();
        let found = newest(&folder);
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!(found, Some(future), "files in subfolders count");
        assert_eq!(newest(&folder), None, "a missing folder has no age");
    }
}
