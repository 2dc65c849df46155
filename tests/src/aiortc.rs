//! aiortc as one end of a call: an implementation of WebRTC in Python (`aiortc/partner.py`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::part::{cache_dir, source};
use crate::process::Process;

/// The folder in which `cargo xtask setup` installs the packages.
pub fn packages() -> PathBuf {
    cache_dir().join("aiortc")
}

/// How long Python and its packages may take to load.
const SEARCHING: Duration = Duration::from_secs(60);

/// A partner in a room, stopped when dropped.
pub struct Aiortc {
    process: Process,
}

impl Aiortc {
    /// Sends a partner into `room` and returns once it searches there. It prefers `codec` (`h264`,
    /// `vp8`) and does what `plan` says, see `partner.py`. It hangs up `seconds` after the connection
    /// is up.
    ///
    /// # Errors
    /// When Python cannot be started, or takes too long for that.
    pub fn start(
        signaling: &str,
        room: &str,
        codec: &str,
        plan: &str,
        seconds: u32,
    ) -> Result<Self> {
        let mut command = Command::new("python3");
        command
            .env("PYTHONPATH", packages())
            .arg(source("aiortc/partner.py"))
            .args([signaling, room, codec, plan, &seconds.to_string()]);
        let process = Process::start(command)?;
        process.wait_for_line(SEARCHING, |line| (line == "searching").then_some(()))?;
        Ok(Self { process })
    }

    /// Waits for the end of the call, and returns what the partner received.
    ///
    /// # Errors
    /// When it does not end within `limit`, or the partner failed.
    pub fn finish(mut self, limit: Duration) -> Result<Value> {
        let code = self.process.wait(limit)?;
        if code != Some(0) {
            bail!("aiortc ended with {code:?}: {}", self.process.stderr());
        }

        let text = self.process.stdout();
        let report = text.lines().last().context("aiortc printed nothing")?;
        serde_json::from_str(report).with_context(|| format!("aiortc printed {report}"))
    }
}
