//! Server processes over a real Redis: what the others notice when one of them, or Redis, dies or
//! misbehaves.

use std::time::{Duration, Instant};

use redis::Commands;
use serde_json::{Value, json};
use tandem_tests::{Part, Redis, require};

use crate::support::nodes::{Node, candidate, eventually, pair, resume, room};
use crate::support::{Peer, raw, start, store};

#[tokio::test]
async fn a_node_dies_and_the_others_continue() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((lost, _), (mut b, found)) = pair(&one, &other).await;
    let ((c, _), (mut d, _)) = pair(&one, &other).await;
    let mut waiting = one.peer().await;
    waiting.send(room("w")).await;
    waiting.expect("searching").await;
    one.kill();
    let killed = Instant::now();
    // No client is matched with one that waited on the dead node.
    let mut alone = other.peer().await;
    alone.send(room("w")).await;
    alone.expect("searching").await;
    alone.expect_quiet().await;
    // A client that resumes on another node in time keeps its call.
    let (mut c, resumed) = resume(&other, &c, 0).await;

    assert!(
        resumed["sessionId"].is_string(),
        "the call continues: {resumed}"
    );

    d.expect("partner_reconnecting").await;
    d.expect("partner_resumed").await;
    c.send(candidate(&d, 1)).await;

    assert_eq!(d.expect("ice_candidate").await["candidate"], 1);
    d.send(candidate(&c, 2)).await;
    assert_eq!(c.expect("ice_candidate").await["candidate"], 2);
    // A message to the dead node is not lost silently.
    b.send(candidate(&lost, 1)).await;
    b.expect_error("partner_gone").await;
    let left = b.expect("partner_left").await;

    assert_eq!(
        (&left["reason"], &left["sessionId"]),
        (&json!("node_lost"), &found["sessionId"])
    );

    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "within 20 s, not {:?}",
        killed.elapsed()
    );

    let mut late = other.peer().await;
    late.send(
        json!({ "type": "resume", "resumeToken": lost.registered["resumeToken"], "lastSeq": 0 }),
    )
    .await;
    late.expect_error("unauthorized").await;
    alone.expect_quiet().await;

    for mut peer in [b, c, d, alone, late] {
        peer.send(json!({ "type": "bye" })).await;
        peer.expect_close().await;
    }

    eventually("an empty store", async || {
        store::keys(&redis) == ["{tandem}:nodes", "{tandem}:rank"]
    })
    .await;
    let mut database = store::connect(&redis);
    eventually("one node", async || {
        database.zcard::<_, i64>("{tandem}:nodes").expect("a set") == 1
    })
    .await;
}

#[tokio::test]
async fn a_partner_can_be_reported_after_the_node_of_the_call_died() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &one).await;
    let session = &found["sessionId"];
    b.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    b.expect("session_ended").await;
    a.expect("partner_left").await;
    let ended = format!(
        "{{tandem}}:ended:{}",
        a.registered["userId"].as_str().expect("an id")
    );
    eventually("the ended call in Redis", async || {
        store::keys(&redis).contains(&ended)
    })
    .await;
    one.kill();
    let (mut a, _) = resume(&other, &a, 0).await;
    a.send(json!({ "type": "report", "sessionId": session, "category": "minor" }))
        .await;
    a.expect("report_received").await;
    let reports = store::reports(&redis);

    assert_eq!(
        reports[0]["reported"]["userId"], b.registered["userId"],
        "{reports:?}"
    );

    let mut database = store::connect(&redis);
    let seconds: i64 = database.ttl(&ended).expect("an expiry");
    assert!(
        (1..=600).contains(&seconds),
        "as long as a call can be reported, not {seconds} s"
    );

    a.send(json!({ "type": "bye" })).await;
    a.expect_close().await;
    eventually("nothing left of the client", async || {
        !store::keys(&redis).contains(&ended)
    })
    .await;
}

