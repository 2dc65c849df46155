//! A guest machine with a camera (`vivid`) and a sound card (`snd-aloop`): see `rig/guest.sh`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::part::{cache_dir, source};
use crate::process::{Process, built};

/// The file that exists once the guest's kernel has been downloaded.
pub fn kernel() -> PathBuf {
    cache_dir().join("guest/kernel/release")
}

/// A guest that runs one command, switched off when dropped.
pub struct Guest {
    process: Process,
    limit: Duration,
}

impl Guest {
    /// Boots and runs `command` in the guest. Both sides can write to the folder `share`, under the
    /// same path.
    ///
    /// # Errors
    /// When the emulator cannot be started.
    pub fn run<S: AsRef<OsStr>>(
        share: &Path,
        limit: Duration,
        command: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let seconds = limit.as_secs().to_string();
        let mut shell = Command::new("bash");
        shell
            .arg(source("rig/guest.sh"))
            .args(["run", "--timeout", &seconds, "--share"])
            .arg(share)
            .arg("--");
        shell.args(command).env("TANDEM_CACHE_DIR", cache_dir());
        // Its own process group, so that the emulator ends with the script.
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);

        Ok(Self {
            process: Process::start(shell)?,
            limit,
        })
    }

    /// Boots and runs a script that holds calls. Its arguments are the programs `tandem` and
    /// `tandem-signaling`, `share`, and the file with the functions that it needs
    /// (`rig/guest-call.sh`).
    ///
    /// # Errors
    /// When the emulator cannot be started.
    pub fn script(share: &Path, limit: Duration, script: &str) -> Result<Self> {
        let files = [
            built("tandem"),
            built("tandem-signaling"),
            share.to_owned(),
            source("rig/guest-call.sh"),
        ];
        let words = ["bash", "-c", script, "guest"].map(OsStr::new);
        Self::run(
            share,
            limit,
            words
                .into_iter()
                .chain(files.iter().map(|file| file.as_os_str())),
        )
    }

    /// Waits until the command ends. Returns its exit code and its output.
    ///
    /// # Errors
    /// When the guest takes longer than its limit.
    pub fn finish(mut self) -> Result<(i32, String)> {
        let code = self.process.wait(self.limit + Duration::from_secs(20))?;
        Ok((
            code.unwrap_or(125),
            format!("{}\n{}", self.process.stdout(), self.process.stderr()),
        ))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.process.is_running()
            && let Ok(group) = libc::pid_t::try_from(self.process.id())
        {
            // SAFETY: kill(2) takes plain numbers; the group is the one made for this script, which
            // still runs.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
    }
}
