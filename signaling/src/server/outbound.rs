//! The messages that wait to be written to one client: a bounded queue that can be closed.
//!
//! The hub, under its lock, puts messages in and must never wait; the connection's task takes them
//! out as fast as the client reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::message::{ServerEnvelope, ServerMessage};

/// Messages that may wait. A client that reads too slowly to stay below is closed with 4004.
const MAX_MESSAGES: usize = 256;
/// Bytes of payload that may wait: 256 of the longest messages would be 16 MB.
const MAX_BYTES: usize = 3 << 20;

/// Bytes that a message takes in memory besides its fixed part.
fn payload(message: &ServerMessage) -> usize {
    match message {
        ServerMessage::WebrtcOffer(relayed) => relayed.offer.get().len(),
        ServerMessage::WebrtcAnswer(relayed) => relayed.answer.get().len(),
        ServerMessage::IceCandidate(relayed) => relayed.candidate.get().len(),
        ServerMessage::PartnerFound(found) => found.user_picture.as_ref().map_or(0, String::len),
        _ => 0,
    }
}

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client said `bye`.
    Bye,
    /// The server is shutting down.
    Draining,
    /// A frame violates RFC 6455.
    BrokenFrame,
    /// A text frame is not UTF-8.
    BrokenText,
    /// A binary frame came.
    BinaryFrame,
    /// Too many messages could not be parsed.
    TooManyFaults,
    /// A message exceeds the limit.
    MessageTooLarge,
    /// Nothing came for too long.
    NoHeartbeat,
    /// The bearer token is missing or not valid.
    Unauthorized,
    /// The client does not read its messages.
    SlowReader,
    /// The client is on the ban list.
    Banned,
    /// The operator has ended it.
    Kicked,
    /// Another connection has resumed this client.
    Replaced,
}

impl CloseReason {
    /// The close code: RFC 6455 §7.4, or, from 4000, Tandem's own.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Bye => 1000,
            Self::Draining => 1001,
            Self::BrokenFrame => 1002,
            Self::BinaryFrame => 1003,
            Self::BrokenText => 1007,
            Self::TooManyFaults => 1008,
            Self::MessageTooLarge => 1009,
            Self::Unauthorized => 4001,
            Self::Replaced => 4002,
            Self::NoHeartbeat => 4003,
            Self::SlowReader => 4004,
            Self::Banned => 4005,
            Self::Kicked => 4006,
        }
    }

    /// The text in the close frame.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Draining => "the server is shutting down",
            Self::BrokenFrame => "broken WebSocket frame",
            Self::BrokenText => "text is not UTF-8",
            Self::BinaryFrame => "send text frames only",
            Self::TooManyFaults => "too many unreadable messages",
            Self::MessageTooLarge => "message too large",
            Self::Unauthorized => "unauthorized",
            Self::Banned => "banned",
            Self::Kicked => "ended by the operator",
            Self::Replaced => "replaced by a resume",
            Self::NoHeartbeat => "nothing received for too long",
            Self::SlowReader => "messages are not read",
        }
    }
}

/// The queue is full. The message is lost, and the client should be closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What the connection's task has to do next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Write this.
    Message(Arc<ServerEnvelope>),
    /// Every message is written: close.
    Close(CloseReason),
}

/// One client's queue. Empty, it holds no buffer, because most connections are idle.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    state: Mutex<State>,
    /// Wakes the connection's task.
    task: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<ServerEnvelope>>,
    /// The payload of all queued messages.
    bytes: usize,
    closing: Option<CloseReason>,
}

impl Outbound {
    /// Queues a message. After [`close`](Self::close), drops it.
    ///
    /// # Errors
    /// [`Full`] if the limit is reached.
    pub(super) fn push(&self, message: impl Into<Arc<ServerEnvelope>>) -> Result<(), Full> {
        let message = message.into();
        {
            let mut state = self.state.lock();
            if state.closing.is_some() {
                return Ok(());
            }

            let bytes = state.bytes + payload(&message.message);
            if state.queue.len() >= MAX_MESSAGES || bytes > MAX_BYTES {
                return Err(Full);
            }

            state.bytes = bytes;
            state.queue.push_back(message);
        }

        self.task.wake();
        Ok(())
    }

