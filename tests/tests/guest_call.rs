//! A guest's call in a browser, on the page that the signaling server serves.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::guest_browser::{Devices, INVITING, Kind, LINK};
use tandem_tests::process::wait_until;
use tandem_tests::pulse::SPEAKER;
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{
    Balancer, GuestBrowser, Part, PulseAudio, Screen, SecureServer, ServerProcess, Tandem, Window,
    require,
};

const TIMEOUT: Duration = Duration::from_secs(90);
/// Above this level something is heard, as a sample of full scale 1.
const AUDIBLE: f32 = 0.02;

/// A server with TLS and without tokens, as a small public one is.
fn server() -> SecureServer {
    SecureServer::start_open().expect("the server starts")
}

fn browser(server: &SecureServer, kind: Kind) -> GuestBrowser {
    GuestBrowser::open(kind, Devices::Fake, server.cert()).expect("the browser opens")
}

/// The window of the person who invites, with these devices.
fn window(server: &SecureServer, screen: &Screen, home: Home, devices: &[&str]) -> Window {
    let own = server.arguments(&home, "Ann").expect("a token is written");
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let small = ["--size", "640x360", "--codec", "vp8"];
    let arguments = [devices, &own, &small].concat();
    let window = Window::open_as(home, screen, &arguments).expect("the window opens");
    window
        .wait_for_state("/server/status", &json!("connected"))
        .expect("the server can be reached");
    window
}

fn window_without_devices(server: &SecureServer, screen: &Screen) -> Window {
    window(server, screen, Home::new().expect("a folder"), &TEST_MEDIA)
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
    browser.visit(url).expect("the page opens")
}

fn run(browser: &mut GuestBrowser, command: &Value) -> Value {
    browser.run(command).expect("the browser does it")
}

/// Has the guest ask to join with this link, and the window let them in.
fn let_in(window: &Window, guest: &mut GuestBrowser, link: &str) {
    open(guest, link);
    guest.press("join").expect("the guest joins");
    window.press("accept-call").expect("the window rings");
    window.wait_for_screen("in-call").expect("they connect");
    guest.wait_for_screen("in-call").expect("they connect");
}

