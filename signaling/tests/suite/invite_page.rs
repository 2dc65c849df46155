//! The page behind the link to an invite, `/j/NUMBER`, as the server serves it. What it does in a
//! browser is tested in `tests/tests/invite_page.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tandem_signaling::server::SignalingServer;

use crate::support::process::{command, run, start as start_program};
use crate::support::{Peer, raw, server, start};

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
        page.contains("href=\"https://example.org/get?a=1&amp;b=2\""),
        "{page}"
    );

    let (code, process) = run(command(&["--download-url", "javascript:alert(1)"]));
    assert_eq!(code, Some(2), "no page");
    assert!(process.stderr().contains("https://example.org/tandem"));
}
