//! TURN servers over TCP and TLS (RFC 8656 §3.1), and what all TURN servers have answered.
//!
//! webrtc 0.21.1 speaks TURN over UDP only: it skips `turns:` and `?transport=tcp` with a warning that
//! names them. So it gets other servers in their place, over UDP, at addresses that exist nowhere: their
//! stand-ins. What a socket of the library sends to a stand-in goes through a connection to the real
//! server ([`TurnSocket`]), and what comes back seems to come from the stand-in.
//!
//! - The library asks every server from every socket. One of them gets the connection; the others cannot
//!   send there, so that the library forgets the server ([`refusal`]).
//! - UDP is better than TCP, and that better than TLS, so the worse ones begin later, and not at all if a
//!   better one has given an address by then.
//! - Where no better one is named, the connection begins with the search ([`warm`]) or, if there was none,
//!   with the call ([`ahead`]).
//! - A request with a nonce that is too old is repeated with another one ([`stale_nonce`]).
//! - A connection that ends takes its allocation with it. If media goes through it, another route is
//!   looked for at once.

mod ahead;
mod connection;
pub(crate) mod framing;
mod head_start;
#[cfg(test)]
mod lifetime_tests;
mod names;
mod probe;
mod queue;
mod refusal;
mod socket;
mod stale_nonce;
#[cfg(test)]
mod stream_tests;
mod url;
mod warm;
mod watch;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_signaling::ServerUrl;
use tandem_signaling::client::TrustedRoots;
use webrtc::peer_connection::RTCIceServer;

use self::ahead::Ahead;
use self::names::Names;
use self::probe::{ServerProbe, can_be_answer};
use self::stale_nonce::Passwords;
use self::url::{TurnTransport, TurnUrl, is_stun};
use self::watch::TurnWatch;
use super::checks::RouteWatch;

pub(super) use self::names::{Found, look_up};
pub(crate) use self::probe::TurnHealth;
pub(super) use self::socket::TurnSocket;
pub(crate) use self::url::is_usable;
pub use self::warm::WarmConnections;

/// What stand-ins have in common: 240.0.0.0/8 is reserved, and no packet can be sent there (RFC 1112 §4).
const STAND_INS: [u8; 3] = [240, 0, 0];
const STAND_IN_PORT: u16 = 3478;
/// More servers over TCP and TLS are not used: each takes a connection for every call.
const MAX_SERVERS: usize = 8;

/// A connection that lost a packet brings nothing until that was sent again: after 0.2 s, 0.6 s and 1.4 s
/// (RFC 6298, with Linux's minimum).
const STREAM_PATIENCE: Duration = Duration::from_millis(1_500);

/// RFC 6762 §3.
const MULTICAST_DNS_PORT: u16 = 5353;

/// Why no TURN server has given this side an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnProblem {
    /// One refuses the credentials.
    Refused,
    /// One has no room, or answers with another error.
    Failed,
    /// None answers.
    Unreachable,
}

/// The TURN servers of a connection.
pub(super) struct Turn {
    /// Those over TCP and TLS: the index gives the stand-in. They are only ever added.
    servers: Mutex<Vec<Server>>,
    roots: TrustedRoots,
    /// The library's sockets.
    sockets: Mutex<Vec<SocketAddr>>,
    watch: Mutex<TurnWatch>,
    passwords: Mutex<Passwords>,
    names: Names,
    route: Arc<Mutex<RouteWatch>>,
    /// Whether the server that media goes through is there.
    probe: Mutex<ServerProbe>,
    /// It is asked. Every datagram looks here.
    is_probing: AtomicBool,
    /// The connection that media went through has ended.
    has_lost_route: Mutex<bool>,
    /// There are servers over UDP, too.
    has_udp: bool,
}

#[derive(Debug)]
struct Server {
    url: TurnUrl,
    /// Where its connection leaves this machine.
    local: Option<IpAddr>,
    /// A connection that the library has not asked for yet.
    ahead: Option<Ahead>,
}

impl fmt::Debug for Turn {
    /// Leaves the servers' addresses out: they do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("servers", &self.servers.lock().len())
            .finish_non_exhaustive()
    }
}

impl Turn {
    /// None yet. `roots`: whose certificates to trust. `route`: the route that media takes.
    pub(super) fn new(
        servers: &[RTCIceServer],
        roots: TrustedRoots,
        route: Arc<Mutex<RouteWatch>>,
    ) -> Arc<Self> {
        let has_udp = usable(servers).any(|(_, url)| url.transport == TurnTransport::Udp);
        Arc::new(Self {
            servers: Mutex::default(),
            roots,
            sockets: Mutex::default(),
            watch: Mutex::default(),
            passwords: Mutex::default(),
            names: Names::default(),
            route,
            probe: Mutex::default(),
            is_probing: AtomicBool::new(false),
            has_lost_route: Mutex::default(),
            has_udp,
        })
    }

