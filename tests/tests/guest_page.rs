//! A guest's call in a browser, on the page that the signaling server serves.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::authority::Validity;
use tandem_tests::guest_browser::{Devices, Kind};
use tandem_tests::process::wait_until;
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{
    Authority, GuestBrowser, Part, Screen, ServerProcess, Tandem, Window, WireClient, require,
};

const TIMEOUT: Duration = Duration::from_secs(90);

/// A server with TLS and without tokens, as a small public one is.
struct Server {
    process: ServerProcess,
    authority: Authority,
    cert: PathBuf,
}

impl Server {
    fn start() -> Self {
        let authority = Authority::new().expect("an authority");
        let identity = authority
            .sign(&["localhost"], Validity::Valid)
            .expect("a certificate");
        let [cert, key] = [&identity.cert, &identity.key].map(|path| path.display().to_string());
        let process = ServerProcess::start_with(&["--tls-cert", &cert, "--tls-key", &key])
            .expect("the server starts");

        Self {
            process,
            authority,
            cert: identity.cert,
        }
    }

    fn address(&self) -> String {
        format!("https://localhost:{}", self.process.address().port())
    }

    fn authority_file(&self) -> String {
        self.authority.file().display().to_string()
    }

    fn browser(&self, kind: Kind, devices: Devices) -> GuestBrowser {
        GuestBrowser::open(kind, devices, &self.cert).expect("the browser opens")
    }

    /// The window of the person who invites.
    fn window(&self, screen: &Screen) -> Window {
        let (address, authority) = (self.address(), self.authority_file());
        let server = ["--signaling", &address, "--ca-file", &authority];
        let own = ["--name", "Ann", "--size", "640x360", "--codec", "vp8"];
        let arguments = [&TEST_MEDIA[..], &own, &server].concat();
        let home = Home::new().expect("a folder");
        let window = Window::open_as(home, screen, &arguments).expect("the window opens");
        window
            .wait_for_state("/server/status", &json!("connected"))
            .expect("the server can be reached");
        window
    }
}

/// Makes an invite and returns the link for a browser.
fn invite(window: &Window) -> String {
    window.press("invite").expect("the button is there");
    window
        .wait_for_element("#invite-web-link")
        .expect("the invite is shown");
    window.text("#invite-web-link").expect("the page answers")
}

/// Waits until the window has shown several different frames of the guest. A browser's fake camera has
/// no code in its frames.
fn wait_until_moving(window: &Window) {
    let script = "
        const canvas = document.querySelector('#remote');
        if (!canvas || canvas.hidden || !('live' in canvas.dataset)) return null;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let sum = 0;
        for (let at = 0; at < data.length; at += 61) sum = (sum * 31 + data[at]) >>> 0;
        return sum;";
    let mut seen = HashSet::new();
    wait_until("several frames of the guest", TIMEOUT, || {
        let sum = window.run(script, &json!([])).ok()?.as_u64()?;
        seen.insert(sum);
        (seen.len() >= 5).then_some(())
    })
    .expect("the guest's video moves");
}

fn open(browser: &mut GuestBrowser, url: &str) -> Value {
    browser
        .run(&json!({ "do": "open", "url": url }))
        .expect("the page opens")
}

fn run(browser: &mut GuestBrowser, command: &Value) -> Value {
    browser.run(command).expect("the browser does it")
}

/// Checks that the page made no error and asked nobody but its own server for anything.
fn check_quiet(browser: &mut GuestBrowser, server: &str) {
    let page = browser.look().expect("the page answers");
    assert_eq!(page["errors"], json!([]), "no error, no violated policy");

    for request in page["requests"].as_array().expect("a list") {
        let request = request.as_str().expect("an address");
        let is_own = request.starts_with(server) || request.starts_with("data:");
        assert!(is_own, "nothing from elsewhere: {request}");
    }
}

