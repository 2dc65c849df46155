//! Redis's own server on loopback, for relays that share their users.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, on_free_port};

const ANSWER: Duration = Duration::from_secs(10);

/// A Redis of its own for one test, with nothing on disk. Dropping it kills it.
pub struct Redis {
    _process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Redis {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self> {
        on_free_port(|port| Self::launch(port, None)).context("Redis does not come up")
    }

    /// The same with a file of settings, of which only the port is overridden.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with(settings: &Path) -> Result<Self> {
        on_free_port(|port| Self::launch(port, Some(settings))).context("Redis does not come up")
    }

    fn launch(port: u16, settings: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for Redis")?;
        let mut command = Command::new(
            crate::part::which("redis-server").context("redis-server is not installed")?,
        );

        match settings {
            Some(file) => command.arg(file),
            None => command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]),
        };

        command
            .args(["--port", &port.to_string(), "--dir"])
            .arg(folder.path());
        let process = Process::start(command)?;
        process.wait_for_line(Duration::from_secs(20), |line| {
            line.contains("Ready to accept").then_some(())
        })?;

        Ok(Self {
            _process: process,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            _folder: folder,
        })
    }

    /// For `--redis`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The answer to one command, such as `EXISTS key`, as the line that Redis writes: `:1`, `+PONG`, `-ERR …`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).context("Redis is away")?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .context("Redis does not answer")?;

        Ok(answer.trim_end().to_owned())
    }
}
