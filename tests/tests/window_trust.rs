//! Two windows find out who is at the other end: by the code of an invite, and by safety words. And a
//! server that changes what it passes on is caught.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use tandem_tests::neighbours::rings;
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{Network, Part, Screen, ServerProcess, Tandem, Tap, Window, built, require};

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

/// Has strangers see the user's address: the servers here can't hide it, and a question would come first.
fn without_hiding(window: &Window) {
    let answer = window.command("setStrangerRelay", &json!({ "on": false }));
    let answer = answer.expect("the page answers");
    answer.expect("it can be switched off");
}

/// Two windows at one server.
struct Two {
    ann: Window,
    bea: Window,
    // They end after the windows.
    _server: ServerProcess,
    _screen: Screen,
}

impl Two {
    fn open() -> Self {
        let screen = Screen::start().expect("Xvfb starts");
        let server = ServerProcess::start().expect("the server starts");
        Self {
            ann: open(&screen, &server.url(), "Ann"),
            bea: open(&screen, &server.url(), "Bea"),
            _server: server,
            _screen: screen,
        }
    }
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
    assert_eq!(shown, state["screen"]["verification"]["words"]["words"]);
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
    let Two { ann, bea, .. } = &Two::open();

    let code = invite(ann);
    join(ann, bea, &code);
    for (window, end) in [(ann, "inviter"), (bea, "guest")] {
        window.wait_for_screen("in-call").expect("the two connect");
        let words = json!({ "status": "byCode" });
        let verified = json!({ "badge": "verifiedByCode", "words": words, "byInvite": end });
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
    let Two { ann, bea, .. } = &Two::open();

    let code = invite(ann);
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
        join(ann, bea, typed);
        let told = mismatch(bea, "code");
        assert!(told.contains("don't match"), "{told}");
        assert!(
            !bea.is_shown("[data-action=search-again]")
                .expect("the page answers"),
            "the same code would not match either"
        );
        let is_last = count == MAX_GUESSES;
        let told = mismatch(ann, if is_last { "spentInvite" } else { "invite" });
        assert!(told.contains("match"), "{told}");
        if count == 1 {
            shot(ann, "wrong-code-inviter");
            shot(bea, "wrong-code-guest");
        }

        // Ann stays on that screen: it rings there as well.
        bea.press("to-lobby").expect("the button is there");
        if !is_last {
            wait_for_state(ann, "/invitation/code", &json!(code));
        }
    }

    wait_for_state(ann, "/invitation", &Value::Null);
    shot(ann, "invite-spent");

