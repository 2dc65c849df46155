//! What waits to be written to one client: a bounded queue with an end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::message::{ServerEnvelope, ServerMessage};

/// How many messages may wait; a reader that lets it come to this is closed with 4004.
pub(super) const OUTBOUND_MESSAGES: usize = 256;

/// How many bytes of payload may wait, whatever their number: 256 of the longest messages would be 16 MB.
const OUTBOUND_BYTES: usize = 3 << 20;

/// What a message holds in memory beside its fixed part.
fn payload(message: &ServerMessage) -> usize {
    match message {
        ServerMessage::WebrtcOffer(relayed) => relayed.offer.get().len(),
        ServerMessage::WebrtcAnswer(relayed) => relayed.answer.get().len(),
        ServerMessage::IceCandidate(relayed) => relayed.candidate.get().len(),
        ServerMessage::PartnerFound(found) => found.user_picture.as_ref().map_or(0, String::len),
        _ => 0,
    }
}

/// Why the relay closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client said `bye`.
    Bye,
    /// The relay shuts down.
    Draining,
    /// A frame breaks RFC 6455.
    BrokenFrame,
    /// A text frame is not UTF-8.
    BrokenText,
    /// A binary frame came.
    BinaryFrame,
    /// Too many unreadable messages.
    TooManyFaults,
    /// A message over the limit.
    MessageTooLarge,
    /// Nothing was heard for too long.
    NoHeartbeat,
    /// The token does not say who the client is.
    Unauthorized,
    /// The client does not read.
    SlowReader,
    /// The client is kept out.
    Banned,
    /// Another connection has taken its place.
    Replaced,
}

impl CloseReason {
    /// The close code of RFC 6455 §7.4, or of the protocol.
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
        }
    }

    /// For the close frame.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Draining => "the relay shuts down",
            Self::BrokenFrame => "broken WebSocket frame",
            Self::BrokenText => "text that is not UTF-8",
            Self::BinaryFrame => "send text frames only",
            Self::TooManyFaults => "too many unreadable messages",
            Self::MessageTooLarge => "message too large",
            Self::Unauthorized => "unauthorized",
            Self::Banned => "banned",
            Self::Replaced => "replaced by a resume",
            Self::NoHeartbeat => "nothing heard for too long",
            Self::SlowReader => "messages are not read",
        }
    }
}

/// The queue is full: the message is lost and the reader too slow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What the connection's task does next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Write this.
    Message(Arc<ServerEnvelope>),
    /// All is written: close.
    Close(CloseReason),
}

/// Filled by whoever holds the hub, emptied by the connection's own task. An idle connection holds no buffer.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    state: Mutex<State>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<ServerEnvelope>>,
    /// Of all that waits: see [`payload`].
    bytes: usize,
    closing: Option<CloseReason>,
}

impl Outbound {
    /// Queues a message. After [`close`](Self::close) it is dropped.
    pub(super) fn push(&self, message: impl Into<Arc<ServerEnvelope>>) -> Result<(), Full> {
        let message = message.into();
        {
            let mut state = self.lock();
            if state.closing.is_some() {
                return Ok(());
            }

            let bytes = state.bytes + payload(&message.message);
            if state.queue.len() >= OUTBOUND_MESSAGES || bytes > OUTBOUND_BYTES {
                return Err(Full);
            }

            state.bytes = bytes;
            state.queue.push_back(message);
        }

        self.reader.wake();
        Ok(())
    }

    /// Ends the connection once all that waits is written; a slow reader's messages are dropped instead. The first
    /// reason stands.
    pub(super) fn close(&self, reason: CloseReason) {
        {
            let mut state = self.lock();
            if state.closing.is_some() {
                return;
            }

            state.closing = Some(reason);
            if reason == CloseReason::SlowReader {
                (state.queue, state.bytes) = (VecDeque::new(), 0);
            }
        }

        self.reader.wake();
    }

    /// True after [`close`](Self::close).
    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    /// For the one task that writes: the next message, or the end.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.reader.register(cx.waker());
        let mut state = self.lock();

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

    /// So that [`close`](Self::close) wakes the task while it waits for something else.
    pub(super) fn register(&self, cx: &mut Context<'_>) {
        self.reader.register(cx.waker());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn the_queue_is_bounded() {
        let outbound = Outbound::default();
        for n in 0..OUTBOUND_MESSAGES {
            assert_eq!(outbound.push(message()), Ok(()), "message {n} has room");
        }

        assert_eq!(
            outbound.push(message()),
            Err(Full),
            "one more than the bound"
        );

        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbound.poll(&mut cx).is_ready(), "messages wait");
        assert_eq!(
            outbound.push(message()),
            Ok(()),
            "a message that was taken makes room for another"
        );
    }

    #[test]
    fn long_messages_fill_it_sooner() {
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

        let fit = (0..OUTBOUND_MESSAGES)
            .take_while(|_| outbound.push(long()).is_ok())
            .count();
        assert_eq!(fit, OUTBOUND_BYTES / 60_002, "as many as the bytes allow");
        assert!(
            outbound
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready(),
            "messages wait"
        );

        assert_eq!(
            outbound.push(long()),
            Ok(()),
            "a message that was taken makes room for another"
        );
    }

    #[test]
    fn what_waits_is_written_before_the_end_unless_the_reader_is_slow() {
        let mut cx = Context::from_waker(Waker::noop());
        let outbound = Outbound::default();
        outbound.push(message()).unwrap();
        outbound.close(CloseReason::Draining);
        outbound.close(CloseReason::Bye);

        assert!(
            matches!(outbound.poll(&mut cx), Poll::Ready(Outgoing::Message(_))),
            "first what waits"
        );

        let end = outbound.poll(&mut cx);
        assert!(
            matches!(end, Poll::Ready(Outgoing::Close(CloseReason::Draining))),
            "then the first reason: {end:?}"
        );

        let outbound = Outbound::default();
        outbound.push(message()).unwrap();
        outbound.close(CloseReason::SlowReader);
        let end = outbound.poll(&mut cx);

        assert!(
            matches!(end, Poll::Ready(Outgoing::Close(CloseReason::SlowReader))),
            "nothing is kept: {end:?}"
        );
    }
}
