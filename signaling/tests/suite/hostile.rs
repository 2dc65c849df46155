//! Clients that break the rules: the server closes them with the right code, and the others are not
//! affected.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use serde_json::json;
use tandem_signaling::server::SignalingServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Peer, UPGRADE, frame, pair, raw, server, start, within};

/// The close code at the end of what the server sent, if there is a close frame.
fn close_code(bytes: &[u8]) -> Option<u16> {
    let at = bytes
        .windows(4)
        .rposition(|window| window[0] == 0x88 && window[2] >= 0x03)?;
    Some(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]))
}

#[tokio::test]
async fn an_error_comes_before_close_1009() {
    let server = server().await;
    let mut whole = Peer::connect(server.local_addr()).await;
    whole.send_text("x".repeat(65537)).await;
    whole.expect_error("message_too_large").await;

    assert_eq!(whole.expect_close().await, 1009);

    let mut bytes = format!("{UPGRADE}\r\n").into_bytes();
    let half = vec![b' '; 40_000];
    bytes.extend(frame(0x01, &half));
    bytes.extend(frame(0x80, &half));
    let answer = raw(server.local_addr(), &bytes).await;

    assert_eq!(close_code(&answer), Some(1009), "fragments are summed");

    let mut huge = format!("{UPGRADE}\r\n").into_bytes();
    huge.extend([
        0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    let answer = raw(server.local_addr(), &huge).await;

    assert_eq!(
        close_code(&answer),
        Some(1009),
        "a length of 2^63 is refused before any of it is read"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_binary_frame_is_1003() {
    let server = server().await;
    let mut peer = Peer::connect(server.local_addr()).await;
    peer.socket
        .send(Message::binary(b"{}".to_vec()))
        .await
        .expect("an open connection");

    assert_eq!(peer.expect_close().await, 1003);
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn broken_frames_are_1002_and_broken_text_1007() {
    let server = server().await;
    for (bytes, code) in [
        (frame(0xc1, b"{}"), 1002),
        (frame(0x83, b"{}"), 1002),
        (frame(0x81, b"\xff"), 1007),
    ] {
        let answer = raw(
            server.local_addr(),
            &[format!("{UPGRADE}\r\n").as_bytes(), &bytes].concat(),
        )
        .await;
        assert_eq!(
            close_code(&answer),
            Some(code),
            "RFC 6455 §7.4.1 for {bytes:x?}"
        );
    }

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_20th_unreadable_message_is_1008() {
    let server = server().await;
    let mut peer = Peer::connect(server.local_addr()).await;

    for n in 0..20 {
        match n % 3 {
            0 => peer.send_text("x").await,
            1 => peer.send(json!({ "type": "block" })).await,
            _ => peer.send(json!({ "type": "dance" })).await,
        }

        peer.expect_error(["bad_json", "bad_message", "unknown_type"][n % 3])
            .await;
    }

    assert_eq!(peer.expect_close().await, 1008);

    let mut patient = Peer::connect(server.local_addr()).await;
    for _ in 0..40 {
        patient
            .send(json!({ "type": "end_session", "sessionId": "x" }))
            .await;
        patient.expect_error("no_such_session").await;
    }

    patient.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn an_upgrade_that_does_not_finish_is_closed() {
    let server = server().await;
    let silent = raw(server.local_addr(), b"");
    let half = raw(server.local_addr(), b"GET /ws HTTP/1.1\r\nHost: re");
    let (silent, half) = tokio::join!(silent, half);

    assert!(
        silent.is_empty() && half.is_empty(),
        "both were closed without an answer, after 5 s"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_4003_and_the_partner_is_notified() {
    let server = start(
        SignalingServer::builder()
            .heartbeat(Duration::from_millis(100))
            .silent(Duration::from_millis(600)),
    )
    .await;
    let mut bytes = format!("{UPGRADE}\r\n").into_bytes();
    bytes.extend(frame(0x81, br#"{"type":"find_partner"}"#));
    let address = server.local_addr();
    let dead = tokio::spawn(async move { raw(address, &bytes).await });
    let mut partner = Peer::connect(server.local_addr()).await;
    partner.send(json!({ "type": "find_partner" })).await;
    partner.expect("searching").await;
    partner.expect("partner_found").await;
    partner.expect("partner_reconnecting").await;
    let received = within("the close", dead).await.expect("no panic");

    assert!(
        received.windows(2).any(|window| window == [0x89, 0x00]),
        "it was pinged before"
    );
    assert_eq!(close_code(&received), Some(4003));
    // The partner reads, and so answers pings, in `expect`: it is still connected.
    partner.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_4004_and_the_partner_is_notified() {
    let server = server().await;
    let ((fast, _), (mut slow, _)) = pair(server.local_addr()).await;
    let message = json!({
        "type": "ice_candidate", "to": slow.registered["socketId"], "candidate": "x".repeat(60_000),
    })
    .to_string();
    let (mut sink, mut stream) = fast.socket.split();
    let flood = tokio::spawn(async move {
        // Far more than the queue and the kernel's buffers hold. It ends when the test drops its
        // other half.
        for _ in 0..2000 {
            if sink.send(Message::text(message.clone())).await.is_err() {
                break;
            }
        }
    });

    let notified = loop {
        match within("partner_reconnecting", stream.next()).await {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(_)) => {}
            other => panic!("the fast side must stay connected: {other:?}"),
        }
    };

    assert!(
        notified.contains(r#""partner_reconnecting""#),
        "the partner is notified: {notified}"
    );

    assert_eq!(slow.expect_close().await, 4004, "the close code says why");

    flood.abort();
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_burst_to_a_partner_that_reads_arrives_complete() {
    let server = server().await;
    let ((mut a, _), (mut b, _)) = pair(server.local_addr()).await;
    let to = b.registered["socketId"].clone();
    let sender = tokio::spawn(async move {
        for n in 0..5000 {
            let text = json!({ "type": "ice_candidate", "to": to, "candidate": n }).to_string();
            a.socket
                .feed(Message::text(text))
                .await
                .expect("an open connection");
        }

        a.socket.flush().await.expect("an open connection");
        a
    });

    for n in 0..5000 {
        let message = b.expect("ice_candidate").await;
        assert_eq!(
            (message["candidate"].as_u64(), message["seq"].as_u64()),
            (Some(n), Some(n + 1)),
            "in order"
        );
    }

    within("the sender", sender)
        .await
        .expect("no panic")
        .expect_quiet()
        .await;
    server.shutdown_within(Duration::ZERO).await;
}

/// An upgraded connection for raw frames.
async fn upgraded(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream
        .write_all(format!("{UPGRADE}\r\n").as_bytes())
        .await
        .expect("a fresh connection accepts bytes");
    stream
}

/// Reads to the end of the connection and returns the close code.
async fn close_code_of(mut stream: TcpStream) -> Option<u16> {
    let mut bytes = Vec::new();
    let _ = within("the end of the connection", stream.read_to_end(&mut bytes)).await;
    close_code(&bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_pings_fragments_and_large_frames_leave_others_alone() {
    let server = start(SignalingServer::builder().limit_traffic(100, 200_000)).await;
    let address = server.local_addr();
    let ((mut a, _), (mut b, _)) = pair(address).await;
    let flood = |unit: Vec<u8>, first: Vec<u8>| async move {
        let mut stream = upgraded(address).await;
        let chunk = unit.repeat(4096 / unit.len().max(1) + 1);
        let _ = stream.write_all(&first).await;
        // Until the server stops reading, or closes.
        let limit = Duration::from_millis(1500);
        let sent = tokio::time::timeout(limit, async {
            let mut sent = 0;
            while stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }

            sent
        });

        (sent.await.ok(), stream)
    };

    let pings = tokio::spawn(flood(frame(0x89, b""), Vec::new()));
    let fragments = tokio::spawn(flood(frame(0x00, b""), frame(0x01, b"{")));
    let large = tokio::spawn(flood(frame(0x81, &vec![b'x'; 2_000_000]), Vec::new()));
    let to = b.registered["socketId"].clone();
    let mut slowest = Duration::ZERO;

    for n in 0..50 {
        let asked = std::time::Instant::now();
        a.send(json!({ "type": "ice_candidate", "to": to, "candidate": n }))
            .await;
        assert_eq!(
            b.expect("ice_candidate").await["candidate"],
            n,
            "a call continues beside the floods"
        );

        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    println!("the slowest of 50 relayed messages took {slowest:?}");
    let (pings, fragments, large) = (
        within("the pings", pings).await.expect("no panic"),
        within("the fragments", fragments).await.expect("no panic"),
        within("the frames", large).await.expect("no panic"),
    );

    assert_eq!(
        pings.0, None,
        "a flood of pings is neither read to its end nor closed"
    );
    assert_eq!(
        close_code_of(large.1).await,
        Some(1009),
        "2 MB are too large"
    );
    drop((pings, fragments));
    a.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_thousand_unfinished_requests_keep_no_client_out() {
    let server = server().await;
    let mut slow = Vec::new();

    for n in 0..1000 {
        let mut stream = TcpStream::connect(server.local_addr())
            .await
            .expect("the server listens");
        stream
            .write_all(format!("GET /ws HTTP/1.1\r\nX-{n}: ").as_bytes())
            .await
            .expect("a fresh connection");
        slow.push(stream);
    }

    let ((mut a, _), (mut b, _)) = pair(server.local_addr()).await;
    for stream in &mut slow {
        // One more byte does not extend the time limit.
        let _ = stream.write_all(b"x").await;
    }

    for mut stream in slow {
        let _ = within(
            "the end of an unfinished request",
            stream.read_to_end(&mut Vec::new()),
        )
        .await;
    }

    a.expect_quiet().await;
    b.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn ambiguous_requests_are_400() {
    let server = server().await;
    for head in [
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 9\r\n",
        "Host: other\r\n",
        "X: a\r\n b\r\n",
        "Bad Name: x\r\n",
        "X:\0\r\n",
    ] {
        let request = format!("{UPGRADE}{head}\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = String::from_utf8_lossy(&raw(server.local_addr(), request.as_bytes()).await)
            .into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(
            answer.matches("\r\nContent-Length: ").count(),
            1,
            "one request is read from a connection: {answer}"
        );
    }

    for request in [
        "GET /ws HTTP/1.1\r\n\r\n",
        "GET /ws HTTP/0.9\r\nHost: x\r\n\r\n",
        "\x16\x03\x01",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let answer = String::from_utf8_lossy(&raw(server.local_addr(), request.as_bytes()).await)
            .into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{request:?}: {answer}"
        );
    }

    let long = format!("GET /ws HTTP/1.1\r\nHost: x\r\nX: {}", "y".repeat(9000));
    let answer =
        String::from_utf8_lossy(&raw(server.local_addr(), long.as_bytes()).await).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(),
        "{answer}"
    );

    server.shutdown_within(Duration::ZERO).await;
}

#[test]
fn no_garbage_kills_the_server() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(server());
    let address = server.local_addr();
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };

    let pieces = prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            any::<String>().prop_map(|text| frame(0x81, text.as_bytes())),
            "\\{\"type\":\"(bye|ping|next|find_partner|webrtc_offer)\",\"(t|to|room)\":.{0,6}\\}"
                .prop_map(|text| frame(0x81, text.as_bytes())),
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..32))
                .prop_map(|(first, load)| frame(first, &load)),
        ],
        0..6,
    );

    proptest!(config, |(upgrade in prop::bool::weighted(0.9), pieces in pieces)| {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            let mut bytes = if upgrade { format!("{UPGRADE}\r\n").into_bytes() } else { Vec::new() };
            bytes.extend(pieces.concat());
            // The server may have closed already, in the middle of the garbage.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = within("the end of the connection", stream.read_to_end(&mut Vec::new())).await;
        });
    });

    runtime.block_on(async {
        let ((mut a, _), (mut b, _)) = pair(address).await;
        a.expect_quiet().await;
        b.expect_quiet().await;
        server.shutdown_within(Duration::ZERO).await;
    });
}
