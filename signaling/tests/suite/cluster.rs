//! Several server processes over a real Redis: matching, relaying and resuming across nodes.
#![allow(clippy::print_stdout, reason = "prints what matching took")]

use std::time::{Duration, Instant};

use redis::Commands;
use serde_json::{Value, json};
use tandem_tests::{Part, Redis, require};

use crate::support::nodes::{Node, candidate, eventually, pair, resume, room};
use crate::support::{Peer, store};

#[test]
fn a_redis_does_not_take_the_port_of_another() {
    require!(Part::Redis);
    let first = Redis::start().expect("Redis starts");
    assert!(
        Redis::start_at(first.port()).is_err(),
        "the port is taken, and the other server is not mistaken for the new one"
    );

    let second = Redis::start().expect("Redis starts on another port");
    let () = store::connect(&first).set("mine", 1).expect("a key");

    assert_eq!(
        (store::keys(&first), store::keys(&second)),
        (vec!["mine".to_owned()], Vec::new()),
        "each test has its own"
    );
}

#[tokio::test]
async fn a_call_across_two_nodes_from_match_to_end() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let mut database = store::connect(&redis);
    let ((mut a, found), (mut b, _)) = pair(&one, &other).await;
    let session = found["sessionId"].as_str().expect("an id").to_owned();
    let record: String = database
        .get(format!("session:{session}"))
        .expect("the session's key");
    let record: Value = serde_json::from_str(&record).expect("JSON");

    assert_eq!(record["id"], found["sessionId"]);
    let users = [record["userId1"].clone(), record["userId2"].clone()];
    assert!(
        users.contains(&a.registered["userId"]) && users.contains(&b.registered["userId"]),
        "{record}"
    );

    let started = record["startedAt"].as_str().expect("a date");
    assert!(
        started.len() == 24 && started.starts_with("20") && started.ends_with('Z'),
        "ISO 8601: {started}"
    );

    let ttl: i64 = database
        .ttl(format!("session:{session}"))
        .expect("an expiry");
    assert!((3500..=3600).contains(&ttl), "an hour, not {ttl} s");
    assert!(
        database
            .sismember::<_, _, bool>("active_sessions", &session)
            .expect("a set")
    );

    let others: Vec<_> = store::keys(&redis)
        .into_iter()
        .filter(|key| !key.starts_with("{tandem}:"))
        .collect();

    assert_eq!(
        others,
        ["active_sessions".to_owned(), format!("session:{session}")],
        "all other keys have the prefix"
    );

    for n in 1..=50 {
        a.send(candidate(&b, n)).await;
    }

    for n in 1..=50 {
        let heard = b.expect("ice_candidate").await;
        assert_eq!(
            (&heard["candidate"], &heard["seq"]),
            (&json!(n), &json!(n)),
            "in order, each once"
        );
    }

    b.send(candidate(&b, 1)).await;
    b.expect_error("not_partner").await;
    a.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    a.expect("session_ended").await;

    assert_eq!(b.expect("partner_left").await["reason"], "left");
    eventually("the end of the session's keys", async || {
        !store::keys(&redis)
            .iter()
            .any(|key| key.starts_with("session:") || key == "active_sessions")
    })
    .await;

    // Two who just left each other wait 10 s, across nodes too; a new client comes first.
    for (n, peer) in [&mut a, &mut b].into_iter().enumerate() {
        peer.send(json!({ "type": "find_partner" })).await;
        peer.expect("searching").await;
        // `searching` is sent before the store has the search, and the order in the store counts.
        let mut database = store::connect(&redis);
        eventually("a place in the queue", async || {
            database.zcard::<_, usize>("{tandem}:queue").expect("a set") == n + 1
        })
        .await;
    }

    let mut c = other.peer().await;
    c.send(json!({ "type": "find_partner" })).await;
    c.expect("searching").await;

    assert_eq!(
        c.expect("partner_found").await["partnerId"],
        a.registered["userId"],
        "a waited longest"
    );

    a.expect("partner_found").await;
    b.send(json!({ "type": "cancel_search" })).await;
    b.expect("search_cancelled").await;
    a.send(json!({ "type": "block", "partnerId": c.registered["userId"] }))
        .await;
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

    eventually("an empty store", async || {
        store::keys(&redis) == ["{tandem}:nodes", "{tandem}:rank"]
    })
    .await;
}