    /// The servers as the library takes them: with stand-ins, and without those that it cannot use.
    pub(super) fn for_library(&self, servers: &[RTCIceServer]) -> Vec<RTCIceServer> {
        let stun = servers.iter().flat_map(|server| &server.urls);
        let stun = stun.filter(|url| is_stun(url)).map(|url| RTCIceServer {
            urls: vec![url.clone()],
            ..RTCIceServer::default()
        });

        let turn = usable(servers).filter_map(|(server, url)| {
            let address = match url.transport {
                TurnTransport::Udp => udp_url(&url.server),
                TurnTransport::Tcp | TurnTransport::Tls => stand_in_url(self.stand_in(url)?),
            };

            let mut passwords = self.passwords.lock();
            passwords.add(&server.username, &server.credential);
            Some(RTCIceServer {
                urls: vec![address],
                username: server.username.clone(),
                credential: server.credential.clone(),
            })
        });

        stun.chain(turn).collect()
    }

    /// The stand-in for a server over TCP or TLS, always the same one. `None` if there are too many.
    fn stand_in(&self, url: TurnUrl) -> Option<SocketAddr> {
        let mut servers = self.servers.lock();
        let known = servers.iter().position(|server| server.url == url);
        let index = match known {
            Some(index) => index,
            None if servers.len() == MAX_SERVERS => return None,
            None => {
                servers.push(Server {
                    url,
                    local: None,
                    ahead: None,
                });
                servers.len() - 1
            }
        };

        let [a, b, c] = STAND_INS;
        let ip = Ipv4Addr::new(a, b, c, u8::try_from(index + 1).ok()?);
        Some(SocketAddr::from((ip, STAND_IN_PORT)))
    }

    /// Whether this is the address of a stand-in.
    pub(super) fn is_stand_in(address: SocketAddr) -> bool {
        index(address).is_some()
    }

    /// The server that `stand_in` stands for.
    fn server(&self, stand_in: SocketAddr) -> Option<ServerUrl> {
        let servers = self.servers.lock();
        Some(servers.get(index(stand_in)?)?.url.server.clone())
    }

    fn transport(&self, stand_in: SocketAddr) -> Option<TurnTransport> {
        let servers = self.servers.lock();
        Some(servers.get(index(stand_in)?)?.url.transport)
    }

