//! Takes pictures of every screen of the real window, light and dark: `cargo xtask screenshots`.
//!
//! Usage: screenshots FOLDER

#![allow(clippy::print_stdout, reason = "it says what it did")]

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| anyhow::anyhow!("say where the pictures go"))?;
    linux::take_all(&std::path::PathBuf::from(folder))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("screenshots are taken on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;
    use std::time::Duration;

    use anyhow::{Context, Result, ensure};
    use serde_json::json;
    use tandem_tests::rogue::Partner;
    use tandem_tests::window::{Home, TEST_MEDIA};
    use tandem_tests::{Relay, Screen, Tandem, Window};

    /// The size of the pictures.
    const SIZE: (u32, u32) = (1100, 760);

    pub(super) fn take_all(folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).context("cannot make the folder")?;
        let screen = Screen::start()?;
        let relay = Relay::start()?;
        let url = relay.url();
        let arguments = [&TEST_MEDIA[..], &["--signaling", &url, "--name", "Ann"]].concat();
        let window = Window::open(&screen, &arguments)?;
        window.resize(SIZE.0, SIZE.1)?;
        let take = |name: &str| both(&window, folder, name);

        window.wait_for_pictures("#local", 10)?;
        take("lobby")?;
        window.press("settings")?;
        take("settings")?;
        window.press("close-settings")?;

        command(&window, "start_host", &json!({ "lan": false }))?;
        window.wait_for_element("[data-action=\"stop-host\"]")?;
        take("host")?;
        command(&window, "stop_host", &json!({}))?;

        command(&window, "call_with_code", &json!({ "code": "blue-parrot" }))?;
        window.wait_for_screen("waiting")?;
        take("waiting")?;
        let silent = Partner::silent(relay.address(), "blue-parrot", "Bea")?;
        window.wait_for_screen("connecting")?;
        take("connecting")?;
        window.wait_for_element("[data-action=\"retry\"]")?;
        take("connecting-late")?;
        command(&window, "cancel", &json!({}))?;
        drop(silent);

        let bot = ["--signaling", &url, "--room", "red-parrot", "--name", "Bea", "--speaker", "none"];
        let mut bot = Tandem::start(bot)?;
        command(&window, "call_with_code", &json!({ "code": "red-parrot" }))?;
        window.wait_for_screen("in-call")?;
        window.wait_for_pictures("#remote", 60)?;
        window.wait_for_element("[data-badge=\"route\"]")?;
        take("in-call")?;
        window.press("mute")?;
        window.press("camera")?;
        take("in-call-muted")?;
        bot.process().signal(libc::SIGSTOP);
        window.wait_for_element("[data-badge=\"reconnecting\"]")?;
        take("in-call-reconnecting")?;
        drop(bot);
        window.wait_for_screen("ended")?;
        take("ended")?;
        window.press("to-lobby")?;
        window.wait_for_screen("lobby")?;
        take("lobby-camera-off")?;
        drop(window);

        // A machine without any device, and a settings file that is broken.
        let home = Home::new()?;
        let settings = home.settings();
        std::fs::create_dir_all(settings.parent().context("a folder")?)?;
        std::fs::write(&settings, "{")?;
        let window = Window::open_as(home, &screen, &["--signaling", &url])?;
        window.resize(SIZE.0, SIZE.1)?;
        window.wait_for_element("[data-problem]")?;
        // The camera and the microphone are looked for on their own threads.
        std::thread::sleep(Duration::from_secs(2));
        both(&window, folder, "problems")
    }

    fn both(window: &Window, folder: &Path, name: &str) -> Result<()> {
        for theme in ["light", "dark"] {
            command(window, "set_theme", &json!({ "theme": theme }))?;
            settle(window)?;
            let path = folder.join(format!("{name}-{theme}.png"));
            window.screenshot(&path)?;
            println!("{}", path.display());
        }
        Ok(())
    }

    /// Two frames of the page later everything is drawn; transitions are short.
    fn settle(window: &Window) -> Result<()> {
        let script = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => done()), 400));";
        window.run_async(script, &json!([])).map(drop)
    }

    fn command(window: &Window, name: &str, arguments: &serde_json::Value) -> Result<()> {
        let answer = window.command(name, arguments)?;
        ensure!(answer.is_ok(), "{name} was refused: {answer:?}");
        Ok(())
    }
}
