//! A plain UDP socket for systems on which the library cannot set up its own.
//!
//! The library's sockets send and receive several datagrams per system call. They come from quinn-udp,
//! which sets options that not every network stack has and fails if one is refused: Wine refuses
//! `IPV6_V6ONLY` for a socket of IPv4 (WSA error 10045), and the call ended with
//! `CONNECTION_FAILED`. A plain socket takes more system calls and serves as well.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

/// Wraps a socket on `runtime`. A socket of the system that cannot be set up becomes a plain one.
///
/// # Errors
/// When that cannot be used either.
pub(crate) fn wrap(
    socket: UdpSocket,
    runtime: &dyn Runtime,
) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    // Other runtimes have sockets of their own, for which the system's are no substitute.
    if runtime.name() != TokioRuntime.name() {
        return runtime.wrap_udp_socket(socket);
    }

    wrap_or_plain(socket, |socket| runtime.wrap_udp_socket(socket))
}

fn wrap_or_plain(
    socket: UdpSocket,
    wrap: impl FnOnce(UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>,
) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    // Wrapping takes the socket also when it fails, and another one could not have the same port.
    let spare = socket.try_clone()?;
    wrap(socket).or_else(|error| {
        tracing::info!(%error, "cannot set up fast UDP sockets here: plain ones do, at the cost of some CPU");
        Ok(Arc::new(PlainSocket::new(spare)?) as _)
    })
}

/// A socket that sends and receives one datagram at a time.
#[derive(Debug)]
struct PlainSocket(tokio::net::UdpSocket);

impl PlainSocket {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket).map(Self)
    }
}

impl AsyncUdpSocket for PlainSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0
            .poll_send_to(cx, transmit.contents, transmit.destination)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };

        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.0.poll_recv_from(cx, &mut buf))?;
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = buf.filled().len();
        // An empty datagram, too: readers divide by it.
        meta.stride = meta.len.max(1);
        Poll::Ready(Ok(1))
    }

    fn max_gso_segments(&self) -> usize {
        1
    }

    fn max_gro_segments(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn bind() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        (socket, address)
    }

    /// As quinn-udp in Wine: the setup fails after it has taken the socket.
    fn refused(socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        drop(socket);
        Err(io::Error::from_raw_os_error(10_045))
    }

    #[tokio::test]
    async fn a_socket_whose_setup_fails_still_sends_and_receives_at_its_address() {
        let ((first, first_address), (second, second_address)) = (bind(), bind());
        let first = wrap_or_plain(first, refused).expect("a plain one");
        let second = wrap_or_plain(second, |socket| TokioRuntime.wrap_udp_socket(socket));
        let second = second.expect("this system has fast sockets");
        assert_eq!(first.local_addr().expect("it is bound"), first_address);
        assert_eq!(
            first.max_gso_segments(),
            1,
            "the library splits what it sends"
        );

        for payload in [&b"hello"[..], b"", &[7; 1400]] {
            let sent = first.send_to(payload, second_address).await;
            assert_eq!(sent.expect("it is sent"), payload.len());
            let mut buf = [0; 2000];
            let (count, from) = second.recv_from(&mut buf).await.expect("it arrives");
            assert_eq!((&buf[..count], from), (payload, first_address));

            second
                .send_to(payload, first_address)
                .await
                .expect("it is sent");
            let mut bufs = [IoSliceMut::new(&mut buf)];
            let mut meta = [RecvMeta::default()];
            let received =
                std::future::poll_fn(|cx| first.poll_recv(cx, &mut bufs, &mut meta)).await;
            assert_eq!(received.expect("it arrives"), 1, "one datagram at a time");
            assert_eq!((meta[0].len, meta[0].addr), (payload.len(), second_address));
            assert_eq!(meta[0].stride, payload.len().max(1), "readers divide by it");
            assert_eq!(&buf[..meta[0].len], payload);
        }
    }

    #[tokio::test]
    async fn a_socket_that_can_be_set_up_is_used() {
        let (socket, address) = bind();
        let socket = wrap(socket, &TokioRuntime).expect("it is wrapped");
        assert_eq!(socket.local_addr().expect("it is bound"), address);
        assert!(
            !format!("{socket:?}").starts_with("PlainSocket"),
            "the fast one: {socket:?}"
        );
    }
}
