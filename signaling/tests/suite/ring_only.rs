//! A ring-only server over real sockets: who is its owner, and what everyone else finds.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;
use tandem_signaling::client::{BearerToken, Client, ClientConfig, ClientEvent};
use tandem_signaling::message::ServerMessage;
use tandem_signaling::server::{SignalingServer, StartError};

use crate::client::{config, connected, message, next};
use crate::support::{Peer, UPGRADE, raw, start};

const OWNER: &str = "5f0e1d2c3b4a";
const ROOM: &str = "nearby";

async fn ring_only() -> SignalingServer {
    start(SignalingServer::builder().ring_only(OWNER, |_| true)).await
}

fn owner(address: SocketAddr) -> ClientConfig {
    let url = format!("ws://{address}").parse().expect("an address");
    ClientConfig {
        token: BearerToken::new(OWNER).ok(),
        ..config(url)
    }
}

#[tokio::test]
async fn a_visitor_rings_and_the_owner_answers() {
    let server = ring_only().await;
    let address = server.local_addr();
    let (owner, mut events) = Client::connect(owner(address));
    connected(&mut events).await;
    owner.listen(vec![ROOM.into()]).expect("connected");
    assert!(matches!(
        message(&mut events).await,
        ServerMessage::Listening(listening) if listening.rooms == 1
    ));

    let mut visitor = Peer::connect(address).await;
    visitor
        .send(json!({ "type": "find_partner", "userName": "Ann" }))
        .await;
    visitor.expect_error("unavailable").await;
    visitor
        .send(json!({ "type": "listen", "rooms": [ROOM] }))
        .await;
    visitor.expect_error("unavailable").await;
    visitor
        .send(json!({ "type": "find_partner", "userName": "Ann", "room": ROOM }))
        .await;
    assert_eq!(visitor.expect("searching").await["ringing"], true);

    let ClientEvent::Message(ServerMessage::Knock(knock)) = next(&mut events).await else {
        panic!("expected a knock");
    };
    assert_eq!(knock.address, Some(Ipv4Addr::LOCALHOST.into()));
    owner.accept(knock.knock_id).expect("connected");
    visitor.expect("partner_found").await;
}

#[tokio::test]
async fn a_wrong_token_is_that_of_a_visitor() {
    let server = ring_only().await;
    let thief = ClientConfig {
        token: BearerToken::new("guess").ok(),
        ..owner(server.local_addr())
    };
    let (client, mut events) = Client::connect(thief);
    connected(&mut events).await;
    client.listen(vec![ROOM.into()]).expect("connected");
    let ServerMessage::Error(error) = message(&mut events).await else {
        panic!("expected a refusal");
    };
    assert!(error.message.contains("ring its owner"), "{error:?}");
}

#[tokio::test]
async fn browsers_and_the_curious_find_nothing() {
    let server = ring_only().await;
    let address = server.local_addr();
    let own = format!("http://{address}");
    for origin in ["https://evil.example", "null", &own, "http://tandem.local"] {
        let request = format!("{UPGRADE}Origin: {origin}\r\n\r\n");
        let answer = raw(address, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{origin}");
    }

    for path in ["/", "/j/7", "/metrics", "/livez", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: tandem\r\n\r\n");
        let answer = raw(address, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 404 "), "{path}");
    }
}

#[tokio::test]
async fn visitors_come_from_where_the_owner_wants_them() {
    let builder = SignalingServer::builder().ring_only(OWNER, |address| !address.is_loopback());
    let server = start(builder).await;
    let address = server.local_addr();
    let answer = raw(address, format!("{UPGRADE}\r\n").as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 403 "));

    let (_owner, mut events) = Client::connect(owner(address));
    connected(&mut events).await;
}

#[tokio::test]
async fn a_crowd_of_visitors_does_not_keep_the_owner_out() {
    let builder = SignalingServer::builder()
        .ring_only(OWNER, |_| true)
        .max_connections(3);
    let server = start(builder).await;
    let address = server.local_addr();
    let visitors = [Peer::connect(address).await, Peer::connect(address).await];
    let answer = raw(address, format!("{UPGRADE}\r\n").as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "one place is left");

    let (_owner, mut events) = Client::connect(owner(address));
    connected(&mut events).await;
    drop(visitors);
}

#[tokio::test]
async fn it_is_no_part_of_a_cluster() {
    let builder = SignalingServer::builder()
        .ring_only(OWNER, |_| true)
        .redis("redis://127.0.0.1:1");
    let result = builder.start().await;
    assert!(matches!(result, Err(StartError::Settings(_))));
}

#[tokio::test]
async fn one_listener_takes_both_kinds_of_addresses() {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        println!("SKIPPED: this machine has no IPv6: {error}");
        return;
    }

    let builder = SignalingServer::builder().listen("[::]:0");
    let server = builder.start().await.expect("both kinds of addresses");
    let port = server.local_addr().port();
    for address in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        Peer::connect(address).await;
    }
}

#[tokio::test]
async fn a_client_goes_to_the_address_it_knows() {
    let server = ring_only().await;
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let config = ClientConfig {
        addresses: vec![closed, server.local_addr()],
        ..config("ws://no-such-name.invalid".parse().expect("an address"))
    };
    let (_client, mut events) = Client::connect(config);
    connected(&mut events).await;
}
