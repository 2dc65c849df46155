//! Links under real peer connections, in real time: a [`Runtime`] whose UDP sockets deliver through
//! [`Link`]s.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it runs links on real time"
)]

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_link::{Conditions, Link, LinkCounters};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

/// IPv4 and UDP headers, bytes.
const OVERHEAD: usize = 28;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Datagram = (SocketAddr, Vec<u8>);

/// The sockets of all peers and the link away from each.
#[derive(Debug)]
pub struct SimNetwork {
    seed: u64,
    ports: Mutex<HashMap<SocketAddr, Port>>,
}

/// One simulated socket, with the link that leaves it.
#[derive(Debug)]
struct Port {
    /// The link away from this socket, to every destination.
    link: Link<(SocketAddr, Datagram)>,
    /// Datagrams that have arrived, with their senders.
    inbox: Vec<Datagram>,
    waker: Option<Waker>,
    peer: usize,
}

impl SimNetwork {
    /// A network without sockets. `seed` decides what its links do.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            ports: Mutex::new(HashMap::new()),
        })
    }

    /// Changes the conditions of every link away from peer `peer`.
    pub fn change(&self, peer: usize, change: impl Fn(&mut Conditions)) {
        let now = Instant::now();
        for port in self
            .ports
            .lock()
            .values_mut()
            .filter(|port| port.peer == peer)
        {
            let mut conditions = port.link.conditions();
            change(&mut conditions);
            port.link.set_conditions(now, conditions);
        }
    }

    /// What happened to the datagrams that peer `peer` sent, over all its sockets.
    pub fn counters(&self, peer: usize) -> LinkCounters {
        let ports = self.ports.lock();
        ports
            .values()
            .filter(|port| port.peer == peer)
            .map(|port| port.link.counters())
            .fold(LinkCounters::default(), |sum, one| LinkCounters {
                sent: sum.sent + one.sent,
                lost: sum.lost + one.lost,
                dropped: sum.dropped + one.dropped,
                duplicated: sum.duplicated + one.duplicated,
                delivered: sum.delivered + one.delivered,
                delivered_bytes: sum.delivered_bytes + one.delivered_bytes,
            })
    }

    /// Moves what has arrived into the inboxes. Returns when to do so again.
    fn deliver(&self, now: Instant) -> Option<Instant> {
        let mut ports = self.ports.lock();
        let mut arrived = Vec::new();

        for port in ports.values_mut() {
            while let Some((_, packet)) = port.link.poll(now) {
                arrived.push(packet);
            }
        }

        let mut wakers = Vec::new();
        for (to, datagram) in arrived {
            if let Some(port) = ports.get_mut(&to) {
                port.inbox.push(datagram);
                wakers.extend(port.waker.take());
            }
        }

        let next = ports
            .values()
            .filter_map(|port| port.link.next_event())
            .min();
        drop(ports);
        wakers.into_iter().for_each(Waker::wake);

        next
    }

    /// Delivers datagrams until the network is dropped. Call it once, on the runtime of the peers.
    pub fn start(self: &Arc<Self>) {
        let network = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(network) = network.upgrade() {
                let now = Instant::now();
                // A tokio timer is only accurate to a millisecond; whatever is sent meanwhile is
                // delivered in the same step.
                let next = network
                    .deliver(now)
                    .map_or(Duration::from_millis(1), |next| {
                        next.saturating_duration_since(now)
                    });

                drop(network);
                tokio::time::sleep(next.min(Duration::from_millis(1))).await;
            }
        });
    }
}

/// The runtime of one peer: tokio, with the network's sockets in place of the system's.
#[derive(Debug)]
pub struct SimRuntime {
    network: Arc<SimNetwork>,
    peer: usize,
    conditions: Conditions,
}

impl SimRuntime {
    /// The runtime of peer `peer`, whose sockets send under `conditions`.
    pub fn new(network: Arc<SimNetwork>, peer: usize, conditions: Conditions) -> Arc<Self> {
        Arc::new(Self {
            network,
            peer,
            conditions,
        })
    }
}

impl Runtime for SimRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    /// Adds the address that the system gave `socket` to the network. Nothing is sent over the real
    /// socket.
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let address = socket.local_addr()?;
        let mut ports = self.network.ports.lock();
        let seed = self.network.seed.wrapping_add(ports.len() as u64);
        let link = Link::new(Instant::now(), self.conditions, seed);
        let port = Port {
            link,
            inbox: Vec::new(),
            waker: None,
            peer: self.peer,
        };

        ports.insert(address, port);
        Ok(Arc::new(SimSocket {
            address,
            network: Arc::clone(&self.network),
            _reserved: socket,
        }))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move { TokioRuntime.connect_tcp(remote).await })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { TokioRuntime.resolve_host(host).await })
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn name(&self) -> &'static str {
        "simulated network"
    }
}

#[derive(Debug)]
struct SimSocket {
    address: SocketAddr,
    network: Arc<SimNetwork>,
    /// Keeps the system from giving out the port again.
    _reserved: std::net::UdpSocket,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.network.ports.lock().remove(&self.address);
    }
}

impl AsyncUdpSocket for SimSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        if let Some(port) = self.network.ports.lock().get_mut(&self.address) {
            let size = transmit
                .segment_size
                .filter(|size| *size > 0)
                .unwrap_or(transmit.contents.len().max(1));

            for datagram in transmit.contents.chunks(size) {
                let packet = (transmit.destination, (self.address, datagram.to_vec()));
                port.link.send(now, datagram.len() + OVERHEAD, packet);
            }
        }

        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut ports = self.network.ports.lock();
        let Some(port) = ports.get_mut(&self.address) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };

        if port.inbox.is_empty() {
            port.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }

        let count = port.inbox.len().min(bufs.len()).min(meta.len());
        for (i, (from, bytes)) in port.inbox.drain(..count).enumerate() {
            let length = bytes.len().min(bufs[i].len());
            bufs[i][..length].copy_from_slice(&bytes[..length]);
            let mut received = RecvMeta::default();
            received.addr = from;
            received.len = length;
            received.stride = length.max(1);
            received.dst_ip = Some(self.address.ip());
            meta[i] = received;
        }

        Poll::Ready(Ok(count))
    }
}
