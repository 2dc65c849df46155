//! A window against a page that has gone mad, and against partners and users who type whatever they like.

#![cfg(target_os = "linux")]

use std::fs;

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::rogue::RogueServer;
use tandem_tests::window::{PATIENCE, TEST_MEDIA};
use tandem_tests::{Part, Relay, Screen, Tandem, Window, require};

/// Sends Tauri's own messages past its library: whatever the page can send at all. Gives how each was answered.
const RAW: &str = "
    const done = arguments[arguments.length - 1];
    const post = window.webkit.messageHandlers.ipc;
    const junk = ['', 'null', '[]', '{', '\\u0000', 'x'.repeat(1 << 20), '{\"cmd\":\"hang_up\"}',
        JSON.stringify({ cmd: 'set_name', callback: 1, error: 2, payload: { name: 'x' }, options: {}, __TAURI_INVOKE_KEY__: 'guess' }),
        JSON.stringify({ cmd: 7, callback: 'x', error: null, payload: [[[[]]]] }), '['.repeat(100000)];
    let sent = 0;
    for (const message of junk) { try { post.postMessage(message); sent++; } catch { sent++; } }
    const asked = ['', 'set_name', 'get_state', 'nonsense', '..%2f..%2fetc', 'plugin%3Afs%7Cread', 'x'.repeat(9000)].map((path) =>
        fetch('ipc://localhost/' + path, { method: 'POST', body: '{\"name\":\"Mallory\"}', headers: { 'Content-Type': 'application/json' } })
            .then((answer) => answer.ok ? 'ok' : 'refused', () => 'refused'));
    Promise.all(asked).then((answers) => done({ sent, answers }));";

/// Calls commands with arguments of the wrong form. Gives, for each, `ok` or how it was refused.
const MALFORMED: &str = "
    const done = arguments[arguments.length - 1];
    const invoke = window.__TAURI_INTERNALS__.invoke;
    let deep = {}; for (let i = 0; i < 5000; i++) deep = { deep };
    const calls = [['set_name', {}], ['set_name', { name: 7 }], ['set_name', { name: null }], ['set_name', { name: deep }],
        ['set_muted', { muted: 'yes' }], ['set_camera_on', { on: 1 }], ['set_theme', { theme: 'pink' }],
        ['set_camera', { id: {} }], ['set_camera', { id: 'no such camera' }], ['dismiss_problem', { id: -1 }],
        ['dismiss_problem', { id: 1e300 }], ['dismiss_problem', { id: 4000000000 }], ['start_host', { lan: [] }],
        ['set_processing', { echoCancellation: true }], ['call_with_code', { code: ['a'] }], ['plugin:window|destroy', {}],
        ['plugin:shell|execute', { program: 'true' }], ['plugin:event|emit', { event: 'state-changed', payload: {} }],
        ['toString', {}], ['__proto__', {}], ['', {}]];
    Promise.all(calls.map(([name, args]) => invoke(name, args).then(() => 'ok', (e) => e?.code ?? 'malformed')))
        .then((answers) => done(answers.map((answer, n) => [calls[n][0], answer])));";

/// Presses everything in a fixed, senseless order, 40 a second at most, so that the rate limit stays out of it.
const RESTLESS: &str = "
    const [seed, count, done] = arguments;
    const invoke = window.__TAURI_INTERNALS__.invoke;
    const all = [['find_partner', {}], ['call_with_code', { code: 'restless' }], ['cancel', {}], ['hang_up', {}], ['next', {}], ['retry', {}],
        ['to_lobby', {}], ['set_muted', { muted: true }], ['set_muted', { muted: false }], ['set_camera_on', { on: false }],
        ['set_camera_on', { on: true }], ['set_microphone', { id: 'none' }], ['set_microphone', { id: null }],
        ['set_speaker', { id: 'none' }], ['set_camera', { id: 'none' }], ['set_camera', { id: null }], ['set_name', { name: 'Ann' }],
        ['start_host', { lan: false }], ['stop_host', {}], ['test_speaker', {}], ['refresh_devices', {}], ['get_state', {}],
        ['set_processing', { echoCancellation: false, noiseSuppression: true, autoGain: false }], ['frame_socket', {}]];
    let x = seed, answers = {};
    const random = (below) => { x = (Math.imul(x, 1664525) + 1013904223) >>> 0; return Math.floor(x / 4294967296 * below); };
    const wait = (ms) => new Promise((go) => setTimeout(go, ms));
    (async () => {
        for (let i = 0; i < count; i++) {
            const [name, args] = all[random(all.length)];
            const answer = await invoke(name, args).then(() => 'ok', (e) => e?.code ?? 'malformed');
            answers[answer] = (answers[answer] ?? 0) + 1;
            await wait(25);
        }
        done(answers);
    })();";

