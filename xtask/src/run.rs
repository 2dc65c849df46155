//! `cargo xtask run`: from a fresh clone to the window, or to a headless call.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::shell::{Shell, heading};
use crate::{page, release, setup, workspace};

/// Where the snapshot of the received video goes.
const SNAPSHOT: &str = "out/remote.png";

/// Default arguments for `tandem`, with their values.
const DEFAULTS: [(&str, Option<&str>); 4] = [
    ("--headless", None),
    ("--pair", None),
    ("--duration", Some("10s")),
    ("--snapshot", Some(SNAPSHOT)),
];

/// Builds Tandem as users get it, including the page.
///
/// # Errors
/// When something that the build needs cannot be installed, or the build fails.
pub(crate) fn build() -> Result<()> {
    setup::build()?;
    page::build_if_changed()?;
    release::build("release").map(drop)
}

/// Builds Tandem and opens its window. Without a display it makes a headless call and shows the
/// report instead. Returns Tandem's exit code.
///
/// # Errors
/// When something that the build needs cannot be installed, the build fails, or Tandem does not
/// start.
pub(crate) fn run(extra: &[&str]) -> Result<ExitCode> {
    build()?;
    std::fs::create_dir_all(workspace::root().join("out"))
        .context("cannot make the folder out/")?;
    let snapshot = workspace::root().join(SNAPSHOT);
    let before = modified(&snapshot);

    let program = workspace::binary("release", "tandem")?;
    let flags = Shell::new(&program, ["headless-flags"]).output()?;
    let headless: Vec<&str> = flags.lines().chain(["--headless", "devices"]).collect();
    let arguments = if opens_window(extra, &headless, has_display()) {
        extra.to_vec()
    } else {
        arguments(extra)
    };

    heading("Running");
    let shell = Shell::new(program, &arguments);
    println!("  $ {}", shell.line());
    let mut command = shell.into_command();
    let status = command
        .stdin(Stdio::inherit())
        .status()
        .context("cannot start tandem")?;

    if modified(&snapshot) != before {
        println!("\nSnapshot of the received video: {}", snapshot.display());
    }

    Ok(exit_code(status.code()))
}

/// Whether these arguments, on this machine, open the window.
/// `headless` are the arguments that only a headless call understands.
fn opens_window(extra: &[&str], headless: &[&str], has_display: bool) -> bool {
    let wants_call = extra
        .iter()
        .any(|word| headless.contains(&word.split('=').next().unwrap_or(word)));
    has_display && !wants_call
}

fn has_display() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// The defaults that `extra` does not set itself, then `extra`.
fn arguments<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    if extra
        .iter()
        .any(|word| matches!(*word, "--headless" | "devices" | "--help" | "--version"))
    {
        return extra.to_vec();
    }

    let is_given = |name: &str| {
        extra
            .iter()
            .any(|word| word.split('=').next() == Some(name))
    };

    // With a server given, run one peer there instead of two in this process.
    let finds_partner = ["--signaling", "--host", "--room"]
        .into_iter()
        .any(is_given);
    let defaults = DEFAULTS
        .into_iter()
        .filter(|(name, _)| !(is_given(name) || finds_partner && *name == "--pair"));
    let mut words: Vec<&str> = defaults
        .flat_map(|(name, value)| std::iter::once(name).chain(value))
        .collect();
    words.extend(extra);

    words
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// Turns a process's exit code into ours; a process killed by a signal has none and counts as
/// failed.
fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADLESS: [&str; 4] = ["--pair", "--room", "--headless", "devices"];

    #[test]
    fn an_argument_replaces_its_default() {
        let words = arguments(&["--duration=3s", "--codec", "vp8"]);
        assert_eq!(
            words
                .iter()
                .filter(|word| word.starts_with("--duration"))
                .count(),
            1,
            "given once: {words:?}"
        );

        assert!(
            words.contains(&"--pair"),
            "the other defaults remain: {words:?}"
        );

        assert!(
            words.ends_with(&["--codec", "vp8"]),
            "the caller's arguments come last: {words:?}"
        );
    }

    #[test]
    fn a_display_opens_the_window_unless_a_headless_call_is_asked_for() {
        assert!(
            opens_window(&[], &HEADLESS, true),
            "no arguments open the window"
        );
        assert!(
            opens_window(&["--video", "test"], &HEADLESS, true),
            "the window understands these arguments"
        );
        assert!(!opens_window(&[], &HEADLESS, false), "there is no display");

        for word in ["--pair", "--room=x", "devices", "--headless"] {
            assert!(
                !opens_window(&[word], &HEADLESS, true),
                "{word} asks for a headless call"
            );
        }
    }

    #[test]
    fn a_given_server_means_one_peer() {
        let words = arguments(&["--signaling", "ws://127.0.0.1:9000/ws"]);
        assert!(
            !words.contains(&"--pair"),
            "--pair brings its own server: {words:?}"
        );
    }

    #[test]
    fn a_complete_command_line_gets_no_defaults() {
        assert_eq!(
            arguments(&["devices", "--json"]),
            ["devices", "--json"],
            "a subcommand takes none of the defaults"
        );
    }
}