#[tokio::test]
async fn interests_and_holds_apply_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let find = |interests: &[&str]| json!({ "type": "find_partner", "interests": interests });
    let (mut a, mut b, mut c) = (one.peer().await, other.peer().await, other.peer().await);
    let began = Instant::now();

    for (n, (peer, interests)) in [(&mut a, &["x"][..]), (&mut b, &["y", "z"])]
        .into_iter()
        .enumerate()
    {
        peer.send(find(interests)).await;
        peer.expect("searching").await;
        let mut database = store::connect(&redis);
        eventually("a place in the queue", async || {
            database.zcard::<_, usize>("{tandem}:queue").expect("a set") == n + 1
        })
        .await;
    }

    c.send(find(&["z", "w", "y"])).await;
    c.expect("searching").await;
    let found = c.expect("partner_found").await;

    assert_eq!(
        found["partnerId"], b.registered["userId"],
        "two interests in common count more than the longer wait"
    );

    assert_eq!(
        found["interests"],
        json!(["y", "z"]),
        "in the older entry's order"
    );

    b.expect("partner_found").await;
    let mut d = other.peer().await;
    d.send(find(&["v"])).await;
    d.expect("searching").await;
    d.expect("partner_found").await;
    let waited = began.elapsed();

    assert!(
        waited >= Duration::from_millis(4900),
        "without interests in common they wait 5 s, not {waited:?}"
    );
    a.expect("partner_found").await;
}

#[tokio::test]
async fn a_client_moves_to_another_node_with_its_call() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other, third) = (
        Node::start(&redis).await,
        Node::start(&redis).await,
        Node::start(&redis).await,
    );
    let ((mut a, found), (mut b, _)) = pair(&one, &one).await;
    b.send(candidate(&a, 1)).await;
    a.expect("ice_candidate").await;
    a.socket.close(None).await.expect("an open connection");
    b.expect("partner_reconnecting").await;
    b.send(candidate(&a, 2)).await;
    b.expect_quiet().await;
    // From its first node to another: the kept messages come along.
    let (mut a, resumed) = resume(&other, &a, 1).await;

    assert_eq!(
        (&resumed["missed"], &resumed["sessionId"]),
        (&json!(1), &found["sessionId"])
    );
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
    c.send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    c.expect("session_ended").await;

    assert_eq!(b.expect("partner_left").await["reason"], "left");
    let mut stale = other.peer().await;
    stale
        .send(json!({ "type": "resume", "resumeToken": a.registered["resumeToken"], "lastSeq": 0 }))
        .await;
    stale.expect_error("unauthorized").await;
    stale.send(room("r")).await;
    stale.expect("searching").await;
}

/// Ends the call of two clients and waits until both are notified.
async fn end_call(one: &mut Peer, other: &mut Peer, session: &Value) {
    one.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    one.expect("session_ended").await;
    other.expect("partner_left").await;
}

#[tokio::test]
async fn reports_reach_the_stream_wherever_the_reporter_has_moved() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &other).await;
    let session = &found["sessionId"];
    a.send(json!({ "type": "report", "sessionId": session, "category": "spam", "text": "während des Anrufs" })).await;
    let during = a.expect("report_received").await;
    end_call(&mut a, &mut b, session).await;
    let (mut moved, resumed) = resume(&other, &a, 0).await;

    assert_eq!(resumed["sessionId"], Value::Null, "the call is over");
    moved
        .send(json!({ "type": "report", "sessionId": session, "category": "harassment" }))
        .await;
    let after = moved.expect("report_received").await;
    moved
        .send(json!({ "type": "report", "sessionId": "another", "category": "spam" }))
        .await;
    moved.expect_error("no_such_session").await;
    let reports = store::reports(&redis);

    assert_eq!(reports.len(), 2, "each once: {reports:?}");
    for (report, (received, category)) in reports
        .iter()
        .zip([(during, "spam"), (after, "harassment")])
    {
        assert_eq!(
            report["reportId"], received["reportId"],
            "the reporter got the same id: {report}"
        );

        assert_eq!(
            (&report["sessionId"], &report["category"]),
            (session, &json!(category)),
            "{report}"
        );

        assert_eq!(
            report["reporter"]["userId"], a.registered["userId"],
            "a resumed client keeps its user: {report}"
        );

        assert_eq!(
            report["reported"]["userId"], b.registered["userId"],
            "{report}"
        );

        assert!(
            report["atMs"].as_u64() > Some(1_700_000_000_000),
            "when: {report}"
        );
    }

    assert_eq!(reports[0]["text"], "während des Anrufs");
}

