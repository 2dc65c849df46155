//! A relay on a machine whose clock is set: only what has to do with the world's time follows it.
#![cfg(all(target_os = "linux", feature = "redis"))]

#[path = "support/process.rs"]
mod process;
#[path = "support/redis.rs"]
mod redis_server;
mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use process::{command, ready};
use redis_server::clock::Clock;
use redis_server::skip;
use support::{Peer, pair, within};

const DAY: i64 = 86_400;
const TTL: i64 = 3600;
/// A connection that is silent for so long is dead.
const SILENT: Duration = Duration::from_secs(3);

/// Seconds from the true time to the clock by which the TURN credentials are made.
async fn ahead(peer: &mut Peer) -> i64 {
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
async fn the_clock_of_the_relay_is_set_forward_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = match Clock::compile(folder.path()) {
        Ok(clock) => clock,
        Err(reason) => return skip(&reason),
    };

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
    let (_relay, address, _stdout) = ready(command).await;
    let ((mut a, found), (mut b, _)) = pair(address).await;
    let ((mut c, ended), (mut d, _)) = pair(address).await;

    assert!(
        ahead(&mut a).await.abs() < 60,
        "at first the clock is right"
    );

    c.send(json!({ "type": "end_session", "sessionId": ended["sessionId"] }))
        .await;
    c.expect("session_ended").await;
    d.expect("partner_left").await;

    for (round, seconds) in [(1, DAY), (2, -DAY), (3, 0)] {
        // One is away while the clock is set.
        let token = b.registered["resumeToken"].clone();
        drop(b.socket);
        a.expect("partner_reconnecting").await;
        clock.set(seconds);

        assert!(
            (ahead(&mut a).await - seconds).abs() < 60,
            "credentials are for the TURN server's clock: {seconds}"
        );

        // All are silent for the relay's own while, but for what their sockets answer by themselves.
        let quiet = Instant::now() + SILENT + Duration::from_secs(1);
        while Instant::now() < quiet {
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
            "the time to come back is not over"
        );

        a.expect("partner_resumed").await;
        back.registered["socketId"] = b.registered["socketId"].clone();
        b = back;
        a.send(candidate(&b, round)).await;

        assert_eq!(
            b.expect("ice_candidate").await["candidate"],
            round,
            "the call goes on"
        );

        // Ten minutes are not over either, and the report says the time that the clock shows.
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

    within("the last words", a.expect_quiet()).await;
}
