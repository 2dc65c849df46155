//! A connection to the signaling server that a program keeps between its calls, against a server
//! under the test's control.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tandem_call::{Call, CallOptions, SharedLine};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const TIMEOUT: Duration = Duration::from_secs(20);

const FOUND: &str = r#"{"type":"partner_found","partnerId":"p","sessionId":"late","socketId":"x",
    "userName":"Ben","userAge":null,"userLocation":"Unknown","userPicture":null,"initiator":true,"interests":[]}"#;
const REFUSED: &str = r#"{"type":"error","code":"already_matched","message":"In a call."}"#;

/// What the server answers to `cancel_search`.
#[derive(Clone, Copy)]
enum Cancel {
    /// The search is over.
    Confirmed,
    /// It found a partner a moment before.
    Crossed,
    /// The same, in the other order: the match comes from another server of a cluster.
    CrossedLate,
    /// Nothing.
    Unanswered,
}

/// One client's connection to a server that follows a script.
struct Server {
    socket: WebSocketStream<TcpStream>,
    cancel: Cancel,
}

impl Server {
    async fn accept(listener: &TcpListener, cancel: Cancel) -> Self {
        let (stream, _) = listener.accept().await.expect("a client");
        let socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("an upgrade");
        let mut server = Self { socket, cancel };
        server
            .send(
                r#"{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":1,
                "heartbeatMs":0,"silentMs":0,"resumeMs":60000,"maxMessageBytes":65536}"#,
            )
            .await;

        server
    }

    async fn send(&mut self, text: &str) {
        self.socket
            .send(Message::text(text.to_owned()))
            .await
            .expect("an open connection");
    }

    /// Answers until a message of this type arrives, and returns that.
    async fn until(&mut self, wanted: &str) -> String {
        let wanted = format!(r#""type":"{wanted}""#);
        loop {
            let message = timeout(TIMEOUT, self.socket.next()).await;
            let message = message
                .expect("a message in time")
                .expect("an open connection")
                .expect("a message");
            let Ok(text) = message.to_text() else {
                continue;
            };
            let text = text.to_owned();

            if text.contains(r#""type":"find_partner""#) {
                self.send(r#"{"type":"searching"}"#).await;
            }

            if text.contains(r#""type":"cancel_search""#) {
                match self.cancel {
                    Cancel::Confirmed => self.send(r#"{"type":"search_cancelled"}"#).await,
                    Cancel::Crossed => {
                        self.send(FOUND).await;
                        self.send(REFUSED).await;
                    }
                    Cancel::CrossedLate => {
                        self.send(REFUSED).await;
                        self.send(FOUND).await;
                    }
                    Cancel::Unanswered => {}
                }
            }

            if text.contains(&wanted) {
                return text;
            }
        }
    }
}

/// Searches, cancels once the server has the search, and returns the server and whether the
/// connection was handed back.
async fn cancelled(cancel: Cancel) -> (Server, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = ServerUrl::listening_on(listener.local_addr().expect("an address"));

    let line = SharedLine::default();
    let mut options = CallOptions::new(url);
    (options.line, options.keep_line_open) = (line.clone(), true);
    let (call, _events) = Call::start(options);

    let mut server = Server::accept(&listener, cancel).await;
    server.until("find_partner").await;
    let ended = tokio::spawn(async move { call.hang_up().await });
    server.until("cancel_search").await;

    timeout(TIMEOUT, ended)
        .await
        .expect("the call ends")
        .expect("no panic");
    let line = line.take();
    let is_back = line.is_some();
    if let Some(line) = line {
        let closed = tokio::spawn(line.close());
        if matches!(cancel, Cancel::Crossed | Cancel::CrossedLate) {
            let end = server.until("end_session").await;
            assert!(end.contains(r#""sessionId":"late""#), "{end}");
        }

        server.until("bye").await;
        closed.await.expect("no panic");
    }

    (server, is_back)
}

#[tokio::test]
async fn a_cancelled_search_leaves_the_connection_to_the_next_call() {
    let (_server, is_back) = cancelled(Cancel::Confirmed).await;
    assert!(is_back);
}

#[tokio::test]
async fn a_match_that_crosses_with_the_cancellation_is_ended() {
    for cancel in [Cancel::Crossed, Cancel::CrossedLate] {
        let (_server, is_back) = cancelled(cancel).await;
        assert!(is_back, "no other match follows");
    }
}

#[tokio::test]
async fn a_connection_on_which_a_late_match_may_come_is_closed() {
    let (mut server, is_back) = cancelled(Cancel::Unanswered).await;
    assert!(!is_back, "no later call may take the match for its own");
    server.until("bye").await;
}

#[tokio::test]
async fn a_cancellation_is_repeated_or_its_match_ended_when_the_connection_was_lost() {
    for session in [None, Some("late")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = ServerUrl::listening_on(listener.local_addr().expect("an address"));
        let line = SharedLine::default();
        let mut options = CallOptions::new(url);
        options.signaling.backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        (options.line, options.keep_line_open) = (line.clone(), true);
        let (call, _events) = Call::start(options);

        let mut server = Server::accept(&listener, Cancel::Unanswered).await;
        server.until("find_partner").await;
        let ended = tokio::spawn(async move { call.hang_up().await });
        server.until("cancel_search").await;
        drop(server);

        // The client is back as the same user.
        let mut server = Server::accept(&listener, Cancel::Confirmed).await;
        server.until("resume").await;
        let resumed = json!({ "type": "resumed", "missed": 0, "sessionId": session });
        server.send(&resumed.to_string()).await;
        if session.is_some() {
            let end = server.until("end_session").await;
            assert!(end.contains(r#""sessionId":"late""#), "{end}");
        } else {
            server.until("cancel_search").await;
        }

        timeout(TIMEOUT, ended)
            .await
            .expect("the call ends")
            .expect("no panic");
        let line = line.take().expect("no other match follows");
        let closed = tokio::spawn(line.close());
        server.until("bye").await;
        closed.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_search_is_repeated_while_the_server_still_knows_the_last_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = ServerUrl::listening_on(listener.local_addr().expect("an address"));
    let (call, _events) = Call::start(CallOptions::new(url));

    let mut server = Server::accept(&listener, Cancel::Confirmed).await;
    server.until("find_partner").await;
    server.send(REFUSED).await;
    server.until("find_partner").await;

    let ended = tokio::spawn(async move { call.hang_up().await });
    server.until("bye").await;
    timeout(TIMEOUT, ended)
        .await
        .expect("the call ends")
        .expect("no panic");
}
