//! What the app does about its web view: the page comes back when its process dies, reaches no port
//! but its own, gets frames beside other programs' sockets, and has no browser around it.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use tandem_tests::process::{tool, wait_until};
use tandem_tests::window::{TEST_MEDIA, TIMEOUT};
use tandem_tests::{Part, Screen, ServerProcess, Window, require};

/// How the kernel abbreviates `WebKitWebProcess`.
const WEB_PROCESS: &str = "WebKitWebProces";

/// The process that runs the page of `window`, a child of the app.
fn web_process(window: &Window) -> Option<libc::pid_t> {
    let app = window.process_id().ok()?.to_string();
    let is_it = |stat: &str| {
        // The id, the name in brackets, the state, the parent.
        let (head, tail) = stat.rsplit_once(") ")?;
        let is_child = tail.split_whitespace().nth(1)? == app;
        let (id, name) = head.split_once(" (")?;
        (is_child && name == WEB_PROCESS && !tail.starts_with('Z')).then(|| id.parse().ok())?
    };

    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .find_map(|stat| is_it(&stat))
}

fn kill_page(window: &Window) {
    let process = wait_until("the page has a process", TIMEOUT, || web_process(window))
        .expect("WebKitGTK runs a page in a process of its own");
    // SAFETY: kill(2) takes plain numbers and touches no memory. The process is a child of this
    // test's app.
    let sent = unsafe { libc::kill(process, libc::SIGKILL) };
    assert_eq!(sent, 0, "the page's process is still there to be killed");

    let replaced = || (web_process(window)? != process).then_some(());
    wait_until("another process runs the page", TIMEOUT, replaced)
        .expect("the app starts the page again");
}

/// When the call connected. It stays the same as long as it is the same call.
fn connected_at(window: &Window) -> Value {
    let state = window.state().expect("the app answers");
    assert_eq!(state["screen"]["kind"], "inCall", "the call goes on");
    state["screen"]["connectedAtMs"].clone()
}

/// The middle of the screen, where a call shows the partner, in grey. WebDriver cannot be asked for
/// it: the driver ends its session with the page's process.
fn middle(screen: &Screen) -> Vec<u8> {
    let display = screen
        .environment()
        .into_iter()
        .find(|(name, _)| name == "DISPLAY")
        .and_then(|(_, display)| display.into_string().ok())
        .expect("the screen has a number");
    let arguments = [
        "-loglevel error -f x11grab -draw_mouse 0 -video_size 200x120 -i",
        &format!("{display}+450,320"),
        "-frames:v 1 -pix_fmt gray -f rawvideo -",
    ];
    let arguments = arguments.join(" ");
    tool("ffmpeg", arguments.split(' ')).expect("the screen can be read")
}

/// Waits until the middle of the screen shows video: it changes ten times.
fn wait_for_video(screen: &Screen) {
    let mut last = middle(screen);
    let mut changes = 0;
    wait_until("the middle of the screen moves", TIMEOUT, || {
        let now = middle(screen);
        changes += u32::from(now != last);
        last = now;
        (changes >= 10).then_some(())
    })
    .expect("the page shows the partner's video");
}

#[test]
fn a_page_whose_process_dies_in_a_call_comes_back_to_the_same_call() {
    require!(Part::Window, Part::Ffmpeg);
    let screens = [0, 1].map(|_| Screen::start().expect("Xvfb starts"));
    let server = ServerProcess::start().expect("the server starts");
    let url = server.url();
    let arguments = [&TEST_MEDIA[..], &["--signaling", &url, "--size", "320x180"]].concat();
    let [ann, bea] = screens
        .each_ref()
        .map(|screen| Window::open(screen, &arguments).expect("the window opens"));
    for window in [&ann, &bea] {
        window
            .fill("#room-code", "sturdy")
            .expect("the code can be typed");
        window.press("call-with-code").expect("the button is there");
    }

    for window in [&ann, &bea] {
        window
            .wait_for_screen("in-call")
            .expect("the call connects");
        window
            .wait_for_frames("#remote", 3)
            .expect("the partner's video moves");
    }

    let before = connected_at(&bea);
    // Twice: what brings the page back also watches over the page that came back.
    for _ in 0..2 {
        kill_page(&ann);
        wait_for_video(&screens[0]);
    }

    assert_eq!(connected_at(&bea), before, "it is still the same call");
    bea.wait_for_frames("#remote", 3)
        .expect("in which the partner still gets video");

    ann.close().expect("the app ends as always");
    bea.wait_for_screen("ended")
        .expect("and the partner learns of it at once");
}

