//! coturn, Debian's TURN server, on loopback, with the time-limited credentials that the signaling
//! server hands out.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::authority::{Authority, Identity, Validity};
use crate::network::Host;
use crate::part;
use crate::process::{Process, on_free_port, wait_until};

/// A private TURN server for one test, killed when dropped.
pub struct Coturn {
    process: Process,
    address: SocketAddr,
    is_udp: bool,
    secret: String,
    _folder: TempDir,
}

/// The result of an attempt to send packets through the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Two allocations were made and packets went both ways between them.
    Relayed,
    /// The server refused the allocation.
    Refused,
    /// It made the allocation, but forwards nothing to that peer.
    PeerDenied,
}

impl Coturn {
    /// Starts it with the secret that it shares with the signaling server, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(secret: &str) -> Result<Self> {
        on_free_port(|port| {
            let folder = tempfile::tempdir().context("no folder for coturn")?;
            Self::launch(
                Place::loopback(port)?,
                secret,
                &plain_settings(secret),
                folder,
            )
        })
        .context("coturn does not start")
    }

    /// Starts it with the operators' example settings (`signaling/deploy/turnserver.conf`) and
    /// `secret`. Only the port and the paths of its files differ, and it listens on loopback only.
    /// Those settings deny peers on loopback, where both ends of a test are; `with_loopback` allows
    /// these and no others.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_as_deployed(secret: &str, with_loopback: bool) -> Result<Self> {
        let settings = fs::read_to_string(part::source("../signaling/deploy/turnserver.conf"))?;
        let settings = settings.replace("CHANGE-ME-to-the-output-of-openssl-rand-hex-32", secret);
        ensure!(
            settings.contains(&format!("static-auth-secret={secret}")),
            "the settings have a placeholder for the secret"
        );

        let start = |port| {
            let folder = tempfile::tempdir().context("no folder for coturn")?;
            let file = folder.path().join("turnserver.conf");
            fs::write(&file, &settings)?;
            let mut arguments = vec![String::from("-c"), file.display().to_string()];

            if with_loopback {
                arguments.push(String::from("--allow-loopback-peers"));
                arguments.push(String::from("--allowed-peer-ip=127.0.0.0-127.255.255.255"));
            }

            Self::launch(Place::loopback(port)?, secret, &arguments, folder)
        };

        on_free_port(start).context("coturn does not start")
    }

    /// The same on a host of a [`Network`](crate::Network), at its address `ip`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_on(host: &Host, ip: IpAddr, secret: &str) -> Result<Self> {
        let program = part::which("turnserver").context("turnserver is not installed")?;
        let place = Place {
            command: host.command(program),
            address: SocketAddr::new(ip, 3478),
            host: Some(host),
        };
        let folder = tempfile::tempdir().context("no folder for coturn")?;

        Self::launch(place, secret, &plain_settings(secret), folder)
    }

    /// The same on a host, at `address`, over TCP only.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_over_tcp_on(host: &Host, address: SocketAddr, secret: &str) -> Result<Self> {
        Self::start_streams_on(host, address, None, secret)
    }

    /// The same over TLS, with a certificate of `authority` for its address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_over_tls_on(
        host: &Host,
        address: SocketAddr,
        authority: &Authority,
        secret: &str,
    ) -> Result<Self> {
        let identity = authority.sign(&[&address.ip().to_string()], Validity::Valid)?;
        Self::start_streams_on(host, address, Some(&identity), secret)
    }

    /// coturn takes connections with and without TLS on one port.
    fn start_streams_on(
        host: &Host,
        address: SocketAddr,
        identity: Option<&Identity>,
        secret: &str,
    ) -> Result<Self> {
        let program = part::which("turnserver").context("turnserver is not installed")?;
        let place = Place {
            command: host.command(program),
            address,
            host: Some(host),
        };
        let folder = tempfile::tempdir().context("no folder for coturn")?;
        let mut settings = plain_settings(secret).to_vec();
        settings.push(String::from("--no-udp"));
        if let Some(identity) = identity {
            settings.retain(|setting| setting != "--no-tls");
            settings.extend([
                format!("--cert={}", identity.cert.display()),
                format!("--pkey={}", identity.key.display()),
                format!("--tls-listening-port={}", address.port()),
            ]);
        }

        Self::launch(place, secret, &settings, folder)
    }

    fn launch(
        place: Place<'_>,
        secret: &str,
        arguments: &[String],
        folder: TempDir,
    ) -> Result<Self> {
        let Place {
            mut command,
            address,
            host,
        } = place;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (ip, port) = (address.ip(), address.port());
        command
            .args(arguments)
            .args(["--log-file=stdout", "-v"])
            .args([format!("--listening-ip={ip}"), format!("--relay-ip={ip}")]);

        command.args([
            format!("--listening-port={port}"),
            format!("--pidfile={}", file("coturn.pid")),
            format!("--userdb={}", file("turndb")),
        ]);
        let mut process = Process::start(command)?;
        let is_udp = !arguments.iter().any(|argument| argument == "--no-udp");
        let answers = || {
            let answers = || {
                if is_udp {
                    stun_answers(address)
                } else {
                    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                }
            };
            host.map_or_else(answers, |host| host.run(answers))
        };
        let answer = wait_until(
            "coturn's answer to a STUN request",
            Duration::from_secs(20),
            || {
                if process.is_running() {
                    answers().then_some(Ok(()))
                } else {
                    Some(Err(()))
                }
            },
        )?;

        if answer.is_err() {
            bail!("coturn ended at once: {}", process.stdout());
        }

        Ok(Self {
            process,
            address,
            is_udp,
            secret: secret.to_owned(),
            _folder: folder,
        })
    }

    /// The value for `--turn-url`, without TLS.
    pub fn url(&self) -> String {
        let transport = if self.is_udp { "udp" } else { "tcp" };
        format!("turn:{}?transport={transport}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `--turn-secret`.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Its log so far, which names each session, its user and how it ended.
    pub fn log(&self) -> String {
        self.process.stdout()
    }

    /// Waits for a line of its log.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub fn wait_for_log<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.process.wait_for_line(limit, pick)
    }

    /// From now on it answers nothing, and closes nothing: as if its machine were gone.
    pub fn freeze(&mut self) {
        self.process.signal(libc::SIGSTOP);
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a few packets between two allocations with coturn's own client.
    ///
    /// # Errors
    /// When the client cannot be run, or says something that is neither.
    pub fn allocate(&self, username: &str, credential: &str) -> Result<Allocation> {
        let mut command =
            Command::new(part::which("turnutils_uclient").context("no turnutils_uclient")?);
        let port = self.address.port().to_string();
        // -y: two clients that talk to each other; -c: without a second pair for RTCP.
        command.args([
            "-y",
            "-c",
            "-m",
            "1",
            "-n",
            "2",
            "-u",
            username,
            "-w",
            credential,
            "-p",
            &port,
            "127.0.0.1",
        ]);
        let mut client = Process::start(command)?;
        let code = client.wait(Duration::from_secs(60))?;
        let said = format!("{}\n{}", client.stdout(), client.stderr());

        match code {
            Some(0) if said.contains("Total lost packets 0 ") => Ok(Allocation::Relayed),
            Some(_) if said.contains("Cannot complete Allocation") => Ok(Allocation::Refused),
            Some(_) if said.contains("403 (Forbidden IP)") => Ok(Allocation::PeerDenied),
            _ => bail!("turnutils_uclient ended with {code:?}: {said}"),
        }
    }
}

/// Where it runs.
struct Place<'a> {
    command: Command,
    address: SocketAddr,
    /// `None`: on this machine.
    host: Option<&'a Host>,
}

