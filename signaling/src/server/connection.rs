//! One client's WebSocket: frames in, messages out, heartbeats, and the end.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it times heartbeats and limits"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::client_key::ClientKey;
use super::edge::token::Identity;
use super::edge::{Slot, Stream, TrafficMeter};
use super::outbound::{CloseReason, Outbound, Outgoing};
use super::shared::Shared;
use crate::fault_window::FaultWindow;
use crate::message::{
    ClientMessage, ErrorCode, ErrorReport, Fault, MAX_MESSAGE_BYTES, RequestId, ServerEnvelope,
    ServerMessage, parse_client_text,
};

/// For the last messages and the close frame to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// For the client to close its half of the connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes to read and drop while lingering. Closing a socket with unread bytes in it sends a reset,
/// which can overtake the close frame.
const LINGER_BYTES: usize = 1 << 20;
/// Messages to put into the socket's buffer before flushing it.
const WRITE_BATCH: usize = 32;
/// Frames to read without a pause. Then the task yields to others, one of which empties the
/// partner's queue.
const READ_BURST: u32 = 32;
/// This many messages that cannot be parsed, within [`FAULT_PERIOD`], close the connection.
const MAX_FAULTS: usize = 20;
const FAULT_PERIOD: Duration = Duration::from_secs(10);
/// An interval that never ends, for one that is switched off.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The settings with which the server reads and writes WebSockets. The buffers are small because
/// they are most of what an idle connection costs.
#[must_use]
pub fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// Serves one upgraded connection until it ends. `rest` is what the client sent right after its
/// request.
pub(super) async fn serve(
    stream: Stream,
    rest: Vec<u8>,
    identity: Option<Identity>,
    slot: &Slot,
    shared: Arc<Shared>,
) {
    let socket =
        WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(socket_config()))
            .await;

    let subject = identity
        .as_ref()
        .map(|identity| identity.as_str().to_owned());
    let peer = slot.peer(identity.as_ref());
    let (key, outbound) = shared.register(subject, slot.role(), slot.key, slot.is_private(), peer);
    slot.watch_bans(identity.clone(), key);
    shared.edge.metrics.connections.inc();

    let registration = Registration {
        shared: &shared,
        key,
    };

    let now = Instant::now();
    let mut connection = Connection {
        slot,
        socket,
        outbound,
        shared: shared.clone(),
        identity,
        traffic: TrafficMeter::default(),
        paused_until: None,
        searching_since: None,
        faults: FaultWindow::new(MAX_FAULTS, FAULT_PERIOD),
        unflushed: false,
        last_frame: now,
        next_ping: now + or_never(shared.config.heartbeat),
        close_deadline: None,
        timer: Box::pin(sleep_until(now)),
        burst: 0,
    };

    let reason = connection.run(&shared, key).await;
    drop(registration);
    shared.edge.metrics.closed(reason.map(CloseReason::code));

    if reason == Some(CloseReason::SlowReader) {
        shared.edge.metrics.queue_overflow.inc();
    }

    tracing::debug!(key = ?key, code = reason.map(CloseReason::code), "connection ended");
    if let Some(reason) = reason {
        connection.close(reason).await;
    }
}

