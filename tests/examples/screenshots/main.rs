//! Takes screenshots of every screen of the real window and of the guest page, light and dark, for
//! `cargo xtask screenshots`.
//!
//! Usage: screenshots FOLDER

#![allow(clippy::print_stdout, reason = "it prints the paths that it wrote")]

#[cfg(target_os = "linux")]
mod guests;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("name the folder for the screenshots"))?;
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
    use tandem_tests::pulse::MICROPHONE_FEED;
    use tandem_tests::rogue::Partner;
    use tandem_tests::speech::{self, Voice};
    use tandem_tests::window::{Home, TIMEOUT};
    use tandem_tests::{Network, PulseAudio, Screen, SecureServer, ServerProcess, Tandem, Window};

    use crate::guests;

    /// The window's size for most screenshots.
    pub(crate) const SIZE: (u32, u32) = (1280, 800);
    /// The window's size during a call: 16:9, like the cameras' frames.
    pub(crate) const CALL_SIZE: (u32, u32) = (1280, 720);
    pub(crate) const THEMES: [&str; 2] = ["light", "dark"];

    /// Goes through the screens. The cameras show a drawn person.
    struct Tour {
        folder: PathBuf,
        videos: tempfile::TempDir,
        screen: Screen,
    }

    pub(super) fn take_all(folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).context("cannot make the folder")?;
        let tour = Tour {
            folder: folder.to_owned(),
            videos: tempfile::tempdir()?,
            screen: Screen::start()?,
        };

        tour.welcome()?;
        tour.calls()?;
        tour.people_nearby()?;
        tour.guests()?;
        tour.problems()
    }

    impl Tour {
        /// All screens from the lobby to the end of a call.
        fn calls(&self) -> Result<()> {
            let (server, pulse) = (ServerProcess::start()?, PulseAudio::start()?);
            let url = server.url();
            let ann = self.open(
                Home::new()?.with_sound_server(&pulse),
                "local",
                &["--signaling", &url, "--name", "Ann"],
            )?;
            ann.wait_for_element("[data-preview=\"on\"]")?;
            let sentence = speech::say(self.videos.path(), "near", Voice::Female, speech::NEAR)?;

            for theme in THEMES {
                let _player = pulse.play(&sentence, MICROPHONE_FEED)?;
                self.prepare(&ann, theme)?;
                let is_loud = "return Number(document.querySelector('#level').getAttribute('aria-valuenow')) > 40;";
                wait_until("the meter shows speech", TIMEOUT, || {
                    ann.run(is_loud, &json!([])).ok()?.as_bool()?.then_some(())
                })?;

                self.save(&ann, "lobby", theme)?;
            }

            self.invitations(&ann, &url)?;
            ann.press("settings")?;
            self.save_both_themes(&ann, "settings")?;
            ann.press("close-settings")?;
            command(&ann, "startHost", &json!({ "lan": true }))?;
            ann.wait_for_element("[data-action=\"stop-host\"]")?;
            self.save_both_themes(&ann, "lobby-hosting")?;
            command(&ann, "stopHost", &json!({}))?;

            command(&ann, "callWithCode", &json!({ "code": "blue-parrot" }))?;
            ann.wait_for_screen("waiting")?;
            self.save_both_themes(&ann, "waiting-room")?;
            let silent = Partner::introduced(
                server.address(),
                "blue-parrot",
                &json!({ "userName": "Amara", "userAge": 29, "userLocation": "Lisbon" }),
            )?;
            ann.wait_for_screen("connecting")?;
            self.save_both_themes(&ann, "connecting")?;
            ann.wait_for_element("[data-action=\"retry\"]")?;
            self.save_both_themes(&ann, "connecting-timed-out")?;
            ann.wait_for_screen("ended")?;
            self.save_both_themes(&ann, "ended-timed-out")?;
            command(&ann, "toLobby", &json!({}))?;
            drop(silent);
            ann.press("find-partner")?;
            ann.wait_for_element("#rules")?;
            self.save_both_themes(&ann, "rules")?;
            ann.press("accept-rules")?;
            // This server cannot hide an address.
            ann.wait_for_screen("ended")?;
            ann.press("allow-direct")?;
            ann.wait_for_screen("waiting")?;
            ann.press("camera")?;
            ann.wait_for_element("#local[data-live]")?;
            self.save_both_themes(&ann, "waiting")?;
            self.stranger(&ann, &url)?;

            command(
                &ann,
                "setServerUrl",
                &json!({ "url": "ws://127.0.0.1:1/ws" }),
            )?;
            command(&ann, "findPartner", &json!({}))?;
            ann.wait_for_screen("ended")?;
            self.save_both_themes(&ann, "ended-fault")?;
            command(&ann, "toLobby", &json!({}))?;
            command(&ann, "setServerUrl", &json!({ "url": url }))?;

            self.call(&ann, &url, pulse)
        }

        /// A call with a stranger, who is reported and blocked.
        fn stranger(&self, ann: &Window, url: &str) -> Result<()> {
            let arguments = [
                "--signaling",
                url,
                "--name",
                "Amara",
                "--audio",
                "test",
                "--speaker",
                "none",
            ];
            let home = Home::new()?.having_met_strangers()?;
            let amara = self.open(home, "remote", &arguments)?;
            command(&amara, "setStrangerRelay", &json!({ "on": false }))?;
            command(&amara, "findPartner", &json!({}))?;
            ann.wait_for_screen("in-call")?;
            ann.wait_for_element("[data-badge=\"quality\"]")?;
            ann.press("report")?;
            self.save_both_themes(ann, "report")?;
            ann.press("block")?;
            ann.wait_for_screen("ended")?;
            self.save_both_themes(ann, "ended-stranger")?;
            command(ann, "toLobby", &json!({}))
        }

        /// People on a network of the tour's own.
        fn people_nearby(&self) -> Result<()> {
            let network = Network::start(3)?;
            for number in 0..3 {
                let address = format!("192.168.7.2{number}/24");
                network.host(number).add_address(&address)?;
            }

            let on = |number: usize, name: &str, image: &str| -> Result<Window> {
                let video = self.video(image)?;
                let arguments = ["--video", &video, "--audio", "test", "--name", name];
                let (host, home) = (network.host(number), Home::new()?);
                let window = Window::open_on(host, home, &self.screen, &arguments)?;
                window.resize(SIZE.0, SIZE.1)?;
                window.press("way-nearby")?;
                window.wait_for_state("/nearby/status", &json!("on"))?;
                Ok(window)
            };

            let ann = on(0, "Ann", "local")?;
            ann.wait_for_element("[data-preview=\"on\"]")?;
            let open_missing = "document.querySelector('.nearby-missing').open = true;";
            ann.run(open_missing, &json!([]))?;
            self.save_both_themes(&ann, "lobby-nearby-missing")?;
            let _amara = on(1, "Amara", "remote")?;
            let _ben = on(2, "Ben", "remote")?;
            ann.wait_for_element(".nearby-people li:nth-child(2)")?;
            ann.run(&open_missing.replace("true", "false"), &json!([]))?;
            self.save_both_themes(&ann, "lobby-nearby")
        }

        /// A guest in a browser, whom a window has invited.
        fn guests(&self) -> Result<()> {
            let server = SecureServer::start_open()?;
            let home = Home::new()?;
            let arguments = server.arguments(&home, "Ann")?;
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ann = self.open(
                home,
                "local",
                &[&["--audio", "test", "--speaker", "none"], &arguments[..]].concat(),
            )?;
            ann.wait_for_state("/server/status", &json!("connected"))?;
            command(&ann, "invite", &json!({}))?;
            ann.wait_for_element("#invite-web-link")?;

            guests::take_all(&self.folder, &server, &ann, &self.video("remote")?, || {
                ann.wait_for_element("[data-badge=\"partner-refuses-video\"]")?;
                ann.resize(CALL_SIZE.0, CALL_SIZE.1)?;
                self.save_light(&ann, "in-call-refused")
            })
        }

        /// An invite, somebody who rings, and the link of somebody else.
        fn invitations(&self, ann: &Window, url: &str) -> Result<()> {
            command(ann, "invite", &json!({}))?;
            ann.wait_for_element("#invite-web-link")?;
            self.save_both_themes(ann, "lobby-invite")?;

            let code = ann.text("#invite-code")?;
            let guest = Tandem::start([
                "--signaling",
                url,
                "--room",
                &code,
                "--name",
                "Amara",
                "--speaker",
                "none",
            ])?;
            ann.wait_for_element(".incoming")?;
            self.save_both_themes(ann, "lobby-ringing")?;
            ann.press("decline-call")?;
            guest.finish(TIMEOUT)?;
            command(ann, "cancelInvite", &json!({}))?;

            let link = "https://meet.example.net/j/7#garden-lantern";
            command(ann, "callWithCode", &json!({ "code": link }))?;
            ann.wait_for_element(".opened")?;
            self.save_both_themes(ann, "lobby-opened")?;
            command(ann, "dismissOpened", &json!({}))
        }

        /// The screens of a call, and of one in which the sound server stops.
        fn call(&self, ann: &Window, url: &str, pulse: PulseAudio) -> Result<()> {
            let arguments = [
                "--signaling",
                url,
                "--name",
                "Amara",
                "--audio",
                "test",
                "--speaker",
                "none",
            ];
            let amara = self.open(Home::new()?, "remote", &arguments)?;
            ann.resize(CALL_SIZE.0, CALL_SIZE.1)?;
            let connect = || -> Result<()> {
                for window in [ann, &amara] {
                    command(window, "callWithCode", &json!({ "code": "red-parrot" }))?;
                }

                ann.wait_for_screen("in-call")?;
                ann.wait_for_element("[data-badge=\"quality\"]")
            };

            connect()?;
            self.save_light(ann, "in-call")?;
            ann.press("verification")?;
            ann.wait_for_element(".safety-words")?;
            self.save_both_themes(ann, "in-call-words")?;
            ann.press("words-match")?;
            ann.wait_for_element("[data-verification=\"verifiedByUser\"]")?;
            ann.press("close-verification")?;
            let toggle_mute_and_camera =
                |window: &Window| window.key("m").and_then(|()| window.key("v"));
            toggle_mute_and_camera(ann)?;
            ann.wait_for_element(".self-view-off")?;
            self.save_light(ann, "in-call-muted")?;
            toggle_mute_and_camera(ann)?;
            toggle_mute_and_camera(&amara)?;
            ann.wait_for_element("[data-badge=\"partner-camera-off\"]")?;
            self.save_light(ann, "in-call-camera-off")?;
            toggle_mute_and_camera(&amara)?;
            ann.wait_for_element("#remote")?;
            amara.signal(libc::SIGSTOP)?;
            ann.wait_for_element("[data-badge=\"reconnecting\"]")?;
            self.save_light(ann, "in-call-reconnecting")?;
            amara.signal(libc::SIGCONT)?;
            command(&amara, "hangUp", &json!({}))?;
            ann.wait_for_screen("ended")?;
            ann.resize(SIZE.0, SIZE.1)?;
            self.save_both_themes(ann, "ended")?;

            for window in [ann, &amara] {
                window.wait_for_screen("ended")?;
                command(window, "toLobby", &json!({}))?;
            }

            ann.resize(CALL_SIZE.0, CALL_SIZE.1)?;
            connect()?;
            ann.press("settings")?;
            self.save_both_themes(ann, "settings-in-call")?;
            ann.press("close-settings")?;
            drop(pulse);
            ann.wait_for_element("[data-problem]")?;

            self.save_light(ann, "in-call-problem")
        }

        /// The first start.
        fn welcome(&self) -> Result<()> {
            let pulse = PulseAudio::start()?;
            let home = Home::new()?.with_sound_server(&pulse);
            let window = self.open(home, "local", &[])?;
            window.wait_for_element("[data-action=\"way-invite\"]")?;
            window.wait_for_element("[data-preview=\"on\"]")?;

            self.save_both_themes(&window, "welcome")
        }

        /// The lobby on a machine without devices, with a broken settings file.
        fn problems(&self) -> Result<()> {
            let home = Home::new()?.without_audio_devices()?;
            let settings = home.settings();
            std::fs::create_dir_all(settings.parent().context("the settings are in a folder")?)?;
            std::fs::write(&settings, "{")?;
            let window = Window::open_as(home, &self.screen, &["--signaling", "ws://127.0.0.1:1"])?;
            window.resize(SIZE.0, SIZE.1)?;

            for code in ["SETTINGS_BROKEN", "CAM_NOT_FOUND", "MIC_NOT_FOUND"] {
                window.wait_for_element(&format!("[data-problem=\"{code}\"]"))?;
            }

            self.save_both_themes(&window, "lobby-problems")
        }

        /// Opens a window whose camera shows `person`, a drawing of `ui/tests/person.mjs`.
        fn open(&self, home: Home, person: &str, more: &[&str]) -> Result<Window> {
            let file = self.video(person)?;
            let window = Window::open_as(
                home,
                &self.screen,
                &[&["--video", &file][..], more].concat(),
            )?;
            window.resize(SIZE.0, SIZE.1)?;

            Ok(window)
        }

        /// The path of a video of `person`.
        fn video(&self, person: &str) -> Result<String> {
            let file = self.videos.path().join(format!("{person}.y4m"));
            if !file.exists() {
                let script = source("../ui/tests/person.mjs");
                tool(
                    "node",
                    [script.as_os_str(), person.as_ref(), file.as_os_str()],
                )?;
            }

            Ok(file.to_string_lossy().into_owned())
        }

        /// Saves the screen in both themes.
        fn save_both_themes(&self, window: &Window, name: &str) -> Result<()> {
            for theme in THEMES {
                self.prepare(window, theme)?;
                self.save(window, name, theme)?;
            }

            Ok(())
        }

        /// Saves a screen that looks the same in both themes.
        fn save_light(&self, window: &Window, name: &str) -> Result<()> {
            self.prepare(window, THEMES[0])?;
            self.save(window, name, THEMES[0])
        }

        /// Sets the theme and waits until the page is drawn. In a call, moving the pointer shows
        /// the controls.
        fn prepare(&self, window: &Window, theme: &str) -> Result<()> {
            command(window, "setTheme", &json!({ "theme": theme }))?;
            let settle = "const done = arguments[0];
                window.dispatchEvent(new Event('pointermove'));
                if (!document.querySelector('dialog[open]')) document.activeElement?.blur();
                requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => done()), 400));";
            window.run_async(settle, &json!([])).map(drop)
        }

        fn save(&self, window: &Window, name: &str, theme: &str) -> Result<()> {
            let path = file(&self.folder, name, theme);
            window.screenshot(&path)?;
            finish(&path)
        }
    }

    /// The file of a screenshot.
    pub(crate) fn file(folder: &Path, name: &str, theme: &str) -> PathBuf {
        let suffix = if theme == THEMES[0] { "" } else { "-dark" };
        folder.join(format!("{name}{suffix}.png"))
    }

    /// Makes a screenshot smaller, if that is possible here, and prints its path.
    pub(crate) fn finish(path: &Path) -> Result<()> {
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

    fn command(window: &Window, name: &str, arguments: &Value) -> Result<()> {
        // The page sends commands too, so together they may exceed the rate limit. Then retry.
        let answer = wait_until("the app accepts a command", Duration::from_secs(5), || {
            let answer = window.command(name, arguments);
            let is_limited =
                matches!(&answer, Ok(Err(refusal)) if refusal["code"] == "RATE_LIMITED");
            (!is_limited).then_some(answer)
        })??;
        ensure!(answer.is_ok(), "{name} was refused: {answer:?}");
        Ok(())
    }
}
