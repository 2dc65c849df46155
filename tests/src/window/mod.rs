//! The real window, on a screen of the test's own, with somebody who presses its buttons.
//!
//! WebKitWebDriver starts the app and speaks W3C WebDriver; the app shows itself on a private Xvfb. Each window has its
//! own folders, so that any number of them are as many users.

mod driver;
mod pattern;
mod screen;

pub use pattern::Code;
pub use screen::Screen;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{built, wait_until};
use crate::{Overlay, PulseAudio};
use driver::Driver;

/// How long the window may take to show something, on a machine that does other things, too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The driver's program.
const DRIVER: &str = "WebKitWebDriver";

/// Arguments of a window that needs no devices.
pub const TEST_MEDIA: [&str; 6] = ["--video", "test", "--audio", "test", "--speaker", "none"];

/// An open window. Dropping it ends it, without manners: see [`Window::close`].
pub struct Window {
    driver: Driver,
    home: Home,
}

/// The folders of one user.
pub struct Home {
    folder: TempDir,
    /// What else this user's programs find in their environment.
    more: Vec<(OsString, OsString)>,
}

impl Home {
    /// A user who has never started Tandem.
    ///
    /// # Errors
    /// When there is no place for a folder.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir().context("no place for a folder")?,
            more: Vec::new(),
        })
    }

    /// The same with the devices of a sound server.
    #[must_use]
    pub fn with_sound(mut self, sound: &PulseAudio) -> Self {
        self.more = sound
            .environment()
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self
    }

    /// The same without a microphone and without a speaker, whatever this machine has.
    ///
    /// # Errors
    /// When there is no place for a file.
    pub fn without_sound(mut self) -> Result<Self> {
        let nothing = self.folder.path().join("no-devices.conf");
        std::fs::write(&nothing, "# ALSA knows no device.\n").context("no place for a file")?;
        self.more = vec![("ALSA_CONFIG_PATH".into(), nothing.into_os_string())];

        Ok(self)
    }

    /// Where the settings are kept.
    pub fn settings(&self) -> PathBuf {
        self.config().join("tandem/settings.json")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// The variables that make a program believe to be this user's.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let folder = |name: &str| self.folder.path().join(name).into_os_string();
        let folders = [
            ("XDG_CONFIG_HOME".into(), self.config().into_os_string()),
            ("XDG_DATA_HOME".into(), folder("data")),
            ("XDG_CACHE_HOME".into(), folder("cache")),
        ];

        folders
            .into_iter()
            .chain(self.more.iter().cloned())
            .collect()
    }
}

impl Window {
    /// Opens Tandem as somebody who has never started it.
    ///
    /// # Errors
    /// When the driver, the app or its page does not come up.
    pub fn open(screen: &Screen, arguments: &[&str]) -> Result<Self> {
        Self::open_as(Home::new()?, screen, arguments)
    }

    /// Opens Tandem as this user.
    ///
    /// # Errors
    /// When the driver, the app or its page does not come up.
    pub fn open_as(home: Home, screen: &Screen, arguments: &[&str]) -> Result<Self> {
        Self::open_program(&built("tandem"), home, screen, arguments)
    }

    /// Opens this program, which is Tandem, too.
    ///
    /// # Errors
    /// When the driver, the app or its page does not come up.
    pub fn open_program(
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start(Command::new(DRIVER), program, home, screen, arguments)
    }

    /// Opens the program that lies at this path in an overlay.
    ///
    /// # Errors
    /// When the driver, the app or its page does not come up.
    pub fn open_in(
        overlay: &Overlay,
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start(overlay.command(DRIVER), program, home, screen, arguments)
    }

    fn start(
        driver: Command,
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut environment = home.environment();
        environment.extend(screen.environment());

        for (name, value) in [
            ("TAURI_AUTOMATION", "true"),
            ("TAURI_WEBVIEW_AUTOMATION", "true"),
        ] {
            environment.push((name.into(), value.into()));
        }

        let driver = Driver::start(driver, program, arguments, &environment)?;
        let window = Self { driver, home };
        window.wait_for("its first screen", || {
            window.screen().ok().filter(|screen| !screen.is_empty())
        })?;

        Ok(window)
    }

