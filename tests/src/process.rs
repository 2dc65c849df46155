//! A program under test. Its output is kept line by line, every wait has a deadline, and it never
//! outlives its owner.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::{Condvar, Mutex};

/// A running program. Dropping it kills it and, if the test is failing, prints its output.
pub struct Process {
    child: Child,
    name: String,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

/// Lines from one output stream. A reader thread adds them, and tests wait for one.
#[derive(Default)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// The stream has ended: no more lines will come.
    closed: bool,
}

impl Process {
    /// Starts `command` with both outputs captured and no input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null());
        Self::spawn(command)
    }

    /// Like [`Process::start`], but with an input for [`Process::write_line`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_input(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let name = PathBuf::from(command.get_program())
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();

        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());

        Ok(Self {
            child,
            name,
            stdout,
            stderr,
        })
    }

    /// Writes a line to its input.
    ///
    /// # Errors
    /// When it was started without one, or has closed it.
    pub fn write_line(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("it has no input")?;
        writeln!(input, "{line}").with_context(|| format!("{} does not read", self.name))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that its threads of this name have used so far, from Linux's `schedstat`.
    ///
    /// # Errors
    /// When there is no such thread.
    pub fn time_on_core(&self, thread: &str) -> Result<Duration> {
        let mut nanoseconds = None;
        let tasks = format!("/proc/{}/task", self.id());

        for task in std::fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            let task = task?.path();

            // A thread may end between the listing and the reading.
            if std::fs::read_to_string(task.join("comm"))
                .is_ok_and(|name| name.trim_end() == thread)
            {
                let schedule = std::fs::read_to_string(task.join("schedstat"))?;
                let on_core: u64 = schedule
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .parse()
                    .context("schedstat begins with the CPU time in nanoseconds")?;
                nanoseconds = Some(nanoseconds.unwrap_or(0) + on_core);
            }
        }

        nanoseconds
            .map(Duration::from_nanos)
            .with_context(|| format!("{} has no thread called {thread}", self.name))
    }

    /// Waits for a line on standard output for which `pick` returns `Some`.
    ///
    /// # Errors
    /// When `limit` passes or the program closes its output first. The error quotes its output.
    pub fn wait_for_line<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = || {
            format!(
                "{} did not print the expected line\n{}",
                self.name,
                self.record()
            )
        };

        self.stdout.wait_for(limit, pick).with_context(what)
    }

    /// Like [`Process::wait_for_line`], but on standard error, where the logs are.
    ///
    /// # Errors
    /// As [`Process::wait_for_line`].
    pub fn wait_for_log<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = || {
            format!(
                "{} did not log the expected line\n{}",
                self.name,
                self.record()
            )
        };

        self.stderr.wait_for(limit, pick).with_context(what)
    }

    /// Waits until it exits and returns the exit code, or `None` after a signal.
    ///
    /// # Errors
    /// When `limit` passes. The process is killed first.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot wait for the process")?
            {
                self.stdout.wait_until_closed(Duration::from_secs(5));
                self.stderr.wait_until_closed(Duration::from_secs(5));
                return Ok(status.code());
            }

            if Instant::now() > deadline {
                let _ = self.child.kill();
                bail!(
                    "{} did not exit within {limit:?}\n{}",
                    self.name,
                    self.record()
                );
            }

            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has not exited yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `libc::SIGTERM`.
    pub fn signal(&self, signal: i32) {
        let id = libc::pid_t::try_from(self.child.id()).expect("a process id fits pid_t");
        // SAFETY: kill(2) takes plain numbers. The child has not been waited for, so the id still
        // belongs to it.
        let sent = unsafe { libc::kill(id, signal) };
        assert_eq!(
            sent, 0,
            "{} can be signalled while it is our child",
            self.name
        );
    }

    /// Everything on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The last 60 lines of both outputs, for an error message.
    fn record(&self) -> String {
        let tail = |text: String| {
            let skip = text.lines().count().saturating_sub(60);
            text.lines()
                .skip(skip)
                .map(|line| format!("    {line}\n"))
                .collect::<String>()
        };

        format!(
            "  its output:\n{}  its log:\n{}",
            tail(self.stdout()),
            tail(self.stderr())
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();

        if thread::panicking() {
            eprintln!("--- {} ({})\n{}", self.name, self.child.id(), self.record());
        }
    }
}

impl Output {
    fn of(stream: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let Some(stream) = stream else { return output };
        let writer = Arc::clone(&output);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();

            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                line.clear();
                writer.change(|lines| lines.lines.push(text));
            }

