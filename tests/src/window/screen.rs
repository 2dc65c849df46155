//! A virtual X screen (Xvfb) for the window.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, tool, wait_until};

/// A private X server, stopped when dropped.
pub struct Screen {
    // Dropped in this order.
    manager: Option<Process>,
    _server: Process,
    display: String,
}

impl Screen {
    /// Starts the server on a display number that it chooses itself.
    ///
    /// # Errors
    /// When it does not start within 20 s.
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
            manager: None,
            _server: server,
            display: format!(":{number}"),
        })
    }

    /// The same with a window manager: a window has the focus when it opens, and loses it to the
    /// next.
    ///
    /// # Errors
    /// When server or manager do not start within 20 s.
    pub fn start_managed() -> Result<Self> {
        let mut screen = Self::start()?;
        let mut command = Command::new("openbox");
        command.envs(screen.environment());
        screen.manager = Some(Process::start(command)?);

        wait_until("the window manager", Duration::from_secs(20), || {
            let asked = [
                "-display",
                &screen.display,
                "-root",
                "_NET_SUPPORTING_WM_CHECK",
            ];
            let answer = tool("xprop", asked).ok()?;
            let answer = String::from_utf8_lossy(&answer);
            answer.contains("window id").then_some(())
        })?;

        Ok(screen)
    }

    /// The id of the process whose titled window is in front of all others.
    ///
    /// # Errors
    /// When the X tools cannot be started.
    pub fn front_process(&self) -> Result<Option<u32>> {
        let ask = |program: &str, arguments: &[&str]| -> Result<String> {
            let output = Command::new(program)
                .args(["-display", &self.display])
                .args(arguments)
                .output();
            let output = output.with_context(|| format!("cannot start {program}"))?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };

        // The children of the root window, front to back. Only titled windows have a quoted name in
        // their line.
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

    /// The environment variables that make a program open its window on this screen.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        [
            ("DISPLAY", self.display.as_str()),
            ("GDK_BACKEND", "x11"),
            ("WAYLAND_DISPLAY", ""),
            // No message bus, unless a test sets one. GTK would start one with dbus-launch, where
            // that is installed, and it would outlive the test.
            ("DBUS_SESSION_BUS_ADDRESS", "disabled:"),
            // There is no desktop session. Without these, GTK looks for one and waits.
            ("NO_AT_BRIDGE", "1"),
            ("GTK_USE_PORTAL", "0"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec()
    }
}
