//! A runtime on which the library's connections can break.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, abortable};
use parking_lot::Mutex;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tokio, with tasks that can be ended from outside.
#[derive(Debug)]
pub(crate) struct Breakable {
    inner: TokioRuntime,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Breakable {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: TokioRuntime,
            tasks: Mutex::default(),
        })
    }

    /// Ends every task that the library has spawned so far, those that drive its connections among
    /// them: as after an error that it cannot handle, nothing is sent or received over them any more.
    pub(crate) fn break_connections(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        assert!(!tasks.is_empty(), "there is a connection");
        for task in tasks {
            task.abort();
        }
    }

    fn breakable(&self, future: Boxed<'static, ()>) -> Boxed<'static, ()> {
        let (future, task) = abortable(future);
        self.tasks.lock().push(task);
        Box::pin(async move {
            // Either it has finished, or it was ended.
            let _ = future.await;
        })
    }
}

impl Runtime for Breakable {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn(self.breakable(future))
    }

    fn spawn_reactor(&self, pool: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn_reactor(pool, self.breakable(future))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.inner.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.inner.sleep(duration)
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
