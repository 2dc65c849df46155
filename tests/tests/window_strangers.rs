//! Two people who do not know each other meet in real windows: rules, consent, report and block.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::process::{built, wait_until};
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Part, Redis, Screen, ServerProcess, Tandem, Window, WireClient, require};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];

/// Opens the window of a user who has never met a stranger.
fn open(screen: &Screen, server: &ServerProcess, name: &str) -> Window {
    open_at(screen, &server.url(), name)
}

fn open_at(screen: &Screen, url: &str, name: &str) -> Window {
    let home = Home::new().expect("a folder for the user");
    let window = open_as(home, screen, url, name);
    wait_for_state(&window, "/server/status", &json!("connected"));
    window
}

fn open_as(home: Home, screen: &Screen, url: &str, name: &str) -> Window {
    let arguments = [
        &TEST_MEDIA[..],
        &SMALL,
        &["--signaling", url, "--name", name],
    ]
    .concat();
    Window::open_as(home, screen, &arguments).expect("the window opens")
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the state changes");
}

fn state(window: &Window, pointer: &str) -> Value {
    let state = window.state().expect("the app answers");
    state.pointer(pointer).cloned().unwrap_or_default()
}

fn press(window: &Window, action: &str) {
    window.press(action).expect("the button is there");
}

fn command(window: &Window, kind: &str) {
    let answer = window.command(kind, &json!({})).expect("the page answers");
    answer.unwrap_or_else(|refusal| panic!("{kind} is refused: {refusal}"));
}

/// Has the user accept the rules, and that strangers see the address: the servers here can't hide it.
fn with_consent(window: &Window) {
    command(window, "acceptRules");
    let answer = window.command("setStrangerRelay", &json!({ "on": false }));
    let answer = answer.expect("the page answers");
    answer.expect("it can be switched off");
}

/// How many people search at the server.
fn searching(server: &ServerProcess) -> Option<u32> {
    let (_, metrics) = server.get("/metrics").ok()?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tandem_searching "))?;
    line.parse().ok()
}

