//! A guest in a browser and a Tandem that reach the server and not each other: media goes through the
//! server's own TURN.

#![cfg(target_os = "linux")]

use std::time::Duration;

use tandem_tests::authority::{Authority, Validity};
use tandem_tests::guest_browser::Kind;
use tandem_tests::process::wait_until;
use tandem_tests::{GuestBrowser, Network, Part, ServerProcess, Tandem, built, require};

const TIMEOUT: Duration = Duration::from_secs(90);
const TANDEM: usize = 0;
const GUEST: usize = 1;
const SERVER: usize = 2;

fn network() -> Network {
    let network = Network::with_addresses(&["10.1.0.1/24", "10.2.0.1/24", "10.1.0.3/24"])
        .expect("a network of three");
    let server = network.host(SERVER);
    server.add_address("10.2.0.3/24").expect("an address");
    server.without_ipv6().expect("IPv6 goes");
    for (number, gateway) in [(TANDEM, "10.1.0.3"), (GUEST, "10.2.0.3")] {
        let host = network.host(number);
        host.without_ipv6().expect("IPv6 goes");
        host.set_gateway(gateway).expect("a gateway");
    }
    network
}

#[test]
fn a_guest_in_chromium_calls_through_the_server() {
    require!(Part::Network, Part::Chromium);
    let network = network();
    let authority = Authority::new().expect("an authority");
    let identity = authority
        .sign(&["10.1.0.3"], Validity::Valid)
        .expect("a certificate");
    let mut command = network.host(SERVER).command(built("tandem-signaling"));
    command.args(["--listen", "10.1.0.3:443", "--turn-listen", "10.1.0.3:3478"]);
    command.args(["--turn-tls-name", "10.1.0.3"]);
    command.arg("--tls-cert").arg(&identity.cert);
    command.arg("--tls-key").arg(&identity.key);
    let _server = ServerProcess::start_command(command).expect("the server starts");

    let trusted = authority.file().display().to_string();
    let tandem = Tandem::start_on(
        network.host(TANDEM),
        [
            "--signaling",
            "https://10.1.0.3",
            "--ca-file",
            &trusted,
            "--room",
            "7-garden-lantern",
            "--invite",
            "--size",
            "320x180",
            "--speaker",
            "none",
            "--duration",
            "20s",
            "--wait",
            "90s",
        ],
    )
    .expect("tandem starts");

    let mut guest = GuestBrowser::open_on(network.host(GUEST), Kind::Chromium, &identity.cert)
        .expect("the browser opens");
    guest
        .visit("https://10.1.0.3/j/7#garden-lantern")
        .expect("the page opens");
    guest.press("join").expect("the guest joins");
    wait_until("a call", TIMEOUT, || {
        let page = guest
            .wait_for_screen("in-call|ended")
            .expect("the server answers");
        if page["screen"] == "in-call" {
            return Some(());
        }

        assert_eq!(page["reason"], "unknownCode", "{page}");
        guest.press("join-again").expect("the guest tries again");
        None
    })
    .expect("they connect");

    let outcome = tandem.finish(TIMEOUT).expect("the call ends by itself");
    let frames = outcome.figure("/video/received/frames");
    assert!(frames > 30.0, "the guest's video came: {frames} frames");
    outcome.assert_relayed("they cannot reach each other");
}
