//! Takes pictures of every screen of the real window, light and dark: `cargo xtask screenshots`.
//!
//! Usage: screenshots FOLDER

#![allow(clippy::print_stdout, reason = "it says what it did")]

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("say where the pictures go"))?;
    linux::take_all(&std::path::PathBuf::from(folder))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("screenshots are taken on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use anyhow::{Context, Result, ensure};
    use serde_json::{Value, json};
    use tandem_tests::part::{source, which};
    use tandem_tests::process::{tool, wait_until};
    use tandem_tests::rogue::Partner;
    use tandem_tests::speech::{self, Voice};
    use tandem_tests::window::{Home, PATIENCE};
    use tandem_tests::{PulseAudio, Screen, ServerProcess, Window, pulse};

    /// The size of the pictures.
    const SIZE: (u32, u32) = (1280, 800);
    /// That of a call: the shape of the cameras' pictures.
    const CALL_SIZE: (u32, u32) = (1280, 720);
    const THEMES: [&str; 2] = ["light", "dark"];

    /// Somebody who goes from screen to screen, with a drawn person before the camera.
    struct Photographer {
        folder: PathBuf,
        props: tempfile::TempDir,
        screen: Screen,
    }

    pub(super) fn take_all(folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).context("cannot make the folder")?;
        let photographer = Photographer {
            folder: folder.to_owned(),
            props: tempfile::tempdir()?,
            screen: Screen::start()?,
        };

        photographer.calls()?;
        photographer.problems()
    }

    impl Photographer {
        /// Everything that happens on the way from the lobby through a call.
        fn calls(&self) -> Result<()> {
            let (relay, sound) = (ServerProcess::start()?, PulseAudio::start()?);
            let url = relay.url();
            let ann = self.open(
                Home::new()?.with_sound(&sound),
                "local",
                &["--signaling", &url, "--name", "Ann"],
            )?;
            ann.wait_for_element("[data-preview=\"on\"]")?;
            let sentence = speech::say(self.props.path(), "near", Voice::Female, speech::NEAR)?;

            for theme in THEMES {
                let _player = sound.play(&sentence, pulse::MOUTH)?;
                self.dress(&ann, theme)?;
                let loud = "return Number(document.querySelector('#level').getAttribute('aria-valuenow')) > 40;";
                wait_until("somebody speaks", PATIENCE, || {
                    ann.run(loud, &json!([])).ok()?.as_bool()?.then_some(())
                })?;

                self.shoot(&ann, "lobby", theme)?;
            }

            ann.press("settings")?;
            self.both(&ann, "settings")?;
            ann.press("close-settings")?;
            command(&ann, "startHost", &json!({ "lan": true }))?;
            ann.wait_for_element("[data-action=\"stop-host\"]")?;
            self.both(&ann, "lobby-hosting")?;
            command(&ann, "stopHost", &json!({}))?;

            command(&ann, "callWithCode", &json!({ "code": "blue-parrot" }))?;
            ann.wait_for_screen("waiting")?;
            self.both(&ann, "waiting-room")?;
            let silent = Partner::introduced(
                relay.address(),
                "blue-parrot",
                &json!({ "userName": "Amara", "userAge": 29, "userLocation": "Lisbon" }),
            )?;
            ann.wait_for_screen("connecting")?;
            self.both(&ann, "connecting")?;
            ann.wait_for_element("[data-action=\"retry\"]")?;
            self.both(&ann, "connecting-timed-out")?;
            command(&ann, "cancel", &json!({}))?;
            drop(silent);
            command(&ann, "findPartner", &json!({}))?;
            ann.wait_for_screen("waiting")?;
            self.both(&ann, "waiting")?;
            command(&ann, "cancel", &json!({}))?;

            command(
                &ann,
                "setServerUrl",
                &json!({ "url": "ws://127.0.0.1:1/ws" }),
            )?;
            command(&ann, "findPartner", &json!({}))?;
            ann.wait_for_screen("ended")?;
            self.both(&ann, "ended-fault")?;
            command(&ann, "toLobby", &json!({}))?;
            command(&ann, "setServerUrl", &json!({ "url": url }))?;

            self.call(&ann, &url, sound)
        }

        /// A call, from its first picture to its last screen; and one in which the sound breaks.
        fn call(&self, ann: &Window, url: &str, sound: PulseAudio) -> Result<()> {
            let quiet = [
                "--signaling",
                url,
                "--name",
                "Amara",
                "--audio",
                "test",
                "--speaker",
                "none",
            ];
            let amara = self.open(Home::new()?, "remote", &quiet)?;
            ann.resize(CALL_SIZE.0, CALL_SIZE.1)?;
            let connect = || -> Result<()> {
                for window in [ann, &amara] {
                    command(window, "callWithCode", &json!({ "code": "red-parrot" }))?;
                }

                ann.wait_for_screen("in-call")?;
                ann.wait_for_element("[data-badge=\"quality\"]")
            };

            connect()?;
            self.one(ann, "in-call")?;
            let keys = |window: &Window| window.key("m").and_then(|()| window.key("v"));
            keys(ann)?;
            ann.wait_for_element(".self-view-off")?;
            self.one(ann, "in-call-muted")?;
            keys(ann)?;
            keys(&amara)?;
            ann.wait_for_element("[data-badge=\"partner-camera-off\"]")?;
            self.one(ann, "in-call-camera-off")?;
            keys(&amara)?;
            ann.wait_for_element("#remote")?;
            amara.signal(libc::SIGSTOP)?;
            ann.wait_for_element("[data-badge=\"reconnecting\"]")?;
            self.one(ann, "in-call-reconnecting")?;
            amara.signal(libc::SIGCONT)?;
            command(&amara, "hangUp", &json!({}))?;
            ann.wait_for_screen("ended")?;
            ann.resize(SIZE.0, SIZE.1)?;
            self.both(ann, "ended")?;

            for window in [ann, &amara] {
                window.wait_for_screen("ended")?;
                command(window, "toLobby", &json!({}))?;
            }

            ann.resize(CALL_SIZE.0, CALL_SIZE.1)?;
            connect()?;
            ann.press("settings")?;
            self.both(ann, "settings-in-call")?;
            ann.press("close-settings")?;
            drop(sound);
            ann.wait_for_element("[data-problem]")?;

            self.one(ann, "in-call-problem")
        }

        /// A machine without any device, and a settings file that is broken.
        fn problems(&self) -> Result<()> {
            let home = Home::new()?.without_sound()?;
            let settings = home.settings();
            std::fs::create_dir_all(settings.parent().context("a folder")?)?;
            std::fs::write(&settings, "{")?;
            let window = Window::open_as(home, &self.screen, &[])?;
            window.resize(SIZE.0, SIZE.1)?;

            for code in ["SETTINGS_BROKEN", "CAM_NOT_FOUND", "MIC_NOT_FOUND"] {
                window.wait_for_element(&format!("[data-problem=\"{code}\"]"))?;
            }

            self.both(&window, "lobby-problems")
        }

        /// Opens a window whose camera sees `person`.
        fn open(&self, home: Home, person: &str, more: &[&str]) -> Result<Window> {
            let file = self.props.path().join(format!("{person}.y4m"));
            if !file.exists() {
                let script = source("../ui/tests/person.mjs");
                tool(
                    "node",
                    [script.as_os_str(), person.as_ref(), file.as_os_str()],
                )?;
            }

            let file = file.to_string_lossy();
            let window = Window::open_as(
                home,
                &self.screen,
                &[&["--video", &file][..], more].concat(),
            )?;
            window.resize(SIZE.0, SIZE.1)?;

            Ok(window)
        }

        /// A picture in the light and one in the dark.
        fn both(&self, window: &Window, name: &str) -> Result<()> {
            for theme in THEMES {
                self.dress(window, theme)?;
                self.shoot(window, name, theme)?;
            }

            Ok(())
        }

        /// A picture of a screen that has one look.
        fn one(&self, window: &Window, name: &str) -> Result<()> {
            self.dress(window, THEMES[0])?;
            self.shoot(window, name, THEMES[0])
        }

        /// Has the page in this theme, drawn to the end; in a call the controls come with the pointer.
        fn dress(&self, window: &Window, theme: &str) -> Result<()> {
            command(window, "setTheme", &json!({ "theme": theme }))?;
            let settle = "const done = arguments[0];
                window.dispatchEvent(new Event('pointermove'));
                if (!document.querySelector('dialog[open]')) document.activeElement?.blur();
                requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => done()), 400));";
            window.run_async(settle, &json!([])).map(drop)
        }

        fn shoot(&self, window: &Window, name: &str, theme: &str) -> Result<()> {
            let suffix = if theme == THEMES[0] { "" } else { "-dark" };
            let path = self.folder.join(format!("{name}{suffix}.png"));
            window.screenshot(&path)?;

            if which("pngquant").is_some() {
                let file = path.as_os_str();
                let options = [
                    "--force",
                    "--ext",
                    ".png",
                    "--quality",
                    "70-95",
                    "--speed",
                    "1",
                ];
                tool("pngquant", options.iter().map(AsRef::as_ref).chain([file]))?;
            }

            println!("{}", path.display());
            Ok(())
        }
    }

    fn command(window: &Window, name: &str, arguments: &Value) -> Result<()> {
        // The page itself asks now and then, so that a refusal for haste can happen.
        let asked = wait_until("the app has time", Duration::from_secs(5), || {
            let answer = window.command(name, arguments);
            let hasty = matches!(&answer, Ok(Err(refusal)) if refusal["code"] == "RATE_LIMITED");
            (!hasty).then_some(answer)
        })??;
        ensure!(asked.is_ok(), "{name} was refused: {asked:?}");
        Ok(())
    }
}
