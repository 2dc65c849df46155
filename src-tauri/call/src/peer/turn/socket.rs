//! A socket of the library that reaches TURN servers over TCP and TLS, too: what it sends to a stand-in
//! goes through a connection, and what comes through that seems to come from the stand-in.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it notes when servers were asked"
)]

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::queue::{Inbox, Outbox};
use super::{Turn, connection};

/// Another socket, with the connections that belong to it.
#[derive(Debug)]
pub(in crate::peer) struct TurnSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    turn: Arc<Turn>,
    /// By stand-in. Without an outbox, another socket has the connection.
    connections: Mutex<HashMap<SocketAddr, Option<Arc<Outbox>>>>,
    inbox: Arc<Inbox>,
}

impl TurnSocket {
    /// Gives `inner` connections to the servers of `turn`.
    pub(in crate::peer) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        turn: Arc<Turn>,
    ) -> io::Result<Arc<Self>> {
        let local = inner.local_addr()?;
        turn.add_socket(local);
        Ok(Arc::new(Self {
            inner,
            local,
            turn,
            connections: Mutex::default(),
            inbox: Arc::default(),
        }))
    }

    /// Sends a datagram to the server that `stand_in` stands for. Returns `false` if there is no
    /// connection.
    fn send(&self, stand_in: SocketAddr, datagram: &[u8]) -> bool {
        let mut connections = self.connections.lock();
        let outbox = connections
            .entry(stand_in)
            .or_insert_with(|| self.connect(stand_in));
        outbox.as_ref().is_some_and(|outbox| {
            self.turn.on_sent(Instant::now(), stand_in, datagram);
            outbox.push(datagram)
        })
    }

    /// Begins a connection, if this is the socket to have one.
    fn connect(&self, stand_in: SocketAddr) -> Option<Arc<Outbox>> {
        if !self.turn.is_carrier(self.local) {
            return None;
        }

        let outbox = Arc::new(Outbox::default());
        tokio::spawn(connection::run(
            Arc::clone(&self.turn),
            (self.local, stand_in),
            Arc::clone(&outbox),
            Arc::clone(&self.inbox),
        ));
        Some(outbox)
    }
}

impl Drop for TurnSocket {
    fn drop(&mut self) {
        self.turn.remove_socket(self.local);
        for outbox in self.connections.get_mut().values().flatten() {
            outbox.close();
        }
    }
}

impl AsyncUdpSocket for TurnSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let contents = transmit.contents;
        if !Turn::is_stand_in(transmit.destination) {
            self.turn
                .on_sent(Instant::now(), transmit.destination, contents);
            return self.inner.poll_send(cx, transmit);
        }

        let size = transmit
            .segment_size
            .filter(|size| *size > 0)
            .unwrap_or(contents.len().max(1));
        let mut datagrams = contents.chunks(size);
        let is_sent = datagrams.all(|datagram| self.send(transmit.destination, datagram));
        // The library forgets a server to which it cannot send.
        let unreachable = || io::Error::from(io::ErrorKind::NotConnected);
        Poll::Ready(is_sent.then_some(contents.len()).ok_or_else(unreachable))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(first)) = (bufs.first_mut(), meta.first_mut()) else {
            return self.inner.poll_recv(cx, bufs, meta);
        };

        if let Poll::Ready((from, datagram)) = self.inbox.poll(cx) {
            // As the system does with a datagram that is longer than the buffer.
            let length = datagram.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram[..length]);
            *first = RecvMeta::default();
            (first.addr, first.len, first.stride) = (from, length, length.max(1));
            return Poll::Ready(Ok(1));
        }

        let received = ready!(self.inner.poll_recv(cx, bufs, meta));
        if let Ok(count) = received {
            for (buf, meta) in bufs.iter().zip(meta.iter()).take(count) {
                self.turn
                    .on_received(meta.addr, &buf[..meta.len.min(buf.len())]);
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
