//! An overlay file system over `/`, in its own mount namespace, that keeps all changes in memory.
//!
//! Tests install and remove packages in it with the system's tools, and nothing outside changes.
//! Devices, processes and the folder for temporary files are shared with the machine.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, wait_until};

/// Mounts the overlay on the folder `$1`, shares the folder `$2`, prints `ready`, and keeps
/// running, because the namespace lives only as long as this process.
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
    /// Declared first, so that the namespace ends before its folder is removed.
    holder: Process,
    _folder: tempfile::TempDir,
}

impl Overlay {
    /// Checks that overlays work on this machine.
    ///
    /// # Errors
    /// When the user may not mount, or `/` cannot be overlaid. The text says which.
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
    /// When the user may not mount, or `/` cannot be overlaid.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tandem-overlay")
            .tempdir()?;
        let shared = std::env::temp_dir();
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
            .arg(&shared);
        let holder = Process::start(command)?;
        holder.wait_for_line(Duration::from_secs(20), |line| {
            (line == "ready").then_some(())
        })?;

        let overlay = Self {
            holder,
            _folder: folder,
        };

        // `ready` comes before chroot: wait until the process has the overlay as its root.
        wait_until("the overlay is mounted", Duration::from_secs(20), || {
            overlay
                .run("stat", ["-f", "-c", "%T", "/"])
                .ok()
                .filter(|kind| kind.trim() == "overlayfs")
        })?;

        Ok(overlay)
    }

    /// Prepares a command that runs in the overlay.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command
            .args(["--target", &target, "--mount", "--root", "--wd"])
            .arg(program);

        command
    }

    /// Runs a program in the overlay and returns its standard output.
    ///
    /// # Errors
    /// When it fails. The error quotes both outputs.
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

        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );

        ensure!(
            output.status.success(),
            "{program} failed ({}): {stdout}{stderr}",
            output.status
        );
        Ok(stdout.into_owned())
    }
}
