//! Calls between two windows: how they start, what users can do in them, and all the ways in which
//! they end.

#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Part, Screen, ServerProcess, Tandem, Window, require};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];

/// Opens a window with test video and audio that uses the signaling server at `url`.
fn open(screen: &Screen, url: &str, name: &str) -> Window {
    let arguments = [
        &TEST_MEDIA[..],
        &SMALL,
        &["--signaling", url, "--name", name],
    ]
    .concat();
    let home = Home::new()
        .and_then(Home::having_met_strangers)
        .expect("a folder for the user");
    Window::open_as(home, screen, &arguments)
        .unwrap_or_else(|error| panic!("{name}'s window opens: {error:#}"))
}

/// Has strangers see the user's address: the servers here can't hide it, and a question would come first.
fn without_hiding(window: &Window) {
    let answer = window.command("setStrangerRelay", &json!({ "on": false }));
    let answer = answer.expect("the page answers");
    answer.expect("it can be switched off");
}

/// Connects two windows with each other by a room's code.
fn connect(windows: [&Window; 2], code: &str) {
    for window in windows {
        call_with_code(window, code);
    }

    for window in windows {
        window
            .wait_for_screen("in-call")
            .expect("the two are matched and connect");
    }
}

fn call_with_code(window: &Window, code: &str) {
    window
        .wait_for_screen("lobby")
        .expect("the window opens in the lobby");
    window
        .fill("#room-code", code)
        .expect("the code can be typed");
    window.press("call-with-code").expect("the button is there");
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the state changes");
}

#[test]
fn two_windows_find_and_see_each_other() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );

    for window in [&ann, &bea] {
        window
            .wait_for_frames("#local", 3)
            .expect("the lobby shows a preview");
        without_hiding(window);
        window.press("find-partner").expect("the button is there");
    }

    for (window, partner) in [(&ann, "Bea"), (&bea, "Ann")] {
        window
            .wait_for_screen("in-call")
            .expect("the two are matched and connect");
        let (first, last) = window
            .wait_for_frames("#remote", 30)
            .expect("the partner's video moves");
        assert!(
            last.unix_ms.wrapping_sub(first.unix_ms) < 0x8000_0000,
            "time moves forward in the partner's video"
        );
        assert!(
            window
                .text("main")
                .expect("the page answers")
                .contains(partner),
            "{partner}'s name is shown"
        );

        window.press("call-details").expect("the button is there");
        window
            .wait_for_element("[data-badge=\"encrypted\"]")
            .expect("the details say that the call is encrypted");
        wait_for_state(window, "/screen/encrypted", &json!(true));
        wait_for_state(window, "/screen/route", &json!("direct"));
        wait_for_state(window, "/screen/quality", &json!(3));
        window
            .wait_for_element("[data-badge=\"quality\"]")
            .expect("a badge shows the quality");
        let badge = window
            .text("[data-badge=\"quality\"]")
            .expect("the page answers");
        assert_eq!(badge.trim(), "Good", "nothing is lost on loopback");

        window
            .wait_for_frames("#local", 3)
            .expect("the local video keeps moving");
    }

    ann.press("hang-up").expect("the button is there");
    ann.wait_for_screen("ended")
        .expect("the call is over for Ann");
    bea.wait_for_screen("ended")
        .expect("the call is over for Bea");

    assert_eq!(
        bea.state().expect("the app answers")["screen"]["reason"],
        "PARTNER_LEFT",
        "Bea sees that her partner left"
    );
    assert_eq!(
        ann.state().expect("the app answers")["screen"]["reason"],
        "HUNG_UP",
        "Ann sees that she hung up"
    );

    bea.press("to-lobby").expect("the button is there");
    bea.wait_for_screen("lobby")
        .expect("Bea is back in the lobby");
    bea.wait_for_frames("#local", 3)
        .expect("the preview is back");
}

