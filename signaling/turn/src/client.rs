//! A small blocking client over UDP or TCP: the self-test, the tests and the benchmark talk to a server with
//! it. It retransmits nothing, so it is for servers on the same machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use ring::hmac;

use crate::auth::message_key;
use crate::message::{
    Class, Message, Method, TransactionId, Writer, attribute, read_channel_data, write_channel_data,
};

/// UDP's number, for REQUESTED-TRANSPORT.
const UDP: u32 = 17 << 24;

/// Why a request did not succeed.
#[derive(Debug)]
pub enum RequestError {
    /// No answer, or no socket.
    Io(io::Error),
    /// The server refused, with this code.
    Refused(u16),
    /// The answer lacks something, or is not signed.
    BadAnswer,
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "no answer ({error})"),
            Self::Refused(code) => write!(f, "refused with {code}"),
            Self::BadAnswer => f.write_str("an answer that cannot be read"),
        }
    }
}

impl std::error::Error for RequestError {}

/// How a client talks to its server.
#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Link {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(bytes).map(|_| ()),
            Self::Tcp(stream) => {
                let mut stream: &TcpStream = stream;
                let mut padded = bytes.to_vec();
                padded.resize(bytes.len().next_multiple_of(4), 0);
                stream.write_all(&padded)
            }
        }
    }

    /// The next message or ChannelData.
    fn receive(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer)?;
                buffer.truncate(length);
                Ok(buffer)
            }
            Self::Tcp(stream) => {
                let mut stream: &TcpStream = stream;
                let mut bytes = vec![0; 4];
                stream.read_exact(&mut bytes)?;
                let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                let is_message = bytes[0] < 0x40;
                let rest = if is_message { length + 16 } else { length };
                bytes.resize(4 + rest.next_multiple_of(4), 0);
                stream.read_exact(&mut bytes[4..])?;
                Ok(bytes)
            }
        }
    }
}

/// A client with a socket of its own.
#[derive(Debug)]
pub struct TurnClient {
    link: Link,
    server: SocketAddr,
    username: String,
    password: String,
    /// Realm, nonce and key, from the server's first answer.
    session: Option<(String, Vec<u8>, hmac::Key)>,
    transaction: u64,
}

