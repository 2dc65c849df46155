//! The relay as a process: `tandem-signaling`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Process, built, wait_until};

/// A relay on a port of the system's choice. Dropping it kills it.
pub struct Relay {
    process: Process,
    address: SocketAddr,
}

impl Relay {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
    pub fn start() -> Result<Self> {
        Self::start_at("127.0.0.1:0")
    }

    /// The same on a given address: where one has been before.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
    pub fn start_at(address: &str) -> Result<Self> {
        // A page of a test comes from a port of the test's own.
        Self::start_as(address, &["--allow-origin", "*"])
    }

    /// On a port of the system's choice, with these flags.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        Self::start_as("127.0.0.1:0", flags)
    }

    fn start_as(address: &str, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(built("tandem-signaling"));
        command.args(["--listen", address]).args(flags);
        let process = Process::start(command)?;
        // The contract: one line with the bound address when it is ready.
        let address = process.wait_for_line(Duration::from_secs(20), bound_address)?;

        Ok(Self { process, address })
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it over HTTP, such as for `/readyz`: the status and the body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).context("the relay is away")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .context("no answer that is text")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .context("no status")?;

        Ok((status, body.to_owned()))
    }

    /// A metric without labels, as it is at this moment.
    ///
    /// # Errors
    /// When the relay does not answer or has no such metric.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.with_context(|| format!("no {name} in\n{text}"))
    }

    /// Waits until it takes new users: with `--redis`, until it has found Redis.
    ///
    /// # Errors
    /// When that takes longer than 20 s.
    pub fn wait_until_ready(&self) -> Result<()> {
        let ready = || {
            self.get("/readyz")
                .is_ok_and(|(status, _)| status == 200)
                .then_some(())
        };

        wait_until("the relay's readiness", Duration::from_secs(20), ready)
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
    fn the_address_is_found_in_the_line() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 9000)));
        for line in [
            "127.0.0.1:9000",
            "listening on ws://127.0.0.1:9000/ws",
            "ready address=127.0.0.1:9000",
        ] {
            assert_eq!(
                bound_address(line),
                address,
                "whatever stands around it: {line}"
            );
        }

        assert_eq!(bound_address("ready"), None, "no address, none invented");
    }
}