/// Sends the close frame, then waits until the client has closed its half, so that it can read the
/// frame before the socket goes.
pub(super) async fn close(mut socket: WebSocketStream<Stream>, frame: CloseFrame) {
    if !matches!(
        timeout(CLOSE_TIMEOUT, socket.close(Some(frame))).await,
        Ok(Ok(()))
    ) {
        return;
    }

    let stream = socket.get_mut();
    if stream.shutdown().await.is_err() {
        return;
    }

    let mut left = LINGER_BYTES;
    let mut dropped = [0; 2048];

    // A client that keeps sending, or does not close, is cut off.
    let _ = timeout(LINGER_TIMEOUT, async {
        while let Ok(read @ 1..) = stream.read(&mut dropped).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

/// Makes sure that the hub learns that this connection is gone, even after a panic.
struct Registration<'a> {
    shared: &'a Shared,
    key: ClientKey,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.edge.metrics.connections.dec();
        self.shared.disconnect(self.key);
    }
}

fn or_never(interval: Duration) -> Duration {
    if interval.is_zero() { NEVER } else { interval }
}

/// What woke the connection's task.
enum Event {
    /// The client sent a frame; `None` at the end of the stream.
    Frame(Option<Result<Message, tungstenite::Error>>),
    /// Every message is written: close.
    Close(CloseReason),
    /// The socket cannot be written to any more.
    WriteFailed,
    /// The timer has run out, or has to be set.
    Timer,
}

struct Connection<'a> {
    slot: &'a Slot,
    socket: WebSocketStream<Stream>,
    outbound: Arc<Outbound>,
    shared: Arc<Shared>,
    /// From the bearer token.
    identity: Option<Identity>,
    /// What it has used of its limits.
    traffic: TrafficMeter,
    /// Until when nothing is read, because the client floods.
    paused_until: Option<Instant>,
    /// When `searching` was written to it, for the metrics.
    searching_since: Option<Instant>,
    faults: FaultWindow,
    /// Whether the socket's own buffer holds bytes. No message is added to it until they are gone.
    unflushed: bool,
    /// When the last frame came.
    last_frame: Instant,
    next_ping: Instant,
    /// Set once the connection is being closed: until when the last messages may be written.
    close_deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Frames read since the task last yielded.
    burst: u32,
}

