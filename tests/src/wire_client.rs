//! A client of the signaling server for which the test writes each message itself, as JSON.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// How long a message may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client's connection. Dropping it breaks the connection.
pub struct WireClient(WebSocket<TcpStream>);

impl WireClient {
    /// Connects to a server without TLS.
    ///
    /// # Errors
    /// When the server does not accept the client.
    pub fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).context("cannot connect to the server")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (socket, _) =
            tungstenite::client(format!("ws://{server}/ws"), stream).context("no WebSocket")?;

        Ok(Self(socket))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&mut self, message: &Value) -> Result<()> {
        self.0
            .send(Message::text(message.to_string()))
            .context("cannot send to the server")
    }

    /// The next message of this type. Others are skipped.
    ///
    /// # Errors
    /// When the connection is broken, or no such message comes within 30 s.
    pub fn receive(&mut self, kind: &str) -> Result<Value> {
        let deadline = Instant::now() + TIMEOUT;
        let mut skipped = Vec::new();

        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no {kind} within {TIMEOUT:?}, but {skipped:?}");
            }

            self.0.get_ref().set_read_timeout(Some(left))?;
            let text = match self.0.read() {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) => {
                    bail!("the server closed the connection before {kind}")
                }
                Ok(_) => continue,
                Err(error) => bail!("the server sends no {kind}: {error}; before: {skipped:?}"),
            };

            let message: Value =
                serde_json::from_str(&text).context("the server's message is not JSON")?;
            if message["type"] == kind {
                return Ok(message);
            }

            skipped.push(message);
        }
    }
}
