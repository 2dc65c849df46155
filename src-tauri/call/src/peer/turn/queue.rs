//! Datagrams on their way between the library and a connection to a TURN server. Neither side waits for
//! the other: where one is too slow, the oldest media is dropped.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::framing;

/// The most that waits to be sent, bytes: 0.2 s at 2.5 Mbit/s. More would only be late.
const MAX_OUTGOING: usize = 64 * 1_024;
/// The most that is written at once, bytes, as long as there is no longer datagram.
const MAX_WRITE: usize = 16 * 1_024;
/// How many datagrams may wait for the library, which reads up to 65 at once.
const MAX_INCOMING: usize = 512;

/// What a socket of the library receives from all its connections.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Incoming>);

#[derive(Debug, Default)]
struct Incoming {
    datagrams: VecDeque<(SocketAddr, Bytes)>,
    reader: Option<Waker>,
}

impl Inbox {
    /// A datagram has come from `from`.
    pub(super) fn push(&self, from: SocketAddr, datagram: Bytes) {
        let mut incoming = self.0.lock();
        if incoming.datagrams.len() == MAX_INCOMING {
            incoming.datagrams.pop_front();
        }

        incoming.datagrams.push_back((from, datagram));
        if let Some(reader) = incoming.reader.take() {
            reader.wake();
        }
    }

    /// The oldest datagram. Wakes the task of `cx` when there is one.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        let mut incoming = self.0.lock();
        match incoming.datagrams.pop_front() {
            Some(datagram) => Poll::Ready(datagram),
            None => {
                incoming.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What waits for a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    outgoing: Mutex<Outgoing>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Outgoing {
    datagrams: VecDeque<Bytes>,
    bytes: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The socket is gone: what waits is still sent.
    Closed,
    /// There is no connection any more.
    Broken,
}

impl Outbox {
    /// A datagram to send. Returns `false` if there is no connection.
    pub(super) fn push(&self, datagram: &[u8]) -> bool {
        let mut outgoing = self.outgoing.lock();
        if outgoing.state == State::Broken {
            return false;
        }

        outgoing.bytes += datagram.len();
        outgoing
            .datagrams
            .push_back(Bytes::copy_from_slice(datagram));
        while outgoing.bytes > MAX_OUTGOING {
            outgoing.drop_oldest();
        }

        drop(outgoing);
        self.changed.notify_one();
        true
    }

    /// The socket is gone.
    pub(super) fn close(&self) {
        let mut outgoing = self.outgoing.lock();
        if outgoing.state == State::Open {
            outgoing.state = State::Closed;
        }

        drop(outgoing);
        self.changed.notify_one();
    }

    /// The connection has ended. Returns what was not sent.
    pub(super) fn break_off(&self) -> VecDeque<Bytes> {
        let mut outgoing = self.outgoing.lock();
        outgoing.state = State::Broken;
        outgoing.bytes = 0;
        std::mem::take(&mut outgoing.datagrams)
    }

    /// Whether the socket is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.outgoing.lock().state == State::Closed
    }

    /// Waits until the socket is gone.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }

    /// What to write next, in the form of a stream. `None` once the socket is gone and nothing waits.
    pub(super) async fn take(&self) -> Option<BytesMut> {
        loop {
            {
                let mut outgoing = self.outgoing.lock();
                let stream = outgoing.take();
                if !stream.is_empty() {
                    return Some(stream);
                }

                if outgoing.state != State::Open {
                    return None;
                }
            }

            self.changed.notified().await;
        }
    }
}

impl Outgoing {
    /// Drops the oldest media, or the oldest request if there is nothing else.
    fn drop_oldest(&mut self) {
        let oldest = self
            .datagrams
            .iter()
            .position(|datagram| is_media(datagram));
        if let Some(dropped) = self.datagrams.remove(oldest.unwrap_or(0)) {
            self.bytes -= dropped.len();
        }
    }

    fn take(&mut self) -> BytesMut {
        let mut stream = BytesMut::new();
        while let Some(datagram) = self.datagrams.front() {
            if !stream.is_empty() && stream.len() + datagram.len() > MAX_WRITE {
                break;
            }

            framing::write(datagram, &mut stream);
            self.bytes -= datagram.len();
            self.datagrams.pop_front();
        }

        stream
    }
}

/// Whether a datagram is for a peer: channel data or a send indication (RFC 8656 §11, §12). The others
/// are for the server.
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [0x40..=0x4f, ..] | [0x00, 0x16, ..])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    fn channel(content: usize) -> Vec<u8> {
        let mut message = vec![0x40, 0];
        message.extend_from_slice(&(content as u16).to_be_bytes());
        message.resize(4 + content, 9);
        message
    }