/// 2,000 users on two nodes. The bound leaves room for a busy machine; `cargo xtask bench`
/// measures.
#[tokio::test]
async fn two_thousand_users_are_matched_over_redis() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
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

    println!("2,000 users were matched in {:?}", began.elapsed());
    let mut database = store::connect(&redis);

    assert_eq!(
        database
            .scard::<_, usize>("active_sessions")
            .expect("a set"),
        1000
    );
}

#[tokio::test]
async fn churn_leaves_nothing_behind() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let mut nodes = Vec::new();

    for _ in 0..2 {
        nodes.push(Node::start_with(&redis, &["--resume-window", "500ms"]));
    }

    for node in &nodes {
        node.ready(true).await;
    }

    for round in 0..40usize {
        let mut peers = Vec::new();
        for n in 0..8usize {
            let mut peer = nodes[n % 2].peer().await;
            let interests: &[&str] = if n % 3 == 0 { &["a", "b"] } else { &[] };
            peer.send(json!({ "type": "find_partner", "interests": interests }))
                .await;
            peers.push(peer);
        }

        for (n, mut peer) in peers.into_iter().enumerate() {
            match (n + round) % 7 {
                0 => peer.send(json!({ "type": "next" })).await,
                1 => peer.send(json!({ "type": "cancel_search" })).await,
                2 => {
                    peer.send(json!({ "type": "find_partner", "room": "churn" }))
                        .await;
                }
                // Gone without `bye`.
                3 => continue,
                // Resumed on the other node while the old connection is still open, then gone
                // without `bye`.
                4 => {
                    let (moved, _) = resume(&nodes[(n + 1) % 2], &peer, 0).await;
                    drop(moved);
                    continue;
                }
                5 => {
                    drop(peer.socket);
                    let mut back = nodes[(n + 1) % 2].peer().await;
                    let token = &peer.registered["resumeToken"];
                    back.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 }))
                        .await;
                    peer = back;
                }
                // Claimed, claimed again on the other node, and given up there. Not in every round:
                // an address claims 20 rooms a minute.
                _ if round < 7 => {
                    peer.send(json!({ "type": "cancel_search" })).await;
                    peer.send(json!({ "type": "claim_room" })).await;
                    let claimed = skip_to(&mut peer, "room_claimed").await;
                    let (room, token) = (&claimed["room"], &claimed["claimToken"]);
                    let mut owner = nodes[(n + 1) % 2].peer().await;
                    owner
                        .send(json!({ "type": "claim_room", "room": room, "claimToken": token }))
                        .await;
                    assert_eq!(owner.expect("room_claimed").await["room"], *room);
                    let release = json!({ "type": "release_room", "room": room });
                    peer.send(release.clone()).await;
                    skip_to(&mut peer, "error").await;
                    owner.send(release).await;
                    owner.expect("room_released").await;
                    owner.send(json!({ "type": "bye" })).await;
                }
                _ => {}
            }

            peer.send(json!({ "type": "bye" })).await;
            assert_eq!(peer.expect_close().await, 1000);
        }
    }

    eventually("an empty store", async || {
        store::keys(&redis) == ["{tandem}:nodes", "{tandem}:rank"]
    })
    .await;
}

/// The next message of this type; skips others.
async fn skip_to(peer: &mut Peer, kind: &str) -> Value {
    loop {
        let text = peer.next().await.expect("a message");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if message["type"] == kind {
            return message;
        }
    }
}

