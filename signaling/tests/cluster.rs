//! Several relay processes over a real Redis: matching, relaying and resuming across nodes, and each of them killed.
#![cfg(all(unix, feature = "redis"))]
#![allow(clippy::print_stdout, reason = "a figure that is measured on the way")]

#[path = "support/redis.rs"]
mod redis_server;
mod support;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use redis::Commands;
use redis_server::Redis;
use serde_json::{Value, json};
use support::{DEADLINE, Peer, raw, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// One relay process.
struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    async fn start(redis: &Redis) -> Self {
        let node = Self::start_with(redis, &[]).await;
        node.ready(true).await;
        node
    }

    async fn start_with(redis: &Redis, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-signaling"));
        command.args(["--listen", "127.0.0.1:0", "--redis", &redis.url(), "--drain-deadline", "1s"]).args(args);
        command.args(["--rate-messages", "0", "--rate-find", "0", "--max-connections-per-address", "0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = within("the line", stdout.next_line()).await.expect("text").expect("a line");
        let address = line.split("ws://").nth(1).and_then(|rest| rest.strip_suffix("/ws")).expect("an address");
        Self { child, address: address.parse().expect("an address") }
    }

    async fn status(&self, path: &str) -> String {
        let answer = raw(self.address, format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").as_bytes()).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// Waits until the node takes new users, or no longer does.
    async fn ready(&self, ready: bool) {
        let wanted = if ready { "200" } else { "503" };
        eventually("readiness", async || self.status("/readyz").await == wanted).await;
    }

    /// As a machine that loses its power.
    async fn kill(mut self) {
        self.child.start_kill().expect("a running process");
        within("the end of the node", self.child.wait()).await.expect("a status");
    }

    async fn peer(&self) -> Peer {
        Peer::connect(self.address).await
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come within {DEADLINE:?}");
        sleep(Duration::from_millis(30)).await;
    }
}

fn room(code: &str) -> Value {
    json!({ "type": "find_partner", "room": code })
}

/// Two clients in a call, each on its node.
async fn pair(one: &Node, other: &Node) -> ((Peer, Value), (Peer, Value)) {
    let code = uuid::Uuid::new_v4().to_string();
    let (mut a, mut b) = (one.peer().await, other.peer().await);
    for peer in [&mut a, &mut b] {
        peer.send(room(&code)).await;
        peer.expect("searching").await;
    }
    let (found_a, found_b) = (a.expect("partner_found").await, b.expect("partner_found").await);
    assert_eq!(found_a["sessionId"], found_b["sessionId"]);
    assert_ne!(found_a["initiator"], found_b["initiator"], "exactly one side offers");
    assert_eq!((&found_a["socketId"], &found_b["socketId"]), (&b.registered["socketId"], &a.registered["socketId"]));
    ((a, found_a), (b, found_b))
}

fn candidate(to: &Peer, n: u64) -> Value {
    json!({ "type": "ice_candidate", "to": to.registered["socketId"], "candidate": n })
}

async fn resume(node: &Node, old: &Peer, last_seq: u64) -> (Peer, Value) {
    let mut peer = node.peer().await;
    let token = &old.registered["resumeToken"];
    peer.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": last_seq })).await;
    let resumed = peer.expect("resumed").await;
    // It goes on under its old name.
    peer.registered["socketId"] = old.registered["socketId"].clone();
    (peer, resumed)
}

#[tokio::test]
async fn a_call_across_two_nodes_from_match_to_end() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let mut store = redis.connect();
    let ((mut a, found), (mut b, _)) = pair(&one, &other).await;
    let session = found["sessionId"].as_str().expect("an id").to_owned();
    let record: String = store.get(format!("session:{session}")).expect("the session's key");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["id"], found["sessionId"]);
    let users = [record["userId1"].clone(), record["userId2"].clone()];
    assert!(users.contains(&a.registered["userId"]) && users.contains(&b.registered["userId"]), "{record}");
    let started = record["startedAt"].as_str().expect("a date");
    assert!(started.len() == 24 && started.starts_with("20") && started.ends_with('Z'), "ISO 8601: {started}");
    let ttl: i64 = store.ttl(format!("session:{session}")).expect("an expiry");
    assert!((3500..=3600).contains(&ttl), "an hour, not {ttl} s");
    assert!(store.sismember::<_, _, bool>("active_sessions", &session).expect("a set"));
    let others: Vec<_> = redis.keys().into_iter().filter(|key| !key.starts_with("{tandem}:")).collect();
    assert_eq!(others, ["active_sessions".to_owned(), format!("session:{session}")], "all else has the prefix");

    for n in 1..=50 {
        a.send(candidate(&b, n)).await;
    }
    for n in 1..=50 {
        let heard = b.expect("ice_candidate").await;
        assert_eq!((&heard["candidate"], &heard["seq"]), (&json!(n), &json!(n)), "in order, each once");
    }
    b.send(candidate(&b, 1)).await;
    b.expect_error("not_partner").await;
    a.send(json!({ "type": "end_session", "sessionId": session })).await;
    a.expect("session_ended").await;
    assert_eq!(b.expect("partner_left").await["reason"], "left");
    eventually("the end of the session's keys", async || {
        !redis.keys().iter().any(|key| key.starts_with("session:") || key == "active_sessions")
    })
    .await;

    // Who has just left the other waits 10 s, across nodes, too; somebody new comes first.
    for (n, peer) in [&mut a, &mut b].into_iter().enumerate() {
        peer.send(json!({ "type": "find_partner" })).await;
        peer.expect("searching").await;
        // `searching` comes before the store has heard of it; their order there is what counts.
        let mut store = redis.connect();
        eventually("a place in the queue", async || store.zcard::<_, usize>("{tandem}:queue").expect("a set") == n + 1)
            .await;
    }
    let mut c = other.peer().await;
    c.send(json!({ "type": "find_partner" })).await;
    c.expect("searching").await;
    assert_eq!(c.expect("partner_found").await["partnerId"], a.registered["userId"], "a waited longest");
    a.expect("partner_found").await;
    b.send(json!({ "type": "cancel_search" })).await;
    b.expect("search_cancelled").await;
    a.send(json!({ "type": "block", "partnerId": c.registered["userId"] })).await;
    a.expect("session_ended").await;
    a.expect("blocked").await;
    assert_eq!(c.expect("partner_left").await["reason"], "blocked");
    for peer in [&mut a, &mut c] {
        peer.send(room("never")).await;
        peer.expect("searching").await;
    }
    for mut peer in [a, b, c] {
        peer.expect_quiet().await;
        peer.send(json!({ "type": "bye" })).await;
        peer.expect_close().await;
    }
    eventually("an empty store", async || redis.keys() == ["{tandem}:nodes", "{tandem}:rank"]).await;
}

#[tokio::test]
async fn interests_and_holds_hold_across_nodes() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let find = |interests: &[&str]| json!({ "type": "find_partner", "interests": interests });
    let (mut a, mut b, mut c) = (one.peer().await, other.peer().await, other.peer().await);
    let began = Instant::now();
    for (n, (peer, interests)) in [(&mut a, &["x"][..]), (&mut b, &["y", "z"])].into_iter().enumerate() {
        peer.send(find(interests)).await;
        peer.expect("searching").await;
        let mut store = redis.connect();
        eventually("a place in the queue", async || store.zcard::<_, usize>("{tandem}:queue").expect("a set") == n + 1)
            .await;
    }
    c.send(find(&["z", "w", "y"])).await;
    c.expect("searching").await;
    let found = c.expect("partner_found").await;
    assert_eq!(found["partnerId"], b.registered["userId"], "two interests in common go before the longer wait");
    assert_eq!(found["interests"], json!(["y", "z"]), "in the older entry's order");
    b.expect("partner_found").await;
    let mut d = other.peer().await;
    d.send(find(&["v"])).await;
    d.expect("searching").await;
    d.expect("partner_found").await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(4900), "strangers with interests are held for 5 s, not {waited:?}");
    assert!(waited < Duration::from_secs(9), "and no longer: {waited:?}");
    a.expect("partner_found").await;
}

