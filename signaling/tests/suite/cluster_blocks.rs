//! Blocks on several servers that share a Redis, of people with a bearer token.

use redis::Commands;
use serde_json::{Value, json};
use tandem_tests::{Part, Redis, require, token};

use crate::support::nodes::{Node, eventually, room};
use crate::support::{Peer, store};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const DAY: i64 = 86_400;
/// `MAX_BLOCKS` of `cluster.lua`.
const MAX_BLOCKS: usize = 1_000;

/// The key of the tokens, for the nodes of one test.
struct Tokens(tempfile::NamedTempFile);

impl Tokens {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), SECRET).expect("a writable file");
        Self(file)
    }

    async fn node(&self, redis: &Redis) -> Node {
        let key = self.0.path().display().to_string();
        let node = Node::start_with(redis, &["--jwt-key", &key]);
        node.ready(true).await;
        node
    }
}

async fn join(node: &Node, name: &str) -> Peer {
    Peer::connect_with(node.address, &token(SECRET, name)).await
}

/// A client with its place in the room, which the shared store knows.
async fn wait_in_room(redis: &Redis, peer: &mut Peer, code: &str, place: usize) {
    peer.send(room(code)).await;
    peer.expect("searching").await;
    let mut database = store::connect(redis);
    eventually("a place in the room", async || {
        database
            .zcard::<_, usize>(format!("{{tandem}}:room:{code}"))
            .expect("a set")
            == place
    })
    .await;
}

/// Ann is in a call with Bob, who hangs up and quits. The store has forgotten Bob when she blocks him.
async fn block_after_the_partner_has_left(redis: &Redis, [one, other]: [&Node; 2]) -> Peer {
    let (mut ann, mut bob) = (join(one, "ann").await, join(other, "bob").await);
    for peer in [&mut ann, &mut bob] {
        peer.send(room("first")).await;
        peer.expect("searching").await;
    }

    let found = ann.expect("partner_found").await;
    bob.expect("partner_found").await;
    bob.send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    bob.expect("session_ended").await;
    bob.send(json!({ "type": "bye" })).await;
    bob.expect_close().await;
    ann.expect("partner_left").await;

    let user = bob.registered["userId"].as_str().expect("an id");
    eventually("the end of Bob's record", async || {
        !store::keys(redis).contains(&format!("{{tandem}}:user:{user}"))
    })
    .await;
    ann.send(json!({ "type": "block", "partnerId": found["partnerId"] }))
        .await;
    ann.expect("blocked").await;
    ann
}

/// Ann and Bob wait in one room and are not matched: a third person, who comes last, meets the first.
async fn do_not_meet(redis: &Redis, [one, other]: [&Node; 2]) {
    let code = uuid::Uuid::new_v4().to_string();
    let (mut ann, mut bob) = (join(one, "ann").await, join(other, "bob").await);
    wait_in_room(redis, &mut ann, &code, 1).await;
    wait_in_room(redis, &mut bob, &code, 2).await;

    let mut cem = join(other, "cem").await;
    cem.send(room(&code)).await;
    cem.expect("searching").await;
    assert_eq!(
        cem.expect("partner_found").await["partnerId"],
        ann.registered["userId"]
    );
    assert_eq!(
        ann.expect("partner_found").await["partnerId"],
        cem.registered["userId"]
    );
    bob.expect_quiet().await;
}

#[tokio::test]
async fn a_person_stays_blocked_who_had_left_before_and_after_the_server_has_gone() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let tokens = Tokens::new();
    let (one, other) = (tokens.node(&redis).await, tokens.node(&redis).await);
    let ann = block_after_the_partner_has_left(&redis, [&one, &other]).await;

    let mut database = store::connect(&redis);
    let mut remaining = || -> i64 {
        database
            .ttl("{tandem}:blocked_by:ann")
            .expect("an answer of Redis")
    };
    eventually("the block", async || {
        (179 * DAY..=180 * DAY).contains(&remaining())
    })
    .await;

    // Nobody knows of it any more but Redis.
    drop(ann);
    one.kill();
    let third = tokens.node(&redis).await;
    do_not_meet(&redis, [&third, &other]).await;
    other.kill();
    let fourth = tokens.node(&redis).await;
    do_not_meet(&redis, [&third, &fourth]).await;
}