fn open(screen: &Screen, url: &str) -> Window {
    let arguments = [
        &TEST_MEDIA[..],
        &["--signaling", url, "--size", "320x180", "--name", "Ann"],
    ]
    .concat();
    Window::open(screen, &arguments).expect("a window")
}

/// The app still does what it is asked, from the lobby to a picture in it.
fn assert_well(window: &Window) {
    let calm = || {
        window
            .state()
            .ok()
            .filter(|state| state["screen"]["kind"] == "lobby")
            .map(drop)
    };

    wait_until("the app answers", PATIENCE, calm).expect("it does, in its lobby");
    window.wait_for_screen("lobby").expect("and shows it");
    window
        .wait_for_pictures("#local", 3)
        .expect("with a moving picture");
}

#[test]
fn messages_that_no_page_should_send_change_nothing() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let window = open(&screen, "ws://127.0.0.1:1/ws");
    window.wait_for_screen("lobby").expect("the lobby");
    let before = window.state().expect("a state");
    let raw = window.run_async(RAW, &json!([])).expect("each is sent");

    assert_eq!(raw["sent"], 10, "past the library: {raw}");
    let answers = raw["answers"].as_array().expect("answers");
    assert!(
        answers.iter().all(|answer| answer == "refused"),
        "without its key nothing is done: {raw}"
    );

    let answers = window
        .run_async(MALFORMED, &json!([]))
        .expect("each is answered");
    for answer in answers.as_array().expect("answers") {
        assert_ne!(
            answer[1], "ok",
            "what has the wrong form is refused: {answer}"
        );
    }

    let mut after = window.state().expect("the app answers as before");
    after["revision"] = before["revision"].clone();
    assert_eq!(after, before, "and nothing has changed");
    assert_well(&window);
}

#[test]
fn commands_in_any_order_leave_an_app_that_works() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        Relay::start().expect("a relay"),
    );
    let url = relay.url();
    let window = open(&screen, &url);
    let (other, bot) = (
        open(&screen, &url),
        [
            "--signaling",
            &url,
            "--room",
            "restless",
            "--size",
            "320x180",
        ],
    );
    // Somebody is always there, so that the order also leads through calls.
    let _bot = Tandem::start([&bot[..], &["--speaker", "none"]].concat()).expect("a partner");
    let answers = std::thread::scope(|scope| {
        let restless = [(&window, 20_261_124_u32), (&other, 7)].map(|(window, seed)| {
            scope.spawn(move || {
                window
                    .run_async(RESTLESS, &json!([seed, 400]))
                    .expect("every call is answered")
            })
        });

        restless.map(|thread| thread.join().expect("no panic"))
    });

    for (window, answers) in [&window, &other].into_iter().zip(answers) {
        let all: u64 = answers
            .as_object()
            .expect("counts")
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(all, 400, "one answer each: {answers}");
        let known = ["ok", "NOT_NOW"];
        let odd = answers
            .as_object()
            .expect("counts")
            .keys()
            .find(|code| !known.contains(&code.as_str()));

        assert_eq!(
            odd, None,
            "each is done, or does not make sense now: {answers}"
        );

        assert!(
            answers["ok"].as_u64() > Some(100),
            "many are done: {answers}"
        );

        // Home, from wherever it stands now, and everything on again.
        for name in ["hang_up", "cancel", "to_lobby", "stop_host"] {
            let _ = window.command(name, &json!({})).expect("an answer");
        }

        for (name, arguments) in [
            ("set_camera_on", json!({ "on": true })),
            ("set_camera", json!({ "id": null })),
        ] {
            window
                .command(name, &arguments)
                .expect("an answer")
                .expect("the lobby takes it");
        }

        assert_well(window);
    }

    // And both can still be in a call.
    for window in [&window, &other] {
        window.fill("#room-code", "afterwards").expect("a code");
        window.press("call-with-code").expect("a button");
    }

    for window in [&window, &other] {
        window.wait_for_screen("in-call").expect("a call");
        window
            .wait_for_pictures("#remote", 5)
            .expect("with pictures");
    }
}

