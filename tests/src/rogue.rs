//! A signaling server and a partner that misbehave, and a web server where a signaling server should
//! be.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::WireClient;

/// A signaling server that registers clients properly and then sends garbage.
pub struct RogueServer {
    address: SocketAddr,
    sent: Arc<AtomicBool>,
}

impl RogueServer {
    /// Listens on a port that the system picks. Each client gets all of `garbage` when it starts to
    /// search. The thread ends with the test's process.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(garbage: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            sent: Arc::new(AtomicBool::new(false)),
        };

        let sent = Arc::clone(&server.sent);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (garbage, sent) = (garbage.clone(), Arc::clone(&sent));
                thread::spawn(move || misbehave(stream, &garbage, &sent));
            }
        });

        Ok(server)
    }

    /// The URL that clients connect to.
    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Whether a client received all of the garbage, or disconnected because of it.
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

    // The first message is a search; its content does not matter here.
    let _ = socket.read();
    for text in garbage {
        if socket.send(Message::text(text.clone())).is_err() {
            break;
        }
    }

    sent.store(true, Ordering::Relaxed);
    while socket.read().is_ok() {}
}

/// Answers every HTTP request with `answer`, a whole response. Returns the server's address. The
/// thread ends with the test's process.
///
/// # Errors
/// When it cannot listen.
pub fn web_server(answer: String) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A client that breaks off has no answer to wait for.
            thread::spawn(move || respond(&stream, &answer));
        }
    });

    Ok(address)
}

/// Reads until the empty line after the request's head, and answers.
fn respond(mut stream: &TcpStream, answer: &str) -> Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > "\r\n".len() {
        line.clear();
    }

    stream.write_all(answer.as_bytes())?;
    Ok(())
}

/// A partner in a room that follows the signaling protocol but not WebRTC.
pub struct Partner {
    _client: WireClient,
}

impl Partner {
    /// Matches the other client in the room and sends `description`, as an offer or as an answer.
    ///
    /// # Errors
    /// When there is no match within 30 s.
    pub fn meet(server: SocketAddr, room: &str, description: &Value) -> Result<Self> {
        let (mut client, found) = find(server, &json!({ "type": "find_partner", "room": room }))?;
        let to = &found["socketId"];

        if found["initiator"] == true {
            client.send(&json!({ "type": "webrtc_offer", "to": to, "offer": description }))?;
        } else {
            client.receive("webrtc_offer")?;
            let mut answer = description.clone();

            if answer.get("type").is_some() {
                answer["type"] = json!("answer");
            }

            client.send(&json!({ "type": "webrtc_answer", "to": to, "answer": answer }))?;
        }

        Ok(Self { _client: client })
    }

    /// Matches the other client in the room under `name` and then sends nothing.
    ///
    /// # Errors
    /// When there is no match within 30 s.
    pub fn silent(server: SocketAddr, room: &str, name: &str) -> Result<Self> {
        Self::introduced(server, room, &json!({ "userName": name }))
    }

    /// The same with a profile: fields of `find_partner`.
    ///
    /// # Errors
    /// When there is no match within 30 s, or the server refuses the profile.
    pub fn introduced(server: SocketAddr, room: &str, profile: &Value) -> Result<Self> {
        let mut search = profile.clone();
        search["type"] = json!("find_partner");
        search["room"] = json!(room);
        let (client, _) = find(server, &search)?;

        Ok(Self { _client: client })
    }
}

/// Connects and searches. Returns the connection and the `partner_found`.
fn find(server: SocketAddr, search: &Value) -> Result<(WireClient, Value)> {
    let mut client = WireClient::connect(server)?;
    client.send(search)?;
    let found = client.receive("partner_found")?;

    Ok((client, found))
}
