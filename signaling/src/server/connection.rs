//! One client's socket: frames in, messages out, heartbeats, and the end.

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

use super::edge::token::Identity;
use super::edge::{Conduct, Place, Stream};
use super::hub::ClientKey;
use super::outbound::{CloseReason, Outbound, Outgoing};
use super::shared::Shared;
use crate::fault_window::FaultWindow;
use crate::message::{
    ClientMessage, ErrorCode, ErrorReport, Fault, MAX_MESSAGE_BYTES, RequestId, ServerEnvelope,
    ServerMessage, parse_client_text,
};

/// For the last messages and the close frame to leave.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// For the client to close its half.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes are read and dropped while lingering, so that a reset does not overtake the close frame.
const LINGER_BYTES: usize = 1 << 20;
/// So many messages may be written together.
const WRITE_BATCH: usize = 32;
/// After so many frames without a pause the task lets others run: they include the one that empties the partner's queue.
const READ_BURST: u32 = 32;
/// This many unreadable messages, in [`FAULT_WINDOW`], close the connection.
const MAX_FAULTS: usize = 20;
const FAULT_WINDOW: Duration = Duration::from_secs(10);
/// A deadline that never comes.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How the relay reads and writes WebSockets. Small buffers: they are most of what an idle connection costs.
#[must_use]
pub fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// Serves one upgraded connection to its end.
pub(super) async fn serve(
    stream: Stream,
    rest: Vec<u8>,
    identity: Option<Identity>,
    place: &Place,
    shared: Arc<Shared>,
) {
    let socket =
        WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(socket_config()))
            .await;
    let (key, outbound) = shared.register(
        identity
            .as_ref()
            .map(|identity| identity.as_str().to_owned()),
    );
    place.occupy(identity.clone(), outbound.clone());
    shared.edge.metrics.connections.add(1);
    // Whatever happens, a panic included, the hub learns that this client is gone.
    let guard = Registration {
        shared: &shared,
        key,
    };

    let now = Instant::now();
    let mut connection = Connection {
        socket,
        outbound,
        shared: shared.clone(),
        identity,
        conduct: Conduct::default(),
        paused_until: None,
        searching_since: None,
        faults: FaultWindow::new(MAX_FAULTS, FAULT_WINDOW),
        unflushed: false,
        heard: now,
        next_ping: now + or_never(shared.config.heartbeat),
        give_up: None,
        timer: Box::pin(sleep_until(now)),
        burst: 0,
    };

    let reason = connection.run(&shared, key).await;
    drop(guard);
    shared.edge.metrics.closed(reason.map(CloseReason::code));

    if reason == Some(CloseReason::SlowReader) {
        shared.edge.metrics.queue_overflow.add(1);
    }

    tracing::debug!(key = ?key, code = reason.map(CloseReason::code), "connection ended");
    if let Some(reason) = reason {
        connection.close(reason).await;
    }
}

