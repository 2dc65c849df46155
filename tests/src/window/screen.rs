//! A screen that nobody sees.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;

/// A private X server. Dropping it ends it.
pub struct Screen {
    _server: Process,
    display: String,
}

impl Screen {
    /// Starts it on a display number of its own choice.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]);
        let server = Process::start(command)?;
        let number = server.wait_for_line(Duration::from_secs(20), |line| line.trim().parse::<u32>().ok())?;
        Ok(Self { _server: server, display: format!(":{number}") })
    }

    /// The variables that bring a program here.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        [
            ("DISPLAY", self.display.as_str()),
            ("GDK_BACKEND", "x11"),
            ("WAYLAND_DISPLAY", ""),
            // No session to talk to: without this GTK looks for one, and waits.
            ("NO_AT_BRIDGE", "1"),
            ("GTK_USE_PORTAL", "0"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec()
    }
}