    /// The name of the screen that is shown: `lobby`, `waiting`, `connecting`, `in-call` or `ended`.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn screen(&self) -> Result<String> {
        let name = self.run(
            "return document.querySelector('main')?.dataset.screen ?? '';",
            &json!([]),
        )?;
        Ok(name.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until this screen is shown.
    ///
    /// # Errors
    /// When it is not in time: with what is shown instead.
    pub fn wait_for_screen(&self, name: &str) -> Result<()> {
        self.wait_for(&format!("the screen {name}"), || {
            (self.screen().ok()? == name).then_some(())
        })
    }

    /// Waits until something matches a CSS selector and can be seen.
    ///
    /// # Errors
    /// When nothing does in time.
    pub fn wait_for_element(&self, selector: &str) -> Result<()> {
        self.wait_for(selector, || self.is_shown(selector).ok()?.then_some(()))
    }

    /// Whether something matches a CSS selector and can be seen.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn is_shown(&self, selector: &str) -> Result<bool> {
        let script = "return [...document.querySelectorAll(arguments[0])].some((e) => e.getClientRects().length > 0);";
        Ok(self.run(script, &json!([selector]))? == Value::Bool(true))
    }

    /// The text of the first element that matches, as a user reads it.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn text(&self, selector: &str) -> Result<String> {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';";
        Ok(self
            .run(script, &json!([selector]))?
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// An attribute of the first element that matches.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn attribute(&self, selector: &str, name: &str) -> Result<Option<String>> {
        let script =
            "return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null;";
        Ok(self
            .run(script, &json!([selector, name]))?
            .as_str()
            .map(str::to_owned))
    }

    /// Presses a button by its `data-action`, as a mouse does, once it can be pressed.
    ///
    /// # Errors
    /// When there is no such button, or it stays disabled.
    pub fn press(&self, action: &str) -> Result<()> {
        let selector = format!("[data-action=\"{action}\"]");
        self.wait_for(&format!("the button {action}"), || {
            let ready =
                "const e = [...document.querySelectorAll(arguments[0])].find((e) => e.getClientRects().length > 0);
                return !!e && !e.disabled;";
            (self.run(ready, &json!([selector])).ok()? == Value::Bool(true)).then_some(())
        })?;

        self.driver.click(&selector)
    }

