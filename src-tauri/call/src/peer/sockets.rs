//! What stands between webrtc and the network.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use parking_lot::Mutex;
use webrtc::runtime::{AsyncUdpSocket, Runtime};

use super::checks::{CheckedSocket, Gate, RouteWatch, SendFailures};
use super::privacy::Disclosure;
use super::turn::{Turn, TurnSocket};
use super::workarounds::LinkLocal;

/// How the sockets of a connection are wrapped.
#[derive(Debug, Clone)]
pub(super) struct Sockets {
    /// The addresses that have stand-ins.
    pub(super) link_local: LinkLocal,
    /// Which addresses may be checked.
    pub(super) disclosure: Disclosure,
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
            self.disclosure,
            Arc::clone(&self.gate),
            Arc::clone(&self.route),
            Arc::clone(&self.failures),
        )?)
    }
}
