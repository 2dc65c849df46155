//! Tandem in headless mode: started with arguments, watched, and asked for its report.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::network::Host;
use crate::process::{Process, built};

/// A running `tandem --headless`, killed when dropped.
pub struct Tandem {
    process: Process,
}

/// How a call ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or `None` after a signal.
    pub code: Option<i32>,
    /// The report, or `null` when none was written.
    pub report: Value,
    /// The log.
    pub log: String,
}

impl Tandem {
    /// Starts `tandem --headless --report -` with further arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::start_in::<S, &str>(&[], arguments)
    }

    /// The same with environment variables, such as [`crate::PulseAudio::environment`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_in<S: AsRef<OsStr>, V: AsRef<OsStr>>(
        environment: &[(&str, V)],
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut command = Command::new(built("tandem"));
        for (key, value) in environment {
            command.env(key, value);
        }

        Self::start_command(command, arguments)
    }

    /// The same on a host of a [`Network`](crate::Network).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_on<S: AsRef<OsStr>>(
        host: &Host,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::start_on_in(host, &[], arguments)
    }

    /// The same with environment variables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_on_in<S: AsRef<OsStr>>(
        host: &Host,
        environment: &[(&str, &str)],
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut command = host.command(built("tandem"));
        command.envs(environment.iter().copied());
        Self::start_command(command, arguments)
    }

    fn start_command<S: AsRef<OsStr>>(
        mut command: Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        command
            .args(["--headless", "--report", "-", "--log-level", "debug"])
            .args(arguments);

        Ok(Self {
            process: Process::start(command)?,
        })
    }

    /// Runs `tandem` with exactly these arguments until it exits.
    ///
    /// # Errors
    /// When it does not exit within 30 s.
    pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Outcome> {
        let mut command = Command::new(built("tandem"));
        command.args(arguments);
        Self {
            process: Process::start(command)?,
        }
        .finish(Duration::from_secs(30))
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it exits.
    ///
    /// # Errors
    /// When it does not exit in time, or its standard output is not a report.
    pub fn finish(mut self, limit: Duration) -> Result<Outcome> {
        let code = self.process.wait(limit)?;
        let text = self.process.stdout();
        let report = if text.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)
                .with_context(|| format!("standard output is not one JSON object: {text}"))?
        };

        Ok(Outcome {
            code,
            report,
            log: self.process.stderr(),
        })
    }
}

impl Outcome {
    /// A number in the report, by its JSON pointer, such as `/video/received/frames`.
    ///
    /// # Panics
    /// When it is missing or not a number: the report is a contract.
    pub fn figure(&self, pointer: &str) -> f64 {
        let value = self.report.pointer(pointer);
        value
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{pointer} is {value:?}, not a number: {}", self.report))
    }

    /// The report of one side of a pair, as if it had run alone.
    ///
    /// # Panics
    /// When there is no such peer in the report.
    pub fn peer(&self, index: usize) -> Self {
        let report = self.report["peers"]
            .get(index)
            .unwrap_or_else(|| panic!("no peer {index} in {}", self.report));
        Self {
            code: self.code,
            report: report.clone(),
            log: self.log.clone(),
        }
    }

    /// Checks that the call was good: exit code 0, and a report that agrees.
    ///
    /// # Panics
    /// When it was not, with report and log.
    pub fn assert_ok(&self, who: &str) {
        assert!(
            self.code == Some(0) && self.report["ok"] == true,
            "{who}: the call failed, exit {:?}\nreport: {}\nlog:\n{}",
            self.code,
            self.report,
            self.log
        );
    }

    /// Checks that both ends of the route are relay candidates.
    ///
    /// # Panics
    /// When one of them is not.
    pub fn assert_relayed(&self, who: &str) {
        let route = &self.report["route"];
        for end in ["local", "remote"] {
            assert_eq!(route[end], "relay", "{who}: through TURN only: {route}");
        }
    }
}