#[tokio::test]
async fn a_room_is_free_a_minute_after_its_call_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut guest) = (one.peer().await, other.peer().await);
    owner.send(json!({ "type": "claim_room" })).await;
    let room = owner.expect("room_claimed").await["room"].clone();
    let room = room.as_str().expect("a room");
    let enter = json!({ "type": "find_partner", "room": room, "mustExist": true });
    for peer in [&mut owner, &mut guest] {
        peer.send(enter.clone()).await;
        peer.expect("searching").await;
    }
    owner.expect("partner_found").await;
    let found = guest.expect("partner_found").await;
    guest
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    guest.expect("session_ended").await;
    owner.expect("partner_left").await;

    // When it ends, by the clock of Redis' machine.
    let mut database = store::connect(&redis);
    let ends: f64 = database
        .zscore("{tandem}:claim_ends", room)
        .expect("the claim ends");
    let (seconds, _): (f64, u64) = redis::cmd("TIME").query(&mut database).expect("a time");
    let left = ends / 1000.0 - seconds;
    assert!((30.0..=61.0).contains(&left), "{left} s");

    // The guest waits for the owner, until the minute is over.
    guest.send(enter).await;
    guest.expect("searching").await;
    guest.expect_quiet().await;
    let _: usize = database
        .zadd("{tandem}:claim_ends", room, 1)
        .expect("a set");
    guest.expect_error("no_such_room").await;
    guest.expect("search_cancelled").await;
    owner
        .send(json!({ "type": "listen", "rooms": [room] }))
        .await;
    assert_eq!(owner.expect("listening").await["rooms"], 0);
}

#[tokio::test]
async fn a_room_has_one_owner_across_nodes_who_may_try_again_and_gives_it_up() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut guest, mut stranger) =
        (one.peer().await, other.peer().await, other.peer().await);
    let enter = |room: &Value| json!({ "type": "find_partner", "room": room, "mustExist": true });

    // Nine rooms have one digit, shared by both nodes; the tenth has two.
    let mut rooms = Vec::new();
    for n in 0..10 {
        let peer = if n % 2 == 0 { &mut owner } else { &mut guest };
        peer.send(json!({ "type": "claim_room", "id": n.to_string() }))
            .await;
        let claimed = peer.expect("room_claimed").await;
        assert_eq!(claimed["id"], n.to_string());
        rooms.push(claimed["room"].as_str().expect("a room").to_owned());
    }
    let mut sorted: Vec<&str> = rooms.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 10, "each belongs to one: {rooms:?}");
    assert!(rooms[..9].iter().all(|room| room.len() == 1), "{rooms:?}");
    assert_eq!(rooms[9].len(), 2, "{rooms:?}");

    // The owner's room, from the other node.
    let room = json!(rooms[0]);
    owner.send(enter(&room)).await;
    owner.expect("searching").await;
    stranger
        .send(json!({ "type": "find_partner", "room": room }))
        .await;
    stranger.expect("searching").await;
    stranger.expect_error("no_such_room").await;
    stranger.expect("search_cancelled").await;

    guest.send(enter(&room)).await;
    guest.expect("searching").await;
    let found = guest.expect("partner_found").await;
    assert_eq!(found["partnerId"], owner.registered["userId"]);
    owner.expect("partner_found").await;

    guest
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    guest.expect("session_ended").await;
    owner.expect("partner_left").await;

    // They try again, the owner first or the guest first, on whichever node.
    for guest_first in [true, false] {
        let (first, second) = if guest_first {
            (&mut guest, &mut owner)
        } else {
            (&mut owner, &mut guest)
        };
        first.send(enter(&room)).await;
        first.expect("searching").await;
        first.expect_quiet().await;
        second.send(enter(&room)).await;
        second.expect("searching").await;
        let found = second.expect("partner_found").await;
        first.expect("partner_found").await;
        second
            .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
            .await;
        second.expect("session_ended").await;
        first.expect("partner_left").await;
    }

    // Until the owner gives the room up; no one else can.
    let release = json!({ "type": "release_room", "room": room, "id": "r" });
    guest.send(release.clone()).await;
    assert_eq!(guest.expect_error("no_such_room").await["id"], "r");
    owner.send(release).await;
    assert_eq!(owner.expect("room_released").await["room"], room);
    stranger.send(enter(&room)).await;
    stranger.expect("searching").await;
    stranger.expect_error("no_such_room").await;
    stranger.expect("search_cancelled").await;

    // The owner's other rooms are held after it has left.
    owner.send(json!({ "type": "bye" })).await;
    let mut database = store::connect(&redis);
    eventually("the owner is gone", async || {
        let held: usize = database.zcard("{tandem}:claim_ends").expect("a set");
        held == 4
    })
    .await;
    let room = json!(rooms[2]);
    stranger.send(enter(&room)).await;
    stranger.expect("searching").await;
    stranger.send(json!({ "type": "cancel_search" })).await;
    stranger.expect("search_cancelled").await;
}
