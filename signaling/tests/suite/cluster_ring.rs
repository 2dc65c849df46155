//! Ringing across server processes that share a Redis.

use std::time::{Duration, Instant};

use redis::Commands;
use serde_json::{Value, json};
use tandem_tests::{Part, Redis, require};
use tokio::time::timeout;

use crate::support::nodes::{Node, candidate, eventually, resume, room};
use crate::support::{Peer, store};

/// 128 random bits, as text.
const PRIVATE: &str = "3f9a1c77b2d84e5f9a6b0c1d2e3f4a5b";

/// A search as an invite or *Call again* makes it.
fn call(room: &str) -> Value {
    json!({ "type": "find_partner", "room": room, "mustExist": true, "userName": "Ada", "id": "call" })
}

async fn listen(peer: &mut Peer, rooms: &[&str], accepted: usize) {
    peer.send(json!({ "type": "listen", "rooms": rooms })).await;
    assert_eq!(peer.expect("listening").await["rooms"], accepted);
}

async fn answer(peer: &mut Peer, kind: &str, knock: &Value) {
    peer.send(json!({ "type": kind, "knockId": knock["knockId"] }))
        .await;
}

/// Searches and rings. Returns the knock.
async fn ring(caller: &mut Peer, listener: &mut Peer, room: &str) -> Value {
    caller.send(call(room)).await;
    caller.expect("searching").await;
    assert_eq!(caller.expect("searching").await["ringing"], true);
    let knock = listener.expect("knock").await;
    assert_eq!(
        (&knock["room"], &knock["userName"]),
        (&json!(room), &json!("Ada"))
    );

    knock
}

/// The error with this code that ends a search.
async fn expect_failed(caller: &mut Peer, code: &str) {
    let error = caller.expect_error(code).await;
    assert_eq!(error["id"], "call", "the error is about the search");
    caller.expect("search_cancelled").await;
}

async fn claim(peer: &mut Peer) -> String {
    peer.send(json!({ "type": "claim_room" })).await;
    let claimed = peer.expect("room_claimed").await;
    claimed["room"].as_str().expect("a room").to_owned()
}

/// The message that claims a room again.
fn claim_again(claimed: &Value) -> Value {
    json!({ "type": "claim_room", "room": claimed["room"], "claimToken": claimed["claimToken"] })
}

/// The key of a client in Redis.
fn user_key(peer: &Peer) -> String {
    let user = peer.registered["userId"].as_str().expect("an id");
    format!("{{tandem}}:user:{user}")
}

async fn release(peer: &mut Peer, room: &str) {
    peer.send(json!({ "type": "release_room", "room": room }))
        .await;
    assert_eq!(peer.expect("room_released").await["room"], room);
}

/// Waits until this many clients wait in a room.
async fn waiting(redis: &Redis, room: &str, count: usize) {
    let mut database = store::connect(redis);
    eventually("the searches in Redis", async || {
        let waiting: usize = database
            .zcard(format!("{{tandem}}:room:{room}"))
            .expect("a set");
        waiting == count
    })
    .await;
}

