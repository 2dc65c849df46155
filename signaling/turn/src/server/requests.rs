//! Requests and the responses to them (RFC 8656 §7 to §12).

use std::net::{IpAddr, SocketAddr};

use ring::hmac;

use super::{Family, Packet, Relay, Server, Sockets, Transport};
use crate::allocation::{Allocation, NewAllocation, Peer, Refused, lifetime};
use crate::auth::{REALM, is_of_session, longest_lifetime, message_key, password, user_of};
use crate::message::{Class, Message, Method, Writer, attribute, is_channel};
use crate::revoked::NameKey;

/// UDP's number, for REQUESTED-TRANSPORT.
const UDP: u8 = 17;
/// How many ports to try before giving up: another program may have some of them.
const PORT_ATTEMPTS: u32 = 64;
/// More peers than that in one request are refused.
const MAX_PEERS: usize = 32;

/// Error codes (RFC 8656 §19, RFC 8489 §14.8).
mod code {
    pub(super) const BAD_REQUEST: u16 = 400;
    pub(super) const UNAUTHENTICATED: u16 = 401;
    pub(super) const FORBIDDEN: u16 = 403;
    pub(super) const UNKNOWN_ATTRIBUTE: u16 = 420;
    pub(super) const ALLOCATION_MISMATCH: u16 = 437;
    pub(super) const STALE_NONCE: u16 = 438;
    pub(super) const FAMILY_NOT_SUPPORTED: u16 = 440;
    pub(super) const WRONG_CREDENTIALS: u16 = 441;
    pub(super) const UNSUPPORTED_TRANSPORT: u16 = 442;
    pub(super) const FAMILY_MISMATCH: u16 = 443;
    pub(super) const QUOTA_REACHED: u16 = 486;
    pub(super) const INSUFFICIENT_CAPACITY: u16 = 508;
}

/// A client that has proved who it is.
struct Identity<'a> {
    username: &'a str,
    user: &'a str,
    name: NameKey,
    key: hmac::Key,
    /// The allocation of its address, whoever made it.
    allocation: Option<usize>,
    /// Whether the same user made it.
    is_owner: bool,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotAdmitted {
    /// It has not proved who it is.
    Unknown(u16),
    /// The server's own credentials, for what is over.
    Revoked,
}

impl NotAdmitted {
    fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            // As for credentials that have expired (RFC 8489 §9.2.4): a client may get others.
            Self::Revoked => code::UNAUTHENTICATED,
        }
    }
}

/// A request in the middle of being answered.
struct Request<'a, 'm> {
    packet: Packet<'a>,
    message: &'m Message<'a>,
    method: Method,
}

impl Server {
    /// Answers a request. False if there is nothing to send.
    pub(super) fn request(
        &mut self,
        packet: Packet<'_>,
        message: &Message<'_>,
        method: Method,
        sockets: &mut impl Sockets,
        out: &mut Vec<u8>,
    ) -> bool {
        let request = Request {
            packet,
            message,
            method,
        };
        match method {
            Method::Binding => {
                request
                    .success(out)
                    .address(attribute::XOR_MAPPED_ADDRESS, packet.from.address)
                    .finish();
                return self.may_greet(packet, out);
            }
            Method::Send | Method::Data => return false,
            _ => {}
        }

        let identity = match self.authenticate(&request) {
            Ok(identity) => identity,
            Err(refusal) => {
                self.challenge(&request, refusal.code(), out);
                let is_sent = self.may_greet(packet, out);
                let counter = match refusal {
                    NotAdmitted::Revoked => &mut self.stats.revoked,
                    NotAdmitted::Unknown(_) => &mut self.stats.unauthorized,
                };
                *counter += u64::from(is_sent);
                return is_sent;
            }
        };

        if let Some(unknown) = message.unknown_attribute() {
            request
                .error(code::UNKNOWN_ATTRIBUTE, out)
                .attribute(attribute::UNKNOWN_ATTRIBUTES, &unknown.to_be_bytes())
                .sign(&identity.key);
            return true;
        }

        let result = match (method, identity.allocation) {
            (Method::Allocate, _) => self.allocate(&request, &identity, sockets, out),
            (_, None) => Err(code::ALLOCATION_MISMATCH),
            (_, Some(_)) if !identity.is_owner => Err(code::WRONG_CREDENTIALS),
            (_, Some(id)) => {
                self.allocations[id].renew(identity.username, identity.name, &identity.key);
                match method {
                    Method::Refresh => self.refresh(&request, id, sockets, out),
                    Method::CreatePermission => self.create_permission(&request, id, out),
                    _ => self.channel_bind(&request, id, out),
                }
            }
        };

        if let Err(code) = result {
            self.stats.forbidden += u64::from(code == code::FORBIDDEN);
            self.stats.over_quota += u64::from(code == code::QUOTA_REACHED);
            request.error(code, out).sign(&identity.key);
        }
        true
    }

