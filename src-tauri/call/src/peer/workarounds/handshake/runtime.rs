//! Caps the driver's sleep until the connection is up, because TURN replies do not wake it.
//!
//! **The library's** driver loop sends what the core has queued (`poll_writes`) before it passes
//! the core what came through TURN (`poll_reads`, step 3.a), and then sleeps (webrtc 0.21.1,
//! `peer_connection/driver.rs`, the loop with `MAX_UDP_RECV_BURST` and `poll_reads`). The core's
//! reply waits until something else wakes the driver. During a handshake only timers do: on
//! loopback each DTLS flight took 200–400 ms, and a connection through TURN 1.9 s.
//!
//! **We** cap every sleep at 5 ms until the connection is up, if there are TURN servers. The core
//! ignores timers that fire early. From match to connected it then takes 98–113 ms.
//!
//! **Upstream:** no upstream issue known; to be filed: "driver: the reply to a relayed packet waits
//! for the next timer, because poll_reads feeds the core after poll_writes".
//!
//! **It can go** when a call through TURN on loopback connects in about 100 ms with `limit_sleep`
//! false.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::super::driver_end::DriverEnd;
use super::done::HandshakeDone;
use super::socket::HandshakeSocket;
use crate::peer::sockets::Sockets;
use crate::peer::turn::Found;

/// The longest sleep until the connection is up.
const MAX_SLEEP: Duration = Duration::from_millis(5);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Another runtime with sockets that send lost flights again and, for connections through TURN,
/// with shorter sleeps.
#[derive(Debug)]
pub(in crate::peer) struct HandshakeRuntime {
    inner: Arc<dyn Runtime>,
    done: HandshakeDone,
    limit_sleep: bool,
    sockets: Sockets,
    driver_end: DriverEnd,
}

impl HandshakeRuntime {
    /// Wraps `inner`, or tokio. With `limit_sleep`, sleeps are short until the handshake is `done`.
    /// `sockets` wraps the sockets under this one's. `driver_end` tells when the driver ends.
    pub(in crate::peer) fn new(
        inner: Option<&Arc<dyn Runtime>>,
        done: HandshakeDone,
        limit_sleep: bool,
        sockets: Sockets,
        driver_end: DriverEnd,
    ) -> Self {
        Self {
            inner: inner.map_or_else(|| Arc::new(TokioRuntime) as _, Arc::clone),
            done,
            limit_sleep,
            sockets,
            driver_end,
        }
    }

    /// How long to sleep in place of `duration`.
    fn limited(&self, duration: Duration) -> Duration {
        if self.limit_sleep && !self.done.get() {
            duration.min(MAX_SLEEP)
        } else {
            duration
        }
    }
}

impl Runtime for HandshakeRuntime {
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.inner.sleep(self.limited(duration))
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn(self.driver_end.watch(future))
    }

    fn spawn_reactor(
        &self,
        reactor_pool_size: usize,
        future: Boxed<'static, ()>,
    ) -> Box<dyn JoinHandle> {
        self.inner
            .spawn_reactor(reactor_pool_size, self.driver_end.watch(future))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(HandshakeSocket::new(
            self.sockets.wrap(socket, &*self.inner)?,
            &self.inner,
            self.done.clone(),
        ))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.inner.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        let inner = Arc::clone(&self.inner);
        let resolver =
            |place: String| -> Found { Box::pin(async move { inner.resolve_host(&place).await }) };
        Box::pin(self.sockets.turn.resolve(host, resolver))
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

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use parking_lot::Mutex;
    use tandem_signaling::client::TrustedRoots;

    use super::*;
    use crate::peer::checks::Gate;
    use crate::peer::privacy::Disclosure;
    use crate::peer::turn::Turn;
    use crate::peer::workarounds::LinkLocal;

    #[test]
    fn sleeps_are_short_until_the_connection_is_up() {
        let done = HandshakeDone::default();
        let sockets = Sockets {
            disclosure: Disclosure::All,
            are_systems: true,
            link_local: LinkLocal::none(),
            turn: Turn::new(&[], TrustedRoots::default(), Arc::default()),
            gate: Arc::new(Mutex::new(Gate::new(false))),
            route: Arc::default(),
            failures: Arc::default(),
        };
        let runtime = HandshakeRuntime::new(
            None,
            done.clone(),
            true,
            sockets.clone(),
            DriverEnd::new(|| {}),
        );
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(1));

        assert_eq!(
            runtime.limited(long),
            MAX_SLEEP,
            "a driver that sleeps longer leaves replies waiting"
        );
        assert_eq!(
            runtime.limited(short),
            short,
            "an earlier timer fires on time"
        );

        done.set(true);
        assert_eq!(
            runtime.limited(long),
            long,
            "afterwards timers run their time"
        );

        let direct = HandshakeRuntime::new(
            None,
            HandshakeDone::default(),
            false,
            sockets,
            DriverEnd::new(|| {}),
        );
        assert_eq!(
            direct.limited(long),
            long,
            "without TURN nothing is limited"
        );
    }
}