/// A headless Tandem waits in a room, and a guest joins it from the page.
fn calls_a_headless_tandem(kind: Kind, codec: &str) {
    let server = Server::start();
    let (address, authority) = (server.address(), server.authority_file());
    let tandem = Tandem::start([
        "--signaling",
        &address,
        "--ca-file",
        &authority,
        "--room",
        "7",
        "--codec",
        codec,
        "--size",
        "640x360",
        "--speaker",
        "none",
        "--duration",
        "60s",
        "--wait",
        "90s",
    ])
    .expect("tandem starts");

    let mut guest = server.browser(kind, Devices::Fake);
    let opened = open(&mut guest, &format!("{address}/j/7#garden-lantern"));
    println!("{kind:?}: the page could be used after {opened}");
    guest.press("join").expect("the guest joins");
    // Tandem may not be in the room yet.
    wait_until("Tandem is in the room", TIMEOUT, || {
        let page = guest
            .wait_for_screen("in-call|ended")
            .expect("the server answers");
        if page["screen"] == "in-call" {
            return Some(());
        }

        assert_eq!(page["reason"], "unknownCode", "{page}");
        guest.press("join-again").expect("the guest tries again");
        None
    })
    .expect("they connect");

    run(
        &mut guest,
        &json!({ "do": "frames", "video": "remote", "count": 20 }),
    );
    run(
        &mut guest,
        &json!({ "do": "frames", "video": "local", "count": 10 }),
    );
    check_quiet(&mut guest, &address);

    guest.press("hang-up").expect("the guest hangs up");
    let ended = guest.wait_for_screen("ended").expect("the call is over");
    assert_eq!(ended["reason"], "hungUp");

    let outcome = tandem.finish(TIMEOUT).expect("the call ends there, too");
    outcome.assert_ok("Tandem");
    let frames = outcome.report["video"]["received"]["frames"].as_u64();
    println!("{kind:?}: Tandem received {frames:?} frames");
}

#[test]
fn a_guest_in_chromium_calls_a_headless_tandem_with_h264() {
    require!(Part::Chromium);
    calls_a_headless_tandem(Kind::Chromium, "h264");
}

#[test]
fn a_guest_in_chromium_calls_a_headless_tandem_with_vp8() {
    require!(Part::Chromium);
    calls_a_headless_tandem(Kind::Chromium, "vp8");
}

#[test]
fn a_guest_in_firefox_calls_a_headless_tandem() {
    require!(Part::Firefox);
    calls_a_headless_tandem(Kind::Firefox, "vp8");
}

/// The window invites, the guest knocks, is let in, and both see and hear each other.
fn is_let_in_by_a_window(kind: Kind) {
    let server = Server::start();
    let screen = Screen::start().expect("Xvfb starts");
    let window = server.window(&screen);
    let link = invite(&window);
    let mut guest = server.browser(kind, Devices::Fake);
    open(&mut guest, &link);

    let page = guest.look().expect("the page answers");
    assert_eq!(page["screen"], "start");
    assert!(page["local"].is_null(), "no camera without a click: {page}");
    assert_eq!(
        window.state().expect("the app answers")["incoming"],
        Value::Null,
        "no knock without a click"
    );

    run(
        &mut guest,
        &json!({ "do": "type", "selector": "#name", "text": "Bea" }),
    );
    guest.press("join").expect("the guest joins");
    window
        .wait_for_element(".incoming")
        .expect("the window rings");
    let caller = window.text(".incoming h2").expect("the page answers");
    assert_eq!(caller, "Bea", "the window shows who knocks");
    run(&mut guest, &json!({ "do": "text", "text": "Ringing" }));

    run(&mut guest, &json!({ "do": "note" }));
    window.press("accept-call").expect("the button is there");
    window.wait_for_screen("in-call").expect("they connect");
    guest.wait_for_screen("in-call").expect("they connect");
    wait_until_moving(&window);
    let page = run(
        &mut guest,
        &json!({ "do": "frames", "video": "remote", "count": 10 }),
    );
    assert_eq!(page["heading"], "In a call with Ann");
    let noted = run(&mut guest, &json!({ "do": "noted" }));
    println!("{kind:?}: let in and first frame at {noted}");

    // What the guest switches off, the window shows, and the other way round.
    guest.press("mute").expect("the button is there");
    window
        .wait_for_state("/screen/partnerMuted", &json!(true))
        .expect("the window shows it");
    guest.press("camera").expect("the button is there");
    window
        .wait_for_state("/screen/partnerCameraOff", &json!(true))
        .expect("the window shows it");
    guest.press("camera").expect("the button is there");
    window
        .wait_for_state("/screen/partnerCameraOff", &json!(false))
        .expect("the window shows it");
    wait_until_moving(&window);
    window.press("mute").expect("the button is there");
    run(
        &mut guest,
        &json!({ "do": "badge", "name": "partner-muted" }),
    );

    // An unplugged camera is replaced by another one, without a new call. Firefox delivers no event
    // that a test sends to a track.
    if kind == Kind::Chromium {
        run(&mut guest, &json!({ "do": "unplug" }));
        wait_until_moving(&window);
    }

    check_quiet(&mut guest, &server.address());
    window.press("hang-up").expect("the button is there");
    run(&mut guest, &json!({ "do": "reason", "name": "left" }));
}