#[tokio::test]
async fn a_caller_on_one_node_rings_at_a_listener_on_another() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut caller, mut listener) = (one.peer().await, other.peer().await);
    caller.send(call(PRIVATE)).await;
    caller.expect("searching").await;
    expect_failed(&mut caller, "no_such_room").await;

    listen(&mut listener, &[PRIVATE, "other-room"], 2).await;
    let knock = ring(&mut caller, &mut listener, PRIVATE).await;
    answer(&mut caller, "accept", &knock).await;
    caller.expect_error("no_such_knock").await;
    caller.send(candidate(&listener, 1)).await;
    caller.expect_error("not_matched").await;
    answer(&mut listener, "decline", &knock).await;
    expect_failed(&mut caller, "declined").await;
    answer(&mut listener, "accept", &knock).await;
    listener.expect_error("no_such_knock").await;

    // Not again within 3 s, whatever the caller does.
    for _ in 0..5 {
        caller.send(call(PRIVATE)).await;
        caller.expect("searching").await;
        caller.send(json!({ "type": "cancel_search" })).await;
        caller.expect("search_cancelled").await;
    }
    listener.expect_quiet().await;

    let mut second = one.peer().await;
    let knock = ring(&mut second, &mut listener, "other-room").await;
    caller.send(call(PRIVATE)).await;
    caller.expect("searching").await;
    second.send(json!({ "type": "cancel_search" })).await;
    second.expect("search_cancelled").await;
    let ended = listener.expect("knock_ended").await;
    assert_eq!(
        (&ended["knockId"], &ended["reason"]),
        (&knock["knockId"], &json!("cancelled"))
    );

    // The one that waited rings next.
    let knock = listener.expect("knock").await;
    assert_eq!(caller.expect("searching").await["ringing"], true);
    listener
        .send(json!({ "type": "accept", "knockId": knock["knockId"], "userName": "Ben" }))
        .await;
    let found = caller.expect("partner_found").await;
    assert_eq!(
        (&found["initiator"], &found["userName"]),
        (&json!(true), &json!("Ben"))
    );
    assert_eq!(listener.expect("partner_found").await["userName"], "Ada");
    caller.send(candidate(&listener, 1)).await;
    listener.expect("ice_candidate").await;

    // The call has ended the listening.
    second.send(call("other-room")).await;
    second.expect("searching").await;
    expect_failed(&mut second, "no_such_room").await;

    for mut peer in [caller, listener, second] {
        peer.send(json!({ "type": "bye" })).await;
        while peer.next().await.is_ok() {}
    }
    eventually("an empty store", async || {
        store::keys(&redis) == ["{tandem}:nodes", "{tandem}:rank"]
    })
    .await;
}

#[tokio::test]
async fn two_who_search_meet_across_nodes_also_in_a_room_with_a_listener() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut listener, mut old, mut caller) =
        (one.peer().await, other.peer().await, one.peer().await);
    listen(&mut listener, &["blue-otter"], 1).await;
    old.send(room("blue-otter")).await;
    old.expect("searching").await;
    assert_eq!(old.expect("searching").await["ringing"], true);
    listener.expect("knock").await;

    caller.send(call("blue-otter")).await;
    caller.expect("searching").await;
    let found = caller.expect("partner_found").await;
    assert_eq!(found["partnerId"], old.registered["userId"]);
    old.expect("partner_found").await;
    assert_eq!(listener.expect("knock_ended").await["reason"], "answered");

    // Two who listen call each other at the same time.
    let mut partner = other.peer().await;
    listen(&mut listener, &[PRIVATE], 1).await;
    listen(&mut partner, &[PRIVATE], 1).await;
    listener.send(call(PRIVATE)).await;
    listener.expect("searching").await;
    assert_eq!(listener.expect("searching").await["ringing"], true);
    partner.expect("knock").await;
    partner.send(call(PRIVATE)).await;
    listener.expect("partner_found").await;
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "partner_found") {
        let text = partner.next().await.expect("a message");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        kinds.push(message["type"].as_str().expect("a type").to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["knock_ended", "partner_found", "searching"]);
}

#[tokio::test]
async fn only_the_owner_listens_in_a_claimed_room_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut intruder, mut caller) =
        (one.peer().await, other.peer().await, other.peer().await);
    let room = claim(&mut owner).await;
    listen(&mut intruder, &[&room, "999"], 0).await;
    listen(&mut owner, &[&room], 1).await;
    ring(&mut caller, &mut owner, &room).await;

    // The caller waits for the owner while the claim is held.
    owner.send(json!({ "type": "listen", "rooms": [] })).await;
    assert_eq!(owner.expect("knock_ended").await["reason"], "cancelled");
    assert_eq!(owner.expect("listening").await["rooms"], 0);
    owner.expect_quiet().await;
    assert_eq!(caller.expect("searching").await.get("ringing"), None);
    listen(&mut owner, &[&room], 1).await;
    let knock = owner.expect("knock").await;
    assert_eq!(caller.expect("searching").await["ringing"], true);
    answer(&mut owner, "accept", &knock).await;
    let found = caller.expect("partner_found").await;
    owner.expect("partner_found").await;

    caller
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    caller.expect("session_ended").await;
    assert_eq!(owner.expect("partner_left").await["reason"], "left");
    listen(&mut intruder, &[&room], 0).await;

    // After a call that failed, the caller rings again.
    listen(&mut owner, &[&room], 1).await;
    ring(&mut caller, &mut owner, &room).await;
    caller.send(json!({ "type": "cancel_search" })).await;
    caller.expect("search_cancelled").await;
    owner.expect("knock_ended").await;

    release(&mut owner, &room).await;
    intruder.send(call(&room)).await;
    intruder.expect("searching").await;
    expect_failed(&mut intruder, "no_such_room").await;
}

