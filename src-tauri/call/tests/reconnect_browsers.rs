//! Calls with a browser on the guest page that outlive a change of the network, on hosts of their own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests run in real time, print what they measure, and may panic"
)]

#[path = "support/hosts.rs"]
mod hosts;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hosts::{Running, SERVERS, SERVERS_IP, Side, TIMEOUT, coturn, routed_network, signaling};
use serde_json::json;
use support::breakable::Breakable;
use tandem_call::{CallCode, CallOptions};
use tandem_signaling::client::{ClientConfig, TrustedRoots};
use tandem_tests::guest_browser::Kind;
use tandem_tests::{Authority, Coturn, GuestBrowser, Network, Part, Validity, Vpn, require};
use tandem_trust::{Badge, Code, Party, Word};

const TANDEM: usize = 0;
const BROWSER: usize = 1;
/// Packets of a second of media, at least. Sound alone is 50.
const MEDIA: u64 = 40;
/// A call between Tandem and a browser, in different networks behind one router.
struct Rig {
    tandem: Side,
    guest: GuestBrowser,
    server: Option<Running>,
    network: Network,
    _authority: Authority,
}

/// When something was done to the call.
#[derive(Clone, Copy)]
struct Moment {
    here: Instant,
    in_browser: u128,
}

impl Moment {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            here: Instant::now(),
            in_browser: since.as_millis(),
        }
    }
}

/// The longest time without media, on each side.
#[derive(Debug)]
struct Gaps {
    tandem_video: Duration,
    browser_video: Duration,
    browser_audio: Duration,
    /// How long the page showed that it reconnects.
    badge: Duration,
}

impl Gaps {
    fn longest(&self) -> Duration {
        self.tandem_video
            .max(self.browser_video)
            .max(self.browser_audio)
    }
}

impl Rig {
    fn start(kind: Kind) -> Self {
        Self::start_on(routed_network(), kind, None, |_| {})
    }

    fn start_on(
        network: Network,
        kind: Kind,
        turn: Option<&Coturn>,
        change: impl FnOnce(&mut CallOptions),
    ) -> Self {
        let authority = Authority::new().unwrap();
        let identity = authority.sign(&SERVERS_IP, Validity::Valid).unwrap();
        let (server, port) = signaling(&network, Some(&identity), turn);
        let [for_tandem, for_browser] = SERVERS_IP.map(|ip| format!("https://{ip}:{port}"));

        let mut options = support::options(for_tandem.parse().unwrap(), "7");
        options.signaling = ClientConfig {
            roots: TrustedRoots::with_file(authority.file()).unwrap(),
            ..ClientConfig::new(for_tandem.parse().unwrap())
        };
        let words = ["garden", "lantern"].map(|word| word.parse::<Word>().expect("a word"));
        options.code = Some(CallCode::new(Code::new(7, words), Party::Inviter));
        // Browsers have both.
        options.codec = tandem_media::codec::VideoCodec::Vp8;
        change(&mut options);
        let tandem = Side::start(Some(network.host(TANDEM).entrance()), options);

        let mut guest = GuestBrowser::open_on(network.host(BROWSER), kind, &identity.cert)
            .expect("the browser opens");
        guest
            .visit(&format!("{for_browser}/j/7#garden-lantern"))
            .expect("the page opens");
        join(&mut guest);
        guest.run(&json!({ "do": "watch" })).unwrap();
        tandem.wait_until_it_runs();
        assert_eq!(tandem.badges(), [Badge::VerifiedByCode]);

        let mut rig = Self {
            tandem,
            guest,
            server: Some(server),
            network,
            _authority: authority,
        };
        rig.gaps(Moment::now());
        rig
    }

    /// The gaps since this moment, once media flows again. The call must not have ended.
    fn gaps(&mut self, since: Moment) -> Gaps {
        let tandem_video = self.tandem.gap(since.here);
        let seen = self
            .guest
            .run(&json!({ "do": "gap", "since": since.in_browser as u64 }))
            .expect("media is back in the browser");
        let figure = |name: &str| Duration::from_millis(seen[name].as_u64().expect("a figure"));
        assert!(!self.tandem.has_ended());
        Gaps {
            tandem_video,
            browser_video: figure("video"),
            browser_audio: figure("audio"),
            badge: figure("badge"),
        }
    }

    /// Puts another address in place of one, `from` and `to` being the last bytes.
    fn move_host(&self, number: usize, from: usize, to: usize) {
        let host = self.network.host(number);
        let network = number + 1;
        host.remove_address(&format!("10.9.{network}.{from}/24"))
            .unwrap();
        host.add_address(&format!("10.9.{network}.{to}/24"))
            .unwrap();
        host.set_gateway(SERVERS_IP[number]).unwrap();
    }
}

