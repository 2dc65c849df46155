//! A call between the window and a guest in a browser, each behind a network of its own that changes.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests run in real time, and print what they measure"
)]

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tandem_tests::guest_browser::Kind;
use tandem_tests::window::{Home, Shown, TEST_MEDIA, wait_until_moving, watch};
use tandem_tests::{
    Authority, GuestBrowser, Network, Part, Screen, ServerProcess, Validity, Vpn, Window, built,
    require,
};

const WINDOW: usize = 0;
const GUEST: usize = 1;

/// How long a browser may take to notice that its own address has changed, and the call to be back.
const BROWSER: Duration = Duration::from_secs(4);
/// The same for Tandem.
const TANDEM: Duration = Duration::from_secs(3);

struct Rig {
    kind: Kind,
    window: Window,
    guest: GuestBrowser,
    network: Network,
    server: Option<ServerProcess>,
    _authority: Authority,
    _screen: Screen,
}

impl Rig {
    /// The window has invited somebody who opens the link in this browser.
    fn start(kind: Kind) -> Self {
        let network = Network::with_router().expect("a network of three");
        let authority = Authority::new().expect("an authority");
        let identity = authority
            .sign(&Network::ROUTER_IP, Validity::Valid)
            .expect("a certificate");
        let mut command = network
            .host(Network::ROUTER)
            .command(built("tandem-signaling"));
        command.args(["--listen", "0.0.0.0:443"]);
        command.arg("--tls-cert").arg(&identity.cert);
        command.arg("--tls-key").arg(&identity.key);
        let server = ServerProcess::start_command(command).expect("the server listens");
        let [for_window, for_guest] = Network::ROUTER_IP.map(|ip| format!("https://{ip}"));

        let screen = Screen::start().expect("Xvfb starts");
        let trusted = authority.file().display().to_string();
        let own = ["--signaling", &for_window, "--ca-file", &trusted];
        let arguments = [&TEST_MEDIA[..], &own, &["--name", "Ann"]].concat();
        let home = Home::new().expect("a folder");
        let window = Window::open_on(network.host(WINDOW), home, &screen, &arguments)
            .expect("the window opens");
        window
            .wait_for_state("/server/status", &json!("connected"))
            .expect("the server can be reached");
        window.press("invite").expect("the button is there");
        window
            .wait_for_element("#invite-web-link")
            .expect("the invite is shown");
        let link = window.text("#invite-web-link").expect("the page answers");

        let mut guest = GuestBrowser::open_on(network.host(GUEST), kind, &identity.cert)
            .expect("the browser opens");
        guest
            .visit(&link.replace(&for_window, &for_guest))
            .expect("the page opens");
        guest.press("join").expect("the guest joins");
        window.press("accept-call").expect("the window rings");
        window.wait_for_screen("in-call").expect("they connect");
        guest.wait_for_screen("in-call").expect("they connect");
        guest.run(&json!({ "do": "watch" })).expect("it watches");
        watch(&window).expect("the page answers");
        wait_until_moving(&window).expect("the guest is seen");

        Self {
            kind,
            window,
            guest,
            network,
            server: Some(server),
            _authority: authority,
            _screen: screen,
        }
    }

    /// Makes a change and waits until both sides see each other again. Checks that neither missed the
    /// other's video for longer than `limit`, and that the window says that it reconnects only while
    /// frames are missing.
    fn change(&mut self, what: &str, limit: Duration, change: impl FnOnce(&mut Self)) -> Shown {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970");
        Shown::read(&self.window).expect("the page answers");
        change(self);
        // Longer than a change may take to be noticed.
        thread::sleep(Duration::from_secs(5));
        wait_until_moving(&self.window).expect("the guest is seen again");
        let since = u64::try_from(since.as_millis()).expect("a time of this age");
        let seen = self
            .guest
            .run(&json!({ "do": "gap", "since": since }))
            .expect("the guest sees the window again");

        self.picture(what);
        let shown = Shown::read(&self.window).expect("the page answers");
        println!(
            "{:?}, {what}: the window {shown:?}, the guest {seen}",
            self.kind
        );
        shown.assert_only_over_still_video(what);
        let longest = seen["video"].as_u64().expect("a figure").max(shown.gap);
        assert!(
            u128::from(longest) <= limit.as_millis(),
            "{what}: {shown:?}, {seen}"
        );
        shown
    }

    /// Saves a picture of the window, if `TANDEM_SCREENSHOTS` names a folder for it.
    fn picture(&self, what: &str) {
        if let Some(folder) = std::env::var_os("TANDEM_SCREENSHOTS") {
            let name = format!("{:?}-{what}.png", self.kind).replace(' ', "-");
            self.window
                .screenshot(&PathBuf::from(folder).join(name))
                .expect("it is saved");
        }
    }
}

/// A call goes through all of these changes, one after the other.
fn goes_on_with(kind: Kind) {
    let mut rig = Rig::start(kind);
    rig.change("another address of the window", TANDEM, |rig| {
        rig.network
            .change_address(WINDOW, 1, 2)
            .expect("another address");
    });
    rig.change("another address of the guest", BROWSER, |rig| {
        rig.network
            .change_address(GUEST, 1, 2)
            .expect("another address");
    });

    rig.change("from cable to Wi-Fi", TANDEM, |rig| {
        rig.network
            .add_interface(WINDOW, "wlan0", "10.9.1.9/24")
            .expect("a second interface");
        let host = rig.network.host(WINDOW);
        host.take_down().expect("the cable is unplugged");
        host.set_gateway_on("wlan0", Network::ROUTER_IP[WINDOW])
            .expect("a gateway");
    });

    let mut vpn = None;
    rig.change("VPN on", TANDEM, |rig| {
        let hosts = [WINDOW, Network::ROUTER].map(|number| rig.network.host(number));
        vpn = Some(Vpn::connect(hosts[0], hosts[1]).expect("the VPN connects"));
    });
    rig.change("VPN off", TANDEM, |_| drop(vpn.take()));

    let outage = Duration::from_secs(20);
    let shown = rig.change("an outage of 20 s", outage + TANDEM, |rig| {
        rig.network.cut_off(GUEST, true).expect("it is cut off");
        rig.window
            .wait_for_element("[data-badge=reconnecting]")
            .expect("the window says that it reconnects");
        rig.picture("in an outage");
        thread::sleep(outage.saturating_sub(Duration::from_secs(3)));
        rig.network.cut_off(GUEST, false).expect("it is back");
    });
    assert!(!shown.overlays.is_empty(), "it was shown: {shown:?}");

    let shown = rig.change("a server that is gone", TANDEM, |rig| {
        drop(rig.server.take());
    });
    assert!(shown.overlays.is_empty(), "the call goes on: {shown:?}");
}

#[test]
fn a_call_with_chromium_goes_on_through_every_change() {
    require!(Part::Window, Part::Network, Part::Tun);
    require!(Part::Chromium);
    goes_on_with(Kind::Chromium);
}

#[test]
fn a_call_with_firefox_goes_on_through_every_change() {
    require!(Part::Window, Part::Network, Part::Tun);
    require!(Part::Firefox);
    goes_on_with(Kind::Firefox);
}
