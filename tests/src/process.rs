//! A program under test: its output is kept line by line, it is waited for with a deadline, and it never outlives its
//! owner.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running program. Dropping it kills it; when a test fails, its output is printed.
pub struct Process {
    child: Child,
    name: String,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

/// Lines that arrive while somebody may be waiting for one.
#[derive(Default)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// Nothing more will come.
    closed: bool,
}

impl Process {
    /// Starts `command` with both outputs captured and no input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let name = PathBuf::from(command.get_program())
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();

        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
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

    /// The system's number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long its threads of this name have been on a core so far, as Linux counts it.
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
                    .context("no time on a core")?;
                nanoseconds = Some(nanoseconds.unwrap_or(0) + on_core);
            }
        }

        nanoseconds
            .map(Duration::from_nanos)
            .with_context(|| format!("no thread of {} is called {thread}", self.name))
    }

    /// Waits for a line on standard output for which `pick` gives something.
    ///
    /// # Errors
    /// When the deadline passes or the program closes its output first: with what it said.
    pub fn wait_for_line<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = || {
            format!(
                "{} said nothing of the kind waited for\n{}",
                self.name,
                self.record()
            )
        };

        self.stdout.wait_for(limit, pick).with_context(what)
    }

    /// The same on standard error, where logs are.
    ///
    /// # Errors
    /// As [`Process::wait_for_line`].
    pub fn wait_for_log<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = || {
            format!(
                "{} logged nothing of the kind waited for\n{}",
                self.name,
                self.record()
            )
        };

        self.stderr.wait_for(limit, pick).with_context(what)
    }

    /// Waits until it has ended; gives its exit code, `None` after a signal.
    ///
    /// # Errors
    /// When the deadline passes: it is killed then.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for a child")? {
                self.stdout.wait_until_closed(Duration::from_secs(5));
                self.stderr.wait_until_closed(Duration::from_secs(5));
                return Ok(status.code());
            }

            if Instant::now() > deadline {
                let _ = self.child.kill();
                bail!(
                    "{} did not end within {limit:?}\n{}",
                    self.name,
                    self.record()
                );
            }

            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `libc::SIGTERM`.
    pub fn signal(&self, signal: i32) {
        let id = libc::pid_t::try_from(self.child.id()).expect("a process id fits its own type");
        // SAFETY: kill(2) takes plain numbers; the child has not been waited for, so its id is still its own.
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

    /// The ends of both outputs, for a message.
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
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait_for<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut lines = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
                        "the time is over"
                    }
                );
            }

            lines = self
                .changed
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn wait_until_closed(&self, limit: Duration) {
        let lines = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A grandchild may hold the other end open: what has come until then will do.
        drop(
            self.changed
                .wait_timeout_while(lines, limit, |lines| !lines.closed),
        );
    }

    fn text(&self) -> String {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .join("\n")
    }
}

/// A program that cargo built, found beside the running test.
///
/// # Panics
/// When it has not been built: says which command does.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    // target/debug/deps/test-0123: two levels below the binaries' folder.
    let folder = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests into a folder of its own");
    let binary = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));

    assert!(
        binary.exists(),
        "{} is not built: run `cargo build --workspace --bins --examples --all-features` first, or `cargo xtask test`, which does",
        binary.display()
    );

    binary
}

/// How often another port is tried: between choosing one and using it, somebody else may take it.
const ATTEMPTS: u32 = 5;

/// Starts a server that cannot choose a port itself, on one that is free on UDP and TCP at this moment.
///
/// # Errors
/// What the last of a few attempts came to.
pub fn on_free_port<T>(start: impl Fn(u16) -> Result<T>) -> Result<T> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP port")?;
        let port = udp
            .local_addr()
            .context("a bound socket has an address")?
            .port();
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
        drop(udp);

        match is_free
            .context("its port on TCP is taken")
            .and_then(|()| start(port))
        {
            Ok(server) => return Ok(server),
            Err(error) => last = Some(error),
        }
    }

    Err(last.expect("there was an attempt"))
}

/// Runs a tool of the system to its end.
///
/// # Errors
/// When it does not start or fails: with what it wrote to standard error.
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

/// Asks again and again, until `condition` gives something or the time is over.
///
/// # Errors
/// When the time is over: `what` was waited for.
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
    fn a_line_is_waited_for() {
        let process = shell("echo first; sleep 0.2; echo ready 42; sleep 60");
        let number = process.wait_for_line(Duration::from_secs(10), |line| {
            line.strip_prefix("ready ")?.parse::<u32>().ok()
        });

        assert_eq!(
            number.expect("the line comes"),
            42,
            "what was picked out of the line is given"
        );
    }

    #[test]
    fn a_line_that_never_comes_is_an_error_with_the_log() {
        let process = shell("echo broken >&2");
        let error = process
            .wait_for_line(Duration::from_secs(10), |_| None::<()>)
            .expect_err("nothing was said");
        assert!(
            format!("{error:#}").contains("output ended"),
            "it does not wait for the deadline: {error:#}"
        );
    }

    #[test]
    fn the_exit_code_is_given_and_the_output_complete() {
        let mut process = shell("echo out; echo log >&2; exit 3");
        assert_eq!(
            process.wait(Duration::from_secs(10)).expect("it ends"),
            Some(3),
            "its own exit code"
        );

        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("out", "log"),
            "both streams, apart"
        );
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("exec sleep 60");
        let id = process.id();
        drop(process);

        assert!(
            !PathBuf::from(format!("/proc/{id}")).exists(),
            "killed and waited for"
        );
    }
}
