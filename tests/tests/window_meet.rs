//! Two people who installed Tandem meet: an invite by link, a ring, an answer, and another call.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tandem_tests::process::{built, wait_until};
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{
    Part, Process, PulseAudio, Screen, SecureServer, ServerProcess, Window, require,
};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];
/// Louder than silence, softer than a ring.
const HEARD: f32 = 0.01;

/// Opens the window of a user with a token for the server.
fn open(screen: &Screen, server: &SecureServer, home: Home, name: &str) -> Window {
    let arguments = server
        .arguments(&home, name)
        .expect("the token can be written");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let arguments = [&TEST_MEDIA[..], &SMALL, &arguments].concat();
    let window = Window::open_as(home, screen, &arguments).expect("the window opens");
    window
        .wait_for_state("/server/status", &json!("connected"))
        .expect("the lobby shows that the server can be reached");
    window
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Makes an invite and returns its link, as the user would copy it.
fn invite(window: &Window) -> String {
    window.press("invite").expect("the button is there");
    // A tandem: link has no scheme, so it cannot say that this name has TLS.
    window
        .wait_for_element("#invite-web-link")
        .expect("the invite is shown");
    window.text("#invite-web-link").expect("the page answers")
}

/// Starts Tandem once more as the user of `window`, with a link that was clicked elsewhere.
fn click_link(screen: &Screen, window: &Window, link: &str) {
    let mut command = Command::new(built("tandem"));
    command
        .arg(link)
        .envs(screen.environment())
        .envs(window.home().environment());
    let code = Process::start(command)
        .and_then(|mut second| second.wait(TIMEOUT))
        .expect("the second instance ends");
    assert_eq!(code, Some(0), "it hands the link over");
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the state changes");
}

/// Waits until somebody rings, and returns the name that is shown.
fn wait_for_ring(window: &Window) -> String {
    window
        .wait_for_element(".incoming")
        .expect("the window shows who rings");
    window.text(".incoming h2").expect("the page answers")
}

#[test]
fn two_people_meet_by_a_link_and_call_again() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = SecureServer::start().expect("the server starts");
    let home = || Home::new().expect("a folder");
    let ann = open(&screen, &server, home(), "Ann");
    let bea = open(&screen, &server, home(), "Bea");

    let link = invite(&ann);
    click_link(&screen, &bea, &link);
    bea.wait_for_element("[data-action=join-opened]")
        .expect("the window shows where the link leads");
    let shown = bea.text(".opened").expect("the page answers");
    assert!(shown.contains("localhost"), "the server is named: {shown}");
    assert_eq!(
        bea.state().expect("the app answers")["screen"]["kind"],
        "lobby",
        "nothing happens without a click"
    );
    assert_eq!(
        ann.state().expect("the app answers")["incoming"],
        Value::Null
    );

    bea.press("join-opened").expect("the button is there");
    assert_eq!(wait_for_ring(&ann), "Bea");
    wait_for_state(&bea, "/screen/ringing", &json!(true));
    assert_eq!(
        ann.state().expect("the app answers")["screen"]["kind"],
        "lobby",
        "Ann is not live before she answers"
    );

    ann.press("accept-call").expect("the button is there");
    for (window, partner) in [(&ann, "Bea"), (&bea, "Ann")] {
        window.wait_for_screen("in-call").expect("the two connect");
        window
            .wait_for_frames("#remote", 10)
            .expect("the partner's video moves");
        wait_for_state(window, "/screen/partner/name", &json!(partner));
        assert!(
            !window
                .is_shown("[data-action=next]")
                .expect("the page answers"),
            "two who know each other are not strangers"
        );
        wait_for_state(window, "/recents/0/name", &json!(partner));
    }

    ann.press("hang-up").expect("the button is there");
    for window in [&ann, &bea] {
        window.wait_for_screen("ended").expect("the call is over");
        wait_for_state(window, "/server/status", &json!("connected"));
    }

    // The invite is used up, but the two have found each other.
    bea.press("search-again").expect("Bea can call again");
    assert_eq!(wait_for_ring(&ann), "Bea", "also on the last screen");
    ann.press("decline-call").expect("the button is there");
    bea.wait_for_screen("ended").expect("Bea is told");
    wait_for_state(&bea, "/screen/reason", &json!("DECLINED"));

    // The other way round, from the list, after a restart.
    let home = ann.close().expect("the window closes");
    let ann = open(&screen, &server, home, "Ann");
    bea.press("to-lobby").expect("the button is there");
    wait_for_state(&ann, "/recents/0/name", &json!("Bea"));
    ann.press("call-again").expect("the button is there");
    assert_eq!(wait_for_ring(&bea), "Ann");
    bea.press("accept-call").expect("the button is there");
    for window in [&ann, &bea] {
        window.wait_for_screen("in-call").expect("the two connect");
    }

    // One who is not there is told as such.
    ann.press("hang-up").expect("the button is there");
    ann.wait_for_screen("ended").expect("the call is over");
    bea.close().expect("the window closes");
    ann.press("search-again").expect("the button is there");
    wait_for_state(&ann, "/screen/reason", &json!("NO_SUCH_ROOM"));
}