/// Sends the close frame and gives the client time to read it before the socket goes.
pub(super) async fn close(mut socket: WebSocketStream<Stream>, frame: CloseFrame) {
    if !matches!(
        timeout(CLOSE_GRACE, socket.close(Some(frame))).await,
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
    // A client that neither closes nor stops within the limits is reset.
    let _ = timeout(LINGER, async {
        while let Ok(read @ 1..) = stream.read(&mut dropped).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

struct Registration<'a> {
    shared: &'a Shared,
    key: ClientKey,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.edge.metrics.connections.add(-1);
        self.shared.forget(self.key);
    }
}

fn or_never(interval: Duration) -> Duration {
    if interval.is_zero() { NEVER } else { interval }
}

/// What woke the connection.
enum Event {
    /// From the client; `None` at the end of the stream.
    Frame(Option<Result<Message, tungstenite::Error>>),
    /// All is written, close.
    Close(CloseReason),
    /// The socket takes nothing any more.
    WriteFailed,
    /// The timer ran out.
    Timer,
}

struct Connection {
    socket: WebSocketStream<Stream>,
    outbound: Arc<Outbound>,
    shared: Arc<Shared>,
    /// By its bearer token.
    identity: Option<Identity>,
    conduct: Conduct,
    /// Nothing is read before: the client floods.
    paused_until: Option<Instant>,
    /// When it was told that it searches.
    searching_since: Option<Instant>,
    faults: FaultWindow,
    /// Bytes wait in the socket's own buffer; nothing more is put there until they are gone.
    unflushed: bool,
    /// When the last frame came.
    heard: Instant,
    next_ping: Instant,
    /// Once the connection is to close: until when the last messages may leave.
    give_up: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    burst: u32,
}

impl Connection {
    /// Runs until the client is gone (`None`) or is to be closed.
    async fn run(&mut self, shared: &Arc<Shared>, key: ClientKey) -> Option<CloseReason> {
        let silent = or_never(shared.config.silent);
        self.set_timer(silent);

        loop {
            match std::future::poll_fn(|cx| self.poll_event(cx)).await {
                Event::Frame(Some(Ok(frame))) => {
                    self.heard = Instant::now();
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
                    self.outbound.close(CloseReason::BrokenText)
                }
                Event::Frame(None | Some(Err(_))) | Event::WriteFailed => return None,
                Event::Close(reason) => return Some(reason),
                Event::Timer => {
                    let now = Instant::now();
                    if self.give_up.is_some_and(|limit| now >= limit) {
                        return None;
                    }

                    if let Some(end) = self.paused_until {
                        if now >= end {
                            self.paused_until = None;
                        }

                        // Its silence is our own doing.
                        self.heard = now;
                    }

                    if now >= self.heard + silent {
                        self.outbound.close(CloseReason::NoHeartbeat);
                    } else if now >= self.next_ping {
                        self.next_ping = now + or_never(shared.config.heartbeat);
                        if !self.unflushed {
                            self.write(Message::Ping(tungstenite::Bytes::new())).ok()?;
                        }
                    }
                }
            }

            if self.give_up.is_none() && self.outbound.is_closing() {
                // The partner hears at once, however long the last messages take.
                shared.forget(key);
                self.give_up = Some(Instant::now() + CLOSE_GRACE);
            }

            self.set_timer(silent);
        }
    }

    /// One frame of the client; false at the clean end of the stream.
    async fn take_frame(&mut self, frame: Message, shared: &Arc<Shared>, key: ClientKey) -> bool {
        match frame {
            Message::Text(text) => {
                let now = self.heard.into_std();
                let allowed = self.conduct.message(&shared.edge.conduct, text.len(), now);

                match parse_client_text(&text) {
                    Ok(envelope) => {
                        let kind = envelope.message.kind();
                        tracing::trace!(key = ?key, kind, bytes = text.len(), "message");
                        shared.edge.metrics.received(kind);
                        let (edge, message) = (&shared.edge, &envelope.message);
                        let request = allowed
                            .and_then(|()| self.conduct.request(&edge.conduct, message, now))
                            .and_then(|()| edge.request(self.identity.as_ref(), message, now));

                        match request {
                            // Who leaves is never too early.
                            Err(_) if matches!(envelope.message, ClientMessage::Bye) => {
                                shared.receive(key, envelope)
                            }
                            Ok(()) => shared.receive(key, envelope),
                            Err(wait) => self.limit(wait, envelope.id, shared, key),
                        }
                    }
                    Err(fault) => {
                        tracing::debug!(key = ?key, code = ?fault.code, bytes = text.len(), "message rejected");
                        self.reject(fault, shared, key);

                        if self.faults.record(Instant::now().into_std()) {
                            self.outbound.close(CloseReason::TooManyFaults);
                        }
                    }
                }

                self.burst += 1;
                if self.burst >= READ_BURST {
                    self.burst = 0;
                    tokio::task::yield_now().await;
                }
            }
            Message::Binary(_) => self.outbound.close(CloseReason::BinaryFrame),
            // tungstenite has put the pong into its buffer.
            Message::Ping(_) => self.unflushed = true,
            Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(_) => {
                shared.forget(key);
                // tungstenite has put the reply into its buffer; whether it arrives no longer matters.
                let _ = timeout(LINGER, self.socket.flush()).await;
                return false;
            }
        }

        true
    }

    /// Tells that a message came too early.
    fn limit(&self, wait: Duration, id: Option<RequestId>, shared: &Shared, key: ClientKey) {
        let retry_after_ms =
            Some(u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
        let message = String::from("Too many messages: wait a moment and send it again.");
        let report = ErrorReport {
            code: ErrorCode::RateLimited,
            message,
            retry_after_ms,
        };

        self.tell(
            ServerEnvelope {
                message: ServerMessage::Error(report),
                id,
            },
            shared,
            key,
        );
    }

    fn reject(&self, fault: Fault, shared: &Shared, key: ClientKey) {
        self.tell(fault.into(), shared, key);
    }

    fn tell(&self, envelope: ServerEnvelope, shared: &Shared, key: ClientKey) {
        if self.outbound.push(Box::new(envelope)).is_err() {
            shared.forget(key);
            self.outbound.close(CloseReason::SlowReader);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let closing = self.give_up.is_some();
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }

        if !closing {
            if self.outbound.is_closing() {
                // To set the time limit.
                return Poll::Ready(Event::Timer);
            }

            if self.paused_until.is_none() {
                let frame = self.socket.poll_next_unpin(cx);
                self.count(frame.is_ready());

                if let Poll::Ready(frame) = frame {
                    return Poll::Ready(Event::Frame(frame));
                }

                if self.paused_until.is_some() {
                    // To set the time limit.
                    return Poll::Ready(Event::Timer);
                }
            }

            self.burst = 0;
        }

        self.timer.as_mut().poll(cx).map(|()| Event::Timer)
    }

    /// Counts what has been read; a flood is not read on for a while, however it is made.
    fn count(&mut self, frame: bool) {
        let bytes = self.socket.get_mut().take_read();
        if bytes == 0 && !frame {
            return;
        }

        let now = Instant::now();
        let pause = self.conduct.came(
            &self.shared.edge.conduct,
            u32::from(frame),
            bytes,
            now.into_std(),
        );

        if let Some(pause) = pause {
            self.shared.edge.metrics.paused.add(1);
            self.paused_until = Some(now + pause);
        }
    }

    /// What the figures need of a message that goes out.
    fn account(&mut self, message: &ServerMessage, bytes: usize) {
        let metrics = &self.shared.edge.metrics;
        metrics.sent(message, bytes);

        match message {
            ServerMessage::Searching(_) => self.searching_since = Some(Instant::now()),
            ServerMessage::PartnerFound(_) => {
                if let Some(since) = self.searching_since.take() {
                    metrics.match_wait.observe(since.elapsed());
                }
            }
            ServerMessage::SearchCancelled => self.searching_since = None,
            _ => {}
        }
    }

    /// Moves messages from the queue to the socket, as far as it takes them.
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
                        self.account(&envelope.message, text.len());

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
        let next = self.give_up.unwrap_or_else(|| {
            let next = self.next_ping.min(self.heard + silent);
            self.paused_until.map_or(next, |end| end.min(next))
        });

        // Frames only move the deadline later: the timer is set anew when it has run out, not with each frame.
        if self.timer.is_elapsed() || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    /// As [`close`].
    async fn close(self, reason: CloseReason) {
        let frame = CloseFrame {
            code: reason.code().into(),
            reason: reason.text().into(),
        };

        // Boxed: a connection that lives needs no room for its end.
        Box::pin(close(self.socket, frame)).await;
    }
}
