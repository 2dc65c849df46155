//! A whole call as an operator's users have it: two relays over one Redis, coturn in the middle of the media, each peer
//! on a relay of its own. One of the relays dies in the call.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::process::wait_until;
use tandem_tests::tap::count;
use tandem_tests::{Balancer, Coturn, Outcome, Part, Redis, Relay, Tandem, Tap, require};

const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a recorded picture of 320x180: I420, and its marker.
const PICTURE: u64 = 320 * 180 * 3 / 2 + 6;
/// A longer standstill than this is not the encoder's or the machine's.
const STANDSTILL_MS: f64 = 700.0;

/// One of the two in the call.
struct Peer {
    tandem: Tandem,
    /// Between it and the relays.
    tap: Tap,
    recording: PathBuf,
}

impl Peer {
    /// It reaches the relays at one address, which leads to `home` as long as that lives.
    fn start(home: &Relay, other: &Relay, recording: PathBuf) -> Self {
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

    /// How many of the partner's pictures it has recorded so far.
    fn pictures(&self) -> u64 {
        fs::metadata(&self.recording).map_or(0, |file| file.len() / PICTURE)
    }

    fn wait_for_pictures(&self, count: u64) {
        wait_until("pictures", PATIENCE, || {
            (self.pictures() >= count).then_some(())
        })
        .expect("pictures come");
    }

    fn wait_for_news(&self, kind: &str) -> Value {
        let news = || {
            self.tap
                .heard()
                .into_iter()
                .find(|message| message["type"] == kind)
        };

        wait_until(kind, PATIENCE, news).expect("the relay tells")
    }
}

/// Who ends the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HangsUp {
    /// The one whose relay died.
    Moved,
    /// The one whose relay lives.
    Stayed,
}

fn assert_relayed_call(outcome: &Outcome, who: &str) {
    // Also: the end was an orderly one, of which this side heard at once. Silence would be `PARTNER_VANISHED`.
    outcome.assert_ok(who);
    outcome.assert_relayed(who);
    assert!(
        outcome.figure("/video/sent/frames") > 90.0,
        "{who}: pictures went out: {}",
        outcome.report["video"]
    );

    assert!(
        outcome.figure("/audio/received/packets") > 100.0,
        "{who}: sound came: {}",
        outcome.report["audio"]
    );

    let frozen = outcome.figure("/video/received/frozenMs");
    assert!(
        frozen < STANDSTILL_MS,
        "{who}: the pictures did not stand still when the relay died: {frozen} ms"
    );

    let samples = outcome.report["bitrate"].as_array().expect("a list");
    let still = samples
        .iter()
        .skip(2)
        .filter(|sample| sample["receivedBps"] == 0)
        .count();

    assert!(
        samples.len() > 6 && still == 0,
        "{who}: something came all the time: {samples:?}"
    );
}

fn a_relay_dies_in_the_call(hangs_up: HangsUp) {
    let turn = Coturn::start("a shared secret").expect("coturn comes up");
    let redis = Redis::start().expect("Redis comes up");
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
        let relay = Relay::start_with(&flags).expect("the relay starts");
        relay.wait_until_ready().expect("it finds Redis");

        relay
    };

    let (mut doomed, survivor) = (node(), node());
    let moved = Peer::start(&doomed, &survivor, folder.path().join("moved.y4m"));
    let stayed = Peer::start(&survivor, &doomed, folder.path().join("stayed.y4m"));

    for peer in [&moved, &stayed] {
        peer.wait_for_pictures(45);
    }

    for node in [&doomed, &survivor] {
        assert_eq!(
            node.metric("tandem_connections").expect("metrics"),
            1.0,
            "each peer has a relay of its own"
        );
    }

    let session = moved.wait_for_news("partner_found")["sessionId"]
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
    doomed
        .process()
        .wait(PATIENCE)
        .expect("nothing survives that");
    let seen = [&moved, &stayed].map(Peer::pictures);
    let resumed = moved.wait_for_news("resumed");

    assert_eq!(
        resumed["sessionId"],
        session.as_str(),
        "the same call, on the relay that lives: {resumed}"
    );

    for news in ["partner_reconnecting", "partner_resumed"] {
        assert_eq!(
            stayed.wait_for_news(news)["sessionId"],
            session.as_str(),
            "the partner hears of it"
        );
    }

    for (peer, seen) in [&moved, &stayed].into_iter().zip(seen) {
        peer.wait_for_pictures(seen + 60);
    }

    assert_eq!(
        survivor.metric("tandem_connections").expect("metrics"),
        2.0,
        "both are on the relay that lives"
    );
    assert!(stored("after the death"), "the call is still in Redis");

    let (mut first, mut second) = match hangs_up {
        HangsUp::Moved => (moved, stayed),
        HangsUp::Stayed => (stayed, moved),
    };

    first.tandem.process().signal(libc::SIGINT);
    let left = second.wait_for_news("partner_left");
    assert_eq!(
        (&left["sessionId"], &left["reason"]),
        (&session.as_str().into(), &"left".into()),
        "said, not guessed"
    );

    second
        .tandem
        .process()
        .wait(PATIENCE)
        .expect("that ends the other's call, too");

    wait_until("the end of the call in Redis", PATIENCE, || {
        (!stored("after the end")).then_some(())
    })
    .expect("it ends");

    for (who, peer) in [("who hung up", first), ("who was left", second)] {
        let said = peer.tap.said();
        assert_eq!(
            count(&said, "find_partner"),
            1,
            "{who}: nobody was searched for again"
        );

        let outcome = peer.tandem.finish(PATIENCE).expect("the call ends");
        assert_eq!(
            outcome.report["sessionId"],
            session.as_str(),
            "{who}: one session from beginning to end"
        );
        assert_relayed_call(&outcome, who);
    }
}

#[test]
fn who_lost_the_relay_goes_on_at_another_and_can_hang_up_there() {
    require!(Part::Coturn, Part::Redis);
    a_relay_dies_in_the_call(HangsUp::Moved);
}

#[test]
fn who_lost_the_relay_hears_at_another_that_the_partner_hung_up() {
    require!(Part::Coturn, Part::Redis);
    a_relay_dies_in_the_call(HangsUp::Stayed);
}
