//! A call whose way to the relay breaks: it goes on, at the relay, too.

#![cfg(unix)]

use std::thread::sleep;
use std::time::Duration;

use tandem_tests::process::wait_until;
use tandem_tests::tap::count;
use tandem_tests::{Relay, Tandem, Tap};

const PATIENCE: Duration = Duration::from_secs(60);

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
fn the_session_survives_a_broken_wire_and_can_be_ended_properly() {
    let relay = Relay::start().expect("the relay starts");
    let tap = Tap::start(relay.address()).expect("a port");
    // The one behind the wire hangs up; the other hears of it over the relay.
    let peers = [
        tandem(&tap.url(), &["--duration", "8s"]),
        tandem(&relay.url(), &[]),
    ];

    let negotiated = || {
        let said = tap.said();
        (count(&said, "webrtc_offer") + count(&said, "webrtc_answer") > 0
            && count(&said, "ice_candidate") > 0)
            .then_some(())
    };

    wait_until("the handshake", PATIENCE, negotiated).expect("the call comes about");
    for round in 1..=2 {
        tap.cut();
        // How long the wire is down.
        sleep(Duration::from_millis(700));
        tap.mend();
        wait_until("the way back", PATIENCE, || {
            (count(&tap.said(), "resume") == round).then_some(())
        })
        .expect("the client comes back");
    }

    let [behind, other] = peers.map(|peer| peer.finish(PATIENCE).expect("the call ends"));
    behind.assert_ok("behind the wire");
    other.assert_ok("the other one");

    assert_eq!(
        behind.report["sessionId"], other.report["sessionId"],
        "one session from beginning to end"
    );

    let said = tap.said();
    let end = said.iter().find(|message| message["type"] == "end_session");
    let end = end.unwrap_or_else(|| panic!("the end was said on the resumed connection: {said:?}"));

    assert_eq!(
        end["sessionId"], behind.report["sessionId"],
        "of the same session"
    );

    assert_eq!(
        count(&said, "find_partner"),
        1,
        "nobody had to be searched for again"
    );
}
