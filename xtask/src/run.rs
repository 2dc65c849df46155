//! `cargo xtask run`: from a fresh clone to a call.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::shell::{Shell, heading, step};
use crate::{report, setup, workspace};

/// Where the received picture is left.
const PICTURE: &str = "out/remote.png";

/// What `tandem` is told where the caller says nothing else. An option without a value stands alone.
const DEFAULTS: [(&str, Option<&str>); 5] = [
    ("--headless", None),
    ("--pair", None),
    ("--duration", Some("10s")),
    ("--report", Some("-")),
    ("--snapshot", Some(PICTURE)),
];

/// Builds Tandem, holds a call and shows how it went. The exit code is Tandem's own.
///
/// # Errors
/// When something that the build needs cannot be had, the build fails, or Tandem does not start.
pub(crate) fn run(extra: &[&str]) -> Result<ExitCode> {
    setup::build()?;
    step("Building Tandem (release)", || {
        Shell::cargo(["build", "--release", "--package", "tandem"]).args(release_features()).run()
    })?;
    std::fs::create_dir_all(workspace::root().join("out")).context("cannot make the folder out/")?;
    let picture = workspace::root().join(PICTURE);
    let before = modified(&picture);

    let arguments = arguments(extra);
    let reports_here = arguments.windows(2).any(|pair| pair == ["--report", "-"]) || arguments.contains(&"--report=-");
    heading("Running");
    let shell = Shell::new(workspace::binary("release", "tandem")?, &arguments);
    println!("  $ {}", shell.line());
    let mut command = shell.into_command();
    command.stdin(Stdio::inherit());
    if !reports_here {
        return Ok(exit_code(command.status().context("cannot start tandem")?.code()));
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start tandem")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match serde_json::from_str(&text) {
        Ok(value) => {
            heading("The call");
            print!("{}", report::table(&value));
        }
        Err(_) => print!("{text}"),
    }
    if modified(&picture) != before {
        println!("\nThe received picture: {}", picture.display());
    }
    Ok(exit_code(output.status.code()))
}

/// `tandem` with every feature but the tests' needs: VP8 where this system has libvpx.
pub(crate) fn release_features() -> &'static [&'static str] {
    if cfg!(windows) { &[] } else { &["--features", "vp8"] }
}

/// The defaults, less those that `extra` sets itself, then `extra`.
fn arguments<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    if extra.iter().any(|word| matches!(*word, "--headless" | "devices" | "--help" | "--version")) {
        return extra.to_vec();
    }
    let is_given = |name: &str| extra.iter().any(|word| word.split('=').next() == Some(name));
    // Whoever names a relay wants one peer there, not two in this process.
    let finds_partner = ["--signaling", "--host", "--room"].into_iter().any(is_given);
    let defaults = DEFAULTS.into_iter().filter(|(name, _)| !(is_given(name) || finds_partner && *name == "--pair"));
    let mut words: Vec<&str> = defaults.flat_map(|(name, value)| std::iter::once(name).chain(value)).collect();
    words.extend(extra);
    words
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// A process that was ended by a signal has no code of its own.
fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_sets_replaces_the_default() {
        let words = arguments(&["--duration=3s", "--codec", "vp8"]);
        assert_eq!(words.iter().filter(|word| word.starts_with("--duration")).count(), 1, "given once: {words:?}");
        assert!(words.contains(&"--pair"), "the other defaults stay: {words:?}");
        assert!(words.ends_with(&["--codec", "vp8"]), "and the caller's come last: {words:?}");
    }

    #[test]
    fn a_named_relay_means_one_peer() {
        let words = arguments(&["--signaling", "ws://127.0.0.1:9000/ws"]);
        assert!(!words.contains(&"--pair"), "a pair has its own relay: {words:?}");
    }

    #[test]
    fn a_whole_command_line_is_left_alone() {
        assert_eq!(arguments(&["devices", "--json"]), ["devices", "--json"], "nothing is added to a subcommand");
    }
}
