//! The client of the crate, against the real server and against servers that misbehave.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{
    Backoff, Client, ClientConfig, ClientError, ClientEvent, ClientEvents, Garbage, SendError,
};
use tandem_signaling::message::{
    ClientMessage, FindPartner, LeaveReason, RawValue, ServerMessage, UserRegistered,
};
use tandem_signaling::server::SignalingServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Peer, server, within};

pub(crate) type Events = ClientEvents;

pub(crate) fn connect(address: SocketAddr) -> (Client, Events) {
    let url = format!("ws://{address}").parse().expect("an address");
    Client::connect(config(url))
}

/// A client that comes back soon.
pub(crate) fn config(url: ServerUrl) -> ClientConfig {
    ClientConfig {
        backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(100)),
        ..ClientConfig::new(url)
    }
}

pub(crate) async fn next(events: &mut Events) -> ClientEvent {
    within("an event", events.recv())
        .await
        .expect("the client is running")
}

pub(crate) async fn connected(events: &mut Events) -> Box<UserRegistered> {
    loop {
        match next(events).await {
            ClientEvent::Connected(registered) => return registered,
            ClientEvent::Disconnected { .. } => {}
            other => panic!("expected a connection: {other:?}"),
        }
    }
}

pub(crate) async fn message(events: &mut Events) -> ServerMessage {
    match next(events).await {
        ClientEvent::Message(message) => message,
        other => panic!("expected a message: {other:?}"),
    }
}

pub(crate) async fn lost(events: &mut Events) -> ClientError {
    match next(events).await {
        ClientEvent::Disconnected { error, .. } => error,
        other => panic!("expected a loss: {other:?}"),
    }
}

/// Takes a client's connection and upgrades it.
pub(crate) async fn upgraded(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (stream, _) = within("a connection", listener.accept())
        .await
        .expect("a connection");
    within("an upgrade", tokio_tungstenite::accept_async(stream))
        .await
        .expect("an upgrade")
}

/// A server under the test's control: it upgrades one connection and registers it. Nothing on it
/// can be resumed.
async fn fake_server(listener: &TcpListener, silent_ms: u64) -> WebSocketStream<TcpStream> {
    resuming_server(listener, silent_ms, "t", 0).await
}

