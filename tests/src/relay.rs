//! The relay as a process: `tandem-signaling`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{Process, built};

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

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn bound_address(line: &str) -> Option<SocketAddr> {
    line.split(|letter: char| letter.is_whitespace() || "/\"=,".contains(letter)).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_line() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 9000)));
        for line in ["127.0.0.1:9000", "listening on ws://127.0.0.1:9000/ws", "ready address=127.0.0.1:9000"] {
            assert_eq!(bound_address(line), address, "whatever stands around it: {line}");
        }
        assert_eq!(bound_address("ready"), None, "no address, none invented");
    }
}