#[test]
fn whatever_is_typed_is_taken_or_refused_with_a_reason() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let window = open(&screen, "ws://127.0.0.1:1/ws");
    window.wait_for_screen("lobby").expect("the lobby");
    let long = "x".repeat(100_000);
    let zalgo = format!("a{}", "\u{0301}".repeat(500));
    let odd = [
        &long,
        &zalgo,
        "\u{202E}gpj.exe",
        "<img src=x onerror=alert(1)>",
        "\u{0}\u{7}\n",
        "عمر",
        "👩‍👩‍👧",
        "../../etc",
        "  ",
        "",
    ];

    for text in odd {
        let name = window
            .command("set_name", &json!({ "name": text }))
            .expect("an answer");
        match name {
            Ok(_) => assert!(
                text.chars().count() <= 41,
                "a name has an end: {}",
                text.len()
            ),
            Err(refusal) => assert_eq!(refusal["code"], "BAD_NAME", "and a reason: {refusal}"),
        }

        let code = window
            .command("call_with_code", &json!({ "code": text }))
            .expect("an answer");
        assert_eq!(
            code.expect_err("none of these is a code")["code"],
            "BAD_ROOM",
            "with a reason"
        );

        let url = window
            .command("set_relay_url", &json!({ "url": text }))
            .expect("an answer");
        assert_eq!(
            url.expect_err("none of these is an address")["code"],
            "BAD_RELAY_URL",
            "with a reason"
        );

        let settings = fs::metadata(window.home().settings()).map_or(0, |file| file.len());
        assert!(settings < 4_096, "no text fills the disk: {settings} bytes");
    }

    window
        .fill("#room-code", "no spaces \u{202E}<b>")
        .expect("it can be typed");
    window.press("call-with-code").expect("and sent off");
    window
        .wait_for_element(".with-code [data-problem=\"BAD_ROOM\"]")
        .expect("the refusal stands where it was typed");
    let width = window
        .run(
            "return document.documentElement.scrollWidth <= innerWidth;",
            &json!([]),
        )
        .expect("an answer");

    assert_eq!(width, true, "nothing has pushed the page out of shape");
    assert_well(&window);
}

#[test]
fn every_field_of_a_partner_is_shown_as_text() {
    require!(Part::Window);
    let html = "<b id=evil>x</b><img src=x onerror=\"window.hacked=1\">";
    let partner = |name: &str, picture: &str| {
        json!({
            "type": "partner_found", "partnerId": "11111111-5e7f-4d0c-8d5c-1fb7a5b4c0de",
            "sessionId": "22222222-5e7f-4d0c-8d5c-1fb7a5b4c0de", "socketId": "33333333-5e7f-4d0c-8d5c-1fb7a5b4c0de",
            "userName": name, "userAge": 33, "userLocation": format!("\u{202E}{html}\u{2066}\n\u{0}"),
            "userPicture": picture, "initiator": false, "interests": [html],
        })
    };

    let svg = "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+";
    let fetched = "https://192.0.2.1/who-looks.png";
    let breakout = "data:image/png;base64,AA\"onerror=\"window.hacked=1";
    let zalgo = format!("Z{}", "\u{0335}".repeat(39));

    for (name, picture) in [
        (html, svg),
        ("\u{202E}\u{2067}evitan", fetched),
        (&zalgo, breakout),
        ("\u{200B}\u{2060}", svg),
    ] {
        let relay = RogueServer::start(vec![partner(name, picture).to_string()])
            .expect("a relay that says anything");
        let screen = Screen::start().expect("a screen");
        let window = open(&screen, &relay.url());
        window.press("find-partner").expect("a button");
        window
            .wait_for_screen("connecting")
            .expect("a partner of a kind");
        let page = window.text("main").expect("a page");
        assert!(page.contains("<b id=evil>"), "the place is text: {page}");
        for turn in ['\u{202E}', '\u{2066}', '\u{2067}', '\u{0}'] {
            assert!(
                !page.contains(turn),
                "nothing turns the text around it: {page:?}"
            );
        }
        let found = "return [!!document.querySelector('#evil, main img, main iframe, main script'), !!window.hacked,
            document.documentElement.scrollWidth <= innerWidth, document.querySelector('h1, h2')?.getBoundingClientRect().height ?? 0];";
        let found = window.run(found, &json!([])).expect("an answer");
        assert_eq!(found[0], false, "no element came of it: {page}");
        assert_eq!(found[1], false, "nothing ran");
        assert_eq!(found[2], true, "the page keeps its shape");
        assert!(
            found[3].as_f64() < Some(200.0),
            "a heading is a heading: {found}"
        );
        window.press("cancel").expect("a button");
        assert_well(&window);
    }
}
