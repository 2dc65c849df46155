//! A socket that sends unanswered DTLS flights again, with [`FlightRetransmitter`] on a clock, and keeps
//! media until there are keys for it ([`EarlyMedia`]).
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
use super::early_media::EarlyMedia;
use super::retransmit::FlightRetransmitter;
use crate::peer::checks::carried;
use crate::peer::received;

/// How often to check whether a flight is due.
const TICK: Duration = Duration::from_millis(20);

/// Another socket, watched until the handshake is over.
#[derive(Debug)]
pub(super) struct HandshakeSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// Names the socket to `done`.
    local: SocketAddr,
    flights: Mutex<FlightRetransmitter>,
    /// Whether the handshake may still need the retransmitter.
    watching: AtomicBool,
    done: HandshakeDone,
    early: Mutex<EarlyMedia>,
    /// Whether the library may still have no keys, or has not got all early media.
    keeping: AtomicBool,
}

impl HandshakeSocket {
    /// Watches `inner` on `runtime` until the handshake is `done` and no flight waits for an
    /// answer.
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        runtime: &Arc<dyn Runtime>,
        done: HandshakeDone,
    ) -> Arc<Self> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let socket = Arc::new(Self {
            local: inner.local_addr().unwrap_or(unknown),
            inner,
            flights: Mutex::default(),
            watching: AtomicBool::new(true),
            keeping: AtomicBool::new(!done.has_been()),
            done: done.clone(),
            early: Mutex::default(),
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

    /// Receives, and shows the retransmitter what has come.
    fn receive(
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

    /// Receives what is not media until there are keys, and then first the media that was kept.
    fn receive_in_handshake(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut early = self.early.lock();
        loop {
            if self.done.has_been() {
                if let Some((from, datagram)) = early.take() {
                    received::put(bufs, meta, (from, &datagram));
                    return Poll::Ready(Ok(1));
                }

                self.keeping.store(false, Relaxed);
                return self.receive(cx, bufs, meta);
            }

            match self.receive(cx, bufs, meta) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    let left = received::retain(bufs, meta, count, |from, datagram| {
                        !early.keep(from, datagram)
                    });
                    if left > 0 {
                        return Poll::Ready(Ok(left));
                    }
                }
                Poll::Pending if !early.is_empty() && self.done.wait(self.local, cx.waker()) => {}
                other => return other,
            }
        }
    }
}

/// Whether this is DTLS for the partner (RFC 7983 §7), straight or through a TURN server.
fn is_dtls(transmit: &Transmit<'_>) -> bool {
    let carried = carried(transmit.destination, transmit.contents);
    let first = carried.and_then(|(_, bytes)| bytes.first().copied());
    matches!(first, Some(20..=63))
}