/// One node after another is killed while users arrive, are matched and resume. Users on the
/// surviving node get a live partner or wait alone, and the store forgets the dead ones.
#[tokio::test]
async fn nodes_die_in_the_middle_of_matching_and_of_a_resume() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
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

        // The resume asks the node that is being killed.
        let mut resuming = survivor.peer().await;
        let token = &moving.registered["resumeToken"];
        resuming
            .send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 }))
            .await;
        victim.kill();

        for peer in &mut here {
            peer.send(find.clone()).await;
        }

        // Handed over before the node died or adopted afterwards: the call continues.
        assert!(resuming.expect("resumed").await["sessionId"].is_string());
        stays.expect("partner_reconnecting").await;
        stays.expect("partner_resumed").await;
        stays.send(json!({ "type": "ice_candidate", "to": moving.registered["socketId"], "candidate": 1 })).await;
        resuming.expect("ice_candidate").await;
        // All six are matched, some after they lost their first partner.
        let mut sessions = std::collections::BTreeMap::<String, usize>::new();

        for peer in &mut here {
            let mut session = None;
            while session.is_none() {
                let message: Value =
                    serde_json::from_str(&peer.next().await.expect("open")).expect("JSON");
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

        assert!(
            sessions.values().all(|&sides| sides <= 2),
            "no user has two partners: {sessions:?}"
        );

        assert!(
            sessions.values().any(|&sides| sides == 2),
            "the survivors found each other: {sessions:?}"
        );

        for mut peer in here.into_iter().chain([stays, resuming]) {
            peer.send(json!({ "type": "bye" })).await;
            peer.expect_close().await;
        }
    }

    eventually("an empty store", async || {
        store::keys(&redis) == ["{tandem}:nodes", "{tandem}:rank"]
    })
    .await;
}