    /// Checks the credentials (RFC 8489 §9.2.4), the cheap parts first.
    fn authenticate<'a>(&self, request: &Request<'a, '_>) -> Result<Identity<'a>, NotAdmitted> {
        let (message, packet) = (request.message, request.packet);
        if !message.is_signed() {
            return Err(NotAdmitted::Unknown(code::UNAUTHENTICATED));
        }

        let username = message.text(attribute::USERNAME);
        let (Some(username), Some(realm), Some(nonce)) = (
            username,
            message.text(attribute::REALM),
            message.attribute(attribute::NONCE),
        ) else {
            return Err(NotAdmitted::Unknown(code::BAD_REQUEST));
        };

        if !self.nonces.is_valid(nonce, packet.from.address, packet.now) {
            return Err(NotAdmitted::Unknown(code::STALE_NONCE));
        }

        let allocation = self.allocation_of(packet.from, packet.now);
        let owned = allocation.map(|id| &self.allocations[id]);
        // A session's allocation outlives the credentials that it was made with.
        let known = owned
            .filter(|known| *known.username == *username)
            .filter(|_| is_of_session(username) || user_of(username, packet.unix).is_some());
        let (user, key) = match known {
            Some(known) => ("", known.key.clone()),
            None => {
                let user = user_of(username, packet.unix);
                let user = user.ok_or(NotAdmitted::Unknown(code::UNAUTHENTICATED))?;
                let password = password(&self.config.secret, username);
                (user, message_key(username, REALM, &password))
            }
        };

        if realm != REALM || !message.is_signed_with(&key) {
            return Err(NotAdmitted::Unknown(code::UNAUTHENTICATED));
        }

        // Last, so that nobody else can ask which calls are over.
        let name = self.revoked.key(username);
        if self.revoked.contains(name) {
            return Err(NotAdmitted::Revoked);
        }

        Ok(Identity {
            username,
            user,
            name,
            key,
            allocation,
            // A user name holds its expiry, so the same user's next one is another.
            is_owner: known.is_some()
                || owned.is_some_and(|owned| self.usage.name(owned.user) == user),
        })
    }

    /// Tells a client that it is not known, and with what to prove who it is.
    fn challenge(&self, request: &Request<'_, '_>, code: u16, out: &mut Vec<u8>) {
        let error = request.error(code, out);
        if code == code::BAD_REQUEST {
            return error.finish();
        }

        let Packet { from, now, .. } = request.packet;
        error
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(
                attribute::NONCE,
                self.nonces.make(from.address, now).as_bytes(),
            )
            .finish();
    }

    /// Whether an answer to a client that has not proved anything may be sent.
    fn may_greet(&mut self, packet: Packet<'_>, out: &[u8]) -> bool {
        // Whoever made a TCP connection receives at its address.
        if let Transport::Tcp(_) = packet.from.transport {
            return true;
        }

        let (from, now) = (packet.from.address, packet.now);
        let may = self.greetings.take(from, packet.data.len(), out.len(), now);
        self.stats.unanswered += u64::from(!may);

        may
    }

