//! From an accepted socket to a WebSocket: TLS, the request, and its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::connection::{self, socket_config};
use super::edge::token::Identity;
use super::edge::{Place, Stream, TurnedAway};
use super::http::{Answer, Head, HeadError, read_head};
use super::shared::Shared;

/// An upgrade, TLS included, that is not finished by then is closed.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
/// For the words to somebody who is turned away.
const FAREWELL: Duration = Duration::from_secs(2);

/// A WebSocket that may begin.
struct Upgraded {
    stream: Stream,
    /// What the client sent behind its request.
    rest: Vec<u8>,
    identity: Result<Option<Identity>, TurnedAway>,
    place: Place,
}

/// Serves one accepted socket to its end.
pub(super) async fn greet(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    shared.edge.metrics.accepted.add(1);
    // Boxed: an idle connection keeps none of what the upgrade took.
    let upgraded = Box::pin(timeout(UPGRADE_TIMEOUT, upgrade(stream, peer, &shared))).await;
    let Upgraded {
        stream,
        rest,
        identity,
        place,
    } = match upgraded {
        Ok(Some(upgraded)) => upgraded,
        Ok(None) => return,
        Err(_) => {
            tracing::debug!("an upgrade was not finished in time");
            return;
        }
    };

    shared.edge.metrics.upgrades.add(1);
    match identity {
        Ok(identity) => connection::serve(stream, rest, identity, &place, shared).await,
        // Boxed for the same reason.
        Err(away) => Box::pin(turn_away(stream, away, &shared)).await,
    }
}

/// `None`: the request was answered otherwise, or its sender is gone.
async fn upgrade(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> Option<Upgraded> {
    stream.set_nodelay(true).ok()?;
    let mut stream = match &shared.edge.tls {
        Some(tls) => Stream::tls(tls.accept(stream).await.ok()?),
        None => Stream::plain(stream),
    };

    let Head { request, rest } = match read_head(&mut stream).await {
        Ok(head) => head,
        Err(HeadError::Gone) => return None,
        Err(HeadError::Reject(answer)) => return refuse(&mut stream, &answer, shared).await,
    };

    let answer = match request.uri().path() {
        "/ws" => match shared.edge.admit(&request, peer.ip(), shared.is_draining()) {
            Ok(admission) => {
                stream.write_all(&admission.response).await.ok()?;
                stream.flush().await.ok()?;
                let (identity, place) = (admission.identity, admission.place);
                return Some(Upgraded {
                    stream,
                    rest,
                    identity,
                    place,
                });
            }
            Err(answer) => answer,
        },
        "/livez" => Answer::new(200, "ok"),
        "/readyz" => shared.readiness(),
        "/metrics" => Answer::metrics(shared.edge.metrics.text(shared.levels())),
        _ => Answer::new(404, "There is nothing here; the relay is at /ws."),
    };

    refuse(&mut stream, &answer, shared).await
}

async fn refuse(stream: &mut Stream, answer: &Answer, shared: &Shared) -> Option<Upgraded> {
    shared.edge.metrics.refused(answer.status);
    tracing::debug!(status = answer.status, "answered without an upgrade");
    // A client that is gone needs no answer.
    let _ = answer.write(stream).await;

    None
}

/// Tells somebody who may not come in why, as an error and a close code: a browser shows its page nothing else.
async fn turn_away(stream: Stream, away: TurnedAway, shared: &Shared) {
    let TurnedAway { fault, reason } = away;
    tracing::debug!(code = reason.code(), "turned away");
    let error = crate::message::ServerEnvelope::from(fault);
    shared.edge.metrics.sent(&error.message, 0);
    shared.edge.metrics.closed(Some(reason.code()));
    let text = serde_json::to_string(&error).expect("a message has string keys and JSON values");
    let mut socket =
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(socket_config())).await;
    let frame = CloseFrame {
        code: reason.code().into(),
        reason: reason.text().into(),
    };

    let words = async {
        socket.send(Message::text(text)).await?;
        connection::close(socket, frame).await;
        Ok::<(), tokio_tungstenite::tungstenite::Error>(())
    };

    // Who does not listen need not hear it.
    let _ = timeout(FAREWELL, words).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the future that a function gives, without calling it.
    fn size_of_future<F: Future>(_: impl FnOnce(TcpStream, SocketAddr, Arc<Shared>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connections_task_is_small() {
        let size = size_of_future(greet);
        assert!(
            size <= 2560,
            "10,000 idle connections hold 10,000 of {size} bytes"
        );
    }
}
