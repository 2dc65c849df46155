//! A wire between a client and its relay that keeps what both say, and can be cut.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

/// How long one direction is listened to before the other.
const GLANCE: Duration = Duration::from_millis(5);

/// The wire. It lives as long as the test's process.
pub struct Tap {
    address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    relay: SocketAddr,
    said: Mutex<Vec<Value>>,
    heard: Mutex<Vec<Value>>,
    /// Connections of an earlier number are cut.
    number: AtomicU64,
    /// New connections are closed at once.
    down: AtomicBool,
}

impl Tap {
    /// A wire to the relay at `relay`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(relay: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            relay,
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

    /// Where the client connects to.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Everything that the client has said, in order.
    pub fn said(&self) -> Vec<Value> {
        kept(&self.wire.said)
    }

    /// Everything that the relay has told the client, in order.
    pub fn heard(&self) -> Vec<Value> {
        kept(&self.wire.heard)
    }

    /// Cuts the connection without a word; until [`mend`](Self::mend) no new one comes about.
    pub fn cut(&self) {
        self.wire.down.store(true, Ordering::Release);
        self.wire.number.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.wire.down.store(false, Ordering::Release);
    }
}

impl Wire {
    /// Carries one connection until one end or the test wants no more. Dropping both sockets is the cut.
    fn carry(&self, client: TcpStream) {
        let number = self.number.load(Ordering::Acquire);
        let Ok(mut client) = tungstenite::accept(client) else {
            return;
        };

        let Ok(relay) = TcpStream::connect(self.relay) else {
            return;
        };

        let Ok((mut relay, _)) = tungstenite::client(format!("ws://{}/ws", self.relay), relay)
        else {
            return;
        };

        for stream in [client.get_ref(), relay.get_ref()] {
            if stream.set_read_timeout(Some(GLANCE)).is_err() {
                return;
            }
        }

        while self.number.load(Ordering::Acquire) == number {
            let passed = pass(&mut client, &mut relay, &self.said)
                .and_then(|()| pass(&mut relay, &mut client, &self.heard));
            if passed.is_err() {
                return;
            }
        }
    }
}

/// How many of these messages are of one type.
pub fn count(messages: &[Value], kind: &str) -> usize {
    messages
        .iter()
        .filter(|message| message["type"] == kind)
        .count()
}

fn kept(messages: &Mutex<Vec<Value>>) -> Vec<Value> {
    messages
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Passes at most one message on, and keeps it.
fn pass(
    from: &mut WebSocket<TcpStream>,
    to: &mut WebSocket<TcpStream>,
    kept: &Mutex<Vec<Value>>,
) -> Result<(), Error> {
    let message = match from.read() {
        Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
        // Pings are answered by each end for itself.
        Ok(_) => return Ok(()),
        Err(Error::Io(error))
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };

    let parsed = message
        .to_text()
        .ok()
        .and_then(|text| serde_json::from_str(text).ok());
    to.send(message)?;
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(parsed);

    Ok(())
}
