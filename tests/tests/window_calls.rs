//! Two people with a window each: they find each other, talk, and part in every way there is.

#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::window::{PATIENCE, TEST_MEDIA};
use tandem_tests::{Part, Screen, ServerProcess, Tandem, Window, require};

/// A small picture: what is tested is not how fast this machine is.
const SMALL: [&str; 2] = ["--size", "640x360"];

/// Opens a window with test picture and sound that knows the relay at `url`.
fn open(screen: &Screen, url: &str, name: &str) -> Window {
    let arguments = [
        &TEST_MEDIA[..],
        &SMALL,
        &["--signaling", url, "--name", name],
    ]
    .concat();
    Window::open(screen, &arguments)
        .unwrap_or_else(|error| panic!("{name}'s window opens: {error:#}"))
}

/// Brings two windows into a call by a room's code.
fn connect(windows: [&Window; 2], code: &str) {
    for window in windows {
        call_with_code(window, code);
    }

    for window in windows {
        window
            .wait_for_screen("in-call")
            .expect("they find each other");
    }
}

fn call_with_code(window: &Window, code: &str) {
    window
        .wait_for_screen("lobby")
        .expect("a window opens in the lobby");
    window
        .fill("#room-code", code)
        .expect("a code can be typed");
    window.press("call-with-code").expect("and used");
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the app tells it");
}

#[test]
fn two_windows_find_each_other_and_see_each_other() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );

    for window in [&ann, &bea] {
        window
            .wait_for_pictures("#local", 3)
            .expect("a preview in the lobby");
        window.press("find-partner").expect("the large button");
    }

    for (window, partner) in [(&ann, "Bea"), (&bea, "Ann")] {
        window
            .wait_for_screen("in-call")
            .expect("they find each other");
        let (first, last) = window
            .wait_for_pictures("#remote", 30)
            .expect("the other's picture moves");
        assert!(
            last.unix_ms.wrapping_sub(first.unix_ms) < 0x8000_0000,
            "and time goes forward in it"
        );

        assert!(
            window.text("main").expect("a page").contains(partner),
            "{partner}'s name is shown"
        );

        window
            .wait_for_element("[data-badge=\"encrypted\"]")
            .expect("the call says that it is encrypted");
        wait_for_state(window, "/screen/encrypted", &json!(true));
        wait_for_state(window, "/screen/route", &json!("direct"));
        wait_for_state(window, "/screen/quality", &json!(3));
        window
            .wait_for_element("[data-badge=\"quality\"]")
            .expect("and how good it is");
        let badge = window.text("[data-badge=\"quality\"]").expect("a badge");

        assert_eq!(badge.trim(), "Good", "nothing is lost on loopback");
        window
            .wait_for_pictures("#local", 3)
            .expect("the own picture goes on");
    }

    ann.press("hang-up").expect("the red button");
    ann.wait_for_screen("ended").expect("the call is over here");
    bea.wait_for_screen("ended").expect("and there");

    assert_eq!(
        bea.state().expect("a state")["screen"]["reason"],
        "PARTNER_LEFT",
        "she knows why"
    );

    assert_eq!(
        ann.state().expect("a state")["screen"]["reason"],
        "HUNG_UP",
        "so does she"
    );

    bea.press("to-lobby").expect("back");
    bea.wait_for_screen("lobby").expect("in the lobby");
    bea.wait_for_pictures("#local", 3).expect("with a preview");
}

#[test]
fn mute_and_camera_off_in_a_call() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );
    connect([&ann, &bea], "mute");
    bea.wait_for_pictures("#remote", 3).expect("Ann is seen");
    ann.press("mute").expect("a button");
    wait_for_state(&ann, "/screen/muted", &json!(true));
    ann.key("m").expect("a key");
    wait_for_state(&ann, "/screen/muted", &json!(false));
    ann.press("camera").expect("a button");
    wait_for_state(&ann, "/screen/cameraOn", &json!(false));
    let frozen = || {
        let before = bea.picture("#remote").ok()?;
        std::thread::sleep(Duration::from_millis(700));
        (bea.picture("#remote").ok()? == before).then_some(())
    };

    wait_until("no more pictures of Ann", PATIENCE, frozen).expect("off is off");
    ann.key("v").expect("a key");
    wait_for_state(&ann, "/screen/cameraOn", &json!(true));
    bea.wait_for_pictures("#remote", 10)
        .expect("Ann is seen again");
}

#[test]
fn next_leaves_the_partner_and_finds_another() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );
    connect([&ann, &bea], "next");
    ann.press("next").expect("a button");
    bea.wait_for_screen("ended").expect("Bea was left");
    ann.wait_for_screen("waiting")
        .expect("Ann looks for somebody else");
    let url = relay.url();
    let bot = [
        "--signaling",
        &url,
        "--room",
        "next",
        "--name",
        "Cleo",
        "--size",
        "640x360",
        "--speaker",
        "none",
    ];
    let bot = Tandem::start(bot).expect("a third person");
    ann.wait_for_screen("in-call").expect("and finds them");
    ann.wait_for_pictures("#remote", 10).expect("and sees them");

    assert!(
        ann.text("main").expect("a page").contains("Cleo"),
        "by their name"
    );

    ann.press("hang-up").expect("a button");
    let outcome = bot.finish(PATIENCE).expect("the bot's call ends with it");
    outcome.assert_ok("the bot");
}

#[test]
fn closing_the_window_ends_the_call_for_the_partner_at_once() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );
    connect([&ann, &bea], "close");
    ann.close().expect("the app ends when its window is closed");
    bea.wait_for_screen("ended").expect("Bea is told");

    assert_eq!(
        bea.state().expect("a state")["screen"]["reason"],
        "PARTNER_LEFT",
        "told by a farewell, not found out by silence"
    );
}

