//! `cargo xtask bundle`: makes installers with the Tauri command-line tool from the page's npm
//! packages.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, heading, step};
use crate::{npm, page, release, setup, vpx, workspace};

/// The installers that this system can make without downloading tools. The release workflow makes
/// the others.
const BUNDLES: &str = if cfg!(target_os = "macos") {
    "app,dmg"
} else if cfg!(windows) {
    "nsis,msi"
} else {
    "deb,rpm"
};

/// `cargo xtask bundle [--bundles LIST] [--debug]`: makes the installers and prints their paths.
///
/// # Errors
/// When something that they need cannot be installed, or a step fails.
pub(crate) fn bundle(arguments: &[&str]) -> Result<()> {
    let (bundles, profile) = match arguments {
        [] => (BUNDLES, "release"),
        ["--debug"] => (BUNDLES, "debug"),
        ["--bundles", list] => (*list, "release"),
        ["--bundles", list, "--debug"] | ["--debug", "--bundles", list] => (*list, "debug"),
        _ => bail!(
            "bundle takes --bundles LIST (deb, rpm, appimage, nsis, msi, app, dmg) and --debug"
        ),
    };

    setup::build()?;
    let ui = workspace::root().join("ui");

    if !npm::is_installed(&ui) {
        npm::install(&ui)?;
    }

    page::build_if_changed()?;
    if profile == "release" {
        vpx::require_static()?;
    }

    // Cargo builds the program as for everyone else, and the tool only packs it.
    let program = release::build(profile)?;
    if profile == "release" && cfg!(unix) {
        // Line tables are three quarters of the file, and users don't need them; symbols stay. The
        // result goes to a new file, because cargo keeps a hard link to this one.
        step("Removing line tables", || {
            let stripped = program.with_extension("stripped");
            let words = [
                OsStr::new("-S"),
                OsStr::new("-o"),
                stripped.as_os_str(),
                program.as_os_str(),
            ];
            Shell::new("strip", words).run()?;

            std::fs::rename(&stripped, &program).context("cannot replace the program")
        })?;
    }

    let folder = program
        .parent()
        .context("a program lies in a folder")?
        .join("bundle");

    step("Packing", || {
        let target = folder
            .parent()
            .and_then(Path::parent)
            .context("a profile's folder lies in the target folder")?;

        let debug = if profile == "debug" {
            &["--debug"][..]
        } else {
            &[]
        };

        let tool =
            ui.join("node_modules/.bin")
                .join(if cfg!(windows) { "tauri.cmd" } else { "tauri" });
        Shell::new(tool, ["bundle", "--bundles", bundles])
            .args(debug)
            .env("CARGO_TARGET_DIR", target)
            .run()
    })?;

    heading("Made");
    for path in installers(&folder)? {
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        println!("  {} ({:.1} MB)", path.display(), bytes as f64 / 1e6);
    }

    Ok(())
}

/// The installers in the subfolders of `folder`.
fn installers(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for kind in std::fs::read_dir(folder)
        .with_context(|| format!("nothing was made in {}", folder.display()))?
    {
        for entry in std::fs::read_dir(kind?.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let known = ["deb", "rpm", "AppImage", "exe", "msi", "dmg"];

            if path
                .extension()
                .is_some_and(|extension| known.iter().any(|name| extension == *name))
            {
                found.push(path);
            }
        }
    }

    found.sort();
    Ok(found)
}