#[test]
fn the_ring_is_heard_until_it_is_answered() {
    require!(Part::Window, Part::PulseAudio);
    let screen = Screen::start().expect("Xvfb starts");
    let server = SecureServer::start().expect("the server starts");
    let pulse = PulseAudio::start().expect("PulseAudio starts");
    let home = Home::new().expect("a folder").with_sound_server(&pulse);
    let ann = open(&screen, &server, home, "Ann");
    let bea = open(&screen, &server, Home::new().expect("a folder"), "Bea");

    // Ann's calls play nothing, but it rings on a speaker.
    ann.command(
        "setRing",
        &json!({ "speaker": pulse_speaker(&ann), "volume": 100 }),
    )
    .expect("the page answers")
    .expect("the speaker is there");

    let heard = pulse.record("headphones").expect("the sink is recorded");
    let link = invite(&ann);
    bea.paste("#room-code", &link)
        .expect("a link can be pasted");
    bea.press("call-with-code").expect("the button is there");
    bea.press("join-opened").expect("the button is there");
    wait_for_ring(&ann);
    heard.wait_for_sound(HEARD).expect("it rings");

    bea.press("cancel").expect("the button is there");
    wait_until("Ann's window falls silent", TIMEOUT, || {
        let state = ann.state().ok()?;
        state["incoming"].is_null().then_some(())
    })
    .expect("Bea gave up");
}

/// The id of the speaker called headphones, once it is listed.
fn pulse_speaker(window: &Window) -> Value {
    let speaker = || {
        let state = window.state().ok()?;
        let speakers = state["devices"]["speakers"].as_array()?.clone();
        let is_headphones = |speaker: &&Value| speaker["id"].as_str() == Some("headphones");
        speakers
            .iter()
            .find(is_headphones)
            .map(|found| found["id"].clone())
    };
    wait_until("the speaker is listed", TIMEOUT, speaker).expect("the sound server's devices")
}

#[test]
fn the_first_start_explains_the_ways_to_call_and_asks_for_what_is_missing() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let window = Window::open(&screen, &TEST_MEDIA).expect("the window opens");
    window
        .wait_for_element("[data-action=way-invite]")
        .expect("three ways to call");

    window.press("way-invite").expect("the button is there");
    window
        .fill("#setup-server-url", &server.url())
        .expect("it asks for a server");
    window.press("use-server").expect("the button is there");
    window
        .wait_for_element("#invite-app-link")
        .expect("and then goes on with the invite");

    let home = window.close().expect("the window closes");
    let window = Window::open_as(home, &screen, &TEST_MEDIA).expect("it opens again");
    wait_for_state(&window, "/server/status", &json!("connected"));
    assert!(
        !window
            .is_shown("[data-action=way-invite]")
            .expect("the page answers"),
        "the question is asked once"
    );
}

