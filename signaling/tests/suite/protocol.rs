//! The server over real sockets: what the protocol promises to a client that keeps its rules.

use std::time::Duration;

use serde_json::{Value, json};
use tandem_signaling::server::SignalingServer;

use crate::support::{DEADLINE, Peer, UPGRADE, pair, raw, server, start, within};

#[tokio::test]
async fn registration_holds_everything_a_client_needs() {
    let server = start(SignalingServer::builder().stun_url("stun:stun.example.org:3478")).await;
    let (a, b) = (
        Peer::connect(server.local_addr()).await,
        Peer::connect(server.local_addr()).await,
    );
    let registered = &a.registered;

    assert_eq!(registered["type"], "user_registered");
    for field in ["userId", "socketId"] {
        let id = registered[field]
            .as_str()
            .and_then(|id| uuid::Uuid::parse_str(id).ok());
        assert_eq!(
            id.map(|id| id.get_version_num()),
            Some(4),
            "{field} is a random UUID: {registered}"
        );

        assert_ne!(
            registered[field], b.registered[field],
            "each connection has another {field}"
        );
    }

    assert!(
        registered["resumeToken"]
            .as_str()
            .is_some_and(|token| token.len() >= 32),
        "a token that cannot be guessed: {registered}"
    );

    let expected = json!({ "protocol": 1, "heartbeatMs": 25000, "silentMs": 60000, "resumeMs": 30000, "maxMessageBytes": 65536 });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&registered[field], value, "{field}");
    }

    assert_eq!(
        registered["iceServers"],
        json!([{ "urls": ["stun:stun.example.org:3478"] }])
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_handshake_is_relayed_byte_for_byte() {
    let server = server().await;
    let ((mut a, found_a), (mut b, found_b)) = pair(server.local_addr()).await;
    assert_eq!(
        (&found_a["initiator"], &found_b["initiator"]),
        (&json!(true), &json!(false)),
        "one side makes the offer"
    );
    assert_eq!(found_a["sessionId"], found_b["sessionId"]);
    assert_eq!(found_a["socketId"], b.registered["socketId"]);
    assert_eq!(found_a["partnerId"], b.registered["userId"]);

    let (to_a, to_b) = (
        &a.registered["socketId"].clone(),
        &b.registered["socketId"].clone(),
    );
    let offer = r#"{ "type" : "offer",  "sdp":"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n\u00e9 é","n":1.0e2,"n":1.0E+2}"#;
    a.send_text(format!(
        r#"{{"offer":{offer},"to":{to_b},"type":"webrtc_offer","from":"forged","seq":99}}"#
    ))
    .await;
    let text = b.next().await.expect("the offer");

    assert!(
        text.contains(&format!("\"offer\":{offer}")),
        "every byte is as it was sent: {text}"
    );

    let relayed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        relayed["from"], *to_a,
        "the server sets `from`, not the sender"
    );

    assert_eq!(
        (&relayed["seq"], &relayed["sessionId"]),
        (&json!(1), &found_a["sessionId"])
    );

    b.send_text(format!(
        r#"{{"type":"webrtc_answer","to":{to_a},"answer":"any JSON \u002f"}}"#
    ))
    .await;
    let text = a.next().await.expect("the answer");
    assert!(text.contains(r#""answer":"any JSON \u002f""#), "{text}");
    b.send_text(format!(
        r#"{{"type":"ice_candidate","to":{to_a},"candidate":null}}"#
    ))
    .await;
    let last = a.expect("ice_candidate").await;

    assert_eq!(
        (&last["candidate"], &last["seq"]),
        (&Value::Null, &json!(2)),
        "null means no more candidates"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_largest_message_is_relayed() {
    let server = server().await;
    let ((mut a, _), (mut b, _)) = pair(server.local_addr()).await;
    let to = &b.registered["socketId"];
    let empty = format!(r#"{{"type":"webrtc_offer","to":{to},"offer":""}}"#);
    let padding = "x".repeat(65536 - empty.len());
    a.send_text(format!(
        r#"{{"type":"webrtc_offer","to":{to},"offer":"{padding}"}}"#
    ))
    .await;
    let text = b.next().await.expect("64 KiB are relayed");

    assert!(
        text.len() <= 65536 + 512,
        "a relayed message is at most 512 bytes longer, not {}",
        text.len()
    );
    assert!(text.contains(&padding), "nothing is cut off");
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn every_error_leaves_the_connection_open() {
    let server = server().await;
    let ((mut a, found), (mut b, _)) = pair(server.local_addr()).await;
    let to_b = b.registered["socketId"].clone();
    let offer = |to: &Value| json!({ "type": "webrtc_offer", "to": to, "offer": {}, "id": "o" });

    for (message, code) in [
        (json!([]), "bad_json"),
        (json!({ "type": "webrtc_offer", "to": to_b }), "bad_message"),
        (json!({ "type": "dance" }), "unknown_type"),
        (
            json!({ "type": "resume", "resumeToken": "x", "lastSeq": 0 }),
            "unauthorized",
        ),
        (offer(&json!("another client")), "not_partner"),
        (offer(&a.registered["socketId"]), "not_partner"),
        (json!({ "type": "find_partner" }), "already_matched"),
        (json!({ "type": "cancel_search" }), "already_matched"),
        (
            json!({ "type": "end_session", "sessionId": "x" }),
            "no_such_session",
        ),
        (
            json!({ "type": "report", "sessionId": found["sessionId"], "category": "spam" }),
            "unavailable",
        ),
    ] {
        let id = message["id"].clone();
        a.send(message).await;
        let error = a.expect_error(code).await;
        assert_eq!(
            error["id"], id,
            "the error carries the message's id, if any: {error}"
        );
    }

    b.expect_quiet().await;
    a.send(json!({ "type": "end_session", "sessionId": found["sessionId"], "reason": "done" }))
        .await;
    a.expect("session_ended").await;

    assert_eq!(
        b.expect("partner_left").await["reason"],
        "left",
        "the client's own reason is not passed on"
    );

    a.send(offer(&to_b)).await;
    a.expect_error("not_matched").await;
    a.send(json!({ "type": "find_partner" })).await;
    a.expect("searching").await;
    a.send(json!({ "type": "find_partner" })).await;
    a.expect_error("already_searching").await;
    a.send(json!({ "type": "cancel_search", "id": "c" })).await;

    assert_eq!(a.expect("search_cancelled").await["id"], "c");
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_partner_is_notified_of_every_end() {
    let server = server().await;
    let ((mut a, _), (mut b, _)) = pair(server.local_addr()).await;
    a.send(json!({ "type": "bye" })).await;

    assert_eq!(b.expect("partner_left").await["reason"], "left");
    assert_eq!(a.expect_close().await, 1000, "a clean end");

    server.shutdown_within(Duration::ZERO).await;

    let server = start(SignalingServer::builder().resume_window(Duration::ZERO)).await;
    let ((a, _), (mut b, _)) = pair(server.local_addr()).await;
    drop(a);

    assert_eq!(b.expect("partner_left").await["reason"], "disconnected");

    let ((mut a, _), (mut b, _)) = pair(server.local_addr()).await;
    a.socket.close(None).await.expect("an open connection");
    assert_eq!(
        b.expect("partner_left").await["reason"],
        "disconnected",
        "a close frame is not a `bye`"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_broken_call_continues_where_it_was() {
    let server = server().await;
    let ((mut a, found), (mut b, _)) = pair(server.local_addr()).await;
    let (socket, token) = (
        a.registered["socketId"].clone(),
        a.registered["resumeToken"].clone(),
    );
    let candidate = |n: u64| json!({ "type": "ice_candidate", "to": socket, "candidate": n });
    b.send(candidate(1)).await;

    assert_eq!(a.expect("ice_candidate").await["seq"], 1);
    a.socket.close(None).await.expect("an open connection");
    assert_eq!(
        b.expect("partner_reconnecting").await["sessionId"],
        found["sessionId"]
    );

    b.send(candidate(2)).await;
    b.send(candidate(3)).await;
    b.expect_quiet().await;
    let mut c = Peer::connect(server.local_addr()).await;
    c.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 1, "id": "r" }))
        .await;
    let resumed = c.expect("resumed").await;

    assert_eq!(
        (&resumed["missed"], &resumed["sessionId"], &resumed["id"]),
        (&json!(2), &found["sessionId"], &json!("r"))
    );

    for n in 2..=3 {
        let kept = c.expect("ice_candidate").await;
        assert_eq!(
            (&kept["candidate"], &kept["seq"]),
            (&json!(n), &json!(n)),
            "in order, each once"
        );
    }

    b.expect("partner_resumed").await;
    let mut d = Peer::connect(server.local_addr()).await;
    d.send(json!({ "type": "resume", "resumeToken": token, "lastSeq": 0 }))
        .await;
    d.expect_error("unauthorized").await;
    let mut e = Peer::connect(server.local_addr()).await;
    e.send(json!({ "type": "resume", "resumeToken": c.registered["resumeToken"], "lastSeq": 3 }))
        .await;

    assert_eq!(e.expect("resumed").await["missed"], 0);
    assert_eq!(c.expect_close().await, 4002, "replaced");
    b.expect("partner_reconnecting").await;
    b.expect("partner_resumed").await;
    e.send(json!({ "type": "bye" })).await;

    assert_eq!(
        b.expect("partner_left").await["reason"],
        "left",
        "a `bye` is the end"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn http_beside_the_websocket() {
    let server = start(
        SignalingServer::builder()
            .max_connections(1)
            .allow_origin("https://ok.example"),
    )
    .await;
    let address = server.local_addr();
    let get = async |head: String| {
        let answer = raw(address, head.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        answer.lines().next().unwrap_or_default().to_owned()
    };

    let plain = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: tandem\r\n\r\n");
    assert_eq!(get(plain("/livez")).await, "HTTP/1.1 200 OK");
    assert_eq!(get(plain("/readyz")).await, "HTTP/1.1 200 OK");
    assert_eq!(get(plain("/")).await, "HTTP/1.1 200 OK");
    assert_eq!(get(plain("/index.html")).await, "HTTP/1.1 404 Not Found");
    assert_eq!(get(plain("/ws")).await, "HTTP/1.1 426 Upgrade Required");
    assert_eq!(
        get("POST /ws HTTP/1.1\r\nHost: tandem\r\n\r\n".into()).await,
        "HTTP/1.1 405 Method Not Allowed"
    );

    assert_eq!(
        get("nonsense\r\n\r\n".into()).await,
        "HTTP/1.1 400 Bad Request"
    );

    let long = format!("GET /ws HTTP/1.1\r\nX: {}\r\n", "x".repeat(9000));
    assert_eq!(
        get(long).await,
        "HTTP/1.1 431 Request Header Fields Too Large"
    );

    for (origin, allowed) in [
        ("https://evil.example", false),
        ("null", false),
        ("https://ok.example", true),
    ] {
        let status = get(format!("{UPGRADE}Origin: {origin}\r\n\r\n\x08\u{0}")).await;
        assert_eq!(
            status.starts_with("HTTP/1.1 101"),
            allowed,
            "{origin}: {status}"
        );
        assert!(
            allowed || status == "HTTP/1.1 403 Forbidden",
            "{origin}: {status}"
        );
    }

    // The last upgrade's slot is free once its task has ended, a moment after its socket.
    let mut only = loop {
        match get(format!("{UPGRADE}\r\n\x08\u{0}")).await.as_str() {
            "HTTP/1.1 503 Service Unavailable" => tokio::task::yield_now().await,
            _ => break Peer::connect(address).await,
        }
    };

    assert_eq!(
        get(format!("{UPGRADE}\r\n")).await,
        "HTTP/1.1 503 Service Unavailable",
        "the server is full"
    );

    assert_eq!(
        get(plain("/livez")).await,
        "HTTP/1.1 200 OK",
        "a full server is alive"
    );

    only.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn shutdown_drains() {
    let server = start(SignalingServer::builder().drain_deadline(DEADLINE)).await;
    let address = server.local_addr();
    let ((mut a, found), (mut b, _)) = pair(address).await;
    let mut idle = Peer::connect(address).await;
    let shutdown = tokio::spawn(server.shutdown());

    assert!(
        idle.expect("server_draining").await["reconnectAfterMs"]
            .as_u64()
            .is_some_and(|ms| ms >= 500)
    );

    assert_eq!(
        idle.expect_close().await,
        1001,
        "a client that is not in a call is closed"
    );

    a.expect("server_draining").await;
    b.expect("server_draining").await;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ready = text(raw(address, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await);

    assert!(ready.starts_with("HTTP/1.1 503 "), "no new users: {ready}");

    let upgrade = text(raw(address, format!("{UPGRADE}\r\n").as_bytes()).await);
    assert!(
        upgrade.starts_with("HTTP/1.1 503 "),
        "no new users: {upgrade}"
    );

    a.send(json!({ "type": "next" })).await;
    a.expect_error("draining").await;
    a.send(json!({ "type": "ice_candidate", "to": b.registered["socketId"], "candidate": null }))
        .await;
    b.expect("ice_candidate").await;
    a.send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    a.expect("session_ended").await;

    assert_eq!(a.expect_close().await, 1001, "the call is over");
    b.expect("partner_left").await;
    assert_eq!(b.expect_close().await, 1001);
    within("the end of the server", shutdown)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn the_drain_deadline_ends_calls() {
    let server = server().await;
    let ((mut a, _), _b) = pair(server.local_addr()).await;
    let shutdown = tokio::spawn(server.shutdown_within(Duration::from_millis(50)));

    assert_eq!(a.expect_close().await, 1001);
    within("the end of the server", shutdown)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let server = server().await;
    let error = SignalingServer::builder()
        .listen(server.local_addr().to_string())
        .start()
        .await
        .expect_err("taken");

    assert!(
        error.to_string().contains(&server.local_addr().to_string()),
        "the error names the address: {error}"
    );

    server.shutdown_within(Duration::ZERO).await;
}
