//! One call between two Tandem processes through a signaling server process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::plan::{Figures, Plan};
use super::processes::{SETTLING, Watch};
use crate::shell::Shell;
use crate::workspace;

/// A signaling server process, killed when dropped.
pub(crate) struct SignalingServer {
    process: Child,
    /// The URL that clients connect to.
    pub(crate) url: String,
}

impl SignalingServer {
    /// Starts the release build on a port that the system picks.
    pub(crate) fn start() -> Result<Self> {
        let binary = workspace::binary("release", "tandem-signaling")?;
        let mut command =
            Shell::new(binary, ["--listen", "127.0.0.1:0", "--allow-origin", "*"]).into_command();
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the signaling server")?;

        let stdout = process
            .stdout
            .take()
            .context("the server's output is piped")?;

        let mut server = Self {
            process,
            url: String::new(),
        };

        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        lines
            .read_line(&mut line)
            .context("cannot read the server's output")?;
        let is_end = |letter: char| !(letter.is_ascii_digit() || ".:".contains(letter));
        let address = line
            .split(is_end)
            .find(|word| word.starts_with("127.0.0.1:"));
        server.url = format!(
            "ws://{}/ws",
            address.context("the server's first line names no address")?
        );
        // Keep reading, so that further output does not block it.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));

        Ok(server)
    }
}

impl Drop for SignalingServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes the call and returns both peers' figures.
pub(crate) fn call(plan: &Plan) -> Result<Vec<Figures>> {
    let server = SignalingServer::start()?;
    let peers = [start(plan, &server)?, start(plan, &server)?];
    let watches = peers
        .each_ref()
        .map(|peer| Watch::start(peer.id(), SETTLING));
    // Measure while both processes run; their reports come later.
    thread::sleep(plan.call);
    let usages = watches.map(Watch::finish);

    peers
        .into_iter()
        .zip(usages)
        .map(|(peer, usage)| {
            let mut figures = finish(peer)?;
            (figures.cores, figures.pss_bytes) = (usage.cores, usage.pss_bytes);
            Ok(figures)
        })
        .collect()
}

/// Starts one peer, which prints its report at the end of the call.
pub(crate) fn start(plan: &Plan, server: &SignalingServer) -> Result<Child> {
    let duration = format!("{}s", plan.call.as_secs());
    let arguments = [
        "--headless",
        "--signaling",
        &server.url,
        "--room",
        "bench",
        "--size",
        "1280x720",
        "--fps",
        "30",
        "--duration",
        &duration,
        "--wait",
        "20s",
        "--report",
        "-",
        "--log-level",
        "error",
    ];
    let shell = Shell::new(workspace::binary("release", "tandem")?, arguments);
    println!("  $ {}", shell.line());

    shell
        .into_command()
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tandem")
}

/// Waits for a peer's report.
pub(crate) fn finish(peer: Child) -> Result<Figures> {
    Ok(figures(&report(peer)?))
}

fn report(mut peer: Child) -> Result<Value> {
    let mut text = String::new();
    peer.stdout
        .take()
        .context("tandem's output is piped")?
        .read_to_string(&mut text)
        .context("no report")?;
    let status = peer.wait().context("cannot wait for tandem")?;

    if !status.success() {
        bail!("the call failed ({status}): {}", text.trim());
    }

    serde_json::from_str(&text).context("the report is not JSON")
}

fn figures(report: &Value) -> Figures {
    let figure = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let first_frame = figure("/timingsMs/firstRemoteFrame").zip(figure("/timingsMs/matched"));
    Figures {
        fps: figure("/video/received/fps"),
        first_frame_ms: first_frame.map(|(frame, matched)| frame - matched),
        glass_to_glass_p50_ms: figure("/video/received/glassToGlassMsP50"),
        glass_to_glass_p95_ms: figure("/video/received/glassToGlassMsP95"),
        mouth_to_ear_p50_ms: figure("/audio/received/mouthToEarMsP50"),
        freezes: figure("/video/received/freezes"),
        ..Figures::default()
    }
}
