//! One connection's share of the limits, and who its client is, in case it becomes banned.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: dropping a slot reads the clock"
)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::Edge;
use super::addresses::AddressKey;
use super::token::Identity;
use crate::message::ClientMessage;
use crate::server::client_key::ClientKey;
use crate::server::hub::ClientRole;
use crate::server::hub::ids::ClaimHash;
use crate::server::moderation::key::PeerHash;
use crate::server::shrink::ShrinkIfSparse;
use crate::server_url::is_private_ip;

/// Held while the connection is open; dropping it gives the connection's share back.
pub(in crate::server) struct Slot {
    pub(super) edge: Arc<Edge>,
    pub(super) id: u64,
    pub(in crate::server) key: AddressKey,
    pub(super) address: IpAddr,
    pub(super) is_owner: bool,
    /// The guest token that the client has instead of a bearer token.
    pub(super) guest: Option<Box<ClaimHash>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// What its client may do.
    pub(in crate::server) fn role(&self) -> ClientRole {
        match (&self.guest, self.edge.is_ring_only(), self.is_owner) {
            (Some(token), ..) => ClientRole::Invited(**token),
            (None, false, _) => ClientRole::Anyone,
            (None, true, true) => ClientRole::Owner,
            (None, true, false) => ClientRole::Visitor(self.address.to_canonical()),
        }
    }

    /// Whether the client comes from a private or loopback address.
    pub(in crate::server) fn is_private(&self) -> bool {
        is_private_ip(self.address)
    }

    /// Who its client is to the operator.
    pub(in crate::server) fn peer(&self, identity: Option<&Identity>) -> PeerHash {
        let subject = identity.map(Identity::as_str);
        self.edge.moderation.peer(self.address, subject)
    }

    /// From now on, a ban of this client's address or token closes its connection.
    pub(in crate::server) fn watch_bans(&self, identity: Option<Identity>, key: ClientKey) {
        // Without a ban list, no client becomes banned.
        if self.edge.has_ban_list() {
            let online = Online {
                address: self.address,
                identity,
                key,
            };
            self.edge.online.insert(self.id, online);
        }
    }
}

impl Slot {
    /// Counts what this message uses of its address's limits. A guess at a room counts until
    /// [`Edge::give_back_guess`].
    ///
    /// # Errors
    /// How long to wait before trying again.
    pub(in crate::server) fn take(
        &self,
        message: &ClientMessage,
        now: Instant,
    ) -> Result<(), Duration> {
        match message {
            ClientMessage::Report { .. } if self.edge.config.rate_reports > 0 => {
                self.edge.addresses.lock().report(self.key, now)
            }
            ClientMessage::ClaimRoom(_) => self.edge.addresses.lock().claim(self.key, now),
            ClientMessage::FindPartner(search) if search.room.is_some() => {
                let mut addresses = self.edge.addresses.lock();
                addresses.rooms(self.key, message, now)?;
                if search.guesses_room() {
                    addresses.guess(self.key, now)?;
                }

                Ok(())
            }
            ClientMessage::Listen { .. } => {
                self.edge.addresses.lock().rooms(self.key, message, now)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.edge.has_ban_list() {
            self.edge.online.remove(self.id);
        }

        self.edge.addresses.lock().leave(self.key, Instant::now());
    }
}

/// The open connections, so that a new ban can close them. Empty if the server has no ban list.
#[derive(Default)]
pub(super) struct OnlineTable {
    entries: Mutex<HashMap<u64, Online>>,
    next_id: AtomicU64,
}

/// A connection whose client could become banned.
struct Online {
    address: IpAddr,
    identity: Option<Identity>,
    key: ClientKey,
}

impl OnlineTable {
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn insert(&self, id: u64, online: Online) {
        self.entries.lock().insert(id, online);
    }

    fn remove(&self, id: u64) {
        let mut entries = self.entries.lock();
        entries.remove(&id);
        entries.shrink_if_sparse();
    }

    /// The clients for which `is_banned` returns true.
    pub(super) fn filter(
        &self,
        is_banned: impl Fn(IpAddr, Option<&Identity>) -> bool,
    ) -> Vec<ClientKey> {
        let entries = self.entries.lock();
        let banned = entries
            .values()
            .filter(|online| is_banned(online.address, online.identity.as_ref()));
        banned.map(|online| online.key).collect()
    }
}