            writer.change(|lines| lines.closed = true);
        });

        output
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn wait_for<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut lines = self.state.lock();
        let mut looked_at = 0;

        loop {
            if let Some(found) = lines.lines[looked_at..].iter().find_map(|line| pick(line)) {
                return Ok(found);
            }

            looked_at = lines.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());

            if lines.closed || left.is_zero() {
                bail!(
                    "{}",
                    if lines.closed {
                        "the output ended"
                    } else {
                        "the timeout passed"
                    }
                );
            }

            self.changed.wait_for(&mut lines, left);
        }
    }

    fn wait_until_closed(&self, limit: Duration) {
        let mut lines = self.state.lock();
        // A grandchild may hold the other end open. Then the lines so far have to do.
        self.changed
            .wait_while_for(&mut lines, |lines| !lines.closed, limit);
    }

    fn text(&self) -> String {
        self.state.lock().lines.join("\n")
    }
}

/// The path of a program that cargo built, next to the running test. For `tandem` the environment
/// variable `TANDEM_PROGRAM` can name another one: `cargo xtask test` names the one with the
/// features that ship.
///
/// # Panics
/// When it has not been built. The message names the command that builds it.
pub fn built(name: &str) -> PathBuf {
    if name == "tandem"
        && let Some(program) = std::env::var_os("TANDEM_PROGRAM")
    {
        return program.into();
    }

    let test = std::env::current_exe().expect("a running test knows its own path");
    // Tests are at target/debug/deps/NAME-HASH, programs at target/debug/NAME.
    let folder = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two levels below target");
    let binary = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        binary.exists(),
        "{} is not built: run `cargo build --workspace --bins --examples --all-features` first, or `cargo xtask test`, which does",
        binary.display()
    );

    binary
}

/// How many ports to try: another program may take one between choosing it and using it.
const ATTEMPTS: u32 = 5;

/// Starts a server that cannot choose a port itself on one that is free on both UDP and TCP.
///
/// # Errors
/// When five attempts fail: the error of the last one.
pub fn on_free_port<T>(start: impl Fn(u16) -> Result<T>) -> Result<T> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP port is free")?;
        let port = udp
            .local_addr()
            .context("a bound socket has an address")?
            .port();
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
        drop(udp);

        match is_free
            .context("the same port is taken on TCP")
            .and_then(|()| start(port))
        {
            Ok(server) => return Ok(server),
            Err(error) => last = Some(error),
        }
    }

    Err(last.expect("ATTEMPTS is not 0"))
}

/// Runs a system tool and returns its standard output.
///
/// # Errors
/// When it does not start or fails. The error quotes its standard error.
pub fn tool<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;

    if !output.status.success() {
        bail!(
            "{program} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }

    Ok(output.stdout)
}

/// Polls every 20 ms until `condition` returns `Some`.
///
/// # Errors
/// When `limit` passes. The error says `what` was expected.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }

        if Instant::now() > deadline {
            bail!("{what}: not within {limit:?}");
        }

        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).expect("sh starts")
    }

    #[test]
    fn a_test_can_wait_for_a_line() {
        let process = shell("echo first; sleep 0.2; echo ready 42; exec sleep 60");
        let number = process.wait_for_line(Duration::from_secs(10), |line| {
            line.strip_prefix("ready ")?.parse::<u32>().ok()
        });
        assert_eq!(
            number.expect("the line arrives"),
            42,
            "wait_for_line returns what the closure picked"
        );
    }

    #[test]
    fn a_line_that_never_comes_is_an_error_with_the_log() {
        let process = shell("echo broken >&2");
        let error = process
            .wait_for_line(Duration::from_secs(10), |_| None::<()>)
            .expect_err("nothing is printed");
        assert!(
            format!("{error:#}").contains("output ended"),
            "it fails when the output ends, before the deadline: {error:#}"
        );
    }

    #[test]
    fn wait_returns_the_exit_code_and_keeps_the_whole_output() {
        let mut process = shell("echo out; echo log >&2; exit 3");
        assert_eq!(
            process.wait(Duration::from_secs(10)).expect("it exits"),
            Some(3),
            "the exit code of the script"
        );
        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("out", "log"),
            "the two streams are kept apart"
        );
    }

    #[test]
    fn dropping_a_process_kills_it() {
        let process = shell("exec sleep 60");
        let id = process.id();
        drop(process);

        assert!(
            !PathBuf::from(format!("/proc/{id}")).exists(),
            "it is killed and reaped"
        );
    }
}
