//! A server on a machine whose clock is set: only what depends on the time of day follows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tandem_tests::{Part, require};
use tokio::time::{Instant, sleep};

use crate::support::clock::Clock;
use crate::support::process::{command, start_command};
use crate::support::{Peer, pair};

/// Seconds.
const DAY: i64 = 86_400;
/// How long TURN credentials are valid, in seconds.
const TTL: i64 = 3600;
/// The server's `--silent`: a connection that is silent for this long is dead.
const SILENT: Duration = Duration::from_secs(3);

/// How many seconds the clock that dates TURN credentials is ahead of the true time.
async fn seconds_ahead(peer: &mut Peer) -> i64 {
    peer.send(json!({ "type": "get_ice_servers" })).await;
    let servers = peer.expect("ice_servers").await;
    let name = servers["iceServers"][0]["username"]
        .as_str()
        .expect("a name")
        .to_owned();

    let expiry: i64 = name
        .split(':')
        .next()
        .and_then(|expiry| expiry.parse().ok())
        .expect("expiry:userId");

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    expiry - TTL - i64::try_from(now).expect("not yet")
}

fn candidate(to: &Peer, n: u64) -> Value {
    json!({ "type": "ice_candidate", "to": to.registered["socketId"], "candidate": n })
}

#[tokio::test]
async fn the_clock_of_the_server_is_set_forward_and_back() {
    require!(Part::CCompiler);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::compile(folder.path());
    let (name, library) = clock.environment();
    let mut command = command(&[
        "--listen",
        "127.0.0.1:0",
        "--heartbeat",
        "1s",
        "--silent",
        "3s",
        "--reports",
        "reports",
    ]);

    command.args([
        "--turn-url",
        "turn:127.0.0.1:3478",
        "--turn-secret",
        "0123456789abcdef",
        "--turn-ttl",
        "1h",
    ]);
    command.current_dir(folder.path()).env(name, library);
    let server = start_command(command);
    let address = server.address();

    let ((mut a, found), (mut b, _)) = pair(address).await;
    let ((mut c, ended), (mut d, _)) = pair(address).await;

    assert!(
        seconds_ahead(&mut a).await.abs() < 60,
        "the clock is right at first"
    );

    c.send(json!({ "type": "end_session", "sessionId": ended["sessionId"] }))
        .await;
    c.expect("session_ended").await;
    d.expect("partner_left").await;

    for (round, seconds) in [(1, DAY), (2, -DAY), (3, 0)] {
        // One client is away while the clock is set.
        let token = b.registered["resumeToken"].clone();
        drop(b.socket);
        a.expect("partner_reconnecting").await;
        clock.set(seconds);

        assert!(
            (seconds_ahead(&mut a).await - seconds).abs() < 60,
            "TURN credentials follow the clock: {seconds}"
        );

        // For longer than `--silent`: a server that measured silence by this clock would close
        // them.
        let end = Instant::now() + SILENT + Duration::from_secs(1);
        while Instant::now() < end {
            for peer in [&mut a, &mut c, &mut d] {
                peer.expect_quiet().await;
            }

            sleep(Duration::from_millis(300)).await;
        }

        let mut back = Peer::connect(address).await;
        back.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": round - 1 }))
            .await;
        assert_eq!(
            back.expect("resumed").await["sessionId"],
            found["sessionId"],
            "the time to resume is not over"
        );

        a.expect("partner_resumed").await;
        back.registered["socketId"] = b.registered["socketId"].clone();
        b = back;
        a.send(candidate(&b, round)).await;

        assert_eq!(
            b.expect("ice_candidate").await["candidate"],
            round,
            "the call continues"
        );

        // The ten minutes for a report are not over either. Its time is that of the clock.
        c.send(json!({ "type": "report", "sessionId": ended["sessionId"], "category": "spam" }))
            .await;
        c.expect("report_received").await;
        let reports =
            std::fs::read_to_string(folder.path().join("reports")).expect("a file of reports");
        let last: Value =
            serde_json::from_str(reports.lines().last().expect("a line")).expect("JSON");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let at = last["atMs"].as_i64().expect("a number") / 1000;

        assert!(
            (at - i64::try_from(now).expect("not yet") - seconds).abs() < 60,
            "{last}"
        );
    }

    a.expect_quiet().await;
}
