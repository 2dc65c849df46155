//! The signaling server under load: a process on its own core, and the CPU time, memory and
//! descriptors that it uses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// All limits are on, because they are part of what is measured, and too high to refuse anything
/// here.
const LIMITS: [&str; 16] = [
    "--max-connections",
    "60000",
    "--max-connections-per-address",
    "60000",
    "--rate-upgrades",
    "100000000",
    "--rate-messages",
    "10000000",
    "--rate-bytes",
    "4000000000",
    "--rate-find",
    "10000000",
    "--rate-reports",
    "10000000",
    "--rate-rooms",
    "1000000",
];

/// A process that is killed when this value is dropped.
pub(crate) struct KillOnDrop {
    child: Child,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The signaling server.
pub(crate) struct Server {
    process: KillOnDrop,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it, pinned to this core.
    pub(crate) fn start(binary: &Path, core: usize, redis: Option<&str>) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(binary).args([
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "error",
        ]);
        command
            .args(LIMITS)
            .args(redis.map(|url| ["--redis", url]).into_iter().flatten());
        let child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start taskset and the server")?;
        let mut process = KillOnDrop { child };
        let stdout = process.child.stdout.take().context("stdout is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .split("ws://")
            .nth(1)
            .and_then(|rest| rest.trim().strip_suffix("/ws"));
        let address = address
            .and_then(|text| text.parse().ok())
            .context("the server's line has no address")?;

        Ok(Self { process, address })
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.child.id())
    }

    /// CPU time of all threads so far, in nanoseconds from the scheduler.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for thread in fs::read_dir(self.proc("task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            total += text
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .context("schedstat has no number")?;
        }

        Ok(Duration::from_nanos(total))
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The peak of resident memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let text = fs::read_to_string(self.proc("status"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .context("/proc has no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }
}

/// A Redis on loopback, with nothing on disk.
pub(crate) struct Redis {
    _process: KillOnDrop,
    port: u16,
}

impl Redis {
    /// Starts it, pinned to this core, and waits until it answers.
    pub(crate) fn start(core: usize) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut command = Command::new("taskset");
        command.args([
            "-c",
            &core.to_string(),
            "redis-server",
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
        ]);
        command
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null());
        let process = KillOnDrop {
            child: command.spawn().context("cannot start redis-server")?,
        };

        let redis = Self {
            _process: process,
            port,
        };

        for _ in 0..200 {
            if redis
                .ask(&["PING"])
                .is_ok_and(|answer| answer.contains("PONG"))
            {
                return Ok(redis);
            }

            std::thread::sleep(Duration::from_millis(25));
        }

        anyhow::bail!("redis-server does not answer")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The answer to one command, from redis-cli.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
