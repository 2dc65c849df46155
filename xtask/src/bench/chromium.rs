//! The same call between two browsers: `tests/browser/bench.mjs` opens them, this watches what they
//! take.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::plan::{Figures, Plan};
use super::processes::{SETTLING, Watch};
use super::tandem::SignalingServer;
use crate::shell::Shell;

/// Makes the call and returns both peers' figures.
///
/// # Errors
/// When Chromium or its driver is missing, or the call fails.
pub(crate) fn call(plan: &Plan) -> Result<Vec<Figures>> {
    let server = SignalingServer::start()?;
    let seconds = plan.call.as_secs().to_string();
    let shell = Shell::new(
        "node",
        [
            "tests/browser/bench.mjs",
            "--signaling",
            &server.url,
            "--seconds",
            &seconds,
        ],
    );
    println!("  $ {}", shell.line());
    let mut script = shell
        .into_command()
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start node")?;

    let stdout = script
        .stdout
        .take()
        .context("the script's output is piped")?;
    let mut watches = Vec::new();
    let mut usages = Vec::new();
    let mut figures = Vec::new();

    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read the script's output")?;
        let event: Value =
            serde_json::from_str(&line).with_context(|| format!("not an event: {line}"))?;

        match event["event"].as_str() {
            Some("connected") => {
                let pids = event["pids"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_u64);

                watches = pids
                    .filter_map(|pid| u32::try_from(pid).ok())
                    .map(|pid| Watch::start(pid, SETTLING))
                    .collect();
            }
            // The browsers keep running until the script ends.
            Some("ending") => usages = watches.drain(..).map(Watch::finish).collect(),
            Some("report") => {
                figures = event["peers"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(read)
                    .collect();
            }
            _ => bail!("unknown event: {line}"),
        }
    }

    let status = script.wait().context("cannot wait for the script")?;
    if !status.success() || figures.is_empty() {
        bail!("tests/browser/bench.mjs gave no report ({status})");
    }

    for (figures, usage) in figures.iter_mut().zip(usages) {
        (figures.cores, figures.pss_bytes) = (usage.cores, usage.pss_bytes);
    }

    Ok(figures)
}

fn read(peer: &Value) -> Figures {
    let figure = |name: &str| peer[name].as_f64();
    Figures {
        fps: figure("fps"),
        first_frame_ms: figure("firstFrameMs"),
        glass_to_glass_p50_ms: figure("glassToGlassMsP50"),
        glass_to_glass_p95_ms: figure("glassToGlassMsP95"),
        freezes: figure("freezes"),
        ..Figures::default()
    }
}