#[tokio::test]
async fn a_block_lasts_on_whenever_its_person_searches() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let tokens = Tokens::new();
    let node = tokens.node(&redis).await;
    let mut database = store::connect(&redis);
    let key = "{tandem}:blocked_by:ann";
    let () = database.zadd(key, "bob", 1).expect("a block");
    let () = database.expire(key, 1_000).expect("a key");

    let mut ann = join(&node, "ann").await;
    wait_in_room(&redis, &mut ann, "r", 1).await;
    let remaining: i64 = database.ttl(key).expect("an expiry");
    assert!(remaining > 179 * DAY, "{remaining} s");

    // Bob blocks her, too, before his first search, and leaves.
    let mut bob = join(&node, "bob").await;
    bob.send(json!({ "type": "block", "partnerId": ann.registered["userId"] }))
        .await;
    bob.expect("blocked").await;
    bob.send(json!({ "type": "bye" })).await;
    bob.expect_close().await;
    do_not_meet(&redis, [&node, &node]).await;
}

#[tokio::test]
async fn the_oldest_block_of_a_person_makes_room_for_the_newest() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let tokens = Tokens::new();
    let (one, other) = (tokens.node(&redis).await, tokens.node(&redis).await);
    let mut database = store::connect(&redis);
    let key = "{tandem}:blocked_by:ann";
    let full: Vec<(usize, String)> = (0..MAX_BLOCKS).map(|n| (n, n.to_string())).collect();
    let () = database.zadd_multiple(key, &full).expect("blocks");

    block_after_the_partner_has_left(&redis, [&one, &other]).await;
    eventually("the newest block", async || {
        database
            .zscore::<_, _, Option<f64>>(key, "bob")
            .expect("a set")
            .is_some()
    })
    .await;
    assert_eq!(database.zcard::<_, usize>(key), Ok(MAX_BLOCKS));
    let oldest: Vec<String> = database.zrange(key, 0, 0).expect("a set");
    assert_eq!(oldest, ["1"], "0 has made room");
}

#[tokio::test]
async fn a_redis_that_has_lost_everything_learns_the_blocks_again() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let tokens = Tokens::new();
    let (one, other) = (tokens.node(&redis).await, tokens.node(&redis).await);
    let ann = block_after_the_partner_has_left(&redis, [&one, &other]).await;
    drop(ann);

    let port = redis.port();
    drop(redis);
    for node in [&one, &other] {
        node.ready(false).await;
    }

    let redis = Redis::start_at(port).expect("the port is free again");
    for node in [&one, &other] {
        node.ready(true).await;
    }

    let mut database = store::connect(&redis);
    eventually("the block", async || {
        let exists = database.exists("{tandem}:blocked_by:ann");
        exists.expect("an answer of Redis")
    })
    .await;
    // The second node has never known of it.
    one.kill();
    let third = tokens.node(&redis).await;
    do_not_meet(&redis, [&third, &other]).await;
}

#[tokio::test]
async fn a_block_of_someone_unknown_leaves_nothing_behind() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let tokens = Tokens::new();
    let node = tokens.node(&redis).await;
    let mut ann = join(&node, "ann").await;

    // Never seen: there is nothing to keep, and the answer is the same.
    ann.send(json!({ "type": "block", "partnerId": "never-seen" }))
        .await;
    let blocked: Value = ann.expect("blocked").await;
    assert_eq!(blocked["partnerId"], "never-seen");
    let mut bob = join(&node, "bob").await;
    wait_in_room(&redis, &mut bob, "r", 1).await;
    assert!(
        !store::keys(&redis)
            .iter()
            .any(|key| key.contains("blocked_by")),
        "{:?}",
        store::keys(&redis)
    );
}
