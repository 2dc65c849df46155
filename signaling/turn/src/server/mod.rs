//! The server's rules: sans-IO.

mod forward;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use slab::Slab;

use crate::allocation::Allocation;
use crate::auth::Nonces;
use crate::message::{Class, Message, Method, read_channel_data};
use crate::peers::PeerRules;
use crate::quota::{Greetings, Quotas, Usage};
use crate::revoked::{Revocation, Revoked};

/// What is left for the media of a call that is over: whoever hangs up says goodbye through it (the alert of
/// DTLS), and that is all that a partner hears whose connection for signaling is broken.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a client's packets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Over the UDP socket with this number.
    Udp(u16),
    /// Over the TCP connection with this number.
    Tcp(u64),
}

/// Where a client is: RFC 8656's 5-tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// How it talks to the server.
    pub transport: Transport,
    /// Its address; IPv4 never in its IPv6 form.
    pub address: SocketAddr,
}

/// The family of a relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A relayed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Relay {
    /// On which of the relayed addresses.
    pub family: Family,
    /// The port.
    pub port: u16,
}

/// Opens and closes relayed ports for the server.
pub trait Sockets {
    /// Opens a port; false if that cannot be done, for example because another program has it.
    fn open(&mut self, relay: Relay) -> bool;
    /// Closes it.
    fn close(&mut self, relay: Relay);
}

/// The addresses under which peers reach relayed ports: what a client learns.
#[derive(Debug, Clone, Copy, Default)]
pub struct RelayAddresses {
    /// `None`: no allocations of this family.
    pub v4: Option<Ipv4Addr>,
    /// `None`: no allocations of this family.
    pub v6: Option<Ipv6Addr>,
}

impl RelayAddresses {
    fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// What a server needs to know.
#[derive(Clone)]
pub struct Config {
    /// The secret that makes passwords of user names.
    pub secret: String,
    /// Where relayed ports are.
    pub addresses: RelayAddresses,
    /// The ports to choose from.
    pub ports: RangeInclusive<u16>,
    /// Which peers are allowed.
    pub rules: PeerRules,
    /// How much may be used.
    pub quotas: Quotas,
    /// How long credentials are valid at most: for so long, those that are revoked are remembered.
    pub credential_lifetime: Duration,
    /// Random: signs nonces.
    pub nonce_key: [u8; 32],
    /// Random: chooses ports.
    pub seed: u64,
}

impl fmt::Debug for Config {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("addresses", &self.addresses)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// A packet of a client.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Who sent it.
    pub from: Client,
    /// All of it.
    pub data: &'a [u8],
    /// When it came.
    pub now: Instant,
    /// The same as time of day, in seconds: credentials expire by it.
    pub unix: u64,
}

/// Where to send what a server wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To a client.
    Client(Client),
    /// To a peer, from a relayed port.
    Peer(Relay, SocketAddr),
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allocations made.
    pub allocated: u64,
    /// Allocations that are open.
    pub open: usize,
    /// Requests of known clients that were refused, by RFC 8656's codes.
    pub forbidden: u64,
    /// Allocations that were one too many.
    pub over_quota: u64,
    /// Requests without valid credentials that were answered.
    pub unauthorized: u64,
    /// Requests with credentials of a call or a user that is over.
    pub revoked: u64,
    /// Allocations that ended because their call or user is over.
    pub ended: u64,
    /// Packets of unknown clients that got no answer.
    pub unanswered: u64,
    /// Packets passed on.
    pub relayed_packets: u64,
    /// Their bytes, without TURN's headers.
    pub relayed_bytes: u64,
    /// Of the packets passed on, those between two clients of this server.
    pub joined_packets: u64,
    /// Packets of clients or peers that were dropped: nobody permitted them.
    pub dropped_unpermitted: u64,
    /// Packets dropped because of a limit of bandwidth.
    pub dropped_over_rate: u64,
}

/// A TURN server without sockets.
#[derive(Debug)]
pub struct Server {
    config: Config,
    nonces: Nonces,
    greetings: Greetings,
    usage: Usage,
    revoked: Revoked,
    allocations: Slab<Allocation>,
    by_client: HashMap<Client, usize>,
    by_relay: HashMap<Relay, usize>,
    stats: Stats,
    random: u64,
}

