//! Several server processes that share a Redis, and clients in a call across them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_tests::{Redis, ServerProcess};
use tokio::time::sleep;

use super::process::{command, start_command};
use super::{DEADLINE, Peer, raw};

/// One server process.
pub(crate) struct Node {
    server: ServerProcess,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts a node and waits until it accepts new users.
    pub(crate) async fn start(redis: &Redis) -> Self {
        let node = Self::start_with(redis, &[]);
        node.ready(true).await;
        node
    }

    /// Starts a node with these flags, without limits that a test would run into.
    pub(crate) fn start_with(redis: &Redis, args: &[&str]) -> Self {
        let mut command = command(&["--listen", "127.0.0.1:0", "--redis", &redis.url()]);
        command.args(["--drain-deadline", "1s"]).args(args);
        command.args([
            "--rate-messages",
            "0",
            "--rate-find",
            "0",
            "--rate-rooms",
            "0",
        ]);
        command.args(["--max-connections-per-address", "0"]);

        let server = start_command(command);
        let address = server.address();
        Self { server, address }
    }

    /// The process, for its metrics.
    pub(crate) fn server(&self) -> &ServerProcess {
        &self.server
    }

    /// The HTTP status of a path.
    pub(crate) async fn status(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: tandem\r\n\r\n");
        let answer = raw(self.address, request.as_bytes()).await;

        String::from_utf8_lossy(&answer)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the node accepts new users, or no longer does.
    pub(crate) async fn ready(&self, ready: bool) {
        let wanted = if ready { "200" } else { "503" };
        eventually("readiness", async || self.status("/readyz").await == wanted).await;
    }

    /// Kills the node, as when its machine loses power.
    pub(crate) fn kill(mut self) {
        let process = self.server.process();
        process.signal(libc::SIGKILL);
        process.wait(DEADLINE).expect("the node ends");
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::connect(self.address).await
    }
}

/// Asks until `holds` is true; fails after [`DEADLINE`].
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

/// A search in a room.
pub(crate) fn room(code: &str) -> Value {
    json!({ "type": "find_partner", "room": code })
}

/// Two clients in a call, each on its node, with their `partner_found`.
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
        "exactly one side makes the offer"
    );

    assert_eq!(
        (&found_a["socketId"], &found_b["socketId"]),
        (&b.registered["socketId"], &a.registered["socketId"])
    );

    ((a, found_a), (b, found_b))
}

/// A candidate with a number, for this client.
pub(crate) fn candidate(to: &Peer, n: u64) -> Value {
    json!({ "type": "ice_candidate", "to": to.registered["socketId"], "candidate": n })
}

/// Resumes a client on this node: the new connection and its `resumed`.
pub(crate) async fn resume(node: &Node, old: &Peer, last_seq: u64) -> (Peer, Value) {
    let mut peer = node.peer().await;
    let token = &old.registered["resumeToken"];
    peer.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": last_seq }))
        .await;
    let resumed = peer.expect("resumed").await;
    // The resumed client keeps its socketId.
    peer.registered["socketId"] = old.registered["socketId"].clone();

    (peer, resumed)
}
