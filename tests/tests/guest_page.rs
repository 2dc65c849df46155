//! The page that the signaling server serves to guests, in a browser: what it shows and does before
//! and around a call.

#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tandem_tests::authority::Validity;
use tandem_tests::guest_browser::{Devices, Kind};
use tandem_tests::{Authority, GuestBrowser, Part, ServerProcess, WireClient, require};

fn open(browser: &mut GuestBrowser, url: &str) -> Value {
    browser.visit(url).expect("the page opens")
}

fn run(browser: &mut GuestBrowser, command: &Value) -> Value {
    browser.run(command).expect("the browser does it")
}

/// Someone who has claimed a room and listens in it, at a server without TLS on loopback.
struct Inviter {
    server: ServerProcess,
    client: WireClient,
    room: String,
    cert: PathBuf,
    _authority: Authority,
}

impl Inviter {
    fn new(flags: &[&str]) -> Self {
        let server = ServerProcess::start_with(flags).expect("the server starts");
        let mut client = WireClient::connect(server.address()).expect("a client");
        client
            .send(&json!({ "type": "claim_room" }))
            .expect("it sends");
        let claimed = client.receive("room_claimed").expect("a room");
        let room = claimed["room"].as_str().expect("a number").to_owned();

        // No page needs it, but the browser wants one to trust.
        let authority = Authority::new().expect("an authority");
        let identity = authority.sign(&["localhost"], Validity::Valid);
        let mut inviter = Self {
            server,
            client,
            room,
            cert: identity.expect("a certificate").cert,
            _authority: authority,
        };
        inviter.listen();
        inviter
    }

    fn listen(&mut self) {
        self.send(&json!({ "type": "listen", "rooms": [self.room] }));
        self.receive("listening");
    }

    fn send(&mut self, message: &Value) {
        self.client.send(message).expect("the server listens");
    }

    fn receive(&mut self, kind: &str) -> Value {
        self.client.receive(kind).expect("the server sends it")
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn link(&self) -> String {
        format!("http://{}/j/{}#garden-lantern", self.address(), self.room)
    }

    fn browser(&self, devices: Devices) -> GuestBrowser {
        let mut guest =
            GuestBrowser::open(Kind::Chromium, devices, &self.cert).expect("the browser opens");
        open(&mut guest, &self.link());
        guest
    }

    /// Waits for a knock, and answers it.
    fn answer(&mut self, kind: &str, name: &str) {
        let knock = self.receive("knock");
        let (id, picture) = (&knock["knockId"], "https://evil.example/picture.png");
        self.send(
            &json!({ "type": kind, "knockId": id, "userName": name, "userPicture": picture }),
        );
    }
}

#[test]
fn a_guest_is_told_why_no_call_comes_about() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);

    guest.press("join").expect("the guest joins");
    inviter.answer("decline", "Ann");
    run(&mut guest, &json!({ "do": "reason", "name": "declined" }));
    let page = guest.look().expect("the page answers");
    assert_eq!(page["heading"], "Couldn't connect");
    assert_eq!(page["focused"], "heading", "screen readers begin there");
    assert!(page["local"].is_null(), "the camera is off again");

    let room = inviter.room.clone();
    inviter.send(&json!({ "type": "release_room", "room": room }));
    inviter.receive("room_released");
    guest.press("join-again").expect("the guest tries again");
    run(
        &mut guest,
        &json!({ "do": "reason", "name": "unknownCode" }),
    );

    drop(inviter);
    guest.press("join-again").expect("the guest tries again");
    run(&mut guest, &json!({ "do": "reason", "name": "serverAway" }));
}

#[test]
fn a_guest_without_permission_or_devices_is_told_and_can_join_without() {
    require!(Part::Chromium);
    for (devices, problem) in [
        (Devices::Denied, "devices-denied"),
        (Devices::None, "devices-missing"),
    ] {
        let mut inviter = Inviter::new(&[]);
        let mut guest = inviter.browser(devices);
        guest.press("join").expect("the guest joins");
        run(&mut guest, &json!({ "do": "problem", "name": problem }));
        assert_eq!(
            guest.look().expect("the page answers")["screen"],
            "start",
            "nothing else happens yet"
        );

        guest.press("join").expect("the guest joins anyway");
        let knock = inviter.receive("knock");
        assert_eq!(knock["userName"], "Anonymous");
    }
}

