//! Ringing over real sockets: callers, listeners, and clients and servers from before it.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_signaling::client::{ClientEvent, SendError};
use tandem_signaling::message::{Accept, Capability, ServerMessage};
use tandem_signaling::server::SignalingServer;
use tokio::net::TcpListener;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{connect, connected, message, next};
use crate::support::{Peer, raw, server, start, within};

/// 128 random bits, as text.
const PRIVATE: &str = "3f9a1c77b2d84e5f9a6b0c1d2e3f4a5b";

/// A search as an invite or *Call again* makes it.
fn call(room: &str) -> Value {
    json!({ "type": "find_partner", "room": room, "mustExist": true, "userName": "Ada", "id": "call" })
}

fn listen(rooms: &[&str]) -> Value {
    json!({ "type": "listen", "rooms": rooms, "id": "listen" })
}

#[tokio::test]
async fn a_call_rings_is_accepted_and_carries_media_signaling() {
    let turn = vec!["turn:turn.example.org".to_owned()];
    let builder = SignalingServer::builder().turn(turn, "a secret", Duration::from_secs(60));
    let server = start(builder).await;
    let address = server.local_addr();
    let (mut caller, mut listener) = (Peer::connect(address).await, Peer::connect(address).await);
    assert_eq!(
        listener.registered["capabilities"],
        json!(["claim_room", "ring"])
    );

    listener.send(listen(&[PRIVATE, "999"])).await;
    let listening = listener.expect("listening").await;
    assert_eq!(
        (&listening["rooms"], &listening["id"]),
        (&json!(1), &json!("listen")),
        "a number is only for who has claimed it"
    );

    caller.send(call(PRIVATE)).await;
    let searching = caller.expect("searching").await;
    assert_eq!(
        (&searching["ringing"], &searching["id"]),
        (&json!(true), &json!("call"))
    );

    let knock = listener.expect("knock").await;
    let fields: Vec<&String> = knock.as_object().expect("an object").keys().collect();
    assert_eq!(
        fields,
        ["knockId", "room", "type", "userName", "userPicture"],
        "nothing else of the caller: {knock}"
    );
    assert_eq!(
        (&knock["room"], &knock["userName"]),
        (&json!(PRIVATE), &json!("Ada"))
    );

    // Before `accept` nothing reaches the other side.
    for kind in ["webrtc_offer", "webrtc_answer", "ice_candidate"] {
        let to = &listener.registered["socketId"];
        caller
            .send(json!({ "type": kind, "to": to, "offer": {}, "answer": {}, "candidate": {} }))
            .await;
        caller.expect_error("not_matched").await;
    }
    caller.expect_quiet().await;
    listener.expect_quiet().await;

    listener
        .send(json!({ "type": "accept", "knockId": knock["knockId"], "userName": "Ben" }))
        .await;
    let (to_listener, to_caller) = (
        listener.expect("partner_found").await,
        caller.expect("partner_found").await,
    );
    assert_eq!(
        (&to_caller["initiator"], &to_caller["userName"]),
        (&json!(true), &json!("Ben"))
    );
    assert_eq!(to_listener["userName"], "Ada");
    assert!(
        !to_caller.to_string().contains("credential"),
        "credentials come with `get_ice_servers`: {to_caller}"
    );

    caller
        .send(json!({ "type": "webrtc_offer", "to": to_caller["socketId"], "offer": {} }))
        .await;
    listener.expect("webrtc_offer").await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn knocks_are_counted_and_errors_end_the_search() {
    let server = server().await;
    let address = server.local_addr();
    let (mut caller, mut listener) = (Peer::connect(address).await, Peer::connect(address).await);
    listener.send(listen(&[PRIVATE])).await;
    listener.expect("listening").await;
    caller.send(call(PRIVATE)).await;
    caller.expect("searching").await;
    let knock = listener.expect("knock").await["knockId"].clone();

    listener
        .send(json!({ "type": "decline", "knockId": knock }))
        .await;
    let error = caller.expect_error("declined").await;
    assert_eq!(error["id"], "call", "the error is about the search");
    caller.expect("search_cancelled").await;
    listener
        .send(json!({ "type": "accept", "knockId": knock, "id": "late" }))
        .await;
    assert_eq!(listener.expect_error("no_such_knock").await["id"], "late");

    let answer = raw(address, b"GET /metrics HTTP/1.1\r\nHost: tandem\r\n\r\n").await;
    let metrics = String::from_utf8_lossy(&answer);
    for line in [
        "tandem_knocks_total{event=\"rung\"} 1",
        "tandem_knocks_total{event=\"declined\"} 1",
        "tandem_knocks_total{event=\"accepted\"} 0",
        "tandem_knocks_total{event=\"expired\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn two_guests_with_one_invite_ring_one_after_the_other() {
    let server = server().await;
    let address = server.local_addr();
    let (mut owner, mut first, mut second) = (
        Peer::connect(address).await,
        Peer::connect(address).await,
        Peer::connect(address).await,
    );
    owner.send(json!({ "type": "claim_room" })).await;
    let claimed = owner.expect("room_claimed").await;
    let room = claimed["room"].as_str().expect("a room");
    owner.send(listen(&[room])).await;
    owner.expect("listening").await;

    first.send(call(room)).await;
    assert_eq!(first.expect("searching").await["ringing"], true);
    let knock = owner.expect("knock").await["knockId"].clone();
    second.send(call(room)).await;
    assert_eq!(second.expect("searching").await.get("ringing"), None);
    first.expect_quiet().await;

    owner
        .send(json!({ "type": "accept", "knockId": knock }))
        .await;
    let found = owner.expect("partner_found").await;
    assert_eq!(found["partnerId"], first.registered["userId"]);
    first.expect("partner_found").await;
    second.expect_quiet().await;

    let session = &found["sessionId"];
    owner
        .send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    owner.expect("session_ended").await;
    second.expect_quiet().await;

    // The owner gives the room up.
    owner
        .send(json!({ "type": "release_room", "room": room, "id": "r" }))
        .await;
    let released = owner.expect("room_released").await;
    assert_eq!(
        (&released["room"], &released["id"]),
        (&json!(room), &json!("r"))
    );
    let error = second.expect_error("no_such_room").await;
    assert_eq!(error["id"], "call", "the search is over");
    second.expect("search_cancelled").await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn clients_that_know_nothing_of_ringing_meet_as_before() {
    let server = server().await;
    let address = server.local_addr();
    let (mut listener, mut old, mut older) = (
        Peer::connect(address).await,
        Peer::connect(address).await,
        Peer::connect(address).await,
    );
    let plain = json!({ "type": "find_partner", "room": "blue-otter" });

    // Two of them, in a room with a listener: the first rings, the second is its partner.
    listener.send(listen(&["blue-otter"])).await;
    listener.expect("listening").await;
    old.send(plain.clone()).await;
    old.expect("searching").await;
    let knock = listener.expect("knock").await;
    older.send(plain.clone()).await;
    older.expect("searching").await;
    let found = older.expect("partner_found").await;
    assert_eq!(found["partnerId"], old.registered["userId"]);
    old.expect("partner_found").await;
    let ended = listener.expect("knock_ended").await;
    assert_eq!(
        (&ended["knockId"], &ended["reason"]),
        (&knock["knockId"], &json!("answered"))
    );

    // One of them alone is answered by the listener.
    let mut alone = Peer::connect(address).await;
    alone.send(plain).await;
    assert_eq!(alone.expect("searching").await.get("ringing"), None);
    let knock = listener.expect("knock").await["knockId"].clone();
    assert_eq!(
        alone.expect("searching").await["ringing"],
        true,
        "three seconds after the other knock"
    );
    listener
        .send(json!({ "type": "accept", "knockId": knock }))
        .await;
    alone.expect("partner_found").await;
    listener.expect("partner_found").await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_library_rings_accepts_and_declines() {
    let server = server().await;
    let address = server.local_addr();
    let (client, mut events) = connect(address);
    assert!(connected(&mut events).await.can(Capability::Ring));
    client.listen(vec![PRIVATE.into()]).expect("sent");
    assert!(matches!(
        message(&mut events).await,
        ServerMessage::Listening(listening) if listening.rooms == 1
    ));

    for accept in [false, true] {
        let mut caller = Peer::connect(address).await;
        caller.send(call(PRIVATE)).await;
        caller.expect("searching").await;
        let ServerMessage::Knock(knock) = message(&mut events).await else {
            panic!("expected a knock")
        };

        if accept {
            let user_name = Some("Ben".into());
            let accept = Accept {
                user_name,
                ..knock.knock_id.into()
            };
            client.accept(accept).expect("sent");
            assert_eq!(caller.expect("partner_found").await["userName"], "Ben");
            assert!(matches!(
                message(&mut events).await,
                ServerMessage::PartnerFound(_)
            ));
        } else {
            client.decline(knock.knock_id).expect("sent");
            caller.expect_error("declined").await;
        }
    }

    client.close().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_library_listens_again_when_it_is_registered_as_a_new_user() {
    let builder = SignalingServer::builder().resume_window(Duration::ZERO);
    let first = start(builder).await;
    let address = first.local_addr();
    let (client, mut events) = connect(address);
    connected(&mut events).await;
    client.listen(vec![PRIVATE.into()]).expect("sent");
    message(&mut events).await;

    first.shutdown_within(Duration::ZERO).await;
    let second = within("the same port", async {
        loop {
            let builder = SignalingServer::builder().listen(address.to_string());
            match builder.start().await {
                Ok(server) => break server,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;

    loop {
        match next(&mut events).await {
            ClientEvent::Connected(_) => break,
            ClientEvent::Message(ServerMessage::ServerDraining(_))
            | ClientEvent::Disconnected { .. } => {}
            other => panic!("expected a connection: {other:?}"),
        }
    }
    assert!(matches!(
        message(&mut events).await,
        ServerMessage::Listening(listening) if listening.rooms == 1
    ));

    let mut caller = Peer::connect(address).await;
    caller.send(call(PRIVATE)).await;
    assert_eq!(caller.expect("searching").await["ringing"], true);
    client.close().await;
    second.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_library_says_when_a_server_is_too_old_to_ring() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("an upgrade");
        let registered = json!({
            "type": "user_registered", "userId": "u", "socketId": "s", "resumeToken": "t",
            "protocol": 1, "heartbeatMs": 0, "silentMs": 0, "resumeMs": 0, "maxMessageBytes": 65536,
        });
        socket
            .send(Message::text(registered.to_string()))
            .await
            .expect("an open connection");
        // The first thing that comes.
        socket.next().await.expect("a frame").expect("a message")
    });

    let (client, mut events) = connect(address);
    assert!(!connected(&mut events).await.can(Capability::Ring));
    assert_eq!(client.listen(vec!["r".into()]), Err(SendError::Unsupported));
    assert_eq!(client.decline("k".into()), Err(SendError::Unsupported));
    client.close().await;

    let first = within("the end", server).await.expect("no panic");
    assert!(
        first.to_text().is_ok_and(|text| text.contains("bye")),
        "nothing was sent before: {first}"
    );
}

/// What a listener hears in a few seconds in which `ring_once` is called ten times a second.
async fn knocks_of(listener: &mut Peer, mut ring_once: impl AsyncFnMut()) -> (usize, usize) {
    const ATTEMPTS: u32 = 55;
    let mut times = interval(Duration::from_millis(100));
    for _ in 0..ATTEMPTS {
        times.tick().await;
        ring_once().await;
    }

    let (mut knocks, mut ends) = (0, 0);
    listener.send(json!({ "type": "ping", "t": 0 })).await;
    loop {
        let text = listener.next().await.expect("a message");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        match message["type"].as_str() {
            Some("knock") => knocks += 1,
            Some("knock_ended") => ends += 1,
            Some("pong") => return (knocks, ends),
            _ => panic!("unexpected: {message}"),
        }
    }
}

#[tokio::test]
async fn a_caller_who_rings_ten_times_a_second_knocks_once_in_three_seconds() {
    // The limits of the program.
    let builder = SignalingServer::builder()
        .limit_address(100, 300)
        .limit_traffic(100, 1 << 20)
        .limit_requests(60, 10)
        .limit_rooms(60);
    let server = start(builder).await;
    let address = server.local_addr();

    // On one connection, and as a new user on a new connection each time.
    for is_new_each_time in [false, true] {
        let (mut owner, mut caller) = (Peer::connect(address).await, Peer::connect(address).await);
        owner.send(json!({ "type": "claim_room" })).await;
        let claimed = owner.expect("room_claimed").await;
        let room = claimed["room"].as_str().expect("a room").to_owned();
        owner.send(listen(&[&room])).await;
        owner.expect("listening").await;

        let (knocks, ends) = knocks_of(&mut owner, async || {
            if is_new_each_time {
                caller = Peer::connect(address).await;
            }

            caller.send(call(&room)).await;
            caller.expect("searching").await;
            caller.send(json!({ "type": "cancel_search" })).await;
            caller.expect("search_cancelled").await;
        })
        .await;
        // The first at once, the next after three seconds. On a busy machine, the 5.4 seconds may
        // be longer, but not so much as to allow more knocks than this.
        assert!((2..=4).contains(&knocks), "{knocks} knocks");
        assert_eq!(ends, knocks, "each ends when the caller gives up");
    }

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_caller_does_not_ring_one_listener_after_the_other() {
    let server = start(SignalingServer::builder()).await;
    let address = server.local_addr();
    let mut caller = Peer::connect(address).await;
    let mut rung_at = None;
    for room in ["blue-otter", "red-otter"] {
        let mut listener = Peer::connect(address).await;
        listener.send(listen(&[room])).await;
        listener.expect("listening").await;
        caller.send(call(room)).await;
        listener.expect("knock").await;
        if let Some(before) = rung_at.replace(Instant::now()) {
            let between = before.elapsed();
            assert!(between >= Duration::from_millis(2_900), "{between:?}");
        }

        caller.send(json!({ "type": "cancel_search" })).await;
        listener.expect("knock_ended").await;
    }

    server.shutdown_within(Duration::ZERO).await;
}
