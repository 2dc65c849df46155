//! Runs the real window on a private screen and controls it.
//!
//! WebKitWebDriver starts the app and takes W3C WebDriver commands. The app opens its window on a
//! private Xvfb. Each window has separate folders for settings and data, so that every window of a
//! test is a different user.

mod driver;
mod pattern;
mod screen;
mod shown;

pub use pattern::Code;
pub use screen::Screen;
pub use shown::{Shown, wait_until_moving, watch};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{built, wait_until};
use crate::{Entrance, Host, MessageBus, Overlay, PulseAudio};
use driver::Driver;

/// How long the window may take to show something, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The driver's program, which comes with WebKitGTK.
const DRIVER: &str = "WebKitWebDriver";

/// Arguments for a window that needs no devices.
pub const TEST_MEDIA: [&str; 6] = ["--video", "test", "--audio", "test", "--speaker", "none"];

/// An open window. Dropping it kills the app; [`Window::close`] ends it properly.
pub struct Window {
    driver: Driver,
    home: Home,
}

/// The folders and environment of one user.
pub struct Home {
    folder: TempDir,
    /// Further environment variables of this user's programs.
    variables: Vec<(OsString, OsString)>,
}

impl Home {
    /// A user who has never started Tandem.
    ///
    /// # Errors
    /// When the temporary folder cannot be created.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir().context("cannot create a temporary folder")?,
            variables: Vec::new(),
        })
    }

    /// Gives the user the devices of a sound server.
    #[must_use]
    pub fn with_sound_server(mut self, pulse: &PulseAudio) -> Self {
        let variables = pulse.environment().into_iter();
        self.variables
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Gives the user's session a message bus, such as one with a notification server.
    #[must_use]
    pub fn with_message_bus(mut self, bus: &MessageBus) -> Self {
        let variable = "DBUS_SESSION_BUS_ADDRESS";
        self.variables.push((variable.into(), bus.address().into()));
        self
    }

    /// Gives the user's machine an administrator, who has left this settings file for all users.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn with_system_settings(mut self, settings: &Value) -> Result<Self> {
        let folder = self.folder.path().join("system");
        let own = folder.join("tandem");
        std::fs::create_dir_all(&own)
            .and_then(|()| std::fs::write(own.join("settings.json"), settings.to_string()))
            .context("cannot write the system's settings")?;
        self.variables
            .push(("XDG_CONFIG_DIRS".into(), folder.into_os_string()));

        Ok(self)
    }

    /// The user has met strangers before: has accepted the rules, and switched the camera on
    /// for them.
    ///
    /// # Errors
    /// When the settings file cannot be written.
    pub fn having_met_strangers(self) -> Result<Self> {
        let settings = json!({
            "version": 1, "rulesAccepted": true, "strangerCamera": true,
        });
        let file = self.settings();
        let folder = file.parent().context("the file is in a folder")?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, settings.to_string()))
            .context("cannot write the settings")?;

        Ok(self)
    }

    /// Hides this machine's microphones and speakers from the user.
    ///
    /// # Errors
    /// When ALSA's configuration cannot be written.
    pub fn without_audio_devices(mut self) -> Result<Self> {
        let no_devices = self.folder.path().join("no-devices.conf");
        std::fs::write(&no_devices, "# No devices.\n")
            .context("cannot write the ALSA configuration")?;
        self.variables
            .push(("ALSA_CONFIG_PATH".into(), no_devices.into_os_string()));

        Ok(self)
    }

    /// The path of the settings file.
    pub fn settings(&self) -> PathBuf {
        self.config().join("tandem/settings.json")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// The environment variables that make a program use this user's folders.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let folder = |name: &str| self.folder.path().join(name).into_os_string();
        let folders = [
            ("XDG_CONFIG_HOME".into(), self.config().into_os_string()),
            ("XDG_DATA_HOME".into(), folder("data")),
            ("XDG_CACHE_HOME".into(), folder("cache")),
        ];

        folders
            .into_iter()
            .chain(self.variables.iter().cloned())
            .collect()
    }
}