#[tokio::test]
async fn redis_goes_away_and_comes_back() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &one).await;
    let ((mut c, _), (mut d, _)) = pair(&one, &other).await;
    let mut searching = one.peer().await;
    searching.send(room("before")).await;
    searching.expect("searching").await;
    eventually("a place in the queue", async || {
        store::keys(&redis).contains(&"{tandem}:room:before".to_owned())
    })
    .await;
    let port = redis.port();
    drop(redis);
    one.ready(false).await;
    other.ready(false).await;

    assert_eq!(
        one.status("/livez").await,
        "200",
        "the process is alive without its store"
    );
    a.send(candidate(&b, 1)).await;
    assert_eq!(
        b.expect("ice_candidate").await["candidate"],
        1,
        "a pair on one node does not need Redis"
    );

    let mut new = one.peer().await;
    new.send(room("during")).await;
    new.expect_error("unavailable").await;
    c.send(candidate(&d, 1)).await;
    c.expect_error("unavailable").await;
    // A call that ends meanwhile is over for both sides, as soon as they can be notified.
    a.send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    a.expect("session_ended").await;
    b.expect("partner_left").await;
    d.send(json!({ "type": "next" })).await;
    d.expect_error("unavailable").await;

    // An empty Redis: the nodes write everything it must know.
    let redis = Redis::start_at(port).expect("Redis starts again");
    one.ready(true).await;
    other.ready(true).await;
    let session = c.registered["userId"].clone();

    assert!(session.is_string());
    eventually("the session's key", async || {
        store::keys(&redis)
            .iter()
            .any(|key| key.starts_with("session:"))
    })
    .await;
    c.send(candidate(&d, 2)).await;

    assert_eq!(
        d.expect("ice_candidate").await["candidate"],
        2,
        "the call continues"
    );

    new.send(room("before")).await;
    new.expect("searching").await;
    assert_eq!(
        new.expect("partner_found").await["partnerId"],
        searching.registered["userId"],
        "the search continued"
    );

    searching.expect("partner_found").await;
    d.send(json!({ "type": "bye" })).await;
    assert_eq!(c.expect("partner_left").await["reason"], "left");
    eventually("one session", async || {
        store::keys(&redis)
            .iter()
            .filter(|key| key.starts_with("session:"))
            .count()
            == 1
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_counts_as_lost() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let one = Node::start(&redis).await;
    let ((mut a, _), (mut b, _)) = pair(&one, &one).await;
    redis.signal(libc::SIGSTOP);
    one.ready(false).await;
    a.send(candidate(&b, 1)).await;

    assert_eq!(b.expect("ice_candidate").await["candidate"], 1);
    let mut c = one.peer().await;
    c.send(room("r")).await;
    c.expect_error("unavailable").await;
    redis.signal(libc::SIGCONT);
    one.ready(true).await;
    c.send(room("r")).await;
    c.expect("searching").await;
    a.expect_quiet().await;
}

/// Waits until a node has searched for dead ones: it removes one that this adds.
async fn wait_for_search_for_dead_nodes(redis: &Redis) {
    let mut database = store::connect(redis);
    database
        .zadd::<_, _, _, ()>("{tandem}:nodes", "a dead node", 1)
        .expect("a set");
    eventually("a search for dead nodes", async || {
        database
            .zscore::<_, _, Option<f64>>("{tandem}:nodes", "a dead node")
            .expect("a set")
            .is_none()
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_clock_of_redis_is_set_forward_and_back() {
    require!(Part::Redis, Part::CCompiler);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = crate::support::clock::Clock::compile(folder.path());
    let redis = Redis::start_in(folder.path(), &[clock.environment()]).expect("Redis starts");

    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let ((mut a, found), (mut b, _)) = pair(&one, &other).await;
    let find = |interest: &str| json!({ "type": "find_partner", "interests": [interest] });
    wait_for_search_for_dead_nodes(&redis).await;

    for (n, offset) in [3600, -7200, 30].into_iter().enumerate() {
        // Two clients without interests in common are held for 5 s.
        let (mut c, mut d) = (one.peer().await, other.peer().await);
        for (peer, interest) in [(&mut c, "x"), (&mut d, "y")] {
            peer.send(find(interest)).await;
            peer.expect("searching").await;
        }

        clock.set(offset);
        for peer in [&mut c, &mut d] {
            peer.expect("partner_found").await;
            peer.send(json!({ "type": "bye" })).await;
        }

        wait_for_search_for_dead_nodes(&redis).await;
        // No node was taken for dead, and the call continues.
        a.expect_quiet().await;
        a.send(candidate(&b, n as u64)).await;

        assert_eq!(
            b.expect("ice_candidate").await["candidate"],
            n,
            "after {offset} s"
        );

        pair(&other, &one).await;
    }

    let killed = Instant::now();
    other.kill();
    let left = a.expect("partner_left").await;

    assert_eq!(
        (&left["reason"], &left["sessionId"]),
        (&json!("node_lost"), &found["sessionId"])
    );

    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "in true seconds, not {:?}",
        killed.elapsed()
    );
}

/// A server that is not Redis: it accepts connections and answers anything.
#[tokio::test]
async fn a_redis_that_answers_garbage_does_no_harm() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
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

                // Until the signaling server closes the connection.
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if stream
                        .write_all(&answers[n % answers.len()].repeat(20))
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
    });

    let server = start(tandem_signaling::server::SignalingServer::builder().redis(url)).await;
    let mut peer = Peer::connect(server.local_addr()).await;
    eventually("some attempts", async || {
        asked.load(std::sync::atomic::Ordering::Relaxed) > answers.len()
    })
    .await;
    peer.send(room("r")).await;
    peer.expect_error("unavailable").await;
    peer.expect_quiet().await;
    let ready = raw(
        server.local_addr(),
        b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;

    assert!(ready.starts_with(b"HTTP/1.1 503"), "not ready");
    server.shutdown_within(Duration::ZERO).await;
    garbage.abort();
}