#[tokio::test]
async fn a_client_moves_to_another_node_with_its_call() {
    let Some(redis) = Redis::start() else { return };
    let (one, other, third) = (Node::start(&redis).await, Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &one).await;
    b.send(candidate(&a, 1)).await;
    a.expect("ice_candidate").await;
    a.socket.close(None).await.expect("an open connection");
    b.expect("partner_reconnecting").await;
    b.send(candidate(&a, 2)).await;
    b.expect_quiet().await;
    // From its first node to another: the messages that were kept come along.
    let (mut a, resumed) = resume(&other, &a, 1).await;
    assert_eq!((&resumed["missed"], &resumed["sessionId"]), (&json!(1), &found["sessionId"]));
    assert_eq!(a.expect("ice_candidate").await["seq"], 2);
    b.expect("partner_resumed").await;
    a.send(candidate(&b, 3)).await;
    assert_eq!(b.expect("ice_candidate").await["candidate"], 3);
    b.send(candidate(&a, 4)).await;
    assert_eq!(a.expect("ice_candidate").await["seq"], 3);
    // To a third, while the second still holds the old connection.
    let (mut c, resumed) = resume(&third, &a, 3).await;
    assert_eq!(resumed["missed"], 0);
    assert_eq!(a.expect_close().await, 4002, "replaced");
    b.expect("partner_reconnecting").await;
    b.expect("partner_resumed").await;
    b.send(candidate(&c, 5)).await;
    assert_eq!(c.expect("ice_candidate").await["seq"], 4);
    c.send(json!({ "type": "end_session", "sessionId": found["sessionId"] })).await;
    c.expect("session_ended").await;
    assert_eq!(b.expect("partner_left").await["reason"], "left");
    let mut stale = other.peer().await;
    stale.send(json!({ "type": "resume", "resumeToken": a.registered["resumeToken"], "lastSeq": 0 })).await;
    stale.expect_error("unauthorized").await;
    stale.send(room("r")).await;
    stale.expect("searching").await;
}

