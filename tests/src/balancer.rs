//! One address in front of several relays, as an operator gives it: each connection goes to the first that lives.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};

/// A load balancer on TCP. It lives as long as the test's process.
pub struct Balancer {
    address: SocketAddr,
}

impl Balancer {
    /// In front of these relays, the preferred one first.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(relays: &[SocketAddr]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a load balancer")?;
        let address = listener.local_addr()?;
        let relays: Arc<[SocketAddr]> = relays.into();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let relays = Arc::clone(&relays);
                thread::spawn(move || carry(&client, &relays));
            }
        });

        Ok(Self { address })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Carries one connection until either end is gone; then the other hears of it.
fn carry(client: &TcpStream, relays: &[SocketAddr]) {
    // Without a relay that lives the client's connection ends here.
    let Some(relay) = relays
        .iter()
        .find_map(|relay| TcpStream::connect(relay).ok())
    else {
        return;
    };

    thread::scope(|scope| {
        scope.spawn(|| pour(client, &relay));
        pour(&relay, client);
    });
}

fn pour(mut from: &TcpStream, mut to: &TcpStream) {
    // However it ends, it is over.
    let _ = from
        .set_nodelay(true)
        .and_then(|()| io::copy(&mut from, &mut to));
    for stream in [from, to] {
        // Already down is down, too.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A server that says its name and waits for the client to go.
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
    fn the_first_that_lives_is_taken() {
        let (second, third) = (named(b'2'), named(b'3'));
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let dead = closed.local_addr().expect("an address");
        drop(closed);
        let [second, third] =
            [&second, &third].map(|server| server.local_addr().expect("an address"));
        let front = |relays: &[SocketAddr]| Balancer::start(relays).expect("a free port");

        assert_eq!(
            greeting(&front(&[second, third])),
            b"2",
            "the preferred one"
        );

        assert_eq!(
            greeting(&front(&[third, second])),
            b"3",
            "whatever its place in the test"
        );

        assert_eq!(
            greeting(&front(&[dead, second])),
            b"2",
            "or the next that lives"
        );

        assert_eq!(
            greeting(&front(&[dead])),
            b"",
            "and with none the connection ends"
        );
    }
}