#[test]
fn buttons_and_keys_mute_and_switch_the_camera_off() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );
    connect([&ann, &bea], "mute");

    bea.wait_for_frames("#remote", 3).expect("Bea sees Ann");
    ann.press("mute").expect("the button is there");
    wait_for_state(&ann, "/screen/muted", &json!(true));
    ann.key("m").expect("the page takes the key");
    wait_for_state(&ann, "/screen/muted", &json!(false));
    ann.press("camera").expect("the button is there");
    wait_for_state(&ann, "/screen/cameraOn", &json!(false));
    let is_frozen = || {
        let before = bea.frame_code("#remote").ok()?;
        std::thread::sleep(Duration::from_millis(700));
        (bea.frame_code("#remote").ok()? == before).then_some(())
    };

    wait_until("Ann's video stops", TIMEOUT, is_frozen)
        .expect("no frames are sent while the camera is off");
    ann.key("v").expect("the page takes the key");
    wait_for_state(&ann, "/screen/cameraOn", &json!(true));
    bea.wait_for_frames("#remote", 10)
        .expect("Bea sees Ann again");
}

#[test]
fn next_ends_the_call_and_finds_another_partner() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );
    // With a stranger: to someone with the same code, it would only return.
    for window in [&ann, &bea] {
        without_hiding(window);
        window.press("find-partner").expect("the button is there");
    }
    for window in [&ann, &bea] {
        window
            .wait_for_screen("in-call")
            .expect("the two are matched and connect");
    }

    ann.press("next").expect("the button is there");
    bea.wait_for_screen("ended")
        .expect("the call is over for Bea");
    ann.wait_for_screen("waiting")
        .expect("Ann searches for another partner");
    let url = server.url();
    let bot = [
        "--signaling",
        &url,
        "--name",
        "Cleo",
        "--size",
        "640x360",
        "--speaker",
        "none",
    ];
    let bot = Tandem::start(bot).expect("tandem starts");
    ann.wait_for_screen("in-call")
        .expect("Ann is matched with the bot");
    ann.wait_for_frames("#remote", 10)
        .expect("Ann sees the bot");

    assert!(
        ann.text("main").expect("the page answers").contains("Cleo"),
        "the page shows the bot's name"
    );

    ann.press("hang-up").expect("the button is there");
    let outcome = bot
        .finish(TIMEOUT)
        .expect("the bot exits when Ann hangs up");
    outcome.assert_ok("the bot");
}

#[test]
fn closing_the_window_ends_the_call_for_the_partner_at_once() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );
    connect([&ann, &bea], "close");

    ann.close()
        .expect("the app exits when its window is closed");
    bea.wait_for_screen("ended")
        .expect("the call is over for Bea");

    assert_eq!(
        bea.state().expect("the app answers")["screen"]["reason"],
        "PARTNER_LEFT",
        "Bea was notified instead of running into a timeout"
    );
}

#[test]
fn reloading_the_page_returns_to_the_call() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );
    connect([&ann, &bea], "reload");

    ann.wait_for_frames("#remote", 3).expect("Ann sees Bea");
    ann.press("mute").expect("the button is there");
    wait_for_state(&ann, "/screen/muted", &json!(true));
    ann.reload().expect("the page reloads");
    ann.wait_for_screen("in-call")
        .expect("the page shows the call again");
    ann.wait_for_frames("#remote", 10)
        .expect("the partner's video keeps moving");

    assert_eq!(
        ann.state().expect("the app answers")["screen"]["muted"],
        true,
        "Ann is still muted"
    );
    assert_eq!(
        bea.screen().expect("the page answers"),
        "in-call",
        "the call continues for Bea"
    );
}

#[test]
fn different_codes_do_not_match_and_an_invalid_code_is_refused() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );

    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );
    call_with_code(&ann, "red");
    call_with_code(&bea, "blue");

    for window in [&ann, &bea] {
        window
            .wait_for_screen("waiting")
            .expect("nobody is matched");
        wait_for_state(window, "/server/status", &json!("connected"));
    }

    bea.press("cancel").expect("the button is there");
    call_with_code(&bea, "red");

    for window in [&ann, &bea] {
        window
            .wait_for_screen("in-call")
            .expect("the same code connects them");
    }

    bea.press("hang-up").expect("the button is there");
    bea.wait_for_screen("ended").expect("the call is over");
    let refusal = bea
        .command("callWithCode", &json!({ "code": "no spaces <b>" }))
        .expect("the app answers");
    assert_eq!(
        refusal.expect_err("the code is invalid")["code"],
        "BAD_ROOM",
        "the app refuses a code that no server would accept"
    );
}

