//! How the window copes with a broken settings file, a second copy of the app, hostile text and a
//! misbehaving page.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tandem_tests::process::{built, wait_until};
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Part, Process, Screen, ServerProcess, Tandem, Window, require};

#[test]
fn a_broken_settings_file_is_kept_aside_and_reported() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let home = Home::new().expect("a home folder");
    let settings = home.settings();
    let folder = settings
        .parent()
        .expect("the settings are in a folder")
        .to_path_buf();
    fs::create_dir_all(&folder).expect("the folder is created");
    fs::write(&settings, "{\"version\":1,\"name\":\"An").expect("the broken file is written");
    // Who names a server is not asked how to call. Nothing answers there.
    let arguments = [&TEST_MEDIA[..], &["--signaling", "ws://127.0.0.1:1"]].concat();
    let window = Window::open_as(home, &screen, &arguments)
        .expect("the window opens despite the broken file");
    window
        .wait_for_element("[data-problem=\"SETTINGS_BROKEN\"]")
        .expect("the page reports the broken file");
    let kept = fs::read_dir(&folder)
        .expect("the folder can be listed")
        .flatten()
        .find_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("settings.broken-")
                .then(|| fs::read_to_string(entry.path()).unwrap_or_default())
        });

    assert_eq!(
        kept.as_deref(),
        Some("{\"version\":1,\"name\":\"An"),
        "the broken file is kept under another name"
    );

    window.fill("#name", "Ann").expect("the name can be typed");
    let saved = || {
        fs::read_to_string(&settings)
            .ok()
            .filter(|text| text.contains("\"Ann\""))
    };

    wait_until("a new settings file is written", TIMEOUT, saved).expect("the new name is saved");
    let home = window.close().expect("the app exits");
    let again = Window::open_as(home, &screen, &arguments).expect("the window opens again");
    let state = again.state().expect("the app answers");
    assert_eq!(state["settings"]["name"], "Ann", "the name was kept");
    assert_eq!(state["problems"], json!([]), "no problem is reported");
}

#[test]
fn a_second_copy_brings_the_first_to_the_front_and_ends() {
    require!(Part::Window, Part::XTools);
    let screen = Screen::start().expect("Xvfb starts");
    let ann = Window::open(&screen, &TEST_MEDIA).expect("the window opens");
    let front = |window: &Window| {
        let process = window.process_id().ok()?;
        (screen.front_process().ok()?? == process).then_some(())
    };

    wait_until("Ann's window is in front", TIMEOUT, || front(&ann)).expect("it is the only window");
    let bea = Window::open(&screen, &TEST_MEDIA).expect("the window of another user opens");
    wait_until("Bea's window is in front", TIMEOUT, || front(&bea)).expect("it opened last");
    let mut command = Command::new(built("tandem"));
    command
        .args(TEST_MEDIA)
        .envs(ann.home().environment())
        .envs(screen.environment());
    let mut second = Process::start(command).expect("a second copy starts as Ann");
    assert_eq!(
        second
            .wait(TIMEOUT)
            .expect("the second copy exits by itself"),
        Some(0),
        "the second copy exits without an error"
    );

    wait_until("Ann's window is in front again", TIMEOUT, || front(&ann))
        .expect("the second copy brings it there");
    assert_eq!(
        ann.screen().expect("the page answers"),
        "lobby",
        "the first copy is unchanged"
    );
}

#[test]
fn html_in_a_partners_name_is_shown_as_text() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );
    let url = server.url();
    let name = "<img src=x onerror=alert(1)>\u{202E}gpj";
    let bot = [
        "--signaling",
        &url,
        "--room",
        "html",
        "--size",
        "320x180",
        "--speaker",
        "none",
        "--name",
        name,
    ];
    let _bot = Tandem::start(bot).expect("tandem starts");
    let arguments = [&TEST_MEDIA[..], &["--signaling", &url]].concat();
    let window = Window::open(&screen, &arguments).expect("the window opens");
    window
        .fill("#room-code", "html")
        .expect("the code can be typed");
    window.press("call-with-code").expect("the button is there");
    window
        .wait_for_screen("in-call")
        .expect("the call connects");
    let page = window.text("main").expect("the page answers");
    assert!(
        page.contains("<img src=x onerror=alert(1)>gpj"),
        "the name is shown as text, without the character that reverses it: {page}"
    );

    let images = window.run(
        "return document.querySelectorAll('img[src=\"x\"], main img[onerror]').length;",
        &json!([]),
    );
    assert_eq!(
        images.expect("the page answers"),
        json!(0),
        "no element was created"
    );
}

