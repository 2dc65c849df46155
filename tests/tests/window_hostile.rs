//! The window with a hostile page, and with partners and users who send or type arbitrary text.

#![cfg(target_os = "linux")]

use std::fs;

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::rogue::RogueServer;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Part, Screen, ServerProcess, Tandem, Window, require};

/// Sends raw messages to Tauri without its library, so that they can hold anything. Returns how
/// each was answered.
const RAW_MESSAGES: &str = "
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

/// Sends malformed commands. Returns each with its answer: `ok` or the code of the refusal.
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

/// Calls Tauri commands that the page may not call, and `run` with arguments that Tauri itself
/// refuses. Returns each with its answer.
const FORBIDDEN_CALLS: &str = "
    const done = arguments[arguments.length - 1];
    const invoke = window.__TAURI_INTERNALS__.invoke;
    let deep = {}; for (let i = 0; i < 5000; i++) deep = { deep };
    const calls = [['set_name', { name: 'Mallory' }], ['run', { command: deep }], ['plugin:window|destroy', {}],
        ['plugin:shell|execute', { program: 'true' }], ['plugin:event|emit', { event: 'state-changed', payload: {} }],
        ['toString', {}], ['__proto__', {}], ['', {}]];
    Promise.all(calls.map(([name, args]) => invoke(name, args).then(() => 'ok', () => 'refused')))
        .then((answers) => done(answers.map((answer, n) => [calls[n][0], answer])));";

/// Sends commands in a pseudo-random order that the seed determines. Sends at most 40 a second,
/// which stays below the rate limit. Returns how often each answer came.
const RANDOM_COMMANDS: &str = "
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
    let home = Home::new()
        .and_then(Home::having_met_strangers)
        .expect("a folder for the user");
    Window::open_as(home, screen, &arguments).expect("the window opens")
}

/// Has strangers see the user's address: the servers here can't hide it, and a question would come first.
fn without_hiding(window: &Window) {
    let answer = window.command("setStrangerRelay", &json!({ "on": false }));
    let answer = answer.expect("the page answers");
    answer.expect("it can be switched off");
}

/// Checks that the app still works: it answers, shows the lobby and a moving preview.
fn assert_works(window: &Window) {
    let in_lobby = || {
        window
            .state()
            .ok()
            .filter(|state| state["screen"]["kind"] == "lobby")
            .map(drop)
    };

    wait_until("the app answers", TIMEOUT, in_lobby).expect("the app is in the lobby");
    window
        .wait_for_screen("lobby")
        .expect("the page shows the lobby");
    window
        .wait_for_frames("#local", 3)
        .expect("the preview moves");
}

#[test]
fn malformed_and_forbidden_messages_change_nothing() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = open(&screen, "ws://127.0.0.1:1/ws");
    window
        .wait_for_screen("lobby")
        .expect("the window opens in the lobby");
    let before = window.state().expect("the app answers");
    let raw = window
        .run_async(RAW_MESSAGES, &json!([]))
        .expect("the page answers");
    assert_eq!(raw["sent"], 10, "every raw message was sent: {raw}");

    let answers = raw["answers"].as_array().expect("a list of answers");
    assert!(
        answers.iter().all(|answer| answer == "refused"),
        "without the invoke key every request is refused: {raw}"
    );

    let answers = window
        .run_async(MALFORMED_COMMANDS, &json!([]))
        .expect("every call is answered");
    let codes = ["BAD_COMMAND", "UNKNOWN_DEVICE", "UNKNOWN_PROBLEM"];
    for answer in answers.as_array().expect("a list of answers") {
        assert!(
            answer[1].as_str().is_some_and(|code| codes.contains(&code)),
            "a malformed command is refused with a code: {answer}"
        );
    }

    let answers = window
        .run_async(FORBIDDEN_CALLS, &json!([]))
        .expect("every call is answered");
    for answer in answers.as_array().expect("a list of answers") {
        assert_eq!(answer[1], "refused", "the page may not call this: {answer}");
    }

    let mut after = window.state().expect("the app still answers");
    after["revision"] = before["revision"].clone();
    assert_eq!(after, before, "the state has not changed");

    assert_works(&window);
}

#[test]
fn the_app_still_works_after_random_commands() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );
    let url = server.url();
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
    // A third peer is always in the room, so that the random commands also lead to calls.
    let _bot = Tandem::start([&bot[..], &["--speaker", "none"]].concat()).expect("tandem starts");
    let answers = std::thread::scope(|scope| {
        let threads = [(&window, 20_261_124_u32), (&other, 7)].map(|(window, seed)| {
            scope.spawn(move || {
                window
                    .run_async(RANDOM_COMMANDS, &json!([seed, 400]))
                    .expect("every call is answered")
            })
        });

        threads.map(|thread| thread.join().expect("the thread does not panic"))
    });

    for (window, answers) in [&window, &other].into_iter().zip(answers) {
        let all: u64 = answers
            .as_object()
            .expect("an object with counts")
            .values()
            .filter_map(Value::as_u64)
            .sum();
        assert_eq!(all, 400, "every call gets one answer: {answers}");

        let expected = ["ok", "NOT_NOW"];
        let odd = answers
            .as_object()
            .expect("an object with counts")
            .keys()
            .find(|code| !expected.contains(&code.as_str()));
        assert_eq!(
            odd, None,
            "every command is carried out or refused as untimely: {answers}"
        );
        assert!(
            answers["ok"].as_u64() > Some(100),
            "many commands are carried out: {answers}"
        );

        // Go back to the lobby from any screen, and switch the camera on again.
        for name in ["hangUp", "cancel", "toLobby", "stopHost"] {
            let _ = window.command(name, &json!({})).expect("the app answers");
        }

        for (name, arguments) in [
            ("setCameraOn", json!({ "on": true })),
            ("setCamera", json!({ "id": null })),
        ] {
            window
                .command(name, &arguments)
                .expect("the app answers")
                .expect("the command is allowed in the lobby");
        }

        assert_works(window);
    }

    // Both can still hold a call.
    for window in [&window, &other] {
        window
            .fill("#room-code", "afterwards")
            .expect("the code can be typed");
        window.press("call-with-code").expect("the button is there");
    }

    for window in [&window, &other] {
        window
            .wait_for_screen("in-call")
            .expect("the call connects");
        window
            .wait_for_frames("#remote", 5)
            .expect("the partner's video moves");
    }
}