/// A headless Tandem waits in a room, and a guest joins it from the page.
fn calls_a_headless_tandem(kind: Kind, codec: &str) {
    let server = server();
    let address = server.address();
    let authority = server.authority_file().display().to_string();
    let server_arguments = ["--signaling", &address, "--ca-file", &authority];
    let media = ["--codec", codec, "--size", "640x360", "--duration", "60s"];
    let arguments = [&server_arguments[..], &INVITING, &media].concat();
    let tandem = Tandem::start(arguments).expect("tandem starts");

    let mut guest = browser(&server, kind);
    let opened = open(&mut guest, &format!("{address}{LINK}"));
    println!("{kind:?}: the page could be used after {opened}");
    guest.join().expect("they connect");

    run(
        &mut guest,
        &json!({ "do": "frames", "video": "remote", "count": 20 }),
    );
    run(
        &mut guest,
        &json!({ "do": "frames", "video": "local", "count": 10 }),
    );
    guest.ensure_quiet(&address).expect("it is quiet");

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
    let server = server();
    let screen = Screen::start().expect("Xvfb starts");
    let window = window_without_devices(&server, &screen);
    let link = invite(&window);
    let mut guest = browser(&server, kind);
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

    guest.ensure_quiet(&server.address()).expect("it is quiet");
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

/// A call of a window with a guest whose browser sends no video that it could show. Both hear each
/// other, and each says why there is nothing to see.
fn is_heard_without_video(options: &[&str], prepare: impl FnOnce(&mut GuestBrowser)) -> [Value; 2] {
    let server = server();
    let (screen, pulse) = (
        Screen::start().expect("Xvfb starts"),
        PulseAudio::start().expect("PulseAudio starts"),
    );
    let home = Home::new().expect("a folder").with_sound_server(&pulse);
    let devices = ["--video", "test", "--audio", "test"];
    let window = window(&server, &screen, home, &devices);
    let link = invite(&window);

    let mut guest = GuestBrowser::open_with(Kind::Chromium, Devices::Fake, server.cert(), options)
        .expect("the browser opens");
    open(&mut guest, &link);
    prepare(&mut guest);
    guest.press("join").expect("the guest joins");
    window.press("accept-call").expect("the window rings");
    window.wait_for_screen("in-call").expect("they connect");
    guest.wait_for_screen("in-call").expect("they connect");

    let recording = pulse.record(SPEAKER).expect("the recorder starts");
    recording
        .wait_for_sound(AUDIBLE)
        .expect("the window plays what Chromium's fake microphone hears");
    run(&mut guest, &json!({ "do": "sound" }));
    window
        .wait_for_element("[data-badge=partner-camera-off]")
        .expect("the window says that there is no video");
    guest.ensure_quiet(&server.address()).expect("it is quiet");

    let state = window.state().expect("the app answers");
    [state, guest.look().expect("the page answers")]
}

#[test]
fn a_guest_whose_camera_is_off_is_heard() {
    require!(Part::Chromium, Part::Window, Part::PulseAudio);
    let [_, guest] = is_heard_without_video(&[], |guest| {
        guest.press("preview").expect("the guest tries the devices");
        run(
            guest,
            &json!({ "do": "frames", "video": "local", "count": 3 }),
        );
        guest.press("camera").expect("the guest switches it off");
    });
    assert!(
        guest["remote"]["frames"].as_u64() > Some(0),
        "the guest sees the other side: {guest}"
    );
}

#[test]
fn a_guest_whose_browser_knows_vp9_only_is_heard_and_told_why_nothing_is_seen() {
    require!(Part::Chromium, Part::Window, Part::PulseAudio);
    let [window, guest] = is_heard_without_video(&["--codec", "vp9"], |_| ());
    assert_eq!(window["problems"], json!([]), "no device has failed");
    let badges = json!(["no-video", "verified-by-code"]);
    assert_eq!(guest["badges"], badges, "{guest}");
    assert!(guest["remote"]["live"] == false, "{guest}");
}

#[test]
fn a_guest_of_a_private_server_joins_with_the_link_alone() {
    require!(Part::Chromium, Part::Window);
    let server = SecureServer::start().expect("the server starts");
    let screen = Screen::start().expect("Xvfb starts");
    let window = window_without_devices(&server, &screen);
    let link = invite(&window);
    let (without_token, token) = link.split_once("&guest=").expect("the link has a token");
    let mut guest = browser(&server, Kind::Chromium);

    open(&mut guest, without_token);
    guest.press("join").expect("the guest joins");
    run(
        &mut guest,
        &json!({ "do": "reason", "name": "privateServer" }),
    );

    // Another fragment alone would not load the page again.
    open(&mut guest, &server.address());
    let_in(&window, &mut guest, &link);
    wait_until_moving(&window);
    run(
        &mut guest,
        &json!({ "do": "frames", "video": "remote", "count": 10 }),
    );

    let page = guest.look().expect("the page answers");
    let requests = page["requests"].as_array().expect("a list");
    for request in requests.iter().filter_map(Value::as_str) {
        let sent = request.split('#').next().unwrap_or_default();
        assert!(!sent.contains(token), "the token is in an address: {sent}");
    }
}

#[test]
fn a_guest_whose_connection_to_the_server_breaks_stays_in_the_call() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let front = Balancer::start(&[server.address()]).expect("a port");
    // Only the guest's connection breaks.
    let url = server.url();
    let media = ["--codec", "vp8", "--size", "640x360"];
    let arguments = [&["--signaling", &url][..], &INVITING, &media].concat();
    let tandem = Tandem::start(arguments).expect("tandem starts");

    // The browser wants a certificate to trust, which no page here needs.
    let identity = SecureServer::start_open().expect("a certificate");
    let mut guest = browser(&identity, Kind::Chromium);
    open(&mut guest, &format!("http://{}{LINK}", front.address()));
    guest.join().expect("they connect");
    let frames = json!({ "do": "frames", "video": "remote", "count": 10 });
    run(&mut guest, &frames);

    for _ in 0..2 {
        front.cut();
        run(
            &mut guest,
            &json!({ "do": "note-shown", "name": "server-lost" }),
        );
        run(&mut guest, &frames);
        front.mend();
        run(
            &mut guest,
            &json!({ "do": "note-shown", "name": "server-lost", "shown": false }),
        );
        run(&mut guest, &frames);
    }

    let page = guest.look().expect("the page answers");
    assert_eq!(page["notes"], json!([]), "nothing is lost any more");
    let resumed = server.metric("tandem_received_messages_total{type=\"resume\"}");
    assert_eq!(resumed.expect("the server counts"), 2.0);

    // The resumed connection carries the end of the same session: the call has not broken off.
    guest.press("hang-up").expect("the guest hangs up");
    let outcome = tandem.finish(TIMEOUT).expect("the call ends there, too");
    outcome.assert_ok("Tandem");
}