    /// Types into an input in place of what is there, as a keyboard does, and leaves it.
    ///
    /// # Errors
    /// When there is no such input.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        self.wait_for_element(selector)?;
        self.driver.fill(selector, text)
    }

    /// Chooses in a menu, as somebody who opens it does.
    ///
    /// # Errors
    /// When the menu does not come to offer the value.
    pub fn choose(&self, menu: &str, value: &str) -> Result<()> {
        let choose = "const [menu, value] = arguments;
            const e = [...document.querySelectorAll(menu)].find((e) => e.getClientRects().length > 0);
            if (!e || ![...e.options].some((option) => option.value === value)) return false;
            e.value = value;
            e.dispatchEvent(new Event('change', { bubbles: true }));
            return true;";
        self.wait_for(&format!("{value} in the menu {menu}"), || {
            (self.run(choose, &json!([menu, value])).ok()? == Value::Bool(true)).then_some(())
        })
    }

    /// Waits until the state that the app tells has this value at a JSON pointer.
    ///
    /// # Errors
    /// When it does not in time: with the state.
    pub fn wait_for_state(&self, pointer: &str, wanted: &Value) -> Result<()> {
        let found = || {
            self.state()
                .ok()?
                .pointer(pointer)
                .filter(|found| *found == wanted)
                .map(drop)
        };

        let state = || format!("the state is {}", self.state().unwrap_or_default());
        wait_until(&format!("{pointer} is {wanted}"), PATIENCE, found).with_context(state)
    }

    /// Presses one key, with nothing in focus.
    ///
    /// # Errors
    /// When the page does not take it.
    pub fn key(&self, key: &str) -> Result<()> {
        self.run("document.activeElement?.blur();", &json!([]))?;
        self.driver.keys("body", key)
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn reload(&self) -> Result<()> {
        self.driver.reload()
    }

    /// Runs a script in the page; gives what it returns.
    ///
    /// # Errors
    /// When it throws, or the page does not answer.
    pub fn run(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.driver.run(script, arguments)
    }

    /// Runs a script that calls its last argument when it is done.
    ///
    /// # Errors
    /// When it does not within 60 s.
    pub fn run_async(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.driver.run_async(script, arguments)
    }

    /// Sends the app a command as the page does: `kind` is its type (`setMuted`), `fields` holds its
    /// other fields. `Err` inside is the app's refusal.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn command(&self, kind: &str, fields: &Value) -> Result<std::result::Result<Value, Value>> {
        let mut command = fields.clone();
        command["type"] = kind.into();
        self.invoke("run", &json!({ "command": command }))
    }

    /// Calls one of the app's Tauri commands.
    fn invoke(&self, name: &str, arguments: &Value) -> Result<std::result::Result<Value, Value>> {
        let script = "const done = arguments[2];
            window.__TAURI_INTERNALS__.invoke(arguments[0], arguments[1]).then((ok) => done({ ok }), (err) => done({ err }));";
        let answer = self.run_async(script, &json!([name, arguments]))?;
        Ok(match answer.get("err") {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(answer.get("ok").cloned().unwrap_or(Value::Null)),
        })
    }

    /// What the app says that it shows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn state(&self) -> Result<Value> {
        match self.invoke("get_state", &json!({}))? {
            Ok(state) => Ok(state),
            Err(refusal) => bail!("the app tells no state: {refusal}"),
        }
    }

    /// Reads the code of the test picture off a canvas.
    ///
    /// # Errors
    /// When the page does not answer. `None`: nothing readable is on it.
    pub fn picture(&self, canvas: &str) -> Result<Option<Code>> {
        pattern::read(self, canvas)
    }

    /// Waits until a canvas shows the test picture, and then `more` later ones. Gives the first and the last.
    ///
    /// # Errors
    /// When no picture comes, or they do not advance.
    pub fn wait_for_pictures(&self, canvas: &str, more: u16) -> Result<(Code, Code)> {
        let first = self.wait_for(&format!("a picture on {canvas}"), || {
            self.picture(canvas).ok().flatten()
        })?;

        let what = format!(
            "{more} more pictures on {canvas} than number {}",
            first.frame
        );

        let later = |code: &Code| {
            code.frame.wrapping_sub(first.frame) >= more
                && code.frame.wrapping_sub(first.frame) < 0x8000
        };

        let last = self.wait_for(&what, || self.picture(canvas).ok().flatten().filter(later))?;
        Ok((first, last))
    }

    /// Takes a picture of the whole page, as a PNG.
    ///
    /// # Errors
    /// When the driver refuses, or the file cannot be written.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        // The driver waits for the next repaint, and a page that stands still has none.
        let nudge = "let odd = false;
            window.nudge = setInterval(() => { odd = !odd; document.body.style.outlineOffset = odd ? '1px' : '0'; }, 50);";
        self.run(nudge, &json!([]))?;
        let taken = self.driver.screenshot(path);
        self.run(
            "clearInterval(window.nudge); document.body.style.outlineOffset = '';",
            &json!([]),
        )?;

        taken
    }

    /// Makes the window this large, in pixels.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.driver.resize(width, height)
    }

    /// The number of the app's process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn process_id(&self) -> Result<u32> {
        self.driver.app_process()
    }

    /// Sends the app a signal, such as `libc::SIGSTOP`.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let id =
            libc::pid_t::try_from(self.process_id()?).context("a process id fits its own type")?;
        // SAFETY: kill(2) takes plain numbers; the app is a child of our driver, which has not been told that it ended.
        let sent = unsafe { libc::kill(id, signal) };
        ensure!(sent == 0, "the app can be signalled");

        Ok(())
    }

    /// Ends the app as a system does at log-out (SIGTERM): it closes its window, as the title bar's button does, and tells
    /// the partner. Waits until the app is gone, and gives the user's folders. (WebDriver's own way to close a window
    /// kills the app.)
    ///
    /// # Errors
    /// When it does not end.
    pub fn close(self) -> Result<Home> {
        let process = self.process_id()?;
        self.signal(libc::SIGTERM)?;
        wait_until("the app ends", PATIENCE, || {
            has_ended(process).then_some(())
        })?;

        Ok(self.home)
    }

    /// The user's folders.
    pub fn home(&self) -> &Home {
        &self.home
    }

    fn wait_for<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = condition() {
                return Ok(found);
            }

            if Instant::now() > deadline {
                let page = self
                    .text("main")
                    .unwrap_or_else(|error| format!("(the page does not answer: {error:#})"));
                let screen = self.screen().unwrap_or_default();
                bail!(
                    "{what}: not within {PATIENCE:?}; the screen {screen} says:\n{page}\n{}",
                    self.driver.log()
                );
            }

            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether a process is gone, or only waits for its parent to notice.
fn has_ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}