impl Place<'_> {
    fn loopback(port: u16) -> Result<Self> {
        let program = part::which("turnserver").context("turnserver is not installed")?;
        Ok(Self {
            command: Command::new(program),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            host: None,
        })
    }
}

/// Time-limited credentials and nothing else that would need files.
fn plain_settings(secret: &str) -> [String; 9] {
    [
        String::from("-n"),
        String::from("--realm=tandem.test"),
        String::from("--use-auth-secret"),
        format!("--static-auth-secret={secret}"),
        // Both ends of a test's call may be on loopback.
        String::from("--allow-loopback-peers"),
        String::from("--no-tls"),
        String::from("--no-dtls"),
        String::from("--no-cli"),
        String::from("--simple-log"),
    ]
}

/// One STUN binding request (RFC 8489 §5) and whether a success came back.
fn stun_answers(server: SocketAddr) -> bool {
    const BINDING_REQUEST: [u8; 8] = [0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42];
    let ask = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(&[&BINDING_REQUEST[..], b"tandem-tests"].concat(), server)?;
        let mut answer = [0; 256];
        let (length, from) = socket.recv_from(&mut answer)?;

        Ok(from == server
            && length >= 20
            && answer[..2] == [0x01, 0x01]
            && &answer[8..20] == b"tandem-tests")
    };

    ask().unwrap_or(false)
}
