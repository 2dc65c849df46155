//! What stands between webrtc and the network.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, Runtime, TokioRuntime};

use super::checks::{AddressFilter, CheckedSocket, Gate, RouteWatch, SendFailures, SourceAddress};
use super::privacy::Disclosure;
use super::turn::{Turn, TurnSocket};
use super::workarounds::LinkLocal;
use crate::interfaces;

/// How the sockets of a connection are wrapped.
#[derive(Debug, Clone)]
pub(super) struct Sockets {
    /// The addresses that have stand-ins.
    pub(super) link_local: LinkLocal,
    /// Which addresses of this machine the partner may learn.
    pub(super) disclosure: Disclosure,
    /// They are the system's, whose addresses and routes matter to them.
    pub(super) are_systems: bool,
    /// The TURN servers that are reached over TCP and TLS.
    pub(super) turn: Arc<Turn>,
    /// Which checks may pass, of all sockets together.
    pub(super) gate: Arc<Mutex<Gate>>,
    /// The route that media takes through one of them.
    pub(super) route: Arc<Mutex<RouteWatch>>,
    /// What they all together could not send.
    pub(super) failures: Arc<Mutex<SendFailures>>,
}

impl Sockets {
    /// Wraps a socket of the library on `runtime`.
    pub(super) fn wrap(
        &self,
        socket: UdpSocket,
        runtime: &dyn Runtime,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let bound = socket.local_addr()?;
        let is_loopback = bound.ip().is_loopback() && !self.link_local.is_stand_in(bound);
        let inner = self.link_local.wrap(socket, runtime)?;
        let inner = TurnSocket::new(inner, Arc::clone(&self.turn))?;
        Ok(CheckedSocket::new(
            inner,
            is_loopback,
            self.filter(bound.ip()),
            Arc::clone(&self.gate),
            Arc::clone(&self.route),
            Arc::clone(&self.failures),
        )?)
    }

    /// The filter for a socket at `local`, with the networks of now: a socket is bound anew when ICE
    /// restarts.
    fn filter(&self, local: IpAddr) -> AddressFilter {
        let source_address: Option<SourceAddress> = self
            .are_systems
            .then_some(interfaces::source_address as SourceAddress);
        let networks = if self.are_systems && self.disclosure != Disclosure::All {
            interfaces::networks()
        } else {
            Vec::new()
        };
        AddressFilter::new(self.disclosure, local, source_address, networks)
    }
}

/// Whether these are the system's sockets, so that the system's addresses and routes matter to them.
pub(crate) fn are_systems(runtime: Option<&Arc<dyn Runtime>>) -> bool {
    runtime.is_none_or(|runtime| runtime.name() == TokioRuntime.name())
}