    fn allocate(
        &mut self,
        request: &Request<'_, '_>,
        identity: &Identity<'_>,
        sockets: &mut impl Sockets,
        out: &mut Vec<u8>,
    ) -> Result<(), u16> {
        let (message, packet) = (request.message, request.packet);
        if let Some(id) = identity.allocation {
            let known = &self.allocations[id];
            let is_repeated =
                known.transaction == message.transaction && *known.username == *identity.username;
            if !is_repeated {
                return Err(code::ALLOCATION_MISMATCH);
            }

            request.allocated(known, out);
            return Ok(());
        }

        // What is left of an allocation that expired since the last tick.
        if let Some(id) = self.by_client.get(&packet.from).copied() {
            self.remove(id, sockets);
        }

        let family = wanted_family(message)?;
        let ip = self.config.addresses.of(family);
        let ip = ip.ok_or(code::FAMILY_NOT_SUPPORTED)?;
        let user = self.usage.enter(identity.user, packet.from.address);
        let user = user.ok_or(code::QUOTA_REACHED)?;
        let Some(relay) = self.open(family, sockets) else {
            self.usage.leave(user, packet.from.address);
            return Err(code::INSUFFICIENT_CAPACITY);
        };

        let lifetime = lifetime(message.number(attribute::LIFETIME).filter(|time| *time > 0))
            .min(longest_lifetime(identity.username, packet.unix));
        let allocation = Allocation::new(NewAllocation {
            client: packet.from,
            user,
            username: identity.username.into(),
            name: identity.name,
            key: identity.key.clone(),
            transaction: message.transaction,
            relay,
            relayed: SocketAddr::new(ip, relay.port),
            expires: packet.now + lifetime,
        });
        request.allocated(&allocation, out);

        let id = self.allocations.insert(allocation);
        self.by_client.insert(packet.from, id);
        self.by_relay.insert(relay, id);
        self.stats.allocated += 1;
        Ok(())
    }

    /// Opens a port of the range: a random one, or one of those that follow it.
    fn open(&mut self, family: Family, sockets: &mut impl Sockets) -> Option<Relay> {
        let (first, last) = (*self.config.ports.start(), *self.config.ports.end());
        let count = u64::from(last.checked_sub(first)?) + 1;
        let start = self.random() % count;

        (0..count)
            .map(|step| Relay {
                family,
                port: first + u16::try_from((start + step) % count).unwrap_or(0),
            })
            .filter(|relay| !self.by_relay.contains_key(relay))
            .take(PORT_ATTEMPTS as usize)
            .find(|relay| sockets.open(*relay))
    }

    fn refresh(
        &mut self,
        request: &Request<'_, '_>,
        id: usize,
        sockets: &mut impl Sockets,
        out: &mut Vec<u8>,
    ) -> Result<(), u16> {
        let message = request.message;
        let allocation = &mut self.allocations[id];
        if message
            .attribute(attribute::REQUESTED_ADDRESS_FAMILY)
            .is_some()
            && wanted_family_of(message)? != allocation.relay.family
        {
            return Err(code::FAMILY_MISMATCH);
        }

        let longest = longest_lifetime(&allocation.username, request.packet.unix);
        let lifetime = lifetime(message.number(attribute::LIFETIME)).min(longest);
        allocation.expires = request.packet.now + lifetime;
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        request
            .success(out)
            .number(attribute::LIFETIME, seconds)
            .sign(&allocation.key);

        if lifetime.is_zero() {
            self.remove(id, sockets);
        }
        Ok(())
    }

    fn create_permission(
        &mut self,
        request: &Request<'_, '_>,
        id: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), u16> {
        let peers: Option<Vec<SocketAddr>> = request.message.peers().take(MAX_PEERS + 1).collect();
        let peers = peers.filter(|peers| !peers.is_empty());
        let peers = peers.ok_or(code::BAD_REQUEST)?;
        for peer in &peers {
            self.check_peer(id, peer.ip())?;
        }

        let now = request.packet.now;
        let peers: Vec<Peer> = peers.iter().map(|peer| self.peer(*peer)).collect();
        let allocation = &mut self.allocations[id];
        // All or none (RFC 8656 §10.2).
        if peers.len() > MAX_PEERS || !allocation.has_room_for(&peers, now) {
            return Err(code::INSUFFICIENT_CAPACITY);
        }

        for peer in peers {
            allocation.permit(peer, now).map_err(refusal)?;
        }

        request.success(out).sign(&allocation.key);
        Ok(())
    }