/// The same, with this resume token, for a client that can be resumed for `resume_ms`.
pub(crate) async fn resuming_server(
    listener: &TcpListener,
    silent_ms: u64,
    token: &str,
    resume_ms: u64,
) -> WebSocketStream<TcpStream> {
    let mut socket = upgraded(listener).await;
    let registered = format!(
        r#"{{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"{token}","protocol":1,
            "heartbeatMs":1000,"silentMs":{silent_ms},"resumeMs":{resume_ms},"maxMessageBytes":65536}}"#
    );

    socket
        .send(Message::text(registered))
        .await
        .expect("an open connection");
    socket
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[tokio::test]
async fn two_clients_meet_and_part() {
    let server = server().await;
    let ((a, mut from_a), (b, mut from_b)) =
        (connect(server.local_addr()), connect(server.local_addr()));
    let early = a
        .send(ClientMessage::CancelSearch)
        .expect_err("nothing is sent before registration");

    assert_eq!(early, SendError::NotConnected);
    for (client, events) in [(&a, &mut from_a), (&b, &mut from_b)] {
        connected(events).await;
        client
            .send(ClientMessage::FindPartner(FindPartner::default()))
            .expect("connected");
        assert!(matches!(message(events).await, ServerMessage::Searching(_)));
    }

    let ServerMessage::PartnerFound(partner) = message(&mut from_a).await else {
        panic!("a partner")
    };

    assert!(matches!(
        message(&mut from_b).await,
        ServerMessage::PartnerFound(_)
    ));

    let offer = RawValue::from_string(r#"{ "sdp" : "\u00e9" }"#.into()).expect("JSON");
    a.send(ClientMessage::WebrtcOffer {
        to: partner.socket_id,
        offer: offer.clone(),
    })
    .expect("connected");
    let ServerMessage::WebrtcOffer(relayed) = message(&mut from_b).await else {
        panic!("an offer")
    };

    assert_eq!(relayed.offer.get(), offer.get(), "byte for byte");
    let huge = RawValue::from_string(format!("\"{}\"", "x".repeat(65536))).expect("JSON");
    let error = a
        .send(ClientMessage::WebrtcOffer {
            to: "s".into(),
            offer: huge,
        })
        .expect_err("too large");

    assert!(
        matches!(error, SendError::MessageTooLarge(65_537..)),
        "{error}"
    );

    within("closing", a.close()).await;
    assert!(
        matches!(next(&mut from_a).await, ClientEvent::Closed),
        "the last event"
    );

    let ServerMessage::PartnerLeft(left) = message(&mut from_b).await else {
        panic!("partner_left")
    };

    assert_eq!(
        left.reason,
        LeaveReason::Left,
        "close() sends bye, so the partner is notified of a clean end"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn dropping_the_handle_says_bye() {
    let server = server().await;
    let mut partner = Peer::connect(server.local_addr()).await;
    partner
        .send(serde_json::json!({ "type": "find_partner" }))
        .await;
    let (client, mut events) = connect(server.local_addr());
    connected(&mut events).await;
    client
        .send(ClientMessage::FindPartner(FindPartner::default()))
        .expect("connected");
    drop(client);
    partner.expect("searching").await;
    partner.expect("partner_found").await;

    assert_eq!(
        partner.expect("partner_left").await["reason"],
        "left",
        "what was sent before the bye arrives before it"
    );

    loop {
        if let ClientEvent::Closed = next(&mut events).await {
            break;
        }
    }

    server.shutdown().await;
}

#[tokio::test]
async fn a_client_returns_when_the_server_does() {
    let server = server().await;
    let address = server.local_addr();
    let (client, mut events) = connect(address);
    let before = connected(&mut events).await;
    drop(server);

    assert!(
        !lost(&mut events).await.to_string().is_empty(),
        "the loss is an event with a reason"
    );

    assert!(
        client.send(ClientMessage::CancelSearch).is_err(),
        "there is no connection now"
    );

    let unreachable = lost(&mut events).await;
    assert_eq!(
        unreachable.code().as_str(),
        "SIGNALING_UNREACHABLE",
        "every failed attempt is an event: {unreachable}"
    );

    let server = within("the port", async {
        loop {
            if let Ok(server) = SignalingServer::builder()
                .listen(address.to_string())
                .start()
                .await
            {
                break server;
            }

            tokio::task::yield_now().await;
        }
    })
    .await;
    let after = connected(&mut events).await;
    assert_ne!(
        before.user_id, after.user_id,
        "a new connection is a new user"
    );

    client
        .send(ClientMessage::CancelSearch)
        .expect("connected again");
    assert!(matches!(
        message(&mut events).await,
        ServerMessage::SearchCancelled
    ));

    server.shutdown().await;
    assert!(matches!(
        message(&mut events).await,
        ServerMessage::ServerDraining(_)
    ));

    match next(&mut events).await {
        ClientEvent::Disconnected {
            error: ClientError::Closed(1001),
            retry_in,
        } => {
            assert!(
                retry_in.is_some_and(|delay| delay >= Duration::from_millis(500)),
                "the client waits as long as the server asks: {retry_in:?}"
            );
        }
        other => panic!("expected close 1001: {other:?}"),
    }

    within("closing while disconnected", client.close()).await;
}

#[tokio::test]
async fn garbage_is_an_event_and_the_connection_stays_open() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut server = fake_server(&listener, 60_000).await;
    connected(&mut events).await;

    for garbage in [
        Message::text("not JSON"),
        Message::text("[]"),
        Message::text(r#"{"type":"partner_found","userName":5}"#),
        Message::text(r#"{"type":"news"}"#),
        Message::text(format!(
            r#"{{"type":"pong","t":"{}"}}"#,
            "x".repeat(10 << 20)
        )),
        Message::binary(vec![0; 200_000]),
    ] {
        server.send(garbage).await.expect("an open connection");
    }

    server
        .send(Message::text(r#"{"type":"pong","t":1}"#))
        .await
        .expect("an open connection");

    for expected in [
        "Unreadable",
        "Unreadable",
        "Unreadable",
        "Unreadable",
        "TooLarge",
        "Binary",
    ] {
        match next(&mut events).await {
            ClientEvent::Garbage(garbage) => {
                let kind = match garbage {
                    Garbage::Unreadable(_) => "Unreadable",
                    Garbage::TooLarge(_) => "TooLarge",
                    Garbage::Binary(_) => "Binary",
                };

                assert_eq!(kind, expected);
            }
            other => panic!("expected garbage: {other:?}"),
        }
    }

    assert!(
        matches!(message(&mut events).await, ServerMessage::Pong(_)),
        "the connection is open"
    );

    for _ in 0..20 {
        server
            .send(Message::text("garbage"))
            .await
            .expect("an open connection");
    }

    loop {
        match next(&mut events).await {
            ClientEvent::Garbage(_) => {}
            ClientEvent::Disconnected {
                error: ClientError::TooMuchGarbage,
                ..
            } => break,
            other => panic!("expected the end of the connection: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let server = fake_server(&listener, 1000).await;
    connected(&mut events).await;

    assert_eq!(
        lost(&mut events).await.code().as_str(),
        "SIGNALING_SILENT",
        "nothing came for silentMs"
    );

    drop(server);
}

#[tokio::test]
async fn another_kind_of_server_is_recognized() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut socket = upgraded(&listener).await;
    socket
        .send(Message::text("hello"))
        .await
        .expect("an open connection");

    assert_eq!(
        lost(&mut events).await.code().as_str(),
        "SIGNALING_NOT_A_RELAY"
    );
}

#[tokio::test]
async fn pings_of_the_server_are_answered() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut server = fake_server(&listener, 60_000).await;
    connected(&mut events).await;
    server
        .send(Message::Ping(
            tokio_tungstenite::tungstenite::Bytes::from_static(b"beat"),
        ))
        .await
        .expect("open");

    match within("a pong", server.next()).await {
        Some(Ok(Message::Pong(payload))) => assert_eq!(&payload[..], b"beat"),
        other => panic!("expected a pong: {other:?}"),
    }
}

/// The next message of the client.
async fn received(server: &mut WebSocketStream<TcpStream>) -> serde_json::Value {
    loop {
        match within("a message", server.next()).await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
            Some(Ok(_)) => {}
            other => panic!("expected a message: {other:?}"),
        }
    }
}

fn candidate(seq: u64) -> Message {
    Message::text(format!(
        r#"{{"type":"ice_candidate","candidate":{seq},"from":"p","sessionId":"c","seq":{seq}}}"#
    ))
}

#[tokio::test]
async fn a_broken_connection_is_resumed_and_nothing_comes_twice() {
    let (listener, address) = listener().await;
    let (client, mut events) = connect(address);
    let mut server = resuming_server(&listener, 60_000, "first", 30_000).await;
    connected(&mut events).await;

    for seq in 1..=3 {
        server.send(candidate(seq)).await.expect("open");
        assert!(
            matches!(message(&mut events).await, ServerMessage::IceCandidate(relayed) if relayed.seq == seq)
        );
    }

    // Twice: the second token comes from the resumed connection.
    for (token, fresh, last) in [("first", "second", 3), ("second", "third", 5)] {
        drop(server);
        lost(&mut events).await;
        server = resuming_server(&listener, 60_000, fresh, 30_000).await;
        let request = received(&mut server).await;
        let expected =
            serde_json::json!({ "type": "resume", "resumeToken": token, "lastSeq": last });

        assert_eq!(request, expected, "the first message of the new connection");
        assert!(
            client.send(ClientMessage::CancelSearch).is_err(),
            "nothing else is sent before the answer"
        );

        server
            .send(Message::text(
                r#"{"type":"resumed","missed":2,"sessionId":"c"}"#,
            ))
            .await
            .expect("open");
        for seq in [last - 1, last, last + 1, last + 2] {
            server.send(candidate(seq)).await.expect("open");
        }

        loop {
            match next(&mut events).await {
                ClientEvent::Resumed {
                    registered,
                    missed: 2,
                    session_id: Some(session),
                } => {
                    assert_eq!(
                        (session.as_str(), registered.resume_token.as_str()),
                        ("c", fresh)
                    );

                    break;
                }
                ClientEvent::Disconnected { .. } => {}
                other => panic!("expected a resumed connection: {other:?}"),
            }
        }

        for seq in [last + 1, last + 2] {
            assert!(
                matches!(message(&mut events).await, ServerMessage::IceCandidate(relayed) if relayed.seq == seq),
                "repeated messages are dropped, the rest comes in order"
            );
        }

        client
            .send(ClientMessage::CancelSearch)
            .expect("connected again");
        assert_eq!(received(&mut server).await["type"], "cancel_search");
    }
}

#[tokio::test]
async fn a_stale_token_makes_a_new_user() {
    let (listener, address) = listener().await;
    let (client, mut events) = connect(address);
    let mut server = resuming_server(&listener, 60_000, "first", 30_000).await;
    connected(&mut events).await;
    server.send(candidate(9)).await.expect("open");
    message(&mut events).await;
    drop(server);
    lost(&mut events).await;
    let mut server = resuming_server(&listener, 60_000, "second", 30_000).await;

    assert_eq!(received(&mut server).await["resumeToken"], "first");
    let refusal = r#"{"type":"error","code":"unauthorized","message":"The token is stale."}"#;
    server.send(Message::text(refusal)).await.expect("open");
    connected(&mut events).await;
    client
        .send(ClientMessage::CancelSearch)
        .expect("the connection is open");

    assert_eq!(received(&mut server).await["type"], "cancel_search");
    server.send(candidate(1)).await.expect("open");
    assert!(
        matches!(message(&mut events).await, ServerMessage::IceCandidate(relayed) if relayed.seq == 1)
    );

    // What answers a resume with anything else is not a signaling server.
    drop(server);
    lost(&mut events).await;
    let mut server = resuming_server(&listener, 60_000, "third", 30_000).await;
    received(&mut server).await;
    server
        .send(Message::text(r#"{"type":"searching"}"#))
        .await
        .expect("open");

    assert_eq!(
        lost(&mut events).await.code().as_str(),
        "SIGNALING_NOT_A_RELAY"
    );
}

#[tokio::test]
async fn a_connection_that_was_replaced_is_not_resumed() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut server = resuming_server(&listener, 60_000, "first", 30_000).await;
    connected(&mut events).await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 4002.into(),
        reason: "".into(),
    };

    server
        .send(Message::Close(Some(frame)))
        .await
        .expect("open");
    assert!(matches!(lost(&mut events).await, ClientError::Closed(4002)));
    drop(server);
    let _server = resuming_server(&listener, 60_000, "second", 30_000).await;
    connected(&mut events).await;
}
