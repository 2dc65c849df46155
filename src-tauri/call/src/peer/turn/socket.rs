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
use super::stale_nonce::{StaleNonces, can_be_refusal, can_be_request};
use super::{Turn, connection};
use crate::peer::received;

/// Another socket, with the connections that belong to it.
#[derive(Debug)]
pub(in crate::peer) struct TurnSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    turn: Arc<Turn>,
    /// By stand-in. Without an outbox, another socket has the connection.
    connections: Mutex<HashMap<SocketAddr, Option<Arc<Outbox>>>>,
    inbox: Arc<Inbox>,
    nonces: Mutex<StaleNonces>,
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
            nonces: Mutex::default(),
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
            let now = Instant::now();
            if let Some(request) = self.turn.request(now, self.local, stand_in) {
                outbox.push(&request);
            }

            self.turn.on_sent(now, stand_in, datagram);
            match self.with_newest_nonce(stand_in, datagram) {
                Some(renewed) => outbox.push(&renewed),
                None => outbox.push(datagram),
            }
        })
    }

    /// The same request with the nonce that the server wants, if it has another one.
    fn with_newest_nonce(&self, server: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        if !can_be_request(datagram) {
            return None;
        }

        let passwords = self.turn.passwords.lock();
        self.nonces.lock().on_sent(server, datagram, &passwords)
    }

    /// Asks the TURN server at the destination whether it is there, if that is due. The next packet does
    /// it if the socket is not ready.
    fn ask(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) {
        let server = transmit.destination;
        if let Some(request) = self.turn.request(Instant::now(), self.local, server) {
            let request = Transmit {
                contents: &request,
                segment_size: None,
                ..transmit.clone()
            };
            // One that is lost is as good as one that gets no answer.
            let _ = self.inner.poll_send(cx, &request);
        }
    }

    /// Whether the library must not see this datagram.
    fn is_hidden(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        self.turn.is_answer(Instant::now(), from, datagram)
            || (can_be_refusal(datagram) && self.nonces.lock().on_refused(from, datagram))
    }

    /// Takes note of what has come, and removes what the library must not see. Returns how many buffers
    /// are left.
    fn sift(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta], count: usize) -> usize {
        received::retain(bufs, meta, count, |from, datagram| {
            self.turn.on_received(from, datagram);
            !self.is_hidden(from, datagram)
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
            self.ask(cx, transmit);
            self.turn
                .on_sent(Instant::now(), transmit.destination, contents);
            return match self.with_newest_nonce(transmit.destination, contents) {
                Some(renewed) => self
                    .inner
                    .poll_send(
                        cx,
                        &Transmit {
                            contents: &renewed,
                            ..transmit.clone()
                        },
                    )
                    .map_ok(|_| contents.len()),
                None => self.inner.poll_send(cx, transmit),
            };
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
        if bufs.is_empty() || meta.is_empty() {
            return self.inner.poll_recv(cx, bufs, meta);
        }

        while let Poll::Ready((from, datagram)) = self.inbox.poll(cx) {
            if !self.is_hidden(from, &datagram) {
                received::put(bufs, meta, (from, &datagram));
                return Poll::Ready(Ok(1));
            }
        }

        loop {
            let received = ready!(self.inner.poll_recv(cx, bufs, meta));
            let left = match received {
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(count) => self.sift(bufs, meta, count),
                Err(error) => return Poll::Ready(Err(error)),
            };
            if left > 0 {
                return Poll::Ready(Ok(left));
            }
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
    use std::future::poll_fn;
    use std::net::UdpSocket;

    use tandem_signaling::client::TrustedRoots;
    use tokio::time::timeout;
    use webrtc::peer_connection::RTCIceServer;
    use webrtc::runtime::{Runtime, TokioRuntime};

    use super::super::stale_nonce::tests::{CREDENTIAL, nonce_of, request, stale};
    use super::*;

    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

    fn bind() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    async fn send(socket: &TurnSocket, to: SocketAddr, contents: &[u8]) {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        };
        let sent = poll_fn(|cx| socket.poll_send(cx, &transmit)).await;
        assert_eq!(sent.unwrap(), contents.len(), "as if nothing were changed");
    }

    /// The next datagrams that the library sees.
    async fn receive(socket: &TurnSocket) -> Vec<Vec<u8>> {
        let mut buffers = vec![vec![0; 2048]; 8];
        let mut meta = vec![RecvMeta::default(); 8];
        let count = {
            let mut slices: Vec<IoSliceMut<'_>> = buffers
                .iter_mut()
                .map(|buffer| IoSliceMut::new(buffer))
                .collect();
            let received = poll_fn(|cx| socket.poll_recv(cx, &mut slices, &mut meta));
            timeout(DEADLINE, received).await.unwrap().unwrap()
        };

        let seen = buffers.iter().zip(&meta).take(count);
        seen.flat_map(|(buffer, meta)| buffer[..meta.len].chunks(meta.stride.max(1)))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// A socket of the library that asks the TURN server at `address`.
    fn client(address: SocketAddr) -> Arc<TurnSocket> {
        let [username, _, password] = CREDENTIAL.map(str::to_owned);
        let servers = [RTCIceServer {
            urls: vec![format!("turn:{address}?transport=udp")],
            username,
            credential: password,
        }];
        let turn = Turn::new(&servers, TrustedRoots::default(), Arc::default());
        turn.for_library(&servers);
        let own = bind();
        own.set_nonblocking(true).unwrap();
        let inner = TokioRuntime.wrap_udp_socket(own).unwrap();
        TurnSocket::new(inner, turn).unwrap()
    }

    #[tokio::test]
    async fn a_stale_nonce_among_joined_datagrams_is_hidden_and_nothing_else() {
        let server = bind();
        server.set_nonblocking(true).unwrap();
        let server = TokioRuntime.wrap_udp_socket(server).unwrap();
        let address = server.local_addr().unwrap();
        let socket = client(address);
        send(&socket, address, &request(1, b"old")).await;

        // What one call sends in segments over the loopback arrives in one buffer.
        let refusal = stale(1, b"new");
        let size = refusal.len();
        let media = vec![b'm'; size];
        let last = vec![b'l'; size / 2];
        for order in [
            [&refusal[..], &media, &last],
            [&media, &refusal, &last],
            [&media, &media, &refusal],
        ] {
            let contents = order.concat();
            let joined = Transmit {
                destination: socket.local_addr().unwrap(),
                ecn: None,
                contents: &contents,
                segment_size: Some(size),
                src_ip: None,
            };
            let sent = poll_fn(|cx| server.poll_send(cx, &joined)).await;
            assert_eq!(sent.unwrap(), contents.len());

            let expected = order.into_iter().filter(|datagram| *datagram != refusal);
            let expected: Vec<&[u8]> = expected.collect();
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                seen.extend(receive(&socket).await);
            }
            assert_eq!(seen, expected);
        }
    }

    #[tokio::test]
    async fn a_stale_nonce_is_hidden_and_replaced() {
        let server = bind();
        let address = server.local_addr().unwrap();
        let socket = client(address);
        let local = socket.local_addr().unwrap();
        let arrived = || {
            let mut buffer = [0; 2048];
            let length = server.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        };

        let first = request(1, b"old");
        send(&socket, address, &first).await;
        assert_eq!(arrived(), first, "it is as good as any");

        // The refusal lies between two other datagrams, which may be read together.
        server.send_to(b"before", local).unwrap();
        server.send_to(&stale(1, b"new"), local).unwrap();
        server.send_to(b"and after", local).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(receive(&socket).await);
        }
        assert_eq!(seen, [b"before".to_vec(), b"and after".to_vec()]);

        send(&socket, address, &first).await;
        assert_eq!(nonce_of(&arrived()), b"new", "the repetition");
        send(&socket, address, b"media").await;
        assert_eq!(arrived(), b"media", "everything else leaves as it is");
    }
}
