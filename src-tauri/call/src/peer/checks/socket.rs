//! A socket through which only those checks pass that the [`Gate`] lets through. It also says when
//! nothing can be sent.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it runs the gate on real time"
)]

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::address_filter::AddressFilter;
use super::gate::Gate;
use super::route_watch::RouteWatch;
use super::send_failures::SendFailures;
use super::stun;
use crate::peer::turn::Turn;

/// The first byte of what is neither STUN nor a TURN channel nor anything else that a connection
/// understands (RFC 7983 §7).
const NOTHING: u8 = 0xff;

/// Another socket, behind a [`Gate`].
#[derive(Debug)]
pub(in crate::peer) struct CheckedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    /// Reaches addresses of this machine only.
    is_loopback: bool,
    filter: Mutex<AddressFilter>,
    gate: Arc<Mutex<Gate>>,
    route: Arc<Mutex<RouteWatch>>,
    failures: Arc<Mutex<SendFailures>>,
}

impl CheckedSocket {
    /// Puts `inner` behind `gate`. `is_loopback`: it reaches this machine only. `filter`
    /// keeps this machine's addresses. `route` sees what passes, and `failures` counts what it cannot send.
    pub(in crate::peer) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        is_loopback: bool,
        filter: AddressFilter,
        gate: Arc<Mutex<Gate>>,
        route: Arc<Mutex<RouteWatch>>,
        failures: Arc<Mutex<SendFailures>>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            local: inner.local_addr()?,
            inner,
            is_loopback,
            filter: Mutex::new(filter),
            gate,
            route,
            failures,
        }))
    }

    /// Warns that media cannot leave, if that is news. The library's own message names both addresses,
    /// and comes with every packet.
    fn warn_of(&self, error: &io::Error) {
        if let Some(packets) = self.failures.lock().on_failure(Instant::now()) {
            tracing::warn!(
                cause = %error.kind(),
                packets,
                "cannot send to the partner: this computer has no way there at the moment"
            );
        }
    }

    /// Whether a datagram may leave for `to`.
    fn may_leave(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        let Some((end, message)) = stun::ice_message(to, datagram) else {
            return true;
        };

        // A partner on another machine is not reached from here, nor is one on this machine from
        // the other sockets; the attempt would only fail, or knock at other programs.
        if end == stun::End::Direct(to) && to.ip().to_canonical().is_loopback() != self.is_loopback
        {
            return false;
        }

        self.gate
            .lock()
            .may_leave(Instant::now(), (self.local, end), message)
    }

    /// Whether a datagram may come in from `from`.
    fn may_enter(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        stun::ice_message(from, datagram).is_none_or(|(end, message)| {
            self.gate
                .lock()
                .may_enter(Instant::now(), (self.local, end), message)
        })
    }
}

/// Whether a datagram is STUN, as far as its first byte says (RFC 7983 §7): it is neither media nor a
/// handshake.
fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// Whether a datagram can be STUN or a message of a TURN channel: the others are media, and many.
fn can_be_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3 | 0x40..=0x4f))
}

impl AsyncUdpSocket for CheckedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let contents = transmit.contents;
        let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let first = contents.get(..size.min(contents.len())).unwrap_or_default();
        if !Turn::is_stand_in(transmit.destination)
            && !self.filter.lock().may_leave(transmit.destination, first)
        {
            return Poll::Ready(Ok(contents.len()));
        }

        // Media may be followed by a check, in one transmit, but only where media flows: a pair that
        // has answered.
        if can_be_stun(contents) {
            let may_leave = contents
                .chunks(size)
                .all(|datagram| self.may_leave(transmit.destination, datagram));
            if !may_leave {
                return Poll::Ready(Ok(contents.len()));
            }
        }

        let sent = ready!(self.inner.poll_send(cx, transmit));
        // A batch is media, but for a check that may be its last one.
        let mut datagrams = contents.chunks(size);
        let ends = [datagrams.next(), datagrams.next_back()];
        let way = (self.local, transmit.destination);
        for datagram in ends.into_iter().flatten() {
            let mut route = self.route.lock();
            route.on_datagram_sent(Instant::now(), way, datagram);
        }

        if let Err(error) = &sent {
            // An address of the partner that cannot be reached from here is no news while ICE looks
            // for one that can.
            if !is_stun(contents) {
                self.warn_of(error);
            }

            // The library gives up an allocation after one error, and media with it. What stops packets
            // from leaving may end, so this is one that was lost.
            if self.route.lock().goes_through(way) {
                return Poll::Ready(Ok(contents.len()));
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
        if let Ok(count) = received {
            for (buf, meta) in bufs.iter_mut().zip(meta.iter()).take(count) {
                let length = meta.len.min(buf.len());
                for datagram in buf[..length].chunks_mut(meta.stride.max(1)) {
                    let may_enter = (Turn::is_stand_in(meta.addr)
                        || self.filter.lock().may_enter(meta.addr, datagram))
                        && (!can_be_stun(datagram) || self.may_enter(meta.addr, datagram));
                    if !may_enter {
                        datagram[0] = NOTHING;
                    } else {
                        let way = (self.local, meta.addr);
                        let mut route = self.route.lock();
                        route.on_datagram_received(Instant::now(), way, datagram);
                    }
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
