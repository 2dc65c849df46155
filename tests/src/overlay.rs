//! This machine with all changes kept in memory.
//!
//! An overlay file system over `/` in its own mount namespace. Tests install and remove packages there with the system's
//! tools, and nothing outside changes. Devices, processes and the folder for temporary files are those of the machine.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, wait_until};

/// Mounts the overlay on the folder `$1`, keeps the folder `$2`, prints `ready`, and stays: the namespace exists as long as
/// this process.
const MOUNT: &str = "
    set -e
    mount -t tmpfs -o mode=755 tandem-overlay \"$1\"
    mkdir \"$1/changes\" \"$1/work\" \"$1/root\"
    mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/changes,workdir=$1/work\" \"$1/root\"
    for folder in /proc /sys /dev \"$2\"; do mount --rbind \"$folder\" \"$1/root$folder\"; done
    cd \"$1/root\"
    echo ready
    exec chroot . sleep 3600";

/// A mounted overlay. Dropping it discards all changes.
pub struct Overlay {
    /// Declared first: the namespace ends before its folder goes.
    holder: Process,
    _folder: tempfile::TempDir,
}

impl Overlay {
    /// Whether overlays work on this machine. `Err` says why not.
    ///
    /// # Errors
    /// When the user may not mount, or the system's root cannot be overlaid.
    pub fn check() -> std::result::Result<(), String> {
        // SAFETY: geteuid(2) cannot fail and touches nothing.
        if unsafe { libc::geteuid() } != 0 {
            return Err(String::from(
                "only root can install packages, even into an overlay",
            ));
        }

        Self::start()
            .map(drop)
            .map_err(|error| format!("cannot mount an overlay over /: {error:#}"))
    }

    /// Mounts an overlay.
    ///
    /// # Errors
    /// When the user may not mount, or the system's root cannot be overlaid.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tandem-overlay")
            .tempdir()?;
        let kept = std::env::temp_dir();
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                MOUNT,
                "sh",
            ])
            .arg(folder.path())
            .arg(&kept);
        let holder = Process::start(command)?;
        holder.wait_for_line(Duration::from_secs(20), |line| {
            (line == "ready").then_some(())
        })?;

        let overlay = Self {
            holder,
            _folder: folder,
        };

        // The process is inside once it sees the overlay as its root.
        wait_until("the overlay is mounted", Duration::from_secs(20), || {
            overlay
                .run("stat", ["-f", "-c", "%T", "/"])
                .ok()
                .filter(|kind| kind.trim() == "overlayfs")
        })?;

        Ok(overlay)
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command
            .args(["--target", &target, "--mount", "--root", "--wd"])
            .arg(program);

        command
    }

    /// Runs a program inside and returns its output.
    ///
    /// # Errors
    /// When it fails, with its output.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot start {program}"))?;

        let (said, log) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );

        ensure!(
            output.status.success(),
            "{program} failed ({}): {said}{log}",
            output.status
        );
        Ok(said.into_owned())
    }
}
