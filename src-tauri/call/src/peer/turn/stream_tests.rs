//! Servers over TCP and TLS on loopback: some take a connection and then take their time. With TLS, every
//! byte of the handshake may be a long wait.
#![allow(clippy::disallowed_methods, reason = "tests measure virtual time")]

use std::future::poll_fn;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_signaling::client::TrustedRoots;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use webrtc::peer_connection::RTCIceServer;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

use super::ahead::Ahead;
use super::connection::CONNECT_TIMEOUT;
use super::head_start::HEAD_START;
use super::warm::MAX_CONNECTIONS;
use super::{Turn, TurnSocket, WarmConnections, refusal};

/// On the real clock.
const DEADLINE: Duration = Duration::from_secs(10);
const TRANSACTION: [u8; 12] = [7; 12];

/// What a server does with a connection.
#[derive(Clone, Copy)]
enum Server {
    /// It refuses the first request, as every server does.
    Answers,
    /// It says nothing.
    Silent,
    /// It sends the beginning of a TLS record that never ends, one byte a second.
    OneByteASecond,
}

/// A server on loopback, and how many connections it has taken.
async fn listen(server: Server) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(server, stream));
        }
    });
    (address, taken)
}

async fn serve(server: Server, mut stream: TcpStream) {
    match server {
        Server::Answers => {
            let mut request = [0; 20];
            while stream.read_exact(&mut request).await.is_ok() {
                let answer = refusal::error(&TRANSACTION, 401);
                stream.write_all(&answer).await.unwrap();
            }
        }
        Server::Silent => {
            // Until the client gives up.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        Server::OneByteASecond => {
            // The head of a handshake message as long as a record may be.
            let head = [22, 3, 3, 0x40, 0].into_iter();
            for byte in head.chain(std::iter::repeat(0)) {
                sleep(Duration::from_secs(1)).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The servers at these addresses.
fn turn(urls: &[String]) -> Arc<Turn> {
    let servers = offered(urls);
    let turn = Turn::new(&servers, TrustedRoots::default(), Arc::default());
    turn.for_library(&servers);
    turn
}

/// A socket of the library.
fn socket(turn: Arc<Turn>) -> Arc<TurnSocket> {
    let own = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    own.set_nonblocking(true).unwrap();
    let inner = TokioRuntime.wrap_udp_socket(own).unwrap();
    TurnSocket::new(inner, turn).unwrap()
}

/// What stands for a server, by its number among those over TCP and TLS.
fn stand_in(number: u8) -> SocketAddr {
    SocketAddr::from(([240, 0, 0, number], 3478))
}

/// Asks a server for an allocation. Whether that could be sent.
async fn ask(socket: &TurnSocket, server: SocketAddr) -> bool {
    let mut request = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend(TRANSACTION);
    let transmit = Transmit {
        destination: server,
        ecn: None,
        contents: &request,
        segment_size: None,
        src_ip: None,
    };
    poll_fn(|cx| socket.poll_send(cx, &transmit)).await.is_ok()
}

/// From whom the next datagram comes.
async fn receive(socket: &TurnSocket) -> SocketAddr {
    let (mut buffer, mut meta) = ([0; 2048], [RecvMeta::default()]);
    let mut buffers = [IoSliceMut::new(&mut buffer)];
    let received = poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut meta));
    assert_eq!(received.await.unwrap(), 1);
    meta[0].addr
}

async fn does_not_hold_up_others(server: Server) {
    let [(slow, _), (good, _)] = [listen(server).await, listen(Server::Answers).await];
    let socket = socket(turn(&[
        format!("turns:{slow}"),
        format!("turn:{good}?transport=tcp"),
    ]));
    let [slow, good] = [stand_in(1), stand_in(2)];
    assert!(ask(&socket, slow).await && ask(&socket, good).await);
    let first = timeout(DEADLINE, receive(&socket)).await;
    assert_eq!(first, Ok(good), "the one that answers");

    // From here on, time passes as soon as there is nothing else to do.
    tokio::time::pause();
    let start = Instant::now();
    assert_eq!(receive(&socket).await, slow, "the library is told");
    // Timers end up to a millisecond late.
    let limit = HEAD_START + CONNECT_TIMEOUT + Duration::from_millis(10);
    assert!(start.elapsed() <= limit, "{:?}", start.elapsed());
    assert!(!ask(&socket, slow).await, "and cannot ask again");
    assert!(ask(&socket, good).await, "unlike the other one");
    assert_eq!(receive(&socket).await, good);
}

#[tokio::test]
async fn a_server_that_says_nothing_holds_up_nobody_and_is_given_up() {
    does_not_hold_up_others(Server::Silent).await;
}

#[tokio::test]
async fn a_handshake_of_one_byte_a_second_holds_up_nobody_and_is_given_up() {
    does_not_hold_up_others(Server::OneByteASecond).await;
}

#[tokio::test]
async fn a_connection_begins_with_the_call_and_is_used() {
    let (address, taken) = listen(Server::Answers).await;
    let turn = turn(&[format!("turn:{address}?transport=tcp")]);
    turn.connect_ahead(&WarmConnections::default());
    let is_there = timeout(DEADLINE, async {
        while taken.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    });
    is_there.await.expect("it connects before it is asked");

    let socket = socket(turn);
    assert!(ask(&socket, stand_in(1)).await);
    let answered = timeout(DEADLINE, receive(&socket)).await;
    assert_eq!(answered, Ok(stand_in(1)));
    assert_eq!(taken.load(Ordering::Relaxed), 1, "over the same connection");
}

/// The servers at these URLs, as the signaling server names them.
fn offered(urls: &[String]) -> Vec<RTCIceServer> {
    vec![RTCIceServer {
        urls: urls.to_vec(),
        username: "1:u".into(),
        credential: "secret".into(),
    }]
}

/// Waits until a server has taken this many connections.
async fn wait_for(taken: &AtomicUsize, count: usize) {
    let reached = timeout(DEADLINE, async {
        while taken.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    });
    reached.await.expect("connections");
}

#[tokio::test]
async fn a_connection_begins_with_the_search_and_the_call_uses_it() {
    let (address, taken) = listen(Server::Answers).await;
    let urls = [format!("turn:{address}?transport=tcp")];
    let warm = WarmConnections::default();
    warm.begin(&offered(&urls), &TrustedRoots::default());
    wait_for(&taken, 1).await;
    warm.begin(&offered(&urls), &TrustedRoots::default());

    let turn = turn(&urls);
    turn.connect_ahead(&warm);
    warm.end();
    let socket = socket(turn);
    assert!(ask(&socket, stand_in(1)).await);
    let answered = timeout(DEADLINE, receive(&socket)).await;
    assert_eq!(answered, Ok(stand_in(1)));
    assert_eq!(taken.load(Ordering::Relaxed), 1, "there is no other one");
}

#[tokio::test(start_paused = true)]
async fn a_long_search_makes_a_bounded_number_of_connections() {
    let (address, taken) = listen(Server::Silent).await;
    let warm = WarmConnections::default();
    let servers = offered(&[format!("turn:{address}?transport=tcp")]);
    for _ in 0..600 {
        warm.begin(&servers, &TrustedRoots::default());
        sleep(Duration::from_secs(1)).await;
    }

    wait_for(&taken, MAX_CONNECTIONS).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(taken.load(Ordering::Relaxed), MAX_CONNECTIONS);
}

#[tokio::test]
async fn no_connection_is_made_during_a_search_where_there_is_turn_over_udp() {
    let (address, taken) = listen(Server::Answers).await;
    let tcp = format!("turn:{address}?transport=tcp");
    let warm = WarmConnections::default();
    let roots = TrustedRoots::default();
    warm.begin(&offered(&[format!("turn:{address}"), tcp.clone()]), &roots);
    let turn = turn(std::slice::from_ref(&tcp));
    warm.begin(&offered(&[tcp]), &roots);
    wait_for(&taken, 1).await;
    warm.end();
    turn.connect_ahead(&warm);
    wait_for(&taken, 2).await;
    assert_eq!(
        taken.load(Ordering::Relaxed),
        2,
        "none for the first servers"
    );
}

#[tokio::test]
async fn a_connection_that_has_failed_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let turn = turn(&[format!("turn:{address}?transport=tcp")]);
    turn.connect_ahead(&WarmConnections::default());
    let has_failed = || {
        let servers = turn.servers.lock();
        servers[0].ahead.as_ref().is_some_and(Ahead::is_finished)
    };
    let failed = timeout(DEADLINE, async {
        while !has_failed() {
            tokio::task::yield_now().await;
        }
    });
    failed.await.expect("nobody listens");

    // It listens there again before the library asks.
    let listener = TcpListener::bind(address).await.unwrap();
    let socket = socket(turn);
    assert!(ask(&socket, stand_in(1)).await);
    let taken = timeout(DEADLINE, listener.accept()).await;
    assert!(taken.expect("a connection").is_ok());
}

#[tokio::test]
async fn nobody_connects_ahead_if_a_better_server_is_named() {
    let (address, _) = listen(Server::Answers).await;
    let turn = turn(&[
        format!("turn:{address}"),
        format!("turn:{address}?transport=tcp"),
        format!("turns:{address}"),
    ]);
    turn.connect_ahead(&WarmConnections::default());
    for number in 1..=2 {
        assert!(turn.take_ahead(stand_in(number)).is_none());
    }
}
