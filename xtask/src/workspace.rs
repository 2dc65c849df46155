//! Paths: the sources, cargo's output, and what is kept between runs.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::shell::Shell;

/// The root of the workspace. Cargo says where it is when it runs this program; two checkouts that
/// share a target folder also share the program, and what was true when it was compiled may not be.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent()
        .expect("xtask lies one level below the root")
        .to_path_buf()
}

/// The folder that keeps downloads (clips, the guest's kernel) between runs: `TANDEM_CACHE_DIR`, or
/// `tandem` in the user's cache folder. `tandem_tests::part::cache_dir` uses the same one.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let named = |variable: &str| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };

    if let Some(dir) = named("TANDEM_CACHE_DIR") {
        return Ok(dir);
    }

    named("XDG_CACHE_HOME")
        .or_else(|| named("LOCALAPPDATA"))
        .or_else(|| named("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("tandem"))
        .context("no cache folder: set HOME or TANDEM_CACHE_DIR")
}

/// Cargo's target folder.
pub(crate) fn target_dir() -> Result<PathBuf> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target folder")
}

/// A binary that cargo built, in the folder of `profile` (`debug` or `release`).
pub(crate) fn binary(profile: &str, name: &str) -> Result<PathBuf> {
    Ok(target_dir()?
        .join(profile)
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// `cargo metadata` of this workspace alone.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = Shell::cargo(["metadata", "--format-version=1", "--no-deps"]).output()?;
    serde_json::from_str(&text).context("cargo metadata is not JSON")
}
