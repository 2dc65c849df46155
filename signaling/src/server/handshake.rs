//! From an accepted socket to a WebSocket: TLS, the HTTP request, and the answer to it. A client that
//! speaks TURN goes on to the TURN server, which has a limit of its own for what follows.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the limits"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::Method;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::connection::{self, socket_config};
use super::edge::token::Identity;
use super::edge::{Metrics, Rejection, Slot, Stream, asks_for_turn};
use super::http::{Answer, Head, HeadError, read_head, takes_gzip};
use super::shared::Shared;

/// For the upgrade, TLS included.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
/// For the error and the close frame to a client that is rejected.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A request that has been accepted as a WebSocket.
struct Upgraded {
    stream: Stream,
    /// What the client sent right after its request.
    rest: Vec<u8>,
    identity: Result<Option<Identity>, Rejection>,
    slot: Slot,
}

/// Serves one accepted socket until it ends.
pub(super) async fn serve_socket(stream: TcpStream, remote: SocketAddr, shared: Arc<Shared>) {
    shared.edge.metrics.accepted.inc();

    // Boxed, so that an open connection keeps none of the memory that its upgrade took.
    let upgraded = Box::pin(timeout(UPGRADE_TIMEOUT, upgrade(stream, remote, &shared))).await;
    let Upgraded {
        stream,
        rest,
        identity,
        slot,
    } = match upgraded {
        Ok(Some(upgraded)) => upgraded,
        Ok(None) => return,
        Err(_) => {
            tracing::debug!("upgrade timed out");
            return;
        }
    };

    shared.edge.metrics.upgrades.inc();
    match identity {
        Ok(identity) => connection::serve(stream, rest, identity, &slot, shared).await,
        Err(rejection) => Box::pin(reject(stream, rejection, &shared)).await,
    }
}

/// Reads and answers the request. `None` if it was answered without an upgrade, or the client is
/// gone.
async fn upgrade(stream: TcpStream, remote: SocketAddr, shared: &Arc<Shared>) -> Option<Upgraded> {
    stream.set_nodelay(true).ok()?;
    let mut stream = match &shared.edge.tls {
        None => Stream::plain(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(encrypted) if shared.edge.takes_turn() && asks_for_turn(&encrypted) => {
                serve_turn(Stream::tls(encrypted), remote, Vec::new(), shared);
                return None;
            }
            Ok(encrypted) => Stream::tls(encrypted),
            Err(error) => {
                tracing::debug!(%error, "TLS handshake failed");
                return None;
            }
        },
    };

    let Head { request, rest } = match read_head(&mut stream).await {
        Ok(head) => head,
        Err(HeadError::Gone) => return None,
        // Browsers name no protocol for TURN in the handshake.
        Err(HeadError::Stun(first)) if shared.edge.takes_turn() => {
            serve_turn(stream, remote, first, shared);
            return None;
        }
        Err(HeadError::Stun(_)) => {
            let answer = Answer::new(400, "This is not a proper HTTP/1.1 request.");
            return refuse(&mut stream, &answer, &Method::GET, shared).await;
        }
        Err(HeadError::Reject(answer)) => {
            return refuse(&mut stream, &answer, &Method::GET, shared).await;
        }
    };

    let answer = match request.uri().path() {
        "/ws" => {
            let is_draining = shared.is_draining();
            let admission = shared
                .edge
                .admit(&request, remote.ip(), is_draining, Instant::now());

            match admission {
                Ok(admission) => {
                    stream.write_all(&admission.response).await.ok()?;
                    stream.flush().await.ok()?;

                    return Some(Upgraded {
                        stream,
                        rest,
                        identity: admission.identity,
                        slot: admission.slot,
                    });
                }
                Err(answer) => answer,
            }
        }
        // The owner of a ring-only server tells nobody more than that someone is there.
        _ if shared.edge.is_ring_only() => Answer::new(404, "Nothing here."),
        "/turn-test" => turn_test(&request, remote, shared).await,
        path => plain_answer(path, &request, remote, shared),
    };

    refuse(&mut stream, &answer, request.method(), shared).await
}

/// Tests the TURN server in this program for someone who may ask.
async fn turn_test(request: &Request, remote: SocketAddr, shared: &Shared) -> Answer {
    let Some(test) = &shared.config.turn_test else {
        return Answer::new(
            404,
            "There is no TURN server in this program (turn-listen).",
        );
    };

    match shared
        .edge
        .admit_visit(request, remote.ip(), Instant::now())
    {
        Ok(()) => test.answer().await,
        Err(over) => over,
    }
}

/// Hands a client over to the TURN server.
fn serve_turn(stream: Stream, remote: SocketAddr, first: Vec<u8>, shared: &Shared) {
    if let Some(turn) = &shared.config.turn_server {
        turn.serve_stream(stream, remote, first);
    }
}

/// The answer to a request for anything but the WebSocket.
fn plain_answer(path: &str, request: &Request, remote: SocketAddr, shared: &Shared) -> Answer {
    match path {
        "/livez" => return Answer::new(200, "ok"),
        "/readyz" => return shared.readiness(),
        "/metrics" => {
            let text = shared.edge.metrics.text(shared.levels());
            return Answer::metrics(text, Metrics::CONTENT_TYPE);
        }
        _ => {}
    }

    let takes_gzip = takes_gzip(request.headers());
    let Some(page) = shared.config.pages.answer(path, takes_gzip) else {
        return Answer::new(404, "Nothing here. WebSocket clients connect to /ws.");
    };

    match shared
        .edge
        .admit_visit(request, remote.ip(), Instant::now())
    {
        Ok(()) => page,
        Err(over) => over,
    }
}

/// Answers a request without an upgrade.
async fn refuse(
    stream: &mut Stream,
    answer: &Answer,
    method: &Method,
    shared: &Shared,
) -> Option<Upgraded> {
    shared.edge.metrics.refused(answer.status);
    tracing::debug!(status = answer.status, "answered without an upgrade");
    // If the client is gone, there is nothing left to do.
    let _ = answer.write(stream, method).await;

    None
}

/// Ends a WebSocket before it has begun. The client learns why from an error message and the close
/// code: a browser does not show its page anything of an HTTP response.
async fn reject(stream: Stream, rejection: Rejection, shared: &Shared) {
    let Rejection { fault, reason } = rejection;
    tracing::debug!(code = reason.code(), "client rejected");

    let error = crate::message::ServerEnvelope::from(fault);
    shared.edge.metrics.sent(&error.message, 0);
    shared.edge.metrics.closed(Some(reason.code()));

    let text = serde_json::to_string(&error).expect("a message has string keys and JSON values");
    let frame = CloseFrame {
        code: reason.code().into(),
        reason: reason.text().into(),
    };

    let mut socket =
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(socket_config())).await;
    let write = async {
        socket.send(Message::text(text)).await?;
        connection::close(socket, frame).await;
        Ok::<(), tokio_tungstenite::tungstenite::Error>(())
    };

    // The connection ends whether or not the client has read this.
    let _ = timeout(REJECTION_TIMEOUT, write).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function returns, without calling it.
    fn size_of_future<F: Future>(_: impl FnOnce(TcpStream, SocketAddr, Arc<Shared>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = size_of_future(serve_socket);
        assert!(
            size <= 2560,
            "10,000 idle connections would take 10,000 × {size} bytes"
        );
    }
}
