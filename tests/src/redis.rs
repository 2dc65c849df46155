//! A Redis server on loopback, the store of a signaling cluster.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, on_free_port};

/// How long Redis may take to start, even on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long Redis may take to answer one command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Settings for a test: loopback only, and nothing written to disk.
const PLAIN: &[&str] = &["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];

/// The Redis of one test. Dropping it kills it and deletes its folder.
pub struct Redis {
    process: Process,
    port: u16,
    password: Option<String>,
    /// Deleted with the server. `None` if the caller provides the folder.
    _temporary_folder: Option<TempDir>,
}

impl Redis {
    /// Starts Redis on a free port and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        on_free_port(Self::start_at).context("Redis does not start")
    }

    /// Starts Redis on a given port, such as the one where it ran before.
    ///
    /// # Errors
    /// When it does not start, for example because another program has the port.
    pub fn start_at(port: u16) -> Result<Self> {
        Self::launch(port, PLAIN, None, &[], None)
    }

    /// Starts Redis with a settings file. Only the port and the folder are overridden.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with(settings: &Path) -> Result<Self> {
        let settings = settings.to_str().context("the path is not UTF-8")?;
        on_free_port(|port| Self::launch(port, &[settings], None, &[], None))
            .context("Redis does not start")
    }

    /// Like [`Redis::start_with`], with a password that clients must send.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with_password(settings: &Path, password: &str) -> Result<Self> {
        let settings = settings.to_str().context("the path is not UTF-8")?;
        let args = [settings, "--requirepass", password];
        on_free_port(|port| Self::launch(port, &args, Some(password), &[], None))
            .context("Redis does not start")
    }

    /// Starts Redis in `folder`, which the caller keeps, and adds `environment` to its environment.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_in(folder: &Path, environment: &[(&str, &OsStr)]) -> Result<Self> {
        on_free_port(|port| Self::launch(port, PLAIN, None, environment, Some(folder)))
            .context("Redis does not start")
    }

    fn launch(
        port: u16,
        args: &[&str],
        password: Option<&str>,
        environment: &[(&str, &OsStr)],
        folder: Option<&Path>,
    ) -> Result<Self> {
        let temporary_folder = match folder {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("cannot create a folder for Redis")?),
        };
        let folder = folder
            .or(temporary_folder.as_ref().map(TempDir::path))
            .context("one of the two folders is there")?;

        let program =
            crate::part::which("redis-server").context("redis-server is not installed")?;
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .envs(environment.iter().copied())
            .args(args)
            .args(["--port", &port.to_string(), "--dir"])
            .arg(folder);

        let process = Process::start(command)?;
        process.wait_for_line(START_TIMEOUT, |line| {
            line.contains("Ready to accept").then_some(())
        })?;

        Ok(Self {
            process,
            port,
            password: password.map(str::to_owned),
            _temporary_folder: temporary_folder,
        })
    }

    /// The port on loopback that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for `--redis`, with the password if there is one.
    pub fn url(&self) -> String {
        let password = self
            .password
            .as_ref()
            .map(|password| format!(":{password}@"))
            .unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// Sends a signal to the server: `libc::SIGSTOP` makes it hang, `libc::SIGCONT` continue.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Sends one command, such as `EXISTS key`, and returns the first line of the answer as Redis
    /// writes it: `:1`, `+PONG`, `-ERR …`. Does not work on a server with a password.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect(address).context("Redis cannot be reached")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;

        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .context("Redis does not answer")?;

        Ok(answer.trim_end().to_owned())
    }
}
