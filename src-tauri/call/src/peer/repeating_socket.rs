//! A socket that sends unanswered flights of DTLS again: [`Repeater`] on a clock.

use super::repeater::Repeater;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

/// How often to look whether something is due.
const TICK: Duration = Duration::from_millis(20);
/// A handshake that takes longer is given up; the socket is then as any other.
const LIMIT: Duration = Duration::from_secs(15);

/// Another socket, watched until the handshake is over.
#[derive(Debug)]
pub(super) struct RepeatingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    repeater: Mutex<Repeater>,
    watching: AtomicBool,
}

impl RepeatingSocket {
    /// Watches `inner` on `runtime`.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, runtime: &Arc<dyn Runtime>) -> Arc<Self> {
        let socket = Arc::new(Self { inner, repeater: Mutex::default(), watching: AtomicBool::new(true) });
        let (watched, clock) = (Arc::downgrade(&socket), Arc::clone(runtime));
        runtime.spawn(Box::pin(async move {
            let end = Instant::now() + LIMIT;
            while Instant::now() < end {
                clock.sleep(TICK).await;
                let Some(socket) = watched.upgrade() else { return };
                let Some((to, flight)) = socket.repeater().take_due(Instant::now()) else { continue };
                tracing::debug!(datagrams = flight.len(), "a flight of the handshake is sent again");
                for datagram in flight {
                    // As good as lost; the next time is near.
                    let _ = socket.inner.send_to(&datagram, to).await;
                }
            }
            if let Some(socket) = watched.upgrade() {
                socket.watching.store(false, Relaxed);
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
            let size = transmit.segment_size.filter(|size| *size > 0).unwrap_or(transmit.contents.len().max(1));
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
                    repeater.on_receive(datagram);
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
