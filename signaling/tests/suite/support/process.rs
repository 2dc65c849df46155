//! The signaling server as a program.

use std::process::Command;

use tandem_tests::{Process, ServerProcess};

use super::DEADLINE;

/// The program with these arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-signaling"));
    command.args(args);
    command
}

/// Starts the server on a free port and waits for its line.
pub(crate) fn start(args: &[&str]) -> ServerProcess {
    start_command(command(&[&["--listen", "127.0.0.1:0"], args].concat()))
}

/// The same for a prepared command.
pub(crate) fn start_command(command: Command) -> ServerProcess {
    ServerProcess::start_command(command).expect("the server starts")
}

/// Runs the program to its end, as for arguments that it refuses: the exit code and its output.
pub(crate) fn run(command: Command) -> (Option<i32>, Process) {
    let mut process = Process::start(command).expect("the program starts");
    let code = process.wait(DEADLINE).expect("it ends by itself");
    (code, process)
}
