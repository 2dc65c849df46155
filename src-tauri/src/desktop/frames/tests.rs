//! The frame socket with real clients, good and bad.

#![allow(clippy::disallowed_methods, reason = "tests make frames now")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tandem_media::{I420, VideoFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::desktop::command::FrameSocket;

const ORIGIN: &str = "tauri://localhost";
const TIMEOUT: Duration = Duration::from_secs(20);

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn server() -> (FrameServer, Arc<Streams>) {
    let streams = Arc::new(Streams::default());
    streams.local.set_open(true);
    streams.remote.set_open(true);

    (
        FrameServer::start(Arc::clone(&streams), vec![ORIGIN.into()]).unwrap(),
        streams,
    )
}

fn frame(width: u32, height: u32) -> VideoFrame {
    VideoFrame {
        image: Arc::new(I420::new(width, height)),
        at: Instant::now(),
        rtp_timestamp: 0,
    }
}

async fn open(invitation: &FrameSocket, origins: &[&str]) -> Result<Client, Error> {
    let offered = format!("{PROTOCOL}, bearer.{}", invitation.token);
    open_offering(invitation, &offered, origins).await
}

/// Opens a connection that offers these subprotocols.
async fn open_offering(
    invitation: &FrameSocket,
    offered: &str,
    origins: &[&str],
) -> Result<Client, Error> {
    let mut request = invitation.url.as_str().into_client_request()?;
    request.headers_mut().insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_str(offered).unwrap(),
    );
    for origin in origins {
        request
            .headers_mut()
            .append("Origin", HeaderValue::from_str(origin).unwrap());
    }

    timeout(TIMEOUT, connect_async(request))
        .await
        .expect("a response in time")
        .map(|(client, _)| client)
}

async fn client(server: &FrameServer) -> Client {
    open(&server.issue_token(), &[ORIGIN])
        .await
        .expect("the app's page may connect")
}

fn request(stream: &str, after: u32, side: u32) -> Message {
    let text =
        format!(r#"{{"stream":"{stream}","after":{after},"maxWidth":{side},"maxHeight":{side}}}"#);
    Message::text(text)
}

/// Sequence number, width and height of the next frame.
async fn next_frame(client: &mut Client) -> (u32, u32, u32) {
    let message = timeout(TIMEOUT, client.next())
        .await
        .expect("a frame in time")
        .unwrap()
        .unwrap();
    let bytes = message.into_data();
    let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());

    assert_eq!(
        bytes.len() as u32,
        HEADER_LEN as u32 + field(0) * field(4) * 3 / 2,
        "a whole frame"
    );

    (field(8), field(0), field(4))
}