impl TurnClient {
    /// Opens a socket to a server. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn new(server: SocketAddr, username: &str, password: &str) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        Self::with(Link::Udp(socket), server, username, password)
    }

    /// The same over TCP.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn over_tcp(server: SocketAddr, username: &str, password: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Self::with(Link::Tcp(stream), server, username, password)
    }

    fn with(link: Link, server: SocketAddr, username: &str, password: &str) -> io::Result<Self> {
        let client = Self {
            link,
            server,
            username: username.to_owned(),
            password: password.to_owned(),
            session: None,
            transaction: 0,
        };
        client.set_timeout(Duration::from_secs(2))?;
        Ok(client)
    }

    /// How long to wait for a packet. 2 s at first.
    ///
    /// # Errors
    /// The system's.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match &self.link {
            Link::Udp(socket) => socket.set_read_timeout(Some(timeout)),
            Link::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// Asks for an IPv4 or an IPv6 address, like the server's own; returns it.
    ///
    /// # Errors
    /// As the server answers.
    pub fn allocate(&mut self) -> Result<SocketAddr, RequestError> {
        let family = if self.server.is_ipv4() { 1 } else { 2 };
        let answer = self.request(Method::Allocate, &|request| {
            request
                .number(attribute::REQUESTED_TRANSPORT, UDP)
                .number(attribute::REQUESTED_ADDRESS_FAMILY, family << 24)
        })?;

        Message::read(&answer)
            .and_then(|message| message.address(attribute::XOR_RELAYED_ADDRESS))
            .ok_or(RequestError::BadAnswer)
    }

    /// Prolongs the allocation, or ends it with zero seconds.
    ///
    /// # Errors
    /// As the server answers.
    pub fn refresh(&mut self, seconds: u32) -> Result<(), RequestError> {
        self.request(Method::Refresh, &|request| {
            request.number(attribute::LIFETIME, seconds)
        })?;
        Ok(())
    }

    /// Permits a peer.
    ///
    /// # Errors
    /// As the server answers.
    pub fn permit(&mut self, peer: SocketAddr) -> Result<(), RequestError> {
        self.request(Method::CreatePermission, &|request| {
            request.address(attribute::XOR_PEER_ADDRESS, peer)
        })?;
        Ok(())
    }

    /// Binds a channel to a peer.
    ///
    /// # Errors
    /// As the server answers.
    pub fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), RequestError> {
        self.request(Method::ChannelBind, &|request| {
            request
                .number(attribute::CHANNEL_NUMBER, u32::from(channel) << 16)
                .address(attribute::XOR_PEER_ADDRESS, peer)
        })?;
        Ok(())
    }

    /// Sends through a channel.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, channel: u16, data: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        write_channel_data(&mut bytes, channel, data);
        self.link.send(&bytes)
    }

    /// Sends to a peer that is permitted.
    ///
    /// # Errors
    /// The system's.
    pub fn send_to(&mut self, peer: SocketAddr, data: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let transaction = self.next_transaction();
        Writer::new(&mut bytes, Class::Indication, Method::Send, transaction)
            .address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::DATA, data)
            .finish();
        self.link.send(&bytes)
    }

    /// The next packet from a peer: its channel, if it came through one, and what is in it.
    ///
    /// # Errors
    /// When nothing comes in time, or something else.
    pub fn receive(&self) -> Result<(Option<u16>, Vec<u8>), RequestError> {
        let bytes = self.link.receive()?;
        if let Some((channel, data)) = read_channel_data(&bytes) {
            return Ok((Some(channel), data.to_vec()));
        }

        Message::read(&bytes)
            .filter(|message| message.method == Some(Method::Data))
            .and_then(|message| message.attribute(attribute::DATA))
            .map(|data| (None, data.to_vec()))
            .ok_or(RequestError::BadAnswer)
    }

    /// Sends a request, with credentials once the server has asked for them, and returns a success.
    fn request(
        &mut self,
        method: Method,
        add: &dyn for<'w> Fn(Writer<'w>) -> Writer<'w>,
    ) -> Result<Vec<u8>, RequestError> {
        // The first answer asks for credentials, another one may say that the nonce is too old.
        for is_last in [false, false, true] {
            let transaction = self.next_transaction();
            let mut bytes = Vec::new();
            let request = add(Writer::new(&mut bytes, Class::Request, method, transaction));
            match &self.session {
                Some((realm, nonce, key)) => request
                    .attribute(attribute::USERNAME, self.username.as_bytes())
                    .attribute(attribute::REALM, realm.as_bytes())
                    .attribute(attribute::NONCE, nonce)
                    .sign(key),
                None => request.finish(),
            }

            self.link.send(&bytes)?;
            let answer = self.answer(transaction)?;
            let message = Message::read(&answer).ok_or(RequestError::BadAnswer)?;
            match (message.class, message.error_code()) {
                (Class::Success, _) => {
                    let is_signed = self
                        .session
                        .as_ref()
                        .is_some_and(|(_, _, key)| message.is_signed_with(key));
                    return is_signed.then_some(answer).ok_or(RequestError::BadAnswer);
                }
                (_, Some(401)) if self.session.is_none() => self.begin(&message)?,
                (_, Some(438)) if !is_last => self.begin(&message)?,
                (_, code) => return Err(RequestError::Refused(code.unwrap_or(0))),
            }
        }

        Err(RequestError::Refused(438))
    }

    fn begin(&mut self, challenge: &Message<'_>) -> Result<(), RequestError> {
        let realm = challenge.text(attribute::REALM);
        let realm = realm.ok_or(RequestError::BadAnswer)?;
        let nonce = challenge.attribute(attribute::NONCE);
        let nonce = nonce.ok_or(RequestError::BadAnswer)?;
        let key = message_key(&self.username, realm, &self.password);
        self.session = Some((realm.to_owned(), nonce.to_vec(), key));
        Ok(())
    }

    /// The answer to a request; packets of peers that come before it are dropped.
    fn answer(&self, transaction: TransactionId) -> Result<Vec<u8>, RequestError> {
        loop {
            let bytes = self.link.receive()?;
            let is_answer = Message::read(&bytes).is_some_and(|message| {
                message.transaction == transaction && message.class != Class::Indication
            });

            if is_answer {
                return Ok(bytes);
            }
        }
    }

    fn next_transaction(&mut self) -> TransactionId {
        self.transaction += 1;
        let mut transaction = [0; 12];
        transaction[4..].copy_from_slice(&self.transaction.to_be_bytes());
        transaction
    }
}
