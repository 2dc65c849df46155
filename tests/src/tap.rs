//! A proxy between a client and the signaling server that records the messages, can be cut, and can
//! stand for a server that changes what it passes on.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

/// How long to read from one direction before trying the other.
const READ_TIMEOUT: Duration = Duration::from_millis(5);

/// The proxy. It runs until the test's process ends.
pub struct Tap {
    address: SocketAddr,
    wire: Arc<Wire>,
}

/// Changes a message from the server before the client gets it.
type Change = Box<dyn Fn(&mut Value) + Send + Sync>;

struct Wire {
    server: SocketAddr,
    change: Change,
    said: Mutex<Vec<Value>>,
    heard: Mutex<Vec<Value>>,
    /// Connections with a lower number are cut.
    number: AtomicU64,
    /// New connections are closed at once.
    down: AtomicBool,
}

impl Tap {
    /// Starts a proxy to the server at `server`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(server: SocketAddr) -> Result<Self> {
        Self::changing(server, |_| {})
    }

    /// The same at this address, for example of a host of a [`Network`](crate::Network). Port 0 picks a
    /// free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start_at(address: &str, server: SocketAddr) -> Result<Self> {
        Self::listen(address, server, |_| {})
    }

    /// Starts a proxy to the server at `server` that changes each message from the server.
    ///
    /// # Errors
    /// When no port is free.
    pub fn changing(
        server: SocketAddr,
        change: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::listen("127.0.0.1:0", server, change)
    }

    fn listen(
        address: &str,
        server: SocketAddr,
        change: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            server,
            change: Box::new(change),
            said: Mutex::default(),
            heard: Mutex::default(),
            number: AtomicU64::new(0),
            down: AtomicBool::new(false),
        });

        let shared = Arc::clone(&wire);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !shared.down.load(Ordering::Acquire) {
                    let wire = Arc::clone(&shared);
                    thread::spawn(move || wire.carry(stream));
                }
            }
        });

        Ok(Self { address, wire })
    }

    /// The URL that the client connects to.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// All messages from the client, in order.
    pub fn said(&self) -> Vec<Value> {
        kept(&self.wire.said)
    }

    /// All messages to the client, in order.
    pub fn heard(&self) -> Vec<Value> {
        kept(&self.wire.heard)
    }

    /// Cuts the connection without a close frame and refuses new ones until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.wire.down.store(true, Ordering::Release);
        self.wire.number.fetch_add(1, Ordering::AcqRel);
    }

    /// Accepts new connections again.
    pub fn mend(&self) {
        self.wire.down.store(false, Ordering::Release);
    }
}

impl Wire {
    /// Carries one connection until an end or the test closes it. Dropping both sockets is the cut.
    fn carry(&self, client: TcpStream) {
        let number = self.number.load(Ordering::Acquire);
        let Ok(mut client) = tungstenite::accept(client) else {
            return;
        };

        let Ok(server) = TcpStream::connect(self.server) else {
            return;
        };

        let Ok((mut server, _)) = tungstenite::client(format!("ws://{}/ws", self.server), server)
        else {
            return;
        };

        for stream in [client.get_ref(), server.get_ref()] {
            if stream.set_read_timeout(Some(READ_TIMEOUT)).is_err() {
                return;
            }
        }

        while self.number.load(Ordering::Acquire) == number {
            let passed = pass(&mut client, &mut server, |_| {}, &self.said)
                .and_then(|()| pass(&mut server, &mut client, &self.change, &self.heard));
            if passed.is_err() {
                return;
            }
        }
    }
}

/// The number of messages of one type.
pub fn count(messages: &[Value], kind: &str) -> usize {
    messages
        .iter()
        .filter(|message| message["type"] == kind)
        .count()
}

fn kept(messages: &Mutex<Vec<Value>>) -> Vec<Value> {
    messages.lock().clone()
}

/// Passes on at most one message, changed, and records it as it was passed on.
fn pass(
    from: &mut WebSocket<TcpStream>,
    to: &mut WebSocket<TcpStream>,
    change: impl Fn(&mut Value),
    kept: &Mutex<Vec<Value>>,
) -> Result<(), Error> {
    let message = match from.read() {
        Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
        // Each end answers pings itself.
        Ok(_) => return Ok(()),
        Err(Error::Io(error))
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };

    let parsed: Option<Value> = message
        .to_text()
        .ok()
        .and_then(|text| serde_json::from_str(text).ok());
    let Some(parsed) = parsed else {
        return to.send(message);
    };

    let mut changed = parsed.clone();
    change(&mut changed);
    // What is not changed arrives as it was written.
    to.send(if changed == parsed {
        message
    } else {
        Message::text(changed.to_string())
    })?;
    kept.lock().push(changed);

    Ok(())
}