    fn channel_bind(
        &mut self,
        request: &Request<'_, '_>,
        id: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), u16> {
        let message = request.message;
        let number = message.number(attribute::CHANNEL_NUMBER);
        let number = number
            .and_then(|number| u16::try_from(number >> 16).ok())
            .filter(|number| is_channel(*number));
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        let (Some(number), Some(peer)) = (number, peer) else {
            return Err(code::BAD_REQUEST);
        };

        self.check_peer(id, peer.ip())?;
        let permitted = self.peer(peer);
        let allocation = &mut self.allocations[id];
        allocation
            .bind(number, peer, permitted, request.packet.now)
            .map_err(refusal)?;

        request.success(out).sign(&allocation.key);
        Ok(())
    }

    /// Whether this allocation may have that peer. The relayed address of this server itself may be
    /// one: [`forward`](super::forward) passes packets to live allocations there, and to nothing else.
    fn check_peer(&self, id: usize, peer: IpAddr) -> Result<(), u16> {
        let family = self.allocations[id].relay.family;
        if Family::from(peer) != family {
            return Err(code::FAMILY_MISMATCH);
        }

        let is_relayed = self.config.addresses.of(family) == Some(peer);
        if !is_relayed && !self.config.rules.permits(peer) {
            return Err(code::FORBIDDEN);
        }

        Ok(())
    }
}

impl Request<'_, '_> {
    fn success<'o>(&self, out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer::new(out, Class::Success, self.method, self.message.transaction)
    }

    fn error<'o>(&self, code: u16, out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer::new(out, Class::Error, self.method, self.message.transaction).error(code)
    }

    /// The response to a request that made this allocation.
    fn allocated(&self, allocation: &Allocation, out: &mut Vec<u8>) {
        let left = allocation
            .expires
            .saturating_duration_since(self.packet.now)
            .as_secs();
        self.success(out)
            .address(attribute::XOR_RELAYED_ADDRESS, allocation.relayed)
            .number(attribute::LIFETIME, u32::try_from(left).unwrap_or(u32::MAX))
            .address(attribute::XOR_MAPPED_ADDRESS, self.packet.from.address)
            .sign(&allocation.key);
    }
}

/// Checks what an Allocate request asks for (RFC 8656 §7.2).
fn wanted_family(message: &Message<'_>) -> Result<Family, u16> {
    match message.attribute(attribute::REQUESTED_TRANSPORT) {
        Some([UDP, _, _, _]) => {}
        Some([_, _, _, _]) => return Err(code::UNSUPPORTED_TRANSPORT),
        _ => return Err(code::BAD_REQUEST),
    }

    let asks_for_pair = [attribute::EVEN_PORT, attribute::RESERVATION_TOKEN]
        .into_iter()
        .any(|kind| message.attribute(kind).is_some());
    if asks_for_pair {
        return Err(code::INSUFFICIENT_CAPACITY);
    }

    wanted_family_of(message)
}

fn wanted_family_of(message: &Message<'_>) -> Result<Family, u16> {
    match message.attribute(attribute::REQUESTED_ADDRESS_FAMILY) {
        None | Some([1, _, _, _]) => Ok(Family::V4),
        Some([2, _, _, _]) => Ok(Family::V6),
        Some([_, _, _, _]) => Err(code::FAMILY_NOT_SUPPORTED),
        Some(_) => Err(code::BAD_REQUEST),
    }
}

fn refusal(refused: Refused) -> u16 {
    match refused {
        Refused::Full => code::INSUFFICIENT_CAPACITY,
        Refused::Conflict => code::BAD_REQUEST,
    }
}
