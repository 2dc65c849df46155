//! The shell around the server: a thread with the sockets, and a task for each of them.
//!
//! The thread is TURN's own, so that media and signaling do not wait for each other. Nothing queues
//! here: what a socket does not take at once is dropped, as a router would.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the server"
)]

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, yield_now};

use crate::control::{self, Command, TurnControl};
use crate::peers::PeerRules;
use crate::quota::Quotas;
use crate::revoked::Revocation;
use crate::server::{
    Client, Config, Destination, Family, Packet, Relay, RelayAddresses, Server, Sockets, Stats,
    Transport,
};
use crate::streams::{self, Streams};

/// Packets that are read from one socket before the others get their turn.
const BATCH: usize = 64;
/// What the system may hold for the listening socket: 20 ms of a gigabit. It may grant less.
const LISTEN_BUFFER: usize = 2 * 1024 * 1024;
/// How often allocations are checked for their end.
const TICK: Duration = Duration::from_secs(1);
/// Connections that the system may hold until they are accepted.
const BACKLOG: i32 = 128;
/// Attempts to find a port that is free for UDP and TCP.
const PORT_ATTEMPTS: u32 = 10;
/// The largest UDP datagram.
const MAX_DATAGRAM: usize = 65_536;

/// The operator's settings.
#[derive(Clone)]
pub struct RunnerConfig {
    /// Where clients connect, over UDP and TCP. Port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// The addresses under which others reach this machine, at most one of each family. Where there is
    /// none, the listening address is the one.
    pub external: Vec<IpAddr>,
    /// Relayed ports.
    pub ports: RangeInclusive<u16>,
    /// Peers that are allowed although they are private, this machine or in its networks.
    pub allowed_peers: Vec<IpNet>,
    /// Peers that are denied, even if they are allowed.
    pub denied_peers: Vec<IpNet>,
    /// The addresses of this machine's interfaces, each with the prefix length of its network.
    /// [`TurnControl::set_own`] changes them.
    pub own: Vec<IpNet>,
    /// How much may be used.
    pub quotas: Quotas,
    /// Makes passwords of user names.
    pub secret: String,
    /// How long the credentials that are given out are valid at most.
    pub credential_lifetime: Duration,
}

impl fmt::Debug for RunnerConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerConfig")
            .field("listen", &self.listen)
            .field("external", &self.external)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// A server that runs. Dropping it ends it, and all allocations.
pub struct Runner {
    addresses: Vec<SocketAddr>,
    relay: RelayAddresses,
    shared: Arc<Shared>,
    control: TurnControl,
    /// Of its thread.
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    pub(crate) engine: Mutex<Engine>,
    /// The address that relayed ports of each family are bound to.
    bind: [IpAddr; 2],
    /// The addresses in the settings, which are this machine's whatever its interfaces have.
    configured: Vec<IpNet>,
}

/// Everything that a packet needs.
pub(crate) struct Engine {
    pub(crate) server: Server,
    pub(crate) streams: Streams,
    listeners: Vec<Listener>,
    relays: HashMap<Relay, RelaySocket>,
    received: Box<[u8]>,
    out: Vec<u8>,
}

/// A socket that clients send to.
#[derive(Clone)]
struct Listener {
    socket: Arc<UdpSocket>,
    /// It takes IPv4 addresses in their IPv6 form only.
    is_v6: bool,
}

struct RelaySocket {
    socket: Arc<UdpSocket>,
    task: AbortHandle,
}

impl Runner {
    /// Binds the addresses and starts.
    ///
    /// # Errors
    /// A sentence with the address that cannot be bound, or with what is missing.
    pub fn start(config: &RunnerConfig) -> Result<Self, String> {
        let relay = relay_addresses(config)?;
        let sockets: Vec<Bound> = config
            .listen
            .iter()
            .map(|address| {
                bind_both(*address)
                    .map_err(|error| format!("cannot listen for TURN on {address} ({error})"))
            })
            .collect::<Result<_, _>>()?;
        let addresses = sockets
            .iter()
            .map(|bound| bound.udp.local_addr())
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| format!("cannot listen for TURN ({error})"))?;

