//! A call whose connection to the signaling server breaks: the call and its session continue.

#![cfg(unix)]

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::process::wait_until;
use tandem_tests::tap::count;
use tandem_tests::{ServerProcess, Tandem, Tap};

const TIMEOUT: Duration = Duration::from_secs(60);

fn tandem(url: &str, more: &[&str]) -> Tandem {
    let arguments = [
        "--signaling",
        url,
        "--room",
        "resume",
        "--size",
        "640x360",
        "--speaker",
        "none",
    ];
    Tandem::start([&arguments[..], more].concat()).expect("tandem starts")
}

#[test]
fn the_session_survives_a_broken_connection_and_ends_properly() {
    let server = ServerProcess::start().expect("the server starts");
    let tap = Tap::start(server.address()).expect("a port");
    // The peer with the broken connection hangs up; the other is notified through the server.
    let peers = [
        tandem(&tap.url(), &["--duration", "8s"]),
        tandem(&server.url(), &[]),
    ];

    let negotiated = || {
        let said = tap.said();
        (count(&said, "webrtc_offer") + count(&said, "webrtc_answer") > 0
            && count(&said, "ice_candidate") > 0)
            .then_some(())
    };

    wait_until("the handshake", TIMEOUT, negotiated).expect("the call connects");
    for round in 1..=2 {
        tap.cut();
        // How long the connection is down.
        sleep(Duration::from_millis(700));
        tap.mend();
        wait_until("the reconnection", TIMEOUT, || {
            (count(&tap.said(), "resume") == round).then_some(())
        })
        .expect("the client reconnects");
    }

    let [behind, other] = peers.map(|peer| peer.finish(TIMEOUT).expect("the call ends"));
    behind.assert_ok("the peer with the broken connection");
    other.assert_ok("the other peer");

    assert_eq!(
        behind.report["sessionId"], other.report["sessionId"],
        "one session from start to end"
    );

    let said = tap.said();
    let end = said.iter().find(|message| message["type"] == "end_session");
    let end = end.unwrap_or_else(|| panic!("the resumed connection carries end_session: {said:?}"));

    assert_eq!(
        end["sessionId"], behind.report["sessionId"],
        "it names the same session"
    );

    assert_eq!(count(&said, "find_partner"), 1, "no new search was needed");
}