impl Window {
    /// Opens Tandem as a user who has never started it.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open(screen: &Screen, arguments: &[&str]) -> Result<Self> {
        Self::open_as(Home::new()?, screen, arguments)
    }

    /// Opens Tandem as this user.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open_as(home: Home, screen: &Screen, arguments: &[&str]) -> Result<Self> {
        Self::open_program(&built("tandem"), home, screen, arguments)
    }

    /// Opens another build of Tandem.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open_program(
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start(
            (Command::new(DRIVER), None),
            program,
            home,
            screen,
            arguments,
        )
    }

    /// Opens Tandem on a host of a test network.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open_on(host: &Host, home: Home, screen: &Screen, arguments: &[&str]) -> Result<Self> {
        Self::open_program_on(host, &built("tandem"), home, screen, arguments)
    }

    /// Opens another build of Tandem on a host of a test network.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open_program_on(
        host: &Host,
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        let driver = (host.command(DRIVER), Some(host.entrance()));
        Self::start(driver, program, home, screen, arguments)
    }

    /// Opens the program at this path in an overlay.
    ///
    /// # Errors
    /// When the driver, the app or its page does not start.
    pub fn open_in(
        overlay: &Overlay,
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        let driver = (overlay.command(DRIVER), None);
        Self::start(driver, program, home, screen, arguments)
    }

    fn start(
        (driver, host): (Command, Option<Entrance>),
        program: &Path,
        home: Home,
        screen: &Screen,
        arguments: &[&str],
    ) -> Result<Self> {
        // What a test sets in its home comes last: it applies.
        let mut environment = screen.environment();
        environment.extend(home.environment());

        for (name, value) in [
            ("TAURI_AUTOMATION", "true"),
            ("TAURI_WEBVIEW_AUTOMATION", "true"),
        ] {
            environment.push((name.into(), value.into()));
        }

        let driver = Driver::start(driver, host, program, arguments, &environment)?;
        let window = Self { driver, home };
        window.wait_for("the first screen", || {
            window.screen().ok().filter(|screen| !screen.is_empty())
        })?;

        Ok(window)
    }

    /// The name of the current screen: `lobby`, `waiting`, `connecting`, `in-call` or `ended`.
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
    /// When it is not shown within [`TIMEOUT`]. The error quotes what is shown instead.
    pub fn wait_for_screen(&self, name: &str) -> Result<()> {
        self.wait_for(&format!("the screen {name}"), || {
            (self.screen().ok()? == name).then_some(())
        })
    }

    /// Waits until a visible element matches a CSS selector.
    ///
    /// # Errors
    /// When none does within [`TIMEOUT`].
    pub fn wait_for_element(&self, selector: &str) -> Result<()> {
        self.wait_for(selector, || self.is_shown(selector).ok()?.then_some(()))
    }

    /// Whether a visible element matches a CSS selector.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn is_shown(&self, selector: &str) -> Result<bool> {
        let script = "return [...document.querySelectorAll(arguments[0])].some((e) => e.getClientRects().length > 0);";
        Ok(self.run(script, &json!([selector]))? == Value::Bool(true))
    }

    /// The visible text of the first element that matches, or an empty string.
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

    /// An attribute of the first element that matches, if there is one.
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

    /// Waits until the button with this `data-action` is enabled, and clicks it.
    ///
    /// # Errors
    /// When there is no such button, or it stays disabled.
    pub fn press(&self, action: &str) -> Result<()> {
        let selector = format!("[data-action=\"{action}\"]");
        self.wait_for(&format!("the button {action}"), || {
            // Like a hand that moves the pointer there: a call hides its controls until it does.
            let ready =
                "window.dispatchEvent(new Event('pointermove'));
                const e = [...document.querySelectorAll(arguments[0])].find((e) => e.getClientRects().length > 0);
                return !!e && !e.disabled;";
            (self.run(ready, &json!([selector])).ok()? == Value::Bool(true)).then_some(())
        })?;

        self.driver.click(&selector)
    }

    /// Replaces the text of an input by typing, then moves the focus away.
    ///
    /// # Errors
    /// When there is no such input.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        self.wait_for_element(selector)?;
        self.driver.fill(selector, text)
    }

    /// Replaces the text of an input by pasting, then moves the focus away: for what people copy,
    /// because the driver takes a tenth of a second to type a character.
    ///
    /// # Errors
    /// When there is no such input, or it takes no text.
    pub fn paste(&self, selector: &str, text: &str) -> Result<()> {
        self.wait_for_element(selector)?;
        let script = "const e = document.querySelector(arguments[0]);
            e.focus(); e.select();
            const pasted = document.execCommand('insertText', false, arguments[1]);
            e.blur();
            return pasted;";
        let pasted = self.run(script, &json!([selector, text]))?;
        ensure!(pasted == true, "{selector} takes no text");

        Ok(())
    }

    /// Waits until a menu (`<select>`) offers a value, and chooses it.
    ///
    /// # Errors
    /// When the menu does not offer the value within [`TIMEOUT`].
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

    /// Waits until the app's state has this value at a JSON pointer.
    ///
    /// # Errors
    /// When it does not within [`TIMEOUT`]. The error quotes the state.
    pub fn wait_for_state(&self, pointer: &str, wanted: &Value) -> Result<()> {
        let found = || {
            self.state()
                .ok()?
                .pointer(pointer)
                .filter(|found| *found == wanted)
                .map(drop)
        };

        let state = || format!("the state is {}", self.state().unwrap_or_default());
        wait_until(&format!("{pointer} is {wanted}"), TIMEOUT, found).with_context(state)
    }

    /// Presses a key while no element has the focus.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn key(&self, key: &str) -> Result<()> {
        self.run("document.activeElement?.blur();", &json!([]))?;
        self.driver.keys("body", key)
    }

    /// Reloads the page.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn reload(&self) -> Result<()> {
        self.driver.reload()
    }

    /// Runs a script in the page and returns its result.
    ///
    /// # Errors
    /// When it throws, or the page does not answer.
    pub fn run(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.driver.run(script, arguments)
    }

    /// Minimizes the window, on a screen with a window manager, and waits until the page knows.
    ///
    /// # Errors
    /// When the window stays.
    pub fn minimize(&self) -> Result<()> {
        self.driver.minimize()?;
        self.wait_for_visibility("hidden")
    }

    /// Brings the window back, and waits until the page knows.
    ///
    /// # Errors
    /// When it stays minimized.
    pub fn restore(&self) -> Result<()> {
        // Setting its size does (WebDriver §11.8.2).
        self.driver.resize(1_000, 700)?;
        self.wait_for_visibility("visible")
    }

    fn wait_for_visibility(&self, wanted: &str) -> Result<()> {
        wait_until(&format!("the page to be {wanted}"), TIMEOUT, || {
            let state = self
                .run("return document.visibilityState", &json!([]))
                .ok()?;
            (state == wanted).then_some(())
        })
    }

    /// Runs a script in the page that passes its result to its last argument, a callback.
    ///
    /// # Errors
    /// When it does not call back within 60 s.
    pub fn run_async(&self, script: &str, arguments: &Value) -> Result<Value> {
        self.driver.run_async(script, arguments)
    }

    /// Sends the app a command as the page does. `kind` is its type, such as `setMuted`; `fields`
    /// holds its other fields. The inner `Err` is the app's refusal.
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

    /// The app's state, which the page shows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn state(&self) -> Result<Value> {
        match self.invoke("get_state", &json!({}))? {
            Ok(state) => Ok(state),
            Err(refusal) => bail!("the app refused to return its state: {refusal}"),
        }
    }

    /// Reads the code of the test pattern off a canvas. `None` if it shows no readable code.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn frame_code(&self, canvas: &str) -> Result<Option<Code>> {
        pattern::read(self, canvas)
    }

    /// Waits until a canvas shows the test pattern, and then a frame at least `more` later. Returns
    /// the first and the last code.
    ///
    /// # Errors
    /// When no frame arrives, or their numbers do not advance.
    pub fn wait_for_frames(&self, canvas: &str, more: u16) -> Result<(Code, Code)> {
        let first = self.wait_for(&format!("a frame on {canvas}"), || {
            self.frame_code(canvas).ok().flatten()
        })?;

        let what = format!(
            "a frame on {canvas} at least {more} after number {}",
            first.frame
        );

        let later = |code: &Code| {
            code.frame.wrapping_sub(first.frame) >= more
                && code.frame.wrapping_sub(first.frame) < 0x8000
        };

        let last = self.wait_for(&what, || {
            self.frame_code(canvas).ok().flatten().filter(later)
        })?;
        Ok((first, last))
    }

    /// Saves a screenshot of the page as a PNG.
    ///
    /// # Errors
    /// When the driver refuses, or the file cannot be written.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        // The driver waits for the next repaint, so make sure that there is one.
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

    /// Resizes the window, in pixels.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.driver.resize(width, height)
    }

    /// The id of the app's process.
    ///
    /// # Errors
    /// When the app has exited.
    pub fn process_id(&self) -> Result<u32> {
        self.driver.app_process()
    }

    /// Sends the app a signal, such as `libc::SIGSTOP`.
    ///
    /// # Errors
    /// When the app has exited.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let id = libc::pid_t::try_from(self.process_id()?)
            .context("the process id does not fit pid_t")?;
        // SAFETY: kill(2) takes plain numbers and touches no memory. The id was just read from the
        // driver's list of children.
        let sent = unsafe { libc::kill(id, signal) };
        ensure!(sent == 0, "the app cannot be signalled");

        Ok(())
    }

    /// Ends the app with SIGTERM, as a log-out does: it closes its window, like the button in the
    /// title bar, and notifies the partner. Waits until the app has exited and returns the user's
    /// folders. (WebDriver's command for closing a window kills the app.)
    ///
    /// # Errors
    /// When the app does not exit.
    pub fn close(self) -> Result<Home> {
        let process = self.process_id()?;
        self.signal(libc::SIGTERM)?;
        wait_until("the app exits", TIMEOUT, || {
            has_ended(process).then_some(())
        })?;

        Ok(self.home)
    }

    /// The folders of the user whose window this is.
    pub fn home(&self) -> &Home {
        &self.home
    }

    fn wait_for<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + TIMEOUT;
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
                    "{what}: not within {TIMEOUT:?}; the screen {screen} shows:\n{page}\n{}",
                    self.driver.log()
                );
            }

            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether a process has exited. A zombie counts: its parent has yet to reap it.
fn has_ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}
