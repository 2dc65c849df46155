//! Proxies as companies set them up: HTTP CONNECT (RFC 9110 §9.3.6), with or without a password.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::balancer::pipe;

/// An HTTP proxy that connects to one server, whatever name it is asked for, so that a test can use
/// names that exist in no DNS. It runs until the test's process ends.
pub struct HttpProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// Starts a proxy in front of `server`. `credentials`: what it requires as
    /// `Proxy-Authorization`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(server: SocketAddr, credentials: Option<&'static str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);

        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                // A client that breaks the protocol loses its connection.
                thread::spawn(move || serve(client, server, credentials, &log));
            }
        });

        Ok(Self { address, asked })
    }

    /// The value of `HTTPS_PROXY`, with `user:password@` before the address if there is a need.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.address)
    }

    /// The hosts and ports that clients asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    credentials: Option<&str>,
    log: &Mutex<Vec<String>>,
) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }

        head.push(line.trim().to_owned());
    }

    let target = head
        .first()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .and_then(|rest| rest.split(' ').next())
        .context("not a CONNECT")?;
    log.lock().push(target.to_owned());

    let is_allowed = credentials.is_none_or(|expected| {
        head.iter().any(|line| {
            line.split_once(": ").is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("proxy-authorization") && value == expected
            })
        })
    });

    if !is_allowed {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")?;
        return Ok(());
    }

    let server = TcpStream::connect(server)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    pipe(&client, &server);

    Ok(())
}