#[test]
fn a_guest_in_chromium_is_let_in_by_a_window() {
    require!(Part::Chromium, Part::Window);
    is_let_in_by_a_window(Kind::Chromium);
}

#[test]
fn a_guest_in_firefox_is_let_in_by_a_window() {
    require!(Part::Firefox, Part::Window);
    is_let_in_by_a_window(Kind::Firefox);
}

/// Someone who has claimed a room and listens in it, at a server without TLS on loopback.
struct Inviter {
    server: ServerProcess,
    client: WireClient,
    room: String,
    cert: PathBuf,
    _authority: Authority,
}

impl Inviter {
    fn new(flags: &[&str]) -> Self {
        let server = ServerProcess::start_with(flags).expect("the server starts");
        let mut client = WireClient::connect(server.address()).expect("a client");
        client
            .send(&json!({ "type": "claim_room" }))
            .expect("it sends");
        let claimed = client.receive("room_claimed").expect("a room");
        let room = claimed["room"].as_str().expect("a number").to_owned();

        // No page needs it, but the browser wants one to trust.
        let authority = Authority::new().expect("an authority");
        let identity = authority.sign(&["localhost"], Validity::Valid);
        let mut inviter = Self {
            server,
            client,
            room,
            cert: identity.expect("a certificate").cert,
            _authority: authority,
        };
        inviter.listen();
        inviter
    }

    fn listen(&mut self) {
        self.send(&json!({ "type": "listen", "rooms": [self.room] }));
        self.receive("listening");
    }

    fn send(&mut self, message: &Value) {
        self.client.send(message).expect("the server listens");
    }

    fn receive(&mut self, kind: &str) -> Value {
        self.client.receive(kind).expect("the server sends it")
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn link(&self) -> String {
        format!("http://{}/j/{}#garden-lantern", self.address(), self.room)
    }

    fn browser(&self, devices: Devices) -> GuestBrowser {
        let mut guest =
            GuestBrowser::open(Kind::Chromium, devices, &self.cert).expect("the browser opens");
        open(&mut guest, &self.link());
        guest
    }

    /// Waits for a knock, and answers it.
    fn answer(&mut self, kind: &str, name: &str) {
        let knock = self.receive("knock");
        let (id, picture) = (&knock["knockId"], "https://evil.example/picture.png");
        self.send(
            &json!({ "type": kind, "knockId": id, "userName": name, "userPicture": picture }),
        );
    }
}

#[test]
fn a_guest_is_told_why_no_call_comes_about() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);

    guest.press("join").expect("the guest joins");
    inviter.answer("decline", "Ann");
    run(&mut guest, &json!({ "do": "reason", "name": "declined" }));
    let page = guest.look().expect("the page answers");
    assert_eq!(page["heading"], "Couldn't connect");
    assert_eq!(page["focused"], "heading", "screen readers begin there");
    assert!(page["local"].is_null(), "the camera is off again");

    let room = inviter.room.clone();
    inviter.send(&json!({ "type": "release_room", "room": room }));
    inviter.receive("room_released");
    guest.press("join-again").expect("the guest tries again");
    run(
        &mut guest,
        &json!({ "do": "reason", "name": "unknownCode" }),
    );

    drop(inviter);
    guest.press("join-again").expect("the guest tries again");
    run(&mut guest, &json!({ "do": "reason", "name": "serverAway" }));
}

#[test]
fn a_guest_without_permission_or_devices_is_told_and_can_join_without() {
    require!(Part::Chromium);
    for (devices, problem) in [
        (Devices::Denied, "devices-denied"),
        (Devices::None, "devices-missing"),
    ] {
        let mut inviter = Inviter::new(&[]);
        let mut guest = inviter.browser(devices);
        guest.press("join").expect("the guest joins");
        run(&mut guest, &json!({ "do": "problem", "name": problem }));
        assert_eq!(
            guest.look().expect("the page answers")["screen"],
            "start",
            "nothing else happens yet"
        );

        guest.press("join").expect("the guest joins anyway");
        let knock = inviter.receive("knock");
        assert_eq!(knock["userName"], "Anonymous");
    }
}

