//! A Redis of the test's own: a free port, nothing on disk, gone with the test.

#![allow(clippy::print_stdout, reason = "a test that does not run here says why")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection};

/// Redis starts within this, on a busy machine too.
const START: Duration = Duration::from_secs(20);

/// A running `redis-server`.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// `None`, with the reason printed, where this machine has no `redis-server`.
    pub(crate) fn start() -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        Self::start_at(port)
    }

    /// The same at a port that was this test's before.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("SKIPPED: redis-server cannot be started ({error}): install the package redis-server");
                return None;
            }
        };
        let redis = Self { child, port, _folder: folder };
        let deadline = Instant::now() + START;
        while redis.try_connect().is_none() {
            assert!(Instant::now() < deadline, "redis-server did not answer within {START:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    fn try_connect(&self) -> Option<Connection> {
        let mut connection = Client::open(self.url()).ok()?.get_connection_with_timeout(Duration::from_secs(2)).ok()?;
        redis::cmd("PING").query::<String>(&mut connection).ok()?;
        Some(connection)
    }

    /// All keys, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connect().keys("*").expect("keys");
        keys.sort();
        keys
    }

    /// Sends a signal to the server's process: it stands still (`-STOP`) or goes on (`-CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the signal was sent");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Already ended is ended, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
