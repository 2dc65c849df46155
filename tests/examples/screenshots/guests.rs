//! Screenshots of what a guest sees in a browser.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tandem_tests::guest_browser::{Devices, Kind};
use tandem_tests::{GuestBrowser, SecureServer, Window};

use crate::linux::{CALL_SIZE, SIZE, THEMES, file, finish};

/// What the browser takes the server's address for.
const HOST: &str = "chat.example.org";
/// A phone's screen, in CSS pixels.
const PHONE: (u32, u32) = (360, 740);

/// A browser on the page that the server shows to guests.
struct Guest<'a> {
    folder: &'a Path,
    browser: GuestBrowser,
}

/// Goes through the screens of a guest invited by `window`. `camera` is the path of the video
/// that the guest sends. Calls `on_refused` in a call in which the guest no longer receives video.
pub(crate) fn take_all(
    folder: &Path,
    server: &SecureServer,
    window: &Window,
    camera: &str,
    on_refused: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let site = format!("https://{HOST}");
    let invite = window.text("#invite-web-link")?;
    let link = invite.replace(&server.address(), &site);
    let open = |devices: Devices| -> Result<Guest<'_>> {
        let host = server.address().replace("https://localhost", "127.0.0.1");
        let host = format!("{HOST}={host}");
        let options = ["--camera", camera, "--host", &host];
        let browser = GuestBrowser::open_with(Kind::Chromium, devices, server.cert(), &options)?;
        let mut guest = Guest { folder, browser };
        guest.resize(SIZE)?;
        Ok(guest)
    };

    let mut refuses = open(Devices::Denied)?;
    refuses.browser.visit(&link)?;
    refuses.browser.press("join")?;
    refuses.wait(&json!({ "do": "problem", "name": "devices-denied" }))?;
    refuses.save_both_themes("guest-denied")?;
    drop(refuses);

    let mut guest = open(Devices::Fake)?;
    guest.browser.visit(&site)?;
    guest.save_both_themes("guest-home")?;
    guest.browser.visit(&link)?;
    guest.save_both_themes("guest-start")?;
    guest.wait(&json!({ "do": "type", "selector": "#name", "text": "Amara" }))?;
    guest.browser.press("preview")?;
    guest.wait_for_frames("local")?;
    guest.save_both_themes("guest-preview")?;
    guest.resize(PHONE)?;
    guest.save_both_themes("guest-preview-phone")?;
    guest.resize(SIZE)?;

    guest.browser.press("join")?;
    guest.wait(&json!({ "do": "text", "text": "Ringing" }))?;
    guest.save_both_themes("guest-knocking")?;
    window.press("accept-call")?;
    guest.browser.wait_for_screen("in-call")?;
    guest.wait_for_frames("remote")?;
    guest.resize(CALL_SIZE)?;
    guest.save("guest-in-call", THEMES[0])?;
    guest.browser.press("call-details")?;
    guest.save("guest-in-call-verified", THEMES[0])?;
    guest.browser.press("call-details")?;
    guest.resize(PHONE)?;
    guest.save("guest-in-call-phone", THEMES[0])?;
    guest.resize(SIZE)?;
    guest.wait(&json!({ "do": "refuse-video" }))?;
    on_refused()?;

    window.press("hang-up")?;
    guest.wait(&json!({ "do": "reason", "name": "left" }))?;
    guest.save_both_themes("guest-ended")
}

impl Guest<'_> {
    fn wait(&mut self, command: &serde_json::Value) -> Result<()> {
        self.browser.run(command).map(drop)
    }

    fn wait_for_frames(&mut self, video: &str) -> Result<()> {
        self.wait(&json!({ "do": "frames", "video": video, "count": 20 }))
    }

    fn resize(&mut self, (width, height): (u32, u32)) -> Result<()> {
        self.wait(&json!({ "do": "size", "width": width, "height": height }))
    }

    fn save_both_themes(&mut self, name: &str) -> Result<()> {
        THEMES
            .into_iter()
            .try_for_each(|theme| self.save(name, theme))
    }

    fn save(&mut self, name: &str, theme: &str) -> Result<()> {
        let path = file(self.folder, name, theme);
        self.wait(&json!({ "do": "theme", "theme": theme }))?;
        self.wait(&json!({ "do": "screenshot", "path": path }))?;
        finish(&path)
    }
}