impl Connection<'_> {
    /// Runs until the client is gone (`None`) or is to be closed.
    async fn run(&mut self, shared: &Arc<Shared>, key: ClientKey) -> Option<CloseReason> {
        let silent = or_never(shared.config.silent);
        self.set_timer(silent);

        loop {
            match std::future::poll_fn(|cx| self.poll_event(cx)).await {
                Event::Frame(Some(Ok(frame))) => {
                    self.last_frame = Instant::now();
                    if !self.take_frame(frame, shared, key).await {
                        return None;
                    }
                }
                Event::Frame(Some(Err(tungstenite::Error::Capacity(_)))) => {
                    let message = format!("A message may have at most {MAX_MESSAGE_BYTES} bytes.");
                    self.reject(Fault::new(ErrorCode::MessageTooLarge, message), shared, key);
                    self.outbound.close(CloseReason::MessageTooLarge);
                }
                Event::Frame(Some(Err(tungstenite::Error::Protocol(error))))
                    if error != ProtocolError::ResetWithoutClosingHandshake =>
                {
                    self.outbound.close(CloseReason::BrokenFrame);
                }
                Event::Frame(Some(Err(tungstenite::Error::Utf8(_)))) => {
                    self.outbound.close(CloseReason::BrokenText);
                }
                Event::Frame(None | Some(Err(_))) | Event::WriteFailed => return None,
                Event::Close(reason) => return Some(reason),
                Event::Timer => {
                    let now = Instant::now();
                    if self.close_deadline.is_some_and(|deadline| now >= deadline) {
                        return None;
                    }

                    self.check_heartbeat(now, silent).ok()?;
                }
            }

            if self.close_deadline.is_none() && self.outbound.is_closing() {
                // Now, not when the last messages are written: the partner should not wait for it.
                shared.disconnect(key);
                self.close_deadline = Some(Instant::now() + CLOSE_TIMEOUT);
            }

            self.set_timer(silent);
        }
    }

    /// Ends a pause, closes a connection that has been silent for too long, sends a ping when it is
    /// due.
    fn check_heartbeat(
        &mut self,
        now: Instant,
        silent: Duration,
    ) -> Result<(), tungstenite::Error> {
        if let Some(end) = self.paused_until {
            if now >= end {
                self.paused_until = None;
            }

            // It is silent because the server does not read.
            self.last_frame = now;
        }

        if now >= self.last_frame + silent {
            self.outbound.close(CloseReason::NoHeartbeat);
        } else if now >= self.next_ping {
            self.next_ping = now + or_never(self.shared.config.heartbeat);
            if !self.unflushed {
                self.write(Message::Ping(tungstenite::Bytes::new()))?;
            }
        }

        Ok(())
    }

    /// Handles one frame. False at the clean end of the stream.
    async fn take_frame(&mut self, frame: Message, shared: &Arc<Shared>, key: ClientKey) -> bool {
        match frame {
            Message::Text(text) => {
                self.take_text(&text, shared, key);

                self.burst += 1;
                if self.burst >= READ_BURST {
                    self.burst = 0;
                    tokio::task::yield_now().await;
                }
            }
            Message::Binary(_) => self.outbound.close(CloseReason::BinaryFrame),
            // tungstenite has put the pong into the socket's buffer.
            Message::Ping(_) => self.unflushed = true,
            Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(_) => {
                shared.disconnect(key);
                // tungstenite has put the reply into the socket's buffer. The connection ends
                // whether or not it can be written.
                let _ = timeout(LINGER_TIMEOUT, self.socket.flush()).await;
                return false;
            }
        }

        true
    }

    fn take_text(&mut self, text: &str, shared: &Shared, key: ClientKey) {
        let now = self.last_frame.into_std();
        let edge = &shared.edge;
        let allowed = self.traffic.message(&edge.limits, text.len(), now);

        let envelope = match parse_client_text(text) {
            Ok(envelope) => envelope,
            Err(fault) => {
                tracing::debug!(
                    key = ?key,
                    code = ?fault.code,
                    bytes = text.len(),
                    "message rejected"
                );
                self.reject(fault, shared, key);

                if self.faults.record(now) {
                    self.outbound.close(CloseReason::TooManyFaults);
                }

                return;
            }
        };

        let message = &envelope.message;
        tracing::trace!(key = ?key, kind = message.kind(), bytes = text.len(), "message");
        edge.metrics.received(message.kind());

        let allowed = allowed
            .and_then(|()| self.traffic.request(&edge.limits, message, now))
            .and_then(|()| edge.take_request(self.identity.as_ref(), message, now))
            .and_then(|()| self.slot.take(message, now));

        match allowed {
            Ok(()) => shared.receive(key, envelope),
            // `bye` is exempt: a client may always leave.
            Err(_) if matches!(message, ClientMessage::Bye) => shared.receive(key, envelope),
            Err(wait) => self.reject_early(wait, envelope.id, shared, key),
        }
    }

    /// Rejects a message that came `wait` too early.
    fn reject_early(&self, wait: Duration, id: Option<RequestId>, shared: &Shared, key: ClientKey) {
        let retry_after_ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let report = ErrorReport {
            code: ErrorCode::RateLimited,
            message: "Too many messages: wait a moment and send it again.".into(),
            retry_after_ms: Some(retry_after_ms),
            id: None,
        };

        let envelope = ServerEnvelope {
            message: ServerMessage::Error(report),
            id,
        };
        self.send(envelope, shared, key);
    }

    fn reject(&self, fault: Fault, shared: &Shared, key: ClientKey) {
        self.send(fault.into(), shared, key);
    }

    fn send(&self, envelope: ServerEnvelope, shared: &Shared, key: ClientKey) {
        if self.outbound.push(Box::new(envelope)).is_err() {
            shared.disconnect(key);
            self.outbound.close(CloseReason::SlowReader);
        }
    }

    /// Writing comes first: a client that only sends must not keep its own messages from going out.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let is_closing = self.close_deadline.is_some();
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }

        if !is_closing {
            if self.outbound.is_closing() {
                // `run` has to set the deadline for closing.
                return Poll::Ready(Event::Timer);
            }

            if self.paused_until.is_none() {
                let frame = self.socket.poll_next_unpin(cx);
                self.count_read(frame.is_ready());

                if let Poll::Ready(frame) = frame {
                    return Poll::Ready(Event::Frame(frame));
                }

                if self.paused_until.is_some() {
                    // `run` has to set the timer for the end of the pause.
                    return Poll::Ready(Event::Timer);
                }
            }

            self.burst = 0;
        }

        self.timer.as_mut().poll(cx).map(|()| Event::Timer)
    }

    /// Counts what has been read. A client that floods, with whatever frames or fragments, is not
    /// read for a while.
    fn count_read(&mut self, is_frame: bool) {
        let bytes = self.socket.get_mut().take_read();
        if bytes == 0 && !is_frame {
            return;
        }

        let now = Instant::now();
        let pause = self.traffic.count_read(
            &self.shared.edge.limits,
            u32::from(is_frame),
            bytes,
            now.into_std(),
        );

        if let Some(pause) = pause {
            self.shared.edge.metrics.paused.inc();
            self.paused_until = Some(now + pause);
        }
    }

    /// Updates the metrics for a message that goes out.
    fn count_sent(&mut self, message: &ServerMessage, bytes: usize) {
        let metrics = &self.shared.edge.metrics;
        metrics.sent(message, bytes);

        match message {
            // It comes again when the search begins or ceases to ring.
            ServerMessage::Searching(_) => {
                self.searching_since.get_or_insert_with(Instant::now);
            }
            ServerMessage::PartnerFound(_) => {
                if let Some(since) = self.searching_since.take() {
                    metrics.observe_match_wait(since.elapsed());
                }
            }
            ServerMessage::SearchCancelled => self.searching_since = None,
            _ => {}
        }
    }

    /// Moves messages from the queue to the socket while the socket accepts them.
    ///
    /// Messages go into the socket's buffer in batches, and no batch is started before the one
    /// before it is flushed. So a slow client fills its bounded queue, not the socket's buffer.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if self.unflushed {
                self.outbound.register(cx);
                if ready!(self.socket.poll_flush_unpin(cx)).is_err() {
                    return Poll::Ready(Event::WriteFailed);
                }

                self.unflushed = false;
            }

            for _ in 0..WRITE_BATCH {
                match self.outbound.poll(cx) {
                    Poll::Ready(Outgoing::Message(envelope)) => {
                        let text = serde_json::to_string(&*envelope)
                            .expect("a message has string keys and JSON values");
                        self.count_sent(&envelope.message, text.len());

                        if self.write(Message::text(text)).is_err() {
                            return Poll::Ready(Event::WriteFailed);
                        }
                    }
                    Poll::Ready(Outgoing::Close(reason)) if !self.unflushed => {
                        return Poll::Ready(Event::Close(reason));
                    }
                    Poll::Ready(Outgoing::Close(_)) => break,
                    Poll::Pending if self.unflushed => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
    }

    /// Puts a frame into the socket's buffer, to be flushed.
    fn write(&mut self, frame: Message) -> Result<(), tungstenite::Error> {
        self.unflushed = true;
        self.socket.start_send_unpin(frame)
    }

    fn set_timer(&mut self, silent: Duration) {
        let next = self.close_deadline.unwrap_or_else(|| {
            let next = self.next_ping.min(self.last_frame + silent);
            self.paused_until.map_or(next, |end| end.min(next))
        });

        // A frame only moves the deadline later. So the timer is not reset with each frame, but
        // when it has run out.
        if self.timer.is_elapsed() || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    /// See [`close`].
    async fn close(self, reason: CloseReason) {
        let frame = CloseFrame {
            code: reason.code().into(),
            reason: reason.text().into(),
        };

        // Boxed, so that the task of an open connection has no room for its end.
        Box::pin(close(self.socket, frame)).await;
    }
}
