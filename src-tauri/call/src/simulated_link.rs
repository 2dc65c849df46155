//! A simulated link behind the real sockets of one side of a call.
//!
//! [`LinkRuntime`] wraps each UDP socket of a connection: what it sends and what it receives goes
//! through one [`Route`] of `tandem-link`, which all sockets share as if they were behind one modem.
//! The packets still travel over the real network, so the partner can be any program anywhere.
//!
//! What does not go through it: the signaling connection, TURN over TCP, and multicast DNS, which
//! does not leave the local network.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it runs a route on real time"
)]

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::peer::plain_socket;
use bytes::Bytes;
use parking_lot::Mutex;
use tandem_link::{Direction, LinkCounters, LinkSpec, Plan, Route};
use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

/// IPv4 and UDP headers, bytes: they count against a link's rate.
const OVERHEAD: usize = 28;
/// The port of multicast DNS.
const MDNS_PORT: u16 = 5_353;
/// How often the pump looks whether anybody still uses the link.
const MAX_SLEEP: Duration = Duration::from_millis(500);
/// Received batches moved into the link before others get their turn.
const MAX_BATCHES: usize = 32;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime of one side: tokio, with its UDP sockets behind a simulated link. For
/// [`CallOptions::media_runtime`](crate::CallOptions::media_runtime).
///
/// The link's plan begins with the first socket, which is when a partner has been found.
#[derive(Debug)]
pub struct LinkRuntime {
    inner: TokioRuntime,
    shared: Arc<Shared>,
}

impl LinkRuntime {
    /// A runtime whose sockets share the link that `spec` describes. Up is away from this side.
    #[must_use]
    pub fn new(spec: &LinkSpec) -> Arc<Self> {
        Arc::new(Self {
            inner: TokioRuntime,
            shared: Arc::new(Shared {
                plan: spec.plan().clone(),
                state: Mutex::default(),
                changed: Arc::default(),
            }),
        })
    }

    /// What has happened to the packets of this direction; nothing before the first socket.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> LinkCounters {
        let state = self.shared.state.lock();
        state
            .route
            .as_ref()
            .map(|route| route.counters(direction))
            .unwrap_or_default()
    }
}

/// What the sockets of a side share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    state: Mutex<State>,
    /// A packet has entered the link: the pump may have to wake up earlier.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// Begins with the first socket.
    route: Option<Route<Datagram>>,
    sockets: Vec<Weak<LinkSocket>>,
    /// How often the sockets have got other ports.
    rebinds: u64,
}

/// A datagram in the link.
#[derive(Debug, Clone)]
struct Datagram {
    socket: Weak<LinkSocket>,
    /// Where it goes, or where it came from.
    other: SocketAddr,
    payload: Bytes,
}

impl Shared {
    fn send(&self, direction: Direction, datagram: Datagram) {
        let bytes = datagram.payload.len() + OVERHEAD;
        if let Some(route) = &mut self.state.lock().route {
            route.send(Instant::now(), direction, bytes, datagram);
        }
    }

    /// Adds a socket. True for the first one, with which the plan begins.
    fn add(&self, socket: &Arc<LinkSocket>) -> bool {
        let mut state = self.state.lock();
        state.sockets.retain(|other| other.strong_count() > 0);
        state.sockets.push(Arc::downgrade(socket));

        let is_first = state.route.is_none();
        if is_first {
            state.route = Some(Route::new(Instant::now(), self.plan.clone()));
        }

        is_first
    }

    /// Takes what has arrived by now.
    fn poll(&self) -> Due {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State {
            route: Some(route),
            sockets,
            rebinds,
        } = &mut *state
        else {
            return Due::default();
        };

        let mut due = Due::default();
        while let Some(datagram) = route.poll(now, Direction::Up) {
            due.up.push(datagram);
        }

        while let Some(datagram) = route.poll(now, Direction::Down) {
            due.down.push(datagram);
        }

        let wanted = route.rebinds(now);
        if std::mem::replace(rebinds, wanted) != wanted {
            due.rebind = sockets.clone();
        }

        due.sleep = route
            .next_event()
            .map(|next| next.saturating_duration_since(now));
        due
    }
}

/// What the pump has to do.
#[derive(Debug, Default)]
struct Due {
    up: Vec<Datagram>,
    down: Vec<Datagram>,
    /// The sockets that get other ports.
    rebind: Vec<Weak<LinkSocket>>,
    /// Until there is something to do again.
    sleep: Option<Duration>,
}

