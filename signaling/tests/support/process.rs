//! The relay as a program.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::within;

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-signaling"));
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Starts the relay and waits for its line.
pub(crate) async fn start(args: &[&str]) -> (Child, SocketAddr, Lines<BufReader<ChildStdout>>) {
    ready(command(&[&["--listen", "127.0.0.1:0"], args].concat())).await
}

/// The same for a command of the test's own.
pub(crate) async fn ready(
    mut command: Command,
) -> (Child, SocketAddr, Lines<BufReader<ChildStdout>>) {
    let mut child = command.spawn().expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = within("the line", stdout.next_line())
        .await
        .expect("text")
        .expect("a line");

    let address = line
        .split("://")
        .nth(1)
        .and_then(|rest| rest.strip_suffix("/ws"));
    let address = address.and_then(|address| address.parse().ok());
    (
        child,
        address.unwrap_or_else(|| panic!("the line holds the address: {line}")),
        stdout,
    )
}

pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("still running").to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status()
        .expect("kill is there");
    assert!(sent.success(), "the signal was sent");
}

pub(crate) async fn end(mut child: Child) -> (Option<i32>, String) {
    let mut log = String::new();
    within(
        "the end of the log",
        child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut log),
    )
    .await
    .expect("text");
    let status = within("the end of the process", child.wait())
        .await
        .expect("a status");

    (status.code(), log)
}
