//! Tandem for Windows as it ships, built on Linux.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::codecs::empty_if_changed;
use super::{WINDOWS, cargo, folder, library, missing_library, require_mingw, static_runtime};
use crate::shell::step;
use crate::vpx;

/// Builds Tandem for Windows and returns the folder with `tandem.exe` and the DLLs that it needs.
///
/// # Errors
/// When a compiler or library is missing, or the build fails.
pub(crate) fn build() -> Result<PathBuf> {
    let library = library(WINDOWS).with_context(|| missing_library(WINDOWS))?;
    require_mingw()?;
    let vpx = vpx::windows::prepare()?.library()?;
    let target = folder()?.join("release");
    empty_if_changed(&target, &vpx)?;

    step("Building Tandem for Windows", || {
        cargo(library)
            .args(["build", "--locked", "--release", "--target", WINDOWS])
            .args(["--package", "tandem", "--bin", "tandem"])
            .env("CARGO_TARGET_DIR", &target)
            .envs([static_runtime::variables()?])
            .envs(vpx.variables())
            .run()
    })?;

    Ok(target.join(WINDOWS).join("release"))
}