#[tokio::test]
async fn two_guests_on_two_nodes_wait_for_the_owner_of_a_claimed_room() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut first, mut second) =
        (one.peer().await, one.peer().await, other.peer().await);
    let room = claim(&mut owner).await;
    // Both come while the owner does not listen, and neither is matched.
    first.send(call(&room)).await;
    first.expect("searching").await;
    waiting(&redis, &room, 1).await;
    second.send(call(&room)).await;
    second.expect("searching").await;
    waiting(&redis, &room, 2).await;
    first.expect_quiet().await;
    second.expect_quiet().await;

    // The one that waited longer rings. Its knock may overtake the answer to `listen`.
    owner
        .send(json!({ "type": "listen", "rooms": [&room] }))
        .await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        let text = owner.next().await.expect("a message");
        heard.push(serde_json::from_str::<Value>(&text).expect("JSON"));
    }
    heard.sort_by_key(|message| message["type"].to_string());
    assert_eq!(heard[1]["type"], "listening", "{heard:?}");
    let knock = heard.swap_remove(0);
    assert_eq!(knock["type"], "knock");
    assert_eq!(first.expect("searching").await["ringing"], true);
    second.expect_quiet().await;
    answer(&mut owner, "decline", &knock).await;
    expect_failed(&mut first, "declined").await;

    let knock = owner.expect("knock").await;
    assert_eq!(second.expect("searching").await["ringing"], true);
    let mut third = one.peer().await;
    third.send(call(&room)).await;
    third.expect("searching").await;
    waiting(&redis, &room, 2).await;
    answer(&mut owner, "accept", &knock).await;
    let found = owner.expect("partner_found").await;
    assert_eq!(found["partnerId"], second.registered["userId"]);
    second.expect("partner_found").await;
    third.expect_quiet().await;

    // `next` does not lead to another guest who waits there.
    second.send(json!({ "type": "next", "id": "call" })).await;
    second.expect("searching").await;
    assert_eq!(owner.expect("partner_left").await["reason"], "skipped");
    waiting(&redis, &room, 2).await;
    second.expect_quiet().await;
    third.expect_quiet().await;
    release(&mut owner, &room).await;
    expect_failed(&mut second, "no_such_room").await;
    expect_failed(&mut third, "no_such_room").await;
}

#[tokio::test]
async fn the_owner_of_a_claimed_room_that_searches_meets_the_guest_who_waited_longest() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut first, mut second) =
        (one.peer().await, other.peer().await, one.peer().await);
    let room = claim(&mut owner).await;
    for (guest, count) in [(&mut first, 1), (&mut second, 2)] {
        guest.send(call(&room)).await;
        guest.expect("searching").await;
        waiting(&redis, &room, count).await;
    }

    // From another node, as the same user.
    let (mut owner, _) = resume(&other, &owner, 0).await;
    owner.send(call(&room)).await;
    owner.expect("searching").await;
    let found = owner.expect("partner_found").await;
    assert_eq!(found["partnerId"], first.registered["userId"]);
    first.expect("partner_found").await;
    second.expect_quiet().await;

    owner
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    owner.expect("session_ended").await;
    second.expect_quiet().await;
    release(&mut owner, &room).await;
    expect_failed(&mut second, "no_such_room").await;
}

