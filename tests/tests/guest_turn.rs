//! A guest in a browser and a Tandem that reach the server and not each other: media goes through the
//! server's own TURN.

#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::json;
use tandem_tests::authority::{Authority, Validity};
use tandem_tests::guest_browser::{INVITING, Kind, LINK};
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

/// A headless Tandem waits for a guest, who joins from the page.
fn calls_through_the_server(kind: Kind, codec: &str) {
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

    let address = "https://10.1.0.3";
    let trusted = authority.file().display().to_string();
    let server_arguments = ["--signaling", address, "--ca-file", &trusted];
    let media = ["--codec", codec, "--size", "320x180", "--duration", "60s"];
    let arguments = [&server_arguments[..], &INVITING, &media].concat();
    let tandem = Tandem::start_on(network.host(TANDEM), arguments).expect("tandem starts");

    let mut guest = GuestBrowser::open_on(network.host(GUEST), kind, &identity.cert)
        .expect("the browser opens");
    guest
        .visit(&format!("{address}{LINK}"))
        .expect("the page opens");
    guest.join().expect("they connect");
    guest
        .run(&json!({ "do": "frames", "video": "remote", "count": 20 }))
        .expect("the guest sees Tandem's video");
    guest.press("hang-up").expect("the guest hangs up");

    let outcome = tandem.finish(TIMEOUT).expect("the call ends there, too");
    outcome.assert_ok("Tandem");
    let frames = outcome.figure("/video/received/frames");
    assert!(frames > 10.0, "the guest's video came: {frames} frames");
    outcome.assert_relayed("they cannot reach each other");
}

#[test]
fn a_guest_in_chromium_calls_through_the_server() {
    require!(Part::Network, Part::Chromium);
    calls_through_the_server(Kind::Chromium, "h264");
}

#[test]
fn a_guest_in_firefox_calls_through_the_server() {
    require!(Part::Network, Part::Firefox);
    calls_through_the_server(Kind::Firefox, "vp8");
}
