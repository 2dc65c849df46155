//! What the window shows while a call looks for its route again.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "tests print what they measure")]

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tandem_tests::process::wait_until;
use tandem_tests::window::{Home, Shown, TEST_MEDIA, TIMEOUT, watch};
use tandem_tests::{
    Coturn, Network, Part, Screen, ServerProcess, Tandem, Vpn, Window, built, require,
};

/// The window's host, and its partner's; the servers are on the router.
const WINDOW: usize = 0;
const PARTNER: usize = 1;
const SERVERS: usize = Network::ROUTER;
const SERVERS_IP: [&str; 2] = Network::ROUTER_IP;

/// A call between a window and a headless Tandem.
struct Rig {
    window: Window,
    _screen: Screen,
    partner: Tandem,
    server: Option<ServerProcess>,
    turn: Option<Coturn>,
    network: Network,
}

fn coturn(network: &Network) -> Coturn {
    let ip = SERVERS_IP[0].parse().expect("an address");
    Coturn::start_on(network.host(SERVERS), ip, "a shared secret").expect("coturn starts")
}

impl Rig {
    /// With `relayed`, the partner is reached through TURN only.
    fn start(relayed: bool) -> Self {
        let network = Network::with_router().expect("a network of three");
        let turn = relayed.then(|| coturn(&network));
        let mut command = network.host(SERVERS).command(built("tandem-signaling"));
        command.args(["--listen", "0.0.0.0:0"]);
        if let Some(turn) = &turn {
            command.args(["--turn-url", &turn.url(), "--turn-secret", turn.secret()]);
        }

        let server = ServerProcess::start_command(command).expect("the server listens");
        let port = server.address().port();
        let [for_window, for_partner] = SERVERS_IP.map(|ip| format!("ws://{ip}:{port}"));

        let mut arguments = vec![
            "--signaling",
            &for_partner,
            "--room",
            "lid",
            "--name",
            "Bea",
        ];
        arguments.extend(["--video", "test", "--audio", "test", "--speaker", "none"]);
        arguments.extend(["--size", "640x360", "--duration", "5m", "--wait", "90s"]);
        if relayed {
            arguments.push("--relay-only");
        }

        let partner = Tandem::start_on(network.host(PARTNER), arguments).expect("Tandem starts");

        let screen = Screen::start().expect("Xvfb starts");
        let arguments = [&TEST_MEDIA[..], &["--signaling", &for_window]].concat();
        let home = Home::new().expect("a folder");
        let window = Window::open_on(network.host(WINDOW), home, &screen, &arguments)
            .expect("the window opens");
        window.fill("#room-code", "lid").expect("a code is typed");
        window.press("call-with-code").expect("the button is there");
        window.wait_for_screen("in-call").expect("they connect");
        window.wait_for_frames("#remote", 20).expect("frames come");
        watch(&window).expect("the page answers");

        Self {
            window,
            _screen: screen,
            partner,
            server: Some(server),
            turn,
            network,
        }
    }

    /// Waits until the overlay is there, and returns its text.
    fn wait_for_overlay(&self) -> String {
        self.window
            .wait_for_element("[data-badge=reconnecting]")
            .expect("the window says that it reconnects");
        self.window.text(".reconnecting").expect("it has a text")
    }

    /// Waits until frames come again and the overlay is gone.
    fn wait_for_media(&self) {
        self.window
            .wait_for_frames("#remote", 20)
            .expect("frames come again");
        let gone = || (!self.window.is_shown("[data-badge=reconnecting]").ok()?).then_some(());
        wait_until("the overlay is gone", TIMEOUT, gone).expect("media is back");
        self.window
            .wait_for_frames("#remote", 20)
            .expect("frames come");
    }

    /// Saves a picture of the window, if `TANDEM_SCREENSHOTS` names a folder for it.
    fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("TANDEM_SCREENSHOTS") {
            let path = PathBuf::from(folder).join(format!("reconnect-{name}.png"));
            self.window.screenshot(&path).expect("it is saved");
        }
    }

    /// Checks what was shown since the last time: the overlay only while frames were missing.
    fn check(&self, what: &str) -> Shown {
        let shown = Shown::read(&self.window).expect("the page answers");
        println!("{what}: {shown:?}");
        shown.assert_only_over_still_video(what);
        shown
    }
}

