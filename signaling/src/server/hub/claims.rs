//! Claims and releases rooms, and ends the searches and the listening that depended on a claim. The
//! table of claims is in `rooms`; in a cluster, the store keeps it.

use std::time::Instant;

use super::ids::ClaimHash;
use super::rooms::{AFTER_CALL, CLAIM_HOLD};
use super::search::no_such_room;
use super::{Hub, fault, millis, unavailable};
use crate::message::{
    ClaimToken, ErrorCode, Fault, FormerClaim, RequestId, RoomClaimed, RoomReleased, ServerMessage,
    UserId, room_number,
};
use crate::server::client_key::ClientKey;

impl Hub {
    /// Gives the client a room that no other client gets: that of `former`, if the token is right
    /// and the claim has not ended, else one that is free.
    pub(super) fn claim_room(
        &mut self,
        key: ClientKey,
        former: Option<FormerClaim>,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_be_open(key)?;
        self.must_not_drain()?;
        self.must_have_store()?;

        // Owning the room again changes whom this client may meet there, and a search is compared
        // with others only when it begins.
        if former.is_some() {
            self.must_not_search(key)?;
        }

        let former = former.and_then(|former| {
            let number = room_number(&former.room)?;
            Some((number, former.claim_token))
        });
        let random = (self.ids)().as_u128() as u32;
        let token = ClaimToken::from(self.secret());
        if self.claim_in_store(key, random, &token, &former, &id) {
            return Ok(());
        }

        let Some(client) = self.clients.get(&key) else {
            return Ok(());
        };

        let user = client.user.clone();
        if let Some((number, token)) = former
            && self.rooms.claim_again(number, ClaimHash::of(&token), &user)
        {
            self.listeners.changed(&number.to_string());
            self.stop_others_listening(&number.to_string(), Some(&user));
            self.room_claimed(key, number, token, id);
            return Ok(());
        }

        let in_use = |number: u32| self.matchmaker.has_room(&number.to_string());
        match self
            .rooms
            .claim(&user, ClaimHash::of(&token), random, in_use)
        {
            Some(number) => {
                self.room_claimed(key, number, token, id);
                Ok(())
            }
            None => Err(unavailable()),
        }
    }

    pub(super) fn room_claimed(
        &mut self,
        key: ClientKey,
        number: u32,
        token: ClaimToken,
        id: Option<RequestId>,
    ) {
        let guest_token = self.guest_token(number);
        let claimed = RoomClaimed {
            room: number.to_string(),
            expires_ms: millis(CLAIM_HOLD),
            claim_token: Some(token),
            guest_token,
        };
        self.reply(key, ServerMessage::RoomClaimed(claimed), id);
    }

    /// Frees a room that the client has claimed.
    pub(super) fn release_room(
        &mut self,
        key: ClientKey,
        room: &str,
        id: Option<RequestId>,
    ) -> Result<(), Fault> {
        self.must_have_store()?;
        let number = room_number(room).ok_or_else(not_owned)?;
        if self.release_in_store(key, number, &id) {
            return Ok(());
        }

        let user = self.clients.get(&key).map(|client| &client.user);
        if user.is_some_and(|user| self.rooms.release(number, user)) {
            self.room_released(key, number, id);
            Ok(())
        } else {
            Err(not_owned())
        }
    }

    pub(super) fn room_released(&mut self, key: ClientKey, number: u32, id: Option<RequestId>) {
        let room = number.to_string();
        self.reply(key, ServerMessage::RoomReleased(RoomReleased { room }), id);
    }

    /// The client searches or listens in these rooms. If it has claimed one of them, the end of its
    /// last call there no longer ends that claim.
    pub(super) fn hold_rooms<'a>(
        &mut self,
        key: ClientKey,
        rooms: impl IntoIterator<Item = &'a str>,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        for room in rooms {
            for claim in client.claims.iter_mut().filter(|claim| claim.room == *room) {
                claim.until = None;
            }

            if let Some(number) = room_number(room) {
                self.rooms.hold(number, &client.user);
            }
        }
    }

    /// The client's call is over. A room that it has claimed stays its own for a while, so that the
    /// two can try again.
    pub(super) fn call_over(&mut self, key: ClientKey, now: Instant) {
        if let Some(client) = self.clients.get_mut(&key)
            && let Some(room) = client.profile.room.as_deref()
            && let Some(number) = room_number(room)
        {
            for claim in client.claims.iter_mut().filter(|claim| claim.room == room) {
                claim.until = Some(now + AFTER_CALL);
            }

            self.rooms.call_over(number, &client.user, now);
        }
    }

    /// Ends the searches and the listening in rooms whose claims have ended.
    pub(super) fn settle_freed_rooms(&mut self) {
        for number in self.rooms.take_freed() {
            self.forget_guests(number);
            self.room_freed(&number.to_string());
        }
    }

    /// A claimed room is free again: its owner no longer listens in it, and guests who waited for
    /// the owner must not meet each other instead.
    fn room_freed(&mut self, room: &str) {
        self.listeners.changed(room);
        for guest in self.waiting_for_existing(room) {
            self.fail_search(guest, no_such_room());
        }

        self.stop_others_listening(room, None);
    }

    /// Ends the listening of everyone but `owner` in this room.
    fn stop_others_listening(&mut self, room: &str, owner: Option<&UserId>) {
        for user in self.listeners.listening_in(room).to_vec() {
            if Some(&user) != owner
                && let Some(&key) = self.users.get(&user)
                && let Some(listening) = self
                    .clients
                    .get(&key)
                    .and_then(|client| client.listening.as_ref())
            {
                let mut rooms = listening.rooms.clone();
                rooms.retain(|other| **other != *room);
                self.set_rooms(key, &rooms);
            }
        }
    }
}

pub(super) fn not_owned() -> Fault {
    fault(
        ErrorCode::NoSuchRoom,
        "This room is not yours: it has been released, or the claim has expired.",
    )
}
