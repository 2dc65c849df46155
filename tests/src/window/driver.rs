//! A client for WebKitWebDriver with the few W3C WebDriver commands that the tests need.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::network::Entrance;
use crate::process::Process;

/// How long one command may take. The slowest is a cold start of the app on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The key under which the protocol names an element (W3C webdriver §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running driver with one session, which is one running app.
pub(super) struct Driver {
    process: Process,
    /// Where the driver runs; `None`: beside this program.
    host: Option<Entrance>,
    port: u16,
    session: String,
    program: String,
}

impl Driver {
    /// Starts WebKitWebDriver with `command`, which runs it on `host` if there is one, and has it
    /// start `program`.
    pub(super) fn start(
        mut command: Command,
        host: Option<Entrance>,
        program: &Path,
        arguments: &[&str],
        environment: &[(OsString, OsString)],
    ) -> Result<Self> {
        let port = run_on(host.as_ref(), free_port)?;
        command
            .arg(format!("--port={port}"))
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let process = Process::start(command)?;
        let program = program.to_string_lossy().into_owned();
        let mut driver = Self {
            process,
            host,
            port,
            session: String::new(),
            program: program.clone(),
        };

        driver.wait_until_it_listens()?;
        let options = json!({ "binary": program, "args": arguments });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let answer = driver
            .send("POST", "/session", Some(&wanted))
            .with_context(|| driver.log())?;
        driver.session = answer["sessionId"]
            .as_str()
            .context("the new session has no id")?
            .to_owned();
        driver.call("POST", "/timeouts", Some(&json!({ "script": 60_000 })))?;

        Ok(driver)
    }

    pub(super) fn run(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.call(
            "POST",
            "/execute/sync",
            Some(&json!({ "script": script, "args": arguments })),
        )
    }

    pub(super) fn run_async(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.call(
            "POST",
            "/execute/async",
            Some(&json!({ "script": script, "args": arguments })),
        )
    }

    pub(super) fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.call(
            "POST",
            &format!("/element/{element}/click"),
            Some(&json!({})),
        )
        .map(drop)
    }

    pub(super) fn fill(&self, selector: &str, text: &str) -> Result<()> {
        // Typing replaces the selection.
        self.run(
            "const e = document.querySelector(arguments[0]); e.focus(); e.select();",
            &json!([selector]),
        )?;
        self.keys(selector, text)?;
        self.run("document.activeElement?.blur();", &json!([]))
            .map(drop)
    }

    pub(super) fn keys(&self, selector: &str, keys: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.call(
            "POST",
            &format!("/element/{element}/value"),
            Some(&json!({ "text": keys })),
        )
        .map(drop)
    }

    pub(super) fn reload(&self) -> Result<()> {
        self.call("POST", "/refresh", Some(&json!({}))).map(drop)
    }

    /// Minimizes the window, which takes a window manager.
    pub(super) fn minimize(&self) -> Result<()> {
        self.call("POST", "/window/minimize", Some(&json!({})))
            .map(drop)
    }

    pub(super) fn resize(&self, width: u32, height: u32) -> Result<()> {
        let rect = json!({ "x": 0, "y": 0, "width": width, "height": height });
        self.call("POST", "/window/rect", Some(&rect)).map(drop)
    }

    pub(super) fn screenshot(&self, path: &Path) -> Result<()> {
        let image = self.call("GET", "/screenshot", None)?;
        let bytes = from_base64(image.as_str().unwrap_or_default())
            .context("the screenshot is not base64")?;
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The process id of the app, which is a child of the driver.
    pub(super) fn app_process(&self) -> Result<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = std::fs::read_to_string(&children)
            .with_context(|| format!("cannot read {children}"))?;
        // Seen from here, the path of a program in an overlay has the mount point in front.
        let program = self.program.trim_start_matches('/');
        let runs_it = |id: &&str| {
            std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe.ends_with(program))
        };

        children
            .split_whitespace()
            .find(runs_it)
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| anyhow!("{} is not running under the driver", self.program))
    }

    pub(super) fn log(&self) -> String {
        format!(
            "output of the driver and the app:\n{}{}",
            self.process.stdout(),
            self.process.stderr()
        )
    }

    fn element(&self, selector: &str) -> Result<String> {
        let found = self.call(
            "POST",
            "/element",
            Some(&json!({ "using": "css selector", "value": selector })),
        )?;

        Ok(found[ELEMENT]
            .as_str()
            .context("the element has no id")?
            .to_owned())
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    fn wait_until_it_listens(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if self.send("GET", "/status", None).is_ok() {
                return Ok(());
            }

            if Instant::now() > deadline {
                bail!("WebKitWebDriver does not answer\n{}", self.log());
            }

            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends one HTTP request on a new connection and returns the `value` of the answer.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let mut socket = run_on(self.host.as_ref(), connect)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n",
            self.port
        );

        write!(
            socket,
            "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let answer = read_answer(&mut socket).with_context(|| format!("{method} {path}"))?;
        let value = answer["value"].clone();

        match value.get("error").and_then(Value::as_str) {
            Some(error) => bail!(
                "{method} {path}: {error}: {}",
                value["message"].as_str().unwrap_or_default()
            ),
            None => Ok(value),
        }
    }
}

/// Runs `work` on this host, or here.
fn run_on<T: Send>(host: Option<&Entrance>, work: impl FnOnce() -> T + Send) -> T {
    match host {
        Some(host) => host.run(work),
        None => work(),
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Deleting the session ends the app too, if it is still running.
        if !self.session.is_empty() {
            let app = self.app_process();
            let _ = self.call("DELETE", "", None);

            if let Ok(app) = app.and_then(|app| Ok(libc::pid_t::try_from(app)?)) {
                // SAFETY: kill(2) takes plain numbers. The app is a child of the driver, which is
                // still running.
                unsafe { libc::kill(app, libc::SIGKILL) };
            }
        }
    }
}

/// Reads one answer. Its end follows from `Content-Length`: the driver keeps connections open even
/// when asked to close.
fn read_answer(socket: &mut TcpStream) -> Result<Value> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 64 * 1024];

    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length
                .context("the answer has no Content-Length")?
                .trim()
                .parse()?;

            if bytes.len() >= end + 4 + length {
                return serde_json::from_slice(&bytes[end + 4..end + 4 + length])
                    .context("the answer is not JSON");
            }
        }

        let read = socket.read(&mut chunk).context("no answer in time")?;
        if read == 0 {
            bail!("the connection closed in the middle of the answer");
        }

        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// A port that is free now. If another program takes it first, the driver fails to start and says
/// so.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };

    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);

    for c in text
        .bytes()
        .filter(|c| !c.is_ascii_whitespace() && *c != b'=')
    {
        bits = bits << 6 | u32::from(digit(c)?);
        held += 6;

        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xFF) as u8);
        }
    }

    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        assert_eq!(
            from_base64("VGFuZGVt").as_deref(),
            Some(&b"Tandem"[..]),
            "text without padding"
        );
        assert_eq!(
            from_base64("VGFuZA==").as_deref(),
            Some(&b"Tand"[..]),
            "text with padding"
        );
        assert_eq!(from_base64("VG*u"), None, "other characters are rejected");
    }
}