    // The right code is of no use any more, and a new one works.
    call_with_code(bea, &code);
    wait_for_state(bea, "/screen/reason", &json!("NO_SUCH_ROOM"));
    bea.press("to-lobby").expect("the button is there");
    let new = invite(ann);
    assert_ne!(new, code);
    join(ann, bea, &new);
    for window in [ann, bea] {
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
    let Two { ann, bea, .. } = &Two::open();

    for window in [ann, bea] {
        without_hiding(window);
        window.press("find-partner").expect("the button is there");
    }
    for window in [ann, bea] {
        window.wait_for_screen("in-call").expect("the two connect");
        window
            .wait_for_frames("#remote", 10)
            .expect("media flows before anything is compared");
    }
    shot(ann, "not-verified");
    assert_eq!(words(ann), words(bea), "the same on both screens");
    assert_eq!(badge(ann), "Encrypted, not verified");
    shot(ann, "words");

    ann.press("words-match").expect("the button is there");
    wait_for_state(ann, "/screen/verification/badge", &json!("verifiedByUser"));
    assert_eq!(badge(ann), "Encrypted, verified by you");
    shot(ann, "words-match");
    let bea_says = bea.state().expect("the app answers");
    assert_eq!(
        bea_says["screen"]["verification"]["badge"], "notVerified",
        "what Ann has compared says nothing to Bea"
    );

    bea.press("words-differ").expect("the button is there");
    let told = mismatch(bea, "safetyWords");
    assert!(told.contains("listening in"), "{told}");
    shot(bea, "words-differ");
    let told = mismatch(ann, "partnersSafetyWords");
    assert!(told.contains("The other person says"), "{told}");
    shot(ann, "words-differ-other-side");
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

/// An accomplice of a server: a call with one of the two, as the other. It stays until it is stopped.
fn accomplice(server: &ServerProcess, name: &str) -> Tandem {
    let arguments = ["--signaling", &server.url(), "--name", name];
    let media = [&TEST_MEDIA[..], &SMALL, &["--duration", "300s"]].concat();
    Tandem::start([&arguments[..], &media].concat()).expect("the accomplice starts")
}

#[test]
fn a_server_that_ends_both_calls_itself_cannot_make_the_words_equal() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    // To each of the two, the server presents an accomplice as the other.
    let servers = [(); 2].map(|()| ServerProcess::start().expect("the server starts"));
    let windows = [("Ann", "Bea"), ("Bea", "Ann")];
    let [ann, bea] = [0, 1].map(|number| {
        let window = open(&screen, &servers[number].url(), windows[number].0);
        without_hiding(&window);
        window.press("find-partner").expect("the button is there");
        window
    });

    // They search for a limited time.
    let _accomplices = [0, 1].map(|number| accomplice(&servers[number], windows[number].1));
    for (window, (_, other)) in [&ann, &bea].into_iter().zip(windows) {
        window.wait_for_screen("in-call").expect("the two connect");
        wait_for_state(window, "/screen/partner/name", &json!(other));
        window
            .wait_for_frames("#remote", 10)
            .expect("each sees what the server shows");
    }
    assert_ne!(words(&ann), words(&bea), "and the words tell");
    for window in [&ann, &bea] {
        assert_eq!(badge(window), "Encrypted, not verified");
    }

    ann.press("words-differ").expect("the button is there");
    mismatch(&ann, "safetyWords");
}

#[test]
fn a_guest_whose_server_is_away_rings_nearby_and_is_verified_by_the_code() {
    require!(Part::Network);
    require!(Part::Window);
    let addresses = ["192.168.7.1/24", "192.168.7.2/24", "192.168.7.3/24"];
    let network = Network::with_addresses(&addresses).expect("a network");
    let mut command = network.host(2).command(built("tandem-signaling"));
    command.args(["--listen", "192.168.7.3:9000"]);
    let server = ServerProcess::start_command(command).expect("the server starts");
    let screen = Screen::start().expect("Xvfb starts");
    let [ann, bea] = [(0, "Ann"), (1, "Bea")].map(|(number, name)| {
        let home = Home::new().expect("a home");
        let server = ["--signaling", &server.url(), "--name", name];
        let arguments = [&TEST_MEDIA[..], &SMALL, &server].concat();
        let window = Window::open_on(network.host(number), home, &screen, &arguments)
            .unwrap_or_else(|error| panic!("{name}'s window opens: {error:#}"));
        wait_for_state(&window, "/server/status", &json!("connected"));
        window
    });

    let send = |window: &Window, kind: &str, fields: Value| {
        let answer = window.command(kind, &fields).expect("the app answers");
        assert!(answer.is_ok(), "{kind}: {answer:?}");
    };
    invite(&ann);
    send(&ann, "openNearby", json!({}));
    wait_for_state(&ann, "/nearby/status", &json!("on"));
    let state = ann.state().expect("the app answers");
    let link = state["invitation"]["appLink"].as_str().expect("a link");
    assert!(link.contains("?at=192.168.7.1:"), "{link}");

    drop(server);
    wait_for_state(&ann, "/server/status", &json!("unreachable"));
    send(&bea, "callWithCode", json!({ "code": link }));
    send(&bea, "joinOpened", json!({}));
    rings(&ann, "Bea").expect("the guest finds the way");
    let hint = ann.text(".incoming .hint").expect("the page answers");
    assert_eq!(hint, "Answers your invite, on your network");
    ann.press("accept-call").expect("the button is there");
    for (window, end) in [(&ann, "inviter"), (&bea, "guest")] {
        window.wait_for_screen("in-call").expect("the two connect");
        let verification = "/screen/verification";
        let by_code =
            json!({ "badge": "verifiedByCode", "words": { "status": "byCode" }, "byInvite": end });
        wait_for_state(window, verification, &by_code);
        window
            .wait_for_frames("#remote", 5)
            .expect("the partner's video moves");
    }
}