#[tokio::test]
async fn a_node_dies_and_everybody_else_goes_on() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((lost, _), (mut b, found)) = pair(&one, &other).await;
    let ((c, _), (mut d, _)) = pair(&one, &other).await;
    let mut waiting = one.peer().await;
    waiting.send(room("w")).await;
    waiting.expect("searching").await;
    one.kill().await;
    let killed = Instant::now();
    // Nobody is matched with who waited on the dead node.
    let mut alone = other.peer().await;
    alone.send(room("w")).await;
    alone.expect("searching").await;
    alone.expect_quiet().await;
    // Who comes back in time on another node keeps the call.
    let (mut c, resumed) = resume(&other, &c, 0).await;
    assert!(resumed["sessionId"].is_string(), "the call goes on: {resumed}");
    d.expect("partner_reconnecting").await;
    d.expect("partner_resumed").await;
    c.send(candidate(&d, 1)).await;
    assert_eq!(d.expect("ice_candidate").await["candidate"], 1);
    d.send(candidate(&c, 2)).await;
    assert_eq!(c.expect("ice_candidate").await["candidate"], 2);
    // A message to the dead node is not lost in silence.
    b.send(candidate(&lost, 1)).await;
    b.expect_error("partner_gone").await;
    let left = b.expect("partner_left").await;
    assert_eq!((&left["reason"], &left["sessionId"]), (&json!("node_lost"), &found["sessionId"]));
    assert!(killed.elapsed() < Duration::from_secs(20), "within 20 s, not {:?}", killed.elapsed());
    let mut late = other.peer().await;
    late.send(json!({ "type": "resume", "resumeToken": lost.registered["resumeToken"], "lastSeq": 0 })).await;
    late.expect_error("unauthorized").await;
    alone.expect_quiet().await;
    for mut peer in [b, c, d, alone, late] {
        peer.send(json!({ "type": "bye" })).await;
        peer.expect_close().await;
    }
    eventually("an empty store", async || redis.keys() == ["{tandem}:nodes", "{tandem}:rank"]).await;
    let mut store = redis.connect();
    eventually("one node", async || store.zcard::<_, i64>("{tandem}:nodes").expect("a set") == 1).await;
}

