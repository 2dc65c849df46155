//! `cargo xtask bench window`: `tests/examples/window_bench` operates the window and measures
//! it; this module watches its processes and prints the table.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::processes::{Usage, Watch};
use super::table;
use crate::shell::{Shell, heading, step};
use crate::{run, setup, workspace};

/// One phase of the benchmark: its figures, and what the processes of each window used.
struct Phase {
    name: String,
    figures: Value,
    usage: Vec<Usage>,
}

/// `cargo xtask bench window [--seconds N] [--program FILE]`. With a program, measures that one
/// instead of building Tandem: to compare two builds in turns.
///
/// # Errors
/// When Tandem cannot be built or its window cannot be opened.
pub(crate) fn window(arguments: &[&str]) -> Result<()> {
    let mut seconds: u64 = 15;
    let mut program = None;
    for pair in arguments.chunks(2) {
        match pair {
            ["--seconds", number] => {
                seconds = number.parse().context("--seconds takes a number")?;
            }
            ["--program", path] => program = Some(PathBuf::from(path)),
            _ => bail!("bench window takes --seconds N and --program FILE"),
        }
    }

    setup::test()?;
    if program.is_none() {
        run::build()?;
    }

    step("Building the signaling server and the benchmark", || {
        Shell::cargo(["build", "--locked", "--workspace", "--all-features"])
            .args(["--bins", "--examples"])
            .run()
    })?;
    let program = match program {
        Some(program) => program,
        None => workspace::binary("release", "tandem")?,
    };

    heading("Measuring");
    let phases = measure(program, seconds)?;
    heading("The window on this machine, with software rendering; calls at 720p30");
    print(&phases);
    println!("\n{}", table::machine());

    Ok(())
}

fn measure(program: PathBuf, seconds: u64) -> Result<Vec<Phase>> {
    let shell = Shell::new(
        workspace::binary("debug", "examples/window_bench")?,
        [program.into_os_string(), seconds.to_string().into()],
    );
    println!("  $ {}", shell.line());
    let mut child = shell
        .into_command()
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the benchmark")?;
    let output = child.stdout.take().context("its output is piped")?;
    let (mut phases, mut watches) = (Vec::new(), Vec::new());

    for line in BufReader::new(output).lines() {
        let mut event: Value = serde_json::from_str(&line?).context("the benchmark prints JSON")?;
        if let Some(pids) = event["pids"].as_array() {
            let pids = pids
                .iter()
                .filter_map(Value::as_u64)
                .filter_map(|pid| u32::try_from(pid).ok());
            watches = pids.map(|pid| Watch::start(pid, Duration::ZERO)).collect();
        } else if let Value::String(name) = event["end"].take() {
            let usage = std::mem::take(&mut watches)
                .into_iter()
                .map(Watch::finish)
                .collect();
            println!("  measured: {name}");
            phases.push(Phase {
                name,
                figures: event,
                usage,
            });
        }
    }

    let status = child.wait()?;
    if !status.success() {
        bail!("the benchmark failed ({status})");
    }

    Ok(phases)
}

fn print(phases: &[Phase]) {
    let row = |name: &str, value: Option<f64>, unit: &str, budget: &str| {
        let value = value.map_or_else(
            || String::from("not measured"),
            |value| format!("{value:.1} {unit}"),
        );
        println!("  {name:<56} {value:>16}   {budget}");
    };

    let of = |name: &str| {
        phases
            .iter()
            .filter(|phase| phase.name == name)
            .collect::<Vec<_>>()
    };

    let middle = |name: &str, field: &str| {
        median(
            of(name)
                .iter()
                .filter_map(|phase| phase.figures[field].as_f64())
                .collect(),
        )
    };

    for (phase, field, title, budget) in [
        ("start", "lobbyMs", "start → usable home screen", "≤ 1000"),
        (
            "start-alone",
            "lobbyMs",
            "the same, the server does not answer",
            "≤ 1000",
        ),
        ("start", "pictureMs", "start → first local frame", ""),
        (
            "join-open",
            "firstFrameMs",
            "click on Join → first remote frame",
            "≤ 600",
        ),
        (
            "join-closed",
            "firstFrameMs",
            "the same, started by the link",
            "≤ 2000",
        ),
        (
            "nearby",
            "firstFrameMs",
            "people nearby: accepted → first remote frame",
            "≤ 400",
        ),
    ] {
        let title = format!("{title} (median of 5)");
        row(&title, middle(phase, field), "ms", budget);
    }

    for (phase, title) in [
        ("call", "in a call with a headless peer"),
        ("large", "the same with the local video as large"),
        ("both", "in a call with each other, on the same two cores"),
    ] {
        for phase in of(phase) {
            println!("  {title}:");
            print_call(phase, row);
        }
    }

    for phase in of("order") {
        row(
            "older frames shown after newer ones",
            phase.figures["stale"].as_f64(),
            "",
            "0",
        );
    }

    for (phase, what, budget) in [
        ("idle", "preview off, no microphone", "≤ 0.5"),
        (
            "idle-microphone",
            "preview off, silent microphone metered",
            "≤ 1",
        ),
        ("idle-room", "preview off, a room's noise metered", "≤ 1"),
        ("nearby-idle", "people nearby open, nothing else", "≤ 1"),
    ] {
        for phase in of(phase) {
            let cores = phase.usage.first().and_then(|usage| usage.cores);
            row(
                &format!("home screen, {what}: CPU"),
                cores.map(|cores| cores * 100.0),
                "%",
                budget,
            );
        }
    }
}

fn print_call(phase: &Phase, row: impl Fn(&str, Option<f64>, &str, &str)) {
    for (number, window) in phase.figures["windows"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        for (at, stream) in ["remote", "local"].iter().enumerate() {
            let figure = |field: &str| window[at][field].as_f64();
            let size = format!("{}x{}", window[at]["width"], window[at]["height"]);
            row(
                &format!("window {number}: {stream} frames drawn ({size})"),
                figure("fps"),
                "/s",
                "≥ 28",
            );

            row(
                &format!("window {number}: {stream}, due → drawn, p95"),
                figure("ageMsP95"),
                "ms",
                "≤ 25",
            );
        }
    }

    for (number, usage) in phase.usage.iter().enumerate() {
        let cpu = usage.cores.map(|cores| cores * 100.0);
        row(
            &format!("window {number}: CPU, app and web view"),
            cpu,
            "%",
            "≤ 130",
        );

        row(
            &format!("window {number}: memory (PSS)"),
            usage.pss_bytes.map(|bytes| bytes / 1e6),
            "MB",
            "≤ 350",
        );
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
