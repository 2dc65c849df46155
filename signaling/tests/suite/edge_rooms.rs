//! How many rooms an address may guess, claim, try and listen in.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_signaling::server::SignalingServer;

use crate::support::{Peer, server, start};

#[tokio::test]
async fn an_address_guesses_ten_rooms_a_minute() {
    let server = server().await;
    let mut owner = Peer::connect(server.local_addr()).await;
    owner.send(json!({ "type": "claim_room", "id": "c" })).await;
    assert_eq!(owner.expect("room_claimed").await["id"], "c");

    // Two connections: the limit is the address's.
    let mut guessers = [
        Peer::connect(server.local_addr()).await,
        Peer::connect(server.local_addr()).await,
    ];
    for n in 0..10 {
        let guesser = &mut guessers[n % 2];
        let room = format!("{}", 1_000 + n);
        guesser
            .send(json!({ "type": "find_partner", "room": room, "mustExist": true }))
            .await;
        guesser.expect_error("no_such_room").await;
    }

    for search in [
        json!({ "type": "find_partner", "room": "77", "mustExist": true }),
        json!({ "type": "find_partner", "room": "77" }),
    ] {
        guessers[0].send(search).await;
        let error = guessers[0].expect_error("rate_limited").await;
        let wait = error["retryAfterMs"].as_u64().expect("a wait");
        assert!((1..=6_000).contains(&wait), "a tenth of a minute: {wait}");
    }

    // Who comes by the right number, by a word or without a room is not kept out.
    for search in [
        json!({ "type": "find_partner", "room": "garden-42" }),
        json!({ "type": "find_partner" }),
    ] {
        guessers[0].send(search).await;
        guessers[0].expect("searching").await;
        guessers[0].send(json!({ "type": "cancel_search" })).await;
        guessers[0].expect("search_cancelled").await;
    }
    drop(guessers);

    // A room that exists costs nothing.
    let second = start(SignalingServer::builder()).await;
    let mut owner = Peer::connect(second.local_addr()).await;
    let mut guest = Peer::connect(second.local_addr()).await;
    owner.send(json!({ "type": "claim_room" })).await;
    let room = owner.expect("room_claimed").await["room"].clone();
    for _ in 0..20 {
        guest
            .send(json!({ "type": "find_partner", "room": room, "mustExist": true }))
            .await;
        guest.expect("searching").await;
        guest.send(json!({ "type": "cancel_search" })).await;
        guest.expect("search_cancelled").await;
    }

    second.shutdown_within(Duration::ZERO).await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn an_address_claims_twenty_rooms_a_minute() {
    let server = server().await;
    let mut peer = Peer::connect(server.local_addr()).await;

    for _ in 0..20 {
        peer.send(json!({ "type": "claim_room" })).await;
        peer.expect("room_claimed").await;
    }

    let mut other = Peer::connect(server.local_addr()).await;
    other.send(json!({ "type": "claim_room" })).await;
    other.expect_error("rate_limited").await;
    server.shutdown_within(Duration::ZERO).await;
}

/// Searches for these rooms until one is refused. Returns how many were not, and the wait.
async fn try_rooms(peer: &mut Peer, rooms: impl Iterator<Item = String>) -> (usize, Option<u64>) {
    for (tried, room) in rooms.enumerate() {
        peer.send(json!({ "type": "find_partner", "room": room }))
            .await;
        let answer: Value =
            serde_json::from_str(&peer.next().await.expect("an answer")).expect("JSON");
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "rate_limited", "{answer}");
            return (
                tried,
                Some(answer["retryAfterMs"].as_u64().expect("a wait")),
            );
        }

        assert_eq!(answer["type"], "searching");
        peer.send(json!({ "type": "cancel_search" })).await;
        peer.expect("search_cancelled").await;
    }

    (usize::MAX, None)
}

#[tokio::test]
async fn an_address_tries_sixty_different_rooms_a_minute_and_a_connection_twenty() {
    let builder = SignalingServer::builder().limit_rooms(60);
    let server = start(builder).await;
    let mut tried = 0;
    for connection in 0..4 {
        let mut peer = Peer::connect(server.local_addr()).await;
        let rooms = (0..1_000).map(|n| format!("otter-{connection}-{n}"));
        let (count, wait) = try_rooms(&mut peer, rooms).await;
        assert!(count <= 21, "twenty, and one for a slow machine: {count}");
        let wait = wait.expect("a limit");
        assert!(
            (1..=3_000).contains(&wait),
            "a twentieth of a minute: {wait}"
        );
        tried += count;

        // Listening is another way to be found by those who use a code.
        let rooms: Vec<String> = (0..20).map(|n| format!("more-{n}")).collect();
        peer.send(json!({ "type": "listen", "rooms": rooms, "id": "l" }))
            .await;
        let error = peer.expect_error("rate_limited").await;
        assert_eq!(error["id"], "l");

        // The same rooms again are not kept out, nor rooms that are too long to be guessed.
        let first = format!("otter-{connection}-0");
        if count > 0 {
            let again = std::iter::repeat_n(first, 30);
            assert_eq!(try_rooms(&mut peer, again).await.1, None);
        }
        let private: Vec<String> = (0..20).map(|n| format!("{connection}-{n:032x}")).collect();
        peer.send(json!({ "type": "listen", "rooms": private }))
            .await;
        assert_eq!(peer.expect("listening").await["rooms"], 20);
    }

    assert!((60..=64).contains(&tried), "{tried}");

    // The others behind this address still meet without a room.
    let ((_, found), _) = pair_without_room(&server).await;
    assert_eq!(found["initiator"], true);
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn an_address_listens_in_sixty_rooms_that_can_be_guessed() {
    let builder = SignalingServer::builder().limit_rooms(60);
    let server = start(builder).await;
    for connection in 0..4 {
        let mut peer = Peer::connect(server.local_addr()).await;
        let rooms: Vec<_> = (0..20).map(|n| format!("otter-{connection}-{n}")).collect();
        peer.send(json!({ "type": "listen", "rooms": rooms })).await;
        if connection < 3 {
            assert_eq!(peer.expect("listening").await["rooms"], 20);
        } else {
            peer.expect_error("rate_limited").await;
        }
    }

    server.shutdown_within(Duration::ZERO).await;
}

/// Two clients that have met in the open queue.
async fn pair_without_room(server: &SignalingServer) -> ((Peer, Value), (Peer, Value)) {
    let address = server.local_addr();
    let (mut a, mut b) = (Peer::connect(address).await, Peer::connect(address).await);
    for peer in [&mut a, &mut b] {
        peer.send(json!({ "type": "find_partner" })).await;
        peer.expect("searching").await;
    }

    let (found_a, found_b) = (
        a.expect("partner_found").await,
        b.expect("partner_found").await,
    );
    ((a, found_a), (b, found_b))
}

#[tokio::test]
async fn an_office_behind_one_address_calls_in_forty_rooms_at_once() {
    let builder = SignalingServer::builder().limit_rooms(60);
    let server = start(builder).await;
    let address = server.local_addr();
    let mut peers = Vec::new();
    for n in 0..80 {
        // Both people of a call are here.
        let mut peer = Peer::connect(address).await;
        let room = format!("office-{}", n % 40);
        peer.send(json!({ "type": "find_partner", "room": room }))
            .await;
        peer.expect("searching").await;
        peers.push(peer);
    }

    for peer in &mut peers {
        peer.expect("partner_found").await;
    }
    server.shutdown_within(Duration::ZERO).await;
}