#[test]
fn typed_text_is_accepted_or_refused_with_a_reason() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let window = open(&screen, "ws://127.0.0.1:1/ws");
    window
        .wait_for_screen("lobby")
        .expect("the window opens in the lobby");
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
            .expect("the app answers");
        match name {
            Ok(_) => {
                let state = window.state().expect("the app answers");
                let kept = state["settings"]["name"].as_str().expect("a string");
                let all_but_control: String = text.chars().filter(|c| !c.is_control()).collect();
                // Nobody can see a name of spaces.
                let is_blank = all_but_control.trim().is_empty();
                let expected = if is_blank { "" } else { &all_but_control };
                assert_eq!(kept, expected, "the app keeps all but control characters");
                assert!(
                    kept.chars().count() <= 40,
                    "names are limited to 40 characters: {kept}"
                );
            }
            Err(refusal) => assert_eq!(
                refusal["code"], "BAD_NAME",
                "the refusal has a reason: {refusal}"
            ),
        }

        let code = window
            .command("callWithCode", &json!({ "code": text }))
            .expect("the app answers");
        assert_eq!(
            code.expect_err("none of these is a code")["code"],
            "BAD_ROOM",
            "the refusal has a reason"
        );

        let url = window
            .command("setServerUrl", &json!({ "url": text }))
            .expect("the app answers");
        match url {
            Ok(_) => assert!(text.trim().is_empty(), "no server at all, not {text:?}"),
            Err(refusal) => assert_eq!(
                refusal["code"], "BAD_RELAY_URL",
                "the refusal has a reason: {refusal}"
            ),
        }

        let settings = fs::metadata(window.home().settings()).map_or(0, |file| file.len());
        assert!(
            settings < 4_096,
            "no text bloats the settings file: {settings} bytes"
        );
    }

    window
        .fill("#room-code", "no spaces \u{202E}<b>")
        .expect("the code can be typed");
    window.press("call-with-code").expect("the button is there");
    window
        .wait_for_element(".with-code [data-problem=\"BAD_ROOM\"]")
        .expect("the refusal is shown next to the input");
    let width = window
        .run(
            "return document.documentElement.scrollWidth <= innerWidth;",
            &json!([]),
        )
        .expect("the page answers");
    assert_eq!(width, true, "the page does not scroll sideways");

    assert_works(&window);
}

#[test]
fn every_field_of_a_partner_is_shown_as_text() {
    require!(Part::Window);
    let html = "<b id=evil>x</b><img src=x onerror=\"window.hacked=1\">";
    let partner = |name: &str, profile_picture: &str| {
        json!({
            "type": "partner_found", "partnerId": "11111111-5e7f-4d0c-8d5c-1fb7a5b4c0de",
            "sessionId": "22222222-5e7f-4d0c-8d5c-1fb7a5b4c0de", "socketId": "33333333-5e7f-4d0c-8d5c-1fb7a5b4c0de",
            "userName": name, "userAge": 33, "userLocation": format!("\u{202E}{html}\u{2066}\n\u{0}"),
            "userPicture": profile_picture, "initiator": false, "interests": [html], "bothPrivate": true,
        })
    };

    let svg = "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+";
    let fetched = "https://192.0.2.1/who-looks.png";
    let breakout = "data:image/png;base64,AA\"onerror=\"window.hacked=1";
    let zalgo = format!("Z{}", "\u{0335}".repeat(39));

    for (name, profile_picture) in [
        (html, svg),
        ("\u{202E}\u{2067}evitan", fetched),
        (&zalgo, breakout),
        ("\u{200B}\u{2060}", svg),
    ] {
        let server = RogueServer::start(vec![partner(name, profile_picture).to_string()])
            .expect("the rogue server starts");
        let screen = Screen::start().expect("Xvfb starts");
        let window = open(&screen, &server.url());
        without_hiding(&window);
        window.press("find-partner").expect("the button is there");
        window
            .wait_for_screen("connecting")
            .expect("the hostile partner is matched");
        let page = window.text("main").expect("the page answers");
        assert!(
            page.contains("<b id=evil>"),
            "the location is shown as text: {page}"
        );

        for control in ['\u{202E}', '\u{2066}', '\u{2067}', '\u{0}'] {
            assert!(
                !page.contains(control),
                "control characters are removed: {page:?}"
            );
        }

        let found = "return [!!document.querySelector('#evil, main img, main iframe, main script'), !!window.hacked,
            document.documentElement.scrollWidth <= innerWidth, document.querySelector('h1, h2')?.getBoundingClientRect().height ?? 0];";
        let found = window.run(found, &json!([])).expect("the page answers");
        assert_eq!(found[0], false, "no element was created: {page}");
        assert_eq!(found[1], false, "no script ran");
        assert_eq!(found[2], true, "the page does not scroll sideways");
        assert!(
            found[3].as_f64() < Some(200.0),
            "the heading keeps a normal height: {found}"
        );

        window.press("cancel").expect("the button is there");
        assert_works(&window);
    }
}