/// Moves packets out of the link until nobody uses it.
async fn pump(shared: Weak<Shared>) {
    while let Some(strong) = shared.upgrade() {
        let due = strong.poll();
        let changed = Arc::clone(&strong.changed);
        drop(strong);

        for socket in due.rebind.iter().filter_map(Weak::upgrade) {
            if let Err(error) = socket.rebind() {
                tracing::warn!(%error, "cannot change a port: the simulated link keeps the old one");
            }
        }

        for datagram in due.down {
            if let Some(socket) = datagram.socket.upgrade() {
                socket.deliver(datagram.other, datagram.payload);
            }
        }

        for datagram in due.up {
            if let Some(socket) = datagram.socket.upgrade() {
                // A failure counts as a loss, as on any network.
                let inner = socket.inner();
                let _ = inner.send_to(&datagram.payload, datagram.other).await;
            }
        }

        let sleep = due.sleep.map_or(MAX_SLEEP, |sleep| sleep.min(MAX_SLEEP));
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Runtime for LinkRuntime {
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let inner = plain_socket::wrap(socket, &self.inner)?;
        if local.port() == MDNS_PORT {
            return Ok(inner);
        }

        let socket = Arc::new_cyclic(|this| LinkSocket {
            this: this.clone(),
            local,
            inner: Mutex::new(inner),
            shared: Arc::clone(&self.shared),
            arrivals: Mutex::default(),
        });

        if self.shared.add(&socket) {
            let pump = pump(Arc::downgrade(&self.shared));
            self.inner.spawn(Box::pin(pump));
        }

        Ok(socket)
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn(future)
    }

    fn spawn_reactor(&self, pool: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn_reactor(pool, future)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.inner.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.inner.sleep(duration)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.inner.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.inner.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        self.inner.yield_now()
    }

    /// The inner runtime's: the sockets are the system's.
    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

/// A socket of the system behind the link.
#[derive(Debug)]
struct LinkSocket {
    this: Weak<Self>,
    /// The address that it had first and is known by, as behind a NAT.
    local: SocketAddr,
    inner: Mutex<Arc<dyn AsyncUdpSocket>>,
    shared: Arc<Shared>,
    arrivals: Mutex<Arrivals>,
}

/// What has come out of the link.
#[derive(Debug, Default)]
struct Arrivals {
    datagrams: VecDeque<(SocketAddr, Bytes)>,
    waker: Option<Waker>,
}

impl LinkSocket {
    fn inner(&self) -> Arc<dyn AsyncUdpSocket> {
        Arc::clone(&self.inner.lock())
    }

    fn datagram(&self, other: SocketAddr, payload: &[u8]) -> Datagram {
        Datagram {
            socket: self.this.clone(),
            other,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn deliver(&self, from: SocketAddr, payload: Bytes) {
        let mut arrivals = self.arrivals.lock();
        arrivals.datagrams.push_back((from, payload));
        wake(arrivals.waker.take());
    }

    /// Goes on with another port of the system. What arrives at the old one is lost.
    fn rebind(&self) -> io::Result<()> {
        let mut address = self.local;
        address.set_port(0);
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;

        *self.inner.lock() = plain_socket::wrap(socket, &TokioRuntime)?;
        // A task that waits for packets waits at the old socket.
        wake(self.arrivals.lock().waker.take());
        Ok(())
    }

    /// Moves what the system has received into the link. `bufs` and `meta` serve as space.
    fn receive(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<()> {
        let inner = self.inner();
        for _ in 0..MAX_BATCHES {
            let Poll::Ready(received) = inner.poll_recv(cx, bufs, meta) else {
                return Ok(());
            };

            let count = received?;
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(count) {
                for payload in buf[..meta.len.min(buf.len())].chunks(meta.stride.max(1)) {
                    let datagram = self.datagram(meta.addr, payload);
                    self.shared.send(Direction::Down, datagram);
                }
            }

            self.shared.changed.notify_one();
        }

        // There may be more.
        cx.waker().wake_by_ref();
        Ok(())
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncUdpSocket for LinkSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let contents = transmit.contents;
        let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
        for payload in contents.chunks(size) {
            let datagram = self.datagram(transmit.destination, payload);
            self.shared.send(Direction::Up, datagram);
        }

        self.shared.changed.notify_one();
        Poll::Ready(Ok(contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.receive(cx, bufs, meta) {
            return Poll::Ready(Err(error));
        }

        let mut arrivals = self.arrivals.lock();
        if arrivals.datagrams.is_empty() {
            arrivals.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }

        let count = arrivals.datagrams.len().min(bufs.len()).min(meta.len());
        for (index, (from, payload)) in arrivals.datagrams.drain(..count).enumerate() {
            let length = payload.len().min(bufs[index].len());
            bufs[index][..length].copy_from_slice(&payload[..length]);

            let mut received = RecvMeta::default();
            received.addr = from;
            received.len = length;
            received.stride = length.max(1);
            meta[index] = received;
        }

        Poll::Ready(Ok(count))
    }

    fn max_gro_segments(&self) -> usize {
        self.inner().max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// A socket behind the link, and one of the system's beside it.
    fn sockets(
        spec: &str,
    ) -> (
        Arc<LinkRuntime>,
        Arc<dyn AsyncUdpSocket>,
        tokio::net::UdpSocket,
    ) {
        let runtime = LinkRuntime::new(&spec.parse().expect("a link"));
        let bind = || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port on loopback");
            socket
                .set_nonblocking(true)
                .expect("a socket of the system");
            socket
        };

        let linked = runtime.wrap_udp_socket(bind()).expect("a socket");
        let plain = tokio::net::UdpSocket::from_std(bind()).expect("a socket");
        (runtime, linked, plain)
    }

    async fn receive(socket: &tokio::net::UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 100];
        let received = tokio::time::timeout(TIMEOUT, socket.recv_from(&mut buffer));
        let (length, from) = received
            .await
            .expect("the datagram arrives")
            .expect("it is received");
        (buffer[..length].to_vec(), from)
    }

    #[tokio::test]
    async fn datagrams_go_through_the_link_both_ways() {
        let (runtime, linked, plain) = sockets("up.delay=60ms,down.delay=120ms");
        let (here, there) = (linked.local_addr().unwrap(), plain.local_addr().unwrap());

        let started = Instant::now();
        linked
            .send_to(b"up", there)
            .await
            .expect("it enters the link");
        let (payload, from) = receive(&plain).await;
        assert_eq!((&payload[..], from), (&b"up"[..], here));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(60), "{took:?}");

        let started = Instant::now();
        plain.send_to(b"down", here).await.expect("it is sent");
        let mut buffer = [0; 100];
        let received = tokio::time::timeout(TIMEOUT, linked.recv_from(&mut buffer));
        let (length, from) = received
            .await
            .expect("the datagram arrives")
            .expect("it is received");
        assert_eq!((&buffer[..length], from), (&b"down"[..], there));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(120), "{took:?}");

        for direction in Direction::BOTH {
            assert_eq!(runtime.counters(direction).delivered, 1, "{direction:?}");
        }
    }

    #[tokio::test]
    async fn an_outage_loses_everything() {
        let (runtime, linked, plain) = sockets("outage=on");
        let there = plain.local_addr().unwrap();
        linked.send_to(b"lost", there).await.expect("it enters");

        let counters = runtime.counters(Direction::Up);
        assert_eq!((counters.sent, counters.lost), (1, 1), "{counters:?}");
    }

    #[tokio::test]
    async fn a_rebound_socket_sends_from_another_port_and_still_receives() {
        let (_runtime, linked, plain) = sockets("delay=1ms;@100ms rebind");
        let (here, there) = (linked.local_addr().unwrap(), plain.local_addr().unwrap());

        let deadline = Instant::now() + TIMEOUT;
        let new = loop {
            linked.send_to(b"from", there).await.expect("it enters");
            let (_, from) = receive(&plain).await;
            if from != here {
                break from;
            }

            assert!(Instant::now() < deadline, "the port never changes");
        };

        assert_eq!(new.ip(), here.ip());
        assert_eq!(linked.local_addr().unwrap(), here, "as behind a NAT");

        plain.send_to(b"to", new).await.expect("it is sent");
        let mut buffer = [0; 100];
        let received = tokio::time::timeout(TIMEOUT, linked.recv_from(&mut buffer));
        let (length, _) = received
            .await
            .expect("the datagram arrives")
            .expect("it is received");
        assert_eq!(&buffer[..length], b"to");
    }
}
