//! A ring-only server: only its owner can be called there, and only by a ring.
//!
//! A person nearby has one in the app. Everyone else who connects is a visitor, who rings at the owner
//! and waits for the answer. Visitors do not meet each other, own no rooms, and cannot be rung
//! themselves; the owner does not search.

use std::net::IpAddr;

use super::ids::ClaimHash;
use super::rooms::MAX_GUESTS;
use super::search::{no_such_room, room_full};
use super::{Hub, fault};
use crate::message::{ErrorCode, Fault, FindPartner};
use crate::server::client_key::ClientKey;

/// The most visitors from one address that wait in a room: no computer takes all the places.
const MAX_PER_ADDRESS: usize = 2;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum ClientRole {
    /// Everything: the server is not ring-only.
    Anyone,
    /// Listen, on a ring-only server.
    Owner,
    /// Ring, on a ring-only server. Connected from this address.
    Visitor(IpAddr),
    /// What the guest token with this hash allows: see `guests`. No client has this role.
    Invited(ClaimHash),
    /// Join the call in this room.
    Guest(u32),
    /// Resume a guest: another connection uses the same link.
    Spare,
}

impl ClientRole {
    /// Whether a connection with the role `other` may resume a client with this one.
    pub(super) fn is_resumed_by(self, other: Self) -> bool {
        use std::mem::discriminant;

        match self {
            Self::Guest(_) | Self::Spare => matches!(other, Self::Guest(_) | Self::Spare),
            _ => discriminant(&self) == discriminant(&other),
        }
    }
}

impl Hub {
    pub(super) fn is_visitor(&self, key: ClientKey) -> bool {
        matches!(self.role(key), Some(ClientRole::Visitor(_)))
    }

    /// The address of a caller, for the owner.
    pub(super) fn address_for_owner(&self, caller: ClientKey) -> Option<IpAddr> {
        match self.role(caller)? {
            ClientRole::Visitor(address) => Some(address),
            _ => None,
        }
    }

    pub(super) fn must_not_visit(&self, key: ClientKey) -> Result<(), Fault> {
        if self.is_visitor(key) {
            return Err(ring_only());
        }

        Ok(())
    }

    pub(super) fn must_be_open(&self, key: ClientKey) -> Result<(), Fault> {
        match self.role(key) {
            Some(ClientRole::Owner | ClientRole::Visitor(_)) => Err(ring_only()),
            _ => self.must_not_be_guest(key),
        }
    }

    /// On a ring-only server, refuses every search but that of a visitor for a room in which the
    /// owner listens.
    pub(super) fn must_ring_owner(
        &self,
        key: ClientKey,
        profile: &FindPartner,
    ) -> Result<(), Fault> {
        let room = match self.role(key) {
            Some(ClientRole::Owner) => return Err(ring_only()),
            Some(ClientRole::Visitor(_)) => profile.room.as_deref().ok_or_else(ring_only)?,
            _ => return Ok(()),
        };

        // Nobody else listens.
        if self.listeners.listening_in(room).is_empty() {
            return Err(no_such_room());
        }

        Ok(())
    }

    /// Refuses one visitor more than [`MAX_GUESTS`] in a room, or than [`MAX_PER_ADDRESS`] from one
    /// address.
    pub(super) fn must_fit_before_owner(
        &self,
        key: ClientKey,
        profile: &FindPartner,
    ) -> Result<(), Fault> {
        let (Some(room), Some(address)) = (&profile.room, self.address_for_owner(key)) else {
            return Ok(());
        };

        let waiting = || self.matchmaker.waiting_in(room).map(|(_, key)| key);
        let is_same = |key: &ClientKey| self.address_for_owner(*key) == Some(address);
        if waiting().count() >= MAX_GUESTS || waiting().filter(is_same).count() >= MAX_PER_ADDRESS {
            return Err(room_full());
        }

        Ok(())
    }

    pub(super) fn role(&self, key: ClientKey) -> Option<ClientRole> {
        self.clients.get(&key).map(|client| client.role)
    }
}

fn ring_only() -> Fault {
    fault(
        ErrorCode::Unavailable,
        "This server lets you ring its owner, and nothing else.",
    )
}
