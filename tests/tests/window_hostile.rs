//! A window against a page that has gone mad, and against partners and users who type whatever they
//! like.

#![cfg(target_os = "linux")]

use std::fs;

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::rogue::RogueServer;
use tandem_tests::window::{PATIENCE, TEST_MEDIA};
use tandem_tests::{Part, Screen, ServerProcess, Tandem, Window, require};

/// Sends Tauri's own messages past its library: everything that a page can send at all. Returns how
/// each was answered.
const RAW: &str = "
    const done = arguments[arguments.length - 1];
    const post = window.webkit.messageHandlers.ipc;
    const command = { type: 'setName', name: 'Mallory' };
    const junk = ['', 'null', '[]', '{', '\\u0000', 'x'.repeat(1 << 20), '{\"cmd\":\"run\"}',
        JSON.stringify({ cmd: 'run', callback: 1, error: 2, payload: { command }, options: {}, __TAURI_INVOKE_KEY__: 'guess' }),
        JSON.stringify({ cmd: 7, callback: 'x', error: null, payload: [[[[]]]] }), '['.repeat(100000)];
    let sent = 0;
    for (const message of junk) { try { post.postMessage(message); sent++; } catch { sent++; } }
    const asked = ['', 'run', 'get_state', 'nonsense', '..%2f..%2fetc', 'plugin%3Afs%7Cread', 'x'.repeat(9000)].map((path) =>
        fetch('ipc://localhost/' + path, { method: 'POST', body: JSON.stringify({ command }), headers: { 'Content-Type': 'application/json' } })
            .then((answer) => answer.ok ? 'ok' : 'refused', () => 'refused'));
    Promise.all(asked).then((answers) => done({ sent, answers }));";

/// Sends commands of the wrong form. Returns each with its answer: `ok` or the refusal's code.
const MALFORMED_COMMANDS: &str = "
    const done = arguments[arguments.length - 1];
    const invoke = window.__TAURI_INTERNALS__.invoke;
    const commands = [undefined, null, 7, 'hangUp', [], {}, { type: null }, { type: 'hang_up' }, { type: 'toString' }, { type: '__proto__' },
        { type: 'setName' }, { type: 'setName', name: 7 }, { type: 'setName', name: null }, { type: 'setName', name: 'Ann', age: 33 },
        { type: 'setMuted', muted: 'yes' }, { type: 'setCameraOn', on: 1 }, { type: 'setTheme', theme: 'pink' },
        { type: 'setCamera' }, { type: 'setCamera', id: {} }, { type: 'setCamera', id: 'no such camera' },
        { type: 'dismissProblem', id: -1 }, { type: 'dismissProblem', id: 1e300 }, { type: 'dismissProblem', id: 4000000000 },
        { type: 'startHost', lan: [] }, { type: 'setProcessing', echoCancellation: true }, { type: 'callWithCode', code: ['a'] }];
    Promise.all(commands.map((command) => invoke('run', { command }).then(() => 'ok', (e) => e?.code ?? 'no code: ' + e)))
        .then((answers) => done(answers.map((answer, n) => [JSON.stringify(commands[n]) ?? 'none', answer])));";

/// Calls what the page may not call, and `run` with arguments that Tauri itself refuses. Returns
/// each with its answer.
const FORBIDDEN_CALLS: &str = "
    const done = arguments[arguments.length - 1];
    const invoke = window.__TAURI_INTERNALS__.invoke;
    let deep = {}; for (let i = 0; i < 5000; i++) deep = { deep };
    const calls = [['set_name', { name: 'Mallory' }], ['run', { command: deep }], ['plugin:window|destroy', {}],
        ['plugin:shell|execute', { program: 'true' }], ['plugin:event|emit', { event: 'state-changed', payload: {} }],
        ['toString', {}], ['__proto__', {}], ['', {}]];
    Promise.all(calls.map(([name, args]) => invoke(name, args).then(() => 'ok', () => 'refused')))
        .then((answers) => done(answers.map((answer, n) => [calls[n][0], answer])));";

/// Sends every command in a fixed, senseless order, 40 a second at most, so that the rate limit
/// stays out of it.
const RESTLESS: &str = "
    const [seed, count, done] = arguments;
    const invoke = window.__TAURI_INTERNALS__.invoke;
    const commands = [{ type: 'findPartner' }, { type: 'callWithCode', code: 'restless' }, { type: 'cancel' }, { type: 'hangUp' },
        { type: 'next' }, { type: 'retry' }, { type: 'toLobby' }, { type: 'setMuted', muted: true }, { type: 'setMuted', muted: false },
        { type: 'setCameraOn', on: false }, { type: 'setCameraOn', on: true }, { type: 'setMicrophone', id: 'none' },
        { type: 'setMicrophone', id: null }, { type: 'setSpeaker', id: 'none' }, { type: 'setCamera', id: 'none' },
        { type: 'setCamera', id: null }, { type: 'setName', name: 'Ann' }, { type: 'startHost', lan: false }, { type: 'stopHost' },
        { type: 'testSpeaker' }, { type: 'refreshDevices' },
        { type: 'setProcessing', echoCancellation: false, noiseSuppression: true, autoGain: false }];
    const all = [...commands.map((command) => ['run', { command }]), ['get_state', {}], ['frame_socket', {}]];
    let x = seed, answers = {};
    const random = (below) => { x = (Math.imul(x, 1664525) + 1013904223) >>> 0; return Math.floor(x / 4294967296 * below); };
    const wait = (ms) => new Promise((go) => setTimeout(go, ms));
    (async () => {
        for (let i = 0; i < count; i++) {
            const [name, args] = all[random(all.length)];
            const answer = await invoke(name, args).then(() => 'ok', (e) => e?.code ?? 'no code');
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
        .run_async(MALFORMED_COMMANDS, &json!([]))
        .expect("each is answered");
    let codes = ["BAD_COMMAND", "UNKNOWN_DEVICE", "UNKNOWN_PROBLEM"];
    for answer in answers.as_array().expect("answers") {
        assert!(
            answer[1].as_str().is_some_and(|code| codes.contains(&code)),
            "a command of the wrong form is refused with a code: {answer}"
        );
    }

    let answers = window
        .run_async(FORBIDDEN_CALLS, &json!([]))
        .expect("each is answered");
    for answer in answers.as_array().expect("answers") {
        assert_eq!(answer[1], "refused", "the page may not call this: {answer}");
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
        ServerProcess::start().expect("a relay"),
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
        for name in ["hangUp", "cancel", "toLobby", "stopHost"] {
            let _ = window.command(name, &json!({})).expect("an answer");
        }

        for (name, arguments) in [
            ("setCameraOn", json!({ "on": true })),
            ("setCamera", json!({ "id": null })),
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
            .command("setName", &json!({ "name": text }))
            .expect("an answer");
        match name {
            Ok(_) => {
                let state = window.state().expect("a state");
                let kept = state["settings"]["name"].as_str().expect("a name");
                let expected: String = text.chars().filter(|c| !c.is_control()).collect();
                assert_eq!(kept, expected, "the app keeps all but control characters");
                assert!(kept.chars().count() <= 40, "and no long name: {kept}");
            }
            Err(refusal) => assert_eq!(refusal["code"], "BAD_NAME", "and a reason: {refusal}"),
        }

        let code = window
            .command("callWithCode", &json!({ "code": text }))
            .expect("an answer");
        assert_eq!(
            code.expect_err("none of these is a code")["code"],
            "BAD_ROOM",
            "with a reason"
        );

        let url = window
            .command("setServerUrl", &json!({ "url": text }))
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
