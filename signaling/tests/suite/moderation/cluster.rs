//! Bans on several servers that share a Redis.

use tandem_tests::{Part, Redis, require};

use super::*;
use crate::support::nodes::eventually;
use crate::support::store;

/// Two nodes with one key, as an operator sets them up.
fn nodes(redis: &Redis, key: &str) -> [Moderated; 2] {
    [(); 2].map(|()| Moderated::start(&["--redis", &redis.url(), "--peer-key", key]))
}

async fn ready(nodes: &[Moderated]) {
    for node in nodes {
        eventually("readiness", async || {
            node.server
                .get("/readyz")
                .is_ok_and(|(status, _)| status == 200)
        })
        .await;
    }
}

/// Whether a client from this address is let in.
async fn is_admitted(node: &Moderated, address: &str) -> bool {
    let (_, first) = connect(&node.server, address).await;
    assert!(
        first["type"] == "user_registered" || first["code"] == "banned",
        "{first}"
    );
    first["type"] == "user_registered"
}

#[tokio::test]
async fn a_report_on_one_node_is_answered_by_a_ban_on_all_of_them() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let nodes = nodes(&redis, &key);
    ready(&nodes).await;

    let mut ann = nodes[0].peer("203.0.113.7").await;
    let mut ben = nodes[1].peer("198.51.100.7").await;
    let session = call(&mut ann, &mut ben).await;
    let id = report(&mut ann, &session).await;
    let read = nodes[0].admin(&["report", &id]);
    let peer = read["reported"]["peer"].as_str().expect("it came along");

    // The moderator sits at the node of the report, the one reported at the other.
    let banned = nodes[0].admin(&["ban", &id]);
    assert_eq!(
        (&banned["ended"], &banned["shared"]),
        (&json!(0), &json!(true))
    );
    ben.expect_error("banned").await;
    assert_eq!(ben.expect_close().await, 4005);
    assert_eq!(ann.expect("partner_left").await["reason"], "left");
    for node in &nodes {
        assert!(!is_admitted(node, "198.51.100.7").await);
        assert!(is_admitted(node, "203.0.113.7").await);
    }
    assert_eq!(nodes[0].admin(&["bans"]), nodes[1].admin(&["bans"]));

    nodes[1].admin(&["unban", peer]);
    for node in &nodes {
        eventually("the end of the ban", async || {
            is_admitted(node, "198.51.100.7").await
        })
        .await;
    }

    // One that ends by itself, on the node that did not make it.
    nodes[0].admin(&["ban", peer, "--for", "3s"]);
    eventually("the ban", async || {
        !is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;
    eventually("its end", async || {
        is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;
}

#[tokio::test]
async fn bans_outlive_a_node_and_an_outage_of_redis() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let nodes = nodes(&redis, &key);
    ready(&nodes).await;
    let ben = nodes[0].peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    let banned = nodes[0].admin(&["ban", user]);
    eventually("the ban", async || {
        !is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;

    // A node that starts later, while the one that made the ban is gone.
    let [first, second] = nodes;
    drop(first);
    let third = Moderated::start(&["--redis", &redis.url(), "--peer-key", &key]);
    eventually("the ban", async || {
        !is_admitted(&third, "198.51.100.7").await
    })
    .await;

    // Redis comes back empty. One ban was made meanwhile.
    let port = redis.port();
    drop(redis);
    eventually("the outage", async || {
        third
            .server
            .get("/readyz")
            .is_ok_and(|(status, _)| status == 503)
    })
    .await;
    let cem = second.peer("192.0.2.7").await;
    let user = cem.registered["userId"].as_str().expect("an id");
    second.admin(&["ban", user]);
    assert!(
        !is_admitted(&second, "192.0.2.7").await,
        "on its node at once"
    );
    let _redis = Redis::start_at(port).expect("Redis starts again");
    eventually("the new ban", async || {
        !is_admitted(&third, "192.0.2.7").await
    })
    .await;
    assert!(
        !is_admitted(&third, "198.51.100.7").await,
        "the old one still holds"
    );

    // An unban while it is away reaches the others, too.
    let peer = banned["peer"].as_str().expect("a hash");
    second.admin(&["unban", peer]);
    eventually("the end of the ban", async || {
        is_admitted(&third, "198.51.100.7").await
    })
    .await;
}

#[tokio::test]
async fn a_ban_that_was_lifted_during_an_outage_does_not_come_back() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let mut nodes = nodes(&redis, &key);
    ready(&nodes).await;
    let ben = nodes[0].peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    let banned = nodes[0].admin(&["ban", user]);
    eventually("the ban", async || {
        !is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;

    let port = redis.port();
    drop(redis);
    for node in &nodes {
        eventually("the outage", async || {
            node.server
                .get("/readyz")
                .is_ok_and(|(status, _)| status == 503)
        })
        .await;
    }
    let peer = banned["peer"].as_str().expect("a hash");
    nodes[0].admin(&["unban", peer]);

    // The node that still knows the ban is the last to come back, to an empty Redis.
    nodes[1].server.process().signal(libc::SIGSTOP);
    let redis = Redis::start_at(port).expect("Redis starts again");
    let has_list = "{tandem}:bans:id".to_owned();
    eventually("the word of the first node", async || {
        store::keys(&redis).contains(&has_list)
    })
    .await;
    nodes[1].server.process().signal(libc::SIGCONT);
    ready(&nodes).await;
    eventually("the end of the ban", async || {
        is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;
    for node in &nodes {
        assert_eq!(node.admin(&["bans"]), json!([]));
    }
}

#[tokio::test]
async fn a_list_of_bans_that_cannot_be_read_does_not_end_the_link() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("peer.key").display().to_string();
    let _: () = redis::cmd("SET")
        .arg("{tandem}:bans")
        .arg("not a list")
        .query(&mut store::connect(&redis))
        .expect("Redis answers");
    let mut nodes = nodes(&redis, &key);
    ready(&nodes).await;
    let ben = nodes[0].peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    nodes[0].admin(&["ban", user]);
    nodes[0]
        .server
        .process()
        .wait_for_log(DEADLINE, |line| {
            line.contains("cannot share the bans").then_some(())
        })
        .expect("an error in the log");

    // Calls of both nodes are matched, and the ban arrives once the list is in order.
    let mut ann = nodes[0].peer("203.0.113.7").await;
    let mut cem = nodes[1].peer("192.0.2.7").await;
    call(&mut ann, &mut cem).await;
    assert!(is_admitted(&nodes[1], "198.51.100.7").await);
    let _: () = redis::cmd("DEL")
        .arg("{tandem}:bans")
        .query(&mut store::connect(&redis))
        .expect("Redis answers");
    eventually("the ban", async || {
        !is_admitted(&nodes[1], "198.51.100.7").await
    })
    .await;
    let mut eve = nodes[0].peer("203.0.113.8").await;
    let mut dan = nodes[1].peer("203.0.113.9").await;
    call(&mut eve, &mut dan).await;
}

#[tokio::test]
async fn a_node_with_another_key_says_so() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let url = redis.url();
    let first = Moderated::start(&["--redis", &url]);
    ready(std::slice::from_ref(&first)).await;
    let mut second = Moderated::start(&["--redis", &url]);
    let process = second.server.process();
    process
        .wait_for_log(DEADLINE, |line| {
            line.contains("the peer key of this node is not that of the others")
                .then_some(())
        })
        .expect("an error in the log");

    let ben = second.peer("198.51.100.7").await;
    let user = ben.registered["userId"].as_str().expect("an id");
    let banned = second.admin(&["ban", user]);
    assert_eq!(banned["shared"], false, "{banned}");
    let lists: Option<u64> = redis::cmd("GET")
        .arg("{tandem}:bans:version")
        .query(&mut store::connect(&redis))
        .expect("Redis answers");
    assert_eq!(lists, None, "nothing that means nobody to the others");
}