#[tokio::test]
async fn a_knock_follows_a_listener_to_another_node() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut caller, mut listener) = (one.peer().await, other.peer().await);
    listen(&mut listener, &[PRIVATE], 1).await;
    let knock = ring(&mut caller, &mut listener, PRIVATE).await;

    let (mut listener, _) = resume(&one, &listener, 0).await;
    assert_eq!(listener.expect("knock").await["knockId"], knock["knockId"]);
    caller.expect_quiet().await;
    answer(&mut listener, "accept", &knock).await;
    caller.expect("partner_found").await;
    listener.expect("partner_found").await;
}

#[tokio::test]
async fn a_listener_whose_node_dies_is_found_again_or_is_gone() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut lost) = (one.peer().await, one.peer().await);
    let (mut guest, mut caller) = (other.peer().await, other.peer().await);
    let room = claim(&mut owner).await;
    listen(&mut owner, &[&room], 1).await;
    listen(&mut lost, &[PRIVATE], 1).await;
    let knock = ring(&mut guest, &mut owner, &room).await;
    ring(&mut caller, &mut lost, PRIVATE).await;
    one.kill();

    // The owner resumes on the other node in time; its knock has gone on.
    let (mut owner, _) = resume(&other, &owner, 0).await;
    assert_eq!(owner.expect("knock").await["knockId"], knock["knockId"]);
    answer(&mut owner, "accept", &knock).await;
    guest.expect("partner_found").await;
    owner.expect("partner_found").await;

    // The other listener does not.
    expect_failed_after_ringing(&mut caller, "no_such_room").await;
}

/// The search may cease to ring before it fails.
async fn expect_failed_after_ringing(caller: &mut Peer, code: &str) {
    loop {
        let text = caller.next().await.expect("a message");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if message["type"] != "searching" {
            assert_eq!(
                (&message["code"], &message["id"]),
                (&json!(code), &json!("call"))
            );
            break;
        }
    }
    caller.expect("search_cancelled").await;
}

#[tokio::test]
async fn in_a_claimed_room_the_caller_stays_when_the_node_of_the_owner_dies() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut guest) = (one.peer().await, other.peer().await);
    let room = claim(&mut owner).await;
    listen(&mut owner, &[&room], 1).await;
    ring(&mut guest, &mut owner, &room).await;
    one.kill();

    assert_eq!(guest.expect("searching").await.get("ringing"), None);
    guest.expect_quiet().await;
    let mut database = store::connect(&redis);
    assert!(
        database
            .zscore::<_, _, Option<f64>>("{tandem}:claim_ends", &room)
            .expect("a score")
            .is_some(),
        "the claim is held"
    );
}

#[tokio::test]
async fn listeners_and_claims_are_written_again_after_redis_lost_its_data() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut owner, mut caller) = (one.peer().await, other.peer().await);
    owner.send(json!({ "type": "claim_room" })).await;
    let claimed = owner.expect("room_claimed").await;
    let room = claimed["room"].as_str().expect("a room").to_owned();
    listen(&mut owner, &[&room, PRIVATE], 2).await;

    let port = redis.port();
    drop(redis);
    for node in [&one, &other] {
        node.ready(false).await;
    }
    let redis = Redis::start_at(port).expect("Redis starts again");
    for node in [&one, &other] {
        node.ready(true).await;
    }
    let mut database = store::connect(&redis);
    eventually("the listener in Redis", async || {
        database
            .exists::<_, bool>(format!("{{tandem}}:listen:{room}"))
            .expect("a key")
    })
    .await;

    let knock = ring(&mut caller, &mut owner, &room).await;
    answer(&mut owner, "accept", &knock).await;
    let found = caller.expect("partner_found").await;
    owner.expect("partner_found").await;

    // Its claim is known again: it ends after the call, and the token still gives it back.
    owner
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    owner.expect("session_ended").await;
    eventually("the end of the claim", async || {
        let ends: Option<f64> = database
            .zscore("{tandem}:claim_ends", &room)
            .expect("a score");
        ends.is_some()
    })
    .await;
    let mut again = other.peer().await;
    again.send(claim_again(&claimed)).await;
    assert_eq!(again.expect("room_claimed").await["room"], *room);
}

