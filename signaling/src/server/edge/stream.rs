//! One TCP connection, plain or with TLS, which counts the bytes it reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::Encrypted;

/// One TCP connection, plain or with TLS.
#[derive(Debug)]
pub(crate) struct Stream {
    kind: Kind,
    /// Bytes read (after decryption) since the last [`take_read`](Self::take_read).
    read: u32,
}

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    /// Boxed because it is large, and most servers are behind a proxy that does TLS.
    Tls(Box<Encrypted>),
}

impl Stream {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self {
            kind: Kind::Plain(stream),
            read: 0,
        }
    }

    pub(crate) fn tls(stream: Encrypted) -> Self {
        Self {
            kind: Kind::Tls(Box::new(stream)),
            read: 0,
        }
    }

    /// How many bytes (after decryption) were read since the last call.
    pub(crate) fn take_read(&mut self) -> u32 {
        std::mem::take(&mut self.read)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };

        let read = u32::try_from(buf.filled().len() - before).unwrap_or(u32::MAX);
        self.read = self.read.saturating_add(read);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
