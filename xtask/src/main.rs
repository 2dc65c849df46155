//! Chores of the workspace: `cargo xtask run`, `test`, `cross`, `bench`, `link`, `screenshots`,
//! `bundle`, `notices`, `sbom`, `version`, `workflows`, `fuzz`, `setup` and `lint`.
//!
//! Each chore first looks for what this machine lacks. It installs that if root, or a `sudo` that
//! needs no password, is enough; otherwise it prints the command to run. When nothing is missing
//! this takes a moment.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a command-line tool measures real time"
)]

mod assets;
mod bench;
mod bundle;
mod checks;
mod cross;
mod fuzz;
mod imports;
#[cfg(target_os = "linux")]
mod link;
mod lint;
mod needs;
mod notices;
mod npm;
mod packages;
mod page;
mod release;
mod run;
mod setup;
mod shell;
mod test;
mod version;
mod vpx;
mod window;
mod workflows;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Chores of the Tandem workspace.

Usage: cargo xtask CHORE

  run [-- ARGS]   build Tandem and open its window; ARGS go to tandem.
                  Where there is no screen, or ARGS ask for it (--pair, --duration, …), make a call
                  instead: two peers in one process, through the server inside it (10 s, test video
                  and audio); print the report and save out/remote.png. ARGS override these defaults;
                  with --headless or `devices` among them, tandem gets ARGS only
  test [--fast]   format, lints, every test, licenses; --fast leaves out the whole-system tests
                  and the checks for Windows and macOS
  cross           the checks for Windows and macOS alone
  bench call      Tandem <-> Tandem beside Chromium <-> Chromium on this machine, as a table
  bench soak      a call of ten minutes: memory, descriptors and threads, one line per minute
  bench signaling the signaling server under load, as a table; `bench signaling churn SECONDS [redis]`
                  measures what clients leave behind when they come and go
  bench window    the window: start, frames per second, latency, CPU and memory, as a table;
                  `--program FILE` measures another build
  bench micro     the criterion benchmarks of all crates
  link SPEC [A B] a simulated link between two network namespaces, for programs that are not ours,
                  until Ctrl-C; `link profiles` lists the links with names and their sources (Linux)
  fuzz [TARGET …] [--seconds N]
                  fuzz these targets, or all, for N seconds each (600), as many at once as
                  there are cores
  screenshots     every screen of the real window, light and dark, into out/screens/
  bundle          make the installers that this system can make: deb and rpm on Linux;
                  `bundle --target windows` makes the setup for Windows on Linux, too
  notices TARGET FILE
                  write the licenses of all code that is linked for a target, such as
                  x86_64-pc-windows-gnu; `sbom` in its place writes a CycloneDX bill of materials
  version TAG     check that a tag is the version of the sources
  workflows       check the workflows of CI and releases
  setup           get what building and testing need, and stop there
  lint            format, lints, licenses, and the page with its unit tests
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run"] => run::run(&[]),
        ["run", "--", rest @ ..] => run::run(rest),
        ["test"] => test::test(test::Extent::Everything),
        ["test", "--fast"] => test::test(test::Extent::Fast),
        ["cross"] => cross::cross(),
        ["bench", "call", rest @ ..] => bench::call(rest).map(|()| ExitCode::SUCCESS),
        ["bench", "soak", rest @ ..] => bench::soak(rest).map(|()| ExitCode::SUCCESS),
        ["bench", "signaling" | "relay", rest @ ..] => {
            bench::signaling(rest).map(|()| ExitCode::SUCCESS)
        }
        ["bench", "window", rest @ ..] => bench::window(rest).map(|()| ExitCode::SUCCESS),
        ["screenshots"] => window::screenshots().map(|()| ExitCode::SUCCESS),
        ["bundle", rest @ ..] => bundle::bundle(rest).map(|()| ExitCode::SUCCESS),
        [what @ ("notices" | "sbom"), target, file] => {
            notices::write(what, target, file.as_ref()).map(|()| ExitCode::SUCCESS)
        }
        ["version", tag] => version::check(tag).map(|()| ExitCode::SUCCESS),
        ["workflows"] => workflows::today().map(|()| ExitCode::SUCCESS),
        ["bench", "micro", rest @ ..] => bench::micro(rest).map(|()| ExitCode::SUCCESS),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
        ["setup"] => setup::everything().map(|()| ExitCode::SUCCESS),
        ["link", rest @ ..] => link(rest),
        ["lint"] => lint::lint(),
        [] | ["help" | "-h" | "--help", ..] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [word, ..] => {
            bail!("`{word}` with these arguments is not a chore of this workspace\n\n{USAGE}")
        }
    }
}

#[cfg(target_os = "linux")]
fn link(words: &[&str]) -> Result<ExitCode> {
    link::link(words)
}

#[cfg(not(target_os = "linux"))]
fn link(_: &[&str]) -> Result<ExitCode> {
    bail!("network namespaces and TUN devices between them exist on Linux only")
}