/// Has the guest join the room, in which Tandem may not be yet.
fn join(guest: &mut GuestBrowser) {
    guest.press("join").expect("the guest joins");
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let page = guest.wait_for_screen("in-call|ended").unwrap();
        if page["screen"] == "in-call" {
            return;
        }

        assert!(Instant::now() < deadline, "they do not connect: {page}");
        guest.press("join-again").expect("the guest tries again");
    }
}

fn median(mut gaps: Vec<Duration>) -> Duration {
    gaps.sort();
    gaps[gaps.len() / 2]
}

/// `limits`: for the median and for each. If it is the browser's address that changes, the page notices
/// it after a second of silence, and half a second without an answer of the server; Chromium sometimes
/// tells it before.
fn outlives_another_address(kind: Kind, number: usize, limits: [Duration; 2]) {
    let mut rig = Rig::start(kind);
    let mut longest = Vec::new();
    for round in 0..3 {
        let since = Moment::now();
        rig.move_host(number, 1 + round, 2 + round);
        let gaps = rig.gaps(since);
        eprintln!("{kind:?}, round {round}: {gaps:?}");
        longest.push(gaps.longest());
    }

    assert!(*longest.iter().max().unwrap() <= limits[1], "{longest:?}");
    assert!(median(longest.clone()) <= limits[0], "{longest:?}");
}

#[test]
fn a_call_with_chromium_outlives_another_address_of_tandem() {
    require!(Part::Network);
    require!(Part::Chromium);
    let limits = [1, 2].map(Duration::from_secs);
    outlives_another_address(Kind::Chromium, TANDEM, limits);
}

#[test]
fn a_call_with_firefox_outlives_another_address_of_tandem() {
    require!(Part::Network);
    require!(Part::Firefox);
    let limits = [1, 2].map(Duration::from_secs);
    outlives_another_address(Kind::Firefox, TANDEM, limits);
}

#[test]
fn a_call_outlives_another_address_of_chromium() {
    require!(Part::Network);
    require!(Part::Chromium);
    let limits = [3, 4].map(Duration::from_secs);
    outlives_another_address(Kind::Chromium, BROWSER, limits);
}

#[test]
fn a_call_outlives_another_address_of_firefox() {
    require!(Part::Network);
    require!(Part::Firefox);
    let limits = [3, 4].map(Duration::from_secs);
    outlives_another_address(Kind::Firefox, BROWSER, limits);
}

fn outlives_an_outage(kind: Kind) {
    let mut rig = Rig::start(kind);
    let outage = Duration::from_secs(20);
    let since = Moment::now();
    rig.network.cut_off(TANDEM, true).unwrap();
    std::thread::sleep(outage);
    assert!(rig.tandem.was_reconnecting());
    rig.network.cut_off(TANDEM, false).unwrap();

    let gaps = rig.gaps(since);
    eprintln!("{kind:?}: {gaps:?}, {outage:?} of which were the outage");
    assert!(
        gaps.longest() <= outage + Duration::from_secs(5),
        "{gaps:?}"
    );
    assert!(gaps.badge > Duration::from_secs(10), "the page says so");
}

#[test]
fn a_call_with_chromium_outlives_twenty_seconds_without_a_packet() {
    require!(Part::Network);
    require!(Part::Chromium);
    outlives_an_outage(Kind::Chromium);
}

#[test]
fn a_call_with_firefox_outlives_twenty_seconds_without_a_packet() {
    require!(Part::Network);
    require!(Part::Firefox);
    outlives_an_outage(Kind::Firefox);
}

fn outlives_the_signaling_server(kind: Kind) {
    let mut rig = Rig::start(kind);
    let since = Moment::now();
    drop(rig.server.take());
    // Longer than any of its timeouts for a server that is away.
    std::thread::sleep(Duration::from_secs(10));
    rig.guest
        .run(&json!({ "do": "note-shown", "name": "server-lost" }))
        .expect("the page says that the server is gone");
    let gaps = rig.gaps(since);
    eprintln!("{kind:?}: {gaps:?}");
    assert!(gaps.longest() <= Duration::from_secs(1), "{gaps:?}");
    assert_eq!(gaps.badge, Duration::ZERO, "nothing is missing");
}

#[test]
fn a_call_with_chromium_outlives_the_signaling_server() {
    require!(Part::Network);
    require!(Part::Chromium);
    outlives_the_signaling_server(Kind::Chromium);
}

