//! One allocation: whom its client may exchange packets with, and through which channels.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ring::hmac;

use crate::message::TransactionId;
use crate::quota::{Payer, UserKey};
use crate::revoked::NameKey;
use crate::server::{Client, Relay};

/// RFC 8656 §9.
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// A partner has a handful of addresses. ICE implementations try at most a hundred pairs.
const MAX_PERMISSIONS: usize = 32;
/// As for permissions.
const MAX_CHANNELS: usize = 32;
/// RFC 8656 §7.2.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// RFC 8656 §7.2.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// What a client has reserved.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: Client,
    pub(crate) user: UserKey,
    /// As in the last request. Another user's may not use it.
    pub(crate) username: Box<str>,
    /// Of that user name.
    pub(crate) name: NameKey,
    /// Signs this client's messages.
    pub(crate) key: hmac::Key,
    /// Of the request that made it, which may come again.
    pub(crate) transaction: TransactionId,
    pub(crate) relay: Relay,
    /// What peers see.
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
}

/// What a new allocation begins with.
#[derive(Debug)]
pub(crate) struct NewAllocation {
    pub(crate) client: Client,
    pub(crate) user: UserKey,
    pub(crate) username: Box<str>,
    pub(crate) name: NameKey,
    pub(crate) key: hmac::Key,
    pub(crate) transaction: TransactionId,
    pub(crate) relay: Relay,
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
}

/// Whom a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An address, whatever its port (RFC 8656 §9).
    Address(IpAddr),
    /// Another client of this server. All of them share one relayed address, so a permission for it would
    /// let each of them in. It is for all relayed ports of one user: a client may know several for its
    /// partner, and ask for one permission only, because their address is the same.
    User(UserKey),
    /// A port of the relayed address that is no allocation's.
    Port(u16),
}

#[derive(Debug, Clone, Copy)]
struct Permission {
    peer: Peer,
    expires: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

/// Why a permission or a channel is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This allocation has as many as it may have.
    Full,
    /// The channel is bound to another peer, or the peer to another channel.
    Conflict,
}

impl Allocation {
    pub(crate) fn new(new: NewAllocation) -> Self {
        let NewAllocation {
            client,
            user,
            username,
            name,
            key,
            transaction,
            relay,
            relayed,
            expires,
        } = new;
        Self {
            client,
            user,
            username,
            name,
            key,
            transaction,
            relay,
            relayed,
            expires,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Who pays for its packets.
    pub(crate) fn payer(&self) -> Payer {
        Payer {
            user: self.user,
            address: self.client.address.into(),
        }
    }

    /// Its user goes on with other credentials: the ones before may expire.
    pub(crate) fn renew(&mut self, username: &str, name: NameKey, key: &hmac::Key) {
        if *self.username != *username {
            self.username = username.into();
            self.name = name;
            self.key = key.clone();
        }
    }

    /// Whether this peer may send, and be sent to.
    pub(crate) fn permits(&self, peer: Peer, now: Instant) -> bool {
        self.permissions
            .iter()
            .any(|permission| permission.peer == peer && permission.expires > now)
    }

    /// Permits a peer from now on.
    pub(crate) fn permit(&mut self, peer: Peer, now: Instant) -> Result<(), Refused> {
        let expires = now + PERMISSION_LIFETIME;
        if let Some(known) = self.permissions.iter_mut().find(|known| known.peer == peer) {
            known.expires = expires;
            return Ok(());
        }

        if self.permissions.len() >= MAX_PERMISSIONS {
            self.forget_expired(now);
        }

        if self.permissions.len() >= MAX_PERMISSIONS {
            return Err(Refused::Full);
        }

        self.permissions.push(Permission { peer, expires });
        Ok(())
    }

    /// Whether [`permit`](Self::permit) would succeed for all of these peers.
    pub(crate) fn has_room_for(&mut self, peers: &[Peer], now: Instant) -> bool {
        self.forget_expired(now);
        let is_new = |peer: &&Peer| !self.permissions.iter().any(|known| known.peer == **peer);
        self.permissions.len() + peers.iter().filter(is_new).count() <= MAX_PERMISSIONS
    }

    /// The peer that a channel is bound to.
    pub(crate) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        self.channels
            .iter()
            .find(|channel| channel.number == number && channel.expires > now)
            .map(|channel| channel.peer)
    }

    /// The channel that a peer is bound to.
    pub(crate) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        self.channels
            .iter()
            .find(|channel| channel.peer == peer && channel.expires > now)
            .map(|channel| channel.number)
    }

    /// Binds a channel to a peer's address, or prolongs it, and permits the peer (RFC 8656 §12.2).
    pub(crate) fn bind(
        &mut self,
        number: u16,
        peer: SocketAddr,
        permitted: Peer,
        now: Instant,
    ) -> Result<(), Refused> {
        self.forget_expired(now);
        let at = self
            .channels
            .iter()
            .position(|known| known.number == number || known.peer == peer);

        match at.map(|at| self.channels[at]) {
            Some(known) if known.number != number || known.peer != peer => {
                return Err(Refused::Conflict);
            }
            None if self.channels.len() >= MAX_CHANNELS => return Err(Refused::Full),
            _ => {}
        }

        self.permit(permitted, now)?;
        let expires = now + CHANNEL_LIFETIME;
        match at {
            Some(at) => self.channels[at].expires = expires,
            None => self.channels.push(Channel {
                number,
                peer,
                expires,
            }),
        }

        Ok(())
    }

    /// Drops the permissions and channels of peers for whom `is_denied` is true, but of no other client of
    /// this server.
    pub(crate) fn forbid(&mut self, is_denied: impl Fn(IpAddr) -> bool) {
        let relayed = self.relayed.ip();
        self.permissions.retain(|permission| match permission.peer {
            Peer::Address(ip) => !is_denied(ip),
            Peer::User(_) | Peer::Port(_) => true,
        });
        self.channels
            .retain(|channel| channel.peer.ip() == relayed || !is_denied(channel.peer.ip()));
    }

    /// Drops the permissions and channels that have expired.
    fn forget_expired(&mut self, now: Instant) {
        self.permissions
            .retain(|permission| permission.expires > now);
        self.channels.retain(|channel| channel.expires > now);
    }
}

/// The lifetime that a client gets: what it asks for, within what the RFC allows. Zero ends an
/// allocation.
pub(crate) fn lifetime(requested: Option<u32>) -> Duration {
    match requested {
        Some(0) => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds.into()).clamp(DEFAULT_LIFETIME, MAX_LIFETIME),
        None => DEFAULT_LIFETIME,
    }
}
