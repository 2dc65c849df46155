//! One address in front of several nodes, as operators set it up: each connection goes to the first
//! node that is alive.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use parking_lot::Mutex;

/// A TCP load balancer. It runs until the test's process ends.
pub struct Balancer {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    accepted: AtomicUsize,
    /// New connections are closed at once.
    down: AtomicBool,
    /// The clients' connections so far.
    clients: Mutex<Vec<TcpStream>>,
}

impl Balancer {
    /// Starts a balancer in front of `nodes`, the preferred one first.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(nodes: &[SocketAddr]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a load balancer")?;
        let address = listener.local_addr()?;
        let nodes: Arc<[SocketAddr]> = nodes.into();
        let gate = Arc::new(Gate::default());
        let counter = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counter.accepted.fetch_add(1, Ordering::Relaxed);
                // Before the look at the gate, so that a cut finds it.
                counter.clients.lock().extend(client.try_clone());
                if counter.down.load(Ordering::Acquire) {
                    let _ = client.shutdown(Shutdown::Both);
                }

                let nodes = Arc::clone(&nodes);
                thread::spawn(move || carry(&client, &nodes));
            }
        });

        Ok(Self { address, gate })
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections clients have made.
    pub fn connections(&self) -> usize {
        self.gate.accepted.load(Ordering::Relaxed)
    }

    /// Breaks all connections, and new ones until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.gate.down.store(true, Ordering::Release);
        for client in self.gate.clients.lock().drain(..) {
            // An error means that it was closed already.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Carries new connections again.
    pub fn mend(&self) {
        self.gate.down.store(false, Ordering::Release);
    }
}

/// Carries one connection until either end closes, then closes the other.
fn carry(client: &TcpStream, nodes: &[SocketAddr]) {
    let Some(node) = nodes.iter().find_map(|node| TcpStream::connect(node).ok()) else {
        // With no node alive the client's connection ends here. (Dropping it would not end it: the
        // gate has it, too.)
        let _ = client.shutdown(Shutdown::Both);
        return;
    };

    pipe(client, &node);
}

/// Carries bytes both ways until either end closes, then closes the other.
pub(crate) fn pipe(client: &TcpStream, server: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| copy(client, server));
        copy(server, client);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // An error ends the connection like a normal close.
    let _ = from
        .set_nodelay(true)
        .and_then(|()| io::copy(&mut from, &mut to));
    for stream in [from, to] {
        // An error means that it was closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A server that sends its name and waits for the client to leave.
    fn named(name: u8) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let accepting = listener.try_clone().expect("a second handle");
        thread::spawn(move || {
            for mut stream in accepting.incoming().flatten() {
                stream
                    .write_all(&[name])
                    .expect("a fresh connection takes a byte");
                let _ = stream.read(&mut [0; 1]);
            }
        });

        listener
    }

    fn greeting(balancer: &Balancer) -> Vec<u8> {
        let mut stream = TcpStream::connect(balancer.address()).expect("the balancer listens");
        let mut greeting = vec![0; 1];

        match stream.read(&mut greeting) {
            Ok(1) => greeting,
            _ => Vec::new(),
        }
    }

    #[test]
    fn connections_go_to_the_first_node_that_is_alive() {
        let (second, third) = (named(b'2'), named(b'3'));
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let dead = closed.local_addr().expect("an address");
        drop(closed);
        let [second, third] =
            [&second, &third].map(|server| server.local_addr().expect("an address"));
        let front = |nodes: &[SocketAddr]| Balancer::start(nodes).expect("a free port");

        let balancer = front(&[second, third]);
        assert_eq!(balancer.connections(), 0, "no client has come");
        assert_eq!(greeting(&balancer), b"2", "the first node");
        assert_eq!(balancer.connections(), 1, "clients are counted");

        assert_eq!(
            greeting(&front(&[third, second])),
            b"3",
            "the order given counts"
        );

        assert_eq!(
            greeting(&front(&[dead, second])),
            b"2",
            "a dead node is passed over"
        );

        assert_eq!(
            greeting(&front(&[dead])),
            b"",
            "without a node alive the connection ends"
        );
    }
}