    fn request() -> Vec<u8> {
        let mut message = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.resize(20, 0);
        message
    }

    #[tokio::test]
    async fn a_slow_connection_loses_the_oldest_media_and_no_request() {
        let outbox = Outbox::default();
        assert!(outbox.push(&request()));
        for number in 0..200 {
            assert!(outbox.push(&channel(1_000 + number)));
        }

        let mut reader = framing::Reader::default();
        outbox.close();
        while let Some(stream) = outbox.take().await {
            assert!(stream.len() <= MAX_WRITE + 3);
            reader.push(&stream);
        }

        let mut arrived = Vec::new();
        while let Some(message) = reader.next().expect("what was written") {
            arrived.push(message.len());
        }

        assert_eq!(arrived[0], 20, "the request");
        assert_eq!(arrived.last(), Some(&1_203), "the newest");
        let media: usize = arrived[1..].iter().sum();
        assert!(
            (MAX_OUTGOING - 2_000..=MAX_OUTGOING).contains(&(media + 20)),
            "as much as may wait: {media}"
        );
    }

    #[test]
    fn nothing_is_taken_for_a_connection_that_has_ended() {
        let outbox = Outbox::default();
        outbox.push(&request());
        assert_eq!(outbox.break_off().len(), 1, "what waited is returned");
        assert!(!outbox.push(&request()));
        outbox.close();
        assert!(!outbox.push(&request()), "it stays broken");
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_datagram_and_by_the_end() {
        let outbox = Arc::new(Outbox::default());
        let taking = {
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { (outbox.take().await, outbox.take().await) })
        };
        tokio::task::yield_now().await;
        outbox.push(&request());
        tokio::task::yield_now().await;
        outbox.close();
        let (first, second) = taking.await.expect("no panic");
        assert_eq!(first.map(|stream| stream.len()), Some(20));
        assert_eq!(second, None);
    }

    #[test]
    fn a_datagram_that_arrives_wakes_the_library() {
        #[derive(Default)]
        struct Woken(std::sync::atomic::AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }

        let (inbox, woken) = (Inbox::default(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let cx = Context::from_waker(&waker);
        assert!(inbox.poll(&cx).is_pending());
        let from = SocketAddr::from(([240, 0, 0, 1], 3478));
        inbox.push(from, Bytes::from_static(b"a"));
        assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(
            inbox.poll(&cx),
            Poll::Ready((from, Bytes::from_static(b"a")))
        );
    }

    proptest! {
        #[test]
        fn neither_side_piles_up(sizes in prop::collection::vec(0..2_000_usize, 0..900)) {
            let (inbox, outbox) = (Inbox::default(), Outbox::default());
            let from = SocketAddr::from(([240, 0, 0, 1], 3478));
            for size in sizes {
                outbox.push(&channel(size));
                inbox.push(from, channel(size).into());
                let outgoing = outbox.outgoing.lock();
                let sum: usize = outgoing.datagrams.iter().map(Bytes::len).sum();
                prop_assert_eq!(sum, outgoing.bytes);
                prop_assert!(sum <= MAX_OUTGOING);
                prop_assert!(inbox.0.lock().datagrams.len() <= MAX_INCOMING);
            }
        }
    }
}