        let engine = Engine {
            server: Server::new(server_config(config, relay)?, Instant::now()),
            streams: Streams::default(),
            listeners: Vec::new(),
            relays: HashMap::new(),
            received: vec![0; MAX_DATAGRAM].into(),
            out: Vec::with_capacity(MAX_DATAGRAM),
        };
        let shared = Arc::new(Shared {
            engine: Mutex::new(engine),
            bind: [Family::V4, Family::V6].map(|family| relay_bind(&config.listen, family)),
            configured: configured(config),
        });

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start TURN's thread ({error})"))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (control, commands) = control::control();
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("turn".into())
            .spawn(move || runtime.block_on(run(of_thread, sockets, commands, stopped)))
            .map_err(|error| format!("cannot start TURN's thread ({error})"))?;

        Ok(Self {
            addresses,
            relay,
            shared,
            control,
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Serves a client whose connection somebody else has accepted, for example with TLS on another port,
    /// beginning with the bytes that were read from it already. One connection too many is closed.
    pub fn serve_stream<S>(&self, stream: S, remote: SocketAddr, first: Vec<u8>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        if let Some(serving) = streams::take_in(&self.shared, stream, remote, first) {
            self.runtime.spawn(serving);
        }
    }

    /// Where clients connect, with the actual ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that peers see.
    #[must_use]
    pub fn relay_addresses(&self) -> RelayAddresses {
        self.relay
    }

    /// The way to tell it something.
    #[must_use]
    pub fn control(&self) -> TurnControl {
        self.control.clone()
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.engine.lock().server.stats()
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by the panic hook.
            let _ = thread.join();
        }
    }
}

fn server_config(config: &RunnerConfig, addresses: RelayAddresses) -> Result<Config, String> {
    let random = SystemRandom::new();
    let (mut nonce_key, mut seed) = ([0; 32], [0; 8]);
    for bytes in [&mut nonce_key[..], &mut seed[..]] {
        random
            .fill(bytes)
            .map_err(|_| String::from("the system gives no random numbers"))?;
    }

    let own = [configured(config), config.own.clone()].concat();
    Ok(Config {
        secret: config.secret.clone(),
        addresses,
        ports: config.ports.clone(),
        rules: PeerRules::new(
            config.allowed_peers.clone(),
            config.denied_peers.clone(),
            &own,
        ),
        quotas: config.quotas,
        credential_lifetime: config.credential_lifetime,
        nonce_key,
        seed: u64::from_be_bytes(seed),
    })
}

/// The addresses that the settings name: this machine's, or a NAT's in front of it.
fn configured(config: &RunnerConfig) -> Vec<IpNet> {
    let listening = config.listen.iter().map(SocketAddr::ip);
    let all = listening.chain(config.external.iter().copied());
    all.map(IpNet::from).collect()
}

/// The addresses that clients are told.
fn relay_addresses(config: &RunnerConfig) -> Result<RelayAddresses, String> {
    let listening = config
        .listen
        .iter()
        .map(|address| address.ip().to_canonical());
    // External addresses come first, and the first of a family counts.
    let known: Vec<IpAddr> = config
        .external
        .iter()
        .copied()
        .chain(listening.filter(|ip| !ip.is_unspecified()))
        .collect();
    let relay = RelayAddresses {
        v4: known.iter().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        }),
        v6: known.iter().find_map(|ip| match ip {
            IpAddr::V6(ip) => Some(*ip),
            IpAddr::V4(_) => None,
        }),
    };

    if relay.v4.is_none() && relay.v6.is_none() {
        return Err(
            "--turn-listen on all addresses needs --turn-external-ip: name the address under which \
             others reach this machine"
                .into(),
        );
    }

    Ok(relay)
}

/// The address that relayed ports of a family are bound to: the one that clients connect to.
fn relay_bind(listen: &[SocketAddr], family: Family) -> IpAddr {
    let any = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };

    listen
        .iter()
        .map(SocketAddr::ip)
        .find(|ip| Family::from(*ip) == family)
        .unwrap_or(any)
}