#[test]
fn a_private_server_is_reached_with_what_is_entered_in_the_settings() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = SecureServer::start().expect("the server starts");
    let home = Home::new().expect("a folder");
    let settings = home.settings();
    let saved_token = settings.with_file_name("token.json");
    let window = Window::open_as(home, &screen, &TEST_MEDIA).expect("the window opens");

    window.press("settings").expect("the button is there");
    window
        .fill("#server-url", &server.address())
        .expect("the settings ask for a server");
    wait_for_state(&window, "/server/cause", &json!("SIGNALING_TLS_UNTRUSTED"));

    // What may help is opened by itself.
    window
        .paste("#ca-file", text(&settings))
        .expect("there is a place for certificates");
    window
        .wait_for_element(".server-access [data-problem=CA_FILE_INVALID]")
        .expect("a file without certificates is told at once");
    window
        .paste("#ca-file", text(server.authority_file()))
        .expect("the path can be corrected");
    wait_for_state(&window, "/server/cause", &json!("SIGNALING_TOKEN_NEEDED"));

    let secret = server.token("Ann");
    window
        .paste("#token", &secret)
        .expect("and one for a token");
    window.press("save-token").expect("the button is there");
    wait_for_state(&window, "/server/status", &json!("connected"));
    let shown = window.text(".token-saved").expect("the page answers");
    assert!(shown.contains("localhost"), "for which server: {shown}");

    let state = window.state().expect("the app answers").to_string();
    assert!(!state.contains(&secret), "the page never gets it back");
    let home = window.close().expect("the window closes");
    let shared = fs::read_to_string(&settings).expect("the settings are saved");
    assert!(!shared.contains(&secret), "people show this file to others");
    let mode = fs::metadata(&saved_token)
        .expect("the token is saved")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "only its owner can read it");

    let window = Window::open_as(home, &screen, &TEST_MEDIA).expect("it opens again");
    wait_for_state(&window, "/server/status", &json!("connected"));
    window.press("settings").expect("the button is there");
    window.press("forget-token").expect("the button is there");
    wait_for_state(&window, "/server/cause", &json!("SIGNALING_TOKEN_NEEDED"));
    wait_until("the token's file is removed", TIMEOUT, || {
        (!saved_token.exists()).then_some(())
    })
    .expect("nothing is left of it");
}

#[test]
fn a_server_that_the_administrator_set_is_used_and_not_copied() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let settings = json!({ "version": 1, "serverUrl": server.url() });
    let home = Home::new()
        .and_then(|home| home.with_system_settings(&settings))
        .expect("a folder");
    let window = Window::open_as(home, &screen, &TEST_MEDIA).expect("the window opens");
    wait_for_state(&window, "/server/status", &json!("connected"));

    window
        .command("setName", &json!({ "name": "Ann" }))
        .expect("the page answers")
        .expect("the name is saved");
    let home = window.close().expect("the window closes");
    let own = fs::read_to_string(home.settings()).expect("the settings are saved");
    assert!(
        own.contains("Ann") && !own.contains("serverUrl"),
        "another server can be set later: {own}"
    );
}

#[test]
fn a_server_that_is_away_shows_before_anybody_presses_a_button() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let arguments = [&TEST_MEDIA[..], &["--signaling", "ws://127.0.0.1:1"]].concat();
    let window = Window::open(&screen, &arguments).expect("the window opens");
    window
        .wait_for_element("[data-cause=SIGNALING_UNREACHABLE]")
        .expect("the lobby says what is wrong");
    for action in ["invite", "find-partner"] {
        let selector = format!("[data-action={action}]");
        let disabled = window.attribute(&selector, "disabled");
        assert!(
            disabled.expect("the page answers").is_some(),
            "{action} would lead into an error"
        );
    }
}
