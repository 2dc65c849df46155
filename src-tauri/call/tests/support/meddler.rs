//! A signaling server that meddles with what it relays: a proxy between one side and an honest
//! server. It changes, drops, repeats or delays what that side receives.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tandem_signaling::ServerUrl;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

/// What the side receives instead of a message, and how much later.
pub(crate) type Instead = Vec<(Duration, Value)>;

/// What the server does with each message to the side.
pub(crate) type Meddle = Arc<dyn Fn(Value) -> Instead + Send + Sync>;

/// Starts a proxy in front of `server` for one side. It runs until the test's runtime ends.
pub(crate) async fn meddler(server: SocketAddr, meddle: Meddle) -> ServerUrl {
    meddler_on(Ipv4Addr::LOCALHOST.into(), server, meddle).await
}

/// The same, at this address.
pub(crate) async fn meddler_on(ip: IpAddr, server: SocketAddr, meddle: Meddle) -> ServerUrl {
    let listener = TcpListener::bind((ip, 0)).await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, server, Arc::clone(&meddle)));
        }
    });
    ServerUrl::listening_on(address)
}

/// The message with the next `seq`, if it is a relayed one.
fn renumbered(text: &str, seq: &mut u64) -> String {
    let mut value: Value = serde_json::from_str(text).expect("the server sends JSON");
    if let Some(number) = value.get_mut("seq") {
        *seq += 1;
        *number = (*seq).into();
    }
    value.to_string()
}

/// Passes on both directions of one connection.
async fn relay(stream: TcpStream, server: SocketAddr, meddle: Meddle) {
    let client = accept_async(stream).await.expect("a WebSocket");
    let stream = TcpStream::connect(server)
        .await
        .expect("the server is there");
    let (upstream, _) = client_async(format!("ws://{server}/ws"), stream)
        .await
        .expect("the server takes it");
    let (mut to_client, mut from_client) = client.split();
    let (mut to_server, mut from_server) = upstream.split();

    let (queue, mut queued) = unbounded_channel::<Message>();
    let down = async {
        // A client ignores what it seems to have already.
        let mut seq = 0_u64;
        while let Some(message) = queued.recv().await {
            let message = match message {
                Message::Text(text) => Message::text(renumbered(&text, &mut seq)),
                other => other,
            };
            if to_client.send(message).await.is_err() {
                return;
            }
        }
    };
    let up = async {
        while let Some(Ok(message)) = from_client.next().await {
            if to_server.send(message).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        while let Some(Ok(message)) = from_server.next().await {
            let Message::Text(text) = &message else {
                let _ = queue.send(message);
                continue;
            };
            let value = serde_json::from_str(text).expect("the server sends JSON");
            for (delay, value) in meddle(value) {
                let (queue, message) = (queue.clone(), Message::text(value.to_string()));
                if delay.is_zero() {
                    let _ = queue.send(message);
                    continue;
                }
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = queue.send(message);
                });
            }
        }
    };

    tokio::select! {
        () = down => {}
        () = up => {}
        () = read => {}
    }
}