/// The sockets of one listening address.
struct Bound {
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
}

/// Binds an address for UDP and TCP. If it has no port, one that is free for both.
fn bind_both(address: SocketAddr) -> io::Result<Bound> {
    let once = || {
        let udp = bind(address, LISTEN_BUFFER)?;
        let tcp = bind_tcp(udp.local_addr()?)?;
        Ok(Bound { udp, tcp })
    };
    let attempts = if address.port() == 0 {
        PORT_ATTEMPTS
    } else {
        1
    };

    (1..attempts)
        .find_map(|_| once().ok())
        .map_or_else(once, Ok)
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }

    // Elsewhere, this would let another program take the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a UDP socket; `[::]` takes IPv4 as well.
fn bind(address: SocketAddr, buffer: usize) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }

    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // The system may cap them: packets are lost a little earlier then.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);

    Ok(socket.into())
}

/// The thread: reads the listening sockets until the runner is dropped.
async fn run(
    shared: Arc<Shared>,
    sockets: Vec<Bound>,
    commands: mpsc::Receiver<Command>,
    stopped: oneshot::Receiver<()>,
) {
    let sockets: io::Result<Vec<(Listener, TcpListener)>> = sockets
        .into_iter()
        .map(|bound| Ok((Listener::new(bound.udp)?, TcpListener::from_std(bound.tcp)?)))
        .collect();
    let Ok(sockets) = sockets else {
        tracing::error!("TURN cannot read its sockets: nobody gets an allocation");
        return;
    };

    let (listeners, streams): (Vec<Listener>, Vec<TcpListener>) = sockets.into_iter().unzip();
    shared.engine.lock().listeners.clone_from(&listeners);
    for (index, listener) in (0u16..).zip(listeners) {
        tokio::spawn(read_clients(shared.clone(), index, listener.socket));
    }

    for listener in streams {
        tokio::spawn(streams::accept(shared.clone(), listener));
    }

    tokio::spawn(control::carry_out(shared.clone(), commands));
    let ticking = async {
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            shared.tick();
        }
    };
    tokio::select! {
        () = ticking => {}
        _ = stopped => {}
    }

    shared.engine.lock().relays.clear();
}

/// Reads what clients send to one listening socket.
async fn read_clients(shared: Arc<Shared>, index: u16, socket: Arc<UdpSocket>) {
    while socket.readable().await.is_ok() {
        shared.drain_clients(index, &socket);
        yield_now().await;
    }
}

/// Reads what peers send to one relayed port.
async fn read_peers(shared: Arc<Shared>, relay: Relay, socket: Arc<UdpSocket>) {
    while socket.readable().await.is_ok() {
        shared.drain_peers(relay, &socket);
        yield_now().await;
    }
}

impl Shared {
    fn drain_clients(self: &Arc<Self>, index: u16, socket: &UdpSocket) {
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let (now, unix) = (Instant::now(), unix_time());

        for _ in 0..BATCH {
            let Some((length, from)) = receive(socket, &mut engine.received) else {
                return;
            };
            let packet = Packet {
                from: Client {
                    transport: Transport::Udp(index),
                    address: from,
                },
                data: &engine.received[..length],
                now,
                unix,
            };
            let mut ports = Ports {
                relays: &mut engine.relays,
                shared: self,
            };

            if let Some(to) = engine.server.receive(packet, &mut ports, &mut engine.out) {
                engine.send(to);
            }
        }
    }

    /// Takes a packet of a client that came over TCP.
    pub(crate) fn receive(self: &Arc<Self>, packet: Packet<'_>) {
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let mut ports = Ports {
            relays: &mut engine.relays,
            shared: self,
        };
        if let Some(to) = engine.server.receive(packet, &mut ports, &mut engine.out) {
            engine.send(to);
        }
    }

    /// Ends the allocation of a client whose connection has ended.
    pub(crate) fn disconnect(self: &Arc<Self>, engine: &mut Engine, client: Client) {
        let mut ports = Ports {
            relays: &mut engine.relays,
            shared: self,
        };
        engine.server.disconnect(client, &mut ports);
    }