impl AsyncUdpSocket for HandshakeSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.done.leaves_silently() && is_dtls(transmit) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }

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
        if self.keeping.load(Relaxed) && !bufs.is_empty() && !meta.is_empty() {
            self.receive_in_handshake(cx, bufs, meta)
        } else {
            self.receive(cx, bufs, meta)
        }
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
    use std::collections::VecDeque;
    use std::task::Wake;

    use webrtc::runtime::TokioRuntime;

    use super::*;

    /// A socket that remembers what is sent and receives what the test puts there.
    #[derive(Debug, Default)]
    struct Wire {
        sent: Mutex<Vec<Vec<u8>>>,
        arriving: Mutex<VecDeque<Vec<u8>>>,
    }

    impl AsyncUdpSocket for Wire {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn poll_send(
            &self,
            _: &mut Context<'_>,
            transmit: &Transmit<'_>,
        ) -> Poll<io::Result<usize>> {
            self.sent.lock().push(transmit.contents.to_vec());
            Poll::Ready(Ok(transmit.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let Some(datagram) = self.arriving.lock().pop_front() else {
                return Poll::Pending;
            };

            received::put(bufs, meta, (partner(), &datagram));
            Poll::Ready(Ok(1))
        }
    }

    #[test]
    fn a_connection_that_is_replaced_says_no_good_bye_and_still_ends_its_allocation() {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let tokio = tokio::runtime::Runtime::new().unwrap();
        let _entered = tokio.enter();
        let (wire, done) = (Arc::new(Wire::default()), HandshakeDone::default());
        let socket = HandshakeSocket::new(Arc::clone(&wire) as _, &runtime, done.clone());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let alert = [21, 0xfe, 0xfd, 0, 1, 0, 0];
        let relayed = [&[0x40, 0, 0, 7], &alert[..]].concat();
        let refresh = [&[0, 4, 0, 0, 0x21, 0x12, 0xa4, 0x42], &[0; 12][..]].concat();
        let mut send = |contents: &[u8]| {
            let transmit = Transmit {
                destination: partner(),
                ecn: None,
                contents,
                segment_size: None,
                src_ip: None,
            };
            assert!(socket.poll_send(&mut cx, &transmit).is_ready());
        };

        send(&alert);
        assert_eq!(wire.sent.lock().len(), 1, "a call that ends says so");
        done.leave_silently();
        for datagram in [&alert[..], &relayed, &refresh] {
            send(datagram);
        }
        assert_eq!(wire.sent.lock()[1..], [refresh]);
    }

    fn partner() -> SocketAddr {
        "192.0.2.7:5000".parse().unwrap()
    }

    /// What the library receives next, if there is something.
    fn next(socket: &HandshakeSocket, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        let mut meta = [RecvMeta::default()];
        let mut bufs = [IoSliceMut::new(&mut buffer)];
        match socket.poll_recv(cx, &mut bufs, &mut meta) {
            Poll::Ready(received) => {
                assert_eq!(received.unwrap(), 1);
                assert_eq!(meta[0].addr, partner());
                Some(buffer[..meta[0].len].to_vec())
            }
            Poll::Pending => None,
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[tokio::test]
    async fn media_waits_for_the_end_of_the_handshake_and_for_no_other_one() {
        let (wire, done) = (Arc::new(Wire::default()), HandshakeDone::default());
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let new = || HandshakeSocket::new(Arc::clone(&wire) as _, &runtime, done.clone());
        let arrive = |datagrams: &[&[u8]]| {
            let datagrams = datagrams.iter().map(|datagram| datagram.to_vec());
            wire.arriving.lock().extend(datagrams);
        };
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let cx = &mut Context::from_waker(&waker);
        let [first, flight, second, third] = [
            &[0x80, 96, 1][..],
            &[22, 0xfe, 0xfd],
            &[0x80, 96, 2],
            &[0x80, 96, 3],
        ];

        let socket = new();
        arrive(&[first, flight, second]);
        assert_eq!(next(&socket, cx).as_deref(), Some(flight));
        assert_eq!(next(&socket, cx), None, "media is kept");
        assert!(!woken.0.load(Relaxed));

        done.set(true);
        assert!(woken.0.load(Relaxed), "the library reads again");
        arrive(&[third]);
        for media in [first, second, third] {
            assert_eq!(next(&socket, cx).as_deref(), Some(media), "in its order");
        }

        // ICE restarts, with other sockets. The keys are the same.
        done.set(false);
        for socket in [socket, new()] {
            arrive(&[third]);
            assert_eq!(next(&socket, cx).as_deref(), Some(third));
        }
    }

    #[tokio::test]
    async fn an_unanswered_flight_is_sent_again_and_the_watch_ends() {
        let (wire, done) = (Arc::new(Wire::default()), HandshakeDone::default());
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let socket = HandshakeSocket::new(Arc::clone(&wire) as _, &runtime, done.clone());
        let hello = [&[22, 0xfe, 0xfd][..], &[0; 30]].concat();
        socket
            .send_to(&hello, partner())
            .await
            .expect("this socket accepts everything");

        let until = async |what: &str, done: &dyn Fn() -> bool| {
            let end = Instant::now() + Duration::from_secs(20);
            while !done() {
                assert!(Instant::now() < end, "timed out waiting for {what}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };

        until("the first retransmission", &|| wire.sent.lock().len() >= 2).await;
        assert_eq!(wire.sent.lock()[1], hello, "the same bytes");
        assert!(
            socket.watching.load(Relaxed),
            "the handshake is not over yet"
        );

        done.set(true);
        until("the end of the watch", &|| !socket.watching.load(Relaxed)).await;

        assert_eq!(
            wire.sent.lock().len(),
            6,
            "sent once, and five times again without an answer"
        );
    }
}
