//! `cargo xtask run`: from a fresh clone to the window, or to a call without one.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::shell::{Shell, heading, step};
use crate::{page, report, setup, workspace};

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

/// What only a call without a window understands: whoever says one of these wants such a call.
const HEADLESS: [&str; 15] = [
    "--headless",
    "--pair",
    "--host",
    "--room",
    "--relay-only",
    "--duration",
    "--wait",
    "--report",
    "--snapshot",
    "--record-video",
    "--record-audio",
    "--echo-cancellation",
    "--noise-suppression",
    "--gain-control",
    "devices",
];

/// Builds Tandem as users get it, with its page.
///
/// # Errors
/// When something that the build needs cannot be had, or the build fails.
pub(crate) fn build() -> Result<()> {
    setup::build()?;
    page::build_if_changed()?;
    step("Building Tandem (release)", || {
        Shell::cargo(["build", "--locked", "--release", "--package", "tandem"])
            .args(release_features())
            .run()
    })
}

/// Builds Tandem and opens its window; where there is no screen, holds a call without one and shows how it went. The
/// exit code is Tandem's own.
///
/// # Errors
/// When something that the build needs cannot be had, the build fails, or Tandem does not start.
pub(crate) fn run(extra: &[&str]) -> Result<ExitCode> {
    build()?;
    std::fs::create_dir_all(workspace::root().join("out"))
        .context("cannot make the folder out/")?;
    let picture = workspace::root().join(PICTURE);
    let before = modified(&picture);

    if opens_window(extra, has_screen()) {
        heading("Running");
        let shell = Shell::new(workspace::binary("release", "tandem")?, extra);
        println!("  $ {}", shell.line());
        return Ok(exit_code(
            shell
                .into_command()
                .status()
                .context("cannot start tandem")?
                .code(),
        ));
    }

    let arguments = arguments(extra);
    let reports_here = arguments.windows(2).any(|pair| pair == ["--report", "-"])
        || arguments.contains(&"--report=-");
    heading("Running");
    let shell = Shell::new(workspace::binary("release", "tandem")?, &arguments);
    println!("  $ {}", shell.line());
    let mut command = shell.into_command();
    command.stdin(Stdio::inherit());

    if !reports_here {
        return Ok(exit_code(
            command.status().context("cannot start tandem")?.code(),
        ));
    }

    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start tandem")?;
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
fn release_features() -> &'static [&'static str] {
    if cfg!(windows) {
        &[]
    } else {
        &["--features", "vp8"]
    }
}

/// Whether these arguments, on this machine, mean the window.
fn opens_window(extra: &[&str], has_screen: bool) -> bool {
    let wants_call = extra
        .iter()
        .any(|word| HEADLESS.contains(&word.split('=').next().unwrap_or(word)));
    has_screen && !wants_call
}

fn has_screen() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// The defaults, less those that `extra` sets itself, then `extra`.
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

    // Whoever names a relay wants one peer there, not two in this process.
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
            "the other defaults stay: {words:?}"
        );

        assert!(
            words.ends_with(&["--codec", "vp8"]),
            "and the caller's come last: {words:?}"
        );
    }

    #[test]
    fn a_screen_means_the_window_unless_a_call_is_asked_for() {
        assert!(opens_window(&[], true), "the first thing a newcomer sees");
        assert!(
            opens_window(&["--video", "test"], true),
            "arguments that the window knows"
        );
        assert!(!opens_window(&[], false), "there is nothing to open it on");

        for word in ["--pair", "--room=x", "devices", "--headless"] {
            assert!(
                !opens_window(&[word], true),
                "{word} asks for something else"
            );
        }
    }

    #[test]
    fn a_named_relay_means_one_peer() {
        let words = arguments(&["--signaling", "ws://127.0.0.1:9000/ws"]);
        assert!(
            !words.contains(&"--pair"),
            "a pair has its own relay: {words:?}"
        );
    }

    #[test]
    fn a_whole_command_line_is_left_alone() {
        assert_eq!(
            arguments(&["devices", "--json"]),
            ["devices", "--json"],
            "nothing is added to a subcommand"
        );
    }
}