fn open_alone(screen: &Screen) -> Window {
    // Who names a server is not asked how to call. Nothing answers there.
    let arguments = [&TEST_MEDIA[..], &["--signaling", "ws://127.0.0.1:1"]].concat();
    let window = Window::open(screen, &arguments).expect("the window opens");
    window
        .wait_for_frames("#local", 3)
        .expect("the preview moves");
    window
}

#[test]
fn the_page_connects_to_no_other_port_of_this_machine() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = open_alone(&screen);
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    other.set_nonblocking(true).expect("a socket option");
    let address = other.local_addr().expect("an address").to_string();

    let script = "const [address, done] = arguments;
        document.addEventListener('securitypolicyviolation', (e) => done([e.effectiveDirective, e.blockedURI]));
        try { new WebSocket(`ws://${address}/frames`).onopen = () => done('connected'); } catch { /* blocked */ }";
    let blocked = window
        .run_async(script, &json!([address]))
        .expect("the attempt ends");
    assert_eq!(blocked[0], "connect-src", "the policy blocks it: {blocked}");
    assert!(
        blocked[1]
            .as_str()
            .is_some_and(|uri| uri.contains(&address)),
        "that port, and not the page's own: {blocked}"
    );
    assert_eq!(
        other.accept().expect_err("nothing arrived").kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_page_gets_its_frames_beside_a_hundred_idle_sockets() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = open_alone(&screen);
    let socket = window
        .run_async(
            "window.__TAURI_INTERNALS__.invoke('frame_socket').then(arguments[0]);",
            &json!([]),
        )
        .expect("the app answers");
    let url = socket["url"].as_str().expect("a URL");
    let address = url
        .strip_prefix("ws://")
        .and_then(|url| url.strip_suffix("/frames"))
        .expect("an address without a token");

    // More at once than a connection to the frame socket has time to wait for.
    let idle: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(address).expect("any program may connect"))
        .collect();
    window.reload().expect("the page is loaded again");
    window
        .wait_for_frames("#local", 10)
        .expect("the page gets its frames");
    drop(idle);
}

#[test]
fn the_web_view_has_no_menu_and_no_keys_of_a_browser() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = open_alone(&screen);
    let script = "
        const goesOn = (target, event) => target.dispatchEvent(event);
        const menu = (target) => goesOn(target, new MouseEvent('contextmenu', { bubbles: true, cancelable: true }));
        const key = (key, how = {}) => goesOn(document.body, new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...how }));
        const ctrl = { ctrlKey: true };
        return {
            menus: [document.body, document.querySelector('main'), document.querySelector('button')].map(menu),
            textMenu: menu(document.querySelector('#name')),
            browser: [key('F5'), key('F5', ctrl), key('F7'), key('F3'), key('r', ctrl), key('R', { ...ctrl, shiftKey: true }),
                key('p', ctrl), key('f', ctrl), key('g', ctrl), key('s', ctrl)],
            others: [key('Tab'), key('a', ctrl), key('c', ctrl), key('v', ctrl), key('r'), key('p'), key('f'), key('+', ctrl)],
        };";
    let found = window.run(script, &json!([])).expect("the page answers");
    assert_eq!(found["menus"], json!([false, false, false]), "no menu");
    assert_eq!(found["textMenu"], true, "a text field has its menu");
    let all = |list: &Value, goes_on: bool| {
        list.as_array()
            .expect("a list")
            .iter()
            .all(|found| *found == goes_on)
    };
    assert!(all(&found["browser"], false), "a browser's keys: {found}");
    assert!(all(&found["others"], true), "all other keys work: {found}");
}
