//! The signaling server's TURN credentials, checked against a real TURN server.

#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    reason = "credentials expire by the wall clock"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tandem_tests::coturn::Allocation;
use tandem_tests::process::wait_until;
use tandem_tests::{Coturn, Part, ServerProcess, require};
use tokio_tungstenite::tungstenite::{self, Message};

/// The ICE servers in `user_registered`, and the answer to `get_ice_servers`.
fn ask(signaling: &ServerProcess) -> (Value, Value) {
    let stream = std::net::TcpStream::connect(signaling.address()).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a plain socket");
    let (mut socket, _) = tungstenite::client(signaling.url(), stream).expect("an upgrade");
    let mut read = || -> Value {
        let message = socket.read().expect("the server answers");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    };

    let registered = read();
    assert_eq!(registered["type"], "user_registered");
    socket
        .send(Message::text(
            json!({ "type": "get_ice_servers", "id": "q" }).to_string(),
        ))
        .expect("an open connection");
    let message = socket.read().expect("the server answers");
    let answer: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");

    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("ice_servers"), &json!("q")),
        "the answer carries the request's id"
    );

    (registered, answer)
}

/// User name and password of the only TURN server.
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
        .expect("the clock is set after 1970")
        .as_secs()
}

#[test]
fn credentials_work_with_coturn_until_they_expire() {
    require!(Part::Coturn);
    let server = Coturn::start("shared between the two").expect("coturn starts");
    let flags = [
        "--turn-url",
        &server.url(),
        "--turn-secret",
        server.secret(),
    ];
    let signaling = ServerProcess::start_with(&flags).expect("the server starts");
    let (registered, answer) = ask(&signaling);

    assert_eq!(answer["ttl"], 3600, "an hour is the default");
    for servers in [&registered["iceServers"], &answer["iceServers"]] {
        assert_eq!(
            servers[0]["urls"],
            json!([server.url()]),
            "the configured TURN server: {servers}"
        );

        let (user, credential) = credentials(servers);
        assert!(
            user.ends_with(registered["userId"].as_str().expect("a string")),
            "the name contains the user: {user}"
        );

        let came = server
            .allocate(&user, &credential)
            .expect("coturn's client runs");
        assert_eq!(
            came,
            Allocation::Relayed,
            "coturn accepts the credentials: {}",
            server.log()
        );
    }

    let brief = ServerProcess::start_with(&[&flags[..], &["--turn-ttl", "2s"]].concat())
        .expect("the server starts");
    let (_, answer) = ask(&brief);
    let (user, credential) = credentials(&answer["iceServers"]);
    let end: u64 = user
        .split(':')
        .next()
        .and_then(|end| end.parse().ok())
        .expect("the name starts with its expiry time");

    wait_until("the credentials' expiry", Duration::from_secs(20), || {
        (now() > end).then_some(())
    })
    .expect("a clock");
    let came = server
        .allocate(&user, &credential)
        .expect("coturn's client runs");
    assert_eq!(
        came,
        Allocation::Refused,
        "coturn refuses expired credentials: {}",
        server.log()
    );
}

#[test]
fn coturn_refuses_credentials_made_with_another_secret() {
    require!(Part::Coturn);
    let server = Coturn::start("the server's secret").expect("coturn starts");
    let signaling =
        ServerProcess::start_with(&["--turn-url", &server.url(), "--turn-secret", "another"])
            .expect("the server starts");
    let (user, credential) = credentials(&ask(&signaling).0["iceServers"]);
    let came = server
        .allocate(&user, &credential)
        .expect("coturn's client runs");

    assert_eq!(
        came,
        Allocation::Refused,
        "coturn knows only its own secret: {}",
        server.log()
    );
}

/// coturn with the example settings and the signaling server's credentials.
#[test]
fn coturn_with_the_deployed_settings_serves_users_and_no_private_network() {
    require!(Part::Coturn);
    for (with_loopback, expected) in [(true, Allocation::Relayed), (false, Allocation::PeerDenied)]
    {
        let server =
            Coturn::start_as_deployed("0123456789abcdef", with_loopback).expect("coturn starts");
        let signaling = ServerProcess::start_with(&[
            "--turn-url",
            &server.url(),
            "--turn-secret",
            server.secret(),
        ]);
        let signaling = signaling.expect("the server starts");
        let (user, credential) = credentials(&ask(&signaling).0["iceServers"]);
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
            "clients without credentials get nothing: {}",
            server.log()
        );
    }
}
