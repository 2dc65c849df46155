//! The browser of a guest on the signaling server's page, operated by the test
//! (`browser/guest.mjs`).

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::network::Host;
use crate::part::source;
use crate::process::{Process, wait_until};

/// How long one command may take: longer than what it waits for itself.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Arguments of a headless Tandem that has made an invite and waits for the guest.
pub const INVITING: [&str; 7] = [
    "--room",
    "7-garden-lantern",
    "--invite",
    "--speaker",
    "none",
    "--wait",
    "90s",
];
/// The link of this invite, without the server's address.
pub const LINK: &str = "/j/7#garden-lantern";

/// Which browser it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's Chromium.
    Chromium,
    /// Debian's Firefox.
    Firefox,
}

/// What the browser has for devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// A fake camera and a fake microphone, allowed without a question.
    Fake,
    /// The same, but the user refuses.
    Denied,
    /// None at all.
    None,
}

/// A browser with one or more tabs, closed when dropped.
pub struct GuestBrowser {
    process: Process,
    /// How many answers have been read.
    answers: Cell<usize>,
}

impl GuestBrowser {
    /// Opens the browser. It trusts the certificate in this file.
    ///
    /// # Errors
    /// When it does not open within 90 s.
    pub fn open(kind: Kind, devices: Devices, cert: &Path) -> Result<Self> {
        Self::open_with(kind, devices, cert, &[])
    }

    /// The same with further options of `browser/guest.mjs`.
    ///
    /// # Errors
    /// When it does not open within 90 s.
    pub fn open_with(kind: Kind, devices: Devices, cert: &Path, options: &[&str]) -> Result<Self> {
        Self::start(Command::new("node"), kind, devices, cert, options)
    }

    /// Opens the browser with a fake camera and a fake microphone on a host of a network.
    ///
    /// # Errors
    /// When it does not open within 90 s.
    pub fn open_on(host: &Host, kind: Kind, cert: &Path) -> Result<Self> {
        Self::start(host.command("node"), kind, Devices::Fake, cert, &[])
    }

    fn start(
        mut command: Command,
        kind: Kind,
        devices: Devices,
        cert: &Path,
        options: &[&str],
    ) -> Result<Self> {
        command.arg(source("browser/guest.mjs"));
        command.args([
            "--browser",
            match kind {
                Kind::Chromium => "chromium",
                Kind::Firefox => "firefox",
            },
            "--devices",
            match devices {
                Devices::Fake => "fake",
                Devices::Denied => "denied",
                Devices::None => "none",
            },
        ]);
        command.arg("--cert").arg(cert).args(options);

        let browser = Self {
            process: Process::start_with_input(command)?,
            answers: Cell::new(0),
        };
        browser.answer()?;
        Ok(browser)
    }

    /// Runs a command of `browser/guest.mjs` and returns its result.
    ///
    /// # Errors
    /// When it fails, with what the page shows.
    pub fn run(&mut self, command: &Value) -> Result<Value> {
        self.process.write_line(&command.to_string())?;
        self.answer()
            .with_context(|| format!("the browser could not do {command}"))
    }

    /// Opens a page, and returns after how many milliseconds it could be used.
    ///
    /// # Errors
    /// When it does not open.
    pub fn visit(&mut self, url: &str) -> Result<Value> {
        self.run(&json!({ "do": "open", "url": url }))
    }

    /// Checks that the page had no error, violated no policy, and asked nobody but this server for
    /// anything.
    ///
    /// # Errors
    /// When that is not so.
    pub fn ensure_quiet(&mut self, server: &str) -> Result<()> {
        let page = self.look()?;
        ensure!(page["errors"] == json!([]), "errors: {}", page["errors"]);

        let requests = page["requests"].as_array().context("a list")?;
        for request in requests.iter().filter_map(Value::as_str) {
            let is_own = request.starts_with(server) || request.starts_with("data:");
            ensure!(is_own, "a request to another server: {request}");
        }

        Ok(())
    }

    /// Clicks the button with this `data-action`.
    ///
    /// # Errors
    /// When there is none.
    pub fn press(&mut self, action: &str) -> Result<()> {
        self.run(&json!({ "do": "press", "action": action }))
            .map(drop)
    }

    /// Joins a headless Tandem, which may not be in the room yet, and waits for the call.
    ///
    /// # Errors
    /// When they do not connect within 90 s.
    pub fn join(&mut self) -> Result<()> {
        self.press("join")?;
        wait_until("a call", TIMEOUT, || {
            let look = |guest: &mut Self| -> Result<bool> {
                let page = guest.wait_for_screen("in-call|ended")?;
                if page["screen"] == "in-call" {
                    return Ok(true);
                }

                ensure!(page["reason"] == "unknownCode", "the call ended: {page}");
                guest.press("join-again")?;
                Ok(false)
            };
            match look(self) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })?
    }

    /// Waits for this screen, and returns what the page shows.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for_screen(&mut self, name: &str) -> Result<Value> {
        self.run(&json!({ "do": "screen", "name": name }))
    }

    /// What the page shows now.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn look(&mut self) -> Result<Value> {
        self.run(&json!({ "do": "look" }))
    }

    fn answer(&self) -> Result<Value> {
        let number = self.answers.get();
        self.answers.set(number + 1);

        let seen = Cell::new(0);
        let answer = self.process.wait_for_line(TIMEOUT, |line| {
            let answer: Value = serde_json::from_str(line).ok()?;
            let index = seen.replace(seen.get() + 1);
            (index == number).then_some(answer)
        })?;

        match answer.get("error") {
            Some(error) => bail!("{error}"),
            None => Ok(answer["ok"].clone()),
        }
    }
}

impl Drop for GuestBrowser {
    fn drop(&mut self) {
        if self.process.is_running() {
            // The script closes its browser when its input ends or on this signal; a kill would
            // leave the browser behind.
            self.process.signal(libc::SIGTERM);
            let _ = self.process.wait(Duration::from_secs(10));
        }
    }
}
