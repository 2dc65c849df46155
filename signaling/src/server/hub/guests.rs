//! Guests of a server where everyone else needs a bearer token: the link to an invite holds a guest
//! token, with which one person at a time may come in and join that one call.
//!
//! A token lives as long as the claim of its room. It is for one client: while that client is here,
//! another connection with the same token may only resume it, so that a reload and a broken
//! connection work, and a second person with the link does not.

use std::collections::{HashMap, VecDeque};

use super::ids::ClaimHash;
use super::ring_only::ClientRole;
use super::{Hub, fault};
use crate::message::{ClaimToken, ErrorCode, Fault, FindPartner, UserId};
use crate::server::client_key::ClientKey;
use crate::server::shrink::ShrinkIfSparse;

/// What guest tokens begin with, so that they are not taken for a bearer token.
pub(in crate::server) const GUEST_TOKEN: &str = "guest.";
/// How many tokens of one room are valid: a claim that is taken up again gets another one, and links
/// that were sent before keep working. The oldest goes first.
const TOKENS_PER_ROOM: usize = 4;

/// The guest tokens of a server.
#[derive(Debug, Default)]
pub(super) struct Guests {
    links: HashMap<ClaimHash, Link>,
    of_room: HashMap<u32, VecDeque<ClaimHash>>,
}

#[derive(Debug)]
struct Link {
    room: u32,
    /// Who came in with it last.
    user: Option<UserId>,
}

impl Guests {
    /// A token for this room is valid from now on.
    fn add(&mut self, token: ClaimHash, room: u32) {
        self.links.insert(token, Link { room, user: None });
        let tokens = self.of_room.entry(room).or_default();
        tokens.push_back(token);

        if tokens.len() > TOKENS_PER_ROOM
            && let Some(oldest) = tokens.pop_front()
        {
            self.links.remove(&oldest);
        }
    }

    /// What `user` may do with this token; `None` if it is not valid. `is_here` tells whether another
    /// user is.
    fn admit(
        &mut self,
        token: ClaimHash,
        user: &UserId,
        is_here: impl Fn(&UserId) -> bool,
    ) -> Option<ClientRole> {
        let link = self.links.get_mut(&token)?;
        if link.user.as_ref().is_some_and(is_here) {
            return Some(ClientRole::Spare);
        }

        link.user = Some(user.clone());
        Some(ClientRole::Guest(link.room))
    }

    /// The room is free: its tokens are no longer valid. Returns who came in with them.
    fn forget(&mut self, room: u32) -> Vec<UserId> {
        let tokens = self.of_room.remove(&room).unwrap_or_default();
        let users = tokens
            .iter()
            .filter_map(|token| self.links.remove(token)?.user)
            .collect();

        self.links.shrink_if_sparse();
        self.of_room.shrink_if_sparse();
        users
    }
}

impl Hub {
    /// A token for a guest in this room, if guests need one.
    pub(super) fn guest_token(&mut self, room: u32) -> Option<ClaimToken> {
        if !self.config.admits_guests {
            return None;
        }

        let token = ClaimToken::from(format!("{GUEST_TOKEN}{}", self.secret()));
        self.guests.add(ClaimHash::of(&token), room);
        Some(token)
    }

    /// What a new connection may do; `None` if its guest token is not valid.
    pub(super) fn admitted(&mut self, role: ClientRole, user: &UserId) -> Option<ClientRole> {
        let ClientRole::Invited(token) = role else {
            return Some(role);
        };

        let users = &self.users;
        self.guests
            .admit(token, user, |other| users.contains_key(other))
    }

    /// A room is free, and may soon be another user's: the guests of the former owner must not get in.
    pub(super) fn forget_guests(&mut self, room: u32) {
        for user in self.guests.forget(room) {
            let key = self.users.get(&user);
            if let Some(client) = key.and_then(|key| self.clients.get_mut(key)) {
                client.role = ClientRole::Spare;
            }
        }
    }

    pub(super) fn is_guest(&self, key: ClientKey) -> bool {
        matches!(
            self.role(key),
            Some(ClientRole::Guest(_) | ClientRole::Spare)
        )
    }

    /// Refuses a guest every search but the one for the call that the link is for.
    pub(super) fn must_be_invited(
        &self,
        key: ClientKey,
        profile: &FindPartner,
    ) -> Result<(), Fault> {
        let room = match self.role(key) {
            Some(ClientRole::Guest(room)) => room.to_string(),
            Some(ClientRole::Spare) => return Err(link_in_use()),
            _ => return Ok(()),
        };

        if profile.room.as_deref() == Some(room.as_str()) {
            Ok(())
        } else {
            Err(guests_only_join())
        }
    }

    pub(super) fn must_not_be_guest(&self, key: ClientKey) -> Result<(), Fault> {
        if self.is_guest(key) {
            return Err(guests_only_join());
        }

        Ok(())
    }
}

/// Why a connection with a guest token is closed.
pub(super) fn link_ended() -> Fault {
    fault(
        ErrorCode::Unauthorized,
        "This link is no longer valid: ask for a new one.",
    )
}

fn link_in_use() -> Fault {
    fault(
        ErrorCode::Unauthorized,
        "Someone else has come in with this link, or it is no longer valid: ask for a new one.",
    )
}

fn guests_only_join() -> Fault {
    fault(
        ErrorCode::Unavailable,
        "A guest can join the call that the link is for, and nothing else.",
    )
}
