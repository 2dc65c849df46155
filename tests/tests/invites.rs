//! Invites without a window: every form that a person may paste, and what is wrong with those that
//! lead nowhere.

#![cfg(unix)]

use std::time::Duration;

use serde_json::{Value, json};
use tandem_tests::{ServerProcess, Tandem, Tap, WireClient};

/// Limit for an attempt from start to exit, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const QUIET: [&str; 4] = ["--size", "320x180", "--speaker", "none"];

/// A person who makes an invite and waits in its room. Returns the room's number.
fn owner(server: &ServerProcess) -> (WireClient, String) {
    let mut owner = WireClient::connect(server.address()).expect("the server accepts a client");
    owner
        .send(&json!({ "type": "claim_room" }))
        .expect("the connection is open");
    let claimed = owner.receive("room_claimed").expect("a room is free");
    let room = claimed["room"].as_str().expect("a number").to_owned();
    owner
        .send(&json!({ "type": "find_partner", "room": room, "mustExist": true }))
        .expect("the connection is open");
    owner.receive("searching").expect("the owner waits");

    (owner, room)
}

#[test]
fn every_form_of_an_invite_leads_to_its_owner() {
    let server = ServerProcess::start().expect("the server starts");
    for form in ["code", "app link", "web link"] {
        let (mut owner, number) = owner(&server);
        let tap = Tap::start(server.address()).expect("a free port");
        let url = tap.url();
        let host = url
            .strip_prefix("ws://")
            .and_then(|url| url.strip_suffix("/ws"))
            .expect("a plain address");
        let code = format!("{number}-garden-lantern");
        let app_link = format!("tandem://join/{host}/{number}#garden-lantern");
        let web_link = format!("http://{host}/j/{number}#garden-lantern");
        // A link names its server; only the code needs one.
        let arguments = match form {
            "code" => vec!["--signaling", &url, "--room", &code],
            "app link" => vec!["--room", &app_link],
            _ => vec!["--room", &web_link],
        };

        let guest = Tandem::start([&arguments[..], &QUIET].concat()).expect("it starts");
        let found = owner.receive("partner_found").expect("the guest comes");
        let session = &found["sessionId"];
        owner
            .send(&json!({ "type": "end_session", "sessionId": session }))
            .expect("the connection is open");
        let outcome = guest.finish(TIMEOUT).expect("it ends");
        let report = &outcome.report;
        assert_eq!(report["error"]["code"], "PARTNER_LEFT", "{form}: {report}");
        assert!(
            report["timingsMs"]["matched"].is_u64(),
            "{form}: the two were matched: {report}"
        );

        let said = tap.said();
        let search = said.iter().find(|it| it["type"] == "find_partner");
        let search = search.expect("the guest searched through the tap");
        assert_eq!(search["room"], number, "the number alone is the room");
        assert_eq!(search["mustExist"], true, "invites are not made up");
        let all = Value::from(said).to_string();
        assert!(
            !all.contains("garden") && !all.contains("lantern"),
            "the server never gets the words: {all}"
        );
    }
}

#[test]
fn an_invite_that_nobody_made_ends_the_search_at_once() {
    let server = ServerProcess::start().expect("the server starts");
    let link = format!("http://{}/j/7#garden-lantern", server.address());
    // With time to wait: there is nothing to wait for.
    let guest = ["--room", &link, "--wait", "10m"];
    let outcome = Tandem::start([&guest[..], &QUIET].concat())
        .and_then(|guest| guest.finish(TIMEOUT))
        .expect("it ends");
    assert_eq!(outcome.report["error"]["code"], "NO_SUCH_ROOM");
    assert_eq!(outcome.code, Some(3), "no call: {}", outcome.report);
}

#[test]
fn what_is_no_invite_is_refused_before_anything_connects() {
    let long = format!("tandem://join/localhost/7#{}", "n".repeat(10_000));
    let cases = [
        ("https://localhost/j/7", "the link is not complete"),
        (
            "tandem://join/localhost/7#garden",
            "the link is not complete",
        ),
        (
            "tandem://join/localhost/7#g\u{430}rden-lantern",
            "the link is not complete",
        ),
        ("tandem://join/not a host/7#garden-lantern", "not a"),
        ("https://localhost/elsewhere", "not a link to a call"),
        (&long, "not a link"),
        (
            "tandem://join/localhost/7#garden-lantern\u{7}",
            "not a link",
        ),
        ("7-g\u{430}rden-lantern", "check how they are spelled"),
        ("7-garden-lantren", "check how they are spelled"),
        ("комната", "a room code has"),
        ("7-garden-lantern-kayak\n", "a room code has"),
    ];

    for way in [&["--headless", "--room"][..], &["join"]] {
        for (text, expected) in cases {
            let outcome = Tandem::run([way, &[text]].concat()).expect("it exits at once");
            let shown = text.chars().take(60).collect::<String>();
            assert_eq!(outcome.code, Some(2), "{way:?} {shown:?}: {}", outcome.log);
            assert!(
                outcome.log.contains(expected),
                "{way:?} {shown:?}: {}",
                outcome.log
            );
        }
    }

    let both = [
        "--headless",
        "--signaling",
        "ws://127.0.0.1:1",
        "--room",
        "tandem://join/localhost/7#garden-lantern",
    ];
    let outcome = Tandem::run(both).expect("it exits at once");
    assert_eq!(outcome.code, Some(2), "which server? {}", outcome.log);
    assert!(outcome.log.contains("leave out"), "{}", outcome.log);
}
