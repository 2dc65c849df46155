//! A connection to the signaling server asks for its own room again when the server has registered
//! it as a new user.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_call::SignalingLine;
use tandem_signaling::client::{ClientConfig, ClientEvent};
use tandem_signaling::message::{RoomClaimed, ServerMessage, UserId};
use tandem_signaling::server::SignalingServer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

/// Passes connections on to a server, and can break all of them.
struct Proxy {
    address: SocketAddr,
    generation: watch::Sender<u32>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (generation, breaks) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut breaks = breaks.clone();
                breaks.mark_unchanged();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server)
                        .await
                        .expect("the server listens");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = breaks.changed() => {}
                    }
                });
            }
        });

        Self {
            address,
            generation,
        }
    }

    fn break_connections(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn line(&self) -> SignalingLine {
        let url = format!("ws://{}/ws", self.address);
        SignalingLine::connect(ClientConfig::new(url.parse().expect("a URL")))
    }
}

async fn next(line: &mut SignalingLine) -> ClientEvent {
    timeout(DEADLINE, line.recv())
        .await
        .expect("an event in time")
        .expect("an open line")
}

/// Waits until the server has registered a new user.
async fn registered(line: &mut SignalingLine) -> UserId {
    loop {
        if let ClientEvent::Connected(registered) = next(line).await {
            return registered.user_id;
        }
    }
}

async fn claim(line: &mut SignalingLine) -> RoomClaimed {
    line.claim_room().expect("connected");
    loop {
        if let ClientEvent::Message(ServerMessage::RoomClaimed(claimed)) = next(line).await {
            return claimed;
        }
    }
}

/// A server on which a broken connection cannot be resumed.
async fn server() -> SignalingServer {
    SignalingServer::builder()
        .listen("127.0.0.1:0")
        .resume_window(Duration::ZERO)
        .start()
        .await
        .expect("a free port")
}

#[tokio::test]
async fn a_line_that_becomes_a_new_user_keeps_its_number() {
    let server = server().await;
    let proxy = Proxy::start(server.local_addr()).await;
    let mut line = proxy.line();
    let first_user = registered(&mut line).await;
    let (first, second) = (claim(&mut line).await, claim(&mut line).await);
    assert_ne!(
        first.room, second.room,
        "the same user asks for another room"
    );

    proxy.break_connections();
    assert_ne!(registered(&mut line).await, first_user);
    let again = claim(&mut line).await;
    assert_eq!(again.room, second.room, "the newest one");
    let other = claim(&mut line).await;
    assert_ne!(other.room, second.room, "after that, another one");

    line.close().await;
    server.shutdown_within(Duration::ZERO).await;
}

#[tokio::test]
async fn another_line_can_be_given_the_claim_of_one_that_was_closed() {
    let server = server().await;
    let proxy = Proxy::start(server.local_addr()).await;
    let mut line = proxy.line();
    registered(&mut line).await;
    assert!(line.former_claim().is_none());
    let claimed = claim(&mut line).await;
    let former = line.former_claim().cloned().expect("a claim");
    assert_eq!(former.room, claimed.room);
    line.close().await;

    let mut line = proxy.line();
    line.restore_claim(former);
    registered(&mut line).await;
    assert_eq!(claim(&mut line).await.room, claimed.room);

    line.close().await;
    server.shutdown_within(Duration::ZERO).await;
}
