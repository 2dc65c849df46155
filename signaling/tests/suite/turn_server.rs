//! The TURN server in the program: who gets credentials, and that they work.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tandem_tests::process::wait_until;
use tandem_tests::{Coturn, Network, Part, Redis, ServerProcess, require};
use tandem_turn::client::{RequestError, TurnClient};

use crate::support::nodes::{self, Node};
use crate::support::process::{command, run, start, start_command};
use crate::support::{DEADLINE, Peer, pair};

const LISTEN: [&str; 2] = ["--turn-listen", "127.0.0.1:0"];

/// The only entry with credentials: the server's address, user name and password.
fn entry(servers: &Value) -> (std::net::SocketAddr, String, String) {
    let entries = servers.as_array().expect("a list of servers");
    let turn = entries.iter().find(|entry| entry["username"].is_string());
    let turn = turn.unwrap_or_else(|| panic!("a TURN server: {servers}"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let url = text(&turn["urls"][0]);
    let address = url
        .strip_prefix("turn:")
        .and_then(|url| url.strip_suffix("?transport=udp"))
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("an address and UDP: {url}"));

    (address, text(&turn["username"]), text(&turn["credential"]))
}

/// A client with these credentials.
pub(crate) fn client(servers: &Value) -> TurnClient {
    let (address, name, password) = entry(servers);
    TurnClient::new(address, &name, &password).expect("a socket")
}

fn parts(name: &str) -> Vec<&str> {
    name.split(':').skip(1).collect()
}

fn metric(server: &ServerProcess, name: &str) -> f64 {
    server.metric(name).expect("a metric")
}

#[tokio::test]
async fn everybody_gets_credentials_for_two_minutes_and_a_call_gets_its_own() {
    let server = start(&LISTEN);
    let ((mut a, found_a), (b, found_b)) = pair(server.address()).await;
    let registered = a.registered["iceServers"].clone();
    let (_, name, _) = entry(&registered);
    assert_eq!(parts(&name), [a.registered["userId"].as_str().unwrap()]);

    for (peer, found) in [(&a, &found_a), (&b, &found_b)] {
        let (_, name, _) = entry(&found["iceServers"]);
        let user = peer.registered["userId"].as_str().unwrap();
        let session = found["sessionId"].as_str().unwrap();
        assert_eq!(parts(&name), [user, session], "bound to the call");
    }

    a.send(json!({ "type": "get_ice_servers" })).await;
    let fresh = a.expect("ice_servers").await;
    assert_eq!(fresh["ttl"], 3600, "in a call");
    let session = found_a["sessionId"].as_str().unwrap();
    assert!(entry(&fresh["iceServers"]).1.ends_with(session));

    let mut idle = Peer::connect(server.address()).await;
    idle.send(json!({ "type": "get_ice_servers" })).await;
    let fresh = idle.expect("ice_servers").await;
    assert_eq!(fresh["ttl"], 120, "outside of a call");

    let mut clients = [&registered, &found_a["iceServers"], &found_b["iceServers"]].map(client);
    for client in &mut clients {
        client.allocate().expect("these credentials are valid");
    }
    assert!(metric(&server, "tandem_turn_allocations") >= 3.0);
}

#[tokio::test]
async fn two_clients_of_the_program_exchange_packets_and_the_metrics_count_them() {
    let server = start(&LISTEN);
    let ((_a, found_a), (_b, found_b)) = pair(server.address()).await;
    let before = metric(&server, "tandem_turn_joined_packets_total");
    let (mut a, mut b) = (
        client(&found_a["iceServers"]),
        client(&found_b["iceServers"]),
    );
    let (of_a, of_b) = (a.allocate().unwrap(), b.allocate().unwrap());
    a.bind(0x4000, of_b).unwrap();
    b.permit(of_a).unwrap();
    a.send(0x4000, b"hello").unwrap();

    assert_eq!(b.receive().unwrap(), (None, b"hello".to_vec()));
    let after = metric(&server, "tandem_turn_joined_packets_total");
    assert!(
        before + 1.0 <= after,
        "{before} packets before, {after} after"
    );
}

#[tokio::test]
async fn clients_may_come_over_tcp() {
    let server = start(&LISTEN);
    let peer = Peer::connect(server.address()).await;
    let servers = &peer.registered["iceServers"];
    let (address, name, password) = entry(servers);
    let urls = servers.to_string();
    assert!(
        urls.contains(&format!("turn:{address}?transport=tcp")),
        "{urls}"
    );
    let mut client = TurnClient::over_tcp(address, &name, &password).unwrap();
    client.allocate().expect("an allocation over TCP");
}

#[tokio::test]
async fn credentials_that_were_changed_are_refused() {
    let server = start(&LISTEN);
    let peer = Peer::connect(server.address()).await;
    let (address, name, password) = entry(&peer.registered["iceServers"]);
    let later = format!("9{name}");
    for (name, password) in [(later.as_str(), password.as_str()), (name.as_str(), "x")] {
        let mut client = TurnClient::new(address, name, password).unwrap();
        let refused = client.allocate();
        assert!(
            matches!(refused, Err(RequestError::Refused(401))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn questions_for_credentials_are_limited() {
    let server = start(&LISTEN);
    let mut peer = Peer::connect(server.address()).await;
    for _ in 0..30 {
        peer.send(json!({ "type": "get_ice_servers" })).await;
        peer.expect("ice_servers").await;
    }

    peer.send(json!({ "type": "get_ice_servers" })).await;
    let error = peer.expect_error("rate_limited").await;
    let wait = error["retryAfterMs"].as_u64().expect("when to ask again");
    assert!((1..=2000).contains(&wait), "{wait} ms");
}

#[tokio::test]
async fn the_log_says_that_the_server_reached_itself_and_warns_of_a_private_address() {
    let mut server = start(&LISTEN);
    let _peer = Peer::connect(server.address()).await;
    server.process().signal(libc::SIGTERM);
    server.process().wait(DEADLINE).expect("it ends");
    let log = server.process().stderr();
    assert!(log.contains("two test clients reached each other"), "{log}");
    assert!(
        log.contains("turn-external-ip"),
        "loopback is private: {log}"
    );
}

#[test]
fn an_address_that_is_taken_ends_the_program_and_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let (code, process) = run(command(&[
        "--listen",
        "127.0.0.1:0",
        "--turn-listen",
        &address,
    ]));
    assert_eq!(code, Some(1));
    assert!(process.stderr().contains(&address), "{}", process.stderr());

    let (code, process) = run(command(&[
        "--listen",
        "127.0.0.1:0",
        "--turn-listen",
        "0.0.0.0:0",
    ]));
    assert_eq!(code, Some(1));
    assert!(
        process.stderr().contains("--turn-external-ip"),
        "{}",
        process.stderr()
    );
}

/// What `get_ice_servers` says for a call whose credentials are valid for 2 s is used until they have
/// expired.
fn outlives(mut client: TurnClient, expiry: u64) {
    client.allocate().expect("these credentials are valid");
    let expired = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        (now.expect("after 1970").as_secs() > expiry).then_some(())
    };
    wait_until("the credentials' expiry", DEADLINE, expired).expect("the clock goes on");

    client
        .refresh(600)
        .expect("the allocation outlives the credentials that it was made with");
    client
        .permit("8.8.8.8:9".parse().expect("an address"))
        .expect("and can be used as before");
}

fn expiry(name: &str) -> u64 {
    let expiry = name
        .split(':')
        .next()
        .and_then(|expiry| expiry.parse().ok());
    expiry.unwrap_or_else(|| panic!("an expiry: {name}"))
}

#[tokio::test]
async fn an_allocation_outlives_its_credentials_here_and_in_coturn() {
    let server = start(&[&LISTEN[..], &["--turn-ttl", "2s"]].concat());
    let ((_a, found), _b) = pair(server.address()).await;
    assert_eq!(found["iceServersTtl"], 2, "in a call");
    let (_, name, _) = entry(&found["iceServers"]);
    outlives(client(&found["iceServers"]), expiry(&name));

    require!(Part::Coturn);
    let coturn = Coturn::start("south").expect("coturn starts");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let name = format!("{}:ann", now.expect("after 1970").as_secs() + 2);
    let password = tandem_turn::password("south", &name);
    let client = TurnClient::new(coturn.address(), &name, &password).expect("a socket");
    outlives(client, expiry(&name));
}

/// Waits until this many allocations have ended with their calls.
pub(crate) fn wait_for_ended(server: &ServerProcess, count: f64) {
    wait_until("the end of allocations", DEADLINE, || {
        (metric(server, "tandem_turn_ended_total") >= count).then_some(())
    })
    .expect("they end");
}

fn assert_refused<T: std::fmt::Debug>(result: &Result<T, RequestError>) {
    assert!(
        matches!(result, Err(RequestError::Refused(401))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_ended_has_no_allocations_and_gets_none() {
    let server = start(&LISTEN);
    let ((mut a, found_a), (mut b, found_b)) = pair(server.address()).await;
    let mut clients = [&found_a, &found_b].map(|found| client(&found["iceServers"]));
    for client in &mut clients {
        client.allocate().expect("these credentials are valid");
    }

    let session = found_a["sessionId"].clone();
    a.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    a.expect("session_ended").await;
    b.expect("partner_left").await;
    wait_for_ended(&server, 2.0);
    for (client_of_call, found) in clients.iter_mut().zip([&found_a, &found_b]) {
        assert_refused(&client_of_call.refresh(600));
        assert_refused(&client(&found["iceServers"]).allocate());
    }

    let revoked = metric(&server, "tandem_turn_refused_total{reason=\"revoked\"}");
    assert!(revoked >= 4.0, "{revoked}");
    // For the next call.
    client(&a.registered["iceServers"])
        .allocate()
        .expect("credentials outside of a call are valid");
}

#[tokio::test]
async fn a_call_whose_signaling_breaks_keeps_its_allocations_until_someone_hangs_up() {
    let server = start(&[&LISTEN[..], &["--resume-window", "1s"]].concat());
    let ((mut a, found_a), (b, found_b)) = pair(server.address()).await;
    let mut clients = [&found_a, &found_b].map(|found| client(&found["iceServers"]));
    for client in &mut clients {
        client.allocate().expect("these credentials are valid");
    }

    drop(b);
    a.expect("partner_reconnecting").await;
    assert_eq!(a.expect("partner_left").await["reason"], "disconnected");
    for client in &mut clients {
        client.refresh(600).expect("media goes on");
    }
    assert_eq!(metric(&server, "tandem_turn_ended_total"), 0.0);

    let session = &found_a["sessionId"];
    a.send(json!({ "type": "end_session", "sessionId": session }))
        .await;
    a.expect_error("no_such_session").await;
    wait_for_ended(&server, 2.0);
    for client in &mut clients {
        assert_refused(&client.refresh(600));
    }
}

#[tokio::test]
async fn servers_with_one_key_take_each_others_credentials_and_others_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("turn.key").display().to_string();
    let flags = [&LISTEN[..], &["--turn-key", &key]].concat();
    let (one, other, stranger) = (start(&flags), start(&flags), start(&LISTEN));
    let peer = Peer::connect(one.address()).await;
    let (_, name, password) = entry(&peer.registered["iceServers"]);

    for (server, takes) in [(&other, true), (&stranger, false)] {
        let its = Peer::connect(server.address()).await;
        let (address, ..) = entry(&its.registered["iceServers"]);
        let mut client = TurnClient::new(address, &name, &password).expect("a socket");
        match takes {
            true => assert!(client.allocate().is_ok(), "the same key"),
            false => assert_refused(&client.allocate()),
        }
    }
}

/// What a server on the first host answers to someone on the second one who wants to send to `peer`.
fn permission(network: &Network, flags: &[&str], peer: &str) -> Result<(), RequestError> {
    let program = command(&[]);
    let mut command = network.host(0).command(program.get_program());
    command.args(["--listen", "8.8.8.1:0", "--turn-listen", "8.8.8.1:0"]);
    command.args(flags);
    let server = start_command(command);
    let address = server.address();
    network.host(1).run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let someone = runtime.block_on(Peer::connect(address));
        let mut client = client(&someone.registered["iceServers"]);
        client.allocate().expect("an allocation");
        client.permit(peer.parse().expect("an address"))
    })
}

#[test]
fn neighbors_are_peers_only_if_the_operator_allows_them() {
    require!(Part::Network);
    // Elsewhere this is a network of the public internet, so that it is denied for one reason only: the
    // server is in it.
    let network = Network::with_addresses(&["8.8.8.1/24", "8.8.8.2/24"]).expect("a network");
    let (allow, deny) = ("--turn-allow-peer", "--turn-deny-peer");
    for (flags, peer, permitted) in [
        (&[][..], "8.8.8.3:9", false),
        (&[], "8.8.9.3:9", true),
        (&[allow, "8.8.8.0/24"], "8.8.8.3:9", true),
        (
            &[allow, "8.8.8.0/24", deny, "8.8.8.3/32"],
            "8.8.8.3:9",
            false,
        ),
        (&[deny, "8.8.9.0/24"], "8.8.9.3:9", false),
    ] {
        let result = permission(&network, flags, peer);
        match permitted {
            true => assert!(result.is_ok(), "{flags:?} {peer}: {result:?}"),
            false => assert!(
                matches!(result, Err(RequestError::Refused(403))),
                "{flags:?} {peer}: {result:?}"
            ),
        }
    }
}

#[tokio::test]
async fn media_on_a_third_node_ends_with_its_call() {
    require!(Part::Redis);
    let redis = Redis::start().expect("Redis starts");
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("turn.key").display().to_string();
    let flags = [&LISTEN[..], &["--turn-key", &key]].concat();
    let [one, other, third] = [0, 1, 2].map(|_| Node::start_with(&redis, &flags));
    for node in [&one, &other, &third] {
        node.ready(true).await;
    }

    // As behind a balancer: the connection for media ends at another node than the one for signaling.
    let ((mut a, found), (mut b, _)) = nodes::pair(&one, &other).await;
    let (address, ..) = entry(&third.peer().await.registered["iceServers"]);
    let (_, name, password) = entry(&found["iceServers"]);
    let media = || TurnClient::new(address, &name, &password).expect("a socket");
    let mut allocated = media();
    allocated.allocate().expect("it has the same key");

    a.send(json!({ "type": "end_session", "sessionId": found["sessionId"] }))
        .await;
    a.expect("session_ended").await;
    b.expect("partner_left").await;
    wait_for_ended(third.server(), 1.0);
    assert_refused(&allocated.refresh(600));
    assert_refused(&media().allocate());
}

#[tokio::test]
async fn nobody_reaches_private_addresses_or_this_machine_through_it() {
    let server = start(&LISTEN);
    let peer = Peer::connect(server.address()).await;
    let mut client = client(&peer.registered["iceServers"]);
    client.allocate().expect("an allocation");
    for denied in [
        "10.0.0.1:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "127.0.0.2:80",
    ] {
        let refused = client.permit(denied.parse().expect("an address"));
        assert!(
            matches!(refused, Err(RequestError::Refused(403))),
            "{denied}: {refused:?}"
        );
    }
    client
        .permit("8.8.8.8:9".parse().expect("an address"))
        .expect("others are allowed");
    // Of this server's own address, only the ports of live allocations can be reached.
    let secret = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    secret
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a socket");
    let own = secret.local_addr().expect("its address");
    client.permit(own).expect("others of its clients are there");
    client.send_to(own, b"psst").expect("sent");
    let came = secret.recv(&mut [0; 16]);
    assert!(came.is_err(), "nothing comes to another port: {came:?}");
}

#[tokio::test]
async fn one_client_gets_as_many_allocations_as_the_settings_say() {
    let server = start(&[&LISTEN[..], &["--turn-allocations-per-user", "2"]].concat());
    let peer = Peer::connect(server.address()).await;
    let servers = &peer.registered["iceServers"];
    let mut clients = [0, 1, 2].map(|_| client(servers));
    let results = clients.each_mut().map(TurnClient::allocate);
    assert!(results[0].is_ok() && results[1].is_ok(), "{results:?}");
    assert!(
        matches!(results[2], Err(RequestError::Refused(486))),
        "{results:?}"
    );

    clients[0].refresh(0).expect("one is given back");
    clients[2].allocate().expect("and makes room for another");
    let other = Peer::connect(server.address()).await;
    let mut third = client(&other.registered["iceServers"]);
    third.allocate().expect("someone else has their own");
}

#[tokio::test]
async fn a_flood_of_requests_without_credentials_gets_little_back() {
    let server = start(&LISTEN);
    let peer = Peer::connect(server.address()).await;
    let (address, ..) = entry(&peer.registered["iceServers"]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a socket");

    // Allocate, with REQUESTED-TRANSPORT: what an attacker would send in the name of a victim.
    let mut request = vec![0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    request.extend([0, 0x19, 0, 4, 17, 0, 0, 0]);
    let start = Instant::now();
    let mut sent = 0;
    for _ in 0..2_000 {
        sent += socket.send_to(&request, address).expect("sent");
    }

    let (mut received, mut answers, mut buffer) = (0, 0, [0; 2048]);
    while let Ok(length) = socket.recv(&mut buffer) {
        received += length;
        answers += 1;
        assert!(length <= 64, "an answer is small: {length} bytes");
    }
    let seconds = start.elapsed().as_secs() as usize + 1;
    assert!(answers > 0, "an honest client is answered");
    assert!(
        received <= sent + 512 * seconds,
        "{received} bytes for {sent} in {seconds} s"
    );
    println!("{answers} answers, {received} bytes for {sent}");
}
