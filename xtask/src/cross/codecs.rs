//! Whether the codecs link for Windows: H.264, Opus, and VP8 with a libvpx built for it.
//!
//! Unlike the checks beside it, this one compiles C and links. So it builds one crate only (its
//! unit tests, which are a program), in a target folder of its own: theirs has the objects of
//! `stub.sh`. It does not run them: Debian's Wine lacks what Rust's standard library needs
//! (`docs/field-notes.md`).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Library, WINDOWS, cargo, folder, library, missing_library, require_mingw};
use crate::checks::Checks;
use crate::vpx;

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
    cargo(library)
        .args(["test", "--no-run", "--locked", "--quiet"])
        .args(["--target", WINDOWS, "--package", "tandem-media", "--lib"])
        .env("CARGO_TARGET_DIR", target_folder(vpx)?)
        .envs(vpx.variables())
        .run()
}

/// The target folder, emptied when it was built with another libvpx: cargo does not notice the
/// change, because libvpx-native-sys' build script does not watch the variables.
fn target_folder(vpx: &vpx::Library) -> Result<PathBuf> {
    let folder = folder()?.join("codecs");
    let note = folder.join("libvpx.txt");
    let current = vpx.folder.display().to_string();

    if fs::read_to_string(&note).unwrap_or_default() != current {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&note, current))
            .with_context(|| format!("cannot write {}", note.display()))?;
    }

    Ok(folder)
}