    /// How packets reach this server of the library's, as reports spell it.
    pub(super) fn transport_of(&self, server: Option<SocketAddr>) -> &'static str {
        let transport = server.and_then(|server| self.transport(server));
        transport.unwrap_or(TurnTransport::Udp).as_str()
    }

    /// Where the connection to this server of the library's leaves this machine. `None` if that is not
    /// known, or the server is reached over UDP.
    pub(super) fn local_of(&self, server: SocketAddr) -> Option<IpAddr> {
        let servers = self.servers.lock();
        servers.get(index(server)?)?.local
    }

    fn set_local(&self, stand_in: SocketAddr, local: Option<IpAddr>) {
        let mut servers = self.servers.lock();
        if let Some(server) = index(stand_in).and_then(|index| servers.get_mut(index)) {
            server.local = local;
        }
    }

    /// The library has a socket at `local`.
    fn add_socket(&self, local: SocketAddr) {
        // The one for multicast DNS talks to no server.
        if local.port() != MULTICAST_DNS_PORT {
            self.sockets.lock().push(local);
        }
    }

    fn remove_socket(&self, local: SocketAddr) {
        let mut sockets = self.sockets.lock();
        if let Some(at) = sockets.iter().position(|socket| *socket == local) {
            sockets.swap_remove(at);
        }
    }

    /// Whether the socket at `local` is the one to have the connections. The system decides where they
    /// leave, but the candidate is said to come from there.
    fn is_carrier(&self, local: SocketAddr) -> bool {
        let sockets = self.sockets.lock();
        let best = sockets
            .iter()
            .min_by_key(|socket| (!socket.is_ipv4(), socket.ip().is_loopback(), **socket));
        best == Some(&local)
    }

    fn on_sent(&self, now: Instant, server: SocketAddr, datagram: &[u8]) {
        if can_be_allocation(datagram) {
            self.watch.lock().on_sent(now, server, datagram);
        }
    }

    fn on_received(&self, server: SocketAddr, datagram: &[u8]) {
        if can_be_allocation(datagram) {
            self.watch.lock().on_received(server, datagram);
        }
    }

    /// A connection to this server begins.
    fn on_connecting(&self, now: Instant, stand_in: SocketAddr) {
        self.watch.lock().on_connecting(now, stand_in);
    }

    /// There is a connection to this server.
    fn on_connected(&self, stand_in: SocketAddr, local: Option<IpAddr>) {
        self.set_local(stand_in, local);
        self.watch.lock().on_connected(stand_in);
    }

    /// There is no connection between these addresses any more, or none could be made.
    fn on_lost(&self, (local, stand_in): (SocketAddr, SocketAddr)) {
        self.watch.lock().on_unreachable(stand_in);
        if self.route.lock().goes_through((local, stand_in)) {
            *self.has_lost_route.lock() = true;
        }
    }

    /// Whether the connection that media goes through has ended. Returned once.
    pub(super) fn take_lost_route(&self) -> bool {
        std::mem::take(&mut *self.has_lost_route.lock())
    }

    /// How the server is that media goes through. `heard`: when the signaling server was last heard.
    pub(super) fn health(&self, now: Instant, heard: Option<Instant>) -> TurnHealth {
        let (way, is_silent) = {
            let route = self.route.lock();
            (route.way_to_turn(), route.health(now).is_silent)
        };
        let (way, rtt) = way.map_or((None, Duration::ZERO), |(way, rtt)| (Some(way), rtt));
        let is_stream = way.is_some_and(|(_, server)| Self::is_stand_in(server));
        let patience = if is_stream {
            rtt.max(STREAM_PATIENCE)
        } else {
            rtt
        };

        let mut probe = self.probe.lock();
        probe.on_route(now, way, is_silent);
        self.is_probing.store(probe.is_asking(), Relaxed);
        probe.health(now, heard, patience)
    }

    /// A datagram is about to leave from `local` for `server`: a request to send before it, if that server
    /// is to be asked whether it is there.
    fn request(&self, now: Instant, local: SocketAddr, server: SocketAddr) -> Option<[u8; 20]> {
        let is_probing = self.is_probing.load(Relaxed);
        is_probing
            .then(|| {
                self.probe
                    .lock()
                    .request(now, (local, server), rand::random())
            })
            .flatten()
    }

    /// Whether a datagram answers such a request.
    fn is_answer(&self, now: Instant, server: SocketAddr, datagram: &[u8]) -> bool {
        self.is_probing.load(Relaxed)
            && can_be_answer(datagram)
            && self.probe.lock().on_received(now, server, datagram)
    }

    /// Whether all servers are reached over UDP.
    pub(super) fn is_udp_only(&self) -> bool {
        self.servers.lock().is_empty()
    }

    /// Why no server has given this side an address. `None` if one has, one may still, or there is none.
    pub(super) fn problem(&self, now: Instant) -> Option<TurnProblem> {
        self.watch.lock().problem(now, Self::is_stand_in)
    }

    /// The same as far as it is worth telling, though a server that is silent may still answer. One whose
    /// name nobody knows is silent, too.
    pub(super) fn trouble(&self, now: Instant) -> Option<TurnProblem> {
        let watch = self.watch.lock();
        if watch.has_asked() {
            watch.trouble(now)
        } else {
            Some(TurnProblem::Unreachable)
        }
    }

    /// ICE restarts: other sockets look for a route, perhaps in another network.
    pub(super) fn start_over(&self) {
        self.watch.lock().start_over();
        self.names.start_over();
    }

    /// The addresses of a server of the library's, that `resolver` finds.
    pub(super) async fn resolve(
        &self,
        place: &str,
        resolver: impl FnOnce(String) -> Found,
    ) -> io::Result<Vec<SocketAddr>> {
        self.names
            .resolve(place, self.is_udp_only(), resolver)
            .await
    }
}

/// Whether a datagram can be about an allocation: the others are many.
fn can_be_allocation(datagram: &[u8]) -> bool {
    matches!(datagram, [0 | 1, 0x03 | 0x13, ..])
}

/// The addresses of TURN servers that can be used, each with the entry that has its credentials.
fn usable(servers: &[RTCIceServer]) -> impl Iterator<Item = (&RTCIceServer, TurnUrl)> {
    let with_credentials = servers
        .iter()
        .filter(|server| is_usable(&server.urls, &server.username, &server.credential));
    with_credentials.flat_map(|server| {
        let urls = server.urls.iter().filter_map(|url| TurnUrl::parse(url));
        urls.map(move |url| (server, url))
    })
}

/// Whether one of these servers is a TURN server that can be used.
pub(super) fn has_turn(servers: &[RTCIceServer]) -> bool {
    usable(servers).next().is_some()
}