#[tokio::test]
async fn a_ring_goes_on_when_redis_was_away() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut caller, mut listener) = (one.peer().await, other.peer().await);
    listen(&mut listener, &[PRIVATE], 1).await;
    let former = ring(&mut caller, &mut listener, PRIVATE).await;

    let port = redis.port();
    drop(redis);
    for node in [&one, &other] {
        node.ready(false).await;
    }
    answer(&mut listener, "accept", &former).await;
    listener.expect_error("unavailable").await;

    // It comes back without its data: the search begins again, and rings again or, if its node
    // was back first, fails.
    let _redis = Redis::start_at(port).expect("Redis starts again");
    let mut knocks = vec![former];
    let answered = timeout(Duration::from_secs(30), async {
        loop {
            let text = listener.next().await.expect("a message");
            let message: Value = serde_json::from_str(&text).expect("JSON");
            match message["type"].as_str() {
                Some("knock") => {
                    answer(&mut listener, "accept", &message).await;
                    knocks.push(message);
                }
                Some("knock_ended") => {
                    let known = knocks
                        .iter()
                        .any(|knock| knock["knockId"] == message["knockId"]);
                    assert!(known, "{message}");
                    // The caller may have failed; a new search rings in any case.
                    caller.send(call(PRIVATE)).await;
                }
                Some("partner_found") => break,
                other => panic!("unexpected {other:?}: {message}"),
            }
        }
    });
    answered.await.expect("the call begins");
}

#[tokio::test]
async fn a_ring_that_nobody_answers_ends_after_45_s_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut caller, mut listener) = (one.peer().await, other.peer().await);
    listen(&mut listener, &[PRIVATE], 1).await;
    ring(&mut caller, &mut listener, PRIVATE).await;

    // Pings keep both connections open, and the wait within what `Peer` allows.
    for _ in 0..2 {
        let quiet = Duration::from_secs(20);
        assert!(timeout(quiet, caller.next()).await.is_err(), "it rings on");
    }
    expect_failed(&mut caller, "no_answer").await;
    assert_eq!(listener.expect("knock_ended").await["reason"], "expired");
}

#[tokio::test]
async fn an_owner_that_becomes_a_new_user_gets_its_number_back_on_another_node() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let (mut former, mut guest, mut thief) =
        (one.peer().await, other.peer().await, one.peer().await);
    former.send(json!({ "type": "claim_room" })).await;
    let claimed = former.expect("room_claimed").await;
    let room = claimed["room"].as_str().expect("a room").to_owned();
    let token = claimed["claimToken"].as_str().expect("a token").to_owned();
    let kept: String = store::connect(&redis)
        .hget("{tandem}:claim_hashes", &room)
        .expect("a hash");
    assert_ne!(kept, token, "Redis does not know the token");

    // A wrong token gives another room.
    let wrong = json!({ "room": room, "claimToken": "0".repeat(64) });
    for wrong in [wrong, json!({ "room": room, "claimToken": kept })] {
        thief.send(claim_again(&wrong)).await;
        assert_ne!(thief.expect("room_claimed").await["room"], *room);
    }

    // The former user still listens there, and a guest rings.
    listen(&mut former, &[&room, PRIVATE], 2).await;
    ring(&mut guest, &mut former, &room).await;
    let mut owner = other.peer().await;
    owner.send(claim_again(&claimed)).await;
    let again = owner.expect("room_claimed").await;
    assert_eq!(
        (&again["room"], &again["claimToken"]),
        (&claimed["room"], &claimed["claimToken"])
    );
    assert_eq!(former.expect("knock_ended").await["reason"], "cancelled");
    assert_eq!(guest.expect("searching").await.get("ringing"), None);
    listen(&mut former, &[&room, PRIVATE], 1).await;

    // When the former user leaves, the room stays.
    let mut database = store::connect(&redis);
    former.send(json!({ "type": "bye" })).await;
    while former.next().await.is_ok() {}
    eventually("the end of the former user", async || {
        let is_there: bool = database.exists(user_key(&former)).expect("an answer");
        !is_there
    })
    .await;
    let ends: Option<f64> = database
        .zscore("{tandem}:claim_ends", &room)
        .expect("a score");
    assert_eq!(ends, None, "it is not the former user's");
    owner
        .send(json!({ "type": "find_partner", "room": room, "mustExist": true }))
        .await;
    owner.expect("searching").await;
    let found = owner.expect("partner_found").await;
    assert_eq!(found["partnerId"], guest.registered["userId"]);
    guest.expect("partner_found").await;

    // The owner resumes on the other node, where its call ends; then it is gone, and back in time.
    let (mut owner, _) = resume(&one, &owner, 0).await;
    owner
        .send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    owner.expect("session_ended").await;
    owner.send(json!({ "type": "bye" })).await;
    while owner.next().await.is_ok() {}
    let mut owner = other.peer().await;
    owner.send(claim_again(&claimed)).await;
    assert_eq!(owner.expect("room_claimed").await["room"], *room);
    let ends: Option<f64> = store::connect(&redis)
        .zscore("{tandem}:claim_ends", &room)
        .expect("a score");
    assert_eq!(ends, None, "it is held again");
}

