//! The program as it is released: with libvpx inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, step};
use crate::vpx::record::Record;
use crate::vpx::{self, Library};
use crate::workspace;

/// The oldest macOS on which Tandem runs: the page needs its web view. C compilers would otherwise build
/// for the version of this machine. The same as in `tauri.conf.json`.
const MACOS: &str = "12.3";

/// Builds Tandem and returns the program. `profile`: `release`, or `debug` for tests, which run on
/// this machine only and take its libvpx, as every other debug build does.
///
/// # Errors
/// When the build fails, or the released program needs a libvpx of this machine although there is a
/// static one.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let is_release = profile == "release";
    let library = if is_release {
        vpx::static_library()?
    } else {
        None
    };

    let target = workspace::target_dir()?;
    let record = library
        .as_ref()
        .map(|library| Record::new(&target, library));
    let record = record.transpose()?;

    step(&format!("Building Tandem ({profile})"), || {
        if let Some(record) = &record {
            record.prepare()?;
        }

        Shell::cargo([
            "build",
            "--locked",
            "--package",
            "tandem",
            "--bin",
            "tandem",
        ])
        .args(is_release.then_some("--release"))
        .envs(library.iter().flat_map(Library::variables))
        .envs(cfg!(target_os = "macos").then_some(("MACOSX_DEPLOYMENT_TARGET", MACOS)))
        .run()?;

        record.iter().try_for_each(Record::write)
    })?;

    let program = workspace::binary(profile, "tandem")?;
    if library.is_some() && cfg!(target_os = "linux") {
        check_libraries(&program)?;
    }

    Ok(program)
}

/// Checks that the program does not need a shared libvpx.
fn check_libraries(program: &Path) -> Result<()> {
    let needed = Shell::new("readelf", ["-d".as_ref(), program.as_os_str()])
        .output()
        .context("cannot list the program's libraries")?;
    if needed.contains("libvpx.so") {
        bail!(
            "{} needs a shared libvpx in spite of VPX_STATIC",
            program.display()
        );
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_the_installer_need_the_same_macos() {
        let path = workspace::root().join("src-tauri/tauri.conf.json");
        let text = std::fs::read_to_string(path).expect("the configuration is there");
        let config: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(config["bundle"]["macOS"]["minimumSystemVersion"], MACOS);
    }
}
