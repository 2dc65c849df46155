//! `cargo xtask bundle`: installers, by the Tauri command line tool that comes with the page's packages.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, heading, step};
use crate::{npm, page, setup, workspace};

/// What this system makes without downloading tools. The release workflow makes the others.
const BUNDLES: &str = if cfg!(target_os = "macos") {
    "app,dmg"
} else if cfg!(windows) {
    "nsis,msi"
} else {
    "deb,rpm"
};

/// `cargo xtask bundle [--bundles LIST] [--debug]`: makes the installers and says where they are.
///
/// # Errors
/// When something that they need cannot be had, or a step fails.
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
    // The program as everybody else builds it; the tool only packs it.
    // Without VP8: every distribution has another libvpx, and an installer should fit them all.
    step(&format!("Building Tandem ({profile})"), || {
        let release = if profile == "release" {
            &["--release"][..]
        } else {
            &[]
        };

        Shell::cargo([
            "build",
            "--locked",
            "--package",
            "tandem",
            "--bin",
            "tandem",
        ])
        .args(release)
        .run()
    })?;

    let program = workspace::binary(profile, "tandem")?;
    if profile == "release" && cfg!(unix) {
        // Line tables are three quarters of the program, and nobody who installs it reads them. Symbols stay.
        // Into another file: cargo keeps a second link to this one.
        step("Taking out line tables", || {
            let stripped = program.with_extension("stripped");
            let words = [
                OsStr::new("-S"),
                OsStr::new("-o"),
                stripped.as_os_str(),
                program.as_os_str(),
            ];
            Shell::new("strip", words).run()?;

            std::fs::rename(&stripped, &program).context("the program cannot be replaced")
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
            .context("cargo's own folder")?;

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

/// The files that were made: one level below `folder`.
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