#[test]
fn a_call_with_firefox_outlives_the_signaling_server() {
    require!(Part::Network);
    require!(Part::Firefox);
    outlives_the_signaling_server(Kind::Firefox);
}

/// Kills the TURN server, starts it again after three seconds, and returns the gaps.
fn without_turn(rig: &mut Rig, turn: Coturn) -> Gaps {
    let since = Moment::now();
    drop(turn);
    std::thread::sleep(Duration::from_secs(3));
    let _turn = coturn(&rig.network);
    rig.gaps(since)
}

fn outlives_turn(kind: Kind, relay_only: bool, limit: Duration) {
    let network = routed_network();
    let turn = coturn(&network);
    let mut rig = Rig::start_on(network, kind, Some(&turn), |options| {
        options.relay_only = relay_only;
    });
    let gaps = without_turn(&mut rig, turn);
    eprintln!("{kind:?}, relay only: {relay_only}: {gaps:?}");
    assert!(gaps.longest() <= limit, "{gaps:?}");
}

#[test]
fn a_relayed_call_with_chromium_outlives_turn() {
    require!(Part::Network);
    require!(Part::Chromium);
    require!(Part::Coturn);
    outlives_turn(Kind::Chromium, true, Duration::from_secs(8));
}

#[test]
fn a_relayed_call_with_firefox_outlives_turn() {
    require!(Part::Network);
    require!(Part::Firefox);
    require!(Part::Coturn);
    outlives_turn(Kind::Firefox, true, Duration::from_secs(8));
}

#[test]
fn a_direct_call_with_chromium_does_not_notice_that_turn_is_gone() {
    require!(Part::Network);
    require!(Part::Chromium);
    require!(Part::Coturn);
    outlives_turn(Kind::Chromium, false, Duration::from_secs(1));
}

#[test]
fn a_direct_call_with_firefox_does_not_notice_that_turn_is_gone() {
    require!(Part::Network);
    require!(Part::Firefox);
    require!(Part::Coturn);
    outlives_turn(Kind::Firefox, false, Duration::from_secs(1));
}

/// The connection of Tandem breaks, and the page takes a fresh one. Twice: the second one is like the
/// first.
fn outlives_a_broken_connection(kind: Kind) {
    let runtime = Breakable::new();
    let media_runtime = Arc::clone(&runtime);
    let mut rig = Rig::start_on(routed_network(), kind, None, |options| {
        options.media_runtime = Some(media_runtime);
    });
    for round in 0..2 {
        let since = Moment::now();
        runtime.break_connections();
        let gaps = rig.gaps(since);
        eprintln!("{kind:?}, round {round}: {gaps:?}");
        assert!(gaps.longest() <= Duration::from_secs(3), "{gaps:?}");
        // A second one is made only ten seconds after the first.
        std::thread::sleep(Duration::from_secs(10));
    }

    assert_eq!(rig.tandem.badges(), [Badge::VerifiedByCode]);
}

#[test]
fn a_call_with_chromium_outlives_a_broken_connection() {
    require!(Part::Network);
    require!(Part::Chromium);
    outlives_a_broken_connection(Kind::Chromium);
}

#[test]
fn a_call_with_firefox_outlives_a_broken_connection() {
    require!(Part::Network);
    require!(Part::Firefox);
    outlives_a_broken_connection(Kind::Firefox);
}

/// Switches a VPN on and off, on the side of `number`.
fn outlives_a_vpn(kind: Kind, number: usize, limit: Duration) {
    let mut rig = Rig::start(kind);
    let since = Moment::now();
    let vpn = Vpn::connect(rig.network.host(number), rig.network.host(SERVERS))
        .expect("the VPN connects");
    let on = rig.gaps(since);
    eprintln!("{kind:?}: VPN on: {on:?}, {} packets", vpn.packets());
    assert!(
        vpn.packets() >= MEDIA,
        "media is outside: {}",
        vpn.packets()
    );

    let since = Moment::now();
    drop(vpn);
    let off = rig.gaps(since);
    eprintln!("{kind:?}: VPN off: {off:?}");
    assert!(on.longest().max(off.longest()) <= limit, "{on:?}, {off:?}");
}

#[test]
fn a_call_with_chromium_outlives_a_vpn_of_tandem() {
    require!(Part::Tun);
    require!(Part::Chromium);
    outlives_a_vpn(Kind::Chromium, TANDEM, Duration::from_secs(2));
}

#[test]
fn a_call_with_firefox_outlives_a_vpn_of_tandem() {
    require!(Part::Tun);
    require!(Part::Firefox);
    outlives_a_vpn(Kind::Firefox, TANDEM, Duration::from_secs(2));
}