/// The lines of the server's file of reports.
fn reports(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

#[test]
fn strangers_meet_after_the_rules_and_are_reported_and_blocked() {
    require!(Part::Window);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("reports.jsonl");
    let path = file.to_str().expect("UTF-8");
    let server = ServerProcess::start_with(&["--reports", path]).expect("the server starts");
    let screens = [Screen::start(), Screen::start()].map(|screen| screen.expect("Xvfb starts"));
    let ann = open(&screens[0], &server, "Ann");

    // The rules come first, and nothing happens before.
    press(&ann, "find-partner");
    ann.wait_for_element("#rules").expect("the rules are shown");
    assert_eq!(ann.screen().expect("the page answers"), "lobby");
    press(&ann, "refuse-rules");
    press(&ann, "find-partner");
    press(&ann, "accept-rules");

    // The server forwards nothing, so it cannot hide her address, also at a private one. She is asked once.
    ann.wait_for_screen("ended").expect("the question is there");
    assert_eq!(state(&ann, "/screen/reason"), "NO_TURN_SERVER");
    assert_eq!(searching(&server), Some(0), "nobody was looked for");
    press(&ann, "allow-direct");
    ann.wait_for_screen("waiting").expect("the search begins");
    press(&ann, "cancel");
    press(&ann, "find-partner");
    ann.wait_for_screen("waiting").expect("it asks no more");
    assert_eq!(
        ann.attribute("[data-action=\"camera\"]", "data-off")
            .expect("the page answers")
            .as_deref(),
        Some(""),
        "the camera is off at first"
    );

    let ben = open(&screens[1], &server, "Ben");
    with_consent(&ben);
    press(&ben, "find-partner");
    for window in [&ann, &ben] {
        window.wait_for_screen("in-call").expect("they meet");
        wait_for_state(window, "/stranger/shown", &json!(true));
    }

    wait_for_state(&ben, "/screen/partnerCameraOff", &json!(true));
    press(&ann, "camera");
    ben.wait_for_frames("#remote", 20)
        .expect("Ben sees Ann once she wants it");

    // Two clicks, and a snapshot on request.
    press(&ben, "report");
    ben.run(
        "document.querySelector('.report-more').open = true;
         document.querySelector('#report-snapshot').click();",
        &json!([]),
    )
    .expect("the dialog is open");
    press(&ben, "report-harassment");
    wait_for_state(&ben, "/stranger/report", &json!("sent"));
    let written = reports(&file);
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(written[0]["category"], "harassment");
    assert_eq!(written[0]["sessionId"].as_str().map(str::len), Some(36));
    let image = written[0]["snapshot"].as_str().expect("a snapshot");
    let image = folder.path().join("reports.jsonl.snapshots").join(image);
    let image = fs::read(image).expect("it is beside the reports");
    assert!(
        image.starts_with(&[0xFF, 0xD8, 0xFF]) && image.len() > 1_000,
        "a JPEG of {} bytes",
        image.len()
    );

    press(&ben, "block");
    ben.wait_for_screen("ended").expect("the call ends");
    ann.wait_for_screen("ended").expect("for both");
    wait_for_state(&ben, "/stranger/block", &json!("blocked"));

    // The last screen reports, too, with what was shown last.
    assert_eq!(state(&ann, "/stranger/block"), "none");
    press(&ann, "report");
    press(&ann, "report-spam");
    wait_for_state(&ann, "/stranger/report", &json!("sent"));
    let written = reports(&file);
    assert_eq!(written.len(), 2, "{written:?}");
    assert_eq!(written[1]["category"], "spam");
    assert_eq!(written[1]["sessionId"], written[0]["sessionId"]);
    assert_eq!(written[1]["snapshot"], Value::Null, "only if it is ticked");
    assert_eq!(written[1]["reported"], written[0]["reporter"]);
    press(&ann, "close-report");

    // Both search, nobody else is there, and still they do not meet.
    for window in [&ann, &ben] {
        press(window, "search-again");
        window.wait_for_screen("waiting").expect("a search");
    }

    wait_until("both search", TIMEOUT, || {
        (searching(&server) == Some(2)).then_some(())
    })
    .expect("the server does not match them");
    // Two who have just left each other are kept apart, too, but for 10 s only.
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(searching(&server), Some(2), "they are still apart");
    let mut cleo = WireClient::connect(server.address()).expect("a third client");
    cleo.send(&json!({ "type": "find_partner", "userName": "Cleo" }))
        .expect("it searches");
    let found = cleo.receive("partner_found").expect("it meets one of them");
    assert!(
        ["Ann", "Ben"]
            .map(Some)
            .contains(&found["userName"].as_str()),
        "{found}"
    );
    wait_until("the other one still searches", TIMEOUT, || {
        (searching(&server) == Some(1)).then_some(())
    })
    .expect("one is left");
}

#[test]
fn nothing_is_sent_while_the_window_cannot_show_who_was_found() {
    require!(Part::Window);
    require!(Part::WindowManager);
    let server = ServerProcess::start().expect("the server starts");
    let screen = Screen::start_managed().expect("Xvfb and its window manager start");
    let ann = open(&screen, &server, "Ann");
    with_consent(&ann);
    press(&ann, "find-partner");
    ann.wait_for_screen("waiting").expect("a search");
    // Even if the user wants to be seen at once.
    press(&ann, "camera");
    wait_for_state(&ann, "/settings/strangerCamera", &json!(true));

    let url = server.url();
    let partner = || {
        let arguments = [
            &TEST_MEDIA[..],
            &SMALL,
            &["--signaling", &url, "--wait", "60s", "--duration", "4s"],
        ]
        .concat();
        Tandem::start(arguments).expect("tandem starts")
    };
    let received = |partner: Tandem| {
        let outcome = partner
            .finish(Duration::from_secs(90))
            .expect("it ends by itself");
        let count = |pointer: &str| {
            let figure = outcome.report.pointer(pointer);
            figure.and_then(Value::as_u64).unwrap_or(0)
        };
        assert!(
            count("/timingsMs/connected") > 0 && count("/video/sent/frames") > 30,
            "they were connected, and the partner sent: {}",
            outcome.report
        );
        (
            count("/video/received/packets"),
            count("/video/received/frames"),
            count("/audio/received/packets"),
        )
    };

    ann.minimize().expect("the window can be minimized");
    let first = partner();
    wait_for_state(&ann, "/screen/kind", &json!("inCall"));
    assert_eq!(state(&ann, "/stranger/shown"), false);
    assert_eq!(received(first), (0, 0, 0), "packets, frames, audio packets");

    // The next one, with the window in view.
    ann.wait_for_screen("ended").expect("the partner has left");
    ann.restore().expect("it comes back");
    press(&ann, "search-again");
    ann.wait_for_screen("waiting").expect("a search");
    let second = partner();
    ann.wait_for_screen("in-call").expect("they meet");
    let (packets, frames, audio) = received(second);
    assert!(
        packets > 0 && frames > 30 && audio > 50,
        "{packets} packets, {frames} frames, {audio} audio packets"
    );
}

/// One of two servers that share a Redis, and the socket for its operator.
struct Node {
    server: ServerProcess,
    socket: PathBuf,
}

impl Node {
    /// Listens on this address, with its files in `folder`.
    fn start(name: &str, address: &str, folder: &Path, redis: &Redis) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let mut command = Command::new(built("tandem-signaling"));
        command
            .args(["--listen", address, "--redis", &redis.url()])
            .arg("--reports")
            .arg(folder.join(format!("{name}.jsonl")))
            .arg("--peer-key")
            .arg(folder.join("peer.key"))
            .arg("--admin-socket")
            .arg(&socket);
        let server = ServerProcess::start_command(command).expect("the server starts");
        server.wait_until_ready().expect("it finds Redis");
        Self { server, socket }
    }

    /// What `tandem-signaling admin` answers to these words.
    fn admin(&self, words: &[&str]) -> Value {
        let mut command = Command::new(built("tandem-signaling"));
        command.args(["admin", "--json", "--socket"]);
        let output = command.arg(&self.socket).args(words).output();
        let output = output.expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// Their addresses differ in family, so the two are different people to the servers.
#[test]
fn a_report_in_the_window_leads_to_a_ban_that_holds_on_the_other_server() {
    require!(Part::Window);
    require!(Part::Redis);
    let folder = tempfile::tempdir().expect("a folder");
    let redis = Redis::start().expect("Redis starts");
    let here = Node::start("here", "[::]:0", folder.path(), &redis);
    let elsewhere = Node::start("elsewhere", "[::1]:0", folder.path(), &redis);
    let screens = [Screen::start(), Screen::start()].map(|screen| screen.expect("Xvfb starts"));
    let port = here.server.address().port();
    let ann = open_at(&screens[0], &format!("ws://[::1]:{port}/ws"), "Ann");
    let ben = open_at(&screens[1], &format!("ws://127.0.0.1:{port}/ws"), "Ben");
    for window in [&ann, &ben] {
        with_consent(window);
        press(window, "find-partner");
    }

    for window in [&ann, &ben] {
        window.wait_for_screen("in-call").expect("they meet");
        wait_for_state(window, "/stranger/shown", &json!(true));
    }

    press(&ben, "report");
    press(&ben, "report-harassment");
    wait_for_state(&ben, "/stranger/report", &json!("sent"));
    let reports = here.admin(&["reports"]);
    let report = &reports[0];
    assert_eq!(report["category"], "harassment", "{reports}");
    let id = report["reportId"].as_str().expect("an id");
    let peer = report["reported"]["peer"].as_str().expect("who it is");

    let answer = here.admin(&["ban", id, "--for", "1h"]);
    assert_eq!(answer["shared"], true, "{answer}");
    ben.wait_for_screen("ended").expect("the call ends");
    ann.wait_for_screen("ended").expect("hers ends, too");
    assert_eq!(
        state(&ann, "/screen/reason"),
        "BANNED",
        "not a lost partner"
    );
    let banned = json!("SIGNALING_BANNED");
    wait_for_state(&ann, "/server/cause", &banned);
    assert_eq!(state(&ben, "/server/status"), "connected");

    // Also at the other server, with a new start of her program.
    let home = ann.close().expect("it ends");
    let ann = open_as(home, &screens[0], &elsewhere.server.url(), "Ann");
    wait_for_state(&ann, "/server/cause", &banned);

    here.admin(&["unban", peer]);
    here.admin(&["close", id, "--note", "one hour"]);
    assert_eq!(here.admin(&["reports"]), json!([]));
    wait_until("the ban is lifted at the other server", TIMEOUT, || {
        (elsewhere.admin(&["bans"]) == json!([])).then_some(())
    })
    .expect("they share bans");
}
