//! Link-local addresses: what two computers on one cable have (RFC 3927, RFC 4291).
//!
//! **The library** (webrtc 0.21.1, `peer_connection/driver.rs`, `expand_wildcard`) expands 0.0.0.0
//! and [::] into every address of the machine except these, so that such computers never find each
//! other. An address that is named is bound as it is. That is enough for IPv4. A link-local address
//! of IPv6 has a scope, the interface that it belongs to. The library finds the socket for a
//! candidate by its address, and a candidate has no scope, so it would find none.
//!
//! **We** name the addresses of IPv4. For each of IPv6, the library binds a port on ::1 that stands
//! in for it. The runtime puts a socket on the link-local address in that one's place, which removes
//! the scope from everything that it receives, and adds it to what it sends. What is sent to the partner names the link-local address.
//!
//! **Upstream:** to be filed: "Host candidates for link-local addresses".
//!
//! **It can go** when `tests/link_local.rs` passes with [`LinkLocal::none`] in its place.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use crate::interfaces;
use crate::peer::plain_socket;

/// The link-local addresses of this machine.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct LinkLocal {
    v4: Vec<SocketAddr>,
    v6: Arc<[V6]>,
}

/// A link-local address of IPv6.
#[derive(Debug)]
struct V6 {
    /// The address and the interface.
    address: SocketAddrV6,
    /// What the library binds for it, on ::1.
    stand_in: SocketAddr,
    /// The socket on the link-local address, until the library has its stand-in.
    socket: Mutex<Option<UdpSocket>>,
}

impl LinkLocal {
    /// None: nothing changes.
    pub(in crate::peer) fn none() -> Self {
        Self::default()
    }

    /// Those that lead to people: not to containers or a VPN.
    pub(in crate::peer) fn of_this_machine() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list this machine's network addresses");
            Vec::new()
        });
        let interfaces = interfaces
            .iter()
            .filter(|interface| !interfaces::is_virtual(&interface.name));

        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        // Held until the list is complete, so that no two get the same port.
        let mut stand_ins = Vec::new();
        for interface in interfaces {
            match (interface.ip(), interface.index) {
                (IpAddr::V4(ip), _) if ip.is_link_local() => v4.push(SocketAddr::from((ip, 0))),
                (IpAddr::V6(ip), Some(index)) if ip.is_unicast_link_local() => {
                    let address = SocketAddrV6::new(ip, 0, 0, index);
                    match V6::new(address) {
                        Ok((new, stand_in)) => {
                            v6.push(new);
                            stand_ins.push(stand_in);
                        }
                        // The address may be too new, or just gone.
                        Err(error) => tracing::debug!(%error, "cannot use a link-local address"),
                    }
                }
                _ => {}
            }
        }

        Self { v4, v6: v6.into() }
    }

    /// What the library has to bind.
    pub(in crate::peer) fn to_bind(&self) -> impl Iterator<Item = SocketAddr> {
        let stand_ins = self.v6.iter().map(|v6| v6.stand_in);
        self.v4.iter().copied().chain(stand_ins)
    }

    /// Whether `address` stands in for a link-local one.
    pub(in crate::peer) fn is_stand_in(&self, address: SocketAddr) -> bool {
        self.v6.iter().any(|v6| v6.stand_in == address)
    }

    /// Wraps a socket of the library on `runtime`: one that stands in for a link-local address is
    /// replaced.
    pub(in crate::peer) fn wrap(
        &self,
        socket: UdpSocket,
        runtime: &dyn Runtime,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let bound = socket.local_addr()?;
        let v6 = self.v6.iter().find(|v6| v6.stand_in == bound);
        let Some((v6, real)) = v6.and_then(|v6| Some((v6, v6.real_socket()?))) else {
            return plain_socket::wrap(socket, runtime);
        };

        Ok(Arc::new(LinkLocalSocket {
            inner: plain_socket::wrap(real, runtime)?,
            scope: v6.address.scope_id(),
            stand_in: v6.stand_in,
            _reserved: socket,
        }))
    }

    /// Candidates or a description for the partner, with the addresses where stand-ins are.
    pub(in crate::peer) fn named(&self, text: &str) -> String {
        self.v6.iter().fold(text.to_owned(), |text, v6| {
            // As in "candidate:1 1 udp 2130706431 ::1 50000 typ host" (RFC 8839 §5.1).
            let stand_in = format!(" {} {} ", v6.stand_in.ip(), v6.stand_in.port());
            text.replace(
                &stand_in,
                &format!(" {} {} ", v6.address.ip(), v6.address.port()),
            )
        })
    }
}

impl V6 {
    /// Binds `address` and finds a port on ::1 for its stand-in, which the library binds in a moment.
    /// Returns what keeps that port free until then.
    fn new(address: SocketAddrV6) -> io::Result<(Self, UdpSocket)> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        let stand_in = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;

        let v6 = Self {
            address: SocketAddrV6::new(*address.ip(), port, 0, address.scope_id()),
            stand_in: stand_in.local_addr()?,
            socket: Mutex::new(Some(socket)),
        };
        Ok((v6, stand_in))
    }
}

impl V6 {
    /// The socket on the link-local address: the first one, or another one after a restart. `None`
    /// if the address is gone.
    fn real_socket(&self) -> Option<UdpSocket> {
        let first = self.socket.lock().take();
        first.or_else(|| {
            let socket = UdpSocket::bind(self.address).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        })
    }
}

/// A socket on a link-local address of IPv6, which seems to be on ::1 and knows no scopes.
#[derive(Debug)]
struct LinkLocalSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// The interface.
    scope: u32,
    stand_in: SocketAddr,
    /// Keeps the port of the stand-in.
    _reserved: UdpSocket,
}

impl AsyncUdpSocket for LinkLocalSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stand_in)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let destination = match transmit.destination {
            SocketAddr::V6(to) if to.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*to.ip(), to.port(), 0, self.scope)
            }
            // Lost, as on any network that does not lead there.
            _ => return Poll::Ready(Ok(transmit.contents.len())),
        };

        let transmit = Transmit {
            destination: destination.into(),
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.inner.poll_send(cx, &transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.inner.poll_recv(cx, bufs, meta));
        if let Ok(count) = received {
            for meta in meta.iter_mut().take(count) {
                if let SocketAddr::V6(from) = &mut meta.addr {
                    from.set_scope_id(0);
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
    use super::*;

    #[test]
    fn the_partner_gets_the_address_and_never_its_stand_in() {
        let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("this machine has ::1");
        let stand_in = socket.local_addr().unwrap();
        let port = stand_in.port();
        let v6 = V6 {
            address: "[fe80::1%3]:7".parse().unwrap(),
            stand_in,
            socket: Mutex::new(Some(socket)),
        };
        let addresses = LinkLocal {
            v4: Vec::new(),
            v6: vec![v6].into(),
        };

        let candidate = format!("candidate:1 1 udp 2130706431 ::1 {port} typ host");
        assert_eq!(
            addresses.named(&candidate),
            "candidate:1 1 udp 2130706431 fe80::1 7 typ host"
        );

        let other = format!("candidate:1 1 udp 2130706431 ::1 {port}0 typ host");
        assert_eq!(addresses.named(&other), other, "another port on ::1");
    }
}