/// Every node in turn is killed while users stream in, are matched and resume; whoever is on a node that lives ends up
/// with a live partner or waits alone, and the store forgets the dead.
#[tokio::test]
async fn nodes_die_in_the_middle_of_matching_and_of_a_resume() {
    let Some(redis) = Redis::start() else { return };
    let survivor = Node::start(&redis).await;
    for _ in 0..2 {
        let victim = Node::start(&redis).await;
        let ((moving, _), (mut stays, _)) = pair(&victim, &survivor).await;
        let mut there = Vec::new();
        for _ in 0..6 {
            there.push(victim.peer().await);
        }
        let mut here = Vec::new();
        for _ in 0..6 {
            here.push(survivor.peer().await);
        }
        let find = json!({ "type": "find_partner" });
        for peer in &mut there {
            peer.send(find.clone()).await;
        }
        // The resume asks the node that is killed at this moment.
        let mut resuming = survivor.peer().await;
        let token = &moving.registered["resumeToken"];
        resuming.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 })).await;
        victim.kill().await;
        for peer in &mut here {
            peer.send(find.clone()).await;
        }
        // Handed over before the end or adopted after it: the call goes on.
        assert!(resuming.expect("resumed").await["sessionId"].is_string());
        stays.expect("partner_reconnecting").await;
        stays.expect("partner_resumed").await;
        stays.send(json!({ "type": "ice_candidate", "to": moving.registered["socketId"], "candidate": 1 })).await;
        resuming.expect("ice_candidate").await;
        // All six are matched with each other, some after they had lost somebody.
        let mut sessions = std::collections::BTreeMap::<String, usize>::new();
        for peer in &mut here {
            let mut session = None;
            while session.is_none() {
                let message: Value = serde_json::from_str(&peer.next().await.expect("open")).expect("JSON");
                match message["type"].as_str() {
                    Some("searching") => {}
                    Some("partner_found") if message["partnerId"].is_string() => {
                        session = Some(message["sessionId"].as_str().expect("an id").to_owned());
                    }
                    _ => panic!("{message}"),
                }
            }
            *sessions.entry(session.expect("found")).or_default() += 1;
        }
        assert!(sessions.values().all(|&sides| sides <= 2), "nobody has two partners: {sessions:?}");
        assert!(sessions.values().any(|&sides| sides == 2), "the living found each other: {sessions:?}");
        for mut peer in here.into_iter().chain([stays, resuming]) {
            peer.send(json!({ "type": "bye" })).await;
            peer.expect_close().await;
        }
    }
    eventually("an empty store", async || redis.keys() == ["{tandem}:nodes", "{tandem}:rank"]).await;
}

/// 2,000 users from two nodes; the bound is the issue's, with room for a machine that does other things, too.
#[tokio::test]
async fn two_thousand_users_are_matched_over_redis() {
    let Some(redis) = Redis::start() else { return };
    let nodes = [Node::start(&redis).await, Node::start(&redis).await];
    let mut peers = Vec::new();
    for n in 0..2000usize {
        peers.push(nodes[n % 2].peer().await);
    }
    let began = Instant::now();
    let find = json!({ "type": "find_partner" }).to_string();
    for peer in &mut peers {
        peer.send_text(find.clone()).await;
    }
    for peer in &mut peers {
        peer.expect("searching").await;
        peer.expect("partner_found").await;
    }
    let took = began.elapsed();
    println!("2,000 users were matched in {took:?}");
    assert!(took < Duration::from_secs(10), "not {took:?}");
    let mut store = redis.connect();
    assert_eq!(store.scard::<_, usize>("active_sessions").expect("a set"), 1000);
}

