//! A socket that sends unanswered DTLS flights again: runs [`FlightRetransmitter`] on a clock.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it runs the retransmitter on real time"
)]

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::done::HandshakeDone;
use super::retransmit::FlightRetransmitter;

/// How often to check whether a flight is due.
const TICK: Duration = Duration::from_millis(20);

/// Another socket, watched until the handshake is over.
#[derive(Debug)]
pub(super) struct HandshakeSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    flights: Mutex<FlightRetransmitter>,
    /// Whether the handshake may still need the retransmitter.
    watching: AtomicBool,
}

impl HandshakeSocket {
    /// Watches `inner` on `runtime` until the handshake is `done` and no flight waits for an
    /// answer.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        runtime: &Arc<dyn Runtime>,
        done: HandshakeDone,
    ) -> Arc<Self> {
        let socket = Arc::new(Self {
            inner,
            flights: Mutex::default(),
            watching: AtomicBool::new(true),
        });

        let (watched, clock) = (Arc::downgrade(&socket), Arc::clone(runtime));
        runtime.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some(socket) = watched.upgrade() else {
                    return;
                };

                if done.get() && socket.flights.lock().is_quiet(Instant::now()) {
                    return socket.watching.store(false, Relaxed);
                }

                let Some((to, flight)) = socket.flights.lock().take_due(Instant::now()) else {
                    continue;
                };

                tracing::debug!(
                    datagrams = flight.len(),
                    "sending a handshake flight again: no answer"
                );

                for datagram in flight {
                    // A failure counts as a loss; the next attempt is near.
                    let _ = socket.inner.send_to(&datagram, to).await;
                }
            }
        }));

        socket
    }
}

impl AsyncUdpSocket for HandshakeSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let sent = ready!(self.inner.poll_send(cx, transmit));
        if sent.is_ok() && self.watching.load(Relaxed) {
            let size = transmit
                .segment_size
                .filter(|size| *size > 0)
                .unwrap_or(transmit.contents.len().max(1));

            let mut flights = self.flights.lock();
            for datagram in transmit.contents.chunks(size) {
                flights.on_send(Instant::now(), transmit.destination, datagram);
            }
        }

        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, bufs, meta));
        if let Ok(count) = received
            && self.watching.load(Relaxed)
        {
            let mut flights = self.flights.lock();
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(count) {
                for datagram in buf[..meta.len.min(buf.len())].chunks(meta.stride.max(1)) {
                    flights.on_receive(Instant::now(), meta.addr, datagram);
                }
            }
        }

        Poll::Ready(received)
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use webrtc::runtime::TokioRuntime;

    use super::*;

    /// A socket that remembers what is sent and receives nothing.
    #[derive(Debug, Default)]
    struct Wire(Mutex<Vec<Vec<u8>>>);

    impl AsyncUdpSocket for Wire {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn poll_send(
            &self,
            _: &mut Context<'_>,
            transmit: &Transmit<'_>,
        ) -> Poll<io::Result<usize>> {
            self.0.lock().push(transmit.contents.to_vec());
            Poll::Ready(Ok(transmit.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn an_unanswered_flight_is_sent_again_and_the_watch_ends() {
        let (wire, done) = (Arc::new(Wire::default()), HandshakeDone::default());
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let socket = HandshakeSocket::new(Arc::clone(&wire) as _, &runtime, done.clone());
        let hello = [&[22, 0xfe, 0xfd][..], &[0; 30]].concat();
        socket
            .send_to(&hello, "192.0.2.7:5000".parse().unwrap())
            .await
            .expect("this socket accepts everything");

        let until = async |what: &str, done: &dyn Fn() -> bool| {
            let end = Instant::now() + Duration::from_secs(20);
            while !done() {
                assert!(Instant::now() < end, "timed out waiting for {what}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };

        until("the first retransmission", &|| wire.0.lock().len() >= 2).await;
        assert_eq!(wire.0.lock()[1], hello, "the same bytes");
        assert!(
            socket.watching.load(Relaxed),
            "the handshake is not over yet"
        );

        done.set(true);
        until("the end of the watch", &|| !socket.watching.load(Relaxed)).await;

        assert_eq!(
            wire.0.lock().len(),
            6,
            "sent once, and five times again without an answer"
        );
    }
}