#[test]
fn a_page_that_is_loaded_again_comes_back_to_the_call() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );
    connect([&ann, &bea], "reload");
    ann.wait_for_pictures("#remote", 3).expect("Bea is seen");
    ann.press("mute").expect("a button");
    wait_for_state(&ann, "/screen/muted", &json!(true));
    ann.reload().expect("the page is loaded again");
    ann.wait_for_screen("in-call")
        .expect("the call has gone on");
    ann.wait_for_pictures("#remote", 10)
        .expect("with its pictures");

    assert_eq!(
        ann.state().expect("a state")["screen"]["muted"],
        true,
        "and as it was"
    );

    assert_eq!(
        bea.screen().expect("a page"),
        "in-call",
        "Bea noticed nothing"
    );
}

#[test]
fn a_wrong_code_finds_nobody_and_a_nonsense_code_is_refused_in_place() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );

    let (ann, bea) = (
        open(&screen, &relay.url(), "Ann"),
        open(&screen, &relay.url(), "Bea"),
    );
    call_with_code(&ann, "red");
    call_with_code(&bea, "blue");

    for window in [&ann, &bea] {
        window.wait_for_screen("waiting").expect("each waits");
        wait_for_state(window, "/relay/status", &json!("connected"));
    }

    bea.press("cancel").expect("a button");
    call_with_code(&bea, "red");

    for window in [&ann, &bea] {
        window
            .wait_for_screen("in-call")
            .expect("the right code brings them together");
    }

    bea.press("hang-up").expect("a button");
    bea.wait_for_screen("ended").expect("the end");
    let refusal = bea
        .command("callWithCode", &json!({ "code": "no spaces <b>" }))
        .expect("an answer");

    assert_eq!(
        refusal.expect_err("refused")["code"],
        "BAD_ROOM",
        "what no relay would take"
    );
}

#[test]
fn a_call_outlives_its_relay_and_a_search_finds_it_again() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let relay = ServerProcess::start().expect("a relay");
    let (url, address) = (relay.url(), relay.address().to_string());
    let (ann, bea) = (open(&screen, &url, "Ann"), open(&screen, &url, "Bea"));
    connect([&ann, &bea], "down");
    drop(relay);
    wait_for_state(&ann, "/screen/relayLost", &json!(true));
    ann.wait_for_pictures("#remote", 10)
        .expect("picture and sound need no relay");
    let _again = ServerProcess::start_at(&address).expect("the relay is back in its place");
    wait_for_state(&ann, "/screen/relayLost", &json!(false));
    wait_for_state(&bea, "/screen/relayLost", &json!(false));

    assert_eq!(
        ann.screen().expect("a page"),
        "in-call",
        "the call has gone on"
    );

    ann.press("hang-up").expect("a button");
    ann.wait_for_screen("ended").expect("over");
}

#[test]
fn a_relay_that_is_not_there_is_said_and_can_be_tried_again() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    let relay = ServerProcess::start().expect("a relay");
    let (url, address) = (relay.url(), relay.address().to_string());
    drop(relay);
    let ann = open(&screen, &url, "Ann");
    ann.press("find-partner").expect("a button");
    ann.wait_for_screen("ended").expect("nobody answers");

    assert_eq!(
        ann.state().expect("a state")["screen"]["reason"],
        "RELAY_UNREACHABLE",
        "it says why"
    );

    let _relay = ServerProcess::start_at(&address).expect("the relay comes up");
    ann.press("search-again").expect("a button");
    wait_for_state(&ann, "/relay/status", &json!("connected"));
    ann.wait_for_screen("waiting").expect("now it searches");
}

#[test]
fn a_window_calls_a_headless_peer() {
    require!(Part::Window);
    let (screen, relay) = (
        Screen::start().expect("a screen"),
        ServerProcess::start().expect("a relay"),
    );
    let url = relay.url();
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
    let bot = Tandem::start(bot).expect("a headless peer");
    let ann = open(&screen, &url, "Ann");
    call_with_code(&ann, "bot");
    ann.wait_for_screen("in-call")
        .expect("they find each other");
    ann.wait_for_pictures("#remote", 30)
        .expect("the bot is seen");
    let outcome = bot.finish(PATIENCE).expect("its time is over");
    outcome.assert_ok("the bot");

    assert!(
        outcome.figure("/video/received/frames") > 30.0,
        "and it saw the window's picture"
    );

    ann.wait_for_screen("ended")
        .expect("the call is over here, too");
}

#[test]
fn one_window_hosts_the_relay_and_the_other_joins_by_its_address() {
    require!(Part::Window);
    let screen = Screen::start().expect("a screen");
    // Neither knows a relay: nothing listens there.
    let (ann, bea) = (
        open(&screen, "ws://127.0.0.1:1/ws", "Ann"),
        open(&screen, "ws://127.0.0.1:1/ws", "Bea"),
    );
    ann.command("startHost", &json!({ "lan": false }))
        .expect("an answer")
        .expect("a relay starts in the app");
    wait_for_state(&ann, "/host/status", &json!("on"));
    let address = ann.state().expect("a state")["host"]["addresses"][0]
        .as_str()
        .expect("an address")
        .to_owned();
    bea.command("setServerUrl", &json!({ "url": address }))
        .expect("an answer")
        .expect("the address is fine");
    connect([&ann, &bea], "lan");
    ann.wait_for_pictures("#remote", 10).expect("Bea is seen");
    bea.wait_for_pictures("#remote", 10).expect("Ann is seen");
    bea.press("hang-up").expect("a button");
    ann.wait_for_screen("ended").expect("over");
}
