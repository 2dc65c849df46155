//! The edge of the server: limits, addresses, tokens, bans, and the HTTP beside the WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tandem_signaling::server::SignalingServer;
use tandem_tests::token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Peer, UPGRADE, pair, raw, server, start, within};

/// The whole answer to a GET of this path.
async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: tandem\r\n\r\n");
    String::from_utf8(raw(address, request.as_bytes()).await).expect("text")
}

/// An upgrade with these header lines: its status, the socket and the head of the answer.
async fn upgrade(address: SocketAddr, path: &str, lines: &str) -> (u16, TcpStream, String) {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let request = format!("{}{lines}\r\n", UPGRADE.replace("/ws", path));
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a fresh connection accepts bytes");
    let mut head = Vec::new();

    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            within("the answer's head", stream.read_u8())
                .await
                .expect("a whole head"),
        );
    }

    let head = String::from_utf8(head).expect("text");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());

    (
        status.unwrap_or_else(|| panic!("a status line: {head}")),
        stream,
        head,
    )
}

/// Waits until `/metrics` contains this line.
async fn metric_becomes(address: SocketAddr, line: &str) {
    within(line, async {
        while !get(address, "/metrics")
            .await
            .lines()
            .any(|found| found == line)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_connections_of_one_address_are_limited() {
    let server = start(SignalingServer::builder().limit_address(2, 0)).await;
    let address = server.local_addr();
    let (first, second) = (Peer::connect(address).await, Peer::connect(address).await);
    let (status, _, head) = upgrade(address, "/ws", "").await;

    assert_eq!(status, 429, "the third: {head}");
    assert!(
        head.contains("Retry-After: "),
        "the answer says when to return: {head}"
    );
    drop(first);
    metric_becomes(address, "tandem_connections 1").await;

    assert_eq!(
        upgrade(address, "/ws", "").await.0,
        101,
        "a closed connection makes room"
    );

    drop(second);
    assert!(
        get(address, "/metrics")
            .await
            .contains("tandem_refused_total{status=\"429\"} 1\n")
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_upgrades_of_one_address_per_minute_are_limited() {
    let server = start(SignalingServer::builder().limit_address(0, 3)).await;
    for n in 0..3 {
        assert_eq!(
            upgrade(server.local_addr(), "/ws", "").await.0,
            101,
            "upgrade {n}"
        );
    }

    assert_eq!(
        upgrade(server.local_addr(), "/ws", "").await.0,
        429,
        "the fourth in a minute"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_forwarded_address_counts() {
    let proxied = start(
        SignalingServer::builder()
            .limit_address(1, 0)
            .trusted_proxy("127.0.0.0/8".parse().expect("a range")),
    )
    .await;
    let address = proxied.local_addr();
    let one = "X-Forwarded-For: 9.9.9.9, 203.0.113.1\r\n";
    let (status, _first, _) = upgrade(address, "/ws", one).await;

    assert_eq!(status, 101);
    assert_eq!(
        upgrade(address, "/ws", "X-Forwarded-For: 8.8.8.8, 203.0.113.1\r\n")
            .await
            .0,
        429,
        "the same client"
    );

    let six = "X-Forwarded-For: 2001:db8::1\r\n";
    let (status, _second, _) = upgrade(address, "/ws", six).await;
    assert_eq!(status, 101, "another client");
    assert_eq!(
        upgrade(address, "/ws", "X-Forwarded-For: 2001:db8::ffff\r\n")
            .await
            .0,
        429,
        "the same /64"
    );

    proxied.shutdown_within(Duration::ZERO).await;

    let direct = start(SignalingServer::builder().limit_address(1, 0)).await;
    let (_, _first, _) = upgrade(direct.local_addr(), "/ws", one).await;
    assert_eq!(
        upgrade(direct.local_addr(), "/ws", six).await.0,
        429,
        "without a trusted proxy the header does not count"
    );

    direct.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_full_server_answers_503() {
    let server = start(SignalingServer::builder().max_connections(1)).await;
    let _first = Peer::connect(server.local_addr()).await;
    assert_eq!(upgrade(server.local_addr(), "/ws", "").await.0, 503);
    assert!(
        get(server.local_addr(), "/livez")
            .await
            .starts_with("HTTP/1.1 200 "),
        "health checks are still answered"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn too_many_messages_are_rate_limited_and_the_connection_stays() {
    let server = start(SignalingServer::builder().limit_traffic(20, 0)).await;
    let mut peer = Peer::connect(server.local_addr()).await;

    for n in 0..100 {
        peer.send(json!({ "type": "ping", "t": n, "id": format!("p{n}") }))
            .await;
    }

    let (mut pongs, mut limited) = (0, Vec::new());
    for _ in 0..100 {
        let message: Value =
            serde_json::from_str(&peer.next().await.expect("the connection stays")).expect("JSON");
        match message["type"].as_str() {
            Some("pong") => pongs += 1,
            _ => limited.push(message),
        }
    }

    assert!(
        pongs >= 40,
        "at least two seconds' worth are answered, not {pongs}"
    );

    let refused = limited.first().expect("a hundred at once are too many");
    assert_eq!(refused["code"], "rate_limited");
    assert!(
        refused["id"].as_str().is_some_and(|id| id.starts_with('p')),
        "the error carries the message's id: {refused}"
    );

    let wait = refused["retryAfterMs"].as_u64().expect("when to try again");
    assert!((1..=2000).contains(&wait), "{refused}");
    tokio::time::sleep(Duration::from_millis(
        limited.last().expect("one")["retryAfterMs"]
            .as_u64()
            .expect("a time"),
    ))
    .await;
    peer.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn searches_are_limited_but_not_the_end_of_one() {
    let server = start(SignalingServer::builder().limit_requests(2, 0)).await;
    let mut peer = Peer::connect(server.local_addr()).await;

    for _ in 0..2 {
        peer.send(json!({ "type": "find_partner" })).await;
        peer.expect("searching").await;
        peer.send(json!({ "type": "cancel_search" })).await;
        peer.expect("search_cancelled").await;
    }

    peer.send(json!({ "type": "next" })).await;
    let refused = peer.expect_error("rate_limited").await;
    assert!(
        refused["retryAfterMs"].as_u64() > Some(1000),
        "one search per half minute: {refused}"
    );

    peer.send(json!({ "type": "cancel_search" })).await;
    peer.expect("search_cancelled").await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_second_connection_does_not_evade_the_limits_of_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let secret = b"a secret of at least thirty-two bytes";
    std::fs::write(&key, secret).expect("a writable folder");
    let reports = folder.path().join("reports");
    let server = start(
        SignalingServer::builder()
            .jwt_key(&key)
            .reports(&reports)
            .limit_requests(2, 1),
    )
    .await;
    let address = server.local_addr();
    let connect = async |subject: &str| {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        let url = format!("ws://{address}/ws?token={}", token(secret, subject));
        let (socket, _) = client_async(url, stream).await.expect("a good token");
        let mut peer = Peer {
            socket,
            registered: Value::Null,
        };

        peer.registered = peer.expect("user_registered").await;
        peer
    };

    let (mut first, mut bob) = (connect("ann").await, connect("bob").await);
    for peer in [&mut first, &mut bob] {
        peer.send(json!({ "type": "find_partner", "room": "r" }))
            .await;
        peer.expect("searching").await;
    }

    let session = first.expect("partner_found").await["sessionId"].clone();
    bob.expect("partner_found").await;
    let report = json!({ "type": "report", "sessionId": session, "category": "spam" });
    first.send(report.clone()).await;
    first.expect("report_received").await;
    let mut second = connect("ann").await;
    second.send(json!({ "type": "resume", "resumeToken": first.registered["resumeToken"], "lastSeq": 0 })).await;
    second.expect("resumed").await;
    second.send(report).await;
    second.expect_error("rate_limited").await;
    second
        .send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    second.expect("session_ended").await;
    second.send(json!({ "type": "find_partner" })).await;
    second.expect("searching").await;
    let mut third = connect("ann").await;
    third.send(json!({ "type": "find_partner" })).await;
    let refused = third.expect_error("rate_limited").await;

    assert!(
        refused["retryAfterMs"].as_u64() > Some(1000),
        "one search per half minute: {refused}"
    );

    drop((first, second));
    let mut fourth = connect("ann").await;
    fourth.send(json!({ "type": "next" })).await;
    fourth.expect_error("rate_limited").await;
    bob.expect("partner_reconnecting").await;
    bob.expect("partner_resumed").await;
    bob.expect("partner_left").await;
    bob.send(json!({ "type": "find_partner" })).await;
    bob.expect("searching").await;
    server.shutdown_within(Duration::ZERO).await;
}

/// The first message on a socket that was just upgraded, and the close code after an error.
async fn first_message(stream: TcpStream) -> (Value, Option<u16>) {
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let mut socket = WebSocketStream::from_raw_socket(stream, role, None).await;
    let first = within("the first message", socket.next())
        .await
        .expect("a message")
        .expect("a complete message");
    let first: Value = serde_json::from_str(first.to_text().expect("text")).expect("JSON");

    if first["type"] != "error" {
        return (first, None);
    }

    match within("the close", socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => (first, Some(frame.code.into())),
        other => panic!("expected a close frame: {other:?}"),
    }
}

#[tokio::test]
async fn tokens_are_required_and_bans_apply_to_their_bearers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, bans) = (folder.path().join("key"), folder.path().join("bans"));
    let secret = b"a secret of at least thirty-two bytes";
    std::fs::write(&key, secret).expect("a writable folder");
    std::fs::write(&bans, "user:mallory\n").expect("a writable folder");
    let server = start(SignalingServer::builder().jwt_key(&key).ban_file(&bans)).await;
    let address = server.local_addr();

    let (status, stream, _) = upgrade(address, "/ws", "").await;
    assert_eq!(
        status, 101,
        "the upgrade succeeds: browsers show pages close codes, not statuses"
    );
    let (error, code) = first_message(stream).await;

    assert_eq!((&error["code"], code), (&json!("unauthorized"), Some(4001)));

    let alice = token(secret, "alice");
    for (path, lines) in [
        (
            "/ws".to_owned(),
            format!("Authorization: Bearer {alice}\r\n"),
        ),
        (format!("/ws?token={alice}"), String::new()),
        (
            "/ws".to_owned(),
            format!("Sec-WebSocket-Protocol: tandem, bearer.{alice}\r\n"),
        ),
    ] {
        let (_, stream, head) = upgrade(address, &path, &lines).await;
        assert_eq!(
            head.contains("tandem\r\n"),
            lines.contains("tandem"),
            "an offered subprotocol is accepted: {head}"
        );
        assert_eq!(
            first_message(stream).await.0["type"],
            "user_registered",
            "{path} {lines}"
        );
    }

    let (_, stream, _) = upgrade(
        address,
        &format!("/ws?token={}", token(b"another", "alice")),
        "",
    )
    .await;

    assert_eq!(
        first_message(stream).await.1,
        Some(4001),
        "another key's token"
    );

    let (_, stream, _) = upgrade(
        address,
        &format!("/ws?token={}", token(secret, "mallory")),
        "",
    )
    .await;
    let (error, code) = first_message(stream).await;
    assert_eq!((&error["code"], code), (&json!("banned"), Some(4005)));

    let online = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let (socket, _) = client_async(format!("ws://{address}/ws?token={alice}"), online)
        .await
        .expect("alice is let in");
    let mut online = Peer {
        socket,
        registered: Value::Null,
    };

    online.expect("user_registered").await;
    std::fs::write(&bans, "user:alice # since today\n").expect("a writable folder");
    server.reload();
    online.expect_error("banned").await;

    assert_eq!(
        online.expect_close().await,
        4005,
        "a user who is banned while connected is closed"
    );

    let (_, stream, _) = upgrade(
        address,
        &format!("/ws?token={}", token(secret, "mallory")),
        "",
    )
    .await;

    assert_eq!(
        first_message(stream).await.0["type"],
        "user_registered",
        "a user who is no longer banned is let in"
    );

    std::fs::write(&bans, "no such entry\n").expect("a writable folder");
    server.reload();
    let (_, stream, _) = upgrade(address, &format!("/ws?token={alice}"), "").await;

    assert_eq!(
        first_message(stream).await.1,
        Some(4005),
        "the old list stays in force if the new one is broken"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn unreadable_files_stop_the_start() {
    for builder in [
        SignalingServer::builder().ban_file("/nowhere/bans"),
        SignalingServer::builder().jwt_key("/nowhere/key"),
        SignalingServer::builder().tls("/nowhere/cert", "/nowhere/key"),
        SignalingServer::builder().reports("/nowhere/reports"),
    ] {
        let error = builder
            .listen("127.0.0.1:0")
            .start()
            .await
            .expect_err("the file is not there")
            .to_string();
        assert!(
            error.contains("/nowhere/"),
            "the error names the file: {error}"
        );
    }
}

#[tokio::test]
async fn the_http_beside_the_websocket() {
    let server = server().await;
    let address = server.local_addr();
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(
        get(address, "/livez?x=1")
            .await
            .starts_with("HTTP/1.1 200 "),
        "a query does not change the path"
    );

    for path in ["/index.html", "/ws/", "/metrics/x", "/../livez", "/%6civez"] {
        assert!(
            get(address, path).await.starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }

    let ((mut a, found), (mut b, _)) = pair(address).await;
    let message = json!({ "type": "webrtc_offer", "to": found["socketId"], "offer": { "sdp": "x".repeat(100) } });
    a.send(message).await;
    b.expect("webrtc_offer").await;
    b.send(json!({ "type": "end_session", "sessionId": "none" }))
        .await;
    b.expect_error("no_such_session").await;
    let text = get(address, "/metrics").await;

    assert!(
        text.contains("Content-Type: text/plain; version=0.0.4"),
        "{text}"
    );

    for line in [
        "tandem_connections 2",
        "tandem_sessions 1",
        "tandem_searching 0",
        "tandem_relayed_messages_total{type=\"webrtc_offer\"} 1",
        "tandem_errors_total{code=\"no_such_session\"} 1",
        "tandem_match_wait_seconds_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }

    let bytes = text
        .lines()
        .find(|line| line.starts_with("tandem_relayed_bytes_total{type=\"webrtc_offer\"}"));
    let bytes = bytes
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|bytes| bytes.parse::<u32>().ok());
    assert!(bytes > Some(100), "the bytes of the message: {bytes:?}");
    a.send(json!({ "type": "bye" })).await;
    a.expect_close().await;
    drop(b);
    metric_becomes(address, "tandem_connections 0").await;
    metric_becomes(address, "tandem_closed_total{code=\"1000\"} 1").await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_forbidden_origin_is_403_before_anything_else() {
    let server = start(
        SignalingServer::builder()
            .allow_origin("https://tandem.example")
            .max_connections(1),
    )
    .await;
    let _full = Peer::connect(server.local_addr()).await;
    assert_eq!(
        upgrade(
            server.local_addr(),
            "/ws",
            "Origin: https://evil.example\r\n"
        )
        .await
        .0,
        403
    );

    assert_eq!(
        upgrade(
            server.local_addr(),
            "/ws",
            "Origin: https://tandem.example\r\n"
        )
        .await
        .0,
        503
    );

    let stream = TcpStream::connect(server.local_addr())
        .await
        .expect("the server listens");
    let refused = client_async(format!("ws://{}/ws", server.local_addr()), stream).await;
    assert!(
        matches!(refused, Err(Error::Http(answer)) if answer.status() == 503),
        "a client library understands the answer"
    );

    server.shutdown_within(Duration::ZERO).await;
}