    /// Ends what is over, and refuses credentials for it from now on.
    pub(crate) fn revoke(self: &Arc<Self>, revocations: &[Revocation]) {
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let mut ports = Ports {
            relays: &mut engine.relays,
            shared: self,
        };
        let now = Instant::now();
        engine.server.revoke(revocations, now, &mut ports);
    }

    /// The interfaces have these addresses now.
    pub(crate) fn set_own(&self, own: &[IpNet]) {
        let own = [&self.configured[..], own].concat();
        self.engine.lock().server.set_own(&own);
    }

    fn drain_peers(&self, relay: Relay, socket: &UdpSocket) {
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let now = Instant::now();

        for _ in 0..BATCH {
            let Some((length, peer)) = receive(socket, &mut engine.received) else {
                return;
            };
            let data = &engine.received[..length];
            let to = engine
                .server
                .receive_from_peer(relay, peer, data, now, &mut engine.out);

            if let Some(to) = to {
                engine.send(to);
            }
        }
    }

    fn tick(self: &Arc<Self>) {
        let mut engine = self.engine.lock();
        let engine = &mut *engine;
        let mut ports = Ports {
            relays: &mut engine.relays,
            shared: self,
        };
        engine.server.tick(Instant::now(), &mut ports);
    }
}

/// The next datagram, if one is there. Errors of earlier packets (ICMP) are no packets.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    loop {
        match socket.try_recv_from(buffer) {
            Ok((length, from)) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                return Some((length, from));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if is_of_an_earlier_packet(&error) => {}
            Err(_) => return None,
        }
    }
}

/// The system reports on the next call that a packet could not be delivered.
fn is_of_an_earlier_packet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::Interrupted
    )
}

impl Engine {
    /// Sends the packet that the server wrote, or drops it if the system does not take it.
    fn send(&self, to: Destination) {
        let data = &self.out;
        let _ = match to {
            Destination::Client(client) => match client.transport {
                Transport::Udp(index) => self
                    .listeners
                    .get(usize::from(index))
                    .map(|listener| listener.send(data, client.address)),
                Transport::Tcp(id) => {
                    self.streams.send(id, data);
                    None
                }
            },
            Destination::Peer(relay, peer) => self
                .relays
                .get(&relay)
                .map(|relay| send(&relay.socket, data, peer)),
        };
    }
}

impl Listener {
    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let is_v6 = socket.local_addr()?.is_ipv6();
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        Ok(Self { socket, is_v6 })
    }

    fn send(&self, data: &[u8], client: SocketAddr) -> io::Result<usize> {
        let address = match client.ip() {
            IpAddr::V4(ip) if self.is_v6 => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), client.port())
            }
            _ => client,
        };
        send(&self.socket, data, address)
    }
}

/// Sends at once or not at all. Tokio's `try_send_to` would also refuse while its reactor has not yet looked
/// at a socket: the first packets through a new relayed port were lost.
fn send(socket: &UdpSocket, data: &[u8], to: SocketAddr) -> io::Result<usize> {
    SockRef::from(socket).send_to(data, &to.into())
}

pub(crate) fn unix_time() -> u64 {
    // With a clock before 1970, no credentials are valid: those that the signaling server makes
    // with the same clock are from the same year.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Opens relayed ports, each with a task that reads it.
struct Ports<'a> {
    relays: &'a mut HashMap<Relay, RelaySocket>,
    shared: &'a Arc<Shared>,
}

impl Sockets for Ports<'_> {
    fn open(&mut self, relay: Relay) -> bool {
        let ip = self.shared.bind[usize::from(relay.family == Family::V6)];
        let socket = match open_relay(SocketAddr::new(ip, relay.port)) {
            Ok(socket) => Arc::new(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return false,
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "cannot open a relayed port: a call may not connect");
                return false;
            }
        };

        let task = tokio::spawn(read_peers(self.shared.clone(), relay, socket.clone()));
        let task = task.abort_handle();
        self.relays.insert(relay, RelaySocket { socket, task });
        true
    }

    fn close(&mut self, relay: Relay) {
        self.relays.remove(&relay);
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn open_relay(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }

    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
