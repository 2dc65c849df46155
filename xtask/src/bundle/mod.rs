//! `cargo xtask bundle`: makes installers. Those for Linux and macOS are made with the Tauri
//! command-line tool from the page's npm packages, the one for Windows with NSIS ([`windows`]).

mod signing;
mod windows;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, heading, step};
use crate::{notices, npm, page, release, setup, vpx, workspace};

/// The installers that Tauri's tool can make on this system without downloading tools. The release
/// workflow makes the others.
const BUNDLES: &str = if cfg!(target_os = "macos") {
    "app,dmg"
} else {
    "deb,rpm"
};

/// `cargo xtask bundle [--bundles LIST] [--debug]`, or `bundle --target windows` with its own options:
/// makes the installers and prints their paths.
///
/// # Errors
/// When something that they need cannot be installed, or a step fails.
pub(crate) fn bundle(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["--target", "windows", rest @ ..] => return for_windows(rest),
        _ if cfg!(windows) => return for_windows(arguments),
        _ => {}
    }

    let (bundles, profile) = match arguments {
        [] => (BUNDLES, "release"),
        ["--debug"] => (BUNDLES, "debug"),
        ["--bundles", list] => (*list, "release"),
        ["--bundles", list, "--debug"] | ["--debug", "--bundles", list] => (*list, "debug"),
        _ => bail!(
            "bundle takes --bundles LIST (deb, rpm, appimage, app, dmg) and --debug, or --target windows"
        ),
    };

    prepare()?;
    let ui = workspace::root().join("ui");
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

            fs::rename(&stripped, &program).context("cannot replace the program")
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
        let config = notices_config(target)?;
        let changes = signing::changes(|name| std::env::var(name).ok());
        let shell = Shell::new(tool, ["bundle", "--bundles", bundles]);
        let remove = changes.remove.into_iter();
        remove
            .fold(shell, Shell::without_env)
            .envs(changes.set)
            .args([OsStr::new("--config"), config.as_os_str()])
            .args(debug)
            .env("CARGO_TARGET_DIR", target)
            .run()
    })?;

    print_made(&installers(&folder)?);
    Ok(())
}

fn for_windows(arguments: &[&str]) -> Result<()> {
    if !arguments.contains(&"--programs") {
        prepare()?;
    }

    print_made(&[windows::setup(arguments)?]);
    Ok(())
}

/// Installs what the build needs, and builds the page that it embeds.
fn prepare() -> Result<()> {
    setup::build()?;
    let ui = workspace::root().join("ui");
    if !npm::is_installed(&ui) {
        npm::install(&ui)?;
    }

    page::build_if_changed()
}

fn print_made(paths: &[PathBuf]) {
    heading("Made");
    for path in paths {
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        println!("  {} ({:.1} MB)", path.display(), bytes as f64 / 1e6);
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Writes the list of licenses, and returns a file with the part of Tauri's configuration that puts it
/// into each installer.
fn notices_config(target: &Path) -> Result<PathBuf> {
    let list = target.join("licenses.txt");
    let triple = Shell::new("rustc", ["--print", "host-tuple"]).output()?;
    notices::write("notices", triple.trim(), &list)?;
    let config = target.join("licenses.json");
    fs::write(&config, with_notices(&list).to_string())
        .with_context(|| format!("cannot write {}", config.display()))?;
    Ok(config)
}

/// Where each kind of installer has the list: Debian's policy (§12.5) wants it to be `copyright`.
fn with_notices(list: &Path) -> serde_json::Value {
    let at = |place: &str| serde_json::json!({ "files": { place: list } });
    serde_json::json!({ "bundle": {
        "linux": {
            "deb": at("/usr/share/doc/tandem/copyright"),
            "rpm": at("/usr/share/licenses/tandem/licenses.txt"),
            "appimage": at("/usr/share/doc/tandem/copyright"),
        },
        "macOS": { "files": { "Resources/licenses.txt": list } },
    } })
}

/// The installers in the subfolders of `folder`.
fn installers(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for kind in
        fs::read_dir(folder).with_context(|| format!("nothing was made in {}", folder.display()))?
    {
        for entry in fs::read_dir(kind?.path()).into_iter().flatten().flatten() {
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
