//! What the client makes of servers that refuse it, flood it, or go away while it sends.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tandem_signaling::client::{ClientErrorCode, ClientEvent};
use tandem_signaling::message::{ClaimRoom, ClientMessage};
use tandem_signaling::server::SignalingServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{connect, connected, listener, lost, next, resuming_server, upgraded};
use crate::support::{Peer, start, within};

/// A connection on which a client has asked for the upgrade.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = within("a connection", listener.accept())
        .await
        .expect("a connection");
    let mut request = [0; 4096];
    within("a request", stream.read(&mut request))
        .await
        .expect("a request");
    stream
}

/// The code and the next attempt after a server answered the upgrade with `head`.
async fn answered(head: &str) -> (ClientErrorCode, Option<Duration>) {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut stream = asked(&listener).await;
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.expect("open");

    match next(&mut events).await {
        ClientEvent::Disconnected { error, retry_in } => (error.code(), retry_in),
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn each_refusal_has_its_code_and_the_hopeless_ones_are_final() {
    for (head, code) in [
        ("200 OK", ClientErrorCode::NotASignalingServer),
        ("301 Moved", ClientErrorCode::Redirected),
        ("401 Unauthorized", ClientErrorCode::TokenNeeded),
        ("403 Forbidden", ClientErrorCode::Forbidden),
        ("404 Not Found", ClientErrorCode::WrongPath),
    ] {
        assert_eq!(answered(head).await, (code, None), "{head}");
    }

    let (code, retry_in) = answered("502 Bad Gateway").await;
    assert_eq!(code, ClientErrorCode::Refused);
    assert!(
        retry_in.is_some(),
        "a proxy whose server is being restarted"
    );

    let (code, retry_in) = answered("503 Service Unavailable\r\nRetry-After: 7").await;
    assert_eq!(code, ClientErrorCode::Full);
    assert!(
        retry_in >= Some(Duration::from_secs(7)),
        "as long as the server asks: {retry_in:?}"
    );
}

#[tokio::test]
async fn the_servers_own_refusals_are_understood() {
    let full = start(SignalingServer::builder().max_connections(1)).await;
    let _only = Peer::connect(full.local_addr()).await;
    let (_client, mut events) = connect(full.local_addr());
    assert_eq!(lost(&mut events).await.code(), ClientErrorCode::Full);

    let crowded = start(SignalingServer::builder().limit_address(1, 0)).await;
    let _only = Peer::connect(crowded.local_addr()).await;
    let (_client, mut events) = connect(crowded.local_addr());
    assert_eq!(lost(&mut events).await.code(), ClientErrorCode::Busy);

    let url = format!("ws://{}/elsewhere", crowded.local_addr());
    let config = crate::client::config(url.parse().expect("an address"));
    let (_client, mut events) = tandem_signaling::client::Client::connect(config);
    assert_eq!(lost(&mut events).await.code(), ClientErrorCode::WrongPath);
}

#[tokio::test]
async fn another_version_of_the_protocol_is_told() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    let mut socket = upgraded(&listener).await;
    let registered = r#"{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":2,
        "heartbeatMs":1000,"silentMs":60000,"resumeMs":0,"maxMessageBytes":65536}"#;
    socket.send(Message::text(registered)).await.expect("open");

    let error = lost(&mut events).await;
    assert_eq!(error.code(), ClientErrorCode::OtherVersion, "{error}");
}

#[tokio::test]
async fn messages_that_wait_at_a_break_are_sent_after_the_resume() {
    let (listener, address) = listener().await;
    let (client, mut events) = connect(address);
    let server = resuming_server(&listener, 60_000, "first", 30_000).await;
    connected(&mut events).await;

    // More than the network's buffers hold: the server does not read, so most of it waits.
    let large = serde_json::json!({ "sdp": "x".repeat(60_000) });
    let offer = || ClientMessage::WebrtcOffer {
        to: "p".into(),
        offer: tandem_signaling::message::RawValue::from_string(large.to_string()).expect("JSON"),
    };
    let mut sent = 0;
    while client.send(offer()).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    drop(server);
    lost(&mut events).await;

    let mut server = resuming_server(&listener, 60_000, "second", 30_000).await;
    within("the resume", server.next()).await;
    server
        .send(Message::text(
            r#"{"type":"resumed","missed":0,"sessionId":"c"}"#,
        ))
        .await
        .expect("open");

    match within("the queue", server.next()).await {
        Some(Ok(Message::Text(text))) => {
            assert!(
                text.contains("webrtc_offer"),
                "one of {sent} waiting messages"
            );
        }
        other => panic!("expected a waiting message: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_of_the_former_user_is_not_sent_as_the_new_one() {
    let (listener, address) = listener().await;
    let (client, mut events) = connect(address);
    let server = resuming_server(&listener, 60_000, "first", 0).await;
    connected(&mut events).await;
    drop(server);

    // The client is registered as a new user, but the program has not read that event yet.
    let mut server = resuming_server(&listener, 60_000, "second", 0).await;
    server
        .send(Message::Ping(Default::default()))
        .await
        .expect("open");
    let pong = within("the pong", server.next()).await;
    assert!(matches!(pong, Some(Ok(Message::Pong(_)))), "{pong:?}");
    client
        .send(ClientMessage::Next { session_id: None })
        .expect("as far as the program knows, it is connected");

    lost(&mut events).await;
    connected(&mut events).await;
    client
        .send(ClientMessage::ClaimRoom(ClaimRoom::default()))
        .expect("connected");
    match within("a message", server.next()).await {
        Some(Ok(Message::Text(text))) => assert!(text.contains("claim_room"), "{text}"),
        other => panic!("expected a message: {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_tried_again() {
    let (listener, address) = listener().await;
    let (_client, mut events) = connect(address);
    drop(asked(&listener).await);

    match next(&mut events).await {
        ClientEvent::Disconnected { error, retry_in } => {
            assert!(retry_in.is_some(), "{error}");
        }
        other => panic!("expected a loss: {other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_does_not_read_its_events_stops_the_flood_at_the_server() {
    let (listener, address) = listener().await;
    let (client, events) = connect(address);
    let mut server = resuming_server(&listener, 60_000, "first", 0).await;

    // 64 events of 100 KB and the buffers of both sockets are some 20 MB at most.
    let message = format!(
        r#"{{"type":"ice_candidate","candidate":"{}","from":"p","sessionId":"c","seq":1}}"#,
        "x".repeat(100_000)
    );
    let mut written = 0;
    while written < 2_000 {
        let seq = format!("\"seq\":{}", written + 1);
        let sending = server.send(Message::text(message.replace("\"seq\":1", &seq)));
        if tokio::time::timeout(Duration::from_secs(1), sending)
            .await
            .is_err()
        {
            break;
        }
        written += 1;
    }
    assert!(
        written < 2_000,
        "200 MB went into a client that reads no events"
    );

    // And it can still be closed.
    within("closing", client.close()).await;
    drop(events);
}

#[tokio::test]
async fn a_host_whose_first_address_is_dead_is_reached_by_the_second() {
    // `localhost` has an IPv6 address on most systems, where nothing listens.
    let server = start(SignalingServer::builder()).await;
    let SocketAddr::V4(address) = server.local_addr() else {
        panic!("the test listens on IPv4")
    };
    let url = format!("ws://localhost:{}", address.port());
    let config = crate::client::config(url.parse().expect("an address"));
    let (_client, mut events) = tandem_signaling::client::Client::connect(config);
    connected(&mut events).await;
}