#[tokio::test]
async fn redis_goes_away_and_comes_back() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &one).await;
    let ((mut c, _), (mut d, _)) = pair(&one, &other).await;
    let mut searching = one.peer().await;
    searching.send(room("before")).await;
    searching.expect("searching").await;
    eventually("a place in the queue", async || redis.keys().contains(&"{tandem}:room:before".to_owned())).await;
    let port = redis.port();
    drop(redis);
    one.ready(false).await;
    other.ready(false).await;
    assert_eq!(one.status("/livez").await, "200", "alive without its store");
    a.send(candidate(&b, 1)).await;
    assert_eq!(b.expect("ice_candidate").await["candidate"], 1, "a pair on one node does not need Redis");
    let mut new = one.peer().await;
    new.send(room("during")).await;
    new.expect_error("unavailable").await;
    c.send(candidate(&d, 1)).await;
    c.expect_error("unavailable").await;
    // A call that ends meanwhile is over for both, as soon as there is a way to say so.
    a.send(json!({ "type": "end_session", "sessionId": found["sessionId"] })).await;
    a.expect("session_ended").await;
    b.expect("partner_left").await;
    d.send(json!({ "type": "next" })).await;
    d.expect_error("unavailable").await;

    // An empty Redis: everything that it has to know, the nodes know.
    let redis = Redis::start_at(port).expect("it was there before");
    one.ready(true).await;
    other.ready(true).await;
    let session = c.registered["userId"].clone();
    assert!(session.is_string());
    eventually("the session's key", async || redis.keys().iter().any(|key| key.starts_with("session:"))).await;
    c.send(candidate(&d, 2)).await;
    assert_eq!(d.expect("ice_candidate").await["candidate"], 2, "the call goes on");
    new.send(room("before")).await;
    new.expect("searching").await;
    assert_eq!(new.expect("partner_found").await["partnerId"], searching.registered["userId"], "the search went on");
    searching.expect("partner_found").await;
    d.send(json!({ "type": "bye" })).await;
    assert_eq!(c.expect("partner_left").await["reason"], "left");
    eventually("one session", async || redis.keys().iter().filter(|key| key.starts_with("session:")).count() == 1)
        .await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_a_redis_that_is_away() {
    let Some(redis) = Redis::start() else { return };
    let one = Node::start(&redis).await;
    let ((mut a, _), (mut b, _)) = pair(&one, &one).await;
    redis.signal("-STOP");
    one.ready(false).await;
    a.send(candidate(&b, 1)).await;
    assert_eq!(b.expect("ice_candidate").await["candidate"], 1);
    let mut c = one.peer().await;
    c.send(room("r")).await;
    c.expect_error("unavailable").await;
    redis.signal("-CONT");
    one.ready(true).await;
    c.send(room("r")).await;
    c.expect("searching").await;
    a.expect_quiet().await;
}

#[tokio::test]
async fn churn_leaves_nothing_behind() {
    let Some(redis) = Redis::start() else { return };
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Node::start_with(&redis, &["--resume-window", "500ms"]).await);
    }
    for node in &nodes {
        node.ready(true).await;
    }
    for round in 0..40usize {
        let mut peers = Vec::new();
        for n in 0..8usize {
            let mut peer = nodes[n % 2].peer().await;
            let interests: &[&str] = if n % 3 == 0 { &["a", "b"] } else { &[] };
            peer.send(json!({ "type": "find_partner", "interests": interests })).await;
            peers.push(peer);
        }
        for (n, mut peer) in peers.into_iter().enumerate() {
            match (n + round) % 7 {
                0 => peer.send(json!({ "type": "next" })).await,
                1 => peer.send(json!({ "type": "cancel_search" })).await,
                2 => peer.send(json!({ "type": "find_partner", "room": "churn" })).await,
                // Gone without a word.
                3 => continue,
                // Back on the other node, while the old connection still stands, and gone without a word again.
                4 => {
                    let (moved, _) = resume(&nodes[(n + 1) % 2], &peer, 0).await;
                    drop(moved);
                    continue;
                }
                5 => {
                    drop(peer.socket);
                    let mut back = nodes[(n + 1) % 2].peer().await;
                    let token = &peer.registered["resumeToken"];
                    back.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 })).await;
                    peer = back;
                }
                _ => {}
            }
            peer.send(json!({ "type": "bye" })).await;
            assert_eq!(peer.expect_close().await, 1000);
        }
    }
    eventually("an empty store", async || redis.keys() == ["{tandem}:nodes", "{tandem}:rank"]).await;
}

/// Something that is no Redis: it takes connections and answers whatever it likes.
#[tokio::test]
async fn a_redis_that_answers_garbage_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let answers: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b"*-7\r\n$99999999999\r\n",
        b"-ERR no\r\n",
        b"\x00\xff:::\r\n",
    ];
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    let garbage = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let n = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                // Until the relay gives up on it.
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&answers[n % answers.len()].repeat(20)).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let relay = support::start(tandem_signaling::server::Relay::builder().redis(url)).await;
    let mut peer = Peer::connect(relay.local_addr()).await;
    eventually("some attempts", async || asked.load(std::sync::atomic::Ordering::Relaxed) > answers.len()).await;
    peer.send(room("r")).await;
    peer.expect_error("unavailable").await;
    peer.expect_quiet().await;
    let ready = raw(relay.local_addr(), b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(ready.starts_with(b"HTTP/1.1 503"), "not ready");
    relay.shutdown_within(Duration::ZERO).await;
    garbage.abort();
}
