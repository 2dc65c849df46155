//! A socket that sends unanswered flights of DTLS again: [`Repeater`] on a clock.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::prompt_runtime::Settled;
use super::repeater::Repeater;

/// How often to look whether something is due.
const TICK: Duration = Duration::from_millis(20);

/// Another socket, watched until the handshake is over.
#[derive(Debug)]
pub(super) struct RepeatingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    repeater: Mutex<Repeater>,
    watching: AtomicBool,
}

impl RepeatingSocket {
    /// Watches `inner` on `runtime` until the connection has `settled` and nothing waits for an answer.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        runtime: &Arc<dyn Runtime>,
        settled: Settled,
    ) -> Arc<Self> {
        let socket = Arc::new(Self {
            inner,
            repeater: Mutex::default(),
            watching: AtomicBool::new(true),
        });

        let (watched, clock) = (Arc::downgrade(&socket), Arc::clone(runtime));
        runtime.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some(socket) = watched.upgrade() else {
                    return;
                };

                if settled.get() && socket.repeater().is_quiet(Instant::now()) {
                    return socket.watching.store(false, Relaxed);
                }

                let Some((to, flight)) = socket.repeater().take_due(Instant::now()) else {
                    continue;
                };

                tracing::debug!(
                    datagrams = flight.len(),
                    "a flight of the handshake is sent again"
                );

                for datagram in flight {
                    // As good as lost; the next time is near.
                    let _ = socket.inner.send_to(&datagram, to).await;
                }
            }
        }));
        socket
    }

    fn repeater(&self) -> MutexGuard<'_, Repeater> {
        self.repeater.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for RepeatingSocket {
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
            let mut repeater = self.repeater();

            for datagram in transmit.contents.chunks(size) {
                repeater.on_send(Instant::now(), transmit.destination, datagram);
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
            let mut repeater = self.repeater();
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(count) {
                for datagram in buf[..meta.len.min(buf.len())].chunks(meta.stride.max(1)) {
                    repeater.on_receive(Instant::now(), meta.addr, datagram);
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

    /// A wire that swallows everything and remembers it.
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
            self.0.lock().unwrap().push(transmit.contents.to_vec());
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
    async fn a_lost_flight_leaves_again_and_the_watch_ends() {
        let (wire, settled) = (Arc::new(Wire::default()), Settled::default());
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let socket = RepeatingSocket::new(Arc::clone(&wire) as _, &runtime, settled.clone());
        let hello = [&[22, 0xfe, 0xfd][..], &[0; 30]].concat();
        socket
            .send_to(&hello, "192.0.2.7:5000".parse().unwrap())
            .await
            .expect("the wire takes it");

        let until = async |what: &str, done: &dyn Fn() -> bool| {
            let end = Instant::now() + Duration::from_secs(20);
            while !done() {
                assert!(Instant::now() < end, "waited in vain for {what}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };

        until("the second time", &|| wire.0.lock().unwrap().len() >= 2).await;
        assert_eq!(wire.0.lock().unwrap()[1], hello, "the same bytes");
        assert!(socket.watching.load(Relaxed), "not over yet");
        settled.set(true);
        until("the end of the watch", &|| !socket.watching.load(Relaxed)).await;

        assert_eq!(
            wire.0.lock().unwrap().len(),
            6,
            "five times more, as nobody answered"
        );
    }
}