/// The time in a text such as `Reconnecting… 1:48`, s.
fn time_left(text: &str) -> u64 {
    let digits = text
        .split_whitespace()
        .find_map(|word| word.split_once(':'));
    let (minutes, seconds) = digits.unwrap_or_else(|| panic!("no time in {text}"));
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    number(minutes) * 60 + number(seconds)
}

/// Checks that the overlay counted down for about this long.
fn assert_counted_down(shown: &Shown, seconds: u64) {
    let [first, last] = shown.texts.as_ref().expect("there was an overlay");
    let passed = time_left(first).saturating_sub(time_left(last));
    assert!(passed + 4 >= seconds, "from {first} to {last}");
}

#[test]
fn another_address_shows_nothing() {
    require!(Part::Window, Part::Network);
    let rig = Rig::start(false);
    for (number, from, to) in [(WINDOW, 1, 2), (PARTNER, 1, 2), (WINDOW, 2, 3)] {
        rig.network
            .change_address(number, from, to)
            .expect("another address");
        thread::sleep(Duration::from_secs(3));
        rig.wait_for_media();
        let shown = rig.check("another address");
        assert!(shown.overlays.is_empty(), "it is back before: {shown:?}");
    }

    rig.picture("another-address");
}

#[test]
fn an_outage_shows_a_countdown_until_media_is_back() {
    require!(Part::Window, Part::Network);
    let rig = Rig::start(false);
    rig.network.cut_off(WINDOW, true).expect("it is cut off");
    let text = rig.wait_for_overlay();
    assert!(text.contains("Reconnecting…"), "{text}");
    assert!(text.contains("The connection to Bea was lost."), "{text}");
    thread::sleep(Duration::from_secs(18));
    rig.picture("outage");
    rig.network.cut_off(WINDOW, false).expect("it is back");
    rig.wait_for_media();
    rig.picture("outage-over");
    assert_counted_down(&rig.check("an outage of 20 s"), 18);
}

#[test]
fn a_partner_who_was_stopped_shows_a_countdown() {
    require!(Part::Window, Part::Network);
    let mut rig = Rig::start(false);
    rig.partner.process().signal(libc::SIGSTOP);
    thread::sleep(Duration::from_secs(9));
    rig.wait_for_overlay();
    rig.picture("stopped");
    rig.partner.process().signal(libc::SIGCONT);
    rig.wait_for_media();
    assert_counted_down(&rig.check("a partner who was stopped for 10 s"), 6);
}

#[test]
fn a_server_that_is_gone_shows_a_note_and_no_overlay() {
    require!(Part::Window, Part::Network);
    let mut rig = Rig::start(false);
    drop(rig.server.take());
    let note = "Can't reach the server. Your call isn't affected.";
    let noted = || rig.window.text("main").ok()?.contains(note).then_some(());
    wait_until("the note", TIMEOUT, noted).expect("the window says it");
    thread::sleep(Duration::from_secs(5));
    rig.wait_for_media();
    rig.picture("server-gone");
    let shown = rig.check("a server that is gone");
    assert!(shown.overlays.is_empty(), "{shown:?}");
}

#[test]
fn a_turn_server_that_is_gone_shows_a_countdown_until_it_is_back() {
    require!(Part::Window, Part::Network);
    require!(Part::Coturn);
    let mut rig = Rig::start(true);
    drop(rig.turn.take());
    rig.wait_for_overlay();
    rig.picture("turn-gone");
    rig.turn = Some(coturn(&rig.network));
    rig.wait_for_media();
    rig.check("a TURN server that was gone");
}

#[test]
fn a_vpn_shows_nothing() {
    require!(Part::Window, Part::Tun);
    let rig = Rig::start(false);
    let vpn = Vpn::connect(rig.network.host(WINDOW), rig.network.host(SERVERS))
        .expect("the VPN connects");
    thread::sleep(Duration::from_secs(3));
    rig.wait_for_media();
    rig.picture("vpn-on");
    let on = rig.check("VPN on");
    // Sound alone is 50 packets a second.
    assert!(vpn.packets() >= 100, "media is outside: {}", vpn.packets());

    drop(vpn);
    thread::sleep(Duration::from_secs(3));
    rig.wait_for_media();
    rig.picture("vpn-off");
    let off = rig.check("VPN off");
    assert!(on.overlays.is_empty() && off.overlays.is_empty());
}