#[test]
fn a_page_that_is_left_ends_the_call_or_the_knock() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);

    let home = format!("http://{}/", inviter.address());
    let link = inviter.link();
    for leave in ["reload", "back", "close"] {
        // The page to go back to.
        open(&mut guest, &home);
        open(&mut guest, &link);
        guest.press("join").expect("the guest joins");
        inviter.receive("knock");
        run(&mut guest, &json!({ "do": leave }));
        let ended = inviter.receive("knock_ended");
        assert_eq!(ended["reason"], "cancelled", "{leave}: at once");
    }

    open(&mut guest, &link);
    guest.press("join").expect("the guest joins");
    inviter.answer("accept", "Ann");
    inviter.receive("partner_found");
    run(&mut guest, &json!({ "do": "reload" }));
    let left = inviter.receive("partner_left");
    assert_eq!(left["reason"], "left", "not only after the resume window");
    let page = guest.look().expect("the page answers");
    assert_eq!(page["screen"], "start", "and the guest can begin again");
}

#[test]
fn a_second_tab_waits_for_its_turn() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    guest.press("join").expect("the guest joins");
    let knock = inviter.receive("knock");

    let link = inviter.link();
    run(
        &mut guest,
        &json!({ "do": "open", "tab": "second", "url": link }),
    );
    run(
        &mut guest,
        &json!({ "do": "press", "tab": "second", "action": "join" }),
    );
    let text = "Waiting for the other person";
    run(
        &mut guest,
        &json!({ "do": "text", "tab": "second", "text": text }),
    );

    inviter.send(&json!({ "type": "decline", "knockId": knock["knockId"] }));
    run(&mut guest, &json!({ "do": "reason", "name": "declined" }));
    inviter.receive("knock");
    run(
        &mut guest,
        &json!({ "do": "text", "tab": "second", "text": "Ringing" }),
    );
}

#[test]
fn hostile_names_and_pictures_are_shown_as_text_and_fetch_nothing() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    let name = "<img src=x onerror=alert(1)>\u{202e}";

    guest.press("join").expect("the guest joins");
    inviter.answer("accept", name);
    inviter.receive("webrtc_offer");
    let page = guest.wait_for_screen("connecting").expect("it is let in");
    assert_eq!(
        page["heading"],
        "Connecting to <img src=x onerror=alert(1)>"
    );
    let server = format!("http://{}", inviter.address());
    guest.ensure_quiet(&server).expect("it is quiet");

    // An answer that is none ends the call, with a reason.
    let found = json!({ "type": "webrtc_answer", "to": "nobody", "answer": { "sdp": 7 } });
    inviter.send(&found);
    assert_eq!(inviter.receive("error")["code"], "not_partner");
}

#[test]
fn the_page_fits_a_phone() {
    require!(Part::Chromium);
    let mut inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    run(
        &mut guest,
        &json!({ "do": "size", "width": 360, "height": 640 }),
    );
    let fits = |guest: &mut GuestBrowser| {
        let page = guest.look().expect("the page answers");
        assert_eq!(page["overflows"], false, "{page}");
    };

    fits(&mut guest);
    guest.press("preview").expect("the guest tries the camera");
    run(
        &mut guest,
        &json!({ "do": "frames", "video": "local", "count": 3 }),
    );
    fits(&mut guest);
    guest.press("join").expect("the guest joins");
    inviter.answer("accept", &"Wilhelmina ".repeat(3));
    guest.wait_for_screen("connecting").expect("it is let in");
    fits(&mut guest);
}

#[test]
fn no_other_site_can_show_the_page_in_a_frame() {
    require!(Part::Chromium);
    let inviter = Inviter::new(&[]);
    let mut guest = inviter.browser(Devices::Fake);
    let address = inviter.address();

    // A page without a policy, at another name of the same machine.
    let other = format!("http://localhost:{}/livez", address.port());
    let mut framed = |url: &str| {
        let command = json!({ "do": "framed", "url": url, "from": other });
        run(&mut guest, &command)["url"].clone()
    };

    let plain = format!("http://{address}/livez");
    assert_eq!(framed(&plain), plain, "frames work there");
    for url in [inviter.link(), format!("http://{address}/")] {
        assert_eq!(framed(&url), "chrome-error://chromewebdata/", "{url}");
    }
}

#[test]
fn without_the_guest_page_the_link_only_opens_tandem() {
    require!(Part::Chromium);
    let inviter = Inviter::new(&["--guest-page", "off"]);
    let mut guest = inviter.browser(Devices::Fake);
    let page = run(&mut guest, &json!({ "do": "problem", "name": "off" }));
    let text = page["text"].as_str().expect("a text");
    assert!(text.contains("Open in Tandem"), "{text}");
    assert!(!text.contains("Ask to join"), "{text}");
}
