//! The signaling server, `tandem-signaling`, as a process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, built, wait_until};

/// How long the server may take to start, to answer a request, and to find Redis.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running signaling server. Dropping it kills it.
pub struct ServerProcess {
    process: Process,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts it on a free port and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not start within 20 s.
    pub fn start() -> Result<Self> {
        Self::start_at("127.0.0.1:0")
    }

    /// Starts it at a given address, such as the one where it ran before. It accepts pages from any
    /// origin.
    ///
    /// # Errors
    /// When it does not start within 20 s.
    pub fn start_at(address: &str) -> Result<Self> {
        // Each test serves the browsers' page from a different port, so from a different origin.
        Self::start_as(address, &["--allow-origin", "*"])
    }

    /// Starts it on a free port with these flags.
    ///
    /// # Errors
    /// When it does not start within 20 s.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        Self::start_as("127.0.0.1:0", flags)
    }

    fn start_as(address: &str, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(built("tandem-signaling"));
        command.args(["--listen", address]).args(flags);
        Self::start_command(command)
    }

    /// Runs a prepared command and waits until the server that it starts accepts connections.
    ///
    /// # Errors
    /// When it does not start within 20 s.
    pub fn start_command(command: Command) -> Result<Self> {
        let process = Process::start(command)?;
        // By contract, it prints one line with the bound address when it is ready.
        let address = process.wait_for_line(TIMEOUT, bound_address)?;

        Ok(Self { process, address })
    }

    /// Waits until it exits. Returns the exit code, or `None` after a signal, and the log.
    ///
    /// # Errors
    /// When it does not exit within `limit`.
    pub fn finish(mut self, limit: Duration) -> Result<(Option<i32>, String)> {
        let code = self.process.wait(limit)?;
        Ok((code, self.process.stderr()))
    }

    /// The WebSocket address for clients.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends an HTTP GET request, such as for `/readyz`, and returns status and body.
    ///
    /// # Errors
    /// When the server does not answer with HTTP.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream =
            TcpStream::connect(self.address).context("the server cannot be reached")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: tandem\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .context("the answer is not text")?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("the answer is not HTTP")?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .context("the answer has no status")?;

        Ok((status, body.to_owned()))
    }

    /// The current value of a metric without labels.
    ///
    /// # Errors
    /// When the server does not answer or has no such metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.with_context(|| format!("no {name} in\n{text}"))
    }

    /// Waits until it accepts new users. With `--redis`, that is when it has connected to Redis.
    ///
    /// # Errors
    /// When that takes longer than 20 s.
    pub fn wait_until_ready(&self) -> Result<()> {
        let ready = || {
            self.get("/readyz")
                .is_ok_and(|(status, _)| status == 200)
                .then_some(())
        };

        wait_until("the server's readiness", TIMEOUT, ready)
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn bound_address(line: &str) -> Option<SocketAddr> {
    line.split(|letter: char| letter.is_whitespace() || "/\"=,".contains(letter))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_address_is_read_from_the_line() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 9000)));
        for line in [
            "127.0.0.1:9000",
            "listening on ws://127.0.0.1:9000/ws",
            "ready address=127.0.0.1:9000",
        ] {
            assert_eq!(
                bound_address(line),
                address,
                "the address is found among other words: {line}"
            );
        }

        assert_eq!(
            bound_address("ready"),
            None,
            "a line without an address is not taken for one"
        );
    }
}