#[test]
fn a_call_outlives_its_server_and_reconnects_to_it() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let (url, address) = (server.url(), server.address().to_string());
    let (ann, bea) = (open(&screen, &url, "Ann"), open(&screen, &url, "Bea"));
    connect([&ann, &bea], "down");

    drop(server);
    wait_for_state(&ann, "/screen/serverLost", &json!(true));
    ann.wait_for_frames("#remote", 10)
        .expect("video keeps moving without the server");
    let _restarted = ServerProcess::start_at(&address).expect("the server starts again");
    wait_for_state(&ann, "/screen/serverLost", &json!(false));
    wait_for_state(&bea, "/screen/serverLost", &json!(false));

    assert_eq!(
        ann.screen().expect("the page answers"),
        "in-call",
        "the call continues"
    );

    ann.press("hang-up").expect("the button is there");
    ann.wait_for_screen("ended").expect("the call is over");
}

#[test]
fn an_unreachable_server_is_reported_and_the_search_can_be_retried() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let (url, address) = (server.url(), server.address().to_string());
    drop(server);
    let ann = open(&screen, &url, "Ann");
    // The other two ways to call are switched off while the server cannot be reached.
    call_with_code(&ann, "alone");
    ann.wait_for_screen("ended").expect("the search fails");

    assert_eq!(
        ann.state().expect("the app answers")["screen"]["reason"],
        "RELAY_UNREACHABLE",
        "the screen says that the server cannot be reached"
    );

    let _server = ServerProcess::start_at(&address).expect("the server starts again");
    ann.press("search-again").expect("the button is there");
    wait_for_state(&ann, "/server/status", &json!("connected"));
    ann.wait_for_screen("waiting")
        .expect("the search works now");
}

#[test]
fn a_window_calls_a_headless_peer() {
    require!(Part::Window);
    let (screen, server) = (
        Screen::start().expect("Xvfb starts"),
        ServerProcess::start().expect("the server starts"),
    );
    let url = server.url();
    let bot = [
        "--signaling",
        &url,
        "--room",
        "bot",
        "--size",
        "640x360",
        "--speaker",
        "none",
        "--duration",
        "5s",
    ];
    let bot = Tandem::start(bot).expect("tandem starts");
    let ann = open(&screen, &url, "Ann");
    call_with_code(&ann, "bot");
    ann.wait_for_screen("in-call")
        .expect("the two are matched and connect");
    ann.wait_for_frames("#remote", 30)
        .expect("Ann sees the bot");
    let outcome = bot.finish(TIMEOUT).expect("the bot exits after its 5 s");
    outcome.assert_ok("the bot");

    assert!(
        outcome.figure("/video/received/frames") > 30.0,
        "the bot received the window's video"
    );

    ann.wait_for_screen("ended")
        .expect("the call is over for Ann too");
}

#[test]
fn one_window_hosts_the_server_and_the_other_joins_by_its_address() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    // At first neither has a server: nothing listens at this address.
    let (ann, bea) = (
        open(&screen, "ws://127.0.0.1:1/ws", "Ann"),
        open(&screen, "ws://127.0.0.1:1/ws", "Bea"),
    );
    ann.command("startHost", &json!({ "lan": false }))
        .expect("the app answers")
        .expect("the app starts a server");
    wait_for_state(&ann, "/host/status", &json!("on"));
    let address = ann.state().expect("the app answers")["host"]["addresses"][0]
        .as_str()
        .expect("the hosted server has an address")
        .to_owned();
    bea.command("setServerUrl", &json!({ "url": address }))
        .expect("the app answers")
        .expect("the app accepts the address");
    connect([&ann, &bea], "lan");

    ann.wait_for_frames("#remote", 10).expect("Ann sees Bea");
    bea.wait_for_frames("#remote", 10).expect("Bea sees Ann");
    bea.press("hang-up").expect("the button is there");
    ann.wait_for_screen("ended").expect("the call is over");
}
