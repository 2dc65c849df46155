//! Two windows find out who is at the other end: by the code of an invite, and by safety words. And a
//! server that changes what it passes on is caught.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{Part, Screen, ServerProcess, Tap, Window, require};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];
/// A certificate that neither side has.
const FOREIGN: &str = "a=fingerprint:sha-256 C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3:C3";
/// After this many wrong guesses, a code is not used any more.
const MAX_GUESSES: usize = 5;

fn open(screen: &Screen, url: &str, name: &str) -> Window {
    let server = ["--signaling", url, "--name", name];
    let home = Home::new()
        .and_then(Home::having_met_strangers)
        .expect("a folder for the user");
    let window = Window::open_as(home, screen, &[&TEST_MEDIA[..], &SMALL, &server].concat())
        .unwrap_or_else(|error| panic!("{name}'s window opens: {error:#}"));
    wait_for_state(&window, "/server/status", &json!("connected"));
    window
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the state changes");
}

/// Makes an invite, and returns its code.
fn invite(window: &Window) -> String {
    window.press("invite").expect("the button is there");
    wait_for_state(window, "/invitation/status", &json!("ready"));
    let state = window.state().expect("the app answers");
    state["invitation"]["code"]
        .as_str()
        .expect("an invite has a code")
        .to_owned()
}

fn call_with_code(window: &Window, code: &str) {
    window
        .fill("#room-code", code)
        .expect("the code can be typed");
    window.press("call-with-code").expect("the button is there");
}

/// The guest enters the code, and the person who made the invite answers.
fn join(inviter: &Window, guest: &Window, code: &str) {
    call_with_code(guest, code);
    inviter.press("accept-call").expect("it rings");
}

/// The safety words that the app of a window has, once there are some.
fn words(window: &Window) -> Value {
    window
        .wait_for_element("[data-badge=verification]")
        .expect("the badge is shown");
    window.press("verification").expect("the badge opens");
    window
        .wait_for_element(".safety-words")
        .expect("the words are shown");
    let shown = window
        .run(
            "return [...document.querySelectorAll('.safety-words li')].map((li) => li.textContent);",
            &json!([]),
        )
        .expect("the page answers");
    let state = window.state().expect("the app answers");
    assert_eq!(shown, state["screen"]["verification"]["words"]);
    assert_eq!(shown.as_array().map(Vec::len), Some(4), "{shown}");
    shown
}

fn badge(window: &Window) -> String {
    let text = window.text("[data-badge=verification]");
    text.expect("the page answers").trim().to_owned()
}

/// Waits for the last screen after a mismatch, and returns what it says.
fn mismatch(window: &Window, kind: &str) -> String {
    window.wait_for_screen("ended").expect("the call is over");
    wait_for_state(window, "/screen/reason", &json!("CODE_MISMATCH"));
    wait_for_state(window, "/screen/mismatch", &json!(kind));
    window.text("main").expect("the page answers")
}

/// Saves a screenshot if `TANDEM_SHOTS` names a folder, for people to look at.
fn shot(window: &Window, name: &str) {
    if let Some(folder) = std::env::var_os("TANDEM_SHOTS") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        window.screenshot(&path).expect("the page is drawn");
    }
}

#[test]
fn the_code_of_an_invite_verifies_both_windows() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );

    let code = invite(&ann);
    join(&ann, &bea, &code);
    for (window, end) in [(&ann, "inviter"), (&bea, "guest")] {
        window.wait_for_screen("in-call").expect("the two connect");
        let verified = json!({ "badge": "verifiedByCode", "words": null, "byInvite": end });
        wait_for_state(window, "/screen/verification", &verified);
        window
            .wait_for_frames("#remote", 10)
            .expect("the partner's video moves");
        window
            .wait_for_element("[data-badge=verification]")
            .expect("the badge is shown");
        assert_eq!(badge(window), "Encrypted, verified by your code");
        shot(window, &format!("by-code-{end}"));

        window.press("verification").expect("the badge opens");
        window
            .wait_for_element("#verification")
            .expect("it is explained");
        assert!(
            !window.is_shown(".safety-words").expect("the page answers"),
            "there is nothing left to compare"
        );
        let told = window.text("#verification").expect("the page answers");
        assert_eq!(
            told.contains("website"),
            end == "inviter",
            "who made the invite hears what a website can read: {told}"
        );
        shot(window, &format!("by-code-{end}-explained"));
    }
}