#[test]
fn a_flood_of_calls_from_the_page_does_no_harm() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = Window::open(&screen, &TEST_MEDIA).expect("the window opens");
    let flood = "const done = arguments[0];
        const invoke = window.__TAURI_INTERNALS__.invoke;
        const types = ['cancel', 'hangUp', 'next', 'retry', 'toLobby', 'setMuted', 'nonsense', 'setTheme', 'dismissProblem'];
        const calls = [];
        for (let i = 0; i < 1000; i++) {
            const command = { type: types[i % types.length], ...(i % 3 ? {} : { muted: i, id: 'x' }) };
            calls.push(invoke('run', { command }).then(() => 'ok', (e) => e?.code ?? 'malformed'));
        }
        Promise.all(calls).then((answers) => { const count = {}; for (const a of answers) count[a] = (count[a] ?? 0) + 1; done(count); });";
    let answers = window
        .run_async(flood, &json!([]))
        .expect("every call is answered");
    let count = |code: &str| answers[code].as_u64().unwrap_or(0);
    let all: u64 = answers
        .as_object()
        .expect("an object with counts")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(all, 1000, "every call gets one answer: {answers}");
    assert!(
        count("RATE_LIMITED") > 300,
        "the rate limit applies: {answers}"
    );
    assert!(
        count("BAD_COMMAND") > 0 && count("NOT_NOW") > 0,
        "malformed and untimely calls are refused: {answers}"
    );
    assert_eq!(count("ok"), 0, "no call was carried out: {answers}");

    let in_lobby = || {
        window
            .state()
            .ok()
            .filter(|state| state["screen"]["kind"] == "lobby")
            .map(drop)
    };

    wait_until("the app answers again", TIMEOUT, in_lobby).expect("the rate limit ends");
    window
        .wait_for_frames("#local", 3)
        .expect("the preview keeps moving");
}

#[test]
fn without_a_screen_the_app_suggests_headless_mode() {
    let mut command = Command::new(built("tandem"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let mut process = Process::start(command).expect("the process starts");
    assert_eq!(
        process.wait(TIMEOUT).expect("the app exits"),
        Some(1),
        "the app fails without a screen"
    );
    assert!(
        process.stderr().contains("--headless"),
        "the message says what to do: {}",
        process.stderr()
    );
}

#[test]
fn a_home_folder_that_cannot_be_written_is_a_sentence() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let home = Home::new().expect("folders");
    let mut command = Command::new(built("tandem"));
    command.envs(home.environment()).envs(screen.environment());
    // Not even root makes a folder there.
    command.env("XDG_DATA_HOME", "/proc/nowhere");

    let mut process = Process::start(command).expect("the process starts");
    assert_eq!(process.wait(TIMEOUT).expect("the app exits"), Some(1));
    let log = process.stderr();
    assert!(!log.contains("panicked"), "{log}");
    assert!(
        log.contains("Check that you may write to /proc/nowhere"),
        "the message says what to do: {log}"
    );
}

#[test]
fn the_page_cannot_load_anything_from_elsewhere() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = Window::open(&screen, &TEST_MEDIA).expect("the window opens");
    let attempts = "const done = arguments[0];
        const seen = [];
        document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
        const image = new Image(); image.src = 'https://192.0.2.1/x.png';
        fetch('https://192.0.2.1/x').catch(() => {});
        const script = document.createElement('script'); script.textContent = 'window.hacked = true'; document.body.append(script);
        setTimeout(() => done({ seen, hacked: !!window.hacked }), 500);";
    let result = window
        .run_async(attempts, &json!([]))
        .expect("the app answers");
    assert_eq!(result["hacked"], false, "inline scripts do not run");

    for directive in ["img-src", "connect-src", "script-src-elem"] {
        let seen = result["seen"].as_array().expect("a list of directives");
        assert!(
            seen.iter().any(|found| found == directive),
            "{directive} blocks the attempt: {result}"
        );
    }
}