fn is_forbidden(result: &Result<Client, Error>) -> bool {
    matches!(result, Err(Error::Http(response)) if response.status() == 403)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_the_newest_frame_at_the_size_it_shows() {
    let (server, streams) = server();
    let mut page = client(&server).await;
    streams.remote.show(frame(64, 64));
    streams.remote.show(frame(128, 72));
    page.send(request("remote", 0, 64)).await.unwrap();

    assert_eq!(
        next_frame(&mut page).await,
        (2, 64, 36),
        "the newest of two, scaled down"
    );

    page.send(request("remote", 2, 640)).await.unwrap();
    streams.remote.show(frame(128, 72));
    assert_eq!(
        next_frame(&mut page).await,
        (3, 128, 72),
        "the reply waits for a newer frame"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_shows_no_frame() {
    let (server, streams) = server();
    let mut page = client(&server).await;
    streams.remote.show(frame(64, 64));
    streams.remote.set_open(false);
    streams.remote.show(frame(64, 64));
    page.send(request("remote", 0, 64)).await.unwrap();
    streams.local.show(frame(64, 64));
    let nothing = timeout(Duration::from_millis(300), page.next()).await;

    assert!(
        nothing.is_err(),
        "neither a frame of the former partner nor a local one: {nothing:?}"
    );

    streams.remote.set_open(true);
    streams.remote.show(frame(32, 32));
    assert_eq!(
        next_frame(&mut page).await.1,
        32,
        "a frame of the next partner"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_before_the_upgrade() {
    let (server, _streams) = server();
    let invitation = server.issue_token();
    let wrong = FrameSocket {
        token: "0".repeat(32),
        ..invitation.clone()
    };

    assert!(
        is_forbidden(&open(&wrong, &[ORIGIN]).await),
        "a wrong token"
    );

    for origins in [
        &["http://localhost"][..],
        &["null"],
        &[],
        &[ORIGIN, "http://evil.example"],
    ] {
        assert!(
            is_forbidden(&open(&invitation, origins).await),
            "a page of {origins:?}"
        );
    }

    let token = &invitation.token;
    for offered in [
        token.clone(),
        format!("bearer.{token}"),
        format!("{PROTOCOL}, {token}"),
        format!("other, bearer.{token}"),
        format!("{PROTOCOL}, bearer.{token}, other"),
    ] {
        assert!(
            is_forbidden(&open_offering(&invitation, &offered, &[ORIGIN]).await),
            "a client that offers {offered}"
        );
    }

    let in_the_url = FrameSocket {
        url: format!("{}?token={token}", invitation.url),
        ..wrong.clone()
    };

    assert!(
        is_forbidden(&open(&in_the_url, &[ORIGIN]).await),
        "a token in the URL"
    );

    let elsewhere = FrameSocket {
        url: invitation.url.replace("/frames", "/other"),
        ..invitation.clone()
    };

    assert!(
        is_forbidden(&open(&elsewhere, &[ORIGIN]).await),
        "another path"
    );

    assert!(
        open(&invitation, &[ORIGIN]).await.is_ok(),
        "the token is still unused"
    );

    assert!(
        is_forbidden(&open(&invitation, &[ORIGIN]).await),
        "now it is used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_does_not_disturb_others() {
    let (server, streams) = server();
    let mut lazy = client(&server).await;
    let mut page = client(&server).await;
    // Larger than the socket buffers, so that the reply cannot be sent completely.
    streams.remote.show(frame(3840, 2160));
    lazy.send(request("remote", 0, 3840)).await.unwrap();

    for number in 1..=20 {
        streams.local.show(frame(64, 64));
        page.send(request("local", number - 1, 64)).await.unwrap();
        assert_eq!(
            next_frame(&mut page).await.0,
            number,
            "the page still gets its frames"
        );
    }

    // The server gives up after `SEND_TIMEOUT` and closes the connection.
    streams.remote.show(frame(64, 64));
    let ended = async {
        let mut buffer = [0_u8; 1024];
        let MaybeTlsStream::Plain(socket) = lazy.get_mut() else {
            panic!("no TLS here")
        };

        tokio::time::sleep(Duration::from_secs(6)).await;
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };

    timeout(TIMEOUT, ended)
        .await
        .expect("the connection is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_only_its_own_connection() {
    let (server, streams) = server();
    let mut page = client(&server).await;
    let garbage = [
        Message::text("no json"),
        Message::text("x".repeat(10_000)),
        Message::binary(vec![0_u8; 16]),
        request("remote", 0, 64),
    ];

    for message in garbage {
        let mut bad = client(&server).await;
        bad.send(message.clone()).await.unwrap();
        // Two requests without a reply in between violate the protocol too.
        let _ = bad.send(request("remote", 0, 64)).await;
        let end = timeout(TIMEOUT, bad.next()).await.expect("a close in time");

        assert!(
            matches!(end, None | Some(Ok(Message::Close(_)) | Err(_))),
            "{message:?} closes the connection: {end:?}"
        );
    }

    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00 this is not HTTP\r\n\r\n")
        .await
        .unwrap();
    streams.remote.show(frame(64, 64));
    page.send(request("remote", 0, 64)).await.unwrap();

    assert_eq!(next_frame(&mut page).await.0, 1, "the page is not affected");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited() {
    let (server, streams) = server();
    let mut open_ones = Vec::new();

    for _ in 0..8 {
        open_ones.push(client(&server).await);
    }

    assert!(
        open(&server.issue_token(), &[ORIGIN]).await.is_err(),
        "the ninth is too many"
    );

    open_ones.pop();
    let mut again = loop {
        // The server notices the closed connection a moment later.
        match open(&server.issue_token(), &[ORIGIN]).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };

    streams.local.show(frame(64, 64));
    again.send(request("local", 0, 64)).await.unwrap();
    assert_eq!(
        next_frame(&mut again).await.0,
        1,
        "a closed connection makes room"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_without_an_upgrade_do_not_shut_out_the_page() {
    for idle in [8, 100] {
        let (server, streams) = server();
        let mut sockets = Vec::new();
        for number in 0..idle {
            let mut socket = TcpStream::connect(server.address()).await.unwrap();
            if number % 2 == 0 {
                // A header that never ends.
                socket
                    .write_all(b"GET /frames HTTP/1.1\r\nX: ")
                    .await
                    .unwrap();
            }

            sockets.push(socket);
        }

        let mut page = client(&server).await;
        streams.local.show(frame(64, 64));
        page.send(request("local", 0, 64)).await.unwrap();
        assert_eq!(
            next_frame(&mut page).await.0,
            1,
            "the page gets its frames beside {idle} idle sockets"
        );

        // Further sockets don't end the page's connection.
        for _ in 0..idle {
            sockets.push(TcpStream::connect(server.address()).await.unwrap());
        }

        streams.local.show(frame(64, 64));
        page.send(request("local", 1, 64)).await.unwrap();
        assert_eq!(next_frame(&mut page).await.0, 2, "and keeps them");

        let ended = async {
            let mut byte = [0];
            for socket in &mut sockets {
                while socket.read(&mut byte).await.is_ok_and(|read| read > 0) {}
            }
        };

        timeout(TIMEOUT, ended)
            .await
            .expect("no idle socket stays open");
    }
}