#[test]
fn a_wrong_code_is_told_on_both_sides_and_five_end_the_invite() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );

    let code = invite(&ann);
    let (number, _) = code.split_once('-').expect("a number and words");
    // Whichever code it is, at most one of these is right.
    let wrong = [
        "kayak-kayak",
        "otter-otter",
        "garden-garden",
        "lantern-lantern",
        "acorn-acorn",
        "zebra-zebra",
    ]
    .map(|words| format!("{number}-{words}"));
    let wrong = wrong.iter().filter(|typed| **typed != code);
    for (count, typed) in (1..=MAX_GUESSES).zip(wrong) {
        join(&ann, &bea, typed);
        let told = mismatch(&bea, "code");
        assert!(told.contains("don't match"), "{told}");
        assert!(
            !bea.is_shown("[data-action=search-again]")
                .expect("the page answers"),
            "the same code would not match either"
        );
        let is_last = count == MAX_GUESSES;
        let told = mismatch(&ann, if is_last { "spentInvite" } else { "invite" });
        assert!(told.contains("match"), "{told}");
        if count == 1 {
            shot(&ann, "wrong-code-inviter");
            shot(&bea, "wrong-code-guest");
        }

        // Ann stays on that screen: it rings there as well.
        bea.press("to-lobby").expect("the button is there");
        if !is_last {
            wait_for_state(&ann, "/invitation/code", &json!(code));
        }
    }

    wait_for_state(&ann, "/invitation", &Value::Null);
    shot(&ann, "invite-spent");

    // The right code is of no use any more, and a new one works.
    call_with_code(&bea, &code);
    wait_for_state(&bea, "/screen/reason", &json!("NO_SUCH_ROOM"));
    bea.press("to-lobby").expect("the button is there");
    let new = invite(&ann);
    assert_ne!(new, code);
    join(&ann, &bea, &new);
    for window in [&ann, &bea] {
        wait_for_state(
            window,
            "/screen/verification/badge",
            &json!("verifiedByCode"),
        );
    }
}

#[test]
fn two_windows_compare_their_safety_words() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let (ann, bea) = (
        open(&screen, &server.url(), "Ann"),
        open(&screen, &server.url(), "Bea"),
    );

    for window in [&ann, &bea] {
        window.press("find-partner").expect("the button is there");
    }
    for window in [&ann, &bea] {
        window.wait_for_screen("in-call").expect("the two connect");
        window
            .wait_for_frames("#remote", 10)
            .expect("media flows before anything is compared");
    }
    shot(&ann, "not-verified");
    assert_eq!(words(&ann), words(&bea), "the same on both screens");
    assert_eq!(badge(&ann), "Encrypted, not verified");
    shot(&ann, "words");

    ann.press("words-match").expect("the button is there");
    wait_for_state(&ann, "/screen/verification/badge", &json!("verifiedByUser"));
    assert_eq!(badge(&ann), "Encrypted, verified by you");
    shot(&ann, "words-match");
    let bea_says = bea.state().expect("the app answers");
    assert_eq!(
        bea_says["screen"]["verification"]["badge"], "notVerified",
        "what Ann has compared says nothing to Bea"
    );

    bea.press("words-differ").expect("the button is there");
    let told = mismatch(&bea, "safetyWords");
    assert!(told.contains("listening in"), "{told}");
    shot(&bea, "words-differ");
    ann.wait_for_screen("ended").expect("the call is over");
    shot(&ann, "words-differ-other-side");
}

/// Replaces the certificate in a description.
fn swap_certificate(message: &mut Value) {
    let description = match message["type"].as_str() {
        Some("webrtc_offer") => &mut message["offer"],
        Some("webrtc_answer") => &mut message["answer"],
        _ => return,
    };
    let sdp = description["sdp"]
        .as_str()
        .expect("a description has a text");
    let lines: Vec<&str> = sdp
        .split("\r\n")
        .map(|line| {
            if line.starts_with("a=fingerprint:") {
                FOREIGN
            } else {
                line
            }
        })
        .collect();
    description["sdp"] = lines.join("\r\n").into();
}

#[test]
fn a_server_that_swaps_certificates_is_caught_by_both_windows() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let rogue = || Tap::changing(server.address(), swap_certificate).expect("the proxy starts");
    let (to_ann, to_bea) = (rogue(), rogue());
    let (ann, bea) = (
        open(&screen, &to_ann.url(), "Ann"),
        open(&screen, &to_bea.url(), "Bea"),
    );

    let code = invite(&ann);
    join(&ann, &bea, &code);
    for (window, kind) in [(&ann, "invite"), (&bea, "code")] {
        let told = mismatch(window, kind);
        assert!(
            told.contains("don't match") && told.contains("in between"),
            "{told}"
        );
        shot(window, &format!("rogue-{kind}"));
    }

    let swapped = [&to_ann, &to_bea]
        .iter()
        .flat_map(|tap| tap.heard())
        .filter(|message| message.to_string().contains(FOREIGN))
        .count();
    assert!(swapped > 0, "the server did swap certificates");
}
