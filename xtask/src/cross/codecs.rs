//! Whether the codecs link for Windows: H.264, Opus, and VP8 with a libvpx built for it.
//!
//! Unlike the checks beside it, this one compiles C and links. So it builds one crate only (its
//! unit tests, which are a program), in a target folder of its own: theirs has the objects of
//! `stub.sh`. It checks that the program needs no DLLs of the compiler, and does not run it: Debian's
//! Wine lacks what Rust's standard library needs (`docs/field-notes.md`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    Library, WINDOWS, cargo, folder, library, missing_library, require_mingw, static_runtime,
};
use crate::checks::Checks;
use crate::{imports, vpx};

const NAME: &str = "the codecs for Windows";

pub(super) fn check(checks: &mut Checks) {
    let Some(library) = library(WINDOWS) else {
        checks.skip(NAME, &missing_library(WINDOWS));
        return;
    };

    match require_mingw().and_then(|()| vpx::windows::prepare()) {
        Ok(vpx) => {
            checks.check(NAME, || link(library, &vpx.library()?));
        }
        Err(error) => checks.skip(NAME, &format!("{error:#}")),
    }
}

fn link(library: Library, vpx: &vpx::Library) -> Result<()> {
    let target = folder()?.join("codecs");
    empty_if_changed(&target, vpx)?;
    let messages = cargo(library)
        .args(["test", "--no-run", "--locked", "--quiet"])
        .args(["--target", WINDOWS, "--package", "tandem-media", "--lib"])
        .args(["--message-format", "json-render-diagnostics"])
        .env("CARGO_TARGET_DIR", &target)
        .envs([static_runtime::variables()?])
        .envs(vpx.variables())
        .output()?;

    // The codecs are what needs the compiler's libraries.
    imports::check(&[executable(&messages)?])
}

/// The program that cargo says it has made.
fn executable(messages: &str) -> Result<PathBuf> {
    let mut names = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    names.next_back().context("cargo names no program")
}

/// Empties a target folder that was used with another libvpx or other scripts: cargo does not notice
/// these changes, because libvpx-native-sys' build script does not watch the variables.
pub(super) fn empty_if_changed(target: &Path, vpx: &vpx::Library) -> Result<()> {
    let note = target.join("libvpx.txt");
    let current = format!("{}\n{}", vpx.folder.display(), include_str!("link.sh"));

    if fs::read_to_string(&note).unwrap_or_default() != current {
        let _ = fs::remove_dir_all(target);
        fs::create_dir_all(target)
            .and_then(|()| fs::write(&note, current))
            .with_context(|| format!("cannot write {}", note.display()))?;
    }

    Ok(())
}