    /// Closes the connection once the queued messages are written, or at once if it is closed as
    /// too slow. The first reason stands.
    pub(super) fn close(&self, reason: CloseReason) {
        {
            let mut state = self.state.lock();
            if state.closing.is_some() {
                return;
            }

            state.closing = Some(reason);
            if reason == CloseReason::SlowReader {
                (state.queue, state.bytes) = (VecDeque::new(), 0);
            }
        }

        self.task.wake();
    }

    /// Whether [`close`](Self::close) has been called.
    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().closing.is_some()
    }

    /// The next message or the end, for the connection's task.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.task.register(cx.waker());
        let mut state = self.state.lock();

        if let Some(message) = state.queue.pop_front() {
            state.bytes -= payload(&message.message);
            if state.queue.is_empty() && state.queue.capacity() > 32 {
                state.queue = VecDeque::new();
            }

            return Poll::Ready(Outgoing::Message(message));
        }

        state
            .closing
            .map_or(Poll::Pending, |reason| Poll::Ready(Outgoing::Close(reason)))
    }

    /// Makes [`push`](Self::push) and [`close`](Self::close) wake the task while it waits for
    /// something else.
    pub(super) fn register(&self, cx: &mut Context<'_>) {
        self.task.register(cx.waker());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::message::RelayedCandidate;

    fn message() -> Arc<ServerEnvelope> {
        Arc::new(ServerMessage::SearchCancelled.into())
    }

    #[test]
    fn the_queue_holds_256_messages() {
        let outbound = Outbound::default();
        for n in 0..MAX_MESSAGES {
            assert_eq!(outbound.push(message()), Ok(()), "message {n} has room");
        }

        assert_eq!(
            outbound.push(message()),
            Err(Full),
            "one more than the bound"
        );

        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbound.poll(&mut cx).is_ready(), "a message is queued");
        assert_eq!(
            outbound.push(message()),
            Ok(()),
            "taking a message makes room for another"
        );
    }

    #[test]
    fn long_messages_fill_the_queue_sooner() {
        let outbound = Outbound::default();
        let long = || {
            let text = format!("\"{}\"", "x".repeat(60_000));
            let candidate = serde_json::value::RawValue::from_string(text).unwrap();
            let relayed = RelayedCandidate {
                candidate,
                from: "a".into(),
                session_id: "s".into(),
                seq: 1,
            };

            Arc::new(ServerEnvelope::from(ServerMessage::IceCandidate(relayed)))
        };

        let fit = (0..MAX_MESSAGES)
            .take_while(|_| outbound.push(long()).is_ok())
            .count();
        assert_eq!(fit, MAX_BYTES / 60_002, "as many as the bytes allow");
        assert!(
            outbound
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready(),
            "a message is queued"
        );

        assert_eq!(
            outbound.push(long()),
            Ok(()),
            "taking a message makes room for another"
        );
    }

    #[test]
    fn queued_messages_are_written_before_the_end_unless_the_reader_is_slow() {
        let mut cx = Context::from_waker(Waker::noop());
        let outbound = Outbound::default();
        outbound.push(message()).unwrap();
        outbound.close(CloseReason::Draining);
        outbound.close(CloseReason::Bye);

        assert!(
            matches!(outbound.poll(&mut cx), Poll::Ready(Outgoing::Message(_))),
            "the queued message comes first"
        );

        let end = outbound.poll(&mut cx);
        assert!(
            matches!(end, Poll::Ready(Outgoing::Close(CloseReason::Draining))),
            "then the end, with the first reason: {end:?}"
        );

        let outbound = Outbound::default();
        outbound.push(message()).unwrap();
        outbound.close(CloseReason::SlowReader);
        let end = outbound.poll(&mut cx);

        assert!(
            matches!(end, Poll::Ready(Outgoing::Close(CloseReason::SlowReader))),
            "the queue is dropped: {end:?}"
        );
    }
}
