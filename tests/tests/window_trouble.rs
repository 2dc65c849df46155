//! A window in trouble: broken files, a second copy, hostile text, a page that has gone mad.

#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tandem_tests::process::{built, wait_until};
use tandem_tests::window::{Home, PATIENCE, TEST_MEDIA};
use tandem_tests::{Part, Process, Screen, ServerProcess, Tandem, Window, require};

#[test]
fn a_broken_settings_file_is_set_aside_and_said() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let home = Home::new().expect("a user");
    let settings = home.settings();
    let folder = settings.parent().expect("a folder").to_path_buf();
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(&settings, "{\"version\":1,\"name\":\"An").expect("half a file");
    let window =
        Window::open_as(home, &screen, &TEST_MEDIA).expect("the window opens all the same");
    window
        .wait_for_element("[data-problem=\"SETTINGS_BROKEN\"]")
        .expect("the user is told");
    let kept = fs::read_dir(&folder)
        .expect("the folder")
        .flatten()
        .find_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("settings.broken-")
                .then(|| fs::read_to_string(entry.path()).unwrap_or_default())
        });

    assert_eq!(
        kept.as_deref(),
        Some("{\"version\":1,\"name\":\"An"),
        "nothing is lost"
    );

    window.fill("#name", "Ann").expect("a name");
    let saved = || {
        fs::read_to_string(&settings)
            .ok()
            .filter(|text| text.contains("\"Ann\""))
    };

    wait_until("a new settings file", PATIENCE, saved).expect("what is chosen now is kept");
    let home = window.close().expect("it closes");
    let again = Window::open_as(home, &screen, &TEST_MEDIA).expect("it opens again");
    let state = again.state().expect("a state");

    assert_eq!(state["settings"]["name"], "Ann", "with the name");
    assert_eq!(
        state["problems"],
        json!([]),
        "and nothing to complain about"
    );
}

#[test]
fn a_second_copy_brings_the_first_to_the_front_and_ends() {
    require!(Part::Window, Part::XTools);
    let screen = Screen::start().expect("a screen");
    let ann = Window::open(&screen, &TEST_MEDIA).expect("a window");
    let front = |window: &Window| {
        let process = window.process_id().ok()?;
        (screen.front().ok()?? == process).then_some(())
    };

    wait_until("Ann's window is in front", PATIENCE, || front(&ann)).expect("there is no other");
    let bea = Window::open(&screen, &TEST_MEDIA).expect("another user's window");
    wait_until("Bea's window is in front", PATIENCE, || front(&bea)).expect("it came later");
    let mut command = Command::new(built("tandem"));
    command
        .args(TEST_MEDIA)
        .envs(ann.home().environment())
        .envs(screen.environment());
    let mut second = Process::start(command).expect("a second copy of Ann's");

    assert_eq!(
        second.wait(PATIENCE).expect("it ends by itself"),
        Some(0),
        "without a complaint"
    );

    wait_until("Ann's window is in front again", PATIENCE, || front(&ann))
        .expect("that is what she wanted");
    assert_eq!(
        ann.screen().expect("the first answers"),
        "lobby",
        "and nothing happened to it"
    );
}

#[test]
fn text_of_a_partner_is_shown_as_text() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );
    let url = relay.url();
    let trick = "<img src=x onerror=alert(1)>\u{202E}gpj";
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
        trick,
    ];
    let _bot = Tandem::start(bot).expect("somebody with a strange name");
    let arguments = [&TEST_MEDIA[..], &["--signaling", &url]].concat();
    let window = Window::open(&screen, &arguments).expect("a window");
    window.fill("#room-code", "html").expect("a code");
    window.press("call-with-code").expect("a button");
    window.wait_for_screen("in-call").expect("a call");
    let page = window.text("main").expect("a page");

    assert!(
        page.contains("<img src=x onerror=alert(1)>gpj"),
        "the name as text, without what turns it around: {page}"
    );

    let images = window.run(
        "return document.querySelectorAll('img[src=\"x\"], main img[onerror]').length;",
        &json!([]),
    );
    assert_eq!(images.expect("a count"), json!(0), "and not as an element");
}

#[test]
fn a_mad_page_harms_nobody() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let window = Window::open(&screen, &TEST_MEDIA).expect("a window");
    let flood = "const done = arguments[0];
        const invoke = window.__TAURI_INTERNALS__.invoke;
        const names = ['cancel', 'hang_up', 'next', 'retry', 'to_lobby', 'set_muted', 'nonsense', 'set_theme', 'dismiss_problem'];
        const calls = [];
        for (let i = 0; i < 1000; i++) calls.push(invoke(names[i % names.length], i % 3 ? {} : { muted: i, id: 'x' }).then(() => 'ok', (e) => e?.code ?? 'malformed'));
        Promise.all(calls).then((answers) => { const count = {}; for (const a of answers) count[a] = (count[a] ?? 0) + 1; done(count); });";
    let answers = window
        .run_async(flood, &json!([]))
        .expect("every one is answered");
    let count = |code: &str| answers[code].as_u64().unwrap_or(0);
    let all: u64 = answers
        .as_object()
        .expect("counts")
        .values()
        .filter_map(Value::as_u64)
        .sum();

    assert_eq!(all, 1000, "each call has one answer: {answers}");
    assert!(
        count("RATE_LIMITED") > 300,
        "a flood is held back: {answers}"
    );

    assert!(
        count("malformed") > 0 && count("NOT_NOW") > 0,
        "and nonsense is refused: {answers}"
    );
    assert_eq!(count("ok"), 0, "nothing of it was done: {answers}");
    let calm = || {
        window
            .state()
            .ok()
            .filter(|state| state["screen"]["kind"] == "lobby")
            .map(drop)
    };

    wait_until("the app answers again", PATIENCE, calm).expect("the limit is not for ever");
    window
        .wait_for_pictures("#local", 3)
        .expect("and the preview goes on");
}

#[test]
fn a_window_without_a_screen_says_so() {
    let mut command = Command::new(built("tandem"));
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let mut process = Process::start(command).expect("it starts");

    assert_eq!(
        process.wait(PATIENCE).expect("it ends"),
        Some(1),
        "there is nothing to open a window on"
    );

    assert!(
        process.stderr().contains("--headless"),
        "it says what to do: {}",
        process.stderr()
    );
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let window = Window::open(&screen, &TEST_MEDIA).expect("a window");
    let blocked = "const done = arguments[0];
        const seen = [];
        document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
        const image = new Image(); image.src = 'https://192.0.2.1/x.png';
        fetch('https://192.0.2.1/x').catch(() => {});
        const script = document.createElement('script'); script.textContent = 'window.hacked = true'; document.body.append(script);
        setTimeout(() => done({ seen, hacked: !!window.hacked }), 500);";
    let result = window.run_async(blocked, &json!([])).expect("an answer");

    assert_eq!(result["hacked"], false, "inline scripts do not run");
    for directive in ["img-src", "connect-src", "script-src-elem"] {
        let seen = result["seen"].as_array().expect("a list");
        assert!(
            seen.iter().any(|found| found == directive),
            "{directive} stands in the way: {result}"
        );
    }
}
