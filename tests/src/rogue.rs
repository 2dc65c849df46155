//! A relay and a partner that misbehave.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// A relay that greets as the protocol says, and then sends whatever it was given.
pub struct RogueRelay {
    address: SocketAddr,
    sent: Arc<AtomicBool>,
}

impl RogueRelay {
    /// Listens on a port of the system's choice. Every client is sent all of `garbage` as it begins to search; the
    /// thread ends with the test.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(garbage: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self {
            address: listener.local_addr()?,
            sent: Arc::new(AtomicBool::new(false)),
        };

        let sent = Arc::clone(&relay.sent);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (garbage, sent) = (garbage.clone(), Arc::clone(&sent));
                thread::spawn(move || misbehave(stream, &garbage, &sent));
            }
        });

        Ok(relay)
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Whether a client took all of the garbage, or hung up over it.
    pub fn garbage_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

fn misbehave(stream: TcpStream, garbage: &[String], sent: &AtomicBool) {
    let Ok(mut socket) = tungstenite::accept(stream) else {
        return;
    };

    let greeting = json!({
        "type": "user_registered", "userId": "6dbe2e68-5e7f-4d0c-8d5c-1fb7a5b4c0de",
        "socketId": "0f8fad5b-d9cb-469f-a165-70867728950e", "resumeToken": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "protocol": 1, "heartbeatMs": 25_000, "silentMs": 60_000, "resumeMs": 0, "maxMessageBytes": 65_536,
        "iceServers": [],
    });

    if socket.send(Message::text(greeting.to_string())).is_err() {
        return;
    }

    // Its first words are a search; what it says is no matter here.
    let _ = socket.read();
    for text in garbage {
        if socket.send(Message::text(text.clone())).is_err() {
            break;
        }
    }

    sent.store(true, Ordering::Relaxed);
    while socket.read().is_ok() {}
}

/// A partner in a room who follows the relay's protocol, but not WebRTC's.
pub struct Partner {
    _socket: WebSocket<TcpStream>,
}

impl Partner {
    /// Meets whoever is in the room and sends a description, as an offer or an answer, whichever is its turn.
    ///
    /// # Errors
    /// When nobody is met within 30 s.
    pub fn meet(relay: SocketAddr, room: &str, description: &Value) -> Result<Self> {
        let (mut socket, found) = find(relay, &json!({ "type": "find_partner", "room": room }))?;
        let to = &found["socketId"];

        if found["initiator"] == true {
            send(
                &mut socket,
                &json!({ "type": "webrtc_offer", "to": to, "offer": description }),
            )?;
        } else {
            receive(&mut socket, "webrtc_offer")?;
            let mut answer = description.clone();

            if answer.get("type").is_some() {
                answer["type"] = json!("answer");
            }

            send(
                &mut socket,
                &json!({ "type": "webrtc_answer", "to": to, "answer": answer }),
            )?;
        }

        Ok(Self { _socket: socket })
    }

    /// Meets whoever is in the room, as `name`, and never says a word.
    ///
    /// # Errors
    /// When nobody is met within 30 s.
    pub fn silent(relay: SocketAddr, room: &str, name: &str) -> Result<Self> {
        Self::introduced(relay, room, &json!({ "userName": name }))
    }

    /// The same, telling about itself whatever `profile` holds: fields of `find_partner`.
    ///
    /// # Errors
    /// When nobody is met within 30 s, or the relay refuses the profile.
    pub fn introduced(relay: SocketAddr, room: &str, profile: &Value) -> Result<Self> {
        let mut search = profile.clone();
        search["type"] = json!("find_partner");
        search["room"] = json!(room);
        let (socket, _) = find(relay, &search)?;

        Ok(Self { _socket: socket })
    }
}

/// Connects and searches; gives the connection and the `partner_found`.
fn find(relay: SocketAddr, search: &Value) -> Result<(WebSocket<TcpStream>, Value)> {
    let stream = TcpStream::connect(relay).context("the relay is not there")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut socket, _) =
        tungstenite::client(format!("ws://{relay}/ws"), stream).context("no WebSocket")?;
    send(&mut socket, search)?;
    let found = receive(&mut socket, "partner_found")?;

    Ok((socket, found))
}

fn send(socket: &mut WebSocket<TcpStream>, message: &Value) -> Result<()> {
    socket
        .send(Message::text(message.to_string()))
        .context("the relay does not listen")
}

fn receive(socket: &mut WebSocket<TcpStream>, kind: &str) -> Result<Value> {
    loop {
        let text = match socket.read().context("the relay says nothing more")? {
            Message::Text(text) => text,
            Message::Close(_) => bail!("the relay closed before {kind}"),
            _ => continue,
        };

        let message: Value =
            serde_json::from_str(&text).context("the relay's message is no JSON")?;
        if message["type"] == kind {
            return Ok(message);
        }
    }
}
