//! The credentials that the relay hands out, in the hands of a real TURN server.

#![cfg(unix)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tandem_tests::coturn::Allocation;
use tandem_tests::process::wait_until;
use tandem_tests::{Coturn, Part, Relay, require};
use tokio_tungstenite::tungstenite::{self, Message};

/// What `user_registered` and the answer to `get_ice_servers` say about servers.
fn ask(relay: &Relay) -> (Value, Value) {
    let stream = std::net::TcpStream::connect(relay.address()).expect("the relay listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a plain socket");
    let (mut socket, _) = tungstenite::client(relay.url(), stream).expect("an upgrade");
    let mut read = || -> Value {
        let message = socket.read().expect("the relay answers");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    };

    let registered = read();
    assert_eq!(registered["type"], "user_registered");
    socket
        .send(Message::text(
            json!({ "type": "get_ice_servers", "id": "q" }).to_string(),
        ))
        .expect("an open connection");
    let message = socket.read().expect("the relay answers");
    let answer: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");

    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("ice_servers"), &json!("q")),
        "the answer to the request"
    );

    (registered, answer)
}

/// Name and password of the one TURN server.
fn credentials(servers: &Value) -> (String, String) {
    let turn = servers
        .as_array()
        .expect("a list")
        .iter()
        .find(|server| server.get("username").is_some());
    let turn = turn.unwrap_or_else(|| panic!("a server with credentials: {servers}"));
    let text = |field: &str| {
        turn[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field} is a string: {turn}"))
            .to_owned()
    };

    (text("username"), text("credential"))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

#[test]
fn the_relays_credentials_open_coturn_until_they_run_out() {
    require!(Part::Coturn);
    let server = Coturn::start("shared between the two").expect("coturn comes up");
    let flags = [
        "--turn-url",
        &server.url(),
        "--turn-secret",
        server.secret(),
    ];
    let relay = Relay::start_with(&flags).expect("the relay starts");
    let (registered, answer) = ask(&relay);

    assert_eq!(answer["ttl"], 3600, "an hour is the default");
    for servers in [&registered["iceServers"], &answer["iceServers"]] {
        assert_eq!(
            servers[0]["urls"],
            json!([server.url()]),
            "the server as it was given: {servers}"
        );

        let (user, credential) = credentials(servers);
        assert!(
            user.ends_with(registered["userId"].as_str().expect("a string")),
            "the name names the user: {user}"
        );

        let came = server
            .allocate(&user, &credential)
            .expect("coturn's client runs");
        assert_eq!(
            came,
            Allocation::Relayed,
            "the credentials are good: {}",
            server.log()
        );
    }

    let brief =
        Relay::start_with(&[&flags[..], &["--turn-ttl", "2s"]].concat()).expect("the relay starts");
    let (_, answer) = ask(&brief);
    let (user, credential) = credentials(&answer["iceServers"]);
    let end: u64 = user
        .split(':')
        .next()
        .and_then(|end| end.parse().ok())
        .expect("the name begins with its end");

    wait_until(
        "the end of the credentials",
        Duration::from_secs(20),
        || (now() > end).then_some(()),
    )
    .expect("a clock");
    let came = server
        .allocate(&user, &credential)
        .expect("coturn's client runs");
    assert_eq!(
        came,
        Allocation::Refused,
        "credentials that have run out open nothing: {}",
        server.log()
    );
}

#[test]
fn another_secret_opens_nothing() {
    require!(Part::Coturn);
    let server = Coturn::start("the server's secret").expect("coturn comes up");
    let relay = Relay::start_with(&["--turn-url", &server.url(), "--turn-secret", "another"])
        .expect("the relay starts");
    let (user, credential) = credentials(&ask(&relay).0["iceServers"]);
    let came = server
        .allocate(&user, &credential)
        .expect("coturn's client runs");

    assert_eq!(
        came,
        Allocation::Refused,
        "the server knows its own secret only: {}",
        server.log()
    );
}

/// coturn with the settings to start from and the relay's credentials.
#[test]
fn coturn_as_it_is_deployed_relays_for_the_relays_users_and_into_no_private_network() {
    require!(Part::Coturn);
    for (with_loopback, expected) in [(true, Allocation::Relayed), (false, Allocation::PeerDenied)]
    {
        let server =
            Coturn::start_as_deployed("0123456789abcdef", with_loopback).expect("coturn comes up");
        let relay = Relay::start_with(&[
            "--turn-url",
            &server.url(),
            "--turn-secret",
            server.secret(),
        ]);
        let relay = relay.expect("the relay starts");
        let (user, credential) = credentials(&ask(&relay).0["iceServers"]);
        let came = server
            .allocate(&user, &credential)
            .expect("coturn's client runs");

        assert_eq!(
            came,
            expected,
            "peers on loopback allowed: {with_loopback}: {}",
            server.log()
        );

        let came = server
            .allocate(&user, "another password")
            .expect("coturn's client runs");
        assert_eq!(
            came,
            Allocation::Refused,
            "who does not come from the relay gets nothing: {}",
            server.log()
        );
    }
}
