//! A runtime that helps handshakes along: its sockets repeat what got no answer ([`RepeatingSocket`]), and it lets no
//! connection through TURN sleep in the middle of one.
//!
//! The driver of webrtc 0.21.1 gives what came through TURN to its core after it has sent what the core had to say; the
//! reply waits until something else wakes the driver. In a handshake nothing does but timers: each flight of DTLS took
//! 200–400 ms on loopback, a connection 1.9 s. So until the connection is up its timers run out early, which the core
//! takes for nothing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::repeating_socket::RepeatingSocket;

/// The longest sleep until the connection is up.
const NAP: Duration = Duration::from_millis(5);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether the connection's driver has to look for replies by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled(Arc<AtomicBool>);

impl Settled {
    /// The connection is up, or ends: timers run their time.
    pub(super) fn set(&self, settled: bool) {
        self.0.store(settled, Relaxed);
    }

    /// Whether it is.
    pub(super) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// How long a sleep that should last so long may last.
    fn sleep(&self, duration: Duration) -> Duration {
        if self.0.load(Relaxed) {
            duration
        } else {
            duration.min(NAP)
        }
    }
}

/// Another runtime with watched sockets and, for connections through TURN, shorter sleeps.
#[derive(Debug)]
pub(super) struct PromptRuntime {
    inner: Arc<dyn Runtime>,
    settled: Settled,
    naps: bool,
}

impl PromptRuntime {
    /// On top of `inner`, or of tokio. With `naps` sleeps are short until it is `settled`.
    pub(super) fn new(inner: Option<&Arc<dyn Runtime>>, settled: Settled, naps: bool) -> Self {
        Self {
            inner: inner.map_or_else(|| Arc::new(TokioRuntime) as _, Arc::clone),
            settled,
            naps,
        }
    }
}

impl Runtime for PromptRuntime {
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.inner.sleep(if self.naps {
            self.settled.sleep(duration)
        } else {
            duration
        })
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn(future)
    }

    fn spawn_reactor(
        &self,
        reactor_pool_size: usize,
        future: Boxed<'static, ()>,
    ) -> Box<dyn JoinHandle> {
        self.inner.spawn_reactor(reactor_pool_size, future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(RepeatingSocket::new(
            self.inner.wrap_udp_socket(socket)?,
            &self.inner,
            self.settled.clone(),
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
        self.inner.resolve_host(host)
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
    use super::*;

    #[test]
    fn sleeps_are_short_until_the_connection_is_up() {
        let settled = Settled::default();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(1));
        assert_eq!(
            settled.sleep(long),
            NAP,
            "a driver that sleeps longer leaves replies lying"
        );

        assert_eq!(
            settled.sleep(short),
            short,
            "what is due earlier comes earlier"
        );

        settled.clone().set(true);
        assert_eq!(settled.sleep(long), long, "then timers run their time");
    }
}
