//! Calls without a window: the same engine, driven by the command line, with a report of what was
//! measured.

pub mod args;
mod figures;
pub mod measure;
pub mod outcome;
mod pair;
pub mod process;
pub mod remote_frames;
pub mod report;
pub mod run;
mod setup;
pub mod table;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tandem_signaling::ServerUrl;
use tandem_signaling::client::ClientConfig;
use tokio::sync::watch;

pub use outcome::Exit;

use crate::embedded;
use crate::error_code::AppErrorCode;
use crate::signals::{Stop, StopSignals};
use args::CallArgs;
use outcome::Failure;
use pair::run_pair;
use report::{PairReport, Report};
use run::{Outcome, hold_call};
use setup::alone;

/// After this call, how long the embedded server lets other people's calls continue.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for background threads (name resolution, log writers) when the program ends.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The exit code after a second signal: 128 + SIGINT, as shells report it.
const INTERRUPTED: i32 = 130;

/// What the process prints and the code it ends with.
#[derive(Debug)]
struct Finish {
    report: PrintedReport,
    exit: Exit,
}

/// The report of one call, or of both ends of a pair.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum PrintedReport {
    One(Box<Report>),
    Pair(Box<PairReport>),
}

/// Makes the call that `args` (already checked) describes, prints its report and returns the exit
/// code.
pub fn main(args: &CallArgs) -> ExitCode {
    let finish = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let finish = runtime.block_on(call(args));
            runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
            finish
        }

        Err(error) => one(Outcome::failed(Failure::new(
            Exit::Connection,
            AppErrorCode::Internal,
            format!(
                "The program cannot start its threads ({error}). Close other programs and try again."
            ),
        ))),
    };

    let exit = match print(&finish.report, args.report.as_deref()) {
        Ok(()) => finish.exit,
        Err(error) => {
            print_to_stderr(&format!("the report could not be written: {error}"));

            if finish.exit == Exit::Success {
                Exit::Device
            } else {
                finish.exit
            }
        }
    };

    ExitCode::from(exit.code())
}

async fn call(args: &CallArgs) -> Finish {
    let stop = stop_at_signals();
    if args.pair {
        return run_pair(args, stop).await;
    }

    let Some(address) = args.host else {
        return one(match args.client_config() {
            Ok(server) => {
                if server.url.is_exposed() {
                    print_to_stderr(&format!(
                        "the connection to {} is not encrypted: anyone on the network can see your calls and could listen in. \
                         Use a wss:// address if the server has one",
                        server.url.authority()
                    ));
                }

                hold_call(alone(args, server), stop).await
            }
            // The files were read before: they have changed since.
            Err(why) => {
                Outcome::failed(Failure::new(Exit::Connection, AppErrorCode::Internal, why))
            }
        });
    };

    match embedded::server(address.to_string()).start().await {
        Ok(server) => {
            let url = ServerUrl::listening_on(server.local_addr());
            print_to_stderr(&format!(
                "server listening on {}; on this machine its address is {url}",
                server.local_addr()
            ));

            let outcome = hold_call(alone(args, ClientConfig::new(url)), stop).await;
            server.shutdown_within(SERVER_STOP_TIMEOUT).await;
            one(outcome)
        }
        Err(error) => one(Outcome::failed(Failure::new(
            Exit::Connection,
            AppErrorCode::RelayNotStarted,
            error.to_string(),
        ))),
    }
}

fn one(outcome: Outcome) -> Finish {
    Finish {
        report: PrintedReport::One(Box::new(outcome.report)),
        exit: outcome.exit,
    }
}

/// Turns true at the first Ctrl-C or SIGTERM, or when the terminal is closed, so that the call can end
/// in order. A second Ctrl-C or SIGTERM ends the process at once.
fn stop_at_signals() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);

    // Subscribe before anything is printed: a script may send a signal as soon as it sees output.
    match StopSignals::subscribe() {
        Ok(mut signals) => {
            tokio::spawn(async move {
                while let Some(stop) = signals.next().await {
                    let is_second = sender.send_replace(true);
                    if is_second && stop == Stop::Asked {
                        std::process::exit(INTERRUPTED);
                    }
                }
            });
        }
        Err(error) => print_to_stderr(&format!(
            "cannot handle Ctrl-C ({error}): it will end the program without a report"
        )),
    }

    receiver
}

/// Writes the report: as JSON to the file `to` (`-`: stdout), or as a table to stdout.
fn print(report: &PrintedReport, to: Option<&Path>) -> io::Result<()> {
    let json = || {
        serde_json::to_vec_pretty(report).map(|mut json| {
            json.push(b'\n');
            json
        })
    };

    let mut stdout = io::stdout().lock();
    match to {
        Some(path) if path == Path::new("-") => stdout.write_all(&json()?)?,
        Some(path) => return std::fs::write(path, json()?),
        None => {
            let reports = match report {
                PrintedReport::One(report) => vec![report.as_ref()],
                PrintedReport::Pair(pair) => pair.peers.iter().collect(),
            };

            stdout.write_all(table::table(&reports).as_bytes())?;
        }
    }

    stdout.flush()
}

/// Prints a line for the person at the terminal, whatever the log level is.
fn print_to_stderr(line: &str) {
    // If stderr is gone, there is nowhere to report that.
    let _ = writeln!(io::stderr(), "{line}");
}
