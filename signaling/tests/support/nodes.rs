//! Several relay processes over one Redis, and clients in a call across them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::redis_server::Redis;
use crate::support::{DEADLINE, Peer, raw, within};

/// One relay process.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Node {
    pub(crate) async fn start(redis: &Redis) -> Self {
        let node = Self::start_with(redis, &[]).await;
        node.ready(true).await;
        node
    }

    pub(crate) async fn start_with(redis: &Redis, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-signaling"));
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--redis",
                &redis.url(),
                "--drain-deadline",
                "1s",
            ])
            .args(args);

        command.args([
            "--rate-messages",
            "0",
            "--rate-find",
            "0",
            "--max-connections-per-address",
            "0",
        ]);

        command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = within("the line", stdout.next_line())
            .await
            .expect("text")
            .expect("a line");

        let address = line
            .split("ws://")
            .nth(1)
            .and_then(|rest| rest.strip_suffix("/ws"))
            .expect("an address");

        Self {
            child,
            address: address.parse().expect("an address"),
        }
    }

    pub(crate) async fn status(&self, path: &str) -> String {
        let answer = raw(
            self.address,
            format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").as_bytes(),
        )
        .await;

        String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the node takes new users, or no longer does.
    pub(crate) async fn ready(&self, ready: bool) {
        let wanted = if ready { "200" } else { "503" };
        eventually("readiness", async || self.status("/readyz").await == wanted).await;
    }

    /// As a machine that loses its power.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().expect("a running process");
        within("the end of the node", self.child.wait())
            .await
            .expect("a status");
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::connect(self.address).await
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(
            Instant::now() < deadline,
            "{what} did not come within {DEADLINE:?}"
        );

        sleep(Duration::from_millis(30)).await;
    }
}

pub(crate) fn room(code: &str) -> Value {
    json!({ "type": "find_partner", "room": code })
}

/// Two clients in a call, each on its node.
pub(crate) async fn pair(one: &Node, other: &Node) -> ((Peer, Value), (Peer, Value)) {
    let code = uuid::Uuid::new_v4().to_string();
    let (mut a, mut b) = (one.peer().await, other.peer().await);

    for peer in [&mut a, &mut b] {
        peer.send(room(&code)).await;
        peer.expect("searching").await;
    }

    let (found_a, found_b) = (
        a.expect("partner_found").await,
        b.expect("partner_found").await,
    );
    assert_eq!(found_a["sessionId"], found_b["sessionId"]);
    assert_ne!(
        found_a["initiator"], found_b["initiator"],
        "exactly one side offers"
    );

    assert_eq!(
        (&found_a["socketId"], &found_b["socketId"]),
        (&b.registered["socketId"], &a.registered["socketId"])
    );

    ((a, found_a), (b, found_b))
}

pub(crate) fn candidate(to: &Peer, n: u64) -> Value {
    json!({ "type": "ice_candidate", "to": to.registered["socketId"], "candidate": n })
}

pub(crate) async fn resume(node: &Node, old: &Peer, last_seq: u64) -> (Peer, Value) {
    let mut peer = node.peer().await;
    let token = &old.registered["resumeToken"];
    peer.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": last_seq }))
        .await;
    let resumed = peer.expect("resumed").await;
    // It goes on under its old name.
    peer.registered["socketId"] = old.registered["socketId"].clone();

    (peer, resumed)
}
