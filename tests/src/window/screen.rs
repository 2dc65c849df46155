//! A screen that nobody sees.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

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
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1600x1000x24",
            "-nolisten",
            "tcp",
        ]);
        let server = Process::start(command)?;
        let number = server.wait_for_line(Duration::from_secs(20), |line| {
            line.trim().parse::<u32>().ok()
        })?;

        Ok(Self {
            _server: server,
            display: format!(":{number}"),
        })
    }

    /// The process whose window is in front of all others, among those with a title.
    ///
    /// # Errors
    /// When the X tools do not answer.
    pub fn front(&self) -> Result<Option<u32>> {
        let ask = |program: &str, arguments: &[&str]| -> Result<String> {
            let output = Command::new(program)
                .args(["-display", &self.display])
                .args(arguments)
                .output();
            let output = output.with_context(|| format!("cannot start {program}"))?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };

        // Children of the root, the one in front first; only a line of a titled window has a quoted name.
        let tree = ask("xwininfo", &["-root", "-children"])?;
        let titled = |line: &&str| line.trim_start().starts_with("0x") && line.contains(" \"");

        for line in tree.lines().filter(titled) {
            let id = line.split_whitespace().next().unwrap_or_default();
            if !ask("xwininfo", &["-id", id])?.contains("IsViewable") {
                continue;
            }

            let property = ask("xprop", &["-id", id, "_NET_WM_PID"])?;
            if let Some(process) = property
                .rsplit_once("= ")
                .and_then(|(_, process)| process.trim().parse().ok())
            {
                return Ok(Some(process));
            }
        }

        Ok(None)
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