#[test]
fn a_page_that_is_left_ends_the_call_or_the_knock() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);

    let home = format!("http://{}/", inviter.address());
    let link = inviter.link();
    for leave in ["reload", "back", "close"] {
        // The page to go back to.
        open(&mut guest, &home);
        open(&mut guest, &link);
        guest.press("join").expect("the guest joins");
        inviter.receive("knock");
        run(&mut guest, &json!({ "do": leave }));
        let ended = inviter.receive("knock_ended");
        assert_eq!(ended["reason"], "cancelled", "{leave}: at once");
    }

    open(&mut guest, &link);
    guest.press("join").expect("the guest joins");
    inviter.answer("accept", "Ann");
    inviter.receive("partner_found");
    run(&mut guest, &json!({ "do": "reload" }));
    let left = inviter.receive("partner_left");
    assert_eq!(left["reason"], "left", "not only after the resume window");
    let page = guest.look().expect("the page answers");
    assert_eq!(page["screen"], "start", "and the guest can begin again");
}

#[test]
fn a_second_tab_waits_for_its_turn() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    guest.press("join").expect("the guest joins");
    let knock = inviter.receive("knock");

    let link = inviter.link();
    run(
        &mut guest,
        &json!({ "do": "open", "tab": "second", "url": link }),
    );
    run(
        &mut guest,
        &json!({ "do": "press", "tab": "second", "action": "join" }),
    );
    let text = "Waiting for the other person";
    run(
        &mut guest,
        &json!({ "do": "text", "tab": "second", "text": text }),
    );

    inviter.send(&json!({ "type": "decline", "knockId": knock["knockId"] }));
    run(&mut guest, &json!({ "do": "reason", "name": "declined" }));
    inviter.receive("knock");
    run(
        &mut guest,
        &json!({ "do": "text", "tab": "second", "text": "Ringing" }),
    );
}

#[test]
fn hostile_names_and_pictures_are_shown_as_text_and_fetch_nothing() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    let name = "<img src=x onerror=alert(1)>\u{202e}";

    guest.press("join").expect("the guest joins");
    inviter.answer("accept", name);
    inviter.receive("webrtc_offer");
    let page = guest.wait_for_screen("connecting").expect("it is let in");
    assert_eq!(
        page["heading"],
        "Connecting to <img src=x onerror=alert(1)>"
    );
    let server = format!("http://{}", inviter.address());
    check_quiet(&mut guest, &server);

    // An answer that is none ends the call, with a reason.
    let found = json!({ "type": "webrtc_answer", "to": "nobody", "answer": { "sdp": 7 } });
    inviter.send(&found);
    assert_eq!(inviter.receive("error")["code"], "not_partner");
}

#[test]
fn the_page_fits_a_phone() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    run(
        &mut guest,
        &json!({ "do": "size", "width": 360, "height": 640 }),
    );
    let fits = |guest: &mut GuestBrowser| {
        let page = guest.look().expect("the page answers");
        assert_eq!(page["overflows"], false, "{page}");
    };

    fits(&mut guest);
    guest.press("preview").expect("the guest tries the camera");
    run(
        &mut guest,
        &json!({ "do": "frames", "video": "local", "count": 3 }),
    );
    fits(&mut guest);
    guest.press("join").expect("the guest joins");
    inviter.answer("accept", &"Wilhelmina ".repeat(3));
    guest.wait_for_screen("connecting").expect("it is let in");
    fits(&mut guest);
}

#[test]
fn no_other_site_can_show_the_page_in_a_frame() {
    require!(Part::Chromium);
    let inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    let address = inviter.address();

    // A page without a policy, at another name of the same machine.
    let other = format!("http://localhost:{}/livez", address.port());
    let mut framed = |url: &str| {
        let command = json!({ "do": "framed", "url": url, "from": other });
        run(&mut guest, &command)["url"].clone()
    };

    let plain = format!("http://{address}/livez");
    assert_eq!(framed(&plain), plain, "frames work there");
    for url in [inviter.link(), format!("http://{address}/")] {
        assert_eq!(framed(&url), "chrome-error://chromewebdata/", "{url}");
    }
}

#[test]
fn without_the_guest_page_the_link_only_opens_tandem() {
    require!(Part::Chromium);
    let inviter = Inviter::new(&["--guest-page", "off"]);
    let mut guest = inviter.browser(Devices::Fake);
    let page = run(&mut guest, &json!({ "do": "problem", "name": "off" }));
    let text = page["text"].as_str().expect("a text");
    assert!(text.contains("Open in Tandem"), "{text}");
    assert!(!text.contains("Ask to join"), "{text}");
}
