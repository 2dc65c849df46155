//! What happens around a ring: a notification while another window is in front, and a second attempt
//! when the connection did not come up.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{
    MessageBus, NotificationServer, Part, Screen, ServerProcess, Window, WireClient, require,
};

/// Opens the window of a user of `server`, and waits until the server can be reached.
fn open(screen: &Screen, server: &ServerProcess, home: Home, name: &str) -> Window {
    let url = server.url();
    let arguments = [
        &TEST_MEDIA[..],
        &["--size", "640x360", "--signaling", &url, "--name", name],
    ]
    .concat();
    let window = Window::open_as(home, screen, &arguments).expect("the window opens");
    window
        .wait_for_state("/server/status", &json!("connected"))
        .expect("the lobby shows that the server can be reached");
    window
}

/// Makes an invite. Returns its code and its number.
fn invite(window: &Window) -> (String, String) {
    window.press("invite").expect("the button is there");
    window
        .wait_for_state("/invitation/status", &json!("ready"))
        .expect("the invite is there");
    let state = window.state().expect("the app answers");
    let code = state["invitation"]["code"].as_str().expect("a code");
    let number = code.split('-').next().expect("a number");
    (code.to_owned(), number.to_owned())
}

fn find(room: &str, name: &str) -> Value {
    json!({ "type": "find_partner", "room": room, "mustExist": true, "userName": name })
}

fn wait_for_ring(window: &Window, name: &str) {
    window
        .wait_for_state("/incoming/name", &json!(name))
        .expect("it rings");
}

#[test]
fn a_ring_can_be_answered_from_the_notification_and_the_call_keeps_the_screen_on() {
    require!(Part::Window, Part::WindowManager, Part::BusMock);
    let screen = Screen::start_managed().expect("Xvfb and openbox start");
    let server = ServerProcess::start().expect("the server starts");
    let bus = MessageBus::start().expect("a message bus");
    let desktop = NotificationServer::start(&bus).expect("the notification server starts");
    let session_manager = "org.gnome.SessionManager";
    let session = bus
        .start_service(
            [
                session_manager,
                "/org/gnome/SessionManager",
                session_manager,
            ],
            &[
                ["Inhibit", "susu", "u", "ret = 7"],
                ["Uninhibit", "u", "", ""],
            ],
        )
        .expect("the session manager starts");
    let asked = |what: &str| {
        session
            .stdout()
            .lines()
            .any(|line| line.contains(&format!(" {what}")))
    };
    let home = Home::new().expect("a folder").with_message_bus(&bus);
    let ann = open(&screen, &server, home, "Ann");
    let (code, _) = invite(&ann);

    // Bea's window opens in front of Ann's.
    let bea = open(&screen, &server, Home::new().expect("a folder"), "Bea");
    let ring = || {
        bea.fill("#room-code", &code).expect("a code can be typed");
        bea.press("call-with-code").expect("the button is there");
        wait_for_ring(&ann, "Bea");
        desktop
            .wait_for("Bea is calling")
            .expect("a notification is shown")
    };

    let first = ring();
    desktop
        .press(&first, "Decline")
        .expect("it offers to decline");
    bea.wait_for_state("/screen/reason", &json!("DECLINED"))
        .expect("Bea is told");
    desktop
        .wait_until_closed(&first)
        .expect("the notification is gone");

    bea.press("to-lobby").expect("the button is there");
    // The server lets a caller ring once in three seconds.
    wait_until("the next ring", TIMEOUT, || {
        let screen = bea.screen().ok()?;
        (screen == "lobby").then_some(())
    })
    .expect("Bea can call again");
    let second = ring();
    assert_ne!(first.id, second.id, "it is another notification");
    desktop
        .press(&second, "Accept")
        .expect("it offers to accept");
    for window in [&ann, &bea] {
        window.wait_for_screen("in-call").expect("the two connect");
    }
    desktop
        .wait_until_closed(&second)
        .expect("the notification is gone");

    // The screen stays on for the call, and no longer.
    wait_until("the screen stays on", TIMEOUT, || {
        asked("Inhibit \"Tandem\"").then_some(())
    })
    .expect("the session manager is asked");
    assert!(!asked("Uninhibit"), "the call goes on");
    ann.press("hang-up").expect("the button is there");
    wait_until("the screen may turn off", TIMEOUT, || {
        asked("Uninhibit 7").then_some(())
    })
    .expect("the session manager is told");
}

#[test]
fn a_guest_whose_call_did_not_come_about_can_ring_again_with_the_same_invite() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let ann = open(&screen, &server, Home::new().expect("a folder"), "Ann");
    let (_, number) = invite(&ann);

    let mut bea = WireClient::connect(server.address()).expect("the server accepts Bea");
    bea.send(&find(&number, "Bea")).expect("connected");
    wait_for_ring(&ann, "Bea");
    ann.press("accept-call").expect("the button is there");
    let found = bea.receive("partner_found").expect("Ann has accepted");
    ann.wait_for_screen("connecting")
        .expect("Ann sees that it connects");

    // Bea's side gives up before the two are connected.
    bea.send(&json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .expect("connected");
    ann.wait_for_screen("ended").expect("Ann is told");
    bea.send(&find(&number, "Bea")).expect("connected");
    wait_for_ring(&ann, "Bea");
    assert_eq!(
        ann.screen().expect("the page answers"),
        "ended",
        "also on the last screen"
    );
}

#[test]
fn trying_again_rings_the_owner_of_the_invite_once_more() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");

    // Ann accepts, but her side never answers Bea's offer.
    let mut ann = WireClient::connect(server.address()).expect("the server accepts Ann");
    ann.send(&json!({ "type": "claim_room" }))
        .expect("connected");
    let claimed = ann.receive("room_claimed").expect("an invite");
    let number = claimed["room"].as_str().expect("a number");
    let bea = open(&screen, &server, Home::new().expect("a folder"), "Bea");
    let code = format!("{number}-garden-lantern");
    bea.fill("#room-code", &code).expect("a code can be typed");
    bea.press("call-with-code").expect("the button is there");

    let mut answer = || {
        ann.send(&json!({ "type": "listen", "rooms": [number] }))
            .expect("connected");
        let knock = ann.receive("knock").expect("Bea rings");
        let accept = json!({ "type": "accept", "knockId": knock["knockId"], "userName": "Ann" });
        ann.send(&accept).expect("connected");
        ann.receive("partner_found").expect("the two are matched");
        bea.wait_for_screen("connecting")
            .expect("Bea sees that it connects");
    };

    answer();
    bea.press("retry")
        .expect("it is offered once the connection takes long");
    bea.wait_for_screen("waiting")
        .expect("Bea's side asks again");
    answer();
}

#[test]
fn an_invite_that_was_withdrawn_reaches_no_one() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let ann = open(&screen, &server, Home::new().expect("a folder"), "Ann");
    let (_, number) = invite(&ann);
    ann.press("cancel-invite").expect("the button is there");

    let mut bea = WireClient::connect(server.address()).expect("the server accepts Bea");
    bea.send(&find(&number, "Bea")).expect("connected");
    let refused = bea.receive("error").expect("the server refuses");
    assert_eq!(refused["code"], "no_such_room");
    assert_eq!(
        ann.state().expect("the app answers")["incoming"],
        Value::Null
    );
}
