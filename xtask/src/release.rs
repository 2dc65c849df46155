//! The program as it is released: with VP8, and with libvpx inside. Distributions ship different
//! versions of libvpx, and one program should run on them all.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, step};
use crate::workspace;

/// Builds Tandem and returns the program. `profile`: `release`, or `debug` for tests, which run on
/// this machine only and take its libvpx, as every other debug build does.
///
/// # Errors
/// When the build fails, or the released program needs a libvpx of this machine.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let is_release = profile == "release";
    let variables = if is_release {
        static_vpx()?
    } else {
        Vec::new()
    };

    step(&format!("Building Tandem ({profile})"), || {
        let cargo = Shell::cargo([
            "build",
            "--locked",
            "--package",
            "tandem",
            "--bin",
            "tandem",
        ])
        .args(is_release.then_some("--release"))
        .args(features());
        variables
            .iter()
            .fold(cargo, |cargo, (name, value)| cargo.env(name, value))
            .run()
    })?;

    let program = workspace::binary(profile, "tandem")?;
    if !variables.is_empty() && cfg!(target_os = "linux") {
        check_libraries(&program)?;
    }

    Ok(program)
}

/// Checks that a program for other machines can be built: with libvpx inside.
///
/// # Errors
/// When this machine has no static libvpx.
pub(crate) fn check_vpx() -> Result<()> {
    if static_vpx()?.is_empty() && !cfg!(windows) {
        bail!(
            "there is no libvpx.a, so the program would need the libvpx of this machine: install \
             the package that has it (libvpx-dev; Homebrew: libvpx)"
        );
    }

    Ok(())
}

/// VP8 needs libvpx, which Windows has no package of.
fn features() -> &'static [&'static str] {
    if cfg!(windows) {
        &[]
    } else {
        &["--features", "vp8"]
    }
}

/// The environment in which the build script of libvpx-native-sys links the static library. Empty
/// where there is none: then the program needs the system's.
fn static_vpx() -> Result<Vec<(&'static str, OsString)>> {
    if cfg!(windows) {
        return Ok(Vec::new());
    }

    let version = Shell::new("pkg-config", ["--modversion", "vpx"]).output()?;
    let Some(folder) = vpx_folder()? else {
        return Ok(Vec::new());
    };

    Ok(vec![
        ("VPX_STATIC", "1".into()),
        ("VPX_VERSION", version.trim().into()),
        ("VPX_LIB_DIR", folder.into()),
    ])
}

/// The folder of `libvpx.a`: where the compiler looks, or where pkg-config says (Homebrew).
fn vpx_folder() -> Result<Option<PathBuf>> {
    const NAME: &str = "libvpx.a";
    let found = Shell::new("cc", [format!("-print-file-name={NAME}")]).output()?;
    let folder = Shell::new("pkg-config", ["--variable=libdir", "vpx"]).output()?;
    let candidates = [
        PathBuf::from(found.trim()),
        Path::new(folder.trim()).join(NAME),
    ];

    // Without a file the compiler answers with the name alone.
    let file = candidates
        .into_iter()
        .find(|file| file.is_absolute() && file.exists());
    Ok(file.and_then(|file| file.parent().map(Path::to_owned)))
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
