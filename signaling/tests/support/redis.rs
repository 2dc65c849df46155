//! A Redis of the test's own: a free port, nothing on disk, gone with the test.

#![allow(
    clippy::print_stdout,
    reason = "a test that does not run here says why"
)]
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "clock.rs"]
pub(crate) mod clock;

use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection};

use clock::Clock;

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
        Self::start_on(std::iter::repeat_with(free_port))
    }

    /// The same at a port that was this test's before.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        Self::start_on(std::iter::once(port))
    }

    /// At the first of these ports that nobody else has.
    pub(crate) fn start_on(ports: impl Iterator<Item = u16>) -> Option<Self> {
        Self::launch(
            ports,
            PLAIN,
            None,
            &[],
            tempfile::tempdir().expect("a folder"),
        )
    }

    /// On a machine with a clock of the test's own. `None`, with the reason, where no C compiler is.
    pub(crate) fn start_with_clock() -> Option<(Self, Clock)> {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::compile(folder.path())
            .map_err(|reason| skip(&reason))
            .ok()?;
        let redis = Self::launch(
            std::iter::repeat_with(free_port),
            PLAIN,
            None,
            &[clock.environment()],
            folder,
        )?;

        Some((redis, clock))
    }

    /// With a file of settings, of which only the port and the folder are overridden, and a password beside them.
    pub(crate) fn start_with(settings: &str, password: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let args = [settings, "--requirepass", password];
        Self::launch(
            std::iter::repeat_with(free_port),
            &args,
            Some(password.to_owned()),
            &[],
            folder,
        )
    }

    fn launch(
        mut ports: impl Iterator<Item = u16>,
        args: &[&str],
        password: Option<String>,
        environment: &[(&str, &OsStr)],
        folder: tempfile::TempDir,
    ) -> Option<Self> {
        let path = folder.path().to_owned();
        let mut start = || {
            let port = ports.next().expect("a port that nobody else has");
            let mut command = Command::new("redis-server");
            command.current_dir(&path).envs(environment.iter().copied());
            command.args(args).args(["--port", &port.to_string()]);
            command
                .arg("--dir")
                .arg(&path)
                .stdout(Stdio::null())
                .stderr(Stdio::null());

            command.spawn().map(|child| (child, port))
        };

        let (child, port) = match start() {
            Ok(started) => started,
            Err(error) => {
                skip(&format!(
                    "redis-server cannot be started ({error}): install the package redis-server"
                ));
                return None;
            }
        };

        let mut redis = Self {
            child,
            port,
            password,
            folder,
        };

        let deadline = Instant::now() + START;
        while !redis.is_up() {
            assert!(
                Instant::now() < deadline,
                "redis-server did not answer within {START:?}"
            );

            // It ends at once where somebody else has the port, and be it since we looked.
            if redis.child.try_wait().expect("a child's status").is_some() {
                (redis.child, redis.port) = start().expect("it started before");
            }

            std::thread::sleep(Duration::from_millis(20));
        }

        Some(redis)
    }

    /// Whether it is this server that answers at the port, and not somebody else's.
    fn is_up(&self) -> bool {
        let Some(mut connection) = self.try_connect() else {
            return false;
        };

        let info: Result<redis::InfoDict, _> =
            redis::cmd("INFO").arg("server").query(&mut connection);
        info.is_ok_and(|info| info.get::<u32>("process_id") == Some(self.child.id()))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        let password = self
            .password
            .as_ref()
            .map(|password| format!(":{password}@"))
            .unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    fn try_connect(&self) -> Option<Connection> {
        let mut connection = Client::open(self.url())
            .ok()?
            .get_connection_with_timeout(Duration::from_secs(2))
            .ok()?;
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
        let entries: Vec<(String, Vec<String>)> =
            range.query(&mut self.connect()).expect("a stream");
        let report = |(id, fields): (String, Vec<String>)| match &fields[..] {
            [name, report] if name == "report" => serde_json::from_str(report).expect("JSON"),
            _ => panic!("an entry has one field: {id} {fields:?}"),
        };

        entries.into_iter().map(report).collect()
    }

    /// Sends a signal to the server's process: it stands still (`-STOP`) or goes on (`-CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success(), "the signal was sent");
    }
}

/// Free at this moment.
pub(crate) fn free_port() -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    free.local_addr().expect("an address").port()
}

/// Prints that this test does not run here, and notes it for the summary of `cargo xtask test`.
pub(crate) fn skip(reason: &str) {
    // libtest names a test's thread after it.
    let thread = std::thread::current();
    let file = module_path!().split("::").next().unwrap_or_default();
    let test = format!("{file}::{}", thread.name().unwrap_or("a test"));
    println!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os("TANDEM_SKIP_LOG") else {
        return;
    };

    let noted = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut log| writeln!(log, "{test}: {reason}"));
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
