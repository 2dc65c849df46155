//! A Redis of the test's own: a free port, nothing on disk, gone with the test.

#![allow(clippy::print_stdout, reason = "a test that does not run here says why")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection};

/// Redis starts within this, on a busy machine too.
const START: Duration = Duration::from_secs(20);

/// For tests: nothing but what a test needs.
const PLAIN: &[&str] = &["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];

/// A running `redis-server`.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    password: Option<String>,
    folder: tempfile::TempDir,
}

impl Redis {
    /// `None`, with the reason printed, where this machine has no `redis-server`.
    pub(crate) fn start() -> Option<Self> {
        Self::start_at(free_port())
    }

    /// The same at a port that was this test's before.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        Self::launch(port, PLAIN, None, &[], tempfile::tempdir().expect("a folder"))
    }

    /// On a machine whose clock can be [set](Self::set_clock). `None`, with the reason, where no C compiler is.
    pub(crate) fn start_with_clock() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        match Command::new("cc").args(["-shared", "-fPIC", "-O2", source, "-o"]).arg(&library).status() {
            Ok(status) => assert!(status.success(), "the clock compiles"),
            Err(error) => {
                skip(&format!("cc cannot be started ({error})"));
                return None;
            }
        }
        write_clock(folder.path(), 0);
        Self::launch(free_port(), PLAIN, None, &[("LD_PRELOAD", library.as_os_str())], folder)
    }

    /// Sets the clock of its machine to so many seconds from the true time.
    pub(crate) fn set_clock(&self, seconds: i64) {
        write_clock(self.folder.path(), seconds);
    }

    /// With a file of settings, of which only the port and the folder are overridden, and a password beside them.
    pub(crate) fn start_with(settings: &str, password: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        Self::launch(free_port(), &[settings, "--requirepass", password], Some(password.to_owned()), &[], folder)
    }

    fn launch(
        port: u16,
        args: &[&str],
        password: Option<String>,
        environment: &[(&str, &OsStr)],
        folder: tempfile::TempDir,
    ) -> Option<Self> {
        let mut command = Command::new("redis-server");
        command.current_dir(folder.path()).envs(environment.iter().copied());
        command.args(args).args(["--port", &port.to_string()]);
        command.arg("--dir").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("redis-server cannot be started ({error}): install the package redis-server"));
                return None;
            }
        };
        let redis = Self { child, port, password, folder };
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
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
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

    /// The reports in the stream, oldest first.
    pub(crate) fn reports(&self) -> Vec<serde_json::Value> {
        let mut range = redis::cmd("XRANGE");
        range.arg("{tandem}:reports").arg("-").arg("+");
        let entries: Vec<(String, Vec<String>)> = range.query(&mut self.connect()).expect("a stream");
        let report = |(id, fields): (String, Vec<String>)| match &fields[..] {
            [name, report] if name == "report" => serde_json::from_str(report).expect("JSON"),
            _ => panic!("an entry has one field: {id} {fields:?}"),
        };
        entries.into_iter().map(report).collect()
    }

    /// Sends a signal to the server's process: it stands still (`-STOP`) or goes on (`-CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the signal was sent");
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    free.local_addr().expect("an address").port()
}

/// In one step: a reader finds the old offset or the new one.
fn write_clock(folder: &Path, seconds: i64) {
    std::fs::write(folder.join("new"), seconds.to_string()).expect("a writable folder");
    std::fs::rename(folder.join("new"), folder.join("clock")).expect("a writable folder");
}

/// Prints that this test does not run here, and notes it for the summary of `cargo xtask test`.
pub(crate) fn skip(reason: &str) {
    // libtest names a test's thread after it.
    let thread = std::thread::current();
    let file = module_path!().split("::").next().unwrap_or_default();
    let test = format!("{file}::{}", thread.name().unwrap_or("a test"));
    println!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os("TANDEM_SKIP_LOG") else { return };
    let noted =
        std::fs::OpenOptions::new().append(true).open(&path).and_then(|mut log| writeln!(log, "{test}: {reason}"));
    if let Err(error) = noted {
        println!("(this cannot be noted: {error})");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Already ended is ended, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
