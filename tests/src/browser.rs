//! Chromium as one end of a call (`browser/peer.mjs`), and as the browser of a person who was
//! invited to one (`browser/invite.mjs`).

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::guest_browser::Kind;
use crate::network::Host;
use crate::part::source;
use crate::process::Process;

/// A browser in a room, closed when dropped.
pub struct Browser {
    process: Process,
}

/// What a browser does that others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Nothing.
    None,
    /// It also sends unparsable candidates.
    BrokenCandidates,
    /// It offers its video in two sizes (simulcast, RFC 8853), if it makes the offer.
    TwoSizes,
}

/// What a browser does.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Which browser.
    pub kind: Kind,
    /// The signaling server's WebSocket URL.
    pub signaling: &'a str,
    /// The room's code.
    pub room: &'a str,
    /// The preferred codec: `h264` or `vp8`.
    pub codec: &'a str,
    /// `camera` for Chromium's fake camera, `pattern` for the test pattern with frame number and
    /// time.
    pub source: &'a str,
    /// What is odd about it.
    pub oddity: Oddity,
    /// Length of the call after the first frame, in seconds.
    pub seconds: u32,
}

impl Browser {
    /// Opens the browser and sends it into the room. Returns once it is searching there.
    ///
    /// # Errors
    /// When that takes longer than 60 s: a browser's cold start is slow on a busy machine.
    pub fn open(options: &Options<'_>) -> Result<Self> {
        Self::open_with(Command::new("node"), options)
    }

    /// The same on a host of a network.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(host: &Host, options: &Options<'_>) -> Result<Self> {
        Self::open_with(host.command("node"), options)
    }

    fn open_with(mut command: Command, options: &Options<'_>) -> Result<Self> {
        command.arg(source("browser/peer.mjs"));
        command.args([
            "--signaling",
            options.signaling,
            "--room",
            options.room,
            "--codec",
            options.codec,
            "--browser",
            match options.kind {
                Kind::Chromium => "chromium",
                Kind::Firefox => "firefox",
            },
        ]);

        command.args([
            "--source",
            options.source,
            "--seconds",
            &options.seconds.to_string(),
        ]);

        match options.oddity {
            Oddity::None => {}
            Oddity::BrokenCandidates => {
                command.args(["--candidates", "broken"]);
            }
            Oddity::TwoSizes => {
                command.args(["--layers", "2"]);
            }
        }

        let browser = Self {
            process: Process::start(command)?,
        };

        browser.event("searching", Duration::from_secs(60))?;
        Ok(browser)
    }

    /// Waits for an event of the script.
    ///
    /// # Errors
    /// When it does not come within `limit`.
    pub fn event(&self, name: &str, limit: Duration) -> Result<Value> {
        self.process.wait_for_line(limit, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == name).then_some(event)
        })
    }

    /// Waits for the end of the call and returns the browser's report.
    ///
    /// # Errors
    /// When there is no report within `limit`, or the script fails.
    pub fn report(mut self, limit: Duration) -> Result<Value> {
        let report = self.event("report", limit)?;
        let code = self.process.wait(Duration::from_secs(30))?;
        anyhow::ensure!(
            code == Some(0),
            "the browser's script ended with {code:?}: {}",
            self.process.stderr()
        );

        Ok(report)
    }
}

/// Opens each of these URLs as a person does who was sent one, with `server` as the machine behind
/// every host, and returns what each page showed.
///
/// # Errors
/// When the browser fails, or does not show a page within 60 s.
pub fn open_invites(server: SocketAddr, urls: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new("node");
    command
        .arg(source("browser/invite.mjs"))
        .arg(server.port().to_string())
        .args(urls);

    let process = Process::start(command)?;
    let shown = |url: &&str| {
        process.wait_for_line(Duration::from_secs(60), |line| {
            let page: Value = serde_json::from_str(line).ok()?;
            (page["url"] == **url).then_some(page)
        })
    };

    urls.iter().map(shown).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.process.is_running() {
            // The driver closes its browser on this signal; a kill would leave it behind.
            self.process.signal(libc::SIGTERM);
            let _ = self
                .process
                .wait(Duration::from_secs(10))
                .context("the browser did not close");
        }
    }
}
