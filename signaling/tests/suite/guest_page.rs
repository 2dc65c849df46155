//! The pages for people with a browser, `/j/NUMBER` and `/`, as the server serves them. What they do in
//! a browser is tested in `tests/tests/invite_page.rs` and `tests/tests/guest_page.rs`, a call in `tests/tests/guest_call.rs`.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::json;
use tandem_signaling::server::SignalingServer;
use tandem_tests::token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::process::{command, run, start as start_program};
use crate::support::{Peer, UPGRADE, raw, server, start, within};

/// The whole answer to a request for this path, with these header lines.
async fn request(address: SocketAddr, method: &str, path: &str, lines: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: tandem\r\n{lines}\r\n");
    String::from_utf8(raw(address, request.as_bytes()).await).expect("text")
}

async fn get(address: SocketAddr, path: &str) -> String {
    request(address, "GET", path, "").await
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    status.unwrap_or_else(|| panic!("a status line: {answer}"))
}

#[tokio::test]
async fn the_page_may_load_nothing_and_tells_nobody_where_it_was() {
    let server = server().await;
    let answer = get(server.local_addr(), "/j/7").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");

    assert_eq!(status(head), 200);
    for line in [
        "Content-Type: text/html; charset=utf-8",
        &format!("Content-Length: {}", body.len()),
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Permissions-Policy: camera=(self), microphone=(self)",
        "Vary: Accept-Encoding",
        "Cache-Control: no-store",
        "Connection: close",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }

    let policy = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Security-Policy: "))
        .expect("a policy");
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(
            policy.split("; ").any(|found| found == directive),
            "{directive}: {policy}"
        );
    }

    assert!(body.starts_with("<!doctype html>"), "{body}");
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn head_gets_the_head_of_the_page_and_other_methods_are_refused() {
    let server = server().await;
    let address = server.local_addr();
    let page = get(address, "/j/7").await;
    let head = request(address, "HEAD", "/j/7", "").await;

    assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
    assert!(
        page.starts_with(&head),
        "the same head:\n{head}\nand\n{page}"
    );

    assert_eq!(status(&request(address, "HEAD", "/j/x", "").await), 404);
    assert_eq!(status(&request(address, "HEAD", "/livez", "").await), 200);
    assert_eq!(status(&request(address, "HEAD", "/ws", "").await), 405);

    for method in ["POST", "PUT", "DELETE", "OPTIONS", "head"] {
        let answer = request(address, method, "/j/7", "").await;
        assert_eq!(status(&answer), 405, "{method}: {answer}");
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_page_does_not_tell_which_rooms_exist() {
    let server = server().await;
    let address = server.local_addr();
    let mut owner = Peer::connect(address).await;
    owner.send(json!({ "type": "claim_room" })).await;
    let claimed = owner.expect("room_claimed").await["room"].clone();
    let claimed = claimed.as_str().expect("a number");
    let other = if claimed == "1" { "2" } else { "1" };

    assert_eq!(
        get(address, &format!("/j/{claimed}")).await,
        get(address, &format!("/j/{other}")).await,
        "a claimed room and a free one"
    );
    assert_eq!(
        get(address, "/j/7?room=8").await,
        get(address, "/j/9").await,
        "the page is the same for all"
    );
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn only_numbers_of_rooms_are_pages() {
    let server = server().await;
    for (path, expected) in [
        ("/j/1", 200),
        ("/j/999999999", 200),
        ("/j/7?utm=1", 200),
        ("/j/1000000000", 404),
        ("/j/0", 404),
        ("/j/07", 404),
        ("/j/", 404),
        ("/j/7/", 404),
        ("/j/garden-lantern", 404),
        ("/j/%3Cscript%3E", 404),
        ("/j", 404),
        ("/", 200),
        ("/?utm=1", 200),
        ("/index.html", 404),
    ] {
        let answer = get(server.local_addr(), path).await;
        assert_eq!(status(&answer), expected, "{path}");
    }

    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn an_address_that_opens_too_many_pages_is_refused_for_a_while() {
    let server = start(
        SignalingServer::builder()
            .limit_address(0, 3)
            .trusted_proxy("127.0.0.0/8".parse().expect("a range")),
    )
    .await;
    let address = server.local_addr();
    let ann = "X-Forwarded-For: 203.0.113.1\r\n";

    for _ in 0..3 {
        assert_eq!(status(&request(address, "GET", "/j/7", ann).await), 200);
    }

    let refused = request(address, "GET", "/j/7", ann).await;
    assert_eq!(status(&refused), 429);
    assert!(refused.contains("\r\nRetry-After: "), "{refused}");
    assert_eq!(
        status(&request(address, "HEAD", "/j/x", ann).await),
        429,
        "whatever it asks for"
    );

    let ben = "X-Forwarded-For: 203.0.113.2\r\n";
    assert_eq!(
        status(&request(address, "GET", "/j/7", ben).await),
        200,
        "another client of the same proxy"
    );
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_page_offers_tandem_where_the_operator_says() {
    let url = "https://example.org/get?a=1&b=2";
    let server = start_program(&["--download-url", url]);
    let page = get(server.address(), "/j/7").await;
    assert!(
        page.contains("data-download=\"https://example.org/get?a=1&amp;b=2\""),
        "{page}"
    );
    let home = get(server.address(), "/").await;
    assert!(
        home.contains("href=\"https://example.org/get?a=1&amp;b=2\""),
        "{home}"
    );

    let (code, process) = run(command(&["--download-url", "javascript:alert(1)"]));
    assert_eq!(code, Some(2), "no page");
    assert!(process.stderr().contains("https://example.org/tandem"));
}

/// The status of an upgrade with these header lines after the `Host`.
async fn upgrade(address: SocketAddr, host: &str, lines: &str) -> u16 {
    let head = UPGRADE.replace("Host: tandem", &format!("Host: {host}"));
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    stream
        .write_all(format!("{head}{lines}\r\n").as_bytes())
        .await
        .expect("a fresh connection accepts bytes");

    // The answer to an upgrade that is accepted does not end.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = within("the answer's head", stream.read_u8()).await;
        head.push(byte.expect("a whole head"));
    }

    status(std::str::from_utf8(&head).expect("text"))
}

#[tokio::test]
async fn the_page_is_compressed_for_those_who_take_it() {
    let server = server().await;
    let address = server.local_addr();
    let plain = get(address, "/j/7").await;
    let (_, plain) = plain.split_once("\r\n\r\n").expect("a head and a body");

    let request = b"GET /j/7 HTTP/1.1\r\nHost: tandem\r\nAccept-Encoding: br, gzip\r\n\r\n";
    let answer = raw(address, request).await;
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("the end of the head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let body = &answer[end + 4..];
    assert!(head.contains("\r\nContent-Encoding: gzip"), "{head}");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}", body.len())),
        "{head}"
    );
    assert!(
        body.len() <= 80 * 1024,
        "{} bytes are too many for a slow network",
        body.len()
    );

    let mut unpacked = String::new();
    GzDecoder::new(body)
        .read_to_string(&mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, plain, "the same page");
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_servers_own_page_may_connect_and_no_other() {
    let server = server().await;
    let address = server.local_addr();
    let own = address.to_string();

    for (host, origin, expected) in [
        (own.as_str(), format!("http://{own}"), 101),
        ("chat.example.org", "https://chat.example.org".into(), 101),
        ("chat.example.org", "http://chat.example.org".into(), 403),
        ("chat.example.org", "https://evil.example".into(), 403),
        (&own, "https://evil.example".into(), 403),
        (&own, "null".into(), 403),
    ] {
        let status = upgrade(address, host, &format!("Origin: {origin}\r\n")).await;
        assert_eq!(status, expected, "{origin} at {host}");
    }

    let forged = "Origin: https://evil.example\r\nX-Forwarded-Host: evil.example\r\n\
                  X-Forwarded-Proto: https\r\n";
    assert_eq!(
        upgrade(address, &own, forged).await,
        403,
        "only a trusted proxy is believed"
    );
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn a_trusted_proxy_says_what_the_servers_origin_is() {
    let proxy = "127.0.0.0/8".parse().expect("a range");
    let server = start(SignalingServer::builder().trusted_proxy(proxy)).await;
    let address = server.local_addr();
    let with = |proto: &str| {
        format!(
            "Origin: https://chat.example.org\r\nX-Forwarded-Host: chat.example.org\r\n\
             X-Forwarded-Proto: {proto}\r\n"
        )
    };

    let own = address.to_string();
    assert_eq!(upgrade(address, &own, &with("https")).await, 101);
    assert_eq!(upgrade(address, &own, &with("http")).await, 403);
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn without_the_guest_page_a_link_opens_tandem_and_no_page_may_connect() {
    let server = start(SignalingServer::builder().guest_page(false)).await;
    let address = server.local_addr();
    let own = address.to_string();

    assert!(get(address, "/j/7").await.contains("data-calls=\"off\""));
    assert_eq!(status(&get(address, "/").await), 404, "nothing to say");
    assert_eq!(
        upgrade(address, &own, &format!("Origin: http://{own}\r\n")).await,
        403
    );
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn the_setting_switches_the_guest_page() {
    for (flags, calls) in [
        (&[][..], "on"),
        (&["--guest-page", "on"], "on"),
        (&["--guest-page", "off"], "off"),
    ] {
        let server = start_program(flags);
        let page = get(server.address(), "/j/7").await;
        assert!(
            page.contains(&format!("data-calls=\"{calls}\"")),
            "{flags:?}"
        );
    }

    let (code, process) = run(command(&["--guest-page", "maybe"]));
    assert_eq!(code, Some(2));
    assert!(process.stderr().contains("on, off"), "{}", process.stderr());
}

#[tokio::test]
async fn a_visit_leaves_no_trace_at_the_server() {
    let server = server().await;
    let address = server.local_addr();
    let mut owner = Peer::connect(address).await;
    owner.send(json!({ "type": "claim_room" })).await;
    let room = owner.expect("room_claimed").await["room"].clone();
    owner
        .send(json!({ "type": "listen", "rooms": [room] }))
        .await;
    owner.expect("listening").await;

    // A crawler, or the preview of a messenger.
    let room = room.as_str().expect("a number");
    for path in [format!("/j/{room}"), "/".to_owned()] {
        for method in ["GET", "HEAD"] {
            assert_eq!(status(&request(address, method, &path, "").await), 200);
        }
    }

    // Nobody has knocked.
    owner.expect_quiet().await;
    server.shutdown_within(Duration::ZERO).await;
}

/// Connects to `path` with this header. Returns the client with the first message that it got.
async fn connect_with(address: SocketAddr, path: &str, name: &'static str, value: &str) -> Peer {
    let mut request = format!("ws://{address}{path}")
        .into_client_request()
        .expect("an address");
    request
        .headers_mut()
        .insert(name, value.parse().expect("a header's value"));
    let stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let (socket, _) = within("the upgrade", client_async(request, stream))
        .await
        .expect("an upgrade");
    let mut peer = Peer {
        socket,
        registered: json!(null),
    };

    let first = peer.next().await.expect("a message");
    peer.registered = serde_json::from_str(&first).expect("JSON");
    peer
}

#[tokio::test]
async fn a_guest_comes_in_with_the_token_of_the_link_and_with_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let secret = b"a secret of at least thirty-two bytes";
    std::fs::write(&key, secret).expect("a writable folder");
    let server = start(SignalingServer::builder().jwt_key(&key)).await;
    let address = server.local_addr();
    let offered = "sec-websocket-protocol";

    let bearer = format!("Bearer {}", token(secret, "ann"));
    let mut owner = connect_with(address, "/ws", "authorization", &bearer).await;
    owner.send(json!({ "type": "claim_room" })).await;
    let claimed = owner.expect("room_claimed").await;
    let (room, guest) = (&claimed["room"], claimed["guestToken"].as_str());
    let guest = guest.expect("a token for the guest");
    owner
        .send(json!({ "type": "listen", "rooms": [room] }))
        .await;
    owner.expect("listening").await;

    for (path, name, value) in [
        (
            format!("/ws?token={guest}"),
            "user-agent",
            String::from("x"),
        ),
        ("/ws".into(), "authorization", format!("Bearer {guest}")),
        ("/ws".into(), offered, format!("tandem, bearer.{guest}0")),
        ("/ws".into(), offered, "tandem, bearer.guest.".into()),
    ] {
        let refused = connect_with(address, &path, name, &value).await;
        assert_eq!(refused.registered["code"], "unauthorized", "{path} {name}");
    }

    let valid = format!("tandem, bearer.{guest}");
    let mut first = connect_with(address, "/ws", offered, &valid).await;
    assert_eq!(first.registered["type"], "user_registered");
    let mut second = connect_with(address, "/ws", offered, &valid).await;
    let search =
        json!({ "type": "find_partner", "userName": "Bea", "room": room, "mustExist": true });
    second.send(search.clone()).await;
    second.expect_error("unauthorized").await;

    first.send(json!({ "type": "find_partner" })).await;
    first.expect_error("unavailable").await;
    first.send(search).await;
    assert_eq!(first.expect("searching").await["ringing"], true);
    let knock = owner.expect("knock").await;
    assert_eq!(knock["userName"], "Bea");
    owner
        .send(json!({ "type": "accept", "knockId": knock["knockId"] }))
        .await;
    owner.expect("partner_found").await;
    first.expect("partner_found").await;

    // Without guest pages, nobody comes in without a token of their own.
    let server = start(SignalingServer::builder().jwt_key(&key).guest_page(false)).await;
    let mut owner = connect_with(server.local_addr(), "/ws", "authorization", &bearer).await;
    owner.send(json!({ "type": "claim_room" })).await;
    let claimed = owner.expect("room_claimed").await;
    assert!(claimed["guestToken"].is_null(), "{claimed}");
}