#[tokio::test]
async fn eight_guests_wait_in_a_claimed_room_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let mut owner = one.peer().await;
    let room = claim(&mut owner).await;
    let mut guests = Vec::new();
    for n in 0..8 {
        let node = if n % 2 == 0 { &one } else { &other };
        let mut guest = node.peer().await;
        guest.send(call(&room)).await;
        guest.expect("searching").await;
        waiting(&redis, &room, n + 1).await;
        guests.push(guest);
    }

    let mut ninth = other.peer().await;
    ninth.send(call(&room)).await;
    ninth.expect("searching").await;
    let error = ninth.expect_error("queue_full").await;
    assert_eq!(
        (&error["id"], &error["retryAfterMs"]),
        (&json!("call"), &json!(5_000))
    );
    ninth.expect("search_cancelled").await;

    // The owner is let in, and one more guest fits in again.
    owner.send(call(&room)).await;
    owner.expect("searching").await;
    let found = owner.expect("partner_found").await;
    assert_eq!(found["partnerId"], guests[0].registered["userId"]);
    ninth.send(call(&room)).await;
    ninth.expect("searching").await;
    waiting(&redis, &room, 8).await;
    ninth.expect_quiet().await;
}

#[tokio::test]
async fn callers_that_register_again_knock_once_in_three_seconds_across_nodes() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let (one, other) = (Node::start(&redis).await, Node::start(&redis).await);
    let mut listener = one.peer().await;
    listen(&mut listener, &[PRIVATE], 1).await;
    let mut caller = other.peer().await;
    ring(&mut caller, &mut listener, PRIVATE).await;
    let rung_at = Instant::now();
    caller.send(json!({ "type": "bye" })).await;
    assert_eq!(listener.expect("knock_ended").await["reason"], "cancelled");

    // As another user, from the node of the listener.
    let mut next = one.peer().await;
    next.send(call(PRIVATE)).await;
    next.expect("searching").await;
    let knock = listener.expect("knock").await;
    assert!(rung_at.elapsed() >= Duration::from_millis(2_900));
    assert_eq!(next.expect("searching").await["ringing"], true);

    // A person has decided: the next one rings at once.
    answer(&mut listener, "decline", &knock).await;
    expect_failed(&mut next, "declined").await;
    let rung: Option<u64> = store::connect(&redis)
        .hget(user_key(&listener), "rung")
        .expect("a field");
    assert_eq!(rung, None);
    let mut last = other.peer().await;
    ring(&mut last, &mut listener, PRIVATE).await;
}
