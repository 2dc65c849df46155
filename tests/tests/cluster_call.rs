//! A whole call as an operator's users have it: two nodes over one Redis, each peer on its own
//! node, and media through coturn. One of the nodes dies during the call.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::wait_until;
use tandem_tests::tap::count;
use tandem_tests::{Balancer, Coturn, Outcome, Part, Redis, ServerProcess, Tandem, Tap, require};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a recorded frame of 320x180: I420 and its marker.
const FRAME: u64 = 320 * 180 * 3 / 2 + 6;
/// Freezes up to this are the encoder's or the machine's; longer ones are not.
const FREEZE_MS: f64 = 700.0;

/// One of the two peers.
struct Peer {
    tandem: Tandem,
    /// Reads the messages between the peer and the nodes.
    tap: Tap,
    recording: PathBuf,
}

impl Peer {
    /// It reaches both nodes at one address, which leads to `home` while that is alive.
    fn start(home: &ServerProcess, other: &ServerProcess, recording: PathBuf) -> Self {
        let front = Balancer::start(&[home.address(), other.address()]).expect("a port");
        let tap = Tap::start(front.address()).expect("a port");
        let url = tap.url();
        let arguments = [
            "--signaling",
            &url,
            "--room",
            "cluster",
            "--relay-only",
            "--size",
            "320x180",
        ];

        let more = [
            "--speaker",
            "none",
            "--wait",
            "30s",
            "--record-video",
            recording.to_str().expect("a plain path"),
        ];
        let tandem = Tandem::start([&arguments[..], &more[..]].concat()).expect("tandem starts");
        Self {
            tandem,
            tap,
            recording,
        }
    }

    /// How many remote frames it has recorded so far.
    fn frames(&self) -> u64 {
        fs::metadata(&self.recording).map_or(0, |file| file.len() / FRAME)
    }

    fn wait_for_frames(&self, count: u64) {
        wait_until("frames", TIMEOUT, || (self.frames() >= count).then_some(()))
            .expect("frames arrive");
    }

    fn wait_for_message(&self, kind: &str) -> Value {
        let news = || {
            self.tap
                .heard()
                .into_iter()
                .find(|message| message["type"] == kind)
        };

        wait_until(kind, TIMEOUT, news).expect("the node sends it")
    }
}

/// Which peer ends the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangsUp {
    /// The one whose node died.
    Moved,
    /// The one whose node is alive.
    Stayed,
}

fn assert_relayed_call(outcome: &Outcome, who: &str) {
    // This also says that the call ended properly, and that this side was notified: silence would
    // be `PARTNER_VANISHED`.
    outcome.assert_ok(who);
    outcome.assert_relayed(who);
    assert!(
        outcome.figure("/video/sent/frames") > 90.0,
        "{who}: frames were sent: {}",
        outcome.report["video"]
    );

    assert!(
        outcome.figure("/audio/received/packets") > 100.0,
        "{who}: audio arrived: {}",
        outcome.report["audio"]
    );

    let frozen = outcome.figure("/video/received/frozenMs");
    assert!(
        frozen < FREEZE_MS,
        "{who}: video did not freeze when the node died: {frozen} ms"
    );

    let samples = outcome.report["bitrate"].as_array().expect("a list");
    let still = samples
        .iter()
        .skip(2)
        .filter(|sample| sample["receivedBps"] == 0)
        .count();

    assert!(
        samples.len() > 4 && still == 0,
        "{who}: media arrived all the time: {samples:?}"
    );
}

fn a_node_dies_during_the_call(hangs_up: HangsUp) {
    let turn = Coturn::start("a shared secret").expect("coturn starts");
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let node = || {
        let flags = [
            "--redis",
            &url,
            "--turn-url",
            &turn.url(),
            "--turn-secret",
            turn.secret(),
        ];
        let server = ServerProcess::start_with(&flags).expect("the node starts");
        server.wait_until_ready().expect("it connects to Redis");

        server
    };

    let (mut doomed, survivor) = (node(), node());
    let moved = Peer::start(&doomed, &survivor, folder.path().join("moved.y4m"));
    let stayed = Peer::start(&survivor, &doomed, folder.path().join("stayed.y4m"));

    for peer in [&moved, &stayed] {
        peer.wait_for_frames(45);
    }

    for node in [&doomed, &survivor] {
        assert_eq!(
            node.metric("tandem_connections").expect("metrics"),
            1.0,
            "each peer is on its own node"
        );
    }

    let session = moved.wait_for_message("partner_found")["sessionId"]
        .as_str()
        .expect("an id")
        .to_owned();

    let stored = |what: &str| {
        let answer = redis
            .ask(&format!("EXISTS session:{session}"))
            .expect("Redis answers");
        assert!(answer == ":0" || answer == ":1", "{what}: {answer}");
        answer == ":1"
    };

    assert!(stored("in the call"), "the call is in Redis");

    doomed.process().signal(libc::SIGKILL);
    doomed.process().wait(TIMEOUT).expect("a killed node exits");
    let seen = [&moved, &stayed].map(Peer::frames);
    let resumed = moved.wait_for_message("resumed");

    assert_eq!(
        resumed["sessionId"],
        session.as_str(),
        "the same call, on the other node: {resumed}"
    );

    for news in ["partner_reconnecting", "partner_resumed"] {
        assert_eq!(
            stayed.wait_for_message(news)["sessionId"],
            session.as_str(),
            "the partner is notified"
        );
    }

    for (peer, seen) in [&moved, &stayed].into_iter().zip(seen) {
        peer.wait_for_frames(seen + 60);
    }

    assert_eq!(
        survivor.metric("tandem_connections").expect("metrics"),
        2.0,
        "both are on the node that is alive"
    );
    assert!(stored("after the death"), "the call is still in Redis");

    let (mut first, mut second) = match hangs_up {
        HangsUp::Moved => (moved, stayed),
        HangsUp::Stayed => (stayed, moved),
    };

    first.tandem.process().signal(libc::SIGINT);
    let left = second.wait_for_message("partner_left");
    assert_eq!(
        (&left["sessionId"], &left["reason"]),
        (&session.as_str().into(), &"left".into()),
        "the partner was told, and did not have to guess"
    );

    second
        .tandem
        .process()
        .wait(TIMEOUT)
        .expect("hanging up ends the other peer's call, too");

    wait_until("the end of the call in Redis", TIMEOUT, || {
        (!stored("after the end")).then_some(())
    })
    .expect("it ends");

    for (who, peer) in [
        ("the side that hung up", first),
        ("the side that was hung up on", second),
    ] {
        let said = peer.tap.said();
        assert_eq!(
            count(&said, "find_partner"),
            1,
            "{who}: it did not search again"
        );

        let outcome = peer.tandem.finish(TIMEOUT).expect("the call ends");
        assert_eq!(
            outcome.report["sessionId"],
            session.as_str(),
            "{who}: one session from start to end"
        );
        assert_relayed_call(&outcome, who);
    }
}

#[test]
fn a_peer_whose_node_died_resumes_on_another_and_can_hang_up_there() {
    require!(Part::Coturn, Part::Redis);
    a_node_dies_during_the_call(HangsUp::Moved);
}

#[test]
fn a_peer_whose_node_died_learns_on_another_that_the_partner_hung_up() {
    require!(Part::Coturn, Part::Redis);
    a_node_dies_during_the_call(HangsUp::Stayed);
}
