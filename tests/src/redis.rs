//! Redis's own server on loopback, for signaling servers that share their users.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, on_free_port};

/// How long Redis may take to start, on a busy machine too.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long Redis may take to answer one command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Settings that suit a test: loopback only, nothing on disk.
const PLAIN: &[&str] = &["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];

/// One test's own Redis. Dropping it kills it and deletes its folder.
pub struct Redis {
    process: Process,
    port: u16,
    password: Option<String>,
    /// Deleted with the server, unless the folder is the caller's.
    _own_folder: Option<TempDir>,
}

impl Redis {
    /// Starts Redis on a free port and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self> {
        on_free_port(Self::start_at).context("Redis does not come up")
    }

    /// Starts Redis at a given port, such as one where it ran before.
    ///
    /// # Errors
    /// When it does not come up, as when another program has the port.
    pub fn start_at(port: u16) -> Result<Self> {
        Self::launch(port, PLAIN, None, &[], None)
    }

    /// Starts Redis with a file of settings. Only the port and the folder are overridden.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with(settings: &Path) -> Result<Self> {
        let settings = settings.to_str().context("a path that is not UTF-8")?;
        on_free_port(|port| Self::launch(port, &[settings], None, &[], None))
            .context("Redis does not come up")
    }

    /// As [`Redis::start_with`], with a password that clients need.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with_password(settings: &Path, password: &str) -> Result<Self> {
        let settings = settings.to_str().context("a path that is not UTF-8")?;
        let args = [settings, "--requirepass", password];
        on_free_port(|port| Self::launch(port, &args, Some(password), &[], None))
            .context("Redis does not come up")
    }

    /// Starts Redis with `folder`, which is the caller's, as its working folder and with these
    /// variables in its environment.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_in(folder: &Path, environment: &[(&str, &OsStr)]) -> Result<Self> {
        on_free_port(|port| Self::launch(port, PLAIN, None, environment, Some(folder)))
            .context("Redis does not come up")
    }

    fn launch(
        port: u16,
        args: &[&str],
        password: Option<&str>,
        environment: &[(&str, &OsStr)],
        folder: Option<&Path>,
    ) -> Result<Self> {
        let own_folder = match folder {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("no folder for Redis")?),
        };
        let folder = folder
            .or(own_folder.as_ref().map(TempDir::path))
            .context("Redis has a folder")?;

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
            _own_folder: own_folder,
        })
    }

    /// The port that it listens on.
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

    /// The answer to one command, such as `EXISTS key`, as the line that Redis writes: `:1`,
    /// `+PONG`, `-ERR …`. Not for a server with a password.
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