/// The address of a server over UDP, in the form that the library reads.
fn udp_url(server: &ServerUrl) -> String {
    format!("turn:{}?transport=udp", server.host_and_port())
}

/// Those of `known` that are better than `transport`.
fn better_than(
    transport: TurnTransport,
    known: impl Iterator<Item = TurnTransport>,
) -> Vec<TurnTransport> {
    known.filter(|known| *known < transport).collect()
}

fn stand_in_url(stand_in: SocketAddr) -> String {
    format!("turn:{stand_in}?transport=udp")
}

fn index(stand_in: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(address) = stand_in else {
        return None;
    };
    let [a, b, c, number] = address.ip().octets();
    let is_one = [a, b, c] == STAND_INS && address.port() == STAND_IN_PORT;
    usize::from(number).checked_sub(1).filter(|_| is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(servers: &[RTCIceServer]) -> Arc<Turn> {
        Turn::new(servers, TrustedRoots::default(), Arc::default())
    }

    fn entry(urls: &[&str]) -> RTCIceServer {
        RTCIceServer {
            urls: urls.iter().map(ToString::to_string).collect(),
            username: "1:u".into(),
            credential: "secret".into(),
        }
    }

    fn urls(servers: &[RTCIceServer]) -> Vec<&str> {
        let urls = servers.iter().flat_map(|server| &server.urls);
        urls.map(String::as_str).collect()
    }

    #[test]
    fn the_library_gets_stand_ins_and_nothing_that_it_cannot_read() {
        let offered = [
            entry(&[
                "turn:turn.example:3478?transport=udp",
                "turn:turn.example:80?transport=tcp",
                "turns:turn.example:443?transport=tcp",
                "turns:turn.example?transport=udp",
                "turn:",
            ]),
            RTCIceServer {
                credential: String::new(),
                ..entry(&["turn:other.example"])
            },
            RTCIceServer {
                urls: vec!["stun:stun.example".into(), "stun:".into()],
                ..RTCIceServer::default()
            },
        ];

        let turn = turn(&offered);
        let servers = turn.for_library(&offered);
        assert_eq!(
            urls(&servers),
            [
                "stun:stun.example",
                "turn:turn.example:3478?transport=udp",
                "turn:240.0.0.1:3478?transport=udp",
                "turn:240.0.0.2:3478?transport=udp",
            ]
        );
        for server in &servers {
            assert!(server.urls().is_ok(), "the library reads it");
        }

        let transport = |ip| turn.transport_of(Some(SocketAddr::from((ip, STAND_IN_PORT))));
        assert_eq!(transport([240, 0, 0, 1]), "tcp");
        assert_eq!(transport([240, 0, 0, 2]), "tls");
        assert_eq!(transport([240, 0, 0, 3]), "udp", "no stand-in");
        assert_eq!(transport([192, 0, 2, 1]), "udp");
    }

    #[test]
    fn fresh_credentials_change_no_stand_in() {
        let first = [entry(&["turns:a.example", "turns:b.example"])];
        let turn = turn(&first);
        turn.for_library(&first);
        let second = [entry(&["turns:b.example", "turns:c.example"])];
        assert_eq!(
            urls(&turn.for_library(&second)),
            [
                "turn:240.0.0.2:3478?transport=udp",
                "turn:240.0.0.3:3478?transport=udp"
            ]
        );
    }

    #[test]
    fn endless_servers_take_no_endless_connections() {
        let many: Vec<String> = (0..300)
            .map(|number| format!("turns:{number}.example"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let offered = [entry(&many)];
        assert_eq!(turn(&offered).for_library(&offered).len(), MAX_SERVERS);
    }

    #[test]
    fn servers_that_cannot_be_used_are_none() {
        assert!(has_turn(&[entry(&["turns:a.example"])]));
        assert!(!has_turn(&[entry(&["turns:a.example?transport=udp"])]));
        assert!(!has_turn(&[entry(&["stun:a.example"])]));
        let without = RTCIceServer {
            username: String::new(),
            ..entry(&["turn:a.example"])
        };
        assert!(!has_turn(&[without]));
    }

    #[test]
    fn one_socket_has_the_connections() {
        let turn = turn(&[]);
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let sockets = ["127.0.0.1:1", "[2001:db8::1]:2", "192.0.2.7:3", "[::1]:4"].map(at);
        for socket in sockets {
            turn.add_socket(socket);
        }

        let carriers = || sockets.iter().filter(|socket| turn.is_carrier(**socket));
        assert_eq!(carriers().collect::<Vec<_>>(), [&at("192.0.2.7:3")]);
        turn.remove_socket(at("192.0.2.7:3"));
        assert_eq!(carriers().collect::<Vec<_>>(), [&at("127.0.0.1:1")]);
    }
}
