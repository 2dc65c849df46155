//! `cargo xtask fuzz`: every fuzz target for some minutes, as many at once as there are cores.

use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, heading, step};
use crate::{page, setup, workspace};

/// `cargo fuzz` needs nightly features; this lets the stable compiler use them.
const NIGHTLY: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    targets: Vec<String>,
    /// For each.
    seconds: u32,
}

impl Plan {
    /// `known`: all targets.
    fn parse(arguments: &[&str], known: &[String]) -> Result<Self> {
        let mut plan = Self {
            targets: Vec::new(),
            seconds: 600,
        };

        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if *word == "--seconds" {
                let seconds = words.next().and_then(|value| value.parse().ok());
                plan.seconds = seconds
                    .filter(|seconds| *seconds > 0)
                    .context("--seconds takes a number of 1 or more")?;
            } else if known.iter().any(|name| name == word) {
                plan.targets.push((*word).to_owned());
            } else {
                bail!("`{word}` is no fuzz target; there are {}", known.join(", "));
            }
        }

        if plan.targets.is_empty() {
            plan.targets = known.to_vec();
        }

        Ok(plan)
    }
}

/// `cargo xtask fuzz [TARGET …] [--seconds N]`. The exit code is a failure if a target found something.
pub(crate) fn fuzz(arguments: &[&str]) -> Result<ExitCode> {
    let plan = Plan::parse(arguments, &targets()?)?;
    setup::build()?;
    if !setup::cargo_tool("fuzz", "0.13.2") {
        bail!("cargo-fuzz could not be built on this machine");
    }

    // The desktop program embeds it. While it is missing, cargo builds that anew for every target.
    page::build_if_changed()?;
    step("Building the fuzz targets", || build(&plan.targets))?;
    let cores = std::thread::available_parallelism()?.get();
    heading(&format!(
        "Fuzzing {} targets, {cores} at a time, {} s each",
        plan.targets.len(),
        plan.seconds
    ));

    let waiting = Mutex::new(plan.targets.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(target) = next(&waiting) {
                    if let Err(error) = run(&target, plan.seconds) {
                        println!("  FAILED   {target}: {error:#}");
                        failed.lock().expect("nobody panics").push(target);
                    }
                }
            });
        }
    });

    let failed = failed.into_inner().expect("nobody panics");
    if failed.is_empty() {
        println!("\nNothing was found.");
        return Ok(ExitCode::SUCCESS);
    }

    println!(
        "\nThe inputs are in fuzz/artifacts, for {}.",
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn next(waiting: &Mutex<std::vec::IntoIter<String>>) -> Option<String> {
    waiting.lock().expect("nobody panics").next()
}

/// The names of all targets: of the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }

    names.sort();
    Ok(names)
}

/// Builds one target, or all of them at once: one after the other takes longer than all.
fn build(targets: &[String]) -> Result<()> {
    let one = match targets {
        [target] => Some(target.as_str()),
        _ => None,
    };
    cargo_fuzz("build").args(one).run()
}

/// Fuzzes one target and prints how many inputs it has tried.
fn run(target: &str, seconds: u32) -> Result<()> {
    // libFuzzer puts new inputs into the first folder, and reads both.
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    let seeds = workspace::root().join("fuzz/seeds").join(target);
    std::fs::create_dir_all(&corpus)
        .with_context(|| format!("cannot make {}", corpus.display()))?;

    let mut shell = cargo_fuzz("run").args([target]).args([&corpus]);
    if seeds.exists() {
        shell = shell.args([&seeds]);
    }

    let limit = format!("-max_total_time={seconds}");
    let (output, status) = shell
        .args(["--", limit.as_str(), "-print_final_stats=1"])
        .transcript()?;
    if !status.success() {
        let lines: Vec<&str> = output.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        bail!("{status}\n{}", tail.join("\n"));
    }

    let tried = figure(&output, "stat::number_of_executed_units:").context("it tried nothing")?;
    println!("  clean    {target}: {tried} inputs");
    Ok(())
}

/// `cargo fuzz` with a folder for its builds of its own: they use other compiler options.
fn cargo_fuzz(subcommand: &str) -> Shell {
    Shell::cargo(["fuzz", subcommand])
        .env(NIGHTLY.0, NIGHTLY.1)
        .without_env("CARGO_TARGET_DIR")
}

/// The number after `name` in what libFuzzer prints at its end.
fn figure<'a>(output: &'a str, name: &str) -> Option<&'a str> {
    let line = output.lines().rev().find(|line| line.starts_with(name))?;
    let number = line[name.len()..].trim();
    (number.parse::<u64>().ok()? > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["rtcp", "y4m"].map(str::to_owned).to_vec()
    }

    #[test]
    fn all_targets_run_for_ten_minutes_unless_told_otherwise() {
        let plan = Plan::parse(&[], &known()).expect("no arguments are fine");
        assert_eq!((plan.targets, plan.seconds), (known(), 600));

        let plan = Plan::parse(&["y4m", "--seconds", "5"], &known()).expect("a plan");
        assert_eq!((plan.targets, plan.seconds), (vec!["y4m".to_owned()], 5));
    }

    #[test]
    fn bad_arguments_are_named() {
        for (arguments, named) in [
            (&["rtp"][..], "`rtp` is no fuzz target; there are rtcp, y4m"),
            (&["--seconds"], "--seconds takes a number"),
            (&["--seconds", "0"], "--seconds takes a number"),
            (&["--seconds", "soon"], "--seconds takes a number"),
        ] {
            let error = Plan::parse(arguments, &known()).expect_err("it is refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn the_targets_are_those_of_the_manifest() {
        let manifest = std::fs::read_to_string(workspace::root().join("fuzz/Cargo.toml"))
            .expect("the manifest is there");
        let names = targets().expect("the folder is there");
        assert!(names.len() > 10);
        assert_eq!(manifest.matches("[[bin]]").count(), names.len());
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }

    #[test]
    fn a_run_that_tried_nothing_is_not_clean() {
        let stats = "Done 12 runs\nstat::number_of_executed_units: 12\nstat::peak_rss_mb: 40\n";
        let name = "stat::number_of_executed_units:";
        assert_eq!(figure(stats, name), Some("12"));
        assert_eq!(figure("stat::number_of_executed_units: 0\n", name), None);
        assert_eq!(figure("", name), None);
    }
}
