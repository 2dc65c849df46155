//! A client that costs almost nothing, so that it does not slow down what is measured: it sends
//! frames with a mask of zeros and reads frames in place.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const UPGRADE: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: tandem\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One connection to a server.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
    pub(crate) socket_id: String,
}

/// A partner: their `socketId`, and the session.
pub(crate) struct Found {
    pub(crate) partner: String,
    pub(crate) session: String,
}

impl Client {
    /// Connects and waits for `user_registered`.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address)
            .await
            .context("the server accepts no connection")?;
        stream.set_nodelay(true)?;
        stream.write_all(UPGRADE).await?;
        let mut client = Self {
            stream,
            bytes: Vec::with_capacity(1024),
            at: 0,
            socket_id: String::new(),
        };

        let end = loop {
            if let Some(end) = client
                .bytes
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break end;
            }

            client.fill().await?;
        };

        if !client.bytes.starts_with(b"HTTP/1.1 101") {
            bail!("no upgrade: {}", String::from_utf8_lossy(&client.bytes));
        }

        client.at = end + 4;
        let registered = client.next().await?;
        client.socket_id = text(&registered, "socketId")?;

        Ok(client)
    }

    pub(crate) async fn send(&mut self, message: &Value) -> Result<()> {
        let frame = frame(message.to_string())?;
        self.stream
            .write_all(&frame)
            .await
            .context("the server reads nothing more")
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        loop {
            if let Some((opcode, start, end)) = self.peek() {
                self.at = end;
                match opcode {
                    1 => return Ok(serde_json::from_slice(&self.bytes[start..end])?),
                    8 => bail!("closed with {:?}", self.bytes.get(start..start + 2)),
                    // A measurement is shorter than the time in which a ping must be answered.
                    _ => continue,
                }
            }

            self.fill().await?;
        }
    }

    /// The next message of this type; skips others.
    pub(crate) async fn expect(&mut self, kind: &str) -> Result<Value> {
        loop {
            let message = self.next().await?;
            if message["type"] == kind {
                return Ok(message);
            }

            if message["type"] == "error" {
                bail!("expected {kind}, not {message}");
            }
        }
    }

    /// Waits for whole messages and passes the text of each to `take`; returns how many there were.
    pub(crate) async fn take(&mut self, mut take: impl FnMut(&[u8])) -> Result<usize> {
        loop {
            let mut taken = 0;
            while let Some((opcode, start, end)) = self.peek() {
                self.at = end;
                match opcode {
                    1 => {
                        take(&self.bytes[start..end]);
                        taken += 1;
                    }
                    8 => bail!("closed by the server"),
                    _ => {}
                }
            }

            if taken > 0 {
                return Ok(taken);
            }

            self.fill().await?;
        }
    }

    /// Opcode, start and end of the next whole frame, if it has arrived.
    fn peek(&self) -> Option<(u8, usize, usize)> {
        let bytes = &self.bytes[self.at..];
        let (head, length) = match *bytes.get(1)? {
            126 => (
                4,
                usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
            ),
            127 => return None,
            short => (2, usize::from(short)),
        };

        let end = head + length;
        (bytes.len() >= end).then(|| (bytes[0] & 0x0f, self.at + head, self.at + end))
    }

    async fn fill(&mut self) -> Result<()> {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.reserve(16 * 1024);

        if self.stream.read_buf(&mut self.bytes).await? == 0 {
            bail!("the server closed the connection");
        }

        Ok(())
    }

    /// Searches for a partner.
    pub(crate) async fn find(&mut self, room: Option<&str>) -> Result<()> {
        self.send(&json!({ "type": "find_partner", "room": room }))
            .await
    }

    /// Waits for a partner.
    pub(crate) async fn found(&mut self) -> Result<Found> {
        let found = self.expect("partner_found").await?;
        Ok(Found {
            partner: text(&found, "socketId")?,
            session: text(&found, "sessionId")?,
        })
    }

    /// Frees the memory of past messages.
    pub(crate) fn shrink(&mut self) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.shrink_to_fit();
    }
}

fn text(message: &Value, field: &str) -> Result<String> {
    Ok(message[field]
        .as_str()
        .with_context(|| format!("{field} is missing in {message}"))?
        .to_owned())
}

/// A text frame of a client. The mask of zeros costs nothing to apply.
pub(crate) fn frame(payload: String) -> Result<Vec<u8>> {
    let mut frame = Frame::message(payload, OpCode::Data(Data::Text), true);
    frame.header_mut().mask = Some([0; 4]);
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes)?;
    Ok(bytes)
}

/// A message to relay, of this many bytes in all, with a stamp of nanoseconds.
pub(crate) fn candidate(to: &str, bytes: usize, stamp: u64) -> Result<Vec<u8>> {
    let build = |filler: usize| {
        format!(
            "{{\"type\":\"ice_candidate\",\"to\":\"{to}\",\"candidate\":\"{stamp:020} {}\"}}",
            "x".repeat(filler)
        )
    };

    let shortest = build(0).len();
    frame(build(bytes.saturating_sub(shortest)))
}

/// The stamp of [`candidate`] in a relayed message.
pub(crate) fn stamp(message: &[u8]) -> Option<u64> {
    const MARK: &[u8] = b"\"candidate\":\"";
    let at = message
        .windows(MARK.len())
        .position(|window| window == MARK)?
        + MARK.len();

    std::str::from_utf8(message.get(at..at + 20)?)
        .ok()?
        .parse()
        .ok()
}
