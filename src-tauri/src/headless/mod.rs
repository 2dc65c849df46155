//! Calls without a window: the same engine, driven by the command line, with a report of what was measured.

pub mod args;
mod figures;
pub mod measure;
pub mod outcome;
mod pair;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
mod setup;
pub mod table;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

pub use outcome::Exit;

use crate::embedded;
use args::CallArgs;
use outcome::Failure;
use pair::hold_pair;
use report::{PairReport, Report};
use run::{Outcome, hold_call};
use setup::alone;

/// How long our own relay lets others go on when this call is over.
const RELAY_PATIENCE: Duration = Duration::from_secs(1);

/// What the process reports and ends with.
#[derive(Debug)]
struct Finish {
    report: Printed,
    exit: Exit,
}

/// One report or two.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Printed {
    One(Box<Report>),
    Pair(Box<PairReport>),
}

/// Holds the call that `args` (already checked) describes, prints its report and gives the exit code.
pub fn main(args: &CallArgs) -> ExitCode {
    let finish = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let finish = runtime.block_on(call(args));
            // Whatever still resolves a name or writes a log is not waited for.
            runtime.shutdown_timeout(Duration::from_secs(1));
            finish
        }

        Err(error) => one(Outcome::failed(Failure::new(
            Exit::Connection,
            "INTERNAL",
            format!("The system gives no threads ({error}). Close other programs and try again."),
        ))),
    };

    let exit = match print(&finish.report, args.report.as_deref()) {
        Ok(()) => finish.exit,
        Err(error) => {
            tell(&format!("the report could not be written: {error}"));
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
        return hold_pair(args, stop).await;
    }

    let Some(address) = args.host else {
        return one(hold_call(alone(args, args.signaling_url()), stop).await);
    };

    match embedded::relay(address.to_string()).start().await {
        Ok(relay) => {
            let url = url_of(relay.local_addr());
            tell(&format!(
                "relay listening on {}, reached from here at {url}",
                relay.local_addr()
            ));
            let outcome = hold_call(alone(args, &url), stop).await;
            relay.shutdown_within(RELAY_PATIENCE).await;

            one(outcome)
        }
        Err(error) => one(Outcome::failed(Failure::new(
            Exit::Connection,
            "RELAY_NOT_STARTED",
            error.to_string(),
        ))),
    }
}

fn one(outcome: Outcome) -> Finish {
    Finish {
        report: Printed::One(Box::new(outcome.report)),
        exit: outcome.exit,
    }
}

/// How this machine reaches a relay that listens on `address`.
fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };

    format!("ws://{}/ws", SocketAddr::new(ip, address.port()))
}

/// Turns true at the first Ctrl-C or SIGTERM, so that the call can end properly. The second ends the process at once.
fn stop_at_signals() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);

    // From here on signals are ours, before anybody is told that the program runs.
    match Signals::listen() {
        Ok(mut signals) => {
            tokio::spawn(async move {
                while signals.next().await.is_some() {
                    if sender.send_replace(true) {
                        // 128 + SIGINT, as shells report it.
                        std::process::exit(130);
                    }
                }
            });
        }
        Err(error) => tell(&format!(
            "Ctrl-C will end the program without a report ({error})"
        )),
    }

    receiver
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Option<()> {
        tokio::select! {
            signal = self.interrupt.recv() => signal,
            signal = self.terminate.recv() => signal,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

/// Writes the report where it was asked for: JSON to a file or stdout, or a table for people to stdout.
fn print(report: &Printed, to: Option<&Path>) -> io::Result<()> {
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
                Printed::One(report) => vec![report.as_ref()],
                Printed::Pair(pair) => pair.peers.iter().collect(),
            };

            stdout.write_all(table::table(&reports).as_bytes())?;
        }
    }

    stdout.flush()
}

/// A line for the person at the terminal, on stderr whatever the log level is.
fn tell(line: &str) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_on_all_addresses_is_reached_on_loopback() {
        let url = |address: &str| url_of(address.parse().unwrap());
        assert_eq!(url("0.0.0.0:9000"), "ws://127.0.0.1:9000/ws", "all of IPv4");
        assert_eq!(url("[::]:9000"), "ws://[::1]:9000/ws", "all of IPv6");
        assert_eq!(url("192.0.2.7:80"), "ws://192.0.2.7:80/ws", "one address");
    }
}