impl Server {
    /// A server that starts now.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            nonces: Nonces::new(&config.nonce_key, now),
            greetings: Greetings::new(),
            usage: Usage::new(config.quotas),
            revoked: Revoked::new(config.credential_lifetime),
            allocations: Slab::new(),
            by_client: HashMap::new(),
            by_relay: HashMap::new(),
            stats: Stats::default(),
            random: config.seed,
            config,
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            open: self.allocations.len(),
            ..self.stats
        }
    }

    /// Takes a packet of a client. What to send is written into `out`.
    pub fn receive(
        &mut self,
        packet: Packet<'_>,
        sockets: &mut impl Sockets,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        // Most packets are media.
        if let Some((channel, data)) = read_channel_data(packet.data) {
            return self.channel_data(packet, channel, data, out);
        }

        let message = Message::read(packet.data)?;
        match (message.class, message.method) {
            (Class::Indication, Some(Method::Send)) => self.send_indication(packet, &message, out),
            (Class::Request, Some(method)) => self
                .request(packet, &message, method, sockets, out)
                .then_some(Destination::Client(packet.from)),
            _ => None,
        }
    }

    /// Ends what has expired. To be called about once a second.
    pub fn tick(&mut self, now: Instant, sockets: &mut impl Sockets) {
        let expired = self.ids_where(|allocation| allocation.expires <= now);
        self.remove_all(&expired, sockets);
        self.revoked.tick(now);
    }

    /// Refuses the credentials of these calls and users from now on. Ends what was given to a user at once,
    /// and what was given for a call after [`FAREWELL`].
    pub fn revoke(&mut self, revocations: &[Revocation], now: Instant, sockets: &mut impl Sockets) {
        let mut is_new = false;
        for revocation in revocations {
            is_new |= self.revoked.add(revocation, now);
        }

        // Ending the same call again and again must not cost a look at all allocations each time.
        if !is_new {
            return;
        }

        // One look at all allocations, for however many revocations.
        let over = self.ids_where(|allocation| self.revoked.contains(allocation.name));
        let (of_users, of_calls): (Vec<usize>, Vec<usize>) = over
            .into_iter()
            .partition(|id| self.revoked.contains_user(self.allocations[*id].name));
        self.remove_all(&of_users, sockets);
        self.stats.ended += of_users.len() as u64;

        let end = now + FAREWELL;
        for id in of_calls {
            let expires = &mut self.allocations[id].expires;
            self.stats.ended += u64::from(*expires > end);
            *expires = end.min(*expires);
        }
    }

    fn ids_where(&self, test: impl Fn(&Allocation) -> bool) -> Vec<usize> {
        let found = self
            .allocations
            .iter()
            .filter(|(_, allocation)| test(allocation));
        found.map(|(id, _)| id).collect()
    }

    fn remove_all(&mut self, ids: &[usize], sockets: &mut impl Sockets) {
        for id in ids {
            self.remove(*id, sockets);
        }
    }

    /// This machine has these addresses now, each with the prefix length of its network: whoever is there
    /// can no longer be a peer.
    pub fn set_own(&mut self, own: &[IpNet]) {
        let rules = &mut self.config.rules;
        rules.set_own(own);
        for (_, allocation) in &mut self.allocations {
            allocation.forbid(|peer| !rules.permits(peer));
        }
    }

    /// Whether a client has an allocation.
    #[must_use]
    pub fn has_allocation(&self, client: Client, now: Instant) -> bool {
        self.allocation_of(client, now).is_some()
    }

    /// A client's connection has ended, and with it the allocation.
    pub fn disconnect(&mut self, client: Client, sockets: &mut impl Sockets) {
        if let Some(id) = self.by_client.get(&client).copied() {
            self.remove(id, sockets);
        }
    }

    /// The allocation of a client, if it has not expired.
    fn allocation_of(&self, client: Client, now: Instant) -> Option<usize> {
        let id = *self.by_client.get(&client)?;
        (self.allocations[id].expires > now).then_some(id)
    }

    fn remove(&mut self, id: usize, sockets: &mut impl Sockets) {
        let allocation = self.allocations.remove(id);
        self.by_client.remove(&allocation.client);
        self.by_relay.remove(&allocation.relay);
        self.usage.leave(allocation.user, allocation.client.address);
        sockets.close(allocation.relay);
    }

    /// A random number (SplitMix64): an attacker who guesses the next port gains nothing.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);

        mixed ^ (mixed >> 31)
    }
}
